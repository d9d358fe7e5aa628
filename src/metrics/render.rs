//! The counters as Prometheus text, exposition format 0.0.4
//! (<https://prometheus.io/docs/instrumenting/exposition_formats/>).

mod discovery;
mod kernel_view;

use super::counters::{Counter, DURATION_BUCKETS_US, EndpointCounters, ListenerCounters};
use super::host::Host;
use super::names::{self, Metric};
use crate::reason::{CloseReason, DiscardReason, RejectReason};
use crate::registry::{EndpointState, ListenerState, Registry, Running};
use crate::source::ports::Figures;
use std::fmt::{Display, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The `Content-Type` of [`render`]'s text.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Every metric of [`names::ALL`]. What `host` could not read is left out, and so is
/// `access_log_lost` when there is no access log: a missing figure is never 0.
pub fn render(registry: &Registry, host: &Host, access_log_lost: Option<u64>) -> String {
    let mut text = Text { out: String::with_capacity(16 * 1024) };
    process(&mut text, registry, host, access_log_lost);
    kernel_view::budgets(&mut text, registry);
    kernel_view::census(&mut text, registry);
    kernel(&mut text, host);
    let running = registry.running();
    let listeners = by_name(running.all_listeners());
    let endpoints = endpoints(&running);
    kernel_view::sockets(&mut text, registry, &listeners, &endpoints);
    kernel_view::accept_queues(&mut text, registry, &listeners);
    client_side(&mut text, &listeners);
    client_reasons(&mut text, &listeners);
    connections(&mut text, &endpoints);
    upstream_side(&mut text, &endpoints);
    discovery::render(&mut text, registry, &running);
    source_ports(&mut text, &endpoints);
    text.out
}

/// Listener addresses that share a name, which is the label: their counts are added up.
type Listeners<'a> = Vec<(&'a str, Vec<&'a ListenerState>)>;

fn by_name<'a>(states: impl Iterator<Item = &'a Arc<ListenerState>>) -> Listeners<'a> {
    let mut groups: Listeners<'_> = Vec::new();
    for state in states {
        let name = state.config.name.as_str();
        match groups.iter_mut().find(|(known, _)| *known == name) {
            Some((_, group)) => group.push(state),
            None => groups.push((name, vec![state])),
        }
    }
    groups
}

/// Which of a worker's counters a metric is.
type Pick<C> = fn(&C) -> &Counter;

/// One endpoint with its labels.
struct Endpoint<'a> {
    upstream: &'a str,
    address: String,
    up: bool,
    idle_timeout: Duration,
    state: &'a EndpointState,
}

fn endpoints(running: &Running) -> Vec<Endpoint<'_>> {
    let now = Instant::now();
    let all = running.all_upstreams().flat_map(|upstream| {
        upstream.endpoints.iter().map(|state| Endpoint {
            upstream: &upstream.config.name,
            address: state.address.to_string(),
            up: state.is_up(),
            idle_timeout: state.idle_timeout_at(&upstream.config, now).0,
            state,
        })
    });
    all.collect()
}

fn process(text: &mut Text, registry: &Registry, host: &Host, access_log_lost: Option<u64>) {
    text.family(names::BUILD_INFO).sample(&[env!("CARGO_PKG_VERSION")], 1);
    text.family(names::UPTIME).sample(&[], registry.started.elapsed().as_secs_f64());
    text.family(names::DRAINING).sample(&[], u8::from(registry.is_draining()));
    let mut family = text.family(names::WORKER_RESTARTS);
    let workers = registry.running().config.runtime.workers;
    for (worker, count) in registry.restarts.by_worker(workers) {
        family.sample(&[&worker.to_string()], count);
    }
    text.family(names::CONFIG_GENERATION).sample(&[], registry.running().generation);
    text.family(names::CONFIG_RELOADS).sample(&[], registry.reloads.succeeded_total());
    text.family(names::CONFIG_RELOAD_FAILURES).sample(&[], registry.reloads.failed_total());
    let status = registry.reloads.status();
    if status.path.is_some() {
        text.family(names::CONFIG_FILE_DIFFERS).sample(&[], u8::from(status.differs));
    }
    let budget = &registry.budget;
    let (clients, used) = (budget.clients() as u64, budget.used() as u64);
    let mut family = text.family(names::DESCRIPTORS);
    family.sample(&["client"], clients).sample(&["upstream"], used.saturating_sub(clients));
    if let Some(open) = host.descriptors {
        family.sample(&["other"], open.saturating_sub(used));
    }
    text.family(names::DESCRIPTORS_LIMIT).sample(&[], budget.nofile());
    text.family(names::DESCRIPTORS_BUDGET).sample(&[], budget.limit());
    if let Some(bytes) = host.resident_bytes {
        text.family(names::MEMORY_RESIDENT).sample(&[], bytes);
    }
    close_wait(text, registry);
    if let Some(lines) = access_log_lost {
        text.family(names::ACCESS_LOG_LOST).sample(&[], lines);
    }
}

