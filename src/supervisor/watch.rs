//! Watching the configuration file, and the files of `conf.d`.
//!
//! What inotify tells only wakes: whether anything has changed is told by the contents. So it does not
//! matter how a file is written (in place, by renaming another over it, through the symlinks of a
//! Kubernetes ConfigMap), and where there is no inotify, a look every few seconds does as well.

use super::reload::Reloader;
use crate::config::diagnostic::Diagnostics;
use crate::config::load;
use crate::registry::Registry;
use notify::event::{AccessKind, AccessMode, EventKind};
use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher};
use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How often it is looked whatever inotify tells.
const LOOK: Duration = Duration::from_secs(5);
/// How long nothing may happen before a file counts as written: editors and `kubectl` do it in several
/// steps.
const QUIET: Duration = Duration::from_millis(200);
/// The longest that is waited for that.
const PATIENCE: Duration = Duration::from_secs(2);

/// The thread that watches; dropped, it ends.
#[derive(Debug)]
pub(super) struct Watch {
    wake: Sender<Wake>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
enum Wake {
    Changed,
    Stop,
}

struct Looker {
    file: PathBuf,
    registry: Arc<Registry>,
    reloader: Arc<Reloader>,
    watcher: Option<RecommendedWatcher>,
    watched: BTreeSet<PathBuf>,
    /// The contents that were dealt with last.
    seen: u64,
}

impl Watch {
    /// Watches the file from which the reloader reads.
    ///
    /// # Errors
    /// When there is no thread.
    pub(super) fn start(file: &Path, registry: &Arc<Registry>, reloader: &Arc<Reloader>) -> io::Result<Self> {
        let (wake, woken) = mpsc::channel();
        let seen = registry.reloads.running().unwrap_or_default();
        let mut looker = Looker {
            file: file.to_owned(),
            registry: Arc::clone(registry),
            reloader: Arc::clone(reloader),
            watcher: watcher(wake.clone()),
            watched: BTreeSet::new(),
            seen,
        };
        let thread = thread::Builder::new().name("config".into()).spawn(move || looker.run(&woken))?;
        Ok(Self { wake, thread: Some(thread) })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // One that has ended hears nothing, and need not.
        let _ = self.wake.send(Wake::Stop);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Looker {
    fn run(&mut self, woken: &Receiver<Wake>) {
        loop {
            let watches_more = self.watch();
            let has_changed = self.has_changed();
            if has_changed {
                // It may be half written.
                if !settle(woken) {
                    return;
                }
                self.look();
            }
            // Nothing tells of what came to be, `conf.d` too, before its directory was watched.
            if watches_more || has_changed {
                continue;
            }
            match woken.recv_timeout(LOOK) {
                Ok(Wake::Changed) | Err(RecvTimeoutError::Timeout) => {}
                Ok(Wake::Stop) | Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn has_changed(&self) -> bool {
        load::fingerprint(&self.file) != self.seen
    }

    /// Sees to it that every directory is watched in which something can change. Returns whether one is now
    /// that was not.
    fn watch(&mut self) -> bool {
        let Some(watcher) = &mut self.watcher else { return false };
        let wanted = directories(&self.file);
        for gone in self.watched.difference(&wanted) {
            // One that was removed is not watched any more anyway.
            let _ = watcher.unwatch(gone);
        }
        let mut watched = BTreeSet::new();
        for directory in wanted {
            if self.watched.contains(&directory) {
                watched.insert(directory);
                continue;
            }
            match watcher.watch(&directory, RecursiveMode::NonRecursive) {
                Ok(()) => _ = watched.insert(directory),
                Err(error) => tracing::warn!(
                    directory = %directory.display(), %error,
                    "cannot be watched: changes of the configuration are noticed within {LOOK:?}"
                ),
            }
        }
        let watches_more = !watched.is_subset(&self.watched);
        self.watched = watched;
        watches_more
    }

    /// Deals with contents that are new.
    fn look(&mut self) {
        let found = load::fingerprint(&self.file);
        if found == self.seen {
            return;
        }
        self.seen = found;
        let (reloads, running) = (&self.registry.reloads, self.registry.running());
        if reloads.running() == Some(found) {
            // Reloaded already, or put back.
            reloads.looked_at(found, &[]);
        } else if running.config.runtime.watch {
            tracing::info!(file = %self.file.display(), "the configuration has changed");
            // What comes of it is logged.
            let _ = self.reloader.reload();
        } else {
            let diagnostics = match load::load(&self.file, &load::process_variable) {
                Ok(loaded) => loaded.warnings,
                Err(Diagnostics(diagnostics)) => diagnostics,
            };
            reloads.looked_at(found, &diagnostics);
            tracing::info!(
                file = %self.file.display(), problems = diagnostics.len(),
                "the configuration differs from what runs: `millpond reload` makes it run"
            );
        }
    }
}

fn watcher(wake: Sender<Wake>) -> Option<RecommendedWatcher> {
    let tell = move |event: notify::Result<Event>| {
        if event.map_or(true, |event| is_change(event.kind)) {
            // Who does not hear has ended.
            let _ = wake.send(Wake::Changed);
        }
    };
    notify::recommended_watcher(tell)
        .inspect_err(|error| {
            tracing::warn!(%error, "no inotify: changes of the configuration are noticed within {LOOK:?}");
        })
        .ok()
}

/// To open, read and close a file, as [`Looker::look`] does, is none.
fn is_change(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
        EventKind::Access(_) => false,
        _ => true,
    }
}

/// Waits until nothing more happens; `false`: it is to stop.
fn settle(woken: &Receiver<Wake>) -> bool {
    let end = Instant::now() + PATIENCE;
    loop {
        let left = end.saturating_duration_since(Instant::now()).min(QUIET);
        match woken.recv_timeout(left) {
            Ok(Wake::Changed) if !left.is_zero() => {}
            Ok(Wake::Changed) | Err(RecvTimeoutError::Timeout) => return true,
            Ok(Wake::Stop) | Err(RecvTimeoutError::Disconnected) => return false,
        }
    }
}

/// Where the file is, where it leads to if it is a symlink, and `conf.d`, as far as they are there.
fn directories(file: &Path) -> BTreeSet<PathBuf> {
    let parent = |path: &Path| match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => PathBuf::from("."),
        Some(parent) => parent.to_owned(),
        None => path.to_owned(),
    };
    let target = file.canonicalize().ok().map(|target| parent(&target));
    let all = [Some(parent(file)), target, Some(file.with_file_name("conf.d"))];
    all.into_iter().flatten().filter_map(|directory| directory.canonicalize().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use notify::event::{CreateKind, ModifyKind};

    #[test]
    fn what_is_watched_is_where_something_can_change() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().canonicalize().unwrap();
        let [here, there] = ["here", "there"].map(|name| root.join(name));
        [&here, &there].into_iter().for_each(|directory| std::fs::create_dir(directory).unwrap());
        let file = here.join("x.toml");
        assert_eq!(directories(&file), BTreeSet::from([here.clone()]));
        std::fs::write(there.join("x.toml"), "").unwrap();
        std::os::unix::fs::symlink(there.join("x.toml"), &file).unwrap();
        assert_eq!(directories(&file), BTreeSet::from([here.clone(), there.clone()]));
        std::fs::create_dir(here.join("conf.d")).unwrap();
        assert_eq!(directories(&file), BTreeSet::from([here.clone(), here.join("conf.d"), there]));
    }

    #[test]
    fn reading_is_no_change() {
        assert!(!is_change(EventKind::Access(AccessKind::Open(AccessMode::Any))));
        assert!(!is_change(EventKind::Access(AccessKind::Close(AccessMode::Read))));
        assert!(is_change(EventKind::Access(AccessKind::Close(AccessMode::Write))));
        assert!(
            is_change(EventKind::Create(CreateKind::Any)) && is_change(EventKind::Modify(ModifyKind::Any))
        );
    }

    #[test]
    fn a_burst_is_waited_for_but_not_for_ever() {
        let (wake, woken) = mpsc::channel();
        (0..100).for_each(|_| wake.send(Wake::Changed).unwrap());
        assert!(settle(&woken));
        assert!(woken.try_recv().is_err(), "the whole burst is one");
        wake.send(Wake::Stop).unwrap();
        assert!(!settle(&woken));
        let flood = thread::spawn(move || {
            while wake.send(Wake::Changed).is_ok() {
                thread::sleep(Duration::from_millis(10));
            }
        });
        let start = Instant::now();
        assert!(settle(&woken));
        assert!(start.elapsed() >= PATIENCE);
        drop(woken);
        flood.join().unwrap();
    }
}
