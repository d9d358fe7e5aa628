//! Handing over to a new process: until that serves, this one goes on as if nothing were.

mod giving;
mod program;
mod successor;

pub use program::Program;

use super::{Reloader, Tokens};
use crate::admin::upgrade::{Instance, UpgradeError, Upgraded};
use crate::admin::{AdminHandle, name};
use crate::command::{Command, Crew};
use crate::pool::heir::Lent;
use crate::registry::{ListenerState, Registry};
use crate::upgrade::{FromNew, FromOld};
use giving::Giving;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, PoisonError, TryLockError, mpsc};
use std::thread;
use std::time::Duration;
use successor::{STEP, Successor};

/// What has been idle for so long is given away before the new process serves: at the present load it is not
/// needed here. The rest follows while this process drains.
const SPARE: Duration = Duration::from_millis(50);

/// What the workers may take to take it out of their pools.
const LENDING: Duration = Duration::from_secs(5);

/// For how long connections that follow are counted before the upgrade is answered.
const FIRST_GIFTS: Duration = Duration::from_millis(250);

/// Who hands over. One upgrade at a time: who comes second is refused.
#[derive(Debug)]
pub struct Upgrader {
    registry: Arc<Registry>,
    tokens: Tokens,
    crew: Crew,
    reloader: Arc<Reloader>,
    admin: AdminHandle,
    program: Option<Program>,
    giving: Mutex<Option<Giving>>,
}

/// What a new process has been given before it serves.
struct Given {
    addresses: Vec<SocketAddr>,
    sockets: usize,
    has_admin: bool,
    bound: usize,
}

impl Upgrader {
    pub(super) fn new(
        reloader: &Arc<Reloader>,
        tokens: &Tokens,
        crew: Crew,
        admin: AdminHandle,
        program: Option<Program>,
    ) -> Self {
        let (registry, reloader) = (Arc::clone(&tokens.registry), Arc::clone(reloader));
        Self { registry, tokens: tokens.clone(), crew, reloader, admin, program, giving: Mutex::default() }
    }

    /// The workers.
    pub(super) fn crew(&self) -> &Crew {
        &self.crew
    }

    /// Who reads the configuration again.
    pub fn reloader(&self) -> &Arc<Reloader> {
        &self.reloader
    }

    /// Starts the program again from where this process was started from, and lets the new process take over.
    ///
    /// # Errors
    /// See [`UpgradeError`]; then this process serves on.
    pub fn upgrade(&self) -> Result<Upgraded, UpgradeError> {
        let upgraded = self.try_upgrade();
        if let Err(error) = &upgraded {
            tracing::error!("not upgraded, and serving on: {error}");
        }
        upgraded
    }

    fn try_upgrade(&self) -> Result<Upgraded, UpgradeError> {
        let mut giving = match self.giving.try_lock() {
            Ok(giving) => giving,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return Err(UpgradeError::UnderWay),
        };
        if self.registry.is_draining() {
            return Err(UpgradeError::Draining);
        }
        if std::process::id() == 1 {
            return Err(UpgradeError::FirstProcess);
        }
        let program = self.program.as_ref().ok_or(UpgradeError::NoProgram)?;
        // What is given to the new process must not change meanwhile.
        let _no_reload = self.reloader.pause();
        tracing::info!(program = %program.path().display(), "starting the new process");
        let mut successor = Successor::start(program, Arc::clone(&self.registry))?;
        let mut lent = Vec::new();
        let given = match self.prepare(&mut successor, &mut lent) {
            Ok(given) => given,
            Err(error) => {
                let error = successor.end(error);
                self.take_back(lent);
                return Err(error);
            }
        };
        let new = successor.instance();
        let connections = lent.len();
        let begun = self.hand_over(successor, &given, lent);
        // Those that are idle at this moment belong to the answer as well.
        thread::sleep(FIRST_GIFTS);
        let upgraded = Upgraded {
            old: Instance { pid: std::process::id(), version: env!("CARGO_PKG_VERSION").to_owned() },
            new,
            listening_sockets: given.sockets,
            bound: given.bound,
            connections: connections + begun.given(),
        };
        *giving = Some(begun);
        tracing::info!(
            pid = upgraded.new.pid,
            version = upgraded.new.version,
            listening_sockets = upgraded.listening_sockets,
            connections = upgraded.connections,
            "another process serves; this one drains"
        );
        self.tokens.admin.cancel();
        Ok(upgraded)
    }

    /// Everything until the new process serves. `lent`: the connections that both have then.
    fn prepare(&self, successor: &mut Successor, lent: &mut Vec<Lent>) -> Result<Given, UpgradeError> {
        successor.greet()?;
        let (listeners, admin) = match successor.hear("waiting for its configuration")? {
            FromNew::Wants { listeners, admin } => (listeners, admin),
            other => return Err(successor::unexpected("waiting for its configuration", &other)),
        };
        let mut given = self.give_sockets(successor, &listeners, &admin)?;
        given.bound = match successor.hear("waiting until it is ready")? {
            FromNew::Ready { bound } => bound,
            other => return Err(successor::unexpected("waiting until it is ready", &other)),
        };
        self.lend(successor, lent)?;
        successor.say("telling it to serve", &FromOld::Serve, &[])?;
        match successor.hear("waiting until it serves")? {
            FromNew::Serving => Ok(given),
            other => Err(successor::unexpected("waiting until it serves", &other)),
        }
    }

