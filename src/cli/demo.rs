//! `millpond demo`: an origin, the proxy in front of it and a short load, to show what becomes of
//! the connections.

mod load;
mod origin;
mod report;
mod sockets;

use super::args::DemoArgs;
use super::signals::Signals;
use crate::config::load::adhoc;
use crate::config::model::{AccessLog, AdminListen, Config, Log, LogFormat, Protocol};
use crate::observe::logging;
use crate::registry::Registry;
use crate::supervisor::Supervisor;
use anyhow::Context;
use report::{Opened, Report, Run};
use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

/// Clients at once.
const CLIENTS: usize = 16;
/// Requests of each client that keeps its connection.
const REQUESTS_EACH: usize = 1000;
/// Requests of the clients that reconnect for each, all together.
const RECONNECTS: usize = 1000;

const LOOPBACK: [u8; 4] = [127, 0, 0, 1];
/// Where `millpond stats` looks.
const ADMIN_PORT: u16 = 9900;

/// Runs the demo; with `--once` it ends after the table.
pub(super) fn demo(args: &DemoArgs, out: &mut dyn Write) -> anyhow::Result<u8> {
    logging::init(&Log { level: "warn".into(), format: LogFormat::Text, access: AccessLog::Off })?;
    let origin = origin::start().context("the demo's origin cannot start")?;
    let signals = Signals::install().context("signals cannot be handled")?;
    let supervisor = Supervisor::start(configuration(origin)?)?;
    signals.obey(supervisor.clone()).context("signals cannot be handled")?;
    let registry = supervisor.registry().clone();
    let proxy = registry.running().listeners.first().context("the proxy has no listener")?.address.0;

    writeln!(out, "millpond at {proxy} in front of an origin at {origin}; sending requests\n")?;
    out.flush()?;
    let report = measure(&registry, proxy, origin)?;
    out.write_all(report.render().as_bytes())?;
    if args.once {
        supervisor.stop();
        supervisor.wait();
        return Ok(u8::from(report.failed() > 0));
    }
    if let Some(admin) = supervisor.admin_address() {
        writeln!(out, "\ndashboard at http://{admin}/, statistics at http://{admin}/stats")?;
    }
    writeln!(out, "serving at http://{proxy}/ until Ctrl-C")?;
    out.flush()?;
    supervisor.wait();
    Ok(0)
}

/// One HTTP listener with defaults and names that tell; the environment has no part in it.
fn configuration(origin: SocketAddr) -> anyhow::Result<Config> {
    let listen = SocketAddr::from((LOOPBACK, 0));
    let mut config = adhoc(listen, &[origin], Protocol::Http, &|_| None)?.config;
    config.admin.listen = AdminListen::Tcp(SocketAddr::from((LOOPBACK, free_admin_port())));
    config.runtime.shutdown_timeout = Duration::from_secs(2);
    config.listeners.iter_mut().for_each(|listener| Arc::make_mut(listener).name = "demo".into());
    config.upstreams.iter_mut().for_each(|upstream| Arc::make_mut(upstream).name = "origin".into());
    Ok(config)
}

/// The usual port, or 0 where another instance has it.
fn free_admin_port() -> u16 {
    TcpListener::bind(SocketAddr::from((LOOPBACK, ADMIN_PORT))).map_or(0, |_| ADMIN_PORT)
}

fn measure(registry: &Registry, proxy: SocketAddr, origin: SocketAddr) -> anyhow::Result<Report> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut before = opened(registry);
    let mut run = |clients: &'static str, outcome: load::Outcome| {
        let after = opened(registry);
        let run = Run { clients, outcome, opened: after.since(before) };
        before = after;
        run
    };
    let keeping = load::keep_alive(proxy, CLIENTS, REQUESTS_EACH);
    let keeping = run("keep-alive", runtime.block_on(keeping));
    let reconnecting = load::reconnecting(proxy, CLIENTS, RECONNECTS);
    let reconnecting = run("one connection a request", runtime.block_on(reconnecting));
    Ok(Report { runs: vec![keeping, reconnecting], sockets: sockets::towards(origin) })
}

/// What the proxy has done for its upstream connections so far.
fn opened(registry: &Registry) -> Opened {
    let running = registry.running();
    Opened {
        opened: running.endpoints().map(|endpoint| endpoint.total(|w| &w.opened_total)).sum(),
        reused: running.endpoints().map(|endpoint| endpoint.total(|w| &w.reused_total)).sum(),
    }
}
