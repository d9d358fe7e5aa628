//! What a check says.

use super::facts::Unreadable;
use std::fmt::{self, Display};

/// Where settings of the kernel are kept for the next start. sysctl.d(5)
const SYSCTL_FILE: &str = "/etc/sysctl.d/90-millpond.conf";

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// As it should be, or of no account for this configuration.
    Ok,
    /// It could not be read, so nothing is said of it.
    Unknown,
    /// It will cost connections or time under load.
    Warn,
    /// Something of the configuration cannot work.
    Critical,
}

impl Verdict {
    /// Every verdict, the best first.
    pub const ALL: [Self; 4] = [Self::Ok, Self::Unknown, Self::Warn, Self::Critical];

    /// The word for it, everywhere.
    pub fn label(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Unknown => "unknown",
            Self::Warn => "warn",
            Self::Critical => "critical",
        }
    }
}

/// What one check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// As it is on this host; `None`: it could not be read.
    pub value: Option<String>,
    /// How bad that is.
    pub verdict: Verdict,
    /// What it means at this configuration, in its numbers; why it is unknown, if it is.
    pub meaning: String,
    /// What changes it, each by itself, the best first.
    pub fixes: Vec<Fix>,
}

impl Finding {
    /// As it should be.
    pub(super) fn ok(value: impl Display, meaning: impl Into<String>) -> Self {
        Self::new(Verdict::Ok, value, meaning)
    }

    /// It will cost connections or time under load.
    pub(super) fn warn(value: impl Display, meaning: impl Into<String>) -> Self {
        Self::new(Verdict::Warn, value, meaning)
    }

    /// Something of the configuration cannot work.
    pub(super) fn critical(value: impl Display, meaning: impl Into<String>) -> Self {
        Self::new(Verdict::Critical, value, meaning)
    }

    /// It could not be read.
    pub(super) fn unknown(why: Unreadable) -> Self {
        Self { value: None, verdict: Verdict::Unknown, meaning: why.0, fixes: Vec::new() }
    }

    /// Adds something that would change it.
    #[must_use]
    pub(super) fn fix(mut self, fix: Fix) -> Self {
        self.fixes.push(fix);
        self
    }

    fn new(verdict: Verdict, value: impl Display, meaning: impl Into<String>) -> Self {
        Self { value: Some(value.to_string()), verdict, meaning: meaning.into(), fixes: Vec::new() }
    }
}

/// The exact line that changes something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fix {
    /// For a shell, to have it now.
    pub now: Option<String>,
    /// For a file, to keep it.
    pub kept: Option<Kept>,
}

/// A line in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// What to write.
    pub line: String,
    /// In which file or part of one.
    pub place: String,
}

impl Fix {
    /// A setting of the kernel.
    pub(super) fn sysctl(name: &str, value: impl Display) -> Self {
        let value = value.to_string();
        // A range has a space in it, which a shell would split it at.
        let quote = if value.contains(' ') { "'" } else { "" };
        Self {
            now: Some(format!("sysctl -w {quote}{name}={value}{quote}")),
            kept: Some(Kept { line: format!("{name} = {value}"), place: SYSCTL_FILE.to_owned() }),
        }
    }

    /// A setting of the service manager. systemd.exec(5)
    pub(super) fn unit(line: String) -> Self {
        let place = "[Service] of millpond's systemd unit".to_owned();
        Self { now: None, kept: Some(Kept { line, place }) }
    }

    /// The same, and what does as much in a shell.
    pub(super) fn service(line: String, now: String) -> Self {
        Self { now: Some(now), ..Self::unit(line) }
    }

    /// A line of the configuration, in the table of this kind and name.
    pub(super) fn toml(table: &str, name: &str, line: String) -> Self {
        let place = format!("the configuration, [[{table}]] \"{name}\"");
        Self { now: None, kept: Some(Kept { line, place }) }
    }

    /// A line of the configuration, in a table of which there is one.
    pub(super) fn toml_section(section: &str, line: impl Into<String>) -> Self {
        let place = format!("the configuration, [{section}]");
        Self { now: None, kept: Some(Kept { line: line.into(), place }) }
    }

    /// A command, the effect of which stays.
    pub(super) fn command(line: String) -> Self {
        Self { now: Some(line), kept: None }
    }
}

impl Display for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}  (in {})", self.line, self.place)
    }
}

/// With a capital at its beginning.
pub(super) fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
