//! Backends that do what the plan of each request says, and watch what they are sent.

use super::Hall;
use super::plan::{FORGED, Fault, Method, Plan, Random, pattern};
use super::wire::Wire;
use crate::harness::Message;
use std::cell::Cell;
use std::rc::{Rc, Weak};
use tokio::net::{TcpListener, TcpStream};

/// A connection that waits for a request.
#[derive(Debug)]
pub(super) struct Idle {
    stream: Weak<TcpStream>,
    is_idle: Cell<bool>,
    /// What was sent on it belongs to nobody: it must not be used again.
    is_condemned: Cell<bool>,
}

/// Accepts for ever.
pub(super) async fn serve(listener: TcpListener, hall: Rc<Hall>) {
    loop {
        let (stream, _) = listener.accept().await.expect("a connection");
        let (hall, witness) = (Rc::clone(&hall), Rc::clone(&hall));
        let served = tokio::task::spawn_local(async move {
            let mut wire = Wire::new(stream);
            let idle = Rc::new(Idle {
                stream: Rc::downgrade(&wire.stream),
                is_idle: Cell::new(false),
                is_condemned: Cell::new(false),
            });
            hall.connections.borrow_mut().push(Rc::clone(&idle));
            while one(&mut wire, &idle, &hall).await.unwrap_or(false) {}
        });
        tokio::task::spawn_local(async move {
            if served.await.is_err() {
                witness.violated("a backend was sent what is no request".to_owned());
            }
        });
    }
}

/// While no client asks: says something on idle connections that nobody has asked for, or closes them.
pub(super) fn disturb(hall: &Hall, random: &mut Random) {
    let mut connections = hall.connections.borrow_mut();
    connections.retain(|idle| idle.stream.strong_count() > 0);
    for idle in connections.iter().filter(|idle| idle.is_idle.get() && !idle.is_condemned.get()) {
        let Some(stream) = idle.stream.upgrade() else { continue };
        match random.below(12) {
            0 => idle.is_condemned.set(stream.try_write(FORGED.as_bytes()).is_ok()),
            1 => idle.is_condemned.set(stream.try_write(b"x").is_ok()),
            2 => drop(socket2::SockRef::from(&*stream).shutdown(std::net::Shutdown::Write)),
            _ => {}
        }
    }
}

/// Serves one request; returns whether another may come.
async fn one(wire: &mut Wire, idle: &Idle, hall: &Hall) -> std::io::Result<bool> {
    idle.is_idle.set(wire.buffer.is_empty());
    let head = wire.head().await;
    idle.is_idle.set(false);
    let Some(head) = head? else { return Ok(false) };
    let Some(plan) = planned(&head, hall) else { return Ok(false) };
    if idle.is_condemned.get() {
        hall.violated(format!(
            "{:x} came on a connection on which bytes were that belong to nobody",
            plan.id
        ));
    }
    if plan.fault == Fault::Early {
        // What is written next is taken for the rest of the body.
        wire.send(&plan.answer()).await?;
    }
    let mut body = Vec::new();
    if matches!(plan.method, Method::Post | Method::Chunks) {
        wire.body(&head, |part| body.extend_from_slice(part)).await?;
        if body != pattern(plan.id, plan.sent) {
            hall.violated(format!("{:x} came with a body that is not its own", plan.id));
        }
    }
    hall.note_request(&plan);
    // Once it is answered, the next may come.
    if !wire.buffer.is_empty() && plan.fault != Fault::Early {
        hall.violated(format!("behind {:x} came {}", plan.id, wire.buffer.escape_ascii()));
    }
    if plan.fault == Fault::Early {
        return Ok(!plan.ends_with_close());
    }
    answer(wire, &plan, idle).await
}

async fn answer(wire: &mut Wire, plan: &Plan, idle: &Idle) -> std::io::Result<bool> {
    let answer = plan.answer();
    idle.is_condemned.set(plan.condemns());
    match plan.fault {
        Fault::Fin(at) => wire.send(&answer[..at]).await?,
        Fault::Reset(at) => {
            wire.send(&answer[..at]).await?;
            wire.reset_on_close();
        }
        _ => wire.send(&answer).await?,
    }
    if plan.fault == Fault::HalfClose {
        wire.half_close();
    }
    let closes = matches!(plan.fault, Fault::Fin(_) | Fault::Reset(_) | Fault::Long(_));
    Ok(!closes && !plan.ends_with_close())
}

/// The plan of a request, whose head has to be whole and of one client.
fn planned(head: &Message, hall: &Hall) -> Option<Plan> {
    let id = head.start.split(' ').nth(1).and_then(|target| u64::from_str_radix(target.get(1..)?, 16).ok());
    match id {
        Some(id) => Some(Plan::of(hall.seed, id)),
        None => {
            hall.violated(format!("a request that nobody has sent: {head:?}"));
            None
        }
    }
}
