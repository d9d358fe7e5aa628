//! Figures as short text. What is not known is [`MISSING`], never 0.

use super::super::table;

/// In the place of a figure that is not known.
pub(in crate::cli) const MISSING: &str = "-";

/// A count.
pub(in crate::cli) fn count(number: Option<u64>) -> String {
    number.map_or_else(|| MISSING.to_owned(), table::count)
}

/// Events a second. Only none at all is 0.
pub(super) fn rate(per_s: Option<f64>) -> String {
    match per_s {
        None => MISSING.to_owned(),
        Some(0.0) => "0".to_owned(),
        Some(few) if few.abs() < 0.1 => "<0.1".to_owned(),
        Some(few) if few.abs() < 99.95 => format!("{few:.1}"),
        // The cast saturates.
        Some(many) => table::count(many.round() as u64),
    }
}

/// A share of one.
pub(in crate::cli) fn percent(share: Option<f64>) -> String {
    share.map_or_else(|| MISSING.to_owned(), table::percent)
}

/// A time in its two largest units.
pub(in crate::cli) fn seconds(seconds: f64) -> String {
    const UNITS: [(u64, &str); 4] = [(86_400, "d"), (3_600, "h"), (60, "m"), (1, "s")];
    if !seconds.is_finite() {
        return MISSING.to_owned();
    }
    // The cast saturates; what is negative is 0.
    let mut rest = seconds.floor() as u64;
    if rest == 0 && seconds > 0.0 {
        return "<1s".to_owned();
    }
    let mut parts = Vec::new();
    for (length, unit) in UNITS {
        if rest >= length {
            parts.push(format!("{}{unit}", rest / length));
            rest %= length;
        } else if !parts.is_empty() {
            break;
        }
        if parts.len() == 2 {
            break;
        }
    }
    if parts.is_empty() { "0s".to_owned() } else { parts.join(" ") }
}

/// When something is so many seconds away.
pub(in crate::cli) fn ahead(seconds: f64) -> String {
    if seconds > 0.0 { format!("in {}", self::seconds(seconds)) } else { "now".to_owned() }
}

/// A size.
pub(super) fn bytes(bytes: Option<u64>) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    let Some(bytes) = bytes else { return MISSING.to_owned() };
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut size = bytes as f64 / 1024.0;
    let mut unit = 0;
    // From here on one decimal would show 1024.0.
    while size >= 1023.95 && unit + 1 < UNITS.len() {
        size /= 1024.0;
        unit += 1;
    }
    format!("{size:.1} {}", UNITS[unit])
}

/// A bar of this many cells. Only all of it is full.
pub(super) fn bar(share: Option<f64>, cells: usize) -> String {
    let Some(share) = share.filter(|share| share.is_finite()) else { return MISSING.to_owned() };
    let filled = (share.clamp(0.0, 1.0) * cells as f64).round() as usize;
    let filled = if share < 1.0 { filled.min(cells - 1) } else { filled };
    format!("{}{}", "█".repeat(filled), "░".repeat(cells - filled))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_not_zero() {
        assert_eq!([count(None), rate(None), percent(None), bytes(None), bar(None, 8)], [MISSING; 5]);
        assert_eq!([count(Some(0)), rate(Some(0.0)), bytes(Some(0))], ["0", "0", "0 B"]);
    }

    #[test]
    fn a_rate_is_0_only_if_nothing_happened() {
        let rates = [0.001, 0.1, 0.16, 9.96, 99.94, 99.96, 1234.5, f64::INFINITY];
        let shown = ["<0.1", "0.1", "0.2", "10.0", "99.9", "100", "1,235", "18,446,744,073,709,551,615"];
        assert_eq!(rates.map(|per_s| rate(Some(per_s))), shown);
    }

    #[test]
    fn times_have_two_units_at_most() {
        let times = [-1.0, 0.0, 0.3, 59.9, 60.0, 200.0, 7_380.0, 90_061.0, 86_405.0, f64::NAN, f64::INFINITY];
        let shown = ["0s", "0s", "<1s", "59s", "1m", "3m 20s", "2h 3m", "1d 1h", "1d", "-", "-"];
        assert_eq!(times.map(seconds), shown);
        assert!(seconds(f64::MAX).contains('d'));
        assert_eq!([0.0, -1.0, 0.5, 61.0].map(ahead), ["now", "now", "in <1s", "in 1m 1s"]);
    }

    #[test]
    fn sizes_have_a_unit_that_fits() {
        let sizes = [1023, 1024, 12 << 20, (1 << 20) - 1, 3 << 40, u64::MAX];
        let shown = ["1023 B", "1.0 KiB", "12.0 MiB", "1.0 MiB", "3.0 TiB", "16384.0 PiB"];
        assert_eq!(sizes.map(|size| bytes(Some(size))), shown);
    }

    #[test]
    fn a_bar_is_full_only_at_the_end() {
        let shares = [0.0, 0.001, 0.5, 0.999, 1.0, 7.0, -1.0];
        let shown = ["░░░░", "░░░░", "██░░", "███░", "████", "████", "░░░░"];
        assert_eq!(shares.map(|share| bar(Some(share), 4)), shown);
        assert_eq!(bar(Some(f64::NAN), 4), MISSING);
    }
}
