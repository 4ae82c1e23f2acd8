use std::time::Duration;

use toml::de::{DeInteger, DeValue};

use super::keys::Key;
use super::reading::{Wrong, sample, wrong_type};

/// Without its unit nobody knows what a number means; very large ones are octets, small ones hardly.
pub(super) fn bare_number(key: &Key, number: &str, smallest: &str) -> Wrong {
    let octets = smallest == "B";
    let right = match number.parse::<u64>() {
        Ok(n) if octets && n < 10_000 => format!("\"{n}MB\""),
        Ok(n) if octets => format!("\"{}\"", in_octets(n)),
        Ok(n) => format!("\"{n}s\""),
        Err(_) => return wrong_type(key, &DeValue::Integer(DeInteger::default())),
    };
    let (what, label) =
        if octets { ("size", "octets or megabytes?") } else { ("duration", "seconds or minutes?") };
    Wrong::new(format!("must be a {what} with its unit, in quotes"), label).help(format!("write {right}"))
}

fn in_octets(n: u64) -> String {
    let fits = OCTET_UNITS.iter().rev().find(|(_, factor)| n > 0 && n.is_multiple_of(*factor));
    fits.map_or_else(|| format!("{n}B"), |(unit, factor)| format!("{}{unit}", n / factor))
}

const OCTET_UNITS: [(&str, u64); 4] = [("B", 1), ("KB", 1_000), ("MB", 1_000_000), ("GB", 1_000_000_000)];
const PERIOD_UNITS: [(&str, u64); 5] =
    [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

/// Decimal: `"25MB"` is 25,000,000 octets.
pub(super) fn octets(key: &Key, text: &str, least: u64) -> Result<u64, Wrong> {
    let units = "the units are B, KB, MB and GB, in steps of 1,000";
    let octets = with_unit(text, &OCTET_UNITS).ok_or_else(|| {
        let help = match respelt(text, &OCTET_UNITS) {
            Some(right) => format!("write \"{right}\"; {units}"),
            None => format!("{}; {units}", sample(key)),
        };
        Wrong::new("must be a size with its unit", "not a size").help(help)
    })?;
    if octets < least {
        return Err(Wrong::new(format!("must be at least {}", in_octets(least)), "too small"));
    }
    Ok(octets)
}

pub(super) fn period(key: &Key, text: &str, least: Duration, most: Duration) -> Result<Duration, Wrong> {
    let units = "the units are ms, s, m, h and d";
    let millis = with_unit(text, &PERIOD_UNITS).ok_or_else(|| {
        let help = match respelt(text, &PERIOD_UNITS) {
            Some(right) => format!("write \"{right}\"; {units}"),
            None => format!("{}; {units}", sample(key)),
        };
        Wrong::new("must be a duration with its unit", "not a duration").help(help)
    })?;
    let period = Duration::from_millis(millis);
    if !(least..=most).contains(&period) {
        return Err(Wrong::new(format!("must be between {least:?} and {most:?}"), "out of range"));
    }
    Ok(period)
}

/// Digits and a unit, nothing else.
fn with_unit(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let (digits, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit())?);
    let (_, factor) = units.iter().find(|(known, _)| *known == unit)?;
    digits.parse::<u64>().ok()?.checked_mul(*factor)
}

/// The right spelling of `25 mb`, `60sec` or `10 Minutes`.
fn respelt(text: &str, units: &[(&str, u64)]) -> Option<String> {
    let (digits, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit())?);
    let number: u64 = digits.parse().ok()?;
    let unit = unit.trim().to_ascii_lowercase();
    let unit = match unit.as_str() {
        "sec" | "secs" | "second" | "seconds" => "s",
        "min" | "mins" | "minute" | "minutes" => "m",
        "hour" | "hours" => "h",
        "day" | "days" => "d",
        "k" | "kib" => "kb",
        "mib" => "mb",
        "g" | "gib" => "gb",
        other => other,
    };
    let (unit, _) = units.iter().find(|(known, _)| known.eq_ignore_ascii_case(unit))?;
    Some(format!("{number}{unit}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_decimal_and_durations_have_days() {
        for (text, octets) in [
            ("0B", Some(0)),
            ("512KB", Some(512_000)),
            ("35MB", Some(35_000_000)),
            ("2GB", Some(2_000_000_000)),
            ("18446744073709551615B", Some(u64::MAX)),
            ("18446744073709551616B", None),
            ("18446744073709551615KB", None),
            ("35", None),
            ("MB", None),
            ("", None),
            ("-1MB", None),
            ("+1MB", None),
            ("1.5MB", None),
            ("35 MB", None),
            ("35mb", None),
            ("35MiB", None),
            ("٣MB", None),
        ] {
            assert_eq!(with_unit(text, &OCTET_UNITS), octets, "{text:?}");
        }
        for (text, millis) in [
            ("500ms", Some(500)),
            ("30s", Some(30_000)),
            ("15m", Some(900_000)),
            ("12h", Some(43_200_000)),
            ("90d", Some(7_776_000_000)),
            ("1w", None),
            ("1h30m", None),
        ] {
            assert_eq!(with_unit(text, &PERIOD_UNITS), millis, "{text:?}");
        }
    }

    #[test]
    fn slips_are_respelt() {
        for (text, right) in [
            ("60sec", Some("60s")),
            ("10 Minutes", Some("10m")),
            ("1 day", Some("1d")),
            ("5M", Some("5m")),
            ("1w", None),
            ("soon", None),
        ] {
            assert_eq!(respelt(text, &PERIOD_UNITS).as_deref(), right, "{text:?}");
        }
        for (n, text) in [(0, "0B"), (999, "999B"), (25_000_000, "25MB"), (1_500_000, "1500KB")] {
            assert_eq!(in_octets(n), text);
        }
    }
}
