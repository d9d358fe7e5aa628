//! A list of everything that the worker holds, in pages.

use super::{PAGE, Worker};
use crate::command::{Held, Link};
use crate::pool::{Identity, Pool};
use crate::session::Entry;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::Sender;

/// Nobody listens any more.
struct Unheard;

/// Sends all of it. Idle connections come before the sessions and after them once more: in the meantime
/// some were leased and others given back, and only those that were in use all the time would be with
/// the sessions alone.
pub(super) async fn list(worker: &Worker, answer: &Sender<Vec<Held>>) {
    // Whoever asked may have given up, and then nothing more is listed.
    let _ = everything(worker, answer).await;
}

async fn everything(worker: &Worker, answer: &Sender<Vec<Held>>) -> Result<(), Unheard> {
    idle(&worker.stage.pools(), answer).await?;
    sessions(worker, answer).await?;
    idle(&worker.stage.pools(), answer).await?;
    answer.send(Vec::new()).map_err(|_| Unheard)
}

async fn sessions(worker: &Worker, answer: &Sender<Vec<Held>>) -> Result<(), Unheard> {
    let mut from = Some(0);
    while let Some(place) = from {
        let page = worker.sessions.page(place, PAGE);
        from = page.next;
        tell(answer, page.entries.iter().map(|entry| session(entry)).collect()).await?;
    }
    Ok(())
}

async fn idle(pools: &[Rc<Pool>], answer: &Sender<Vec<Held>>) -> Result<(), Unheard> {
    // Most pools have a few connections: those of several make a page.
    let mut held = Vec::new();
    for pool in pools {
        idle_of(pool, &mut held, answer).await?;
    }
    tell(answer, held).await
}

async fn idle_of(pool: &Pool, held: &mut Vec<Held>, answer: &Sender<Vec<Held>>) -> Result<(), Unheard> {
    let mut from = Some(0);
    while let Some(place) = from {
        let page = pool.idle_page(place, PAGE);
        from = page.next;
        held.extend(page.connections.iter().map(|identity| Held::Idle(link(identity))));
        if held.len() >= PAGE {
            tell(answer, std::mem::take(held)).await?;
        }
    }
    Ok(())
}

/// Sends a page, and lets those that are ready have their turn.
async fn tell(answer: &Sender<Vec<Held>>, page: Vec<Held>) -> Result<(), Unheard> {
    if !page.is_empty() {
        answer.send(page).map_err(|_| Unheard)?;
        tokio::task::yield_now().await;
    }
    Ok(())
}

fn session(entry: &Entry) -> Held {
    Held::Session {
        listener: Arc::clone(entry.listener()),
        client: entry.client().0,
        phase: entry.phase(),
        opened: entry.opened(),
        link: entry.connection().map(|identity| link(&identity)),
    }
}

fn link(identity: &Identity) -> Box<Link> {
    Box::new(Link {
        upstream: Arc::clone(&identity.upstream),
        endpoint: Arc::clone(&identity.endpoint),
        local: identity.local,
        established: identity.established,
        uses: identity.uses(),
    })
}
