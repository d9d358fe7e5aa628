//! The worker threads.

use super::mender::Mender;
use crate::command::{self, Command, Crew, Orders, Place, Sender};
use crate::observe::access_log::AccessLog;
use crate::registry::{Registry, Running};
use crate::worker::{self, Ended};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How long a new worker may take until it hears commands.
const START: Duration = Duration::from_secs(10);

/// How long the workers may take to go on with another configuration before that is said.
const ADOPTION: Duration = Duration::from_secs(5);

/// What workers are started with.
#[derive(Clone, Debug)]
pub(super) struct Start {
    pub(super) registry: Arc<Registry>,
    pub(super) access_log: Option<AccessLog>,
    pub(super) drain: CancellationToken,
    pub(super) stop: CancellationToken,
    pub(super) mender: Mender,
}

/// The threads of workers that run, or are leaving.
pub(super) type Threads = Arc<Mutex<Vec<JoinHandle<io::Result<usize>>>>>;

/// All workers.
#[derive(Debug)]
pub(super) struct Team {
    start: Start,
    members: Vec<Member>,
    crew: Crew,
    threads: Threads,
}

#[derive(Debug)]
struct Member {
    index: usize,
    sender: Sender,
    is_leaving: bool,
    is_member: Arc<AtomicBool>,
    has_ended: Arc<AtomicBool>,
}

/// Workers that run already, but are told what only when [`Team::join`] takes them in. Dropped, they end.
#[derive(Debug)]
pub(super) struct Recruits {
    members: Vec<Member>,
    threads: Vec<JoinHandle<io::Result<usize>>>,
}

impl Recruits {
    /// Their places.
    pub(super) fn indices(&self) -> impl Iterator<Item = usize> + '_ {
        self.members.iter().map(|member| member.index)
    }
}

/// What one worker accepts on, for each listener.
pub(super) struct Allotment {
    pub(super) worker: usize,
    pub(super) places: Vec<Vec<Place>>,
}

impl Team {
    pub(super) fn new(start: Start, crew: Crew, threads: Threads) -> Self {
        Self { start, members: Vec::new(), crew, threads }
    }

    /// The places of those that are to stay when there are to be so many; the rest is to leave.
    pub(super) fn staying(&self, count: usize) -> Vec<usize> {
        let staying = self.members.iter().filter(|member| !member.is_leaving);
        staying.map(|member| member.index).take(count).collect()
    }

    /// Starts what is missing until there are so many.
    ///
    /// # Errors
    /// When there is no thread or no runtime; then nobody is started.
    pub(super) fn recruit(&mut self, count: usize) -> io::Result<Recruits> {
        self.forget_ended();
        let missing = count.saturating_sub(self.staying(count).len());
        let mut recruits = Recruits { members: Vec::new(), threads: Vec::new() };
        let taken: Vec<usize> = self.members.iter().map(|member| member.index).collect();
        let free = (0..).filter(|index| !taken.contains(index)).take(missing);
        let (ready, is_ready) = mpsc::channel();
        for index in free {
            let (member, thread) = self.start.spawn(index, ready.clone())?;
            recruits.members.push(member);
            recruits.threads.push(thread);
        }
        drop(ready);
        for _ in 0..missing {
            if is_ready.recv_timeout(START).is_err() {
                return Err(recruits.abandon());
            }
        }
        Ok(recruits)
    }

    /// Starts another worker at the place of one that has ended. `false`: that one was to leave anyhow.
    ///
    /// # Errors
    /// When there is no thread or no runtime.
    pub(super) fn replace(&mut self, index: usize) -> io::Result<bool> {
        self.forget_ended();
        let is_missed =
            |member: &Member| member.index == index && member.sender.is_closed() && !member.is_leaving;
        if !self.members.iter().any(is_missed) {
            return Ok(false);
        }
        let (ready, is_ready) = mpsc::channel();
        let (member, thread) = self.start.spawn(index, ready)?;
        let recruits = Recruits { members: vec![member], threads: vec![thread] };
        if is_ready.recv_timeout(START).is_err() {
            return Err(recruits.abandon());
        }
        self.members.retain(|member| member.index != index);
        self.join(recruits);
        Ok(true)
    }