    fn give_sockets(
        &self,
        successor: &Successor,
        listeners: &[SocketAddr],
        admin: &str,
    ) -> Result<Given, UpgradeError> {
        const SENDING: &str = "sending it the listening sockets";
        let mut given = Given { addresses: Vec::new(), sockets: 0, has_admin: false, bound: 0 };
        let mut here = self.listening_sockets();
        for (place, bind) in listeners.iter().enumerate() {
            let Some(found) = here.iter().position(|(state, _)| state.bind == *bind) else { continue };
            let (state, sockets) = here.swap_remove(found);
            for some in sockets.chunks(crate::sys::fd_passing::MAX_DESCRIPTORS) {
                let descriptors: Vec<_> = some.iter().map(AsFd::as_fd).collect();
                successor.say(SENDING, &FromOld::Listener { place }, &descriptors)?;
            }
            given.sockets += sockets.len();
            given.addresses.push(state.address.0);
        }
        if name(self.admin.listen()) == admin {
            successor.say(
                SENDING,
                &FromOld::Admin { keeps_file: self.admin.keeps_file() },
                &[self.admin.descriptor()],
            )?;
            given.has_admin = true;
        }
        successor.say(SENDING, &FromOld::EndOfSockets, &[])?;
        Ok(given)
    }

    fn listening_sockets(&self) -> Vec<(Arc<ListenerState>, Vec<Arc<TcpListener>>)> {
        let held = self.tokens.held.lock().unwrap_or_else(PoisonError::into_inner);
        let running = self.registry.running();
        running.listeners.iter().cloned().zip(held.iter().map(super::sockets::Held::all)).collect()
    }

    /// Shows the new process what is idle here and not needed.
    fn lend(&self, successor: &Successor, lent: &mut Vec<Lent>) -> Result<(), UpgradeError> {
        const GIVING: &str = "giving it the idle connections";
        let (to, lending) = mpsc::channel();
        for (_, worker) in self.crew.senders() {
            // One that has ended has nothing.
            let _ = worker.blocking_send(Command::Lend { idle_for: SPARE, to: to.clone() });
        }
        drop(to);
        let mut spare = Vec::new();
        let taken = loop {
            match lending.recv_timeout(LENDING) {
                Ok(connection) => spare.push(connection),
                Err(mpsc::RecvTimeoutError::Disconnected) => break Ok(()),
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    break Err(UpgradeError::Failed {
                        step: GIVING,
                        why: format!("a worker has not given its own in {LENDING:?}"),
                    });
                }
            }
        };
        while taken.is_ok() && !spare.is_empty() {
            let batch = spare.split_off(spare.len().saturating_sub(giving::BATCH));
            match giving::transfer(successor.link(), batch, STEP, &|| self.registry.is_draining()) {
                Ok((taken, refused)) => {
                    lent.extend(taken);
                    self.take_back(refused);
                }
                Err((error, batch)) => {
                    lent.extend(batch);
                    lent.append(&mut spare);
                    return Err(successor::failed(GIVING, &error));
                }
            }
        }
        lent.append(&mut spare);
        taken
    }

    /// Puts back into the pools what the new process has not taken for good.
    fn take_back(&self, lent: Vec<Lent>) {
        let workers = self.crew.senders();
        for (turn, lent) in lent.into_iter().enumerate() {
            let Some(connection) = lent.take_back() else { continue };
            if let Some((_, worker)) = workers.get(turn % workers.len().max(1)) {
                // One that has ended closes it.
                let _ = worker.blocking_send(Command::Adopt(vec![connection]));
            }
        }
    }

    /// The new process serves: lets go of everything that it has, and drains.
    fn hand_over(&self, successor: Successor, given: &Given, lent: Vec<Lent>) -> Giving {
        self.registry.succession.hand_over(given.addresses.iter().copied());
        if given.has_admin {
            self.admin.leave_file();
        }
        self.tokens.service.is_now(successor.instance().pid);
        // Should it be gone again already, there is nobody to tell, and it is too late to go on.
        let _ = successor.say("telling it that it is alone", &FromOld::Succeeded, &[]);
        lent.into_iter().for_each(Lent::let_go);
        let (heir, heritage) = mpsc::channel();
        for endpoint in self.registry.running().endpoints() {
            endpoint.handover.set_heir(Some(heir.clone()));
        }
        let giving = Giving::start(successor, heritage);
        self.tokens.begin_drain();
        giving
    }

    /// All workers have ended: nothing more is given away.
    pub(super) fn finish(&self) {
        for endpoint in self.registry.running().endpoints() {
            endpoint.handover.set_heir(None);
        }
        let giving = self.giving.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(giving) = giving {
            giving.finish();
        }
    }
}
