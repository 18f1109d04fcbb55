//! Time as films keep it: whole ticks of a rational time base.

use std::cmp::Ordering;
use std::fmt;

/// The length of a tick, `num / den` seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TimeBase {
    /// Numerator, positive.
    pub num: i32,
    /// Denominator, positive.
    pub den: i32,
}

impl TimeBase {
    /// A tick of `num / den` seconds.
    #[must_use]
    pub const fn new(num: i32, den: i32) -> Self {
        Self { num, den }
    }

    /// The length of a tick in seconds.
    #[must_use]
    pub fn seconds(self) -> f64 {
        f64::from(self.num) / f64::from(self.den)
    }
}

impl fmt::Display for TimeBase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.num, self.den)
    }
}

/// A moment of a film: `ticks` of `base` since the film's zero.
///
/// Two timestamps compare as moments, exactly, whatever their bases.
#[derive(Clone, Copy, Debug)]
pub struct Timestamp {
    /// Ticks since zero; may be negative (edit lists, encoder delay).
    pub ticks: i64,
    /// The length of a tick.
    pub base: TimeBase,
}

impl Timestamp {
    /// `ticks` of `base`.
    #[must_use]
    pub const fn new(ticks: i64, base: TimeBase) -> Self {
        Self { ticks, base }
    }

    /// The moment in seconds, rounded to f64.
    #[must_use]
    pub fn seconds(self) -> f64 {
        self.ticks as f64 * self.base.seconds()
    }

    /// Whether the moment is a whole number of ticks of `base`, and which.
    #[must_use]
    pub fn exactly_in(self, base: TimeBase) -> Option<i64> {
        let num = i128::from(self.ticks) * i128::from(self.base.num) * i128::from(base.den);
        let den = i128::from(self.base.den) * i128::from(base.num);
        (num % den == 0).then(|| i64::try_from(num / den).ok()).flatten()
    }
}

impl PartialEq for Timestamp {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Timestamp {}

impl PartialOrd for Timestamp {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Timestamp {
    fn cmp(&self, other: &Self) -> Ordering {
        let a = i128::from(self.ticks) * i128::from(self.base.num) * i128::from(other.base.den);
        let b = i128::from(other.ticks) * i128::from(other.base.num) * i128::from(self.base.den);
        a.cmp(&b)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let s = self.seconds();
        let (sign, s) = if s < 0.0 { ("-", -s) } else { ("", s) };
        let ms = (s * 1000.0).round() as u64;
        write!(f, "{sign}{}:{:02}:{:02}.{:03}", ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60, ms % 1000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_compare_across_bases() {
        let a = Timestamp::new(1001, TimeBase::new(1, 30_000));
        let b = Timestamp::new(1, TimeBase::new(1001, 30_000));
        assert_eq!(a, b);
        assert!(Timestamp::new(-1, TimeBase::new(1, 1000)) < b);
    }

    #[test]
    fn exact_conversion_refuses_to_round() {
        let t = Timestamp::new(1, TimeBase::new(1, 30));
        assert_eq!(t.exactly_in(TimeBase::new(1, 90_000)), Some(3000));
        assert_eq!(t.exactly_in(TimeBase::new(1, 1000)), None);
    }

    #[test]
    fn displays_hours_and_sign() {
        assert_eq!(Timestamp::new(3_723_004, TimeBase::new(1, 1000)).to_string(), "1:02:03.004");
        assert_eq!(Timestamp::new(-40, TimeBase::new(1, 1000)).to_string(), "-0:00:00.040");
    }
}
