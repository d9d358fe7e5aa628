//! What is wrong, in words, the worst first. Pure.

use super::format::{self, MISSING};
use super::panes::{is_nearly_full, level_tone, share_taken, tightest};
use super::rates::{EndpointRates, KernelRates, ListenerRates, Rates};
use super::theme::Tone;
use crate::observe::snapshot::{
    AcceptQueue, Budget, CloseWait, Discovered, Endpoint, Kernel, Listener, Snapshot, Upstream,
};

/// Ports or a budget that will last for less than this many seconds are worth a word even while
/// their level is `ok`: it is about as long as it takes to get up and do something about it.
const SOON_S: f64 = 600.0;
/// Shares of RLIMIT_NOFILE for an instance that does not say itself how urgent it is.
const DESCRIPTORS_WARN: f64 = 0.8;
const DESCRIPTORS_CRITICAL: f64 = 0.95;
/// A census is late after so many of its intervals.
const LATE_INTERVALS: f64 = 3.0;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Alarm {
    /// [`Tone::Warn`] or [`Tone::Critical`].
    pub(super) tone: Tone,
    pub(super) text: String,
}

impl Alarm {
    fn warn(text: String) -> Self {
        Self { tone: Tone::Warn, text }
    }

    fn critical(text: String) -> Self {
        Self { tone: Tone::Critical, text }
    }

    /// The tone in a word.
    pub(super) fn word(&self) -> &'static str {
        if self.tone == Tone::Critical { "CRITICAL" } else { "WARNING" }
    }
}

/// Everything that is wrong.
pub(super) fn of(snapshot: &Snapshot, rates: &Rates) -> Vec<Alarm> {
    let mut alarms = Vec::new();
    for (upstream, rates) in snapshot.upstreams.iter().zip(&rates.endpoints) {
        of_upstream(upstream, rates, &mut alarms);
    }
    for (listener, rates) in snapshot.listeners.iter().zip(&rates.listeners) {
        of_listener(listener, rates, &mut alarms);
    }
    alarms.extend(snapshot.close_wait.as_ref().and_then(of_close_wait));
    alarms.extend(budgets(snapshot).iter().filter_map(of_budget));
    of_kernel(&snapshot.kernel, rates, &mut alarms);
    if let Some(census) = snapshot.census.as_ref().filter(|c| c.age_s > c.interval_s * LATE_INTERVALS) {
        let age = format::seconds(census.age_s);
        alarms.push(Alarm::warn(format!("TCP states, queues and ports were last looked at {age} ago")));
    }
    if snapshot.draining {
        alarms.push(Alarm::warn("draining: new clients are not accepted".to_owned()));
    }
    // Stable: what is alike stays in the order above.
    alarms.sort_by_key(|alarm| std::cmp::Reverse(alarm.tone));
    alarms
}

/// The budgets, with the descriptors among them even if the instance does not list them.
pub(super) fn budgets(snapshot: &Snapshot) -> Vec<Budget> {
    let mut budgets = snapshot.budgets.clone();
    if budgets.iter().all(|budget| budget.name != "descriptors") {
        let fds = &snapshot.process.fds;
        let share = fds.used.map_or(0.0, |used| used as f64 / fds.limit.max(1) as f64);
        let level = match share {
            share if share >= DESCRIPTORS_CRITICAL => "critical",
            share if share >= DESCRIPTORS_WARN => "warn",
            _ => "ok",
        };
        let (used, limit) = (fds.used, Some(fds.limit));
        let name = "descriptors".to_owned();
        budgets
            .insert(0, Budget { name, used, limit, per_s: None, exhausts_in_s: None, level: level.into() });
    }
    budgets
}

