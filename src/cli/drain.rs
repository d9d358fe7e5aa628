//! `millpond drain`: has a running instance end, and waits for it if told to.

use super::args::{AdminTarget, DrainArgs};
use super::fetch::{self, FetchError};
use super::health;
use anyhow::Context;
use humantime::{format_duration, parse_duration};
use serde_json::Value;
use std::io::Write;
use std::thread;
use std::time::{Duration, Instant};

/// Between two looks at an instance that drains.
const STEP: Duration = Duration::from_millis(100);
/// What the end of the process takes after the deadline of its drain, on a busy machine.
const GRACE: Duration = Duration::from_secs(10);

/// Begins the drain. The result is the exit code: 1 when the instance is still there after its deadline.
pub(super) fn drain(args: &DrainArgs, out: &mut dyn Write) -> anyhow::Result<u8> {
    let target = &args.instance.admin;
    // Asked first: once it drains it may be gone at any time.
    let deadline = if args.wait { Some(shutdown_timeout(args)?) } else { None };
    fetch::post(&args.instance, "/drain")?;
    writeln!(out, "{target} drains")?;
    out.flush()?;
    let Some(deadline) = deadline else { return Ok(0) };
    let begun = Instant::now();
    while begun.elapsed() < deadline + GRACE {
        if has_ended(target) {
            let time = Duration::from_millis(begun.elapsed().as_millis().try_into().unwrap_or(u64::MAX));
            writeln!(out, "{target} has ended after {}", format_duration(time))?;
            out.flush()?;
            return Ok(0);
        }
        thread::sleep(STEP);
    }
    anyhow::bail!(
        "{target} has not ended {} after its deadline (runtime.shutdown_timeout, {}); a second SIGTERM ends it at \
         once",
        format_duration(GRACE),
        format_duration(deadline),
    )
}

/// What the instance allows itself for a drain.
fn shutdown_timeout(args: &DrainArgs) -> anyhow::Result<Duration> {
    let config: Value = serde_json::from_slice(&fetch::get(&args.instance, "/config")?)?;
    let written = config["runtime"]["shutdown_timeout"].as_str();
    written.and_then(|written| parse_duration(written).ok()).with_context(|| {
        format!(
            "GET /config of {} has no runtime.shutdown_timeout that could be waited for",
            args.instance.admin
        )
    })
}

/// Whether nobody is there any more, or somebody else is. Who is about to end may break off an answer.
fn has_ended(target: &AdminTarget) -> bool {
    match fetch::probe(target, health::READY) {
        Ok(_) => true,
        Err(error @ FetchError::NotThere { .. }) => error.is_nobody(),
        Err(_) => false,
    }
}
