//! The origin: the cheapest HTTP/1.1 server that keeps its connections.

mod connection;
mod event_loop;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use bench_tools::args::{self, Args};
use bench_tools::serve::{self, Loop};
use bench_tools::sys;

use connection::Answers;
use event_loop::{Counters, EventLoop, Times};

const USAGE: &str = "\
origin: answers every request with the same 200 response, as cheaply as it can

Heads end at their empty line; bodies by Content-Length are read and thrown away. Pipelined requests
are answered in order. When SIGTERM ends it, it prints one line of JSON:
  {\"accepted\": connections, \"requests\": answered, \"refused\": connections with an unreadable head}

usage: origin --listen 127.0.0.1:PORT [options]

  --listen ADDR              loopback only
  --body BYTES               length of the response body (default 128)
  --delay-ms MS              wait so long before each answer (default 0)
  --delay-first-ms MS        the same before the first answer of each connection (default 0)
  --keepalive-timeout SECS   close connections that were silent for so long (default 0: never)
  --close-every N            close a connection with its Nth response (default 0: never)
  --echo                     no HTTP: send back what comes, at once, and count each read as a request
  --all-loopback             listen on the port in all of 127.0.0.0/8, and nowhere else
  --threads N                epoll loops on the one listening socket (default 1)
  --life SECONDS             ends by itself after that long (default 3600)";

fn main() -> ExitCode {
    args::run(USAGE, |mut args: Args| {
        let listen = args.loopback("--listen")?;
        let threads = args.count("--threads", 1)?;
        let life = Duration::from_secs(args.value("--life", 3600)?);
        let answers = Answers::new(args.value("--body", 128)?, args.value("--close-every", 0)?);
        let answers = if args.flag("--echo") { Answers::echo() } else { answers };
        let answers = Arc::new(answers);
        let everywhere = args.flag("--all-loopback");
        let times = Times {
            delay: Duration::from_millis(args.value("--delay-ms", 0)?),
            first: Duration::from_millis(args.value("--delay-first-ms", 0)?),
            silence: Duration::from_secs(args.value("--keepalive-timeout", 0)?),
        };
        args.finish()?;

        let counters = Arc::new(Counters::default());
        let listener =
            if everywhere { sys::listen_all_loopback(listen.port())? } else { sys::listen(listen)? };
        listener.set_nonblocking(true)?;
        let mut loops: Vec<Loop> = Vec::new();
        for _ in 0..threads {
            let mut each = EventLoop::new(listener.try_clone()?, answers.clone(), times, counters.clone())?;
            loops.push(Box::new(move || each.run()));
        }
        serve::until_stopped(life, loops)?;
        println!(
            "{{\"accepted\": {}, \"requests\": {}, \"refused\": {}}}",
            counters.accepted.load(Relaxed),
            counters.requests.load(Relaxed),
            counters.refused.load(Relaxed)
        );
        Ok(true)
    })
}
