//! `millpond run`: the proxy, in the foreground.

use super::args::RunArgs;
use super::signals::Signals;
use crate::config::diagnostic::Diagnostics;
use crate::config::load::{Loaded, adhoc, fingerprint, load, process_variable};
use crate::config::model::{AdminListen, Protocol};
use crate::observe::logging;
use crate::supervisor::{Beginning, Predecessor, Program, RELAPSE_TIME, RELAPSES, Service, Supervisor};
use crate::sys::huge_pages;
use anyhow::Context;

/// Runs until a signal or the admin server ends it.
pub(super) fn run(args: RunArgs) -> anyhow::Result<u8> {
    let mut predecessor = Predecessor::from_environment()?;
    let service = Service::from_environment().context("NOTIFY_SOCKET")?;
    let file = args.config.clone();
    let fingerprint = file.as_deref().map(fingerprint);
    let Loaded { config, warnings, .. } = match configuration(args) {
        Ok(loaded) => loaded,
        Err(problems) => {
            report(&problems);
            if let Some(predecessor) = predecessor.take() {
                predecessor.fail(problems.to_string());
            }
            return Ok(1);
        }
    };
    logging::init(&config.log)?;
    for warning in &warnings {
        tracing::warn!("{warning}");
    }
    // A kernel without them has nothing to refuse.
    if let Err(error) = huge_pages::disable() {
        tracing::debug!(%error, "transparent huge pages cannot be disabled");
    }
    let program = Program::of_this_process()
        .inspect_err(|error| tracing::warn!(%error, "it cannot be upgraded: which program is this?"));
    let signals = Signals::install().context("signals cannot be handled")?;
    let admin = config.admin.listen.clone();
    let beginning = Beginning { file: file.zip(fingerprint), program: program.ok(), predecessor, service };
    let supervisor = Supervisor::begin(config, beginning)?;
    announce(&supervisor, &admin);
    signals.obey(supervisor.clone()).context("signals cannot be handled")?;
    let report = supervisor.wait();
    tracing::info!(sessions_cut = report.cut, "ended");
    if report.has_failed {
        anyhow::bail!("{RELAPSES} panics of workers within {RELAPSE_TIME:?}: the log says where");
    }
    Ok(0)
}

fn configuration(args: RunArgs) -> Result<Loaded, Diagnostics> {
    match (args.config, args.listen) {
        (None, Some(listen)) => {
            let protocol = if args.tcp { Protocol::Tcp } else { Protocol::Http };
            adhoc(listen, &args.upstream, protocol, &process_variable)
        }
        (config, _) => load(&config.unwrap_or_default(), &process_variable),
    }
}

/// The log is set up by the configuration, so there is none yet.
#[allow(clippy::print_stderr)]
fn report(problems: &Diagnostics) {
    eprintln!("{problems}");
}

fn announce(supervisor: &Supervisor, admin: &AdminListen) {
    let registry = supervisor.registry();
    let (nofile, sockets) = (registry.budget.nofile(), registry.budget.limit());
    tracing::info!(nofile, sockets, "descriptors: RLIMIT_NOFILE, and what clients and endpoints share of it");
    let running = registry.running();
    for listener in &running.listeners {
        let upstream = running.upstreams.get(listener.config.upstream);
        tracing::info!(
            listener = listener.config.name,
            address = %listener.address,
            upstream = upstream.map_or("", |upstream| &upstream.config.name),
            "listening"
        );
    }
    match (supervisor.admin_address(), admin) {
        (Some(address), _) => tracing::info!(%address, "the admin server listens"),
        (None, AdminListen::Unix(path)) => {
            tracing::info!(address = %format_args!("unix:{}", path.display()), "the admin server listens");
        }
        (None, AdminListen::Tcp(address)) => tracing::info!(%address, "the admin server listens"),
    }
}
