//! `millpond doctor`: this host against a configuration. [`facts`] reads, [`checks`] judge without
//! touching the host, and what they find is shown for people or as JSON.

pub mod checks;
mod demand;
pub mod facts;
pub mod finding;
#[cfg(test)]
mod fixture;
mod human;
mod json;
mod report;
#[cfg(test)]
mod tests;

use super::args::DoctorArgs;
use crate::config::diagnostic::Diagnostics;
use crate::config::load::{Environment, Loaded, adhoc, load, process_variable};
use crate::config::model::Protocol;
use facts::HostFacts;
use finding::Verdict;
use human::Style;
use report::Report;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

/// Prints what there is to say of this host, for people or as JSON. The result is the exit code: 1 when
/// something is critical, or when the configuration cannot be used.
pub(super) fn doctor(args: &DoctorArgs, out: &mut dyn Write) -> anyhow::Result<u8> {
    let Loaded { config, .. } = match configuration(args.config.as_deref(), &process_variable) {
        Ok(loaded) => loaded,
        Err(problems) => {
            refuse(&problems);
            return Ok(1);
        }
    };
    let report = Report::of(&HostFacts::read(&config), &config, args.config.as_deref());
    if args.json {
        serde_json::to_writer_pretty(&mut *out, &json::Report::of(&report))?;
        writeln!(out)?;
    } else {
        out.write_all(human::render(&report, Style::of_stdout()).as_bytes())?;
    }
    out.flush()?;
    Ok(u8::from(report.count(Verdict::Critical) > 0))
}

/// The file, or the smallest configuration there is.
fn configuration(path: Option<&Path>, environment: Environment<'_>) -> Result<Loaded, Diagnostics> {
    let here = |port| SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port);
    match path {
        Some(path) => load(path, environment),
        None => adhoc(here(8080), &[here(3000)], Protocol::Http, environment),
    }
}

#[allow(clippy::print_stderr)]
fn refuse(problems: &Diagnostics) {
    eprintln!("{problems}");
}
