//! The man pages and completions of `deploy/`, which are written from the definition of the command line
//! and compared with it.

use super::args::Args;
use clap::CommandFactory;
use clap_complete::Shell;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Writes them anew where this is set, instead of comparing.
const BLESS: &str = "MILLPOND_BLESS";

/// File name and contents, by directory below `deploy`.
fn generated() -> BTreeMap<&'static str, BTreeMap<String, String>> {
    BTreeMap::from([("completions", completions()), ("man", man_pages())])
}

fn completions() -> BTreeMap<String, String> {
    // As each shell looks for them.
    let files = [(Shell::Bash, "millpond"), (Shell::Fish, "millpond.fish"), (Shell::Zsh, "_millpond")];
    let one = |(shell, name): (Shell, &str)| {
        let mut text = Vec::new();
        clap_complete::generate(shell, &mut Args::command(), "millpond", &mut text);
        (name.to_owned(), String::from_utf8(text).unwrap())
    };
    files.map(one).into()
}

/// millpond(1), and a page for each command.
fn man_pages() -> BTreeMap<String, String> {
    let directory = tempfile::tempdir().unwrap();
    let command = Args::command().disable_help_subcommand(true);
    clap_mangen::generate_to(command, directory.path()).unwrap();
    // A blank at the end of a line means nothing to roff(7), but git complains of it.
    let trimmed = |text: String| text.lines().map(|line| format!("{}\n", line.trim_end())).collect();
    read(directory.path()).into_iter().map(|(name, text)| (name, trimmed(text))).collect()
}

fn read(directory: &Path) -> BTreeMap<String, String> {
    let Ok(entries) = fs::read_dir(directory) else { return BTreeMap::new() };
    let entries = entries.map(|entry| entry.unwrap().path());
    entries
        .map(|path| {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap().to_owned();
            (name, fs::read_to_string(&path).unwrap())
        })
        .collect()
}

fn shipped(directory: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(directory)
}

#[test]
fn man_pages_and_completions_are_those_of_this_command_line() {
    let is_blessing = std::env::var_os(BLESS).is_some();
    for (directory, expected) in generated() {
        let place = shipped(directory);
        if is_blessing {
            // What belongs to no command any more goes as well.
            let _ = fs::remove_dir_all(&place);
            fs::create_dir_all(&place).unwrap();
            expected.iter().for_each(|(name, text)| fs::write(place.join(name), text).unwrap());
        }
        let found = read(&place);
        let names = |files: &BTreeMap<String, String>| files.keys().cloned().collect::<Vec<_>>();
        let anew = "write them anew with MILLPOND_BLESS=1 cargo test --lib cli::generated";
        assert_eq!(names(&found), names(&expected), "deploy/{directory}: {anew}");
        for (name, text) in &expected {
            assert!(found.get(name) == Some(text), "deploy/{directory}/{name} is not up to date: {anew}");
        }
    }
}

#[test]
fn every_command_has_a_man_page() {
    let pages = man_pages();
    for command in Args::command().get_subcommands() {
        let page = pages.get(&format!("millpond-{}.1", command.get_name()));
        assert!(
            page.is_some_and(|page| page.contains("EXTRA") || page.contains("Examples")),
            "{}",
            command.get_name()
        );
    }
    assert_eq!(pages.len(), Args::command().get_subcommands().count() + 1);
}
