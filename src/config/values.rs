//! From one value of the file to one of the model, or to what is wrong with it and what to write.

use super::diagnostic::Fault;
use super::section::is_name;
use super::suggest::closest;
use bytesize::ByteSize;
use config::{Value, ValueKind};
use std::ops::RangeInclusive;
use std::time::Duration;

/// The longest time that can be written: beyond it, a deadline is no deadline.
const LONGEST: Duration = Duration::from_secs(31_557_600);
/// The shortest one apart from zero, and the tick of the timers.
const SHORTEST: Duration = Duration::from_millis(1);
/// A longer text is cut in a message.
const SHOWN: usize = 60;

/// `true` or `false`.
pub(super) fn flag(value: &Value) -> Result<bool, Fault> {
    match value.kind {
        ValueKind::Boolean(flag) => Ok(flag),
        _ => Err(Fault::new(format!("{} is not a flag", shown(value)), "write true or false")),
    }
}

/// Any text.
pub(super) fn text(value: &Value) -> Result<&str, Fault> {
    match &value.kind {
        ValueKind::String(text) => Ok(text),
        _ => Err(Fault::new(format!("{} is not a text", shown(value)), "write a text in quotes")),
    }
}

/// What a listener or an upstream is called.
pub(super) fn name(value: &Value) -> Result<String, Fault> {
    let name = text(value)?;
    if is_name(name) {
        return Ok(name.to_owned());
    }
    let fix = "write 1 to 253 letters, digits, \".\", \"-\" or \"_\"";
    Err(Fault::new(format!("{} cannot be a name", shown(value)), fix))
}

/// One of these words.
pub(super) fn word<T: Copy>(words: &[(&str, T)]) -> impl Fn(&Value) -> Result<T, Fault> {
    move |value| {
        let written = text(value).unwrap_or_default();
        if let Some((_, meant)) = words.iter().find(|(word, _)| *word == written) {
            return Ok(*meant);
        }
        let fix = match closest(written, words.iter().map(|(word, _)| *word)) {
            Some(word) => format!("write \"{word}\""),
            None => format!("write {}", one_of(words.iter().map(|(word, _)| *word))),
        };
        Err(Fault::new(format!("{} is not known here", shown(value)), fix))
    }
}

/// A whole number.
pub(super) fn number<T: TryFrom<i64>>(range: RangeInclusive<i64>) -> impl Fn(&Value) -> Result<T, Fault> {
    move |value| {
        let fix = match (*range.start(), *range.end()) {
            (least, i64::MAX) => format!("write a whole number from {least}"),
            (least, most) => format!("write a whole number from {least} to {most}"),
        };
        let ValueKind::I64(number) = value.kind else {
            return Err(Fault::new(format!("{} is not a whole number", shown(value)), fix));
        };
        let number = Some(number).filter(|number| range.contains(number)).and_then(|n| T::try_from(n).ok());
        number.ok_or_else(|| Fault::new(format!("{} is out of range", shown(value)), fix))
    }
}

/// A number of bytes: a number, or a text with a unit.
pub(super) fn size<T: TryFrom<u64>>(range: RangeInclusive<u64>) -> impl Fn(&Value) -> Result<T, Fault> {
    move |value| {
        let bytes = match &value.kind {
            ValueKind::I64(number) => u64::try_from(*number).ok(),
            ValueKind::String(text) => text.parse::<ByteSize>().ok().map(|size| size.as_u64()),
            _ => None,
        };
        let Some(bytes) = bytes else {
            let fix = "write a number and a unit in quotes, such as \"32KiB\"";
            return Err(Fault::new(format!("{} is not a size", shown(value)), fix));
        };
        let fitting = Some(bytes).filter(|bytes| range.contains(bytes)).and_then(|b| T::try_from(b).ok());
        fitting.ok_or_else(|| {
            let (least, most) = (shown_size(*range.start()), shown_size(*range.end()));
            Fault::new(format!("{} is out of range", shown(value)), format!("write {least} to {most}"))
        })
    }
}

