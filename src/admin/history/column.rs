//! What is recorded of a listener and of an endpoint.

use crate::observe::snapshot::{Endpoint, Listener, Ports, TcpStates};

/// One figure of a `T`.
#[derive(Clone, Copy)]
pub(super) struct Column<T> {
    pub(super) name: &'static str,
    pub(super) shape: Shape,
    pub(super) read: fn(&T) -> Option<f64>,
}

/// What kind of figure it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// Recorded as it stands; the total is the sum.
    Gauge,
    /// Recorded as it stands; the total is the smallest, as what is left here is of no use there.
    Least,
    /// Only grows, and is recorded as its growth a second.
    Rate,
}

impl Shape {
    /// The total of two figures; what is not known does not count, unless nothing is.
    pub(super) fn add(self, one: Option<f64>, other: Option<f64>) -> Option<f64> {
        match (one, other) {
            (Some(one), Some(other)) if self == Self::Least => Some(one.min(other)),
            (Some(one), Some(other)) => Some(one + other),
            (one, other) => one.or(other),
        }
    }
}

pub(super) const LISTENER: [Column<Listener>; 8] = [
    gauge("sessions", |listener| Some(listener.sessions.current as f64)),
    gauge("accept_queue", |listener| listener.accept_queue.depth.map(|depth| depth as f64)),
    gauge("established", |listener| state(&listener.tcp_states, "established")),
    gauge("time_wait", |listener| state(&listener.tcp_states, "time_wait")),
    gauge("close_wait", |listener| state(&listener.tcp_states, "close_wait")),
    rate("accepts_per_s", |listener| Some(listener.sessions.total as f64)),
    rate("requests_per_s", |listener| Some(listener.requests_total as f64)),
    rate("rejects_per_s", |listener| Some(listener.rejects.values().sum::<u64>() as f64)),
];

pub(super) const ENDPOINT: [Column<Endpoint>; 11] = [
    gauge("idle", |endpoint| Some(endpoint.connections.idle as f64)),
    gauge("leased", |endpoint| Some(endpoint.connections.leased as f64)),
    gauge("connecting", |endpoint| Some(endpoint.connections.connecting as f64)),
    gauge("waiting", |endpoint| Some(endpoint.connections.waiting as f64)),
    gauge("time_wait", |endpoint| state(&endpoint.tcp_states, "time_wait")),
    gauge("close_wait", |endpoint| state(&endpoint.tcp_states, "close_wait")),
    Column { name: "ports_free", shape: Shape::Least, read: ports_free },
    rate("opens_per_s", |endpoint| Some(endpoint.opened_total as f64)),
    rate("reuses_per_s", |endpoint| Some(endpoint.reused_total as f64)),
    rate("retries_per_s", |endpoint| Some(endpoint.retries_total as f64)),
    rate("errors_per_s", |endpoint| {
        Some((endpoint.connect_errors_total + endpoint.local_errors_total) as f64)
    }),
];

const fn gauge<T>(name: &'static str, read: fn(&T) -> Option<f64>) -> Column<T> {
    Column { name, shape: Shape::Gauge, read }
}

const fn rate<T>(name: &'static str, read: fn(&T) -> Option<f64>) -> Column<T> {
    Column { name, shape: Shape::Rate, read }
}

/// Where the kernel was asked, a state that it did not mention has no socket.
fn state(states: &Option<TcpStates>, name: &str) -> Option<f64> {
    states.as_ref().map(|states| states.get(name).copied().unwrap_or(0) as f64)
}

/// Of all source addresses together.
fn ports_free(endpoint: &Endpoint) -> Option<f64> {
    let ports: &[Ports] = endpoint.ports.as_deref().filter(|ports| !ports.is_empty())?;
    Some(ports.iter().map(|ports| ports.free).sum::<u64>() as f64)
}
