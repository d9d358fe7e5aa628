//! Which keys exist, and what to say of one that does not.

use super::diagnostic::{Problems, Site};
use super::section::{label, site};
use super::suggest::closest;
use super::values::shown;
use config::{Value, ValueKind};

/// Every key that may be written, without the indexes of lists. `listener` and `upstream` are lists
/// of tables; a key that others continue (`tcp_keepalive`, `endpoints`) takes a table or a plain value.
pub const KEYS: &[&str] = &[
    "runtime.workers",
    "runtime.shutdown_timeout",
    "runtime.census_interval",
    "runtime.buffer_memory",
    "runtime.user",
    "runtime.group",
    "runtime.watch",
    "admin.listen",
    "admin.token_file",
    "log.level",
    "log.format",
    "log.access",
    "resolver.nameservers",
    "resolver.search",
    "resolver.ndots",
    "resolver.timeout",
    "resolver.attempts",
    "listener.name",
    "listener.bind",
    "listener.protocol",
    "listener.upstream",
    "listener.client_fin",
    "listener.socket.reuse_address",
    "listener.socket.reuse_port",
    "listener.socket.no_delay",
    "listener.socket.linger",
    "listener.socket.backlog",
    "listener.socket.defer_accept",
    "listener.socket.user_timeout",
    "listener.socket.tcp_keepalive",
    "listener.socket.tcp_keepalive.idle",
    "listener.socket.tcp_keepalive.interval",
    "listener.socket.tcp_keepalive.count",
    "listener.timeout.header",
    "listener.timeout.idle",
    "listener.timeout.body",
    "listener.timeout.half_close",
    "listener.timeout.linger",
    "listener.limit.connections",
    "listener.limit.connections_per_client",
    "listener.limit.connection_rate_per_client",
    "listener.limit.connection_burst",
    "listener.limit.request_rate_per_client",
    "listener.limit.request_burst",
    "listener.limit.exempt_clients",
    "listener.limit.header_bytes",
    "listener.limit.headers",
    "listener.limit.target_bytes",
    "listener.limit.body_bytes",
    "upstream.name",
    "upstream.balance",
    "upstream.hash_key",
    "upstream.endpoints",
    "upstream.endpoints.address",
    "upstream.endpoints.dns",
    "upstream.endpoints.srv",
    "upstream.endpoints.weight",
    "upstream.discovery.family",
    "upstream.discovery.ttl_min",
    "upstream.discovery.ttl_max",
    "upstream.discovery.grace",
    "upstream.discovery.max_endpoints",
    "upstream.pool.max_idle",
    "upstream.pool.min_idle",
    "upstream.pool.max_connections",
    "upstream.pool.idle_timeout",
    "upstream.pool.max_age",
    "upstream.pool.max_requests",
    "upstream.pool.wait_timeout",
    "upstream.pool.wait_queue",
    "upstream.source.addresses",
    "upstream.source.ports",
    "upstream.source.warn_percent",
    "upstream.source.reuse_only_percent",
    "upstream.source.refuse_percent",
    "upstream.source.nat",
    "upstream.source.nat.ports",
    "upstream.source.nat.idle_timeout",
    "upstream.source.nat.time_wait",
    "upstream.timeout.connect",
    "upstream.timeout.response_header",
    "upstream.timeout.body",
    "upstream.timeout.half_close",
    "upstream.socket.no_delay",
    "upstream.socket.user_timeout",
    "upstream.socket.tcp_keepalive",
    "upstream.socket.tcp_keepalive.idle",
    "upstream.socket.tcp_keepalive.interval",
    "upstream.socket.tcp_keepalive.count",
    "upstream.socket.close",
    "upstream.passive.failures",
    "upstream.passive.retry_after",
    "upstream.passive.retry_after_max",
];

/// The tables at the top that may stand several times.
pub(super) const LISTS: [&str; 2] = ["listener", "upstream"];

/// Reports every key of one file that does not exist, and every plain value that stands where a
/// table is wanted. `site` is the file.
pub(super) fn check(root: &Value, site: &Site, problems: &mut Problems) {
    walk(root, "", site, problems);
}

/// Whether a table of this name may stand at the top of a file.
pub(super) fn is_root(key: &str) -> bool {
    children("").any(|name| name == key)
}

