//! What a reload changes (pure).

use super::model::{Config, Protocol};
use super::view;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

/// The difference between two configurations, as it is told to users.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// Addresses of listeners. The same address with the same protocol is the same listener, whatever it
    /// is called.
    pub listeners: Changes,
    /// Upstreams, by name.
    pub upstreams: Changes,
    /// Endpoints as they are listed, by upstream and address or name.
    pub endpoints: Changes,
    /// Changed keys of `[runtime]`, `[admin]`, `[log]` and `[resolver]`.
    pub process: Vec<String>,
    /// Those of them that take effect when the process is started again.
    pub needs_restart: Vec<String>,
}

/// What became of things of one kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changes {
    /// New ones.
    pub added: Vec<Thing>,
    /// Those that are not there any more: they serve who is there, for a while.
    pub removed: Vec<Thing>,
    /// Those that have other settings.
    pub changed: Vec<Thing>,
    /// Those that are as they were.
    pub kept: Vec<Thing>,
}

/// A listener, an upstream or an endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Thing {
    /// The name of the listener or of the upstream.
    pub name: String,
    /// The address, of a listener or an endpoint; the name of endpoints.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// The keys that were changed, such as `timeout.idle`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<String>,
}

/// Keys that are read once, at the start.
const AT_START: [&str; 6] =
    ["runtime.user", "runtime.group", "admin.listen", "admin.token_file", "log.format", "log.access"];

impl Difference {
    /// Whether nothing is different.
    pub fn is_empty(&self) -> bool {
        let none = |changes: &Changes| {
            changes.added.is_empty() && changes.removed.is_empty() && changes.changed.is_empty()
        };
        [&self.listeners, &self.upstreams, &self.endpoints].into_iter().all(none) && self.process.is_empty()
    }
}

/// What is different in `new`.
pub fn diff(old: &Config, new: &Config) -> Difference {
    let (before, after) = (view::json(old), view::json(new));
    let mut process = Vec::new();
    for table in ["runtime", "admin", "log", "resolver"] {
        keys(&before[table], &after[table], table, &mut process);
    }
    Difference {
        listeners: changes(listeners(old, &before), listeners(new, &after)),
        upstreams: changes(upstreams(&before), upstreams(&after)),
        endpoints: changes(endpoints(&before), endpoints(&after)),
        needs_restart: needs_restart(old, new),
        process,
    }
}

/// Keys that `new` has otherwise than a process that was started with `old`, and that it cannot change.
pub fn needs_restart(old: &Config, new: &Config) -> Vec<String> {
    let (before, after) = (view::json(old), view::json(new));
    let is_other = |key: &&&str| {
        let (table, name) = key.split_once('.').unwrap_or((key, ""));
        before[table][name] != after[table][name]
    };
    AT_START.iter().filter(is_other).map(|key| (*key).to_owned()).collect()
}

/// Something with the key that it is known by.
struct Row<K> {
    key: K,
    thing: Thing,
    settings: Value,
}

fn listeners<'a>(config: &Config, view: &'a Value) -> Vec<Row<(&'a str, Protocol)>> {
    let mut rows = Vec::new();
    for (listener, view) in config.listeners.iter().zip(list(&view["listener"])) {
        for address in list(&view["bind"]) {
            let address = text(address);
            let thing =
                Thing { name: listener.name.clone(), address: Some(address.to_owned()), keys: Vec::new() };
            let key = (address, listener.protocol);
            rows.push(Row { key, thing, settings: without(view, &["bind"]) });
        }
    }
    rows
}

fn upstreams(view: &Value) -> Vec<Row<&str>> {
    fn row(upstream: &Value) -> Row<&str> {
        let key = text(&upstream["name"]);
        let thing = Thing { name: key.to_owned(), ..Thing::default() };
        Row { key, thing, settings: without(upstream, &["endpoints"]) }
    }
    list(&view["upstream"]).iter().map(row).collect()
}

fn endpoints(view: &Value) -> Vec<Row<(&str, &str)>> {
    let mut rows = Vec::new();
    for upstream in list(&view["upstream"]) {
        for endpoint in list(&upstream["endpoints"]) {
            let address = ["address", "dns", "srv"].into_iter().find_map(|key| endpoint[key].as_str());
            let key = (text(&upstream["name"]), address.unwrap_or_default());
            let thing = Thing { name: key.0.to_owned(), address: Some(key.1.to_owned()), keys: Vec::new() };
            rows.push(Row { key, thing, settings: endpoint.clone() });
        }
    }
    rows
}

/// Sorts what there is by what was there. Of several with the same key (port 0), the first of both are
/// the same, and so on.
fn changes<K: Eq + Hash>(old: Vec<Row<K>>, new: Vec<Row<K>>) -> Changes {
    let mut known: HashMap<K, VecDeque<usize>> = HashMap::new();
    let mut before: Vec<Option<(Thing, Value)>> = Vec::new();
    for Row { key, thing, settings } in old {
        known.entry(key).or_default().push_back(before.len());
        before.push(Some((thing, settings)));
    }
    let mut changes = Changes::default();
    for Row { key, mut thing, settings } in new {
        let same = known.get_mut(&key).and_then(|places| before[places.pop_front()?].take());
        match same {
            None => changes.added.push(thing),
            Some((_, earlier)) => {
                keys(&earlier, &settings, "", &mut thing.keys);
                if thing.keys.is_empty() { &mut changes.kept } else { &mut changes.changed }.push(thing);
            }
        }
    }
    changes.removed = before.into_iter().flatten().map(|(thing, _)| thing).collect();
    changes
}

/// The paths at which two values differ.
fn keys(old: &Value, new: &Value, path: &str, found: &mut Vec<String>) {
    match (old, new) {
        (Value::Object(before), Value::Object(after)) => {
            let gone = before.keys().filter(|key| !after.contains_key(*key));
            for key in after.keys().chain(gone) {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                keys(&old[key], &new[key], &path, found);
            }
        }
        _ if old != new => found.push(path.to_owned()),
        _ => {}
    }
}

fn without(table: &Value, names: &[&str]) -> Value {
    let mut table = table.clone();
    if let Value::Object(keys) = &mut table {
        names.iter().for_each(|name| _ = keys.remove(*name));
    }
    table
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests;
