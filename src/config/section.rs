//! A table of the layered configuration, read key by key. Every value knows where it was written,
//! and reading never stops at a problem: it is noted, and the default taken in its place.

use super::diagnostic::{Fault, Position, Problems, Site};
use config::{Map, Value, ValueKind};
use std::collections::HashMap;

/// One table, which may be absent: then all its keys are.
#[derive(Clone, Debug)]
pub(super) struct Section<'a> {
    pub(super) site: Site,
    table: Option<&'a Map<String, Value>>,
}

/// One value.
#[derive(Clone, Debug)]
pub(super) struct Entry<'a> {
    pub(super) site: Site,
    pub(super) value: &'a Value,
}

impl<'a> Section<'a> {
    /// The whole configuration; what is missing from it is missing from this file.
    pub(super) fn root(value: &'a Value, position: Position) -> Self {
        Self { site: Site { key: String::new(), position }, table: table(value) }
    }

    /// Where a key of this table stands, or would.
    pub(super) fn site_of(&self, key: &str) -> Site {
        match self.get(key) {
            Some(value) => site(self.path(key), value, &self.site),
            None => Site { key: self.path(key), position: self.site.position.clone() },
        }
    }

    /// A table in this table.
    pub(super) fn section(&self, key: &str) -> Section<'a> {
        Section { site: self.site_of(key), table: self.get(key).and_then(table) }
    }

    /// The tables of a list of tables, each under its name or its place in its file.
    pub(super) fn sections(&self, key: &str) -> Vec<Section<'a>> {
        let elements = match self.get(key).map(|value| &value.kind) {
            Some(ValueKind::Array(elements)) => elements.as_slice(),
            _ => &[],
        };
        let mut seen_in: HashMap<Option<String>, usize> = HashMap::new();
        let mut sections = Vec::with_capacity(elements.len());
        for element in elements {
            let mut site = site(String::new(), element, &self.site);
            let index = seen_in.entry(site.position.file().map(str::to_owned)).or_default();
            site.key = label(&self.path(key), element, *index);
            *index += 1;
            sections.extend(table(element).map(|table| Section { site, table: Some(table) }));
        }
        sections
    }

    /// The value of a key.
    pub(super) fn entry(&self, key: &str) -> Option<Entry<'a>> {
        Some(Entry { site: self.site_of(key), value: self.get(key)? })
    }

    /// Where a key below this table was written, given its path from here; `None` if it was not.
    pub(super) fn find(&self, path: &str) -> Option<Site> {
        match path.split_once('.') {
            Some((key, rest)) => self.section(key).find(rest),
            None => self.entry(path).map(|entry| entry.site),
        }
    }

    /// Where a key below this table would stand, given its path from here.
    pub(super) fn site_below(&self, path: &str) -> Site {
        match path.split_once('.') {
            Some((key, rest)) => self.section(key).site_below(rest),
            None => self.site_of(path),
        }
    }

    /// The value of a key as `parse` understands it. A bad one is noted and taken as absent.
    pub(super) fn read<T>(
        &self,
        key: &str,
        problems: &mut Problems,
        parse: impl Fn(&Value) -> Result<T, Fault>,
    ) -> Option<T> {
        self.entry(key)?.read(problems, parse)
    }

    fn get(&self, key: &str) -> Option<&'a Value> {
        self.table?.get(key)
    }

    fn path(&self, key: &str) -> String {
        if self.site.key.is_empty() { key.to_owned() } else { format!("{}.{key}", self.site.key) }
    }
}

impl<'a> Entry<'a> {
    /// The value as `parse` understands it. A bad one is noted.
    pub(super) fn read<T>(
        &self,
        problems: &mut Problems,
        parse: impl Fn(&Value) -> Result<T, Fault>,
    ) -> Option<T> {
        parse(self.value).map_err(|fault| problems.fault(&self.site, fault)).ok()
    }

    /// The elements, if this is a list.
    pub(super) fn elements(&self) -> Option<Vec<Entry<'a>>> {
        let ValueKind::Array(elements) = &self.value.kind else { return None };
        let entry = |(index, value)| Entry {
            site: site(format!("{}[{index}]", self.site.key), value, &self.site),
            value,
        };
        Some(elements.iter().enumerate().map(entry).collect())
    }

    /// The table, if this is one.
    pub(super) fn section(&self) -> Option<Section<'a>> {
        Some(Section { site: self.site.clone(), table: Some(table(self.value)?) })
    }
}

/// The path of one table of a list: by its name where it has one, or else by its place.
pub(super) fn label(list: &str, element: &Value, index: usize) -> String {
    match table(element).and_then(|table| table.get("name")).map(|name| &name.kind) {
        Some(ValueKind::String(name)) if is_name(name) => format!("{list}.{name}"),
        _ => format!("{list}[{index}]"),
    }
}

/// What a listener or an upstream may be called: no more than a host name may (RFC 1123 section
/// 2.1, with `_`), because an upstream's name serves as `Host`.
pub(super) fn is_name(name: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    (1..=253).contains(&name.len()) && name.bytes().all(allowed)
}

/// Where a value stands: a table that was merged from several places stands where its parent does.
pub(super) fn site(key: String, value: &Value, parent: &Site) -> Site {
    let position = value.origin().map_or_else(|| parent.position.clone(), Position::from_origin);
    Site { key, position }
}

fn table(value: &Value) -> Option<&Map<String, Value>> {
    match &value.kind {
        ValueKind::Table(table) => Some(table),
        _ => None,
    }
}
