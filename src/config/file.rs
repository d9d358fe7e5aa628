//! One TOML file as a layer of the configuration, whose values carry the line that they stand on.

use super::diagnostic::{Diagnostic, Position, Problems, Severity, Site};
use super::schema;
use super::section::site;
use config::{ConfigError, Map, Source, Value, ValueKind};
use std::ops::Range;
use toml_edit::{Document, Item, TableLike, Value as TomlValue};

/// What one file says.
#[derive(Clone, Debug, Default)]
pub(super) struct Layer {
    /// The plain tables at the top, by name: later layers win key by key.
    pub(super) tables: Map<String, Value>,
    /// The elements of [`schema::LISTS`], in that order: those of all layers count.
    pub(super) lists: [Vec<Value>; 2],
}

impl Layer {
    /// Parses one file. The error says why it is no TOML; everything else that is wrong with it goes
    /// to `problems`.
    pub(super) fn parse(name: &str, text: &str, problems: &mut Problems) -> Result<Self, Diagnostic> {
        let reader = Reader { name, line_starts: line_starts(text) };
        let document = Document::parse(text).map_err(|error| reader.syntax_error(&error))?;
        let root = reader.table(document.as_table(), None);
        let site = Site { key: String::new(), position: Position::File(name.to_owned()) };
        schema::check(&root, &site, problems);
        Ok(Self::divide(root, &site, problems))
    }

    /// Keys that do not exist stay behind: they have been reported, and the `config` crate would
    /// read one such as `"listener[9]"` as a path.
    fn divide(root: Value, file: &Site, problems: &mut Problems) -> Self {
        let mut layer = Self::default();
        let ValueKind::Table(mut tables) = root.kind else { return layer };
        tables.retain(|key, _| schema::is_root(key));
        for (list, elements) in schema::LISTS.iter().zip(&mut layer.lists) {
            let Some(value) = tables.remove(*list) else { continue };
            let site = site((*list).to_owned(), &value, file);
            match value.kind {
                ValueKind::Array(listed) => *elements = listed,
                ValueKind::Table(_) => {
                    let fix = format!("write [[{list}]] in place of [{list}]");
                    problems.error(&site, format!("one [{list}], where a list is wanted"), fix);
                    elements.push(value);
                }
                // Reported by the schema.
                _ => {}
            }
        }
        for (name, table) in &mut tables {
            Self::refuse_tables(name, table, file, problems);
        }
        layer.tables = tables;
        layer
    }

    /// A table in place of a plain value has to be reported here: once layers are merged, a table
    /// no longer knows its line.
    fn refuse_tables(name: &str, table: &mut Value, file: &Site, problems: &mut Problems) {
        let ValueKind::Table(values) = &mut table.kind else { return };
        values.retain(|key, value| {
            let path = format!("{name}.{key}");
            let refused = schema::KEYS.contains(&path.as_str()) && matches!(value.kind, ValueKind::Table(_));
            if refused {
                let fix = format!("write {key} = and the value");
                problems.error(&site(path, value, file), "a table is not a value", fix);
            }
            !refused
        });
    }
}

impl Source for Layer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, ConfigError> {
        Ok(self.tables.clone())
    }
}

/// Turns a parsed document into values that know their place.
struct Reader<'a> {
    name: &'a str,
    line_starts: Vec<usize>,
}