    /// Takes them in.
    pub(super) fn join(&mut self, recruits: Recruits) {
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        threads.extend(recruits.threads);
        for member in recruits.members {
            member.is_member.store(true, Relaxed);
            self.crew.join(member.index, member.sender.clone());
            self.members.push(member);
        }
        self.members.sort_by_key(|member| member.index);
    }

    /// Has workers go on with what runs now, and waits until they do.
    ///
    /// # Errors
    /// What one of them could not do.
    pub(super) fn give(&self, allotments: Vec<Allotment>, running: &Arc<Running>) -> Result<(), String> {
        let (answer, answers) = mpsc::channel();
        let mut missing = Ok(());
        let mut asked = 0;
        for Allotment { worker, places } in allotments {
            let orders = Orders { running: Arc::clone(running), places, answer: answer.clone() };
            let member = self.members.iter().find(|member| member.index == worker);
            match member.map(|member| member.sender.blocking_send(Command::Run(orders))) {
                Some(Ok(())) => asked += 1,
                _ => missing = Err(format!("worker {worker} has ended")),
            }
        }
        drop(answer);
        for left in (1..=asked).rev() {
            match answers.recv_timeout(ADOPTION) {
                Ok(Ok(())) => {}
                Ok(Err(error)) => missing = Err(format!("a worker cannot accept on a socket: {error}")),
                Err(_) => return Err(format!("{left} workers have not answered in {ADOPTION:?}")),
            }
        }
        missing
    }

    /// Has all workers go on with what runs, without accepting anywhere.
    ///
    /// # Errors
    /// What one of them could not do.
    pub(super) fn idle(&self, running: &Arc<Running>) -> io::Result<()> {
        let nowhere = |member: &Member| Allotment {
            worker: member.index,
            places: running.listeners.iter().map(|_| Vec::new()).collect(),
        };
        self.give(self.members.iter().map(nowhere).collect(), running).map_err(io::Error::other)
    }

    /// Tells everybody else to leave, within this time.
    pub(super) fn dismiss_all_but(&mut self, staying: &[usize], patience: Duration) {
        for member in &mut self.members {
            if !member.is_leaving && !staying.contains(&member.index) {
                member.is_leaving = true;
                // One that has ended has left.
                let _ = member.sender.blocking_send(Command::Leave(patience));
            }
        }
    }

    /// How many places there are, those of workers that are leaving included.
    pub(super) fn places(&self) -> usize {
        self.members.iter().map(|member| member.index + 1).max().unwrap_or(0)
    }

    /// The same with these.
    pub(super) fn places_with(&self, recruits: &Recruits) -> usize {
        recruits.indices().map(|index| index + 1).fold(self.places(), usize::max)
    }

    /// Gives the places of those that have ended to others.
    fn forget_ended(&mut self) {
        self.members.retain(|member| !(member.is_leaving && member.has_ended.load(Relaxed)));
        self.crew.forget_ended();
    }
}

impl Start {
    fn spawn(
        &self,
        index: usize,
        ready: mpsc::Sender<()>,
    ) -> io::Result<(Member, JoinHandle<io::Result<usize>>)> {
        let (sender, commands) = command::channel();
        let parts = worker::Parts {
            index,
            registry: Arc::clone(&self.registry),
            access_log: self.access_log.clone(),
            commands,
            drain: self.drain.clone(),
            stop: self.stop.clone(),
            ready,
        };
        let (is_member, has_ended) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let (joined, ended) = (Arc::clone(&is_member), Arc::clone(&has_ended));
        let (registry, mender) = (Arc::clone(&self.registry), self.mender.clone());
        let thread = thread::Builder::new().name(format!("worker-{index}")).spawn(move || {
            let result = parts.run();
            ended.store(true, Relaxed);
            match result? {
                Ended::Told { cut } => return Ok(cut),
                Ended::Panicked { lost } if joined.load(Relaxed) => mender.mend(&registry, index, lost),
                // Whoever has started it hears nothing of it, and gives up.
                Ended::Panicked { .. } => {}
            }
            Ok(0)
        })?;
        Ok((Member { index, sender, is_leaving: false, is_member, has_ended }, thread))
    }
}

impl Recruits {
    /// Ends them, and returns why one of them could not begin.
    fn abandon(self) -> io::Error {
        drop(self.members);
        let ended = self.threads.into_iter().filter_map(|thread| thread.join().ok()?.err());
        ended.last().unwrap_or_else(|| io::Error::other("a worker did not start"))
    }
}
