//! What may be written on the command line.

use super::plan::Percent;
use crate::config::load;
use crate::observe::connections::Query;
use clap::{Args as ClapArgs, Parser, Subcommand};
use std::convert::Infallible;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// Where the admin server listens by default.
const ADMIN: &str = "127.0.0.1:9900";

/// The whole command line.
#[derive(Debug, Parser)]
#[command(
    name = "millpond",
    version,
    about = "A connection-pooling TCP and HTTP/1.1 reverse proxy",
    after_help = "Begin with:\n  millpond demo\n  millpond run --listen 127.0.0.1:8080 --upstream 127.0.0.1:3000\n\n\
                  Exit codes: 0 done, 1 failed, 2 the command line is wrong."
)]
pub(super) struct Args {
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Show what connection pooling does, without a configuration or a backend
    ///
    /// Starts an origin server, the proxy in front of it and the admin server, all on 127.0.0.1,
    /// sends a short load through, prints what became of the connections, and serves on until
    /// Ctrl-C.
    #[command(after_help = "Examples:\n  millpond demo\n  millpond demo --once")]
    Demo(DemoArgs),

    /// Run the proxy
    ///
    /// SIGTERM or Ctrl-C begins a drain: the listeners close, what runs may finish, at most for
    /// runtime.shutdown_timeout. A second signal ends at once.
    #[command(
        override_usage = "millpond run --config <FILE>\n       \
                          millpond run --listen <ADDR> --upstream <ADDR[,ADDR...]> [--tcp]",
        after_help = "Examples:\n  millpond run -c millpond.toml\n  \
                            millpond run --listen 0.0.0.0:8080 --upstream 10.0.0.1:3000,10.0.0.2:3000\n  \
                            millpond run --listen 127.0.0.1:5432 --upstream 10.0.0.5:5432 --tcp"
    )]
    Run(RunArgs),

    /// Check a configuration file and print everything that is wrong with it
    ///
    /// Warns as well of what this host's limits do not allow. Never binds or dials anything. Exits with 0
    /// when the file can be used (with --strict: when there is no warning either), with 1 otherwise.
    #[command(after_help = "Examples:\n  millpond check -c millpond.toml\n  \
                            millpond check -c millpond.toml --strict")]
    Check(CheckArgs),

    /// Check this host against a configuration: limits, ports, settings of the kernel
    ///
    /// Says of each what it means for this configuration, and the line that changes it. Changes
    /// nothing itself. What it sees are the limits, rights and network of this very process: run it as
    /// the user, and where it matters in the service unit or container, that millpond runs in. Exits
    /// with 1 when anything is critical.
    #[command(after_help = "Examples:\n  millpond doctor -c millpond.toml\n  \
                            millpond doctor -c millpond.toml --json\n  \
                            ExecStartPre=-/usr/bin/millpond doctor -c /etc/millpond/millpond.toml  (in the systemd unit)")]
    Doctor(DoctorArgs),

    /// Work out whether a rate of connections exhausts the source ports
    ///
    /// A connection that this host closes first by FIN holds its port, towards that one backend, in
    /// TIME_WAIT. Prints how many are held, whether and when they run out, and what would be enough.
    /// Connections that are open take ports as well, beside those counted here. Exits with 0 when the
    /// ports last, with 1 when they run out.
    #[command(
        allow_negative_numbers = true,
        after_help = "Examples:\n  millpond plan --rate 2000\n  \
                            millpond plan --rate 20000 --reuse 98.5 --backends 3\n  \
                            millpond plan --rate 1000 --ports 50000 --time-wait 65"
    )]
    Plan(PlanArgs),

    /// Print the statistics of a running instance
    #[command(after_help = "Examples:\n  millpond stats\n  millpond stats --json\n  \
                            millpond stats --admin unix:/run/millpond/admin.sock\n  \
                            millpond stats --admin 192.0.2.7:9900 --token-file admin.token")]
    Stats(StatsArgs),

    /// Have a running instance finish what runs, and end
    ///
    /// Its listeners close at once, so that new clients are refused; what runs may finish, at most for its
    /// runtime.shutdown_timeout. Take it out of whatever sends clients to it before.
    #[command(after_help = "Examples:\n  millpond drain\n  millpond drain --wait\n  \
                            millpond drain --admin unix:/run/millpond/admin.sock")]
    Drain(DrainArgs),

    /// Ask a running instance whether it serves new clients
    ///
    /// For health checks where there is neither a shell nor curl, as in a container. Exits with 0 if it does,
    /// with 1 if it drains or does not answer within 5 s. Needs no token.
    #[command(after_help = "Examples:\n  millpond health\n  millpond health --live\n  \
                            HEALTHCHECK CMD [\"millpond\", \"health\", \"--live\"]  (in a Dockerfile)")]
    Health(HealthArgs),

    /// List the TCP connections of a running instance, each with its owner
    ///
    /// What ss, netstat and lsof tell, and what they do not: the listener or upstream that a socket belongs
    /// to, and what its owner is doing. FOR is the time in its STATE, UNREAD what came and was not read, UNACK
    /// what was written and not acknowledged, RETR segments sent again, USES requests begun on a connection
    /// to an endpoint; `-` is what is not known, or what has no owner any more. Exits with 1 when the request
    /// fails.
    #[command(after_help = "Examples:\n  millpond conns\n  \
                            millpond conns --state close-wait --older-than 10s\n  \
                            millpond conns --upstream app --phase idle --sort idle\n  \
                            millpond conns --state time-wait --endpoint 10.0.0.1:3000 --limit 0\n  \
                            millpond conns --json --side client --limit 100000")]
    Conns(ConnsArgs),

    /// Have a running instance read its configuration again
    ///
    /// Prints what is different in it. What is not is left as it is: connections, pools, counters. With an
    /// error anywhere in the configuration, or an address that cannot be bound, nothing is changed, all
    /// that is wrong is printed, and the exit code is 1. SIGHUP does the same, and writes it to the log.
    #[command(after_help = "Examples:\n  millpond reload\n  millpond reload --json\n  \
                            millpond reload --admin unix:/run/millpond/admin.sock")]
    Reload(ReloadArgs),

    /// Have a running instance hand over to a new process, without a client noticing
    ///
    /// The instance starts its program again, from the path by which it was started itself: put the new
    /// version there before. The new process checks its configuration, takes over the listening sockets and the
    /// idle connections to endpoints, and serves; only then does the old one stop accepting and drain. If
    /// anything fails, the old one serves on, and the exit code is 1. SIGUSR2 does the same, and writes it to
    /// the log.
    #[command(after_help = "Examples:\n  millpond upgrade\n  millpond upgrade --json\n  \
                            millpond upgrade --admin unix:/run/millpond/admin.sock")]
    Upgrade(UpgradeArgs),

    /// Watch a running instance, full screen
    ///
    /// Listeners, endpoints, sockets in CLOSE_WAIT and everything that is wrong, in words. `?` shows
    /// the keys, `q` quits. Colours are left out if NO_COLOR is set.
    #[command(after_help = "Examples:\n  millpond top\n  millpond top --interval 250ms\n  \
                            millpond top --admin unix:/run/millpond/admin.sock")]
    Top(TopArgs),
}

