//! What is shipped beside the code agrees with it: configurations compile, the reference names every
//! key with its real default, the documents list every reason and metric, and no source file has
//! grown out of hand.

use millpond::cli::doctor::checks::THEMES;
use millpond::config::load::{Loaded, parse_str};
use millpond::config::model::Nat;
use millpond::config::nat::PROFILES;
use millpond::config::schema::KEYS;
use millpond::forward::failure;
use millpond::metrics::names;
use millpond::reason::{CloseReason, DiscardReason, RejectReason};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use toml_edit::{Document, Item, TableLike, Value};

/// The longest that a source file may be.
const LINES_MAX: usize = 500;
/// From the bottom to the top, as the table in `src/lib.rs` has it: a module uses those of the rows
/// above and of its own.
const MODULES: &[&[&str]] = &[
    &["addr", "reason", "budget", "buffer", "timer"],
    &["config"],
    &["sys"],
    &["http1", "close", "source", "upgrade"],
    &["registry", "session", "command", "metrics", "upstream", "discovery", "pool"],
    &["observe"],
    &["listener", "worker", "forward"],
    &["admin"],
    &["supervisor"],
    &["cli"],
];
/// A key that stands as a comment in the reference, because it belongs to another balance.
const HASH_KEY: &str = "# hash_key = \"client\"";
/// The same for a NAT in numbers, which stands in the place of a name.
const NAT_TABLE: &str = "# nat = { ports = 64512, idle_timeout = \"350s\", time_wait = \"60s\" }";
const NAT_NAME: &str = "nat = \"none\"\n";

fn at_root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn files_below(directory: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).expect("a directory of the crate") {
        let path = entry.expect("a readable directory").path();
        if path.is_dir() {
            // Where `cargo fuzz` builds.
            if !path.ends_with("target") {
                found.extend(files_below(&path, extension));
            }
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
    let mut files = files_below(&at_root("config"), "toml");
    files.extend(files_below(&at_root("deploy"), "toml"));
    assert!(files.len() >= 3, "{files:?}");
    for file in files {
        let loaded = compiled(&file.display().to_string(), &text_of(&file));
        assert_eq!(loaded.warnings, [], "{}", file.display());
    }
}

#[test]
fn the_reference_names_every_key() {
    let text = reference().replace(HASH_KEY, &HASH_KEY[2..]);
    let text = text.replace(NAT_NAME, "").replace(NAT_TABLE, &NAT_TABLE[2..]);
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
        // What is indented is an element of a list, which has its comment above the list.
        let is_key = pair[1].split_once(" = ").is_some_and(|(key, _)| !key.starts_with(['#', ' ']));
        assert!(!is_key || pair[0].starts_with("# "), "{:?} has no comment above it", pair[1]);
    }
}

#[test]
fn the_reference_holds_the_defaults() {
    const SMALLEST: &str = "[[listener]]\nbind = \"127.0.0.1:8080\"\nupstream = \"app\"\n\
                            [[upstream]]\nname = \"app\"\nendpoints = [\"127.0.0.1:3000\", \"127.0.0.1:3001\", \
                            { dns = \"app.internal:3000\" }, { srv = \"_http._tcp.app.internal\" }]\n";
    let text = reference();
    assert_eq!(compiled("reference", &text).config, compiled("smallest", SMALLEST).config);

    let hashed = text.replace("\"least_conn\"\n", "\"hash\"\n").replace(HASH_KEY, &HASH_KEY[2..]);
    let smallest = format!("{SMALLEST}balance = \"hash\"\n");
    assert_eq!(compiled("reference", &hashed).config, compiled("smallest", &smallest).config);
}

#[test]
fn every_nat_is_documented_with_its_numbers() {
    let row = |(name, nat): &(&str, Nat)| {
        let (idle, closed) = (nat.idle_timeout.as_secs(), nat.time_wait.as_secs());
        format!("| `{name}` | {} | {idle} s | {closed} s |", nat.ports)
    };
    assert_rows(&text_of(&at_root("docs/NAT.md")), "## Profiles", PROFILES.iter().map(row).collect());
}

#[test]
fn every_reason_is_documented_with_its_status() {
    let rejects = RejectReason::ALL.iter().map(|reason| {
        let (status, phrase) = failure::status(*reason);
        format!("| `{reason}` | {status} {phrase} |")
    });
    let closes = CloseReason::ALL.iter().map(|reason| format!("| `{reason}` |"));
    let discards = DiscardReason::ALL.iter().map(|reason| format!("| `{reason}` |"));
    let text = text_of(&at_root("docs/REASONS.md"));
    assert_rows(&text, "## Requests answered by millpond itself", rejects.collect());
    assert_rows(&text, "## Ends of client sessions", closes.collect());
    assert_rows(&text, "## Ends of connections to endpoints", discards.collect());
}

#[test]
fn every_metric_is_documented() {
    let row = |metric: &names::Metric| {
        let labels: Vec<_> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
        let labels = if labels.is_empty() { "-".to_owned() } else { labels.join(", ") };
        format!("| `{}` | {} | {labels} | {} |", metric.name, metric.kind.word(), metric.help)
    };
    let text = text_of(&at_root("docs/METRICS.md"));
    assert_rows(&text, "# Metrics", names::ALL.iter().map(row).collect());
}

