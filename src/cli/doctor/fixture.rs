//! A host on which nothing is wrong, and a configuration for it.

use super::facts::{HostFacts, Occupant, Place, Sysctls, Unreadable};
use crate::config::load::parse_str;
use crate::config::model::Config;
use crate::sys::probe::{Access, SocketOption};
use crate::sys::rights::Capabilities;

/// What a setting is on that host.
const SETTINGS: [(&str, &str); 35] = [
    ("fs.file-max", "9223372036854775807"),
    ("fs.file-nr", "1481\t0\t9223372036854775807"),
    ("fs.nr_open", "1048576"),
    ("fs.pipe-max-size", "1048576"),
    ("fs.pipe-user-pages-soft", "16384"),
    ("kernel.osrelease", "6.18.44-generic"),
    ("net.core.netdev_max_backlog", "1000"),
    ("net.core.somaxconn", "4096"),
    ("net.ipv4.ip_local_port_range", "32768\t60999"),
    ("net.ipv4.ip_local_reserved_ports", ""),
    ("net.ipv4.ip_nonlocal_bind", "0"),
    ("net.ipv4.ip_unprivileged_port_start", "1024"),
    ("net.ipv4.tcp_abort_on_overflow", "0"),
    ("net.ipv4.tcp_fin_timeout", "60"),
    ("net.ipv4.tcp_keepalive_intvl", "75"),
    ("net.ipv4.tcp_keepalive_probes", "9"),
    ("net.ipv4.tcp_keepalive_time", "7200"),
    ("net.ipv4.tcp_max_syn_backlog", "8192"),
    ("net.ipv4.tcp_max_tw_buckets", "131072"),
    ("net.ipv4.tcp_mem", "287901\t383868\t575802"),
    ("net.ipv4.tcp_migrate_req", "1"),
    ("net.ipv4.tcp_rmem", "4096\t131072\t6291456"),
    ("net.ipv4.tcp_slow_start_after_idle", "0"),
    ("net.ipv4.tcp_syncookies", "1"),
    ("net.ipv4.tcp_timestamps", "1"),
    ("net.ipv4.tcp_tw_reuse", "2"),
    ("net.ipv4.tcp_wmem", "4096\t16384\t4194304"),
    ("net.ipv6.ip_nonlocal_bind", "0"),
    ("net.netfilter.nf_conntrack_buckets", "262144"),
    ("net.netfilter.nf_conntrack_count", "12"),
    ("net.netfilter.nf_conntrack_max", "262144"),
    ("net.netfilter.nf_conntrack_tcp_be_liberal", "0"),
    ("net.netfilter.nf_conntrack_tcp_timeout_close_wait", "60"),
    ("net.netfilter.nf_conntrack_tcp_timeout_established", "432000"),
    ("net.netfilter.nf_conntrack_tcp_timeout_time_wait", "120"),
];

/// The host: every check of [`config`] is content with it.
pub(super) fn host() -> HostFacts {
    use SocketOption::{BindAddressNoPort, LocalPortRange, ReusePort, UserTimeout};
    let setting =
        |name| SETTINGS.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
    let local = [("127.0.0.1", true), ("192.0.2.1", false), ("192.0.2.2", false), ("198.51.100.1", true)];
    HostFacts {
        sysctls: Sysctls::from(|name| Ok(setting(name))),
        nofile: Ok((1024, 20_000)),
        user: 999,
        account: None,
        capabilities: Ok(Capabilities::default()),
        rules_host: Ok(true),
        page_size: Ok(4096),
        options: [ReusePort, BindAddressNoPort, LocalPortRange, UserTimeout].map(|option| (option, Ok(true))),
        sock_diag: Ok(()),
        splice: Ok(()),
        local: local.map(|(address, is_local)| (address.parse().unwrap(), Ok(is_local))).into(),
        admin_socket: None,
        token: None,
        access_log: None,
    }
}

impl HostFacts {
    /// Changes a setting.
    pub(super) fn set(&mut self, name: &'static str, value: &str) {
        self.sysctls.set(name, Ok(Some(value.to_owned())));
    }
}

/// A path at which nothing is, in a directory that may be written to.
pub(super) fn place(path: &str) -> Place {
    Place {
        path: path.into(),
        occupant: Ok(Occupant::Nothing),
        file: Ok(Access::Missing),
        directory: Ok(Access::Granted),
    }
}

/// Nothing can be read on this host.
pub(super) fn hidden() -> HostFacts {
    let why = || Unreadable("hidden".to_owned());
    let mut host = host();
    host.sysctls = Sysctls::from(|_| Err(why()));
    (host.nofile, host.capabilities, host.page_size) = (Err(why()), Err(why()), Err(why()));
    host.options.iter_mut().for_each(|(_, answer)| *answer = Err(why()));
    host.local.values_mut().for_each(|answer| *answer = Err(why()));
    host
}

/// Two workers, a listener "web" on port 8080 of every address, an upstream "app" with one endpoint on
/// another host; `top`, `listener` and `upstream` are more lines for their tables.
#[track_caller]
pub(super) fn config(top: &str, listener: &str, upstream: &str) -> Config {
    // What a case says again wins over what stands here.
    let unless = |lines: &str, key: &str, line: &'static str| if lines.contains(key) { "" } else { line };
    let text = format!(
        "{}{top}\n[[listener]]\nname = \"web\"\nupstream = \"app\"\n{}{listener}\n\
         [[upstream]]\nname = \"app\"\n{}{upstream}\n",
        unless(top, "workers", "runtime.workers = 2\n"),
        unless(listener, "bind", "bind = \"0.0.0.0:8080\"\n"),
        unless(upstream, "endpoints", "endpoints = [\"192.0.2.1:3000\"]\n"),
    );
    parse_str("x.toml", &text).unwrap_or_else(|problems| panic!("{problems}\n{text}")).config
}
