//! Durations, sizes and words as people write them, in both directions.
//!
//! A number without its unit is refused rather than guessed at: `timeout: 5000` is five
//! seconds to one reader and an hour and a half to another.

use serde::Serializer;
use std::{fmt::Write, time::Duration};

const TIMES: [(&str, u64); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

const SIZES: [(&str, u64); 7] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1_000),
    ("B", 1),
];

/// `100ms`, `1s`, `1m30s`: whole numbers, each with one of `ms`, `s`, `m`, `h`, `d`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    const HOW: &str = "write it as `100ms`, `10s` or `1m30s` (units: ms, s, m, h, d)";
    if is_bare_number(text) {
        return Err(format!("`{text}` has no unit; {HOW}"));
    }
    let wrong = || format!("`{text}` is not a duration; {HOW}");
    let mut rest = text;
    let mut total_ms = 0_u64;
    while !rest.is_empty() {
        let (count, after) = leading_number(rest).ok_or_else(wrong)?;
        let end = after.find(|it: char| !it.is_ascii_alphabetic()).unwrap_or(after.len());
        let (unit, after) = after.split_at_checked(end).ok_or_else(wrong)?;
        let (_, unit_ms) = TIMES.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?;
        total_ms = count
            .checked_mul(*unit_ms)
            .and_then(|it| it.checked_add(total_ms))
            .ok_or_else(|| format!("`{text}` is too long a time"))?;
        rest = after;
    }
    if text.is_empty() { Err(wrong()) } else { Ok(Duration::from_millis(total_ms)) }
}

/// `64MiB`, `1MB`, `512KiB`: a whole number with its unit.
pub(super) fn size(text: &str) -> Result<u64, String> {
    const HOW: &str = "write it as `64MiB` or `512KiB` \
                       (units: B; KiB, MiB, GiB of 1024; KB, MB, GB of 1000)";
    if is_bare_number(text) {
        return Err(format!("`{text}` has no unit; {HOW}"));
    }
    let wrong = || format!("`{text}` is not a size; {HOW}");
    let (count, unit) = leading_number(text).ok_or_else(wrong)?;
    let (_, unit_bytes) = SIZES.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?;
    count.checked_mul(*unit_bytes).ok_or_else(|| format!("`{text}` is too large"))
}

/// A size that must fit into memory.
pub(super) fn memory(text: &str) -> Result<usize, String> {
    usize::try_from(size(text)?).map_err(|_| format!("`{text}` is too large"))
}

/// A whole number.
pub(super) fn count<T: TryFrom<u64>>(text: &str) -> Result<T, String> {
    let wrong = || format!("`{text}` is not a whole number of at least 0");
    let number: u64 = text.parse().map_err(|_| wrong())?;
    T::try_from(number).map_err(|_| format!("`{text}` is too large"))
}

/// `true` or `false`.
pub(super) fn flag(text: &str) -> Result<bool, String> {
    match text {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(format!("`{text}` is neither `true` nor `false`")),
    }
}

/// One of `choices`, by name.
pub(super) fn choice<T: Copy>(text: &str, choices: &[(&str, T)]) -> Result<T, String> {
    if let Some((_, value)) = choices.iter().find(|(name, _)| *name == text) {
        return Ok(*value);
    }
    let names: Vec<_> = choices.iter().map(|(name, _)| format!("`{name}`")).collect();
    let only = if names.len() == 1 { ", the only choice" } else { "" };
    let choices = if names.len() == 1 { "" } else { "one of " };
    Err(format!("`{}` is not {choices}{}{only}", text.escape_debug(), names.join(", ")))
}

/// A name for people: it ends up in logs, metrics and commands, so no surprises.
pub(super) fn name(text: &str) -> Result<String, String> {
    let fits = |it: char| it.is_ascii_alphanumeric() || "-_.".contains(it);
    if text.is_empty() || text.len() > 64 || !text.chars().all(fits) {
        return Err(format!(
            "`{}` is not a name: use 1 to 64 letters, digits, `-`, `_`, `.`",
            text.escape_debug()
        ));
    }
    Ok(text.to_owned())
}

