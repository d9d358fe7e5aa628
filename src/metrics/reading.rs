//! What is read from time to time, for whoever reports it.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The last reading of something, or why there is none.
#[derive(Debug)]
pub struct Reading<T>(Mutex<Last<T>>);

#[derive(Debug)]
enum Last<T> {
    Never,
    Read { value: T, at: Instant, good_for: Duration },
    Failed(String),
}

impl<T> Default for Reading<T> {
    fn default() -> Self {
        Self(Mutex::new(Last::Never))
    }
}

impl<T: Clone> Reading<T> {
    /// It was read at `now`, and says something of the present for this long.
    pub fn read(&self, value: T, now: Instant, good_for: Duration) {
        self.set(Last::Read { value, at: now, good_for });
    }

    /// It could not be read, and why.
    pub fn failed(&self, why: String) {
        self.set(Last::Failed(why));
    }

    /// The last reading.
    ///
    /// # Errors
    /// Why there is none.
    pub fn get(&self, now: Instant) -> Result<T, String> {
        self.with_age(now).map(|(value, _)| value)
    }

    /// The last reading, and how old it is.
    ///
    /// # Errors
    /// Why there is none.
    pub fn with_age(&self, now: Instant) -> Result<(T, Duration), String> {
        match &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            Last::Never => Err("not read yet".to_owned()),
            Last::Failed(why) => Err(why.clone()),
            Last::Read { value, at, good_for } => match now.saturating_duration_since(*at) {
                age if age > *good_for => Err(format!("last read more than {good_for:?} ago")),
                age => Ok((value.clone(), age)),
            },
        }
    }

    fn set(&self, last: Last<T>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = last;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_one_only_while_it_is_read() {
        let (reading, now, good_for) = (Reading::default(), Instant::now(), Duration::from_secs(10));
        assert_eq!(reading.get(now), Err("not read yet".to_owned()));
        reading.read(2, now, good_for);
        assert_eq!(reading.with_age(now + good_for), Ok((2, good_for)));
        assert!(reading.get(now + good_for + Duration::from_millis(1)).unwrap_err().contains("10s ago"));
        reading.failed("no answer".to_owned());
        assert_eq!(reading.get(now), Err("no answer".to_owned()));
    }
}
