//! Values of options, as typed.

use std::time::Duration;

use framelift::{Size, Target};

/// Options as key and value.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pairs(pub(crate) Vec<(String, String)>);

/// Numbers from 0 to `most`.
pub(super) fn up_to(most: f32) -> impl Fn(&str) -> Result<f32, String> + Clone {
    move |text| {
        let wanted = || format!("a number from 0 to {most} is wanted");
        text.parse().ok().filter(|v| (0.0..=most).contains(v)).ok_or_else(wanted)
    }
}

pub(super) fn factor(text: &str) -> Result<f64, String> {
    let wanted = || "a number over 0 and up to 64 is wanted, such as 2 or 1.5".to_owned();
    text.parse().ok().filter(|&v: &f64| v > 0.0 && v <= 64.0).ok_or_else(wanted)
}

pub(super) fn seconds(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|&v: &f64| v > 0.0 && v <= 3600.0).ok_or_else(|| "seconds over 0 are wanted".to_owned())
}

pub(super) fn point(text: &str) -> Result<(f64, f64), String> {
    let wanted = || "two numbers from 0 to 1 are wanted, such as 0.5,0.3".to_owned();
    let part = |text: &str| text.trim().parse().ok().filter(|v| (0.0..=1.0).contains(v));
    text.split_once(',').and_then(|(x, y)| Some((part(x)?, part(y)?))).ok_or_else(wanted)
}

pub(super) fn exact_size(text: &str) -> Result<Size, String> {
    let parsed = text.split_once(['x', 'X']).and_then(|(w, h)| Some(Size::new(w.parse().ok()?, h.parse().ok()?)));
    parsed.filter(|size| !size.is_empty()).ok_or_else(|| "WxH is wanted, such as 640x360".to_owned())
}

pub(super) fn size(text: &str) -> Result<Target, String> {
    let lower = text.to_ascii_lowercase();
    let side = match lower.as_str() {
        "4k" => Some(2160),
        "8k" => Some(4320),
        _ => lower.strip_suffix('p').and_then(|lines| lines.parse().ok()),
    };
    match side {
        Some(side) => Ok(Target::ShortSide(side)),
        None => {
            exact_size(text).map(Target::Exact).map_err(|_| "WxH, 720p, 1080p, 1440p, 4k or 8k is wanted".to_owned())
        }
    }
}

pub(super) fn time(text: &str) -> Result<Duration, String> {
    let wanted = || "a time is wanted: seconds, M:SS or H:MM:SS, such as 90, 1:30 or 0:01:30.5".to_owned();
    let parts: Vec<&str> = text.split(':').collect();
    let Some((last, whole)) = parts.split_last().filter(|(_, whole)| whole.len() <= 2) else { return Err(wanted()) };
    let last: f64 = last.parse().map_err(|_| wanted())?;
    let mut minutes: u32 = 0;
    for part in whole {
        let part: u32 = part.parse().map_err(|_| wanted())?;
        minutes = minutes.checked_mul(60).and_then(|m| m.checked_add(part)).ok_or_else(wanted)?;
    }
    Duration::try_from_secs_f64(f64::from(minutes) * 60.0 + last).map_err(|_| wanted())
}

pub(super) fn bytes(text: &str) -> Result<usize, String> {
    let wanted = || "a size is wanted, such as 4GiB, 800MiB or 1000000000".to_owned();
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: f64 = number.parse().map_err(|_| wanted())?;
    let factor = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1.0,
        "k" | "kib" => 1024.0,
        "m" | "mib" => 1024.0 * 1024.0,
        "g" | "gib" => 1024.0 * 1024.0 * 1024.0,
        "kb" => 1e3,
        "mb" => 1e6,
        "gb" => 1e9,
        _ => return Err(wanted()),
    };
    let bytes = number * factor;
    if bytes >= 1.0 && bytes < 2f64.powi(63) { Ok(bytes as usize) } else { Err(wanted()) }
}

pub(super) fn rate(text: &str) -> Result<(i32, i32), String> {
    let wanted = || "frames a second are wanted, such as 25, 23.976 or 24000/1001".to_owned();
    let positive = |v: &i32| *v > 0;
    if let Some((num, den)) = text.split_once('/') {
        let parse = |t: &str| t.parse::<i32>().ok().filter(positive);
        return parse(num).zip(parse(den)).ok_or_else(wanted);
    }
    let value: f64 = text.parse().map_err(|_| wanted())?;
    if !(value > 0.0 && value <= 1000.0) {
        return Err(wanted());
    }
    // 23.976, 29.97, 59.94 mean the rates of NTSC.
    let ntsc = (value * 1.001).round();
    Ok(if value.fract() != 0.0 && (ntsc / 1.001 - value).abs() < 0.005 {
        (ntsc as i32 * 1000, 1001)
    } else {
        ((value * 1000.0).round() as i32, 1000)
    })
}

pub(super) fn encoder_options(text: &str) -> Result<Pairs, String> {
    let pair = |item: &str| match item.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(format!("`{item}` is not KEY=VALUE; separate options by a colon, such as tune=film:bf=2")),
    };
    text.split(':').map(pair).collect::<Result<_, _>>().map(Pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        assert_eq!(time("90").unwrap(), Duration::from_secs(90));
        assert_eq!(time("1:30.5").unwrap(), Duration::from_millis(90_500));
        assert_eq!(time("2:00:01").unwrap(), Duration::from_secs(7201));
        for bad in ["", "x", "-1", "1:2:3:4", "1:x", "inf", "NaN"] {
            assert!(time(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes() {
        assert_eq!(size("1080p").unwrap(), Target::ShortSide(1080));
        assert_eq!(size("4K").unwrap(), Target::ShortSide(2160));
        assert_eq!(size("640x360").unwrap(), Target::Exact(Size::new(640, 360)));
        for bad in ["", "0x9", "9", "axb", "-1x5", "p"] {
            assert!(size(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn points() {
        assert_eq!(point("0.5, 1").unwrap(), (0.5, 1.0));
        for bad in ["", "1", "0.5,2", "a,b", "NaN,0", "-0.1,0"] {
            assert!(point(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn memory_sizes() {
        assert_eq!(bytes("4GiB").unwrap(), 4 << 30);
        assert_eq!(bytes("1.5g").unwrap(), 3 << 29);
        assert_eq!(bytes("800MB").unwrap(), 800_000_000);
        for bad in ["", "x", "-1", "1TBs", "0", "1e300g"] {
            assert!(bytes(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn rates() {
        assert_eq!(rate("25").unwrap(), (25_000, 1000));
        assert_eq!(rate("23.976").unwrap(), (24_000, 1001));
        assert_eq!(rate("30000/1001").unwrap(), (30_000, 1001));
        assert_eq!(rate("12.5").unwrap(), (12_500, 1000));
        for bad in ["0", "-3", "a", "1/0", "1e9"] {
            assert!(rate(bad).is_err(), "{bad}");
        }
    }
}
