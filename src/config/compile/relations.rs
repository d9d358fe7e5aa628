//! What has to hold between the tables: names and addresses that are used once, listeners that do
//! not forward to themselves, keys that mean something where they are written.

use super::upstream::UNRESOLVED;
use super::{Placed, nat};
use crate::config::diagnostic::{Problems, Site};
use crate::config::model::{Admin, AdminListen, Balance, HashKey, Listener, Protocol, Upstream};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::SocketAddr;

/// Keys of a listener that only HTTP gives a meaning.
const HTTP_LISTENER_KEYS: [&str; 9] = [
    "client_fin",
    "timeout.header",
    "timeout.body",
    "limit.request_rate_per_client",
    "limit.request_burst",
    "limit.header_bytes",
    "limit.headers",
    "limit.target_bytes",
    "limit.body_bytes",
];
/// Keys of an upstream that speak of requests and responses.
const HTTP_UPSTREAM_KEYS: [&str; 3] = ["timeout.response_header", "timeout.body", "pool.max_requests"];

pub(super) fn check(
    admin: &Admin,
    listeners: &[Placed<'_, Listener>],
    upstreams: &[Placed<'_, Upstream>],
    problems: &mut Problems,
) {
    unique_names(listeners.iter().map(|l| (l.value.name.as_str(), l.section.site_of("name"))), problems);
    unique_names(upstreams.iter().map(|u| (u.value.name.as_str(), u.section.site_of("name"))), problems);
    unique_addresses(admin, listeners, problems);
    for listener in listeners {
        if let Some(upstream) = upstreams.get(listener.value.upstream) {
            forwards_elsewhere(listener, upstream, problems);
        }
        if listener.value.protocol == Protocol::Tcp {
            ignored(listener, &HTTP_LISTENER_KEYS, "on a tcp listener", problems);
        }
    }
    // A listener whose upstream is unknown may have meant any of them.
    let unknown = listeners.iter().any(|listener| listener.value.upstream == UNRESOLVED);
    if !listeners.is_empty() && !unknown {
        for (index, upstream) in upstreams.iter().enumerate() {
            let users: Vec<_> = listeners.iter().filter(|l| l.value.upstream == index).collect();
            suits_its_users(upstream, &users, problems);
            nat::silence(upstream, &users, problems);
        }
    }
}

fn suits_its_users(
    upstream: &Placed<'_, Upstream>,
    users: &[&Placed<'_, Listener>],
    problems: &mut Problems,
) {
    if users.is_empty() {
        let fix = "remove it, or name it as a listener's upstream";
        problems.warning(&upstream.section.site, "no listener forwards to it", fix);
    } else if users.iter().all(|listener| listener.value.protocol == Protocol::Tcp) {
        ignored(upstream, &HTTP_UPSTREAM_KEYS, "as only tcp listeners use it", problems);
        hashes_a_header(upstream, problems);
    }
}

fn unique_names<'a>(names: impl Iterator<Item = (&'a str, Site)>, problems: &mut Problems) {
    let mut seen: HashMap<&str, Site> = HashMap::new();
    for (name, site) in names.filter(|(name, _)| !name.is_empty()) {
        match seen.entry(name) {
            Entry::Occupied(first) => {
                let message = format!("the name \"{name}\" is taken at {}", first.get().position);
                problems.error(&site, message, "write another name");
            }
            Entry::Vacant(free) => {
                free.insert(site);
            }
        }
    }
}

fn unique_addresses(admin: &Admin, listeners: &[Placed<'_, Listener>], problems: &mut Problems) {
    let mut seen: HashMap<SocketAddr, Site> = HashMap::new();
    for listener in listeners {
        let site = listener.section.site_of("bind");
        // The kernel gives another port for each 0.
        for address in listener.value.bind.iter().filter(|address| address.port() != 0) {
            if matches!(&admin.listen, AdminListen::Tcp(admin) if collide(*address, *admin)) {
                let fix = "write another port here or for admin.listen";
                problems.error(&site, format!("{address} takes the admin server's address"), fix);
            }
            match seen.entry(*address) {
                Entry::Occupied(first) => {
                    let message = format!("{address} is listened on at {} already", first.get().position);
                    problems.error(&site, message, "write another address");
                }
                Entry::Vacant(free) => {
                    free.insert(site.clone());
                }
            }
        }
    }
}

fn forwards_elsewhere(
    listener: &Placed<'_, Listener>,
    upstream: &Placed<'_, Upstream>,
    problems: &mut Problems,
) {
    let own = |endpoint: SocketAddr| listener.value.bind.iter().any(|bind| covers(*bind, endpoint));
    for endpoint in upstream.value.endpoints.iter().filter(|endpoint| own(endpoint.address)) {
        let listener = &listener.section.site.key;
        let message = format!("{} is {listener} itself, which would forward to itself", endpoint.address);
        let fix = "write the address of a backend";
        problems.error(&upstream.section.site_of("endpoints"), message, fix);
    }
}

fn ignored<T>(placed: &Placed<'_, T>, keys: &[&str], why: &str, problems: &mut Problems) {
    for site in keys.iter().filter_map(|key| placed.section.find(key)) {
        problems.warning(&site, format!("it has no effect {why}"), "remove it");
    }
}

fn hashes_a_header(upstream: &Placed<'_, Upstream>, problems: &mut Problems) {
    if matches!(upstream.value.balance, Balance::Hash(HashKey::Header(_))) {
        let message = "only tcp listeners use it, which see no header: the client's address is hashed";
        problems.warning(&upstream.section.site_of("hash_key"), message, "write \"client\"");
    }
}

/// Whether only one of two sockets can listen: the addresses are the same, or one is the wildcard of
/// the other's family.
fn collide(one: SocketAddr, other: SocketAddr) -> bool {
    let wildcard = one.ip().is_unspecified() || other.ip().is_unspecified();
    one.port() == other.port() && (one == other || wildcard && one.is_ipv4() == other.is_ipv4())
}

/// Whether a socket that listens on `bind` answers for this address: it is the same, or a loopback
/// address under a wildcard of its family.
fn covers(bind: SocketAddr, address: SocketAddr) -> bool {
    let wildcard = bind.ip().is_unspecified() && bind.is_ipv4() == address.is_ipv4();
    bind.port() == address.port() && (bind == address || wildcard && address.ip().is_loopback())
}