#[derive(Debug, ClapArgs)]
pub(super) struct DemoArgs {
    /// Exit after the table: with 0, or with 1 if a request failed
    #[arg(long)]
    pub(super) once: bool,
}

#[derive(Debug, ClapArgs)]
pub(super) struct RunArgs {
    /// The configuration file
    #[arg(short, long, value_name = "FILE", required_unless_present = "listen", conflicts_with_all = ["listen", "upstream", "tcp"])]
    pub(super) config: Option<PathBuf>,

    /// Instead of a file: the address to listen on
    #[arg(long, value_name = "ADDR", requires = "upstream")]
    pub(super) listen: Option<SocketAddr>,

    /// Instead of a file: the addresses to forward to, or names that stand for addresses
    #[arg(long, value_name = "ADDR[,ADDR...]", requires = "listen", value_delimiter = ',', value_parser = endpoint)]
    pub(super) upstream: Vec<String>,

    /// Forward TCP connections instead of HTTP requests
    #[arg(long, requires = "listen")]
    pub(super) tcp: bool,
}

#[derive(Debug, ClapArgs)]
pub(super) struct CheckArgs {
    /// The configuration file
    #[arg(short, long, value_name = "FILE")]
    pub(super) config: PathBuf,

    /// Fail on warnings too
    #[arg(long)]
    pub(super) strict: bool,
}

