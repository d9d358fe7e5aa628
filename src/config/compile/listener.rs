//! `[[listener]]`

use super::upstream::reference;
use super::{Placed, limit, secs, socket};
use crate::config::address;
use crate::config::diagnostic::{Fault, Problems};
use crate::config::model::{
    Backlog, ClientFin, Linger, Listener, ListenerSocket, ListenerTimeout, Protocol, Upstream,
};
use crate::config::section::Section;
use crate::config::suggest::closest;
use crate::config::values::{deadline, flag, name, number, one_of, or_word, seconds, text, word};
use config::Value;
use std::net::SocketAddr;

/// l_linger of SO_LINGER is an `int` of seconds; more than an hour of it is a slip of the pen.
const LINGER_MAX: u64 = 3600;
/// TCP_DEFER_ACCEPT is turned into a number of SYN-ACKs, of which the kernel sends 255 at most:
/// an hour is beyond what they last.
const DEFER_MAX: u64 = 3600;

pub(super) fn all<'a>(
    root: &Section<'a>,
    upstreams: &[Placed<'_, Upstream>],
    problems: &mut Problems,
) -> Vec<Placed<'a, Listener>> {
    let sections = root.sections("listener");
    if sections.is_empty() {
        let fix = "write a [[listener]] with bind = \"127.0.0.1:8080\" and upstream";
        problems.error(&root.site_of("listener"), "there is no listener", fix);
    }
    let compiled = sections.into_iter().map(|section| {
        let value = listener(&section, upstreams, problems);
        Placed { section, value }
    });
    compiled.collect()
}

fn listener(section: &Section<'_>, upstreams: &[Placed<'_, Upstream>], problems: &mut Problems) -> Listener {
    let bind = bind(section, problems);
    let name = section.read("name", problems, listener_name);
    let protocol = word(&[("http", Protocol::Http), ("tcp", Protocol::Tcp)]);
    let protocol = section.read("protocol", problems, protocol).unwrap_or(Protocol::Http);
    let client_fin = word(&[("finish", ClientFin::Finish), ("abort", ClientFin::Abort)]);
    Listener {
        name: name.unwrap_or_else(|| bind.first().map(SocketAddr::to_string).unwrap_or_default()),
        bind,
        protocol,
        upstream: reference(section, upstreams, problems),
        socket: socket(&section.section("socket"), problems),
        timeout: timeout(&section.section("timeout"), protocol, problems),
        limit: limit::limit(&section.section("limit"), problems),
        client_fin: section.read("client_fin", problems, client_fin).unwrap_or(ClientFin::Finish),
    }
}

/// A name, or the address that would be the default.
fn listener_name(value: &Value) -> Result<String, Fault> {
    match text(value)?.parse::<SocketAddr>() {
        Ok(address) => Ok(address.to_string()),
        Err(_) => name(value),
    }
}

fn bind(section: &Section<'_>, problems: &mut Problems) -> Vec<SocketAddr> {
    const FIX: &str = "write bind = \"127.0.0.1:8080\"";
    let Some(entry) = section.entry("bind") else {
        problems.error(&section.site_of("bind"), "it listens nowhere", FIX);
        return Vec::new();
    };
    match entry.elements() {
        Some(elements) if elements.is_empty() => {
            problems.error(&entry.site, "it listens nowhere", FIX);
            Vec::new()
        }
        Some(elements) => elements.iter().filter_map(|e| e.read(problems, address::listen)).collect(),
        None => entry.read(problems, address::listen).into_iter().collect(),
    }
}

fn socket(section: &Section<'_>, problems: &mut Problems) -> ListenerSocket {
    let backlog = or_word("auto", number(1..=i64::from(i32::MAX)));
    let backlog = section.read("backlog", problems, backlog).flatten();
    let defer_accept = section.read("defer_accept", problems, or_word("off", seconds(DEFER_MAX)));
    ListenerSocket {
        reuse_address: section.read("reuse_address", problems, flag).unwrap_or(true),
        reuse_port: section.read("reuse_port", problems, flag).unwrap_or(true),
        no_delay: socket::no_delay(section, problems),
        linger: section.read("linger", problems, linger).unwrap_or(Linger::Graceful),
        backlog: backlog.map_or(Backlog::Auto, Backlog::Connections),
        defer_accept: defer_accept.flatten(),
        user_timeout: socket::user_timeout(section, problems),
        tcp_keepalive: socket::tcp_keepalive(section, problems),
    }
}

fn linger(value: &Value) -> Result<Linger, Fault> {
    const WORDS: [&str; 2] = ["graceful", "reset"];
    let written = text(value).unwrap_or_default();
    match written {
        "graceful" => return Ok(Linger::Graceful),
        "reset" => return Ok(Linger::Reset),
        _ => {}
    }
    seconds(LINGER_MAX)(value).map(Linger::Timed).map_err(|fault| {
        let fix = match closest(written, WORDS) {
            Some(word) => format!("write \"{word}\""),
            None => format!("{}, or {}", fault.fix, one_of(WORDS.into_iter())),
        };
        Fault::new(fault.message, fix)
    })
}

fn timeout(section: &Section<'_>, protocol: Protocol, problems: &mut Problems) -> ListenerTimeout {
    // A tunnel is silent for reasons of its own: a database session waits for its user.
    let idle = match protocol {
        Protocol::Http => secs(60),
        Protocol::Tcp => secs(3600),
    };
    ListenerTimeout {
        header: section.read("header", problems, deadline).unwrap_or(secs(10)),
        idle: section.read("idle", problems, deadline).unwrap_or(idle),
        body: section.read("body", problems, deadline).unwrap_or(secs(30)),
        half_close: section.read("half_close", problems, deadline).unwrap_or(secs(30)),
        linger: section.read("linger", problems, deadline).unwrap_or(secs(2)),
    }
}