fn of_upstream(upstream: &Upstream, rates: &[EndpointRates], alarms: &mut Vec<Alarm>) {
    let name = &upstream.name;
    of_names(upstream, alarms);
    let down: Vec<_> = upstream.endpoints.iter().filter(|endpoint| endpoint.health != "up").collect();
    match &down[..] {
        [] => {}
        all if all.len() == upstream.endpoints.len() => {
            alarms.push(Alarm::critical(format!("{name}: every endpoint is down ({})", all.len())));
        }
        [one] => alarms.push(Alarm::critical(format!("{name} {} is {}", one.address, one.health))),
        [first, ..] => {
            let (down, all) = (down.len(), upstream.endpoints.len());
            let text = format!("{name}: {down} of {all} endpoints are down, {} among them", first.address);
            alarms.push(Alarm::critical(text));
        }
    }
    for (endpoint, rates) in upstream.endpoints.iter().zip(rates) {
        of_endpoint(name, endpoint, rates, alarms);
    }
}

/// Names that are not answered for, and upstreams that have no endpoint for that.
fn of_names(upstream: &Upstream, alarms: &mut Vec<Alarm>) {
    for Discovered { name, failures, error, .. } in &upstream.discovery {
        let error = error.as_deref().unwrap_or("no answer yet");
        if upstream.endpoints.is_empty() {
            alarms.push(Alarm::critical(format!("{}: no endpoint, {name}: {error}", upstream.name)));
        } else if *failures > 0 {
            let text = format!("{}: {name} is not answered for: {error}", upstream.name);
            alarms.push(Alarm::warn(text));
        }
    }
}

fn of_endpoint(name: &str, endpoint: &Endpoint, rates: &EndpointRates, alarms: &mut Vec<Alarm>) {
    let name = format!("{name} {}", endpoint.address);
    if let Some(ports) = endpoint.ports.as_deref().and_then(tightest) {
        let tone = urgency(&ports.level, ports.exhausts_in_s);
        if tone > Tone::Good {
            let taken = format::percent(share_taken(ports));
            let (source, end) = (&ports.source, end(ports.exhausts_in_s));
            let text =
                format!("{name}: ports {}, {taken} taken from {source}{end}", level_in_words(&ports.level));
            alarms.push(Alarm { tone, text });
        }
    }
    if let Some(per_s) = some(rates.local_errors) {
        alarms.push(Alarm::critical(format!("{name}: {per_s} connects/s fail for want of something local")));
    }
    if let Some(per_s) = some(rates.connect_errors) {
        alarms.push(Alarm::critical(format!("{name}: {per_s} connects/s fail")));
    }
    if endpoint.connections.waiting > 0 {
        let waiting = format::count(Some(endpoint.connections.waiting));
        alarms.push(Alarm::warn(format!("{name}: {waiting} requests wait for a connection")));
    }
}

/// What a level of the ports means.
fn level_in_words(level: &str) -> String {
    if level == "ok" { "run short".to_owned() } else { format!("at {level}") }
}

fn of_listener(listener: &Listener, rates: &ListenerRates, alarms: &mut Vec<Alarm>) {
    let Listener { name, address, .. } = listener;
    // A listener that was given no name is called by its address.
    let name = if name == address { name.clone() } else { format!("{name} {address}") };
    alarms.extend(of_queue(&name, &listener.accept_queue, rates.drops));
    if let Some(per_s) = some(rates.accept_errors) {
        alarms.push(Alarm::critical(format!("{name}: {per_s} accepts/s fail")));
    }
    if let Some(per_s) = some(rates.rejects) {
        let reason = rates.top_reject.as_deref().unwrap_or(MISSING);
        alarms.push(Alarm::warn(format!("{name}: {per_s} rejects/s, most of them {reason}")));
    }
}

fn of_queue(name: &str, queue: &AcceptQueue, drops: Option<f64>) -> Option<Alarm> {
    let (depth, limit) = (format::count(queue.depth), format::count(Some(queue.limit)));
    let is_full = queue.depth.is_some_and(|depth| depth >= queue.limit);
    match some(drops) {
        Some(per_s) if is_full => Some(Alarm::critical(format!(
            "{name}: the accept queue is full ({depth} of {limit}), {per_s} clients/s are turned away"
        ))),
        Some(per_s) => Some(Alarm::critical(format!(
            "{name}: {per_s} clients/s are turned away before they are accepted ({depth} of {limit} wait)"
        ))),
        None if is_full => Some(Alarm::critical(format!(
            "{name}: the accept queue is full ({depth} of {limit}), clients are turned away"
        ))),
        None if is_nearly_full(queue) => {
            Some(Alarm::warn(format!("{name}: the accept queue is nearly full ({depth} of {limit})")))
        }
        None => was_full(name, queue),
    }
}

