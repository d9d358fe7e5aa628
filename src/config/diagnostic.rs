//! What is wrong with a configuration, where it says so, and what to write instead.

use std::fmt;

/// One problem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Whether the configuration can be used all the same.
    pub severity: Severity,
    /// Where the value was written, or where it is missing.
    pub position: Position,
    /// The path of the key, such as `listener.web.timeout.idle`; an element without a name goes by
    /// its place in its file (`listener[0]`). Empty when the file as a whole is meant.
    pub key: String,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub fix: String,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: ", self.severity, self.position)?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        write!(f, "{}; {}", self.message, self.fix)
    }
}

/// How bad a problem is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The configuration cannot be used.
    Error,
    /// It can be used, and something in it has no effect.
    Warning,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
        })
    }
}

/// Where something was written. Its text (`config/x.toml:12`) is also the origin that the values
/// carry through the layers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Position {
    /// A file as a whole.
    File(String),
    /// A line of a file, counted from 1.
    Line(String, usize),
    /// An environment variable.
    Variable(String),
    /// An option of the command line.
    CommandLine,
}

const COMMAND_LINE: &str = "command line";

impl Position {
    /// The file, if it is one.
    pub fn file(&self) -> Option<&str> {
        match self {
            Self::File(file) | Self::Line(file, _) => Some(file),
            Self::Variable(_) | Self::CommandLine => None,
        }
    }

    /// The line, counted from 1, if it is one.
    pub fn line(&self) -> Option<usize> {
        match self {
            Self::Line(_, line) => Some(*line),
            _ => None,
        }
    }

    /// The position whose text this is. Values never carry [`Self::File`], so that a text which is
    /// neither a line nor the command line is the name of a variable.
    pub(super) fn from_origin(origin: &str) -> Self {
        let line = origin.rsplit_once(':').and_then(|(file, line)| Some((file, line.parse().ok()?)));
        match line {
            Some((file, line)) => Self::Line(file.to_owned(), line),
            None if origin == COMMAND_LINE => Self::CommandLine,
            None => Self::Variable(origin.to_owned()),
        }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(file) => f.write_str(file),
            Self::Line(file, line) => write!(f, "{file}:{line}"),
            Self::Variable(name) => f.write_str(name),
            Self::CommandLine => f.write_str(COMMAND_LINE),
        }
    }
}

/// Why a configuration cannot be used: everything that is wrong with it, warnings included. At
/// least one is an error.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", lines(.0))]
pub struct Diagnostics(pub Vec<Diagnostic>);

fn lines(diagnostics: &[Diagnostic]) -> String {
    diagnostics.iter().map(Diagnostic::to_string).collect::<Vec<_>>().join("\n")
}

/// A key of the configuration and where it stands: what a diagnostic points at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Site {
    pub(super) key: String,
    pub(super) position: Position,
}

/// What is wrong with a value, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) message: String,
    pub(super) fix: String,
}

impl Fault {
    pub(super) fn new(message: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { message: message.into(), fix: fix.into() }
    }
}

/// Everything found so far.
#[derive(Debug, Default)]
pub(super) struct Problems(pub(super) Vec<Diagnostic>);

impl Problems {
    /// The configuration cannot be used.
    pub(super) fn error(&mut self, site: &Site, message: impl Into<String>, fix: impl Into<String>) {
        self.push(Severity::Error, site, Fault::new(message, fix));
    }

    /// The configuration can be used, but not as it was meant.
    pub(super) fn warning(&mut self, site: &Site, message: impl Into<String>, fix: impl Into<String>) {
        self.push(Severity::Warning, site, Fault::new(message, fix));
    }

    /// The value of a key is wrong.
    pub(super) fn fault(&mut self, site: &Site, fault: Fault) {
        self.push(Severity::Error, site, fault);
    }

    /// Whether any of them is an error.
    pub(super) fn any_error(&self) -> bool {
        self.0.iter().any(|problem| problem.severity == Severity::Error)
    }

    /// In the order of the files, then of the lines; what came from elsewhere last.
    pub(super) fn sort(&mut self, files: &[String]) {
        let rank = |position: &Position| {
            position.file().and_then(|file| files.iter().position(|f| f == file)).unwrap_or(files.len())
        };
        self.0.sort_by_cached_key(|p| (rank(&p.position), p.position.line(), p.key.clone()));
    }

    fn push(&mut self, severity: Severity, site: &Site, fault: Fault) {
        self.0.push(Diagnostic {
            severity,
            position: site.position.clone(),
            key: site.key.clone(),
            message: fault.message,
            fix: fault.fix,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_survives_as_an_origin() {
        for position in [
            Position::Line("config/x.toml".into(), 12),
            Position::Line("odd:name:3".into(), 1),
            Position::Variable("MILLPOND_LOG_LEVEL".into()),
            Position::CommandLine,
        ] {
            assert_eq!(Position::from_origin(&position.to_string()), position);
        }
    }

    #[test]
    fn problems_come_in_the_order_of_the_files_and_lines() {
        let mut problems = Problems::default();
        for position in [
            Position::Variable("V".into()),
            Position::Line("a".into(), 1),
            Position::Line("z".into(), 10),
            Position::Line("z".into(), 9),
            Position::File("z".into()),
        ] {
            problems.error(&Site { key: String::new(), position }, "m", "f");
        }
        problems.sort(&["z".into(), "a".into()]);
        let order: Vec<_> = problems.0.iter().map(|p| p.position.to_string()).collect();
        assert_eq!(order, ["z", "z:9", "z:10", "a:1", "V"]);
    }

    #[test]
    fn a_diagnostic_reads_as_one_line() {
        let mut problems = Problems::default();
        let position = Position::Line("config/x.toml".into(), 12);
        problems.warning(&Site { key: "listener.web.name".into(), position }, "is odd", "write \"web\"");
        assert_eq!(
            problems.0[0].to_string(),
            "warning: config/x.toml:12: listener.web.name: is odd; write \"web\""
        );
    }
}
