//! What concerns the process as a whole: `[runtime]`, `[admin]`, `[log]`.

use super::secs;
use crate::config::address;
use crate::config::diagnostic::{Fault, Problems};
use crate::config::model::{AccessLog, Admin, AdminListen, Log, LogFormat, Runtime};
use crate::config::section::Section;
use crate::config::suggest::closest;
use crate::config::values::{duration, flag, number, one_of, or_word, shown, size, text, word};
use config::{Value, ValueKind};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;
use tracing_subscriber::EnvFilter;

/// More threads than any host has cores are a slip of the pen.
const WORKERS_MAX: i64 = 1024;
/// Less would do without any buffers of the usual size.
const BUFFERS_MIN: u64 = 1024 * 1024;
const ADMIN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9900);

pub(super) fn runtime(root: &Section<'_>, cores: usize, problems: &mut Problems) -> Runtime {
    let section = root.section("runtime");
    let workers = section.read("workers", problems, or_word("auto", number(1..=WORKERS_MAX)));
    Runtime {
        workers: workers.flatten().unwrap_or_else(|| cores.clamp(1, WORKERS_MAX as usize)),
        shutdown_timeout: section.read("shutdown_timeout", problems, duration).unwrap_or(secs(30)),
        census_interval: section.read("census_interval", problems, census_interval).unwrap_or(secs(2)),
        buffer_memory: section
            .read("buffer_memory", problems, or_word("auto", size(BUFFERS_MIN..=u64::MAX / 2)))
            .flatten(),
        user: section.read("user", problems, or_word("none", account)).flatten(),
        group: section.read("group", problems, or_word("auto", account)).flatten(),
        watch: section.read("watch", problems, flag).unwrap_or(false),
    }
}

/// A name or a number. Whether this host has such a user is not for here: the configuration may be another's.
fn account(value: &Value) -> Result<String, Fault> {
    if let ValueKind::I64(number @ 0..=0xFFFF_FFFE) = value.kind {
        return Ok(number.to_string());
    }
    let fix = "write a name such as \"millpond\", or a number";
    let is_name = |text: &&str| {
        !text.is_empty() && !text.contains(|c: char| c.is_whitespace() || c == ':' || c == '\0')
    };
    let name = text(value).ok().filter(is_name);
    name.map(str::to_owned).ok_or_else(|| Fault::new(format!("{} is no account", shown(value)), fix))
}

/// A census that is older than the deadlines of what it watches would be of no use.
fn census_interval(value: &Value) -> Result<Duration, Fault> {
    let interval = duration(value)?;
    match (Duration::from_millis(100)..=secs(60)).contains(&interval) {
        true => Ok(interval),
        false => Err(Fault::new(
            format!("{} is out of range", shown(value)),
            "write a duration from \"100ms\" to \"60s\"",
        )),
    }
}

/// Without a token, only those who are on this host already may reach the admin server.
pub(super) fn admin(root: &Section<'_>, problems: &mut Problems) -> Admin {
    let section = root.section("admin");
    let listen = section.read("listen", problems, address::admin).unwrap_or(AdminListen::Tcp(ADMIN));
    let token_file = section.read("token_file", problems, or_word("none", file));
    // A name that cannot be read has been reported, and is no sign that there should be no token.
    let without_token = matches!(token_file, Some(None)) || section.entry("token_file").is_none();
    if let AdminListen::Tcp(address) = &listen
        && without_token
        && !address.ip().is_loopback()
    {
        let message = format!("{address} can be reached from other hosts, and there is no admin.token_file");
        let fix = "write a loopback address such as \"127.0.0.1:9900\", \"unix:/run/millpond/admin.sock\", \
                   or token_file = and the path of a file with a token";
        problems.error(&section.site_of("listen"), message, fix);
    }
    Admin { listen, token_file: token_file.flatten() }
}

pub(super) fn log(root: &Section<'_>, problems: &mut Problems) -> Log {
    let section = root.section("log");
    let format = word(&[("text", LogFormat::Text), ("json", LogFormat::Json)]);
    Log {
        level: section.read("level", problems, level).unwrap_or_else(|| "info".to_owned()),
        format: section.read("format", problems, format).unwrap_or(LogFormat::Text),
        access: section.read("access", problems, access).unwrap_or(AccessLog::Off),
    }
}

/// `EnvFilter` takes a word that is no level for the name of a module, and would then log nothing:
/// a bare word has to be a level here.
fn level(value: &Value) -> Result<String, Fault> {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    let directives = text(value)?;
    let bare = |directive: &&str| !directive.contains(['=', '[']);
    let known = |word: &str| LEVELS.iter().any(|level| level.eq_ignore_ascii_case(word));
    let stranger = directives.split(',').map(str::trim).filter(bare).find(|word| !known(word));
    if let Some(stranger) = stranger {
        let fix = match closest(stranger, LEVELS) {
            Some(level) => format!("write \"{level}\""),
            None => format!("write {}, or such as \"info,millpond=debug\"", one_of(LEVELS.into_iter())),
        };
        return Err(Fault::new(format!("{} is not a level", shown(value)), fix));
    }
    match EnvFilter::builder().parse(directives) {
        Ok(_) => Ok(directives.to_owned()),
        Err(error) => Err(Fault::new(
            format!("{} is not a filter ({error})", shown(value)),
            "write such as \"info,millpond=debug\"",
        )),
    }
}

fn access(value: &Value) -> Result<AccessLog, Fault> {
    match text(value)? {
        "off" => Ok(AccessLog::Off),
        "stdout" => Ok(AccessLog::Stdout),
        path if is_file(path) => Ok(AccessLog::File(PathBuf::from(path))),
        _ => Err(Fault::new(
            format!("{} is not a place for the access log", shown(value)),
            "write \"off\", \"stdout\" or the path of a file, such as \"./access.log\"",
        )),
    }
}

/// The path of a file that is to be read.
fn file(value: &Value) -> Result<PathBuf, Fault> {
    let path = text(value).ok().filter(|path| is_file(path));
    path.map(PathBuf::from).ok_or_else(|| {
        let fix = "write the path of a file, such as \"/etc/millpond/admin.token\"";
        Fault::new(format!("{} is not the path of a file", shown(value)), fix)
    })
}

/// A path needs a slash, so that a slip in a word such as `stdout` is no file.
fn is_file(path: &str) -> bool {
    path.contains('/') && !path.ends_with('/') && !path.contains('\0')
}
