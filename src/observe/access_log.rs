//! The access log: one line for each exchange or TCP session.
//!
//! The workers put entries into a bounded queue and never wait; one thread formats and writes them.
//! A line for which the queue has no room is lost, counted, and reported in the log.

mod line;
mod writer;

use crate::config::model::{self, Listener, Log, Upstream};
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, SystemTime};

/// Entries that may wait for the writer.
const QUEUE: usize = 4096;

/// The longest target that is kept, in bytes; with [`QUEUE`] it bounds the memory of the queue.
const TARGET_MAX: usize = 4096;

/// How long the last handle waits for the last lines, should the disk or the pipe be stuck.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);

/// What is to be told of one exchange, or of one TCP session.
#[derive(Clone, Debug)]
pub struct Entry {
    /// When the request head was read whole, or the session accepted.
    pub time: SystemTime,
    /// The client.
    pub client: SocketAddr,
    /// The listener.
    pub listener: Arc<Listener>,
    /// The upstream.
    pub upstream: Arc<Upstream>,
    /// The endpoint that was tried last.
    pub endpoint: Option<SocketAddr>,
    /// The request's method; empty for TCP and for a head that could not be read.
    pub method: Vec<u8>,
    /// The request's target as it came; empty like [`Self::method`].
    pub target: Vec<u8>,
    /// The status that the client was sent; 0: none.
    pub status: u16,
    /// Bytes read from the client.
    pub bytes_in: u64,
    /// Bytes written to the client.
    pub bytes_out: u64,
    /// From [`Self::time`] to the end.
    pub total: Duration,
    /// How long the endpoint took to accept, where a connection was opened for it.
    pub connect: Option<Duration>,
    /// Until the first byte of the response.
    pub first_byte: Option<Duration>,
    /// Whether the connection had been used before; `None`: there was none.
    pub reused: Option<bool>,
    /// A label of [`crate::reason`], where there is something to explain.
    pub reason: Option<&'static str>,
}

/// A handle to the access log. Clones are cheap and write to the same log. The last one to be
/// dropped waits for the lines that are still queued.
#[derive(Clone, Debug)]
pub struct AccessLog(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// `None` only while the last handle is being dropped.
    queue: Option<SyncSender<Entry>>,
    lost: Arc<AtomicU64>,
    /// Disconnected when the writer has ended.
    ended: Mutex<Receiver<()>>,
}

impl AccessLog {
    /// Opens the access log and starts its writer; `None` when it is off. A file is appended to, and
    /// created with mode 0640.
    pub fn open(log: &Log) -> io::Result<Option<Self>> {
        let sink: Box<dyn Write + Send> = match &log.access {
            model::AccessLog::Off => return Ok(None),
            model::AccessLog::Stdout => Box::new(io::stdout()),
            model::AccessLog::File(path) => {
                Box::new(OpenOptions::new().append(true).create(true).mode(0o640).open(path)?)
            }
        };
        Self::start(sink, log.format).map(Some)
    }

    fn start(sink: Box<dyn Write + Send>, format: model::LogFormat) -> io::Result<Self> {
        let (queue, entries) = sync_channel(QUEUE);
        let (end, ended) = sync_channel(0);
        let lost = Arc::new(AtomicU64::new(0));
        let writer = writer::Writer::new(sink, format, lost.clone());
        thread::Builder::new().name("access-log".into()).spawn(move || {
            writer.run(&entries);
            drop(end);
        })?;
        Ok(Self(Arc::new(Shared { queue: Some(queue), lost, ended: Mutex::new(ended) })))
    }

    /// Queues one line. Never blocks: where the queue is full, the line is lost and counted.
    pub fn record(&self, mut entry: Entry) {
        if entry.target.len() > TARGET_MAX {
            entry.target.truncate(TARGET_MAX);
            entry.target.shrink_to_fit();
        }
        let queued = self.0.queue.as_ref().is_some_and(|queue| queue.try_send(entry).is_ok());
        if !queued {
            self.0.lost.fetch_add(1, Relaxed);
        }
    }

    /// Lines lost since the start, for a full queue or a failed write.
    pub fn lost(&self) -> u64 {
        self.0.lost.load(Relaxed)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.queue = None;
        let ended = self.ended.get_mut().unwrap_or_else(PoisonError::into_inner);
        // Both outcomes are an end: the writer is done, or it is stuck and the process goes on.
        let _ = ended.recv_timeout(FLUSH_TIMEOUT);
    }
}

#[cfg(test)]
mod tests;
