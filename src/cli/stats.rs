//! `millpond stats`: one snapshot of a running instance.

use super::args::{AdminTarget, StatsArgs};
use super::{fetch, summary};
use crate::observe::snapshot::Snapshot;
use anyhow::Context;
use serde::de::DeserializeOwned;
use std::io::Write;

/// Where the statistics are.
pub(super) const PATH: &str = "/stats";

/// Prints the snapshot, for people or as it came.
pub(super) fn stats(args: &StatsArgs, out: &mut dyn Write) -> anyhow::Result<u8> {
    let body = fetch::get(&args.instance, PATH)?;
    if args.json {
        out.write_all(&body)?;
    } else {
        out.write_all(summary::of(&parse::<Snapshot>(&args.instance.admin, &body)?).as_bytes())?;
    }
    out.flush()?;
    Ok(0)
}

/// What was answered, as a [`Snapshot`] or as plain JSON.
pub(super) fn parse<T: DeserializeOwned>(target: &AdminTarget, body: &[u8]) -> anyhow::Result<T> {
    serde_json::from_slice(body).with_context(|| {
        format!("what {target} answers is not the statistics of a millpond that this version understands")
    })
}

#[cfg(test)]
mod tests;