impl Reader<'_> {
    fn table(&self, table: &dyn TableLike, origin: Option<&String>) -> Value {
        let values = table.iter().map(|(name, item)| {
            // The key, not the value: a table made by dotted keys has no place of its own.
            let span = table.key(name).and_then(|key| key.span()).or_else(|| item.span());
            (name.to_owned(), self.item(item, &self.origin(span)))
        });
        let values: Map<String, Value> = values.collect();
        Value::new(origin, ValueKind::Table(values))
    }

    fn item(&self, item: &Item, origin: &String) -> Value {
        match item {
            Item::None => Value::new(Some(origin), ValueKind::Nil),
            Item::Value(value) => self.value(value, origin),
            Item::Table(table) => self.table(table, Some(origin)),
            Item::ArrayOfTables(tables) => {
                let element = |table: &toml_edit::Table| self.table(table, Some(&self.origin(table.span())));
                let elements: Vec<Value> = tables.iter().map(element).collect();
                Value::new(Some(origin), ValueKind::Array(elements))
            }
        }
    }

    fn value(&self, value: &TomlValue, origin: &String) -> Value {
        let kind = match value {
            TomlValue::String(text) => ValueKind::String(text.value().clone()),
            TomlValue::Integer(number) => ValueKind::I64(*number.value()),
            TomlValue::Float(number) => ValueKind::Float(*number.value()),
            TomlValue::Boolean(flag) => ValueKind::Boolean(*flag.value()),
            TomlValue::Array(array) => {
                let element = |value: &TomlValue| self.value(value, &self.origin(value.span()));
                ValueKind::Array(array.iter().map(element).collect())
            }
            TomlValue::InlineTable(table) => return self.table(table, Some(origin)),
            // The `config` crate has no dates and no key takes one: this is refused wherever it is read.
            TomlValue::Datetime(_) => ValueKind::Nil,
        };
        Value::new(Some(origin), kind)
    }

    fn origin(&self, span: Option<Range<usize>>) -> String {
        self.line(span).to_string()
    }

    fn line(&self, span: Option<Range<usize>>) -> Position {
        let offset = span.map_or(0, |span| span.start);
        Position::Line(self.name.to_owned(), self.line_starts.partition_point(|start| *start <= offset))
    }

    fn syntax_error(&self, error: &toml_edit::TomlError) -> Diagnostic {
        Diagnostic {
            severity: Severity::Error,
            position: self.line(error.span()),
            key: String::new(),
            message: format!("this is not TOML: {}", error.message()),
            fix: "see https://toml.io for how to write it".to_owned(),
        }
    }
}

/// Where each line begins, so that a place in the text has a line number.
fn line_starts(text: &str) -> Vec<usize> {
    std::iter::once(0).chain(text.match_indices('\n').map(|(newline, _)| newline + 1)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origins(value: &Value, path: &str, found: &mut Vec<String>) {
        found.push(format!("{path}={}", value.origin().unwrap_or("?")));
        match &value.kind {
            ValueKind::Table(table) => {
                for (key, value) in table {
                    origins(value, &format!("{path}.{key}"), found);
                }
            }
            ValueKind::Array(elements) => {
                for (index, value) in elements.iter().enumerate() {
                    origins(value, &format!("{path}[{index}]"), found);
                }
            }
            _ => {}
        }
    }

    #[test]
    fn every_value_knows_its_line() {
        let text = "log.level = \"info\"\r\n\n[admin]\nlisten = \"x\"\n\n[[listener]]\nbind = [\n  \"a\",\n  \"b\",\n]\n\
                    timeout.idle = \"1s\"\n[listener.socket]\nno_delay = true\n[[listener]]\n\
                    socket = { linger = \"reset\" }\n";
        let mut problems = Problems::default();
        let layer = Layer::parse("f", text, &mut problems).expect("it is TOML");
        let mut found = Vec::new();
        origins(&layer.tables["log"], "log", &mut found);
        origins(&layer.tables["admin"], "admin", &mut found);
        for (index, listener) in layer.lists[0].iter().enumerate() {
            origins(listener, &index.to_string(), &mut found);
        }
        found.sort();
        assert_eq!(
            found,
            [
                "0.bind=f:7",
                "0.bind[0]=f:8",
                "0.bind[1]=f:9",
                "0.socket.no_delay=f:13",
                "0.socket=f:12",
                "0.timeout.idle=f:11",
                "0.timeout=f:11",
                "0=f:6",
                "1.socket.linger=f:15",
                "1.socket=f:15",
                "1=f:14",
                "admin.listen=f:4",
                "admin=f:3",
                "log.level=f:1",
                "log=f:1",
            ]
        );
        assert_eq!(problems.0, []);
    }
}
