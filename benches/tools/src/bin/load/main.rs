//! The load: a fixed number of clients, each with one request under way.

mod client;
mod generator;
mod tally;

use std::process::ExitCode;
use std::time::Duration;

use bench_tools::args::{self, Args, Failure};
use bench_tools::http::Expected;
use bench_tools::sys;

use generator::{Generator, Plan};

const USAGE: &str = "\
load: sends requests from a fixed number of clients and checks every answer

A closed loop: each client has one request under way and sends the next when the answer is whole. An
answer counts when its status is 200, its length the one asked for, and its bytes add up to those of
the `origin` program. Prints one line of JSON; the status is 1 if anything was wrong. Latencies run
from the write of a request to the last byte of its answer, with the connect if there was one.

usage: load --target 127.0.0.1:PORT [options]

  --target ADDR       loopback only
  --clients N         clients at the same time (default 64)
  --requests N        ends after so many in total (default 10000)
  --seconds S         ends after so long, if that comes first (default 600)
  --reconnect         a new connection for each request
  --close fin|reset   how connections are closed; a reset leaves no TIME_WAIT here, so that long runs
                      with --reconnect do not run out of ports (default fin)
  --sources N         spread the clients over the source addresses 127.0.0.1 to 127.0.0.N (default 1)
  --think-ms MS       silence of each client between two requests (default 0)
  --headers N         so many more header fields of 40 bytes (default 0)
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
    let path: String = args.value("--path", "/".into())?;
    let headers = args.value("--headers", 0)?;
    let close: String = args.value("--close", "fin".into())?;
    let seconds: f64 = args.value("--seconds", 600.0)?;
    if !["fin", "reset"].contains(&close.as_str()) {
        return Err(Failure::Usage(format!("--close is fin or reset, not {close:?}")));
    }
    if !(seconds > 0.0 && seconds <= 86_400.0) {
        return Err(Failure::Usage(format!("--seconds must be above 0 and at most 86400, not {seconds}")));
    }
    let plan = Plan {
        target,
        request: request(&path, headers),
        expected: Expected::body(args.value("--body", 128)?),
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

fn request(path: &str, headers: usize) -> Vec<u8> {
    let mut text = format!("GET {path} HTTP/1.1\r\nHost: bench.local\r\nAccept: */*\r\n");
    for index in 0..headers {
        text.push_str(&format!("X-Filler-{index:04}: {:x<24}\r\n", ""));
    }
    text.push_str("\r\n");
    text.into_bytes()
}
