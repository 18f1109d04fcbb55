//! What a damaged stream costs: which frames are missing, and which were made of damaged data.
//!
//! A frame is missing where a packet went in and no picture of its moment came out, or where pictures of a steady rate
//! leave a gap, while there are other signs of damage: decoders leave out some pictures of sound streams too.

use std::collections::BTreeSet;

use framelift_frame::{TimeBase, Timestamp};

use crate::log;

/// Moments that are named; further ones are only counted.
const NAMED: usize = 8;

/// Pictures after a sign of damage for which what is missing counts as lost by it: more than decoders reorder.
const SUSPECT_PICTURES: u32 = 48;

/// Moments, of which the first few are kept.
#[derive(Default)]
struct Moments {
    count: u64,
    first: Vec<Timestamp>,
}

impl Moments {
    fn add(&mut self, time: Timestamp) {
        self.count += 1;
        if self.first.len() < NAMED {
            self.first.push(time);
        }
    }

    /// `3 frames …, at 0:00:01.200, …`
    fn say(&self, what: &str) -> Option<String> {
        if self.count == 0 {
            return None;
        }
        let times: Vec<_> = self.first.iter().map(Timestamp::to_string).collect();
        let more = match self.count - self.first.len() as u64 {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let frames = if self.count == 1 { "frame" } else { "frames" };
        Some(format!("{} {frames} {what}, at {}{more}", self.count, times.join(", ")))
    }
}

/// The damage of one stream.
pub(crate) struct Damage {
    base: TimeBase,
    /// Ticks between pictures.
    usual_ticks: i64,
    /// Whether pictures come at that pace.
    steady: bool,
    /// Whether every packet holds a picture that is shown.
    all_shown: bool,
    /// Moments of packets whose pictures have not come.
    due: BTreeSet<i64>,
    /// Pictures to come for which a loss is put down to damage.
    suspect: u32,
    lost: Moments,
    marred: Moments,
    /// Where the decoder complained and gave pictures as if nothing were.
    faults: Moments,
    /// Complaints of decoders before the latest picture.
    complaints: u64,
}

impl Damage {
    pub(crate) fn new(base: TimeBase, usual_ticks: i64, steady: bool, all_shown: bool) -> Self {
        let due = BTreeSet::new();
        let [lost, marred, faults] = [(); 3].map(|()| Moments::default());
        let complaints = log::faults();
        Self { base, usual_ticks, steady, all_shown, due, suspect: 0, lost, marred, faults, complaints }
    }

    /// A packet goes in whose picture is to be shown at `ticks`.
    pub(crate) fn sent(&mut self, ticks: i64) {
        if self.all_shown {
            self.due.insert(ticks);
        }
    }

    /// Something is wrong with the data.
    pub(crate) fn sign(&mut self) {
        self.suspect = SUSPECT_PICTURES;
    }

    /// A picture came out. `end_ticks` is where the one before ended; `marred` says whether it was made of damaged data.
    pub(crate) fn shown(&mut self, ticks: i64, end_ticks: Option<i64>, marred: bool) {
        let complaints = log::faults();
        if std::mem::replace(&mut self.complaints, complaints) != complaints {
            self.faults.add(Timestamp::new(ticks, self.base));
            self.sign();
        }
        if marred {
            self.marred.add(Timestamp::new(ticks, self.base));
            self.sign();
        }
        // The second field of a picture may have come in a packet of its own.
        let later = self.due.split_off(&(ticks + (self.usual_ticks * 3 / 4).max(1)));
        let missing: Vec<i64> =
            std::mem::replace(&mut self.due, later).into_iter().filter(|&due| due < ticks).collect();
        let gap = end_ticks.map_or(0, |end| (ticks - end + self.usual_ticks / 2) / self.usual_ticks);
        if self.suspect == 0 {
            return;
        }
        self.suspect -= 1;
        if self.steady && gap > missing.len() as i64 {
            let end = end_ticks.unwrap_or(ticks);
            // An absurd gap is a jump of the clock, not so many frames.
            let gap = if gap < i64::from(u16::MAX) { gap } else { 1 };
            (0..gap).for_each(|i| self.lost.add(Timestamp::new(end + i * self.usual_ticks, self.base)));
        } else {
            missing.into_iter().for_each(|ticks| self.lost.add(Timestamp::new(ticks, self.base)));
        }
    }

