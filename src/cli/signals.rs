//! SIGTERM and SIGINT: the first begins the drain, the second ends at once. SIGHUP reloads, SIGUSR2 lets a new
//! process take over.

use crate::supervisor::Supervisor;
use std::io;
use std::thread;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The handlers, installed.
pub(super) struct Signals {
    runtime: Runtime,
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
    user: Signal,
}

/// What a signal asks for.
enum Wish {
    End,
    Reload,
    Upgrade,
}

impl Signals {
    /// Installs the handlers. To be called before anything is started, so that a signal that comes
    /// during the start is not lost: it is kept until [`Self::obey`].
    pub(super) fn install() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_io().build()?;
        let context = runtime.enter();
        let terminate = signal(SignalKind::terminate())?;
        let interrupt = signal(SignalKind::interrupt())?;
        let hang_up = signal(SignalKind::hangup())?;
        let user = signal(SignalKind::user_defined2())?;
        drop(context);
        Ok(Self { runtime, terminate, interrupt, hang_up, user })
    }

    /// From here on signals drain, stop, reload and replace this supervisor, on a thread that lives as long
    /// as the process.
    pub(super) fn obey(mut self, supervisor: Supervisor) -> io::Result<()> {
        thread::Builder::new().name("signals".into()).spawn(move || {
            let mut is_draining = false;
            loop {
                match self.next() {
                    // On another thread, so that a drain need not wait for it. What comes of it is logged.
                    Wish::Reload => spawn_reload(&supervisor),
                    Wish::Upgrade => spawn_upgrade(&supervisor),
                    Wish::End if is_draining => supervisor.stop(),
                    Wish::End => {
                        tracing::info!("draining; a second signal ends at once");
                        supervisor.drain();
                        is_draining = true;
                    }
                }
            }
        })?;
        Ok(())
    }

    fn next(&mut self) -> Wish {
        let Self { runtime, terminate, interrupt, hang_up, user } = self;
        runtime.block_on(async {
            tokio::select! {
                _ = terminate.recv() => Wish::End,
                _ = interrupt.recv() => Wish::End,
                _ = hang_up.recv() => Wish::Reload,
                _ = user.recv() => Wish::Upgrade,
            }
        })
    }
}

fn spawn_reload(supervisor: &Supervisor) {
    let reloader = supervisor.reloader().clone();
    let reload = move || {
        if let Err(error) = reloader.reload()
            && error.is_refusal()
        {
            tracing::warn!("SIGHUP: {error}");
        }
    };
    if let Err(error) = thread::Builder::new().name("reload".into()).spawn(reload) {
        tracing::error!(%error, "cannot reload");
    }
}

fn spawn_upgrade(supervisor: &Supervisor) {
    let upgrader = supervisor.upgrader().clone();
    let upgrade = move || {
        // What comes of it is logged.
        let _ = upgrader.upgrade();
    };
    if let Err(error) = thread::Builder::new().name("upgrade".into()).spawn(upgrade) {
        tracing::error!(%error, "cannot upgrade");
    }
}