/// `value` as [`duration`] reads it, to the millisecond.
pub(super) fn show_duration(value: Duration) -> String {
    let mut rest_ms = u64::try_from(value.as_millis()).unwrap_or(u64::MAX);
    let mut text = String::new();
    for (unit, unit_ms) in TIMES {
        let count = rest_ms.checked_div(unit_ms).unwrap_or_default();
        rest_ms = rest_ms.saturating_sub(count.saturating_mul(unit_ms));
        if count > 0 {
            // Writing to a string does not fail.
            let _ = write!(text, "{count}{unit}");
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

/// `bytes` as [`size`] reads it, exactly.
pub(super) fn show_size(bytes: u64) -> String {
    let fits = |unit: u64| bytes >= unit && bytes.is_multiple_of(unit);
    let (unit, unit_bytes) = SIZES.into_iter().find(|(_, unit)| fits(*unit)).unwrap_or(("B", 1));
    format!("{}{unit}", bytes.checked_div(unit_bytes).unwrap_or_default())
}

/// [`show_duration`] for serde.
pub(super) fn write_duration<S: Serializer>(value: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&show_duration(*value))
}

/// [`show_size`] for serde.
pub(super) fn write_size<S: Serializer>(value: &u64, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&show_size(*value))
}

/// [`show_size`] for serde.
pub(super) fn write_memory<S: Serializer>(value: &usize, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&show_size(u64::try_from(*value).unwrap_or(u64::MAX)))
}

fn leading_number(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|it: char| !it.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at_checked(end)?;
    Some((digits.parse().ok()?, rest))
}

fn is_bare_number(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|it| it.is_ascii_digit() || it == '.' || it == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_durations() {
        for (text, ms) in [
            ("0s", 0),
            ("100ms", 100),
            ("1s", 1_000),
            ("1m30s", 90_000),
            ("1s500ms", 1_500),
            ("2h", 7_200_000),
            ("1d", 86_400_000),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(ms)), "{text}");
            assert_eq!(duration(&show_duration(Duration::from_millis(ms))), duration(text));
        }
    }

    #[test]
    fn refuses_what_is_no_duration() {
        for text in ["", "s", "1.5s", "-1s", "1 s", "1x", "1S", "1s1", "1sec", "99999999999999d"] {
            assert!(duration(text).is_err(), "{text}");
        }
        assert_eq!(
            duration("500"),
            Err("`500` has no unit; \
                 write it as `100ms`, `10s` or `1m30s` (units: ms, s, m, h, d)"
                .to_owned())
        );
    }

    #[test]
    fn reads_sizes() {
        for (text, bytes) in [
            ("0B", 0),
            ("100B", 100),
            ("1KB", 1_000),
            ("1KiB", 1_024),
            ("64MiB", 64 << 20),
            ("1MB", 1_000_000),
            ("3GiB", 3 << 30),
            ("1025B", 1_025),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
            assert_eq!(show_size(bytes), text);
        }
    }

    #[test]
    fn refuses_what_is_no_size() {
        for text in ["", "1", "1024", "MiB", "1.5MiB", "64mb", "64M", "1 MiB", "99999999999GiB"] {
            assert!(size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn reads_names_and_counts() {
        assert!(name("redis-0.redis_a").is_ok());
        for text in ["", "a b", "a\n", "ä", "a/b", "a:1", &"a".repeat(65)] {
            assert!(name(text).is_err(), "{text}");
        }
        assert_eq!(count::<u8>("255"), Ok(255));
        assert_eq!(count::<u8>("256"), Err("`256` is too large".to_owned()));
        for text in ["", "-1", "1.0", "ten", "1s"] {
            assert!(count::<u64>(text).is_err(), "{text}");
        }
    }
}
