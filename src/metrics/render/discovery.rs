//! The names that stand for endpoints.

use super::Text;
use crate::discovery::report::Report;
use crate::metrics::names;
use crate::registry::{Registry, Running};
use std::time::Instant;

pub(super) fn render(text: &mut Text, registry: &Registry, running: &Running) {
    let now = Instant::now();
    let of = |upstream: &crate::registry::UpstreamState| {
        let name = upstream.config.name.clone();
        registry.discovery.of(&name).into_iter().map(move |report| (name.clone(), report))
    };
    let all: Vec<(String, Report)> = running.upstreams.iter().flat_map(|upstream| of(upstream)).collect();
    let mut family = text.family(names::DNS_LOOKUPS);
    for (upstream, Report { name, counts, .. }) in &all {
        let results = [
            ("found", counts.found),
            ("partial", counts.partial),
            ("empty", counts.empty),
            ("failed", counts.failed),
        ];
        for (result, count) in results {
            family.sample(&[upstream, name, result], count);
        }
    }
    let mut family = text.family(names::DNS_ENDPOINTS);
    for (upstream, report) in &all {
        family.sample(&[upstream, &report.name], report.endpoints as u64);
    }
    let mut family = text.family(names::DNS_FAILURES);
    for (upstream, report) in &all {
        family.sample(&[upstream, &report.name], report.failures);
    }
    let mut family = text.family(names::DNS_AGE);
    for (upstream, report) in &all {
        if let Some(age) = report.age(now) {
            family.sample(&[upstream, &report.name], age.as_secs_f64());
        }
    }
}
