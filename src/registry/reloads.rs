//! What became of the configuration file since the process was started.

use crate::config::diagnostic::Diagnostic;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Reloads, and what is known of the file.
#[derive(Debug, Default)]
pub struct ReloadLog {
    succeeded: AtomicU64,
    failed: AtomicU64,
    file: Mutex<File>,
}

#[derive(Debug, Default)]
struct File {
    /// The fingerprint of what runs; `None`: it comes from no file.
    running: Option<u64>,
    status: FileStatus,
}

/// What is known of the configuration file, as of the last look at it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileStatus {
    /// Its path; `None`: there is none.
    pub path: Option<String>,
    /// Whether it differs from what runs.
    pub differs: bool,
    /// What is wrong with it, warnings included.
    pub diagnostics: Vec<Diagnostic>,
    /// Why the last reload failed; `None`: it did not, or there was none.
    pub last_error: Option<String>,
}

impl ReloadLog {
    /// What runs was loaded from this file, with this fingerprint.
    pub fn loaded_from(&self, path: String, fingerprint: u64) {
        let mut file = self.file();
        file.running = Some(fingerprint);
        file.status.path = Some(path);
    }

    /// The fingerprint of what runs; `None`: it comes from no file.
    pub fn running(&self) -> Option<u64> {
        self.file().running
    }

    /// A reload succeeded: what runs is the file with this fingerprint.
    pub fn succeeded(&self, fingerprint: u64, warnings: &[Diagnostic]) {
        self.succeeded.fetch_add(1, Relaxed);
        let mut file = self.file();
        file.running = Some(fingerprint);
        let (path, diagnostics) = (file.status.path.take(), warnings.to_vec());
        file.status = FileStatus { path, differs: false, diagnostics, last_error: None };
    }

    /// A reload of the file with this fingerprint failed.
    pub fn failed(&self, fingerprint: u64, diagnostics: &[Diagnostic], error: String) {
        self.failed.fetch_add(1, Relaxed);
        self.looked_at(fingerprint, diagnostics);
        self.file().status.last_error = Some(error);
    }

    /// The file was found to have this fingerprint, and these problems.
    pub fn looked_at(&self, fingerprint: u64, diagnostics: &[Diagnostic]) {
        let mut file = self.file();
        file.status.differs = file.running.is_some_and(|running| running != fingerprint);
        file.status.diagnostics = diagnostics.to_vec();
    }

    /// Reloads that succeeded.
    pub fn succeeded_total(&self) -> u64 {
        self.succeeded.load(Relaxed)
    }

    /// Reloads that failed, and changed nothing.
    pub fn failed_total(&self) -> u64 {
        self.failed.load(Relaxed)
    }

    /// What is known of the file.
    pub fn status(&self) -> FileStatus {
        self.file().status.clone()
    }

    fn file(&self) -> MutexGuard<'_, File> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_differs_until_it_runs() {
        let log = ReloadLog::default();
        log.looked_at(1, &[]);
        assert!(!log.status().differs, "what runs comes from no file");
        log.loaded_from("x.toml".into(), 1);
        log.failed(2, &[], "no".into());
        let failed = log.status();
        assert!(failed.differs && failed.last_error.as_deref() == Some("no"));
        log.looked_at(1, &[]);
        assert!(!log.status().differs, "it is as it was again");
        assert!(log.status().last_error.is_some(), "and still nobody has reloaded it");
        log.succeeded(3, &[]);
        assert_eq!(log.status(), FileStatus { path: Some("x.toml".into()), ..FileStatus::default() });
        assert_eq!((log.succeeded_total(), log.failed_total()), (1, 1));
    }
}
