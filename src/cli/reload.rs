//! `millpond reload`: a running instance reads its configuration again.

use super::args::ReloadArgs;
use super::fetch;
use crate::admin::reload::{Answer, Failure};
use crate::config::diff::{Changes, Thing};
use crate::observe::snapshot::Diagnostic;
use anyhow::Context;
use hyper::StatusCode;
use std::fmt::Write as _;
use std::io::Write;

const PATH: &str = "/reload";

/// Asks for it and prints what is different, or what is wrong.
pub(super) fn reload(args: &ReloadArgs, out: &mut dyn Write) -> anyhow::Result<u8> {
    let target = &args.instance.admin;
    let (status, body) = fetch::order(&args.instance, PATH)?;
    let strange =
        || format!("{target} answers {status} to POST {PATH}, which this version does not understand");
    if status == StatusCode::OK {
        let answer: Answer = serde_json::from_slice(&body).with_context(strange)?;
        out.write_all(if args.json { body.to_vec() } else { describe(&answer).into_bytes() }.as_slice())?;
        out.flush()?;
        return Ok(0);
    }
    let failure: Failure = serde_json::from_slice(&body).with_context(strange)?;
    if args.json {
        out.write_all(&body)?;
        out.flush()?;
    } else {
        complain(&failure);
    }
    Ok(1)
}

/// One line for each thing that is different.
fn describe(answer: &Answer) -> String {
    let difference = &answer.difference;
    let mut text = format!("reloaded: generation {} runs\n", answer.generation);
    changes(&mut text, "listener", &difference.listeners);
    changes(&mut text, "upstream", &difference.upstreams);
    changes(&mut text, "endpoint", &difference.endpoints);
    for key in difference.process.iter().filter(|key| !difference.needs_restart.contains(key)) {
        line(&mut text, '~', key);
    }
    for key in &difference.needs_restart {
        line(&mut text, '!', &format!("{key} takes effect when millpond is restarted"));
    }
    if difference.is_empty() && difference.needs_restart.is_empty() {
        text.push_str("nothing is different\n");
    }
    for warning in &answer.warnings {
        text.push_str(&diagnostic(warning));
    }
    for note in &answer.notes {
        line(&mut text, '!', note);
    }
    text
}

fn changes(text: &mut String, kind: &str, changes: &Changes) {
    let rows = [('+', &changes.added), ('-', &changes.removed), ('~', &changes.changed)];
    for (sign, thing) in rows.into_iter().flat_map(|(sign, things)| things.iter().map(move |t| (sign, t))) {
        let Thing { name, address, keys } = thing;
        let address = address.as_ref().map(|address| format!(" {address}")).unwrap_or_default();
        let keys = if keys.is_empty() { String::new() } else { format!(": {}", keys.join(", ")) };
        line(text, sign, &format!("{kind} {name}{address}{keys}"));
    }
    if !changes.kept.is_empty() {
        let count = changes.kept.len();
        line(text, '=', &format!("{count} {kind}{} kept", if count == 1 { "" } else { "s" }));
    }
}

fn line(text: &mut String, sign: char, what: &str) {
    // Writing to a String cannot fail.
    let _ = writeln!(text, "  {sign} {what}");
}

fn diagnostic(found: &Diagnostic) -> String {
    let Diagnostic { severity, position, key, message, fix } = found;
    let key = if key.is_empty() { String::new() } else { format!("{key}: ") };
    format!("{severity}: {position}: {key}{message}; {fix}\n")
}

#[allow(clippy::print_stderr)]
fn complain(failure: &Failure) {
    if failure.diagnostics.is_empty() {
        eprintln!("millpond: {}", failure.error);
        return;
    }
    eprint!("{}", failure.diagnostics.iter().map(diagnostic).collect::<String>());
    eprintln!("millpond: nothing is changed: the configuration that ran before runs on");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::diff::Difference;

    fn thing(name: &str, address: Option<&str>, keys: &[&str]) -> Thing {
        let keys = keys.iter().map(|key| (*key).to_owned()).collect();
        Thing { name: name.into(), address: address.map(str::to_owned), keys }
    }

    #[test]
    fn what_is_different_is_told_a_line_each() {
        let listeners = Changes {
            added: vec![thing("web", Some("127.0.0.1:1"), &[])],
            kept: vec![thing("db", Some("127.0.0.1:2"), &[])],
            ..Changes::default()
        };
        let upstreams = Changes {
            changed: vec![thing("app", None, &["balance", "pool.max_idle"])],
            ..Changes::default()
        };
        let difference = Difference {
            listeners,
            upstreams,
            process: vec!["log.format".into(), "log.level".into()],
            needs_restart: vec!["log.format".into()],
            ..Difference::default()
        };
        let mut answer = Answer { generation: 7, difference, warnings: vec![], notes: vec!["odd".into()] };
        let expected = "reloaded: generation 7 runs\n  + listener web 127.0.0.1:1\n  = 1 listener kept\n  \
                        ~ upstream app: balance, pool.max_idle\n  ~ log.level\n  \
                        ! log.format takes effect when millpond is restarted\n  ! odd\n";
        assert_eq!(describe(&answer), expected);
        (answer.difference, answer.notes) = (Difference::default(), vec![]);
        assert_eq!(describe(&answer), "reloaded: generation 7 runs\nnothing is different\n");
    }
}
