//! Which program an upgrade starts, and how.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use crate::upgrade::VARIABLE;

/// How this process was started.
#[derive(Clone, Debug)]
pub struct Program {
    path: PathBuf,
    name: OsString,
    arguments: Vec<OsString>,
}

/// What is only for the process that it was set for: descriptors and process ids of the service manager.
const NOT_INHERITED: [&str; 4] = ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "WATCHDOG_PID"];

impl Program {
    /// The program that runs here. To be called at the start, before its file is replaced.
    ///
    /// # Errors
    /// When the kernel does not tell which it is.
    pub fn of_this_process() -> io::Result<Self> {
        let mut arguments = env::args_os();
        let executable = env::current_exe()?;
        let name = arguments.next().unwrap_or_else(|| executable.clone().into());
        let path = as_started(Path::new(&name), &executable).unwrap_or(executable);
        Ok(Self { path, name, arguments: arguments.collect() })
    }

    /// Its file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Starts it again, with this end of the connection as its standard input.
    pub(super) fn start(&self, end: OwnedFd) -> io::Result<Child> {
        let mut command = Command::new(&self.path);
        command.arg0(&self.name).args(&self.arguments).env(VARIABLE, "1").stdin(end);
        for variable in NOT_INHERITED {
            command.env_remove(variable);
        }
        command.spawn()
    }
}

/// The path that whoever started this process has written, symlinks and all: that is where a new version is put.
/// The kernel knows only the file that they led to.
fn as_started(name: &Path, executable: &Path) -> Option<PathBuf> {
    let candidates: Vec<PathBuf> = match name.components().count() {
        1 if !name.is_absolute() => {
            let path = env::var_os("PATH")?;
            env::split_paths(&path).map(|directory| directory.join(name)).collect()
        }
        _ => vec![env::current_dir().ok()?.join(name)],
    };
    let identity = |path: &Path| fs::metadata(path).map(|data| (data.dev(), data.ino())).ok();
    let running = identity(executable)?;
    candidates.into_iter().find(|path| path.is_absolute() && identity(path) == Some(running))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_symlink_stays_one_and_a_wrong_name_is_passed_over() {
        let directory = tempfile::tempdir().unwrap();
        let (file, link) = (directory.path().join("v1"), directory.path().join("current"));
        fs::write(&file, "").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        assert_eq!(as_started(&link, &file), Some(link.clone()));
        assert_eq!(as_started(Path::new("/bin/sh"), &file), None, "another file");
        assert_eq!(as_started(Path::new("no-such-program"), &file), None);
        let shell = fs::canonicalize("/bin/sh").unwrap();
        let found = as_started(Path::new("sh"), &shell).unwrap();
        assert!(found.is_absolute() && found.ends_with("sh"), "{found:?}");
    }

    #[test]
    fn this_process_is_a_program() {
        let program = Program::of_this_process().unwrap();
        assert!(program.path().is_absolute() && program.path().exists(), "{program:?}");
    }
}
