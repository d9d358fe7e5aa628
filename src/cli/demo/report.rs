//! The demo's table.

use super::load::Outcome;
use super::sockets::Sockets;
use crate::cli::table::{Align, Table, count, percent};
use std::io;

/// What the demo found out.
pub(super) struct Report {
    pub(super) runs: Vec<Run>,
    pub(super) sockets: io::Result<Sockets>,
}

/// One load and what the proxy did for it.
pub(super) struct Run {
    /// How the clients behaved.
    pub(super) clients: &'static str,
    pub(super) outcome: Outcome,
    pub(super) opened: Opened,
}

/// Upstream connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Opened {
    /// Established.
    pub(super) opened: u64,
    /// Leases that were served by a connection used before.
    pub(super) reused: u64,
}

impl Opened {
    /// What came on top of `earlier`.
    pub(super) fn since(self, earlier: Self) -> Self {
        Self { opened: self.opened - earlier.opened, reused: self.reused - earlier.reused }
    }
}

impl Report {
    /// Requests that failed.
    pub(super) fn failed(&self) -> usize {
        self.runs.iter().map(|run| run.outcome.failed).sum()
    }

    /// For people, ending with a line feed.
    pub(super) fn render(&self) -> String {
        format!("{}\n{}{}", self.runs_table(), self.kernel(), self.comparison())
    }

    fn runs_table(&self) -> String {
        let mut table = Table::new(&[
            ("CLIENTS", Align::Left),
            ("REQUESTS", Align::Right),
            ("FAILED", Align::Right),
            ("SECONDS", Align::Right),
            ("UPSTREAM CONNECTIONS OPENED", Align::Right),
            ("REUSE", Align::Right),
        ]);
        for Run { clients, outcome, opened } in &self.runs {
            let leases = opened.opened + opened.reused;
            table.row(vec![
                (*clients).to_owned(),
                count(outcome.requests as u64),
                count(outcome.failed as u64),
                format!("{:.2}", outcome.elapsed.as_secs_f64()),
                count(opened.opened),
                if leases == 0 { "-".to_owned() } else { percent(opened.reused as f64 / leases as f64) },
            ]);
        }
        table.render()
    }

    fn kernel(&self) -> String {
        let sockets = match &self.sockets {
            Ok(sockets) => sockets,
            Err(error) => return format!("sockets to the origin: could not be read: {error}\n"),
        };
        let mut states: Vec<String> =
            sockets.states.iter().map(|(state, n)| format!("{state} {}", count(*n as u64))).collect();
        if !sockets.states.contains_key("time_wait") {
            states.push("time_wait 0".to_owned());
        }
        format!(
            "sockets to the origin: {}\nports free for the origin: {} of {}\n",
            states.join(", "),
            count(sockets.ports_free as u64),
            count(sockets.ports as u64),
        )
    }

    fn comparison(&self) -> String {
        let requests: usize = self.runs.iter().map(|run| run.outcome.requests).sum();
        let opened: u64 = self.runs.iter().map(|run| run.opened.opened).sum();
        format!(
            "upstream connections opened: {}; without a pool it would have been one a request: {}\n",
            count(opened),
            count(requests as u64),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn run(clients: &'static str, requests: usize, failed: usize, opened: u64, reused: u64) -> Run {
        let outcome = Outcome { requests, failed, elapsed: Duration::from_millis(1234) };
        Run { clients, outcome, opened: Opened { opened, reused } }
    }

    #[test]
    fn the_table() {
        let states = [("established", 12)].into();
        let report = Report {
            runs: vec![run("keep-alive", 16_000, 0, 12, 15_988), run("reconnecting", 1_000, 2, 0, 1_000)],
            sockets: Ok(Sockets { states, ports_free: 28_220, ports: 28_232 }),
        };
        assert_eq!(report.failed(), 2);
        assert_eq!(
            report.render(),
            "\
CLIENTS       REQUESTS  FAILED  SECONDS  UPSTREAM CONNECTIONS OPENED   REUSE
keep-alive      16,000       0     1.23                           12   99.9%
reconnecting     1,000       2     1.23                            0  100.0%

sockets to the origin: established 12, time_wait 0
ports free for the origin: 28,220 of 28,232
upstream connections opened: 12; without a pool it would have been one a request: 17,000
"
        );
    }

    #[test]
    fn what_could_not_be_read_is_not_zero() {
        let runs = vec![run("keep-alive", 10, 10, 0, 0)];
        let report = Report { runs, sockets: Err(io::Error::other("netlink says no")) };
        let text = report.render();
        assert!(text.contains("sockets to the origin: could not be read: netlink says no\n"), "{text}");
        assert!(!text.contains("ports free") && text.contains("      -\n"), "{text}");
    }
}