fn close_wait(text: &mut Text, registry: &Registry) {
    if let Ok(stuck) = registry.close_wait.stuck(Instant::now()) {
        text.family(names::CLOSE_WAIT_SOCKETS).sample(&[], stuck.count);
        text.family(names::CLOSE_WAIT_OLDEST).sample(&[], stuck.oldest.as_secs_f64());
    }
    text.family(names::CLOSE_WAIT_REAPED).sample(&[], registry.close_wait.reaped_total());
}

fn kernel(text: &mut Text, host: &Host) {
    let figures = [
        (names::KERNEL_LISTEN_OVERFLOWS, host.tcp.listen_overflows),
        (names::KERNEL_LISTEN_DROPS, host.tcp.listen_drops),
        (names::KERNEL_SYN_QUEUE_DROPS, host.tcp.syn_queue_drops),
        (names::KERNEL_SYN_QUEUE_COOKIES, host.tcp.syn_queue_cookies),
        (names::KERNEL_SYNCOOKIES, host.tcp.syncookies_sent),
        (names::KERNEL_TIME_WAIT_OVERFLOW, host.tcp.time_wait_overflow),
        (names::KERNEL_ORPHANS, host.tcp_sockets.orphans),
        (names::KERNEL_TCP_MEMORY, host.tcp_sockets.memory_bytes),
        (names::KERNEL_TCP_MEMORY_LIMIT, host.tcp_memory_limit),
    ];
    for (metric, figure) in figures {
        if let Some(figure) = figure {
            text.family(metric).sample(&[], figure);
        }
    }
}

fn client_side(text: &mut Text, listeners: &Listeners<'_>) {
    let mut family = text.family(names::SESSIONS);
    for (name, states) in listeners {
        family.sample(&[name], states.iter().map(|state| state.gauge(|w| &w.sessions)).sum::<u64>());
    }
    let counters: [(Metric, Pick<ListenerCounters>); 5] = [
        (names::SESSIONS_TOTAL, |w| &w.sessions_total),
        (names::ACCEPT_ERRORS, |w| &w.accept_errors),
        (names::REQUESTS, |w| &w.requests_total),
        (names::RECEIVED_BYTES, |w| &w.received_bytes),
        (names::SENT_BYTES, |w| &w.sent_bytes),
    ];
    for (metric, pick) in counters {
        let mut family = text.family(metric);
        for (name, states) in listeners {
            family.sample(&[name], states.iter().map(|state| state.total(pick)).sum::<u64>());
        }
    }
}

