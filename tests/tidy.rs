//! What is shipped beside the code agrees with it: configurations compile, the reference names every
//! key with its real default, and no source file has grown out of hand.

use millpond::config::load::{Loaded, parse_str};
use millpond::config::schema::KEYS;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use toml_edit::{Document, Item, TableLike, Value};

/// The longest that a source file may be.
const LINES_MAX: usize = 500;
/// The one key that stands as a comment in the reference, because it belongs to another balance.
const HASH_KEY: &str = "# hash_key = \"client\"";

fn at_root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn files_below(directory: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).expect("a directory of the crate") {
        let path = entry.expect("a readable directory").path();
        if path.is_dir() {
            found.extend(files_below(&path, extension));
        } else if path.extension().is_some_and(|found| found == extension) {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn reference() -> String {
    text_of(&at_root("config/reference.toml"))
}

fn text_of(file: &Path) -> String {
    fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

fn compiled(name: &str, text: &str) -> Loaded {
    parse_str(name, text).unwrap_or_else(|problems| panic!("{problems}"))
}

#[test]
fn every_shipped_configuration_compiles_without_a_warning() {
    let files = files_below(&at_root("config"), "toml");
    assert!(files.len() >= 3, "{files:?}");
    for file in files {
        let loaded = compiled(&file.display().to_string(), &text_of(&file));
        assert_eq!(loaded.warnings, [], "{}", file.display());
    }
}

#[test]
fn the_reference_names_every_key() {
    let text = reference().replace(HASH_KEY, &HASH_KEY[2..]);
    let document = Document::parse(text.as_str()).unwrap();
    let mut written = BTreeSet::new();
    collect(document.as_table(), "", &mut written);
    let missing: Vec<_> = KEYS.iter().filter(|key| !written.contains(**key)).collect();
    assert!(missing.is_empty(), "reference.toml lacks {missing:?}");
}

/// Each key has a comment of its own on the line above it.
#[test]
fn the_reference_says_why() {
    let text = reference();
    let lines: Vec<&str> = text.lines().collect();
    for pair in lines.windows(2) {
        let is_key = pair[1].split_once(" = ").is_some_and(|(key, _)| !key.starts_with('#'));
        assert!(!is_key || pair[0].starts_with("# "), "{:?} has no comment above it", pair[1]);
    }
}

#[test]
fn the_reference_holds_the_defaults() {
    const SMALLEST: &str = "[[listener]]\nbind = \"127.0.0.1:8080\"\nupstream = \"app\"\n\
                            [[upstream]]\nname = \"app\"\nendpoints = [\"127.0.0.1:3000\", \"127.0.0.1:3001\"]\n";
    let text = reference();
    assert_eq!(compiled("reference", &text).config, compiled("smallest", SMALLEST).config);

    let hashed = text.replace("\"least_conn\"\n", "\"hash\"\n").replace(HASH_KEY, &HASH_KEY[2..]);
    let smallest = format!("{SMALLEST}balance = \"hash\"\n");
    assert_eq!(compiled("reference", &hashed).config, compiled("smallest", &smallest).config);
}

#[test]
fn source_files_are_short_enough_to_read() {
    let mut files = files_below(&at_root("src"), "rs");
    files.extend(files_below(&at_root("tests"), "rs"));
    for file in files {
        let lines = text_of(&file).lines().count();
        assert!(lines <= LINES_MAX, "{} has {lines} lines, more than {LINES_MAX}", file.display());
    }
}

/// The path of every key of a table, without the indexes of lists.
fn collect(table: &dyn TableLike, path: &str, written: &mut BTreeSet<String>) {
    for (key, item) in table.iter() {
        let path = if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
        match item {
            Item::ArrayOfTables(tables) => tables.iter().for_each(|table| collect(table, &path, written)),
            Item::Value(Value::Array(elements)) => {
                let tables = elements.iter().filter_map(Value::as_inline_table);
                tables.for_each(|table| collect(table, &path, written));
            }
            item => {
                if let Some(table) = item.as_table_like() {
                    collect(table, &path, written);
                }
            }
        }
        written.insert(path);
    }
}
