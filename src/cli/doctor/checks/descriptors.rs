//! Files that may be open: every connection is one, and a long flow takes two more.

use super::Check;
use crate::budget::Budget;
use crate::cli::doctor::demand::{self, Descriptors};
use crate::cli::doctor::facts::{Fact, HostFacts};
use crate::cli::doctor::finding::{Finding, Fix};
use crate::cli::table::count;
use crate::config::model::Config;
use crate::forward::splice::{PIPE, PIPES};
use crate::sys::rights::Capability;

pub(super) const CHECKS: &[Check] = &[
    Check { name: "RLIMIT_NOFILE", run: nofile },
    Check { name: "fs.nr_open", run: nr_open },
    Check { name: "fs.file-max", run: file_max },
    Check { name: "fs.pipe-max-size", run: pipe_max_size },
    Check { name: "fs.pipe-user-pages-soft", run: pipe_user_pages },
];

/// The least that is recommended: more costs nothing.
const USUAL_NOFILE: u64 = 65_536;

/// The soft limit is raised to the hard one at start; sockets beyond it are EMFILE. getrlimit(2)
fn nofile(facts: &HostFacts, config: &Config) -> Fact<Finding> {
    let (soft, hard) = facts.nofile.clone()?;
    let need = Descriptors::of(config);
    let value =
        if soft == hard { limit(hard) } else { format!("{} soft, {} hard", limit(soft), limit(hard)) };
    let sockets = sockets_within(need, hard);
    let Some(clients) = need.clients else { return unlimited_clients(facts, config, value, hard) };
    let (least, most) = (need.least().unwrap_or(0) as u64, need.most() as u64);
    let meaning = format!(
        "{} sockets fit. {} clients (limit.connections) and {} connections that serve them, and {} idle ones, \
         take {}.",
        limit(sockets),
        count(clients as u64),
        count(need.leased as u64),
        count(need.idle as u64),
        count(need.sockets()),
    );
    Ok(match hard {
        _ if hard < least => Finding::critical(value, meaning).fix(raise(most)),
        _ if hard < most => Finding::warn(value, meaning).fix(raise(most)),
        _ => Finding::ok(value, meaning),
    })
}

/// What fits is what clients are let in for.
fn unlimited_clients(facts: &HostFacts, config: &Config, value: String, hard: u64) -> Fact<Finding> {
    let need = Descriptors::of(config);
    let queue = demand::longest_queue(config, facts.sysctls.number("net.core.somaxconn")?);
    let sockets = sockets_within(need, hard);
    let clients = sockets / 2;
    let meaning = format!(
        "Room for {} clients, each with its connection to an endpoint; the soft limit is raised to the hard one \
         at start.",
        limit(clients),
    );
    if hard < need.most() as u64 {
        let meaning = format!("{meaning} Full pools alone are {} connections.", count(need.idle as u64));
        return Ok(Finding::critical(value, meaning).fix(raise(need.most() as u64)));
    }
    if clients < queue {
        let meaning = format!("{meaning} A single accept queue holds {}.", count(queue));
        return Ok(Finding::warn(value, meaning)
            .fix(raise(queue.saturating_mul(2).saturating_add(need.fixed as u64))));
    }
    Ok(Finding::ok(value, meaning))
}

/// What [`Budget`] leaves of a limit.
fn sockets_within(need: Descriptors, hard: u64) -> u64 {
    let fixed = need.fixed - Budget::RESERVE;
    Budget::new(usize::try_from(hard).unwrap_or(usize::MAX), fixed).limit() as u64
}

/// A limit of 2^64 - 1 is RLIM_INFINITY.
fn limit(number: u64) -> String {
    if number >= u64::MAX / 2 { "unlimited".to_owned() } else { count(number) }
}

fn raise(need: u64) -> Fix {
    let enough = demand::round_up(need.max(USUAL_NOFILE));
    Fix::service(format!("LimitNOFILE={enough}"), format!("ulimit -n {enough}"))
}

