//! Asking the workers and the kernel.

use super::Connection;
use super::join::{Join, Row, Since};
use super::places::Places;
use super::query::{Query, WrongQuery};
use super::select::Selection;
use crate::command::{Command, Crew, Held, Peer, Sender};
use crate::registry::Registry;
use crate::sys::limits;
use crate::sys::sock_diag::{self, Detail, Filter, Program, TcpState, TcpStates};
use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

/// How long the workers may take to tell what they hold.
const PATIENCE: Duration = Duration::from_secs(1);

/// Who lists connections.
#[derive(Debug)]
pub struct Lister {
    registry: Arc<Registry>,
    workers: Crew,
}

/// What was listed.
#[derive(Debug)]
pub struct Listing {
    rows: Vec<Row>,
    matching: u64,
    states: BTreeMap<&'static str, u64>,
    notes: Vec<String>,
}

impl Lister {
    /// Lists the connections of these workers.
    pub fn new(registry: Arc<Registry>, workers: Crew) -> Self {
        Self { registry, workers }
    }

    /// Lists what the query asks for. Takes as long as the kernel takes to look at all of its sockets, and
    /// the workers to answer, a second at the most: it is not for a thread that others wait for.
    ///
    /// # Errors
    /// When the query names what does not exist.
    pub fn list(&self, query: &Query) -> Result<Listing, WrongQuery> {
        let mut notes = Vec::new();
        let held = self.ask(&mut notes);
        let places =
            Places::of(&self.registry.running(), held.iter().flat_map(|(_, pages)| pages.iter().flatten()));
        let mut selection = Selection::new(query, &places)?;
        let since: Since<'_> = &|ends, state| self.registry.census.since(ends, state);
        let each = held.iter().flat_map(|(at, pages)| pages.iter().flatten().map(|held| (*at, held)));
        let mut join = Join::new(&places, each, Instant::now(), since);
        if let Err(error) = dump(query, &places, &mut join, &mut selection, &mut notes) {
            notes.push(format!("state and what the kernel counts: {error}"));
            join.unseen().for_each(|row| selection.offer(row));
        }
        let (rows, matching, states) = selection.finish();
        Ok(Listing { rows, matching, states, notes })
    }

    /// What each worker holds, in pages. One that does not answer is noted.
    fn ask(&self, notes: &mut Vec<String>) -> Vec<(usize, Vec<Vec<Held>>)> {
        let deadline = Instant::now() + PATIENCE;
        let question = |worker: &Sender| {
            let (answer, pages) = mpsc::channel();
            worker.try_send(Command::List { answer }).is_ok().then_some(pages)
        };
        let workers = self.workers.senders();
        let asked: Vec<(usize, Option<Receiver<Vec<Held>>>)> =
            workers.iter().map(|(place, worker)| (*place, question(worker))).collect();
        let mut held = Vec::with_capacity(asked.len());
        for (worker, pages) in asked {
            let (told, is_whole) = pages.map(|pages| read(&pages, deadline)).unwrap_or_default();
            if !is_whole {
                notes.push(format!(
                    "worker {worker} did not answer within {} s: its connections lack an owner",
                    PATIENCE.as_secs()
                ));
            }
            held.push((worker, told));
        }
        held
    }
}

/// The pages that come until the deadline, and whether they are all.
fn read(pages: &Receiver<Vec<Held>>, deadline: Instant) -> (Vec<Vec<Held>>, bool) {
    let mut told = Vec::new();
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match pages.recv_timeout(left) {
            Ok(page) if page.is_empty() => return (told, true),
            Ok(page) => told.push(page),
            Err(_) => return (told, false),
        }
    }
}

/// Offers every socket of ours that the kernel has, in the states that are asked for.
fn dump(
    query: &Query,
    places: &Places,
    join: &mut Join<'_>,
    selection: &mut Selection<'_>,
    notes: &mut Vec<String>,
) -> io::Result<()> {
    let filter = Filter::states(query.states.unwrap_or(TcpStates::of(&TcpState::CONNECTION)));
    let ports = |peer, ports: BTreeSet<u16>| match query.side {
        Some(side) if side != peer => BTreeSet::new(),
        _ => ports,
    };
    let program = Program::any_of(
        &ports(Peer::Client, places.local_ports()),
        &ports(Peer::Endpoint, places.remote_ports()),
    );
    // Read only once there is a socket that no worker knows.
    let own: OnceCell<io::Result<HashSet<u32>>> = OnceCell::new();
    let is_own =
        |inode| own.get_or_init(limits::socket_inodes).as_ref().is_ok_and(|own| own.contains(&inode));
    let mut result = Ok(());
    for family in places.families() {
        let visited =
            sock_diag::visit_detailed(family, &filter, Some(&program), Detail::Info, |socket, attributes| {
                if let Some(row) = join.row(&socket, attributes.info(), is_own) {
                    selection.offer(row);
                }
            });
        result = result.and(visited);
    }
    if let Some(Err(error)) = own.get() {
        notes.push(format!("sockets that no worker knows are left out: {error}"));
    }
    result
}

impl Listing {
    /// JSON with one connection a line.
    ///
    /// # Errors
    /// Never, as far as serde_json is right about what it writes to memory.
    pub fn json(self) -> serde_json::Result<Vec<u8>> {
        let mut out = b"{\"connections\":[".to_vec();
        for (place, row) in self.rows.into_iter().enumerate() {
            out.extend_from_slice(if place == 0 { b"\n" } else { b",\n" });
            serde_json::to_writer(&mut out, &Connection::from(row))?;
        }
        out.extend_from_slice(b"\n],");
        let rest = Rest { matching: self.matching, tcp_states: self.states, notes: self.notes };
        let rest = serde_json::to_vec(&rest)?;
        // Without its brace.
        out.extend_from_slice(rest.get(1..).unwrap_or_default());
        out.push(b'\n');
        Ok(out)
    }
}

/// What [`Connections`](super::Connections) has beside the connections.
#[derive(serde::Serialize)]
struct Rest {
    matching: u64,
    tcp_states: BTreeMap<&'static str, u64>,
    notes: Vec<String>,
}

impl From<Row> for Connection {
    fn from(row: Row) -> Self {
        let seconds = |time: Duration| (time.as_secs_f64() * 1000.0).round() / 1000.0;
        let figures = row.figures;
        Self {
            side: match row.peer {
                Peer::Client => "client",
                Peer::Endpoint => "upstream",
            }
            .to_owned(),
            listener: row.listener.map(|listener| listener.config.name.clone()),
            upstream: row.upstream.map(|upstream| upstream.name.clone()),
            endpoint: row.endpoint.map(|endpoint| endpoint.to_string()),
            local: row.ends.local.to_string(),
            peer: row.ends.remote.to_string(),
            client: row.client.map(|client| client.to_string()),
            phase: row.phase.map(str::to_owned),
            state: row.state.map(|state| state.label().to_owned()),
            age_s: row.age.map(seconds),
            state_age_s: row.state_age.map(seconds),
            idle_s: figures.and_then(|f| f.idle).map(seconds),
            received_bytes: figures.and_then(|f| f.received),
            sent_bytes: figures.and_then(|f| f.sent),
            unread_bytes: figures.map(|f| f.unread),
            unacknowledged_bytes: figures.map(|f| f.unacknowledged),
            rtt_ms: figures.and_then(|f| f.rtt).map(|rtt| seconds(rtt * 1000)),
            retransmits: figures.map(|f| f.retransmits),
            uses: row.uses,
            worker: row.worker,
        }
    }
}

#[cfg(test)]
mod tests;