    /// No picture follows.
    pub(crate) fn finish(&mut self) {
        let due = std::mem::take(&mut self.due);
        if self.suspect > 0 {
            due.into_iter().for_each(|ticks| self.lost.add(Timestamp::new(ticks, self.base)));
        }
    }

    /// What there is to say, in full sentences.
    pub(crate) fn notices(&self) -> Vec<String> {
        let lost = self.lost.say("of the film could not be decoded and are lost");
        let lost = lost.map(|lost| format!("{lost}; all others keep their times"));
        let marred = self.marred.say("were decoded from damaged data and may look it");
        let faults = match (&lost, &marred) {
            (None, None) => self.faults.say("came while the decoder complained of damaged data, and may look it"),
            _ => None,
        };
        lost.into_iter().chain(marred).chain(faults).collect()
    }
}

/// Stretches of a container that could not be read, as far as the demuxer says: it skips them and goes on.
#[derive(Default)]
pub(crate) struct ContainerDamage {
    places: u64,
    /// Where the film had come to before the first, and what the demuxer said.
    first: Option<(Option<Timestamp>, String)>,
}

impl ContainerDamage {
    /// Takes note of what the demuxer of `format` complained of while the last packet was read. Parsers complain of what
    /// decoders see as well.
    pub(crate) fn look(&mut self, format: &str, reached: Option<Timestamp>) {
        let own = |line: String| line.strip_prefix(format)?.strip_prefix(": ").map(str::to_owned);
        if let Some(complaint) = log::take_all().into_iter().find_map(own) {
            self.places += 1;
            self.first.get_or_insert((reached, complaint));
        }
    }

    /// What there is to say, once.
    pub(crate) fn say(&mut self) -> Option<String> {
        let (reached, complaint) = self.first.take()?;
        let at = reached.map_or_else(|| "the beginning".to_owned(), |time| time.to_string());
        let places = if self.places == 1 { "one place".to_owned() } else { format!("{} places", self.places) };
        Some(format!(
            "the file is damaged in {places}, at {at} first ({complaint}): what lies there is lost, all else keeps its time"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn damage(steady: bool) -> Damage {
        Damage::new(TimeBase::new(1, 1000), 40, steady, true)
    }

    /// Sends packets at `sent` and shows pictures at `shown`, with a sign of damage before the first.
    fn run(mut damage: Damage, sign: bool, sent: &[i64], shown: &[i64]) -> Vec<String> {
        sent.iter().for_each(|&ticks| damage.sent(ticks));
        if sign {
            damage.sign();
        }
        let mut end = None;
        for &ticks in shown {
            damage.shown(ticks, end, false);
            end = Some(ticks + 40);
        }
        damage.finish();
        damage.notices()
    }

    #[test]
    fn missing_pictures_are_named_once() {
        let said = run(damage(true), true, &[0, 80, 40, 120, 160], &[0, 120]);
        assert_eq!(said.len(), 1);
        assert!(
            said[0].starts_with("3 frames") && said[0].contains("at 0:00:00.040, 0:00:00.080, 0:00:00.160"),
            "{said:?}"
        );
        let gap = run(damage(true), true, &[], &[0, 120]);
        assert!(gap[0].starts_with("2 frames"), "{gap:?}");
        assert!(run(damage(false), true, &[], &[0, 120]).is_empty(), "rates may vary");
        assert!(run(damage(true), false, &[0, 40, 80], &[0, 80]).is_empty(), "no sign of damage");
        assert!(run(damage(true), true, &[0, 20, 40, 60], &[0, 40]).is_empty(), "fields");
    }

    #[test]
    fn many_moments_are_counted() {
        let mut damage = damage(true);
        (0..20).for_each(|i| damage.shown(i * 40, Some(i * 40), true));
        let said = damage.notices();
        assert!(said[0].starts_with("20 frames") && said[0].ends_with("and 12 more"), "{said:?}");
    }
}
