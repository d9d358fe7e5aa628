//! The load: a fixed number of clients, each with one request under way.

mod client;
mod generator;
mod pace;
mod request;
mod tally;

use std::process::ExitCode;
use std::time::Duration;

use bench_tools::args::{self, Args, Failure};
use bench_tools::http::{self, Expected};
use bench_tools::sys;

use generator::{Generator, Plan};
use request::Shape;

const USAGE: &str = "\
load: sends requests from a fixed number of clients and checks every answer

A closed loop: each client has one request under way and sends the next when the answer is whole. An
answer counts when its status is 200, its length the one asked for, and its bytes add up to those of
the `origin` program. Prints one line of JSON; the status is 1 if anything was wrong. Latencies run
from the write of a request to the last byte of its answer, with the connect if there was one.

With --rate it is an open loop: requests are due at a steady rate, whatever became of those before, and
each latency runs from the moment at which the request was due, though all clients were busy and it had
to wait (no coordinated omission). `late_p99_us` is how late requests were written.

usage: load --target 127.0.0.1:PORT [options]

  --target ADDR       loopback only
  --clients N         clients at the same time (default 64)
  --requests N        ends after so many in total (default 10000)
  --seconds S         ends after so long, if that comes first (default 600)
  --rate R            so many requests a second, for --seconds
  --settle-ms MS      with --rate: those due earlier are sent, but not counted (default 0)
  --reconnect         a new connection for each request
  --close fin|reset   how connections are closed; a reset leaves no TIME_WAIT here, so that long runs
                      with --reconnect do not run out of ports (default fin)
  --sources N         spread the clients over the source addresses 127.0.0.1 to 127.0.0.N (default 1)
  --think-ms MS       silence of each client between two requests (default 0)
  --headers N         so many more header fields of 40 bytes (default 0)
  --browser           20 header fields in 1.2 KB, as a browser sends them
  --upload BYTES      POST a body of this length (default 0: GET)
  --echo BYTES        no HTTP: send so many bytes, and expect them back
  --path PATH         (default /)
  --body BYTES        the body length that answers must have (default 128)
  --timeout-ms MS     for each request, an error if it takes longer (default 10000)

A client that finds its connection closed between two requests opens another: that is no error.";

fn main() -> ExitCode {
    args::run(USAGE, |args| {
        let plan = plan(args)?;
        sys::raise_file_limit()?;
        let tally = Generator::new(plan)?.run()?;
        println!("{}", tally.json());
        Ok(tally.is_clean())
    })
}

fn plan(mut args: Args) -> Result<Plan, Failure> {
    let target = args.loopback("--target")?;
    let shape = Shape {
        path: args.value("--path", "/".into())?,
        headers: args.value("--headers", 0)?,
        browser: args.flag("--browser"),
        upload: args.value("--upload", 0)?,
    };
    let rate: Option<f64> = args.optional("--rate")?;
    let echo: Option<usize> = args.optional("--echo")?;
    let close: String = args.value("--close", "fin".into())?;
    let seconds: f64 = args.value("--seconds", 600.0)?;
    if !["fin", "reset"].contains(&close.as_str()) {
        return Err(Failure::Usage(format!("--close is fin or reset, not {close:?}")));
    }
    if !(seconds > 0.0 && seconds <= 86_400.0) {
        return Err(Failure::Usage(format!("--seconds must be above 0 and at most 86400, not {seconds}")));
    }
    if rate.is_some_and(|rate| !(1.0..=10_000_000.0).contains(&rate)) || echo == Some(0) {
        return Err(Failure::Usage("--rate must be from 1 to 10000000, --echo at least 1".into()));
    }
    let expected = Expected::body(args.value("--body", 128)?);
    let plan = Plan {
        target,
        request: echo.map_or_else(|| shape.bytes(), http::body),
        expected: echo.map_or(expected, Expected::echo),
        rate,
        settle: Duration::from_millis(args.value("--settle-ms", 0)?),
        clients: args.count("--clients", 64)?,
        requests: args.count("--requests", 10_000)? as u64,
        time: Duration::from_secs_f64(seconds),
        reconnect: args.flag("--reconnect"),
        reset: close == "reset",
        sources: args.count("--sources", 1)?,
        think: Duration::from_millis(args.value("--think-ms", 0)?),
        timeout: Duration::from_millis(args.value("--timeout-ms", 10_000)?),
    };
    args.finish()?;
    Ok(plan)
}