fn walk(value: &Value, schema: &str, here: &Site, problems: &mut Problems) {
    match &value.kind {
        ValueKind::Table(table) => {
            for (key, value) in table {
                let path = join(schema, key);
                let site = site(join(&here.key, &shown_key(key)), value, here);
                match children(&path).next() {
                    // A quoted key with a dot in it is one name, whatever it looks like.
                    _ if key.contains('.') => unknown(schema, key, &site, problems),
                    Some(_) => walk(value, &path, &site, problems),
                    None if is_key(&path) => {}
                    None => unknown(schema, key, &site, problems),
                }
            }
        }
        ValueKind::Array(elements) if is_key(schema) || LISTS.contains(&schema) => {
            for (index, element) in elements.iter().enumerate() {
                let key = match is_key(schema) {
                    true => format!("{}[{index}]", here.key),
                    false => label(&here.key, element, index),
                };
                let site = site(key, element, here);
                match element.kind {
                    ValueKind::Table(_) => walk(element, schema, &site, problems),
                    _ if is_key(schema) => {}
                    _ => not_a_table(element, schema, &site, problems),
                }
            }
        }
        // Judged where it is read.
        _ if is_key(schema) => {}
        _ => not_a_table(value, schema, here, problems),
    }
}

fn not_a_table(value: &Value, schema: &str, site: &Site, problems: &mut Problems) {
    let fix = format!("write {} and its keys below", header(schema));
    problems.error(site, format!("{} is not a table", shown(value)), fix);
}

fn unknown(parent: &str, name: &str, site: &Site, problems: &mut Problems) {
    let quoted = is_key(&join(parent, name)).then(|| format!("write {name} without the quotes"));
    let fix = quoted.or_else(|| misplaced(parent, name)).or_else(|| misspelt(parent, name));
    let fix = fix.unwrap_or_else(|| {
        let known: Vec<&str> = children(parent).collect();
        format!("remove it, or write one of {}", known.join(", "))
    });
    problems.error(site, format!("unknown key {}", shown_key(name)), fix);
}

/// The same name elsewhere: most often below the very table that it was written in.
fn misplaced(parent: &str, name: &str) -> Option<String> {
    let root = parent.split('.').next().unwrap_or_default();
    let homes = KEYS.iter().filter_map(|key| {
        let (home, leaf) = key.rsplit_once('.')?;
        let near = root.is_empty() || home.split('.').next() == Some(root);
        (leaf == name && near).then_some(home)
    });
    let home = homes.min_by_key(|home| home.split('.').count())?;
    Some(match home.split_once('.') {
        // No table of its own, but the tables of a list, or one in braces.
        Some((_, within)) if is_key(home) => format!("write it in {within}"),
        _ => format!("write it under {}", header(home)),
    })
}

fn misspelt(parent: &str, name: &str) -> Option<String> {
    closest(name, children(parent)).map(|known| format!("write {known}"))
}

/// The names that may stand in this table, once each; none for a key without a table.
fn children(parent: &str) -> impl Iterator<Item = &'static str> + '_ {
    let mut last = "";
    KEYS.iter().filter_map(move |key| {
        let rest = if parent.is_empty() { *key } else { key.strip_prefix(parent)?.strip_prefix('.')? };
        let name = rest.split('.').next().unwrap_or(rest);
        // Keys of one table stand together in the list.
        let first = name != last;
        last = name;
        first.then_some(name)
    })
}

fn is_key(path: &str) -> bool {
    KEYS.contains(&path)
}

/// How the table at this path is opened.
fn header(table: &str) -> String {
    if LISTS.contains(&table) { format!("[[{table}]]") } else { format!("[{table}]") }
}

fn join(parent: &str, name: &str) -> String {
    if parent.is_empty() { name.to_owned() } else { format!("{parent}.{name}") }
}

/// A key as it would have to be written: quoted unless it is bare (TOML 1.0, "Keys").
fn shown_key(key: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !key.is_empty() && key.chars().all(bare) { key.to_owned() } else { format!("{key:?}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn keys_are_unique_and_tables_stand_together() {
        assert_eq!(KEYS.iter().collect::<HashSet<_>>().len(), KEYS.len());
        for parent in ["", "listener", "listener.socket", "upstream", "upstream.socket.tcp_keepalive"] {
            let names: Vec<_> = children(parent).collect();
            assert_eq!(names.iter().collect::<HashSet<_>>().len(), names.len(), "{parent}: {names:?}");
        }
        assert_eq!(
            children("").collect::<Vec<_>>(),
            ["runtime", "admin", "log", "resolver", "listener", "upstream"]
        );
    }
}
