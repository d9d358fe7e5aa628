//! `millpond upgrade`: a running instance lets a new process take over.

use super::args::UpgradeArgs;
use super::fetch::{self, FetchError};
use crate::admin::upgrade::{Failure, Upgraded};
use crate::observe::snapshot::Snapshot;
use anyhow::Context;
use hyper::StatusCode;
use std::io::Write;
use std::thread;
use std::time::{Duration, Instant};

const PATH: &str = "/upgrade";

/// What the new process may take until it is the one that answers.
const ANSWERING: Duration = Duration::from_secs(10);

/// Between two looks who answers.
const STEP: Duration = Duration::from_millis(50);

/// Asks for it, waits until the new process answers, and prints what it has.
pub(super) fn upgrade(args: &UpgradeArgs, out: &mut dyn Write) -> anyhow::Result<u8> {
    anyhow::ensure!(
        args.binary.is_none(),
        "--binary: a running instance starts no program but the one at the path by which it was started itself, \
         since whoever reaches its admin server could have it run anything: put the new version there"
    );
    let target = &args.instance.admin;
    let (status, body) = fetch::order(&args.instance, PATH)?;
    let strange =
        || format!("{target} answers {status} to POST {PATH}, which this version does not understand");
    if status != StatusCode::OK {
        let failure: Failure = serde_json::from_slice(&body).with_context(strange)?;
        if args.json {
            out.write_all(&body)?;
            out.flush()?;
            return Ok(1);
        }
        anyhow::bail!("not upgraded, the same process serves on: {}", failure.error)
    }
    let upgraded: Upgraded = serde_json::from_slice(&body).with_context(strange)?;
    wait_for(args, upgraded.new.pid)?;
    out.write_all(if args.json { body.to_vec() } else { describe(&upgraded).into_bytes() }.as_slice())?;
    out.flush()?;
    Ok(0)
}

/// Waits until the process with this id is the one that answers.
fn wait_for(args: &UpgradeArgs, pid: u32) -> anyhow::Result<()> {
    let end = Instant::now() + ANSWERING;
    loop {
        match asked(args) {
            Ok(found) if found == Some(pid) => return Ok(()),
            found if Instant::now() >= end => anyhow::bail!(
                "process {pid} has taken over, but it does not answer at {} ({}): has admin.listen changed?",
                args.instance.admin,
                found.map_or_else(|error| error.to_string(), |other| format!("process {other:?} does")),
            ),
            _ => thread::sleep(STEP),
        }
    }
}

fn asked(args: &UpgradeArgs) -> Result<Option<u32>, FetchError> {
    let body = fetch::get(&args.instance, "/stats")?;
    Ok(serde_json::from_slice::<Snapshot>(&body).ok().and_then(|stats| stats.process.pid))
}

fn describe(upgraded: &Upgraded) -> String {
    let Upgraded { old, new, listening_sockets, bound, connections } = upgraded;
    let mut text = format!(
        "upgraded: process {} (millpond {}) serves, process {} (millpond {}) drains\n",
        new.pid, new.version, old.pid, old.version
    );
    text.push_str(&format!("  {listening_sockets} listening sockets handed over\n"));
    if *bound > 0 {
        text.push_str(&format!("  {bound} addresses bound by the new process\n"));
    }
    text.push_str(&format!(
        "  {connections} idle connections to endpoints handed over; more follow while process {} drains\n",
        old.pid
    ));
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::upgrade::Instance;

    #[test]
    fn it_is_told_who_serves_and_what_came_along() {
        let of = |pid| Instance { pid, version: "1.0".into() };
        let mut upgraded =
            Upgraded { old: of(7), new: of(8), listening_sockets: 4, bound: 0, connections: 60 };
        let expected = "upgraded: process 8 (millpond 1.0) serves, process 7 (millpond 1.0) drains\n  \
                        4 listening sockets handed over\n  \
                        60 idle connections to endpoints handed over; more follow while process 7 drains\n";
        assert_eq!(describe(&upgraded), expected);
        upgraded.bound = 1;
        assert!(describe(&upgraded).contains("  1 addresses bound by the new process\n"));
    }
}
