//! SIGTERM and SIGINT: the first begins the drain, the second ends at once.

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
}

impl Signals {
    /// Installs the handlers. To be called before anything is started, so that a signal that comes
    /// during the start is not lost: it is kept until [`Self::drain_with`].
    pub(super) fn install() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_io().build()?;
        let context = runtime.enter();
        let terminate = signal(SignalKind::terminate())?;
        let interrupt = signal(SignalKind::interrupt())?;
        drop(context);
        Ok(Self { runtime, terminate, interrupt })
    }

    /// From here on signals drain and stop this supervisor, on a thread that lives as long as the
    /// process.
    pub(super) fn drain_with(self, supervisor: Supervisor) -> io::Result<()> {
        let Self { runtime, mut terminate, mut interrupt } = self;
        let watch = async move {
            next(&mut terminate, &mut interrupt).await;
            tracing::info!("draining; a second signal ends at once");
            supervisor.drain();
            loop {
                next(&mut terminate, &mut interrupt).await;
                supervisor.stop();
            }
        };
        thread::Builder::new().name("signals".into()).spawn(move || runtime.block_on(watch))?;
        Ok(())
    }
}

async fn next(terminate: &mut Signal, interrupt: &mut Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
