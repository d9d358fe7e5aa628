//! How scarce the ports are (pure).

use crate::config::model;

/// What is allowed at the number of ports taken, from the freest to the strictest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Level {
    /// Plenty are left.
    #[default]
    Ok,
    /// From `source.warn_percent` on: it is logged.
    Warn,
    /// From `source.reuse_only_percent` on: a request waits for a pooled connection before another
    /// is dialled.
    ReuseOnly,
    /// From `source.refuse_percent` on: nothing is dialled.
    Refuse,
}

/// Percents of the capacity at which the levels begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thresholds {
    warn: u8,
    reuse_only: u8,
    refuse: u8,
}

/// A level is left this many percentage points below where it is entered, so that what is allowed does
/// not waver with every connection.
const HYSTERESIS: u8 = 2;

impl Level {
    /// Every level, in order.
    pub const ALL: [Self; 4] = [Self::Ok, Self::Warn, Self::ReuseOnly, Self::Refuse];

    /// The label used in logs and JSON.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::ReuseOnly => "reuse_only",
            Self::Refuse => "refuse",
        }
    }
}

impl Thresholds {
    /// Those of an upstream.
    pub fn new(source: &model::Source) -> Self {
        let model::Source { warn_percent, reuse_only_percent, refuse_percent, .. } = *source;
        Self { warn: warn_percent, reuse_only: reuse_only_percent, refuse: refuse_percent }
    }

    /// The level after `before`, with this many of so many ports taken.
    pub fn level(&self, taken: u32, capacity: u32, before: Level) -> Level {
        let is_past = |level: Level| {
            let less = if level <= before { HYSTERESIS } else { 0 };
            reaches(taken, capacity, self.percent(level).saturating_sub(less))
        };
        Level::ALL.into_iter().rev().find(|level| is_past(*level)).unwrap_or(Level::Ok)
    }

    /// Whether not even one more may be taken. At the level [`Level::Refuse`], which is left later, a
    /// port that comes back may be.
    pub fn refuses(&self, taken: u32, capacity: u32) -> bool {
        reaches(taken, capacity, self.refuse)
    }

    /// How many may be taken before none may be.
    pub fn room(&self, taken: u32, capacity: u32) -> u32 {
        let most = (u64::from(capacity) * u64::from(self.refuse)).div_ceil(100);
        u32::try_from(most).unwrap_or(u32::MAX).saturating_sub(taken)
    }

    fn percent(&self, level: Level) -> u8 {
        match level {
            Level::Ok => 0,
            Level::Warn => self.warn,
            Level::ReuseOnly => self.reuse_only,
            Level::Refuse => self.refuse,
        }
    }
}

fn reaches(taken: u32, capacity: u32, percent: u8) -> bool {
    u64::from(taken) * 100 >= u64::from(capacity) * u64::from(percent)
}

#[cfg(test)]
mod tests {
    use super::*;

    const THRESHOLDS: Thresholds = Thresholds { warn: 60, reuse_only: 75, refuse: 85 };

    #[test]
    fn levels_are_entered_at_their_percent_and_left_two_points_below() {
        let mut level = Level::Ok;
        let path = [
            (59, Level::Ok),
            (60, Level::Warn),
            (58, Level::Warn),
            (57, Level::Ok),
            (75, Level::ReuseOnly),
            (85, Level::Refuse),
            (83, Level::Refuse),
            (82, Level::ReuseOnly),
            (73, Level::ReuseOnly),
            (72, Level::Warn),
            (90, Level::Refuse),
            (74, Level::ReuseOnly),
            (0, Level::Ok),
        ];
        for (taken, expected) in path {
            level = THRESHOLDS.level(taken, 100, level);
            assert_eq!(level, expected, "at {taken}");
        }
    }

    #[test]
    fn room_ends_where_everything_is_refused() {
        for capacity in 0..500 {
            for taken in 0..=capacity {
                let room = THRESHOLDS.room(taken, capacity);
                assert_eq!(room == 0, THRESHOLDS.refuses(taken, capacity), "{taken} of {capacity}");
                assert!(room == 0 || THRESHOLDS.refuses(taken + room, capacity));
            }
        }
        assert_eq!(THRESHOLDS.room(0, 40), 34);
        assert!(THRESHOLDS.refuses(0, 0), "nothing can be had from nothing");
        assert_eq!(THRESHOLDS.room(0, 1), 1);
    }
}