fn client_reasons(text: &mut Text, listeners: &Listeners<'_>) {
    let sum = |states: &[&ListenerState], pick: &dyn Fn(&ListenerCounters) -> u64| -> u64 {
        states.iter().flat_map(|state| state.workers.iter()).map(pick).sum()
    };
    let mut family = text.family(names::RESPONSES);
    for (name, states) in listeners {
        for (index, class) in RESPONSE_CLASSES.iter().enumerate() {
            family.sample(&[name, class], sum(states, &|w| w.responses.get(index)));
        }
    }
    let mut family = text.family(names::REJECTS);
    for (name, states) in listeners {
        for reason in RejectReason::ALL {
            family.sample(&[name, reason.label()], sum(states, &|w| w.rejects.get(reason.index())));
        }
    }
    let mut family = text.family(names::CLOSES);
    for (name, states) in listeners {
        for reason in CloseReason::ALL {
            family.sample(&[name, reason.label()], sum(states, &|w| w.closes.get(reason.index())));
        }
    }
    let mut family = text.family(names::REQUEST_DURATION);
    for (name, states) in listeners {
        let mut counts = [0; DURATION_BUCKETS_US.len() + 1];
        for worker in states.iter().flat_map(|state| state.workers.iter()) {
            for (count, more) in counts.iter_mut().zip(worker.request_duration.buckets()) {
                *count += more;
            }
        }
        let sum_us = sum(states, &|w| w.request_duration.sum_us());
        family.histogram(&[name], &counts, sum_us);
    }
}

/// The label values of `class`, by the index in [`ListenerCounters::responses`].
pub const RESPONSE_CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

