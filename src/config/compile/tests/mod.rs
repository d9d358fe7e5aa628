//! Every diagnostic: where it points, which key it names, what it says.

use crate::config::diagnostic::{Diagnostic, Severity};
use crate::config::load::{Loaded, parse_str};

mod discovery;
mod limit;
mod lints;
mod model;
mod source;
mod structure;
mod values;

/// Lines 1 to 8; a case replaces one of them or goes on from line 9, which is in `[[upstream]]`.
const SOUND: &str = r#"[[listener]]
name = "web"
bind = "127.0.0.1:8080"
upstream = "app"

[[upstream]]
name = "app"
endpoints = ["127.0.0.1:3000"]
"#;

fn loaded(text: &str) -> Loaded {
    parse_str("x.toml", text).unwrap_or_else(|problems| panic!("{problems}\nin\n{text}"))
}

fn errors(text: &str) -> Vec<Diagnostic> {
    match parse_str("x.toml", text) {
        Err(problems) => problems.0,
        Ok(loaded) => panic!("no error, {:?}, in\n{text}", loaded.warnings),
    }
}

/// Asserts that this text has one problem, which begins with `start` and whose fix holds `fix`.
fn one(severity: Severity, text: &str, start: &str, fix: &str) {
    let found = match severity {
        Severity::Error => errors(text),
        Severity::Warning => loaded(text).warnings,
    };
    let shown: Vec<String> = found.iter().map(Diagnostic::to_string).collect();
    assert_eq!(found.len(), 1, "{shown:#?}\nin\n{text}");
    assert!(shown[0].starts_with(&format!("{severity}: x.toml{start}")), "{}\nin\n{text}", shown[0]);
    assert!(found[0].fix.contains(fix), "the fix is {:?}, not {fix:?}, in\n{text}", found[0].fix);
}
