//! `millpond check`: every problem of a configuration at once, and what this host does not allow of it,
//! without binding or dialling anything.

mod host;

use crate::config::diagnostic::{Diagnostic, Severity};
use crate::config::load::{Environment, Loaded, load, process_variable};
use crate::supervisor::{RightsError, UnknownAccount, account_of};
use host::Host;
use std::io::{self, Write};
use std::path::Path;

/// Writes every problem of the file at `path` to `out`, and a summary. The result is the exit code:
/// 0 when it can be used, 1 when it cannot; with `strict`, 1 for warnings too.
///
/// # Errors
/// `out` could not be written to.
pub fn check(path: &Path, strict: bool, out: &mut dyn Write) -> io::Result<u8> {
    check_in(&process_variable, &Host::read(), path, strict, out)
}

fn check_in(
    environment: Environment<'_>,
    host: &Host,
    path: &Path,
    strict: bool,
    out: &mut dyn Write,
) -> io::Result<u8> {
    let (problems, contents) = match load(path, environment) {
        Ok(mut loaded) => {
            host::compare(&mut loaded, host);
            let stranger = stranger(&loaded);
            loaded.warnings.extend(stranger);
            let listeners = counted(loaded.config.listeners.len(), "listener");
            let upstreams = counted(loaded.config.upstreams.len(), "upstream");
            (loaded.warnings, format!("{listeners}, {upstreams}"))
        }
        Err(diagnostics) => (diagnostics.0, String::new()),
    };
    for problem in &problems {
        writeln!(out, "{problem}")?;
    }
    let errors = count(&problems, Severity::Error);
    let warnings = counted(count(&problems, Severity::Warning), "warning");
    let verdict = match (errors, problems.len()) {
        (0, 0) => format!("ok ({contents})"),
        (0, _) if strict => format!("failed, {warnings} with --strict ({contents})"),
        (0, _) => format!("ok, {warnings} ({contents})"),
        _ => format!("failed, {}, {warnings}", counted(errors, "error")),
    };
    writeln!(out, "{}: {verdict}", path.display())?;
    Ok(u8::from(errors > 0 || strict && !problems.is_empty()))
}

/// A user or a group that this host does not have: `run` refuses to begin. Whoever checks may be somebody else than
/// who runs it, so that nothing is said of the rights that it takes.
fn stranger(loaded: &Loaded) -> Option<Diagnostic> {
    let RightsError::Unknown(account) = account_of(&loaded.config.runtime).err()? else { return None };
    Some(loaded.error(account.key, account.to_string(), UnknownAccount::REMEDY.to_owned()))
}

fn count(problems: &[Diagnostic], severity: Severity) -> usize {
    problems.iter().filter(|problem| problem.severity == severity).count()
}

/// A number of things, with an `s` where there is not one of them.
pub(super) fn counted(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOUND: &str = "[[listener]]\nbind = \"127.0.0.1:8080\"\nupstream = \"app\"\n[[upstream]]\nname = \"app\"\nendpoints = [\"127.0.0.1:3000\"]\n";

    /// The exit code and the output, with the directory left out.
    fn checked(text: &str, strict: bool) -> (u8, String) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.toml");
        std::fs::write(&path, text).unwrap();
        let mut out = Vec::new();
        let code = check_in(&|_| None, &Host::default(), &path, strict, &mut out).unwrap();
        let out = String::from_utf8(out).unwrap();
        (code, out.replace(&format!("{}/", directory.path().display()), ""))
    }

    #[test]
    fn a_sound_file_passes() {
        for strict in [false, true] {
            assert_eq!(checked(SOUND, strict), (0, "x.toml: ok (1 listener, 1 upstream)\n".into()));
        }
    }

    #[test]
    fn warnings_fail_only_when_strict() {
        let text = format!("{SOUND}[[upstream]]\nname = \"spare\"\nendpoints = [\"127.0.0.1:3001\"]\n");
        let warning = "warning: x.toml:7: upstream.spare: no listener forwards to it; \
                       remove it, or name it as a listener's upstream\n";
        let (code, out) = checked(&text, false);
        assert_eq!((code, out), (0, format!("{warning}x.toml: ok, 1 warning (1 listener, 2 upstreams)\n")));
        let (code, out) = checked(&text, true);
        let summary = "x.toml: failed, 1 warning with --strict (1 listener, 2 upstreams)\n";
        assert_eq!((code, out), (1, format!("{warning}{summary}")));
    }

    #[test]
    fn every_error_is_printed_and_counted() {
        let (code, out) = checked(&SOUND.replace("8080", "none").replace("3000", "0"), false);
        assert_eq!(code, 1);
        let lines: Vec<&str> = out.lines().collect();
        assert!(lines[0].starts_with("error: x.toml:2: listener[0].bind: "), "{out}");
        assert!(lines[1].starts_with("error: x.toml:6: upstream.app.endpoints[0]: "), "{out}");
        assert_eq!(lines[2..], ["x.toml: failed, 2 errors, 0 warnings"]);
    }

    #[test]
    fn an_account_that_is_not_there_is_an_error() {
        let text = |lines: &str| format!("[runtime]\n{lines}\n{SOUND}");
        for lines in ["", "user = \"root\"", "user = 4711", "user = 4711\ngroup = \"root\""] {
            assert_eq!(checked(&text(lines), true).0, 0, "{lines}");
        }
        let (code, out) = checked(&text("user = \"no-such-user\""), false);
        assert_eq!(code, 1);
        assert_eq!(
            out,
            "error: x.toml:2: runtime.user: this host has no user \"no-such-user\"; create it, or write the name or \
             number of another\nx.toml: failed, 1 error, 0 warnings\n"
        );
        let (_, out) = checked(&text("user = \"root\"\ngroup = \"no-such-group\""), false);
        assert!(out.starts_with("error: x.toml:3: runtime.group: this host has no group"), "{out}");
    }

    #[test]
    fn a_missing_file_is_an_error() {
        let mut out = Vec::new();
        assert_eq!(
            check_in(&|_| None, &Host::default(), Path::new("/nowhere/x.toml"), false, &mut out).unwrap(),
            1
        );
        let out = String::from_utf8(out).unwrap();
        assert!(out.starts_with("error: /nowhere/x.toml: cannot be read: "), "{out}");
    }
}