/// A time, which may be zero.
pub(super) fn duration(value: &Value) -> Result<Duration, Fault> {
    match parse_duration(value)? {
        Duration::ZERO => Ok(Duration::ZERO),
        duration => within(value, duration, SHORTEST..=LONGEST),
    }
}

/// A time that cannot be zero, because all would be over at once.
pub(super) fn deadline(value: &Value) -> Result<Duration, Fault> {
    within(value, parse_duration(value)?, SHORTEST..=LONGEST)
}

/// A time in whole seconds, from 1 to this many: for what the kernel counts in seconds.
pub(super) fn seconds(most: u64) -> impl Fn(&Value) -> Result<Duration, Fault> {
    seconds_from(1, most)
}

/// A time in whole seconds, from this many to that many.
pub(super) fn seconds_from(least: u64, most: u64) -> impl Fn(&Value) -> Result<Duration, Fault> {
    move |value| {
        let range = Duration::from_secs(least)..=Duration::from_secs(most);
        let duration = within(value, parse_duration(value)?, range)?;
        if duration.subsec_nanos() == 0 {
            return Ok(duration);
        }
        let fix = format!("write \"{}s\"", duration.as_secs() + 1);
        Err(Fault::new(format!("{} is not in whole seconds", shown(value)), fix))
    }
}

/// A time in this range.
pub(super) fn duration_in(range: RangeInclusive<Duration>) -> impl Fn(&Value) -> Result<Duration, Fault> {
    move |value| within(value, parse_duration(value)?, range.clone())
}

/// A time of this many seconds at most, or zero: for what the kernel counts in milliseconds.
pub(super) fn milliseconds(most: u64) -> impl Fn(&Value) -> Result<Duration, Fault> {
    move |value| match parse_duration(value)? {
        Duration::ZERO => Ok(Duration::ZERO),
        duration => within(value, duration, SHORTEST..=Duration::from_secs(most)),
    }
}

/// A word that stands for a value of its own (`None`), or a value.
pub(super) fn or_word<T>(
    word: &'static str,
    parse: impl Fn(&Value) -> Result<T, Fault>,
) -> impl Fn(&Value) -> Result<Option<T>, Fault> {
    move |value| {
        if text(value).is_ok_and(|text| text == word) {
            return Ok(None);
        }
        let or = |fault: Fault| Fault::new(fault.message, format!("{}, or \"{word}\"", fault.fix));
        parse(value).map(Some).map_err(or)
    }
}

/// A value as a message shows it: quoted, escaped and cut.
pub(super) fn shown(value: &Value) -> String {
    match &value.kind {
        ValueKind::Table(_) => "a table".to_owned(),
        ValueKind::Array(_) => "a list".to_owned(),
        // See `file`.
        ValueKind::Nil => "a date".to_owned(),
        ValueKind::String(text) if text.chars().count() > SHOWN => {
            format!("{:?}…", text.chars().take(SHOWN).collect::<String>())
        }
        ValueKind::String(text) => format!("{text:?}"),
        other => other.to_string(),
    }
}

/// The choice among these words.
pub(super) fn one_of<'a>(words: impl Iterator<Item = &'a str>) -> String {
    let words: Vec<String> = words.map(|word| format!("{word:?}")).collect();
    match words.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
        None => String::new(),
    }
}

fn parse_duration(value: &Value) -> Result<Duration, Fault> {
    let (message, number) = match &value.kind {
        ValueKind::String(text) => match humantime::parse_duration(text) {
            Ok(duration) => return Ok(duration),
            Err(_) => ("is not a duration", text.trim().parse::<u64>().ok()),
        },
        ValueKind::I64(number) => ("has no unit", u64::try_from(*number).ok()),
        _ => ("is not a duration", None),
    };
    let fix = match number {
        Some(number) => format!("write \"{number}s\" if seconds are meant"),
        None => "write a number and a unit in quotes, such as \"30s\" or \"250ms\"".to_owned(),
    };
    Err(Fault::new(format!("{} {message}", shown(value)), fix))
}

