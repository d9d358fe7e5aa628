//! `millpond stats`: one snapshot of a running instance.

use super::args::{AdminTarget, StatsArgs};
use super::{fetch, summary};
use crate::observe::snapshot::Snapshot;
use anyhow::Context;
use std::io::Write;

const PATH: &str = "/stats";

/// Prints the snapshot, for people or as it came.
pub(super) fn stats(args: &StatsArgs, out: &mut dyn Write) -> anyhow::Result<u8> {
    let body = fetch::get(&args.instance, PATH)?;
    if args.json {
        out.write_all(&body)?;
    } else {
        out.write_all(summary::of(&parse(&args.instance.admin, &body)?).as_bytes())?;
    }
    out.flush()?;
    Ok(0)
}

fn parse(target: &AdminTarget, body: &[u8]) -> anyhow::Result<Snapshot> {
    serde_json::from_slice(body).with_context(|| {
        format!("what {target} answers is not the statistics of a millpond that this version understands")
    })
}

#[cfg(test)]
mod tests;
