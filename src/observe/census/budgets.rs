//! Readings of what can run out, and what is said of it.

use crate::metrics::budgets::{BudgetFigures, Resource, Urgency};
use crate::observe::budget::{Outlook, Track};
use crate::registry::Registry;
use crate::sys::{limits, sysctl};
use std::time::Instant;

/// Follows all of them.
#[derive(Debug, Default)]
pub(super) struct Budgets {
    tracks: [Track; Resource::ALL.len()],
}

/// What is taken of how much; or why that is not known.
type Reading = Result<(u64, u64), String>;

impl Budgets {
    /// Reads everything now, and tells of each change of its urgency.
    pub(super) fn read(&mut self, registry: &Registry, now: Instant) {
        let mut all = Vec::with_capacity(Resource::ALL.len());
        for resource in Resource::ALL {
            // What this host does not have cannot run out.
            let Some(reading) = read(resource, registry) else { continue };
            all.push(self.figures(resource, reading, now));
        }
        registry.budgets.set(all);
    }

    fn figures(&mut self, resource: Resource, reading: Reading, now: Instant) -> BudgetFigures {
        let track = &mut self.tracks[resource as usize];
        let (used, limit) = match reading {
            Ok(reading) => reading,
            Err(note) => {
                return BudgetFigures {
                    resource,
                    used: None,
                    limit: None,
                    per_s: None,
                    exhausts_in_s: None,
                    urgency: Urgency::Ok,
                    note: Some(format!("budgets.{}: {note}", resource.label())),
                };
            }
        };
        let Outlook { per_s, exhausts_in_s, urgency, changed_from } = track.note(used, limit, now);
        let (used, limit) = (Some(used), Some(limit));
        let figures = BudgetFigures { resource, used, limit, per_s, exhausts_in_s, urgency, note: None };
        if let Some(before) = changed_from {
            tell(&figures, before);
        }
        figures
    }
}

fn read(resource: Resource, registry: &Registry) -> Option<Reading> {
    let text = |error: std::io::Error| error.to_string();
    match resource {
        Resource::Connections => {
            let budget = &registry.budget;
            Some(Ok(((budget.used() + budget.pipes()) as u64, budget.limit() as u64)))
        }
        Resource::Buffers => Some(Ok((registry.buffers.used() as u64, registry.buffers.limit() as u64))),
        Resource::Descriptors => {
            let limit = descriptors_limit(registry.budget.nofile() as u64);
            Some(match limits::counted_descriptors().map_err(text) {
                Ok(Some(used)) => Ok((used as u64, limit)),
                Ok(None) => Err("this kernel, before Linux 6.2, has to list them to count them; \
                                 process.fds.used is counted when it is asked for"
                    .to_owned()),
                Err(error) => Err(error),
            })
        }
        Resource::Files => match sysctl::read("fs.file-nr").map_err(text) {
            Ok(None) => None,
            Ok(Some(line)) => Some(files(&line)),
            Err(error) => Some(Err(error)),
        },
        Resource::Conntrack => {
            let value = |name: &str| match sysctl::read(&format!("net.netfilter.nf_conntrack_{name}")) {
                Ok(text) => Ok(text.map(|text| text.parse::<u64>())),
                Err(error) => Err(error.to_string()),
            };
            match (value("count"), value("max")) {
                (Ok(Some(Ok(count))), Ok(Some(Ok(max)))) => Some(Ok((count, max))),
                (Err(error), _) | (_, Err(error)) => Some(Err(error)),
                (Ok(None), _) | (_, Ok(None)) => None,
                _ => Some(Err("net.netfilter.nf_conntrack_count or _max is no number".to_owned())),
            }
        }
    }
}

/// RLIMIT_NOFILE, unless the host allows a process no more than less.
fn descriptors_limit(nofile: u64) -> u64 {
    let nr_open = sysctl::read("fs.nr_open").ok().flatten().and_then(|text| text.parse().ok());
    nr_open.map_or(nofile, |most: u64| nofile.min(most))
}

/// Files open, files that are free again, and the most that there may be (fs.file-nr in proc_sys_fs(5)).
fn files(line: &str) -> Reading {
    let mut numbers = line.split_ascii_whitespace().map(str::parse::<u64>);
    match (numbers.next(), numbers.next(), numbers.next()) {
        (Some(Ok(open)), Some(Ok(free)), Some(Ok(most))) => Ok((open.saturating_sub(free), most)),
        _ => Err(format!("fs.file-nr: not understood: {line:?}")),
    }
}

