//! The stream: bytes both ways at once through slow readers.

mod backend;
mod exchange;
mod sessions;

use std::process::ExitCode;
use std::time::Duration;

use bench_tools::args::{self, Args, Failure};
use bench_tools::serve;

use exchange::Pace;
use sessions::Sessions;

const USAGE: &str = "\
stream: moves bytes up and down at the same time, read slowly at both ends, and checks each of them

The backend reads a session's upload while it writes the download, and ends the download with a
receipt for the upload, so that the client knows of both. In http the session is one POST whose
response begins before its request ends; in tcp it is a connection whose client ends its side first,
unless it has nothing to upload.

usage: stream --serve 127.0.0.1:PORT --protocol tcp|http [pace] [--life SECONDS]
       stream --target 127.0.0.1:PORT --protocol tcp|http [pace] [--sessions N] [--up BYTES] [--down BYTES]

  --sessions N     at the same time (default 50)
  --up BYTES       of all sessions together (default 268435456)
  --down BYTES     of all sessions together (default 268435456)
  --fin-last       a tcp client ends its side only when it has the receipt
  --life SECONDS   the backend ends by itself after that long (default 3600)
pace, for the program's own reading:
  --step BYTES     read at most so much at a time (default 16384)
  --pause-ms MS    and then wait (default 20)
  --wide           keep the kernel's socket buffers and segment size, for the highest throughput

The client prints one line of JSON; the status is 1 if a session failed or a byte was wrong.";

fn main() -> ExitCode {
    args::run(USAGE, |mut args: Args| {
        let pace = Pace {
            step: args.count("--step", 16 * 1024)?,
            pause: Duration::from_millis(args.value("--pause-ms", 20)?),
            narrow: !args.flag("--wide"),
        };
        let http = match args.value("--protocol", String::new())?.as_str() {
            "tcp" => false,
            "http" => true,
            other => return Err(Failure::Usage(format!("--protocol is tcp or http, not {other:?}"))),
        };
        if args.has("--serve") {
            let listen = args.loopback("--serve")?;
            let life = Duration::from_secs(args.value("--life", 3600)?);
            args.finish()?;
            let backend = backend::Backend::new(listen, pace, http)?;
            serve::until_stopped(life, vec![Box::new(move || backend.run())])?;
            return Ok(true);
        }
        let target = args.loopback("--target")?;
        let count = args.count("--sessions", 50)?;
        let up = args.value("--up", 256 << 20)? / count as u64;
        let down = args.value("--down", 256 << 20)? / count as u64;
        let fin_last = args.flag("--fin-last");
        args.finish()?;
        let report = Sessions { target, count, up, down, pace, http, fin_last }.run();
        println!("{}", report.json());
        Ok(report.is_clean())
    })
}