fn within(value: &Value, duration: Duration, range: RangeInclusive<Duration>) -> Result<Duration, Fault> {
    if range.contains(&duration) {
        return Ok(duration);
    }
    let [least, most] = [*range.start(), *range.end()].map(humantime::format_duration);
    let fix = format!("write a duration from \"{least}\" to \"{most}\"");
    Err(Fault::new(format!("{} is out of range", shown(value)), fix))
}

fn shown_size(bytes: u64) -> String {
    const KIB: u64 = 1024;
    const MIB: u64 = 1024 * KIB;
    match bytes {
        _ if bytes != 0 && bytes.is_multiple_of(MIB) => format!("\"{}MiB\"", bytes / MIB),
        _ if bytes != 0 && bytes.is_multiple_of(KIB) => format!("\"{}KiB\"", bytes / KIB),
        _ => bytes.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(kind: impl Into<ValueKind>) -> Value {
        Value::new(None, kind.into())
    }

    #[test]
    fn durations() {
        assert_eq!(duration(&of("0s")), Ok(Duration::ZERO));
        assert_eq!(deadline(&of("1m 30s")), Ok(Duration::from_secs(90)));
        assert_eq!(seconds(127)(&of("2s")), Ok(Duration::from_secs(2)));
        let cases: [(Result<Duration, Fault>, &str, &str); 9] = [
            (deadline(&of(60)), "60 has no unit", "write \"60s\" if seconds are meant"),
            (deadline(&of("60")), "\"60\" is not a duration", "write \"60s\" if seconds are meant"),
            (deadline(&of(-1)), "-1 has no unit", "such as \"30s\""),
            (deadline(&of("soon")), "\"soon\" is not a duration", "such as \"30s\""),
            (deadline(&of(true)), "true is not a duration", "such as \"30s\""),
            (deadline(&of("0s")), "\"0s\" is out of range", "from \"1ms\" to \"1year\""),
            (duration(&of("2years")), "\"2years\" is out of range", "from \"1ms\" to \"1year\""),
            (milliseconds(60)(&of("10us")), "\"10us\" is out of range", "from \"1ms\" to \"1m\""),
            (seconds(127)(&of("1500ms")), "\"1500ms\" is not in whole seconds", "write \"2s\""),
        ];
        for (result, message, fix) in cases {
            let fault = result.expect_err(message);
            assert_eq!(fault.message, message);
            assert!(fault.fix.contains(fix), "{}", fault.fix);
        }
    }

    #[test]
    fn sizes() {
        let size = size::<usize>(1024..=1 << 20);
        assert_eq!(size(&of("32KiB")), Ok(32 << 10));
        assert_eq!(size(&of(4096)), Ok(4096));
        for bad in [of("32KiB of text"), of(-1), of(1.5), of("")] {
            assert!(size(&bad).expect_err("no size").message.ends_with("is not a size"));
        }
        for bad in [of("1023"), of("2MiB"), of("99999999EiB")] {
            assert_eq!(size(&bad).expect_err("out of range").fix, "write \"1KiB\" to \"1MiB\"");
        }
    }

    #[test]
    fn numbers() {
        assert_eq!(number::<u16>(1..=1000)(&of(1000)), Ok(1000));
        assert!(number::<u16>(1..=1000)(&of(0)).is_err());
        assert!(number::<u16>(0..=i64::MAX)(&of(70_000)).is_err(), "it does not fit");
        let fault = number::<u64>(0..=i64::MAX)(&of("4")).expect_err("a text");
        assert_eq!(
            (fault.message.as_str(), fault.fix.as_str()),
            ("\"4\" is not a whole number", "write a whole number from 0")
        );
    }

    #[test]
    fn a_long_text_is_cut_and_escaped() {
        let long = shown(&of("é\n".repeat(100)));
        assert!(long.starts_with("\"é\\n") && long.ends_with("\"…") && long.chars().count() < 100, "{long}");
    }
}
