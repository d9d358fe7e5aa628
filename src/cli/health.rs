//! `millpond health`: one bit of a running instance, for health checks.

use super::args::HealthArgs;
use super::fetch;
use std::io::Write;

/// 200 while new clients are served.
pub(super) const READY: &str = "/readyz";
/// 200 while the process answers.
const LIVE: &str = "/livez";

/// Prints what the instance says. Anything but 200 is an error.
pub(super) fn health(args: &HealthArgs, out: &mut dyn Write) -> anyhow::Result<u8> {
    let body = fetch::probe(&args.admin, if args.live { LIVE } else { READY })?;
    out.write_all(&body)?;
    out.flush()?;
    Ok(0)
}