#[derive(Debug, ClapArgs)]
pub(super) struct DoctorArgs {
    /// The configuration file; without it, one HTTP listener and one endpoint with every default
    #[arg(short, long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,

    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, ClapArgs)]
pub(super) struct PlanArgs {
    /// Requests a second, all together; or connections, where each request opens one
    #[arg(long, value_name = "R", value_parser = at_least_one)]
    pub(super) rate: u32,

    /// Backends that share the requests evenly
    #[arg(long, value_name = "N", default_value = "1", value_parser = at_least_one)]
    pub(super) backends: u32,

    /// Local addresses that share the connections evenly
    #[arg(long, value_name = "N", default_value = "1", value_parser = at_least_one)]
    pub(super) source_addresses: u32,

    /// Ports from one local address to one backend [default: those of net.ipv4.ip_local_port_range here]
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub(super) ports: Option<u32>,

    /// Seconds for which the port of a closed connection is held [default: 60, as in Linux]
    #[arg(long, value_name = "S", value_parser = held_for)]
    pub(super) time_wait: Option<Duration>,

    /// Percent of the requests that go over a connection used before
    #[arg(long, value_name = "P", default_value = "0", value_parser = share)]
    pub(super) reuse: Percent,

    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, ClapArgs)]
pub(super) struct StatsArgs {
    #[command(flatten)]
    pub(super) instance: Instance,

    /// Print the JSON of GET /stats as it comes
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, ClapArgs)]
pub(super) struct DrainArgs {
    #[command(flatten)]
    pub(super) instance: Instance,

    /// Wait until it has ended; exits with 1 if that takes longer than its runtime.shutdown_timeout
    #[arg(long)]
    pub(super) wait: bool,
}

#[derive(Debug, ClapArgs)]
pub(super) struct HealthArgs {
    /// Where the admin server of the instance listens: host:port or unix:/path; else MILLPOND_ADMIN_LISTEN says it
    #[arg(long, value_name = "ADDR", env = "MILLPOND_ADMIN_LISTEN", hide_env = true, default_value = ADMIN)]
    pub(super) admin: AdminTarget,

    /// Ask only whether the process answers, drain or not
    #[arg(long)]
    pub(super) live: bool,
}

#[derive(Debug, ClapArgs)]
pub(super) struct ConnsArgs {
    #[command(flatten)]
    pub(super) instance: Instance,

    /// In these states: close-wait, time-wait, ..., or all, synchronized, big, bucket as in ss
    #[arg(long, value_name = "STATE[,STATE...]", value_parser = checked("state"))]
    pub(super) state: Option<String>,

    /// Longer than this in its state, or where that is not known, open for longer than this
    #[arg(long, value_name = "TIME", value_parser = checked("older_than"))]
    pub(super) older_than: Option<String>,

    /// Of this listener, by name or address
    #[arg(long, value_name = "NAME")]
    pub(super) listener: Option<String>,

    /// Of this upstream: connections to its endpoints, and the clients that have one
    #[arg(long, value_name = "NAME")]
    pub(super) upstream: Option<String>,

    /// Of this endpoint, with or without its port
    #[arg(long, value_name = "ADDR", value_parser = checked("endpoint"))]
    pub(super) endpoint: Option<String>,

    /// Only those of clients, or only those to endpoints: client or upstream
    #[arg(long, value_name = "SIDE", value_parser = checked("side"))]
    pub(super) side: Option<String>,

    /// Whose owner is at this: idle, reading_head, waiting, connecting, exchange, tunnel, closing; none: no owner
    #[arg(long, value_name = "PHASE", value_parser = checked("phase"))]
    pub(super) phase: Option<String>,