fn connections(text: &mut Text, endpoints: &[Endpoint<'_>]) {
    let mut family = text.family(names::ENDPOINT_UP);
    for endpoint in endpoints {
        family.sample(&[endpoint.upstream, &endpoint.address], u8::from(endpoint.up));
    }
    let mut family = text.family(names::UPSTREAM_CONNECTIONS);
    for Endpoint { upstream, address, state, .. } in endpoints {
        family.sample(&[upstream, address, "idle"], state.gauge(|w| &w.idle));
        family.sample(&[upstream, address, "leased"], state.gauge(|w| &w.leased));
        family.sample(&[upstream, address, "connecting"], state.gauge(|w| &w.connecting));
    }
    let mut family = text.family(names::UPSTREAM_IDLE_TIMEOUT);
    for Endpoint { upstream, address, idle_timeout, .. } in endpoints {
        family.sample(&[upstream, address], idle_timeout.as_secs_f64());
    }
    let mut family = text.family(names::UPSTREAM_WAITING);
    for Endpoint { upstream, address, state, .. } in endpoints {
        family.sample(&[upstream, address], state.gauge(|w| &w.waiting));
    }
}

fn upstream_side(text: &mut Text, endpoints: &[Endpoint<'_>]) {
    let counters: [(Metric, Pick<EndpointCounters>); 10] = [
        (names::UPSTREAM_OPENED, |w| &w.opened_total),
        (names::UPSTREAM_REUSED, |w| &w.reused_total),
        (names::UPSTREAM_TAKEN_OVER, |w| &w.taken_over_total),
        (names::UPSTREAM_RETRIES, |w| &w.retries_total),
        (names::UPSTREAM_CONNECT_ERRORS, |w| &w.connect_errors_total),
        (names::UPSTREAM_LOCAL_ERRORS, |w| &w.local_errors_total),
        (names::UPSTREAM_TIME_WAIT_CAUSED, |w| &w.time_wait_caused_total),
        (names::UPSTREAM_TIME_WAIT_AVOIDED, |w| &w.time_wait_avoided_total),
        (names::UPSTREAM_SENT_BYTES, |w| &w.sent_bytes),
        (names::UPSTREAM_RECEIVED_BYTES, |w| &w.received_bytes),
    ];
    for (metric, pick) in counters {
        let mut family = text.family(metric);
        for Endpoint { upstream, address, state, .. } in endpoints {
            family.sample(&[upstream, address], state.total(pick));
        }
    }
    let mut family = text.family(names::UPSTREAM_DISCARDS);
    for Endpoint { upstream, address, state, .. } in endpoints {
        for reason in DiscardReason::ALL {
            let count: u64 = state.workers.iter().map(|w| w.discards.get(reason.index())).sum();
            family.sample(&[upstream, address, reason.label()], count);
        }
    }
}

fn source_ports(text: &mut Text, endpoints: &[Endpoint<'_>]) {
    let now = Instant::now();
    let mut rows = Vec::new();
    for Endpoint { upstream, address, state, .. } in endpoints {
        for ports in state.sources().iter() {
            let figures = ports.figures(now);
            rows.push(([*upstream, address], figures.source.to_string(), figures, ports.unavailable_total()));
        }
    }
    type Read = fn(&Figures) -> Option<f64>;
    let gauges: [(Metric, Read); 6] = [
        (names::SOURCE_PORTS_CAPACITY, |f| Some(f.capacity.into())),
        (names::SOURCE_PORTS_USED, |f| Some(f.used.into())),
        (names::SOURCE_PORTS_TIME_WAIT, |f| Some(f.time_wait.into())),
        (names::SOURCE_PORTS_FREE, |f| Some(f.free.into())),
        (names::SOURCE_PORTS_EXHAUSTION, |f| f.exhausts_in_s),
        (names::SOURCE_PORTS_LEVEL, |f| Some(f64::from(f.level as u8))),
    ];
    for (metric, pick) in gauges {
        let mut family = text.family(metric);
        for ([upstream, address], source, figures, _) in &rows {
            if let Some(value) = pick(figures) {
                family.sample(&[upstream, address, source], value);
            }
        }
    }
    let mut family = text.family(names::SOURCE_PORTS_UNAVAILABLE);
    for ([upstream, address], source, _, unavailable) in &rows {
        family.sample(&[upstream, address, source], *unavailable);
    }
}

struct Text {
    out: String,
}

impl Text {
    /// Begins a family; its samples follow.
    fn family(&mut self, metric: Metric) -> Family<'_> {
        debug_assert!(names::ALL.contains(&metric), "{} is not listed", metric.name);
        let Metric { name, kind, help, .. } = metric;
        let kind = kind.word();
        push(&mut self.out, format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
        Family { out: &mut self.out, metric }
    }
}

/// A family whose header is written.
struct Family<'a> {
    out: &'a mut String,
    metric: Metric,
}

impl Family<'_> {
    /// One sample; `values` stand in the order of [`Metric::labels`].
    fn sample(&mut self, values: &[&str], value: impl Display) -> &mut Self {
        self.line("", values, None, value);
        self
    }

    /// The samples of one histogram; `counts` are by bucket, not cumulative.
    fn histogram(&mut self, values: &[&str], counts: &[u64; DURATION_BUCKETS_US.len() + 1], sum_us: u64) {
        let mut below = 0;
        for (count, bound_us) in counts.iter().zip(DURATION_BUCKETS_US) {
            below += count;
            self.line("_bucket", values, Some(&seconds(bound_us).to_string()), below);
        }
        let total = below + counts[DURATION_BUCKETS_US.len()];
        self.line("_bucket", values, Some("+Inf"), total);
        self.line("_sum", values, None, seconds(sum_us));
        self.line("_count", values, None, total);
    }

    fn line(&mut self, suffix: &str, values: &[&str], le: Option<&str>, value: impl Display) {
        debug_assert_eq!(values.len(), self.metric.labels.len(), "{}", self.metric.name);
        self.out.push_str(self.metric.name);
        self.out.push_str(suffix);
        let pairs = self.metric.labels.iter().copied().zip(values.iter().copied());
        let mut separator = '{';
        // A label without a value is one that is not there.
        let pairs = pairs.filter(|(_, value)| !value.is_empty());
        for (label, value) in pairs.chain(le.map(|bound| ("le", bound))) {
            self.out.push(separator);
            separator = ',';
            self.out.push_str(label);
            self.out.push_str("=\"");
            push_escaped(self.out, value);
            self.out.push('"');
        }
        if separator == ',' {
            self.out.push('}');
        }
        push(self.out, format_args!(" {value}\n"));
    }
}

fn seconds(us: u64) -> f64 {
    us as f64 / 1e6
}

/// A label value: backslash, quote and line feed are escaped, everything else stands as it is.
fn push_escaped(out: &mut String, value: &str) {
    for char in value.chars() {
        match char {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            other => out.push(other),
        }
    }
}

fn push(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = out.write_fmt(text);
}

#[cfg(test)]
mod tests;