#[test]
fn every_check_of_the_doctor_is_documented() {
    let text = text_of(&at_root("docs/DOCTOR.md"));
    for theme in THEMES {
        let rows = theme.checks.iter().map(|check| format!("| `{}` |", check.name));
        assert_rows(&text, &format!("## {}", theme.title), rows.collect());
    }
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

/// Clippy denies `unsafe` elsewhere; that each of it says why it is sound, only this sees.
#[test]
fn unsafe_code_is_in_sys_alone_and_says_why_it_is_sound() {
    /// A comment may have several lines.
    const ABOVE: usize = 6;
    let mut blocks = 0;
    for file in files_below(&at_root("src"), "rs") {
        let text = text_of(&file);
        let lines: Vec<&str> = text.lines().collect();
        for (number, line) in lines.iter().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            if !["unsafe {", "unsafe fn", "unsafe impl"].iter().any(|word| code.contains(word)) {
                continue;
            }
            let place = format!("{}:{}", file.display(), number + 1);
            assert!(file.starts_with(at_root("src/sys")), "{place}: unsafe outside of src/sys");
            let above = &lines[number.saturating_sub(ABOVE)..number];
            assert!(above.iter().any(|line| line.contains("// SAFETY: ")), "{place}: no SAFETY comment");
            blocks += 1;
        }
    }
    assert!(blocks > 20, "{blocks} were found");
}

#[test]
fn modules_use_only_those_below_them() {
    let row_of = |module: &str| MODULES.iter().position(|row| row.contains(&module));
    for file in files_below(&at_root("src"), "rs") {
        let path = file.strip_prefix(at_root("src")).expect("a file below src");
        let module = path.iter().next().and_then(|first| Path::new(first).file_stem()?.to_str());
        let module = module.expect("a file has a name");
        let is_test = path.iter().any(|part| ["tests", "tests.rs", "fixture.rs"].iter().any(|t| part == *t));
        if is_test || ["lib", "main"].contains(&module) {
            continue;
        }
        let row = row_of(module).unwrap_or_else(|| panic!("{module} is not in MODULES"));
        for used in modules_used(&text_of(&file)) {
            let used_row = row_of(&used).unwrap_or_else(|| panic!("{used} is not in MODULES"));
            assert!(used_row <= row, "{} uses {used}, which is above {module}", path.display());
        }
    }
}

#[test]
fn the_map_names_the_modules_in_their_order() {
    let text = text_of(&at_root("src/lib.rs"));
    let rows: Vec<&str> = text.lines().filter(|line| line.starts_with("//! | [`")).collect();
    let first_cell = |row: &&str| row.split('|').nth(1).unwrap_or_default().trim().to_owned();
    let named: Vec<String> = rows.iter().map(first_cell).collect();
    let link = |module: &&str| format!("[`{module}`]");
    let expected: Vec<String> =
        MODULES.iter().map(|row| row.iter().map(link).collect::<Vec<_>>().join(", ")).collect();
    assert_eq!(named, expected);
}

/// The crate's modules that a source file names outside its tests, which may use any.
/// A clock that is set must change nothing but what is written with its time: no deadline, no order, no age is
/// measured by it. The list is of those who write a time, ask the file system for one, or show one to a person.
#[test]
fn only_these_read_the_time_of_day() {
    const READERS: &[&str] = &[
        "admin/site.rs",
        "cli/top/app.rs",
        "cli/top/mod.rs",
        "cli/top/view/header.rs",
        "discovery/servers.rs",
        "forward/record.rs",
        "forward/respond.rs",
        "observe/access_log.rs",
        "registry.rs",
        "supervisor.rs",
        "supervisor/reload.rs",
    ];
    let source = at_root("src");
    let reads = |file: &PathBuf| {
        let text = text_of(file);
        let product = text.split("#[cfg(test)]").next().unwrap_or_default();
        product.contains("SystemTime")
    };
    let is_test = |path: &String| {
        path.contains("/tests/") || path.ends_with("tests.rs") || path.ends_with("fixture.rs")
    };
    // By what is below the sources: a checkout may itself be below a directory of tests.
    let below = |file: &PathBuf| file.strip_prefix(&source).expect("below it").display().to_string();
    let files = files_below(&source, "rs");
    let mut found: Vec<_> = files.iter().filter(|file| reads(file)).map(below).collect();
    found.retain(|path| !is_test(path));
    found.sort();
    assert_eq!(found, READERS);
}

fn modules_used(text: &str) -> BTreeSet<String> {
    let code = text.split("\nmod tests {").next().unwrap_or(text);
    let names = code.split("crate::").skip(1).filter(|rest| !rest.starts_with('{'));
    let name = |rest: &str| rest.split(|c: char| !c.is_alphanumeric() && c != '_').next().map(str::to_owned);
    names.filter_map(name).collect()
}

/// The table below `heading` has a row that begins with each of `expected`, in that order, and no other.
fn assert_rows(text: &str, heading: &str, expected: Vec<String>) {
    let (_, below) = text.split_once(&format!("{heading}\n")).unwrap_or_else(|| panic!("no {heading:?}"));
    let section = below.split("\n## ").next().unwrap_or(below);
    let rows: Vec<&str> = section.lines().filter(|line| line.starts_with("| `")).collect();
    for row in &expected {
        assert!(rows.iter().any(|found| found.starts_with(row)), "{heading:?} lacks the row {row}");
    }
    for (found, row) in rows.iter().zip(&expected) {
        assert!(found.starts_with(row), "{heading:?} has {found} where {row} belongs");
    }
    assert_eq!(rows.len(), expected.len(), "{heading:?} has rows for what does not exist");
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