/// Nobody is turned away any more, but was a moment ago.
fn was_full(name: &str, queue: &AcceptQueue) -> Option<Alarm> {
    let most = queue.depth_max.filter(|depth| *depth >= queue.limit)?;
    let dropped = queue.drops_total.filter(|drops| *drops > 0);
    let dropped = dropped.map(|drops| format!(", dropped so far: {}", format::count(Some(drops))));
    let (most, limit) = (format::count(Some(most)), format::count(Some(queue.limit)));
    let dropped = dropped.unwrap_or_default();
    let text =
        format!("{name}: the accept queue was full within the last minute ({most} of {limit}){dropped}");
    Some(Alarm::warn(text))
}

fn of_close_wait(close_wait: &CloseWait) -> Option<Alarm> {
    let CloseWait { count, oldest_s, sockets, .. } = close_wait;
    let count = count.unwrap_or(sockets.len() as u64);
    if count == 0 {
        return None;
    }
    let (count, oldest) = (format::count(Some(count)), oldest_s.map_or(MISSING.to_owned(), format::seconds));
    let text = format!("{count} in CLOSE_WAIT, the oldest for {oldest}");
    Some(match sockets.iter().filter(|socket| socket.phase.is_none()).count() {
        0 => Alarm::warn(text),
        lost => Alarm::critical(format!("{text}; {lost} without an owner")),
    })
}

fn of_budget(budget: &Budget) -> Option<Alarm> {
    let tone = urgency(&budget.level, budget.exhausts_in_s);
    let (used, limit) = (format::count(budget.used), format::count(budget.limit));
    let (name, level, end) = (&budget.name, &budget.level, end(budget.exhausts_in_s));
    let text = format!("{name}: {used} of {limit} taken, level {level}{end}");
    (tone > Tone::Good).then_some(Alarm { tone, text })
}

fn of_kernel(kernel: &Kernel, rates: &Rates, alarms: &mut Vec<Alarm>) {
    // What a listener of ours has dropped is told with its name.
    let is_told = rates.listeners.iter().any(|listener| some(listener.drops).is_some());
    let KernelRates { listen_overflows, syn_queue_drops, time_wait_overflow } = rates.kernel;
    if let Some(per_s) = some(listen_overflows).filter(|_| !is_told) {
        let text = format!("this host: {per_s} clients/s are turned away by full accept queues");
        alarms.push(Alarm::critical(text));
    }
    if let Some(per_s) = some(syn_queue_drops) {
        alarms.push(Alarm::critical(format!("this host: {per_s} SYNs/s are dropped by full SYN queues")));
    }
    if let Some(per_s) = some(time_wait_overflow) {
        let text = format!("this host: {per_s} sockets/s skip TIME_WAIT (tcp_max_tw_buckets)");
        alarms.push(Alarm::warn(text));
    }
    if let Some([used, limit]) = kernel.tcp_memory_bytes.filter(|[used, limit]| used >= limit) {
        let (used, limit) = (format::bytes(Some(used)), format::bytes(Some(limit)));
        alarms.push(Alarm::critical(format!("this host: TCP uses {used} of {limit} (tcp_mem)")));
    }
}

/// How urgent something is by its level and by how long it will last.
fn urgency(level: &str, exhausts_in_s: Option<f64>) -> Tone {
    let ends_soon = exhausts_in_s.is_some_and(|seconds| seconds < SOON_S);
    level_tone(level).max(if ends_soon { Tone::Warn } else { Tone::Plain })
}

/// When something ends, as the rest of a sentence.
fn end(exhausts_in_s: Option<f64>) -> String {
    exhausts_in_s.map(|seconds| format!(", none left {}", format::ahead(seconds))).unwrap_or_default()
}

/// A rate, if anything happened.
fn some(per_s: Option<f64>) -> Option<String> {
    per_s.filter(|per_s| *per_s > 0.0).map(|per_s| format::rate(Some(per_s)))
}

#[cfg(test)]
mod tests;
