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
    let Some(time) = end_within(target, deadline + GRACE) else {
        anyhow::bail!(
            "{target} has not ended {} after its deadline (runtime.shutdown_timeout, {}); a second SIGTERM ends it at \
             once",
            format_duration(GRACE),
            format_duration(deadline),
        )
    };
    writeln!(out, "{target} has ended after {}", format_duration(time))?;
    out.flush()?;
    Ok(0)
}

/// How long it took to end, in whole milliseconds; `None`: it is still there after `most`.
fn end_within(target: &AdminTarget, most: Duration) -> Option<Duration> {
    let begun = Instant::now();
    while begun.elapsed() < most {
        if has_ended(target) {
            return Some(Duration::from_millis(begun.elapsed().as_millis().try_into().unwrap_or(u64::MAX)));
        }
        thread::sleep(STEP);
    }
    None
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::net::TcpListener;

    /// Somebody who gives these answers, one a connection, and is gone after the last.
    fn answering(answers: &'static [&'static str]) -> AdminTarget {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let target = AdminTarget::Tcp(listener.local_addr().unwrap().to_string());
        thread::spawn(move || {
            for answer in answers {
                let (mut stream, _) = listener.accept().unwrap();
                let _ = stream.read(&mut [0; 4096]);
                let _ = write!(stream, "{answer}");
            }
        });
        target
    }

    const DRAINS: &str = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n";
    const SERVES: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn an_instance_that_goes_on_draining_has_not_ended() {
        let target = answering(&[DRAINS; 100]);
        assert_eq!(end_within(&target, 3 * STEP), None);
    }

    #[test]
    fn nobody_there_and_somebody_else_there_are_ends() {
        // An answer that is broken off is none.
        let gone = answering(&[DRAINS, "HTTP/1.1 503 Serv"]);
        assert!(end_within(&gone, LONG).is_some_and(|time| time >= 2 * STEP));
        let replaced = answering(&[DRAINS, SERVES]);
        assert!(end_within(&replaced, LONG).is_some_and(|time| time >= STEP));
    }
}