fn tell(figures: &BudgetFigures, before: Urgency) {
    let BudgetFigures { resource, used, limit, per_s, exhausts_in_s, urgency, .. } = figures;
    let (name, level) = (resource.label(), urgency.label());
    let (per_s, exhausts_in_s) = (per_s.map(f64::round), exhausts_in_s.map(f64::round));
    if *urgency < before {
        tracing::info!(budget = name, level, used, limit, per_s, exhausts_in_s, "there is more again");
        return;
    }
    tracing::warn!(
        budget = name,
        level,
        used,
        limit,
        per_s,
        exhausts_in_s,
        "running low: {}",
        remedy(*resource)
    );
}

fn remedy(resource: Resource) -> &'static str {
    match resource {
        Resource::Connections => {
            "beyond the limit clients are refused; raise RLIMIT_NOFILE (LimitNOFILE= in a systemd unit), or \
             find out who holds so many: millpond conns"
        }
        Resource::Buffers => {
            "beyond the limit buffers stay small and long heads are refused; find out whose bytes are held up \
             (millpond conns), or raise runtime.buffer_memory"
        }
        Resource::Descriptors => "raise RLIMIT_NOFILE (LimitNOFILE= in a systemd unit)",
        Resource::Files => "raise fs.file-max, or find out which process has them",
        Resource::Conntrack => {
            "beyond the limit packets are dropped; raise net.netfilter.nf_conntrack_max, or do not track \
             these connections"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::fixture::{self, Log};
    use std::time::Duration;

    #[test]
    fn files_are_those_that_are_open_and_not_free_again() {
        assert_eq!(files("2176\t100\t9223372036854775807"), Ok((2076, 9_223_372_036_854_775_807)));
        for line in ["", "1 2", "a b c"] {
            assert!(files(line).is_err(), "{line:?}");
        }
    }

    #[test]
    fn this_host_has_budgets_and_they_are_counted() {
        let (mut budgets, registry, now) = (Budgets::default(), fixture::registry(), Instant::now());
        budgets.read(&registry, now);
        let figures = registry.budgets.get();
        let of = |resource| figures.iter().find(|figures| figures.resource == resource).unwrap();
        let connections = of(Resource::Connections);
        assert_eq!((connections.used, connections.limit), (Some(6), Some(20_000 - 10 - 64)));
        let descriptors = of(Resource::Descriptors);
        assert!(descriptors.used.is_some_and(|used| used > 2), "{descriptors:?}");
        assert_eq!(descriptors.limit, Some(20_000));
        assert!(of(Resource::Files).used > Some(10) && of(Resource::Files).note.is_none());
    }

    #[test]
    fn a_change_is_logged_once_with_its_numbers() {
        let log = Log::default();
        let (mut budgets, start) = (Budgets::default(), Instant::now());
        tracing::subscriber::with_default(log.subscriber(), || {
            for (second, used) in (0..).zip([10, 85, 85, 85, 96, 96, 10, 10, 10, 10, 10, 10, 10]) {
                let now = start + Duration::from_secs(second);
                budgets.figures(Resource::Files, Ok((used, 100)), now);
            }
        });
        let lines = log.lines();
        let expected = [
            ("WARN", "level=\"warn\" used=85 limit=100", "raise fs.file-max"),
            ("WARN", "level=\"critical\" used=96 limit=100", "raise fs.file-max"),
            ("INFO", "level=\"ok\" used=10 limit=100", "there is more again"),
        ];
        assert_eq!(lines.len(), expected.len(), "{lines:?}");
        for (line, (kind, numbers, words)) in lines.iter().zip(expected) {
            assert!(
                [kind, numbers, words, "budget=\"files\""].iter().all(|part| line.contains(part)),
                "{line}"
            );
        }
    }

    #[test]
    fn what_cannot_be_read_has_a_note_and_no_number() {
        let figures = Budgets::default().figures(Resource::Files, Err("no".to_owned()), Instant::now());
        assert_eq!((figures.used, figures.limit), (None, None));
        assert_eq!(figures.note.as_deref(), Some("budgets.files: no"));
    }
}
