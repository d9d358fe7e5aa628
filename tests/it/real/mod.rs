//! Tests with real clients and backends. What they need is not on every machine: where it is
//! missing they are listed as ignored, with the reason in front of their name. With
//! `--include-ignored` they run all the same, and fail with the line that installs it.

use libtest_mimic::Trial;
use std::path::PathBuf;

/// A program that a test needs.
#[derive(Clone, Copy, Debug)]
#[allow(dead_code, reason = "for the tests of this module")]
pub(crate) struct Program {
    /// As it is called.
    pub(crate) name: &'static str,
    /// The package of Debian that has it.
    pub(crate) package: &'static str,
}

#[allow(dead_code, reason = "for the tests of this module")]
impl Program {
    /// Where it is, or the line that installs it.
    pub(crate) fn find(self) -> Result<PathBuf, String> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let sbin = [PathBuf::from("/usr/sbin"), PathBuf::from("/sbin")];
        let found =
            std::env::split_paths(&path).chain(sbin).map(|at| at.join(self.name)).find(|at| at.is_file());
        found.ok_or_else(|| format!("{} is missing: apt install {}", self.name, self.package))
    }

    /// A test that is given the program's path, and is ignored where there is none.
    pub(crate) fn trial(self, name: &str, test: fn(PathBuf)) -> Trial {
        let found = self.find();
        let (missing, kind) = (found.is_err(), format!("needs {}", self.name));
        let trial = Trial::test(format!("real::{name}"), move || {
            test(found?);
            Ok(())
        });
        trial.with_kind(kind).with_ignored_flag(missing)
    }
}

pub(crate) fn tests() -> Vec<Trial> {
    Vec::new()
}