/// RLIMIT_NOFILE cannot be set above it. proc_sys_fs(5)
fn nr_open(facts: &HostFacts, config: &Config) -> Fact<Finding> {
    const NAME: &str = "fs.nr_open";
    let most = facts.sysctls.number(NAME)?;
    let need = Descriptors::of(config).most() as u64;
    let meaning = format!("RLIMIT_NOFILE can be set up to this. The configuration needs {}", count(need));
    if most < need {
        let enough = demand::round_up(need);
        let finding = Finding::critical(count(most), format!("{meaning}."));
        return Ok(finding.fix(Fix::sysctl(NAME, enough)));
    }
    let what = if Descriptors::of(config).clients.is_none() { " for its pools" } else { "" };
    Ok(Finding::ok(count(most), format!("{meaning}{what}.")))
}

/// Files of all processes; beyond it, ENFILE. Processes with CAP_SYS_ADMIN are exempt.
/// proc_sys_fs(5)
fn file_max(facts: &HostFacts, config: &Config) -> Fact<Finding> {
    const NAME: &str = "fs.file-max";
    let most = facts.sysctls.number(NAME)?;
    let [open, _, _] = facts.sysctls.numbers::<u64, 3>("fs.file-nr")?;
    let need = Descriptors::of(config).most() as u64;
    let (_, hard) = facts.nofile.clone()?;
    let left = most.saturating_sub(open);
    let value = limit(most);
    let meaning = format!("{} files are open on this host", count(open));
    if left < need {
        let meaning = format!("{meaning}, and {} more are too few: {} are needed.", count(left), count(need));
        let fix = Fix::sysctl(NAME, demand::round_up(open.saturating_add(need)));
        return Ok(Finding::critical(value, meaning).fix(fix));
    }
    if left < hard && Descriptors::of(config).clients.is_none() {
        let meaning = format!(
            "{meaning}. RLIMIT_NOFILE lets this process alone open {}, more than are left: then every process \
             gets ENFILE.",
            limit(hard),
        );
        let enough = demand::round_up(open.saturating_add(hard));
        return Ok(Finding::warn(value, meaning).fix(Fix::sysctl(NAME, enough)));
    }
    Ok(Finding::ok(value, format!("{meaning}; there is room for what millpond may open.")))
}

/// A process without CAP_SYS_RESOURCE gets no larger pipe. pipe(7), F_SETPIPE_SZ(2const)
fn pipe_max_size(facts: &HostFacts, _: &Config) -> Fact<Finding> {
    const NAME: &str = "fs.pipe-max-size";
    let most = facts.sysctls.number(NAME)?;
    let is_exempt = facts.is_exempt(&[Capability::SysResource])?;
    let size = PIPE / 1024;
    if most >= PIPE as u64 || is_exempt {
        return Ok(Finding::ok(count(most), format!("Long flows pass through pipes of {size} KiB.")));
    }
    let meaning = format!("Long flows pass through pipes of {size} KiB, which are refused: they are copied.");
    Ok(Finding::warn(count(most), meaning).fix(Fix::sysctl(NAME, PIPE)))
}

/// A user with more than this in pipes gets only small ones, unless it has CAP_SYS_RESOURCE or
/// CAP_SYS_ADMIN; 0 is no limit. pipe(7)
fn pipe_user_pages(facts: &HostFacts, config: &Config) -> Fact<Finding> {
    const NAME: &str = "fs.pipe-user-pages-soft";
    let pages = facts.sysctls.number(NAME)?;
    let is_exempt = facts.is_exempt(&[Capability::SysResource, Capability::SysAdmin])?;
    let pipes = (config.runtime.workers * PIPES) as u64;
    let need = pipes * (PIPE as u64).div_ceil(facts.page_size.clone()?);
    let meaning = format!(
        "{} workers have up to {} pipes of {} KiB for long flows, {} pages",
        config.runtime.workers,
        count(pipes),
        PIPE / 1024,
        count(need),
    );
    if pages == 0 || pages >= need || is_exempt {
        return Ok(Finding::ok(count(pages), format!("{meaning}.")));
    }
    let meaning = format!("{meaning}; beyond {}, long flows are copied.", count(pages));
    Ok(Finding::warn(count(pages), meaning).fix(Fix::sysctl(NAME, demand::round_up(need))))
}
