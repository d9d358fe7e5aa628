//! The log: to standard error, as text or JSON.

use crate::config::model::{Log, LogFormat};
use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::{self, IsTerminal};
use std::panic::{self, PanicHookInfo};
use std::sync::OnceLock;
use std::thread;
use tracing_subscriber::filter::{EnvFilter, ParseError};
use tracing_subscriber::reload;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

/// Why the log could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    /// `log.level` is not a filter.
    #[error("log.level is not a filter such as \"info\" or \"millpond=debug\": {0}")]
    Level(#[from] ParseError),
    /// The log is not there any more.
    #[error("the log cannot be changed: {0}")]
    Gone(reload::Error),
    /// The process has a log already.
    #[error("the log is set up already: {0}")]
    Twice(#[from] TryInitError),
}

/// Changes the level of the log that [`init`] has set up.
type SetLevel = Box<dyn Fn(EnvFilter) -> Result<(), reload::Error> + Send + Sync>;

static LEVEL: OnceLock<SetLevel> = OnceLock::new();

/// Sends what the process logs from here on to standard error. Once a process.
pub fn init(log: &Log) -> Result<(), LoggingError> {
    let builder = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::try_new(&log.level)?)
        .with_writer(io::stderr)
        // It would say on standard error that standard error is gone, and panic over that: a process that was
        // handed over to outlives whoever read from the first one.
        .log_internal_errors(false)
        .with_ansi(colour(io::stderr().is_terminal(), std::env::var_os("NO_COLOR").as_deref()));
    let set_level: SetLevel = match log.format {
        LogFormat::Text => {
            let builder = builder.with_filter_reloading();
            let handle = builder.reload_handle();
            builder.finish().try_init()?;
            Box::new(move |filter| handle.reload(filter))
        }
        LogFormat::Json => {
            let builder = builder.json().with_filter_reloading();
            let handle = builder.reload_handle();
            builder.finish().try_init()?;
            Box::new(move |filter| handle.reload(filter))
        }
    };
    // The subscriber can be set once, and so can this.
    let _ = LEVEL.set(set_level);
    panic::set_hook(Box::new(log_panic));
    Ok(())
}

/// A panic is a line of the log like any other. With a backtrace where RUST_BACKTRACE asks for one.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let thread = thread::current();
    let payload = panic.payload();
    let message = payload.downcast_ref::<&str>().copied();
    let message = message.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    let message = message.unwrap_or("(no message)");
    let at = panic.location().map(tracing::field::display);
    let backtrace = Backtrace::capture();
    let backtrace = (backtrace.status() == BacktraceStatus::Captured).then_some(backtrace);
    let backtrace = backtrace.as_ref().map(tracing::field::display);
    tracing::error!(thread = thread.name(), at, backtrace, "panic: {message}");
}

/// Logs at this level from here on; nothing where [`init`] was not called.
pub fn set_level(level: &str) -> Result<(), LoggingError> {
    let filter = EnvFilter::try_new(level)?;
    LEVEL.get().map_or(Ok(()), |set| set(filter)).map_err(LoggingError::Gone)
}

/// Whether to colour: never into a file or a pipe, nor where NO_COLOR is set and not empty
/// (<https://no-color.org>).
fn colour(terminal: bool, no_color: Option<&std::ffi::OsStr>) -> bool {
    terminal && no_color.is_none_or(|value| value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::model::AccessLog;

    #[test]
    fn colour_is_for_terminals_that_did_not_decline() {
        assert!(colour(true, None) && colour(true, Some("".as_ref())));
        assert!(!colour(true, Some("1".as_ref())) && !colour(false, None));
    }

    #[test]
    fn a_level_that_is_not_a_filter_is_refused() {
        let log = Log { level: "info=loud=x".into(), format: LogFormat::Text, access: AccessLog::Off };
        assert!(matches!(init(&log), Err(LoggingError::Level(_))));
    }
}