    /// The largest first: age, idle, state-age, bytes or rtt
    #[arg(long, value_name = "KEY", value_parser = checked("sort"))]
    pub(super) sort: Option<String>,

    /// How many are listed; all that match are counted [default: 1000]
    #[arg(long, value_name = "N", value_parser = checked("limit"))]
    pub(super) limit: Option<String>,

    /// Print the JSON of GET /connections as it comes
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, ClapArgs)]
pub(super) struct ReloadArgs {
    #[command(flatten)]
    pub(super) instance: Instance,

    /// Print the answer as JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// A value that the instance will take for this key of its query.
fn checked(key: &'static str) -> impl Fn(&str) -> Result<String, String> + Clone {
    move |text| match Query::default().set(key, text) {
        Ok(()) => Ok(text.to_owned()),
        Err(wrong) => Err(wrong.to_string()),
    }
}

#[derive(Debug, ClapArgs)]
pub(super) struct UpgradeArgs {
    #[command(flatten)]
    pub(super) instance: Instance,

    /// Other servers take it; refused with what to do instead
    #[arg(long, value_name = "PATH", hide = true)]
    pub(super) binary: Option<PathBuf>,

    /// Print the answer as JSON
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, ClapArgs)]
pub(super) struct TopArgs {
    #[command(flatten)]
    pub(super) instance: Instance,

    /// How often to ask it, from 100ms to 1h
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = interval)]
    pub(super) interval: Duration,
}

fn interval(text: &str) -> Result<Duration, String> {
    let interval = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if (Duration::from_millis(100)..=Duration::from_secs(3600)).contains(&interval) {
        Ok(interval)
    } else {
        Err("it must be from 100ms to 1h".to_owned())
    }
}

/// Which running instance is meant, and what opens its admin server.
#[derive(Clone, Debug, ClapArgs)]
pub(super) struct Instance {
    /// Where the admin server of the instance listens: host:port or unix:/path; else MILLPOND_ADMIN_LISTEN says it
    #[arg(long, value_name = "ADDR", env = "MILLPOND_ADMIN_LISTEN", hide_env = true, default_value = ADMIN)]
    pub(super) admin: AdminTarget,

    /// The file with its token, if it wants one; else MILLPOND_ADMIN_TOKEN_FILE names it
    #[arg(long, value_name = "FILE")]
    pub(super) token_file: Option<PathBuf>,
}

fn endpoint(text: &str) -> Result<String, String> {
    match load::is_endpoint(text) {
        true => Ok(text.to_owned()),
        false => {
            Err("write an address such as 10.0.0.1:3000, or a name such as app.internal:3000".to_owned())
        }
    }
}

fn at_least_one(text: &str) -> Result<u32, String> {
    match text.parse() {
        Ok(number @ 1..) => Ok(number),
        _ => Err(format!("write a whole number from 1 to {}", u32::MAX)),
    }
}

/// Seconds, or a duration as the configuration takes it.
fn held_for(text: &str) -> Result<Duration, String> {
    /// An hour is longer than anything holds a port for.
    const MOST: Duration = Duration::from_secs(3600);
    let seconds = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let time = seconds.or_else(|| humantime::parse_duration(text).ok());
    let time = time.map(|time| Duration::from_millis(time.as_millis().try_into().unwrap_or(u64::MAX)));
    time.filter(|time| !time.is_zero() && *time <= MOST)
        .ok_or_else(|| "write seconds, from 0.001 to 3600, such as 60".to_owned())
}

fn share(text: &str) -> Result<Percent, String> {
    Percent::parse(text).ok_or_else(|| "write a percentage from 0 to 100, such as 98.5".to_owned())
}

/// Where to reach an admin server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum AdminTarget {
    /// `host:port`
    Tcp(String),
    /// `unix:/path`
    Unix(PathBuf),
}

impl FromStr for AdminTarget {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(match text.strip_prefix("unix:") {
            Some(path) => Self::Unix(path.into()),
            // A variable that is empty counts as unset.
            None if text.is_empty() => Self::Tcp(ADMIN.to_owned()),
            None => Self::Tcp(text.to_owned()),
        })
    }
}

impl fmt::Display for AdminTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => f.write_str(address),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests;
