//! Descriptors, connection tracking, rights, the kernel.

use super::{Case, DEFAULTS, critical, good, warn};
use crate::cli::doctor::facts::{Occupant, Place, Sysctls};
use crate::cli::doctor::fixture::place;
use crate::sys::probe::Access;
use crate::sys::rights::{Capabilities, Capability};
use std::io::ErrorKind;

const LIMITED: [&str; 3] = ["", "limit.connections = 5000", "pool.max_idle = 100"];
const FORGETFUL: [&str; 3] = ["", "protocol = \"tcp\"\nsocket.tcp_keepalive = \"off\"", ""];
const PRIVILEGED: [&str; 3] = ["", "bind = [\"0.0.0.0:8080\", \"0.0.0.0:80\"]", ""];

const UNIX: [&str; 3] = ["admin.listen = \"unix:/run/millpond/admin.sock\"", "", ""];
const OPEN: [&str; 3] =
    ["admin.listen = \"198.51.100.1:9900\"\nadmin.token_file = \"/etc/millpond/token\"", "", ""];

fn denied(why: &str) -> Access {
    Access::Denied(why.to_owned())
}

fn admin_socket(alter: impl FnOnce(&mut Place)) -> Option<Place> {
    let mut place = place("/run/millpond/admin.sock");
    alter(&mut place);
    Some(place)
}

fn access_log(alter: impl FnOnce(&mut Place)) -> Option<Place> {
    let mut place = place("/var/log/millpond/access.log");
    alter(&mut place);
    Some(place)
}

pub(super) const CASES: &[Case] = &[
    good("RLIMIT_NOFILE", DEFAULTS, |_| {}, "1,024 soft, 20,000 hard Room for 9,961 clients"),
    warn(
        "RLIMIT_NOFILE",
        DEFAULTS,
        |h| h.nofile = Ok((1024, 8000)),
        "A single accept queue holds 4,096",
        &["LimitNOFILE=65536"],
    ),
    // 77 for itself, and 4,096 clients with their connections.
    good("RLIMIT_NOFILE", DEFAULTS, |h| h.nofile = Ok((8269, 8269)), "Room for 4,096 clients"),
    warn(
        "RLIMIT_NOFILE",
        DEFAULTS,
        |h| {
            h.nofile = Ok((8269, 8269));
            h.set("net.core.somaxconn", "32768");
        },
        "holds 32,768",
        &["LimitNOFILE=131072"],
    ),
    // 77 for itself, 256 idle connections.
    warn("RLIMIT_NOFILE", DEFAULTS, |h| h.nofile = Ok((333, 333)), "Room for 128", &["LimitNOFILE=65536"]),
    critical(
        "RLIMIT_NOFILE",
        DEFAULTS,
        |h| h.nofile = Ok((332, 332)),
        "Full pools alone are 256",
        &["ulimit -n 65536"],
    ),
    // 77 for itself, 5,000 clients, 5,000 connections that serve them, 100 idle ones.
    good("RLIMIT_NOFILE", LIMITED, |h| h.nofile = Ok((10_177, 10_177)), "10,100 sockets fit"),
    warn(
        "RLIMIT_NOFILE",
        LIMITED,
        |h| h.nofile = Ok((10_176, 10_176)),
        "take 10,100",
        &["LimitNOFILE=65536"],
    ),
    critical(
        "RLIMIT_NOFILE",
        LIMITED,
        |h| h.nofile = Ok((10_076, 10_076)),
        "take 10,100",
        &["LimitNOFILE=65536"],
    ),
    good("fs.nr_open", DEFAULTS, |_| {}, "needs 333 for its pools"),
    critical(
        "fs.nr_open",
        ["", "limit.connections = 1000000", ""],
        |_| {},
        "needs 2,000,333",
        &["sysctl -w fs.nr_open=2097152"],
    ),
    good("fs.nr_open", DEFAULTS, |h| h.set("fs.nr_open", "333"), "needs 333"),
    good("fs.file-max", DEFAULTS, |h| h.set("fs.file-max", "21481"), "room for what millpond may open"),
    good("fs.file-max", LIMITED, |h| h.set("fs.file-max", "11658"), "1,481 files are open"),
    good("fs.file-max", DEFAULTS, |_| {}, "unlimited 1,481 files are open"),
    warn(
        "fs.file-max",
        DEFAULTS,
        |h| h.set("fs.file-max", "21480"),
        "open 20,000",
        &["sysctl -w fs.file-max=32768"],
    ),
    critical(
        "fs.file-max",
        LIMITED,
        |h| h.set("fs.file-max", "11657"),
        "10,176 more are too few: 10,177 are needed",
        &["sysctl -w fs.file-max=16384"],
    ),
    good("fs.pipe-max-size", DEFAULTS, |h| h.set("fs.pipe-max-size", "524288"), "512 KiB"),
    good(
        "fs.pipe-max-size",
        DEFAULTS,
        |h| {
            h.set("fs.pipe-max-size", "65536");
            h.capabilities = Ok(Capabilities::of(&[Capability::SysResource]));
        },
        "512 KiB",
    ),
    warn(
        "fs.pipe-max-size",
        DEFAULTS,
        |h| {
            h.set("fs.pipe-max-size", "65536");
            h.capabilities = Ok(Capabilities::of(&[Capability::SysResource]));
            h.rules_host = Ok(false);
        },
        "are refused",
        &["fs.pipe-max-size = 524288"],
    ),
    warn(
        "fs.pipe-max-size",
        DEFAULTS,
        |h| h.set("fs.pipe-max-size", "65536"),
        "are refused",
        &["sysctl -w fs.pipe-max-size=524288"],
    ),
    good("fs.pipe-user-pages-soft", DEFAULTS, |_| {}, "64 pipes of 512 KiB for long flows, 8,192 pages"),
    good("fs.pipe-user-pages-soft", DEFAULTS, |h| h.set("fs.pipe-user-pages-soft", "0"), "8,192 pages"),
    good(
        "fs.pipe-user-pages-soft",
        ["runtime.workers = 5", "", ""],
        |h| h.capabilities = Ok(Capabilities::of(&[Capability::SysAdmin])),
        "20,480 pages",
    ),
    good("fs.pipe-user-pages-soft", DEFAULTS, |h| h.set("fs.pipe-user-pages-soft", "8192"), "8,192 pages"),
    warn(
        "fs.pipe-user-pages-soft",
        ["runtime.workers = 5", "", ""],
        |_| {},
        "20,480 pages; beyond 16,384",
        &["sysctl -w fs.pipe-user-pages-soft=32768"],
    ),
    good(
        "net.netfilter.nf_conntrack_max",
        DEFAULTS,
        |_| {},
        "Room for the 19,923 connections that RLIMIT_NOFILE",
    ),
    good(
        "net.netfilter.nf_conntrack_max",
        DEFAULTS,
        |h| h.sysctls = Sysctls::from(|name| Ok((name == "net.core.somaxconn").then(|| "4096".to_owned()))),
        "not loaded Nothing is tracked",
    ),
    warn(
        "net.netfilter.nf_conntrack_max",
        LIMITED,
        |h| h.set("net.netfilter.nf_conntrack_max", "8192"),
        "full before the 10,100 connections that limit.connections and the pools allow",
        &["sysctl -w net.netfilter.nf_conntrack_max=16384"],
    ),
    good(
        "net.netfilter.nf_conntrack_max",
        LIMITED,
        |h| h.set("net.netfilter.nf_conntrack_max", "10100"),
        "Room for the 10,100 connections that limit.connections",
    ),
    warn(
        "net.netfilter.nf_conntrack_max",
        LIMITED,
        |h| {
            h.set("net.netfilter.nf_conntrack_max", "9000");
            h.set("net.netfilter.nf_conntrack_count", "8099");
        },
        "full before",
        &["net.netfilter.nf_conntrack_max = 32768"],
    ),
    critical(
        "net.netfilter.nf_conntrack_max",
        LIMITED,
        |h| {
            h.set("net.netfilter.nf_conntrack_max", "9000");
            h.set("net.netfilter.nf_conntrack_count", "8100");
        },
        "all but full",
        &["net.netfilter.nf_conntrack_max = 32768"],
    ),
    critical(
        "net.netfilter.nf_conntrack_max",
        DEFAULTS,
        |h| h.set("net.netfilter.nf_conntrack_count", "262000"),
        "262,000 of 262,144 The table is all but full",
        &["sysctl -w net.netfilter.nf_conntrack_max=524288"],
    ),
    good("net.netfilter.nf_conntrack_buckets", DEFAULTS, |_| {}, "2 entries to a bucket"),
    good(
        "net.netfilter.nf_conntrack_buckets",
        DEFAULTS,
        |h| h.set("net.netfilter.nf_conntrack_buckets", "65536"),
        "8 entries to a bucket",
    ),
    warn(
        "net.netfilter.nf_conntrack_buckets",
        DEFAULTS,
        |h| h.set("net.netfilter.nf_conntrack_buckets", "16384"),
        "32 entries to a bucket",
        &["sysctl -w net.netfilter.nf_conntrack_buckets=262144"],
    ),
    good("net.netfilter.nf_conntrack_tcp_timeout_established", DEFAULTS, |_| {}, "silent for 1m"),
    good("net.netfilter.nf_conntrack_tcp_timeout_established", FORGETFUL, |_| {}, "silent for 1h"),
    warn(
        "net.netfilter.nf_conntrack_tcp_timeout_established",
        DEFAULTS,
        |h| h.set("net.netfilter.nf_conntrack_tcp_timeout_established", "60"),
        "is forgotten earlier",
        &["sysctl -w net.netfilter.nf_conntrack_tcp_timeout_established=432000"],
    ),
    warn(
        "net.netfilter.nf_conntrack_tcp_timeout_established",
        FORGETFUL,
        |h| h.set("net.netfilter.nf_conntrack_tcp_timeout_established", "1800"),
        "A client of \"web\" may be silent for 1h",
        &["net.netfilter.nf_conntrack_tcp_timeout_established = 432000"],
    ),
    good("net.netfilter.nf_conntrack_tcp_timeout_close_wait", DEFAULTS, |_| {}, "may take 30s"),
    warn(
        "net.netfilter.nf_conntrack_tcp_timeout_close_wait",
        DEFAULTS,
        |h| h.set("net.netfilter.nf_conntrack_tcp_timeout_close_wait", "30"),
        "forgotten earlier if it is silent",
        &["sysctl -w net.netfilter.nf_conntrack_tcp_timeout_close_wait=60"],
    ),
    good("net.netfilter.nf_conntrack_tcp_timeout_time_wait", DEFAULTS, |_| {}, "2,184 a second"),
    warn(
        "net.netfilter.nf_conntrack_tcp_timeout_time_wait",
        DEFAULTS,
        |h| h.set("net.netfilter.nf_conntrack_tcp_timeout_time_wait", "240"),
        "1,092 a second",
        &["sysctl -w net.netfilter.nf_conntrack_tcp_timeout_time_wait=120"],
    ),
    good("net.netfilter.nf_conntrack_tcp_be_liberal", DEFAULTS, |_| {}, "set it to 1"),
    good(
        "net.netfilter.nf_conntrack_tcp_be_liberal",
        DEFAULTS,
        |h| h.set("net.netfilter.nf_conntrack_tcp_be_liberal", "1"),
        "Only an RST",
    ),
    good("CAP_NET_BIND_SERVICE", DEFAULTS, |_| {}, "not held No port of the configuration is below 1024"),
    good(
        "CAP_NET_BIND_SERVICE",
        PRIVILEGED,
        |h| h.capabilities = Ok(Capabilities::of(&[Capability::NetBindService])),
        "Port 80, below 1024, may be bound",
    ),
    good(
        "CAP_NET_BIND_SERVICE",
        PRIVILEGED,
        |h| h.set("net.ipv4.ip_unprivileged_port_start", "80"),
        "below 80",
    ),
    good("CAP_NET_BIND_SERVICE", ["", "bind = \"0.0.0.0:0\"", ""], |_| {}, "No port"),
    critical(
        "CAP_NET_BIND_SERVICE",
        PRIVILEGED,
        |_| {},
        "Port 80 is below 1024",
        &["AmbientCapabilities=CAP_NET_BIND_SERVICE", "sysctl -w net.ipv4.ip_unprivileged_port_start=80"],
    ),
    good("listener.bind", DEFAULTS, |_| {}, "0.0.0.0:8080"),
    good("listener.bind", ["", "bind = \"198.51.100.1:80\"", ""], |_| {}, "198.51.100.1:80"),
    good(
        "listener.bind",
        ["", "bind = \"192.0.2.2:8080\"", ""],
        |h| h.set("net.ipv4.ip_nonlocal_bind", "1"),
        "192.0.2.2:8080",
    ),
    critical(
        "listener.bind",
        ["", "bind = [\"127.0.0.1:8080\", \"192.0.2.2:8080\"]", ""],
        |_| {},
        "No interface has 192.0.2.2, so listener \"web\"",
        &["bind = [\"127.0.0.1:8080\", \"0.0.0.0:8080\"]"],
    ),
    good("admin.listen", DEFAULTS, |_| {}, "127.0.0.1:9900"),
    good("admin.listen", UNIX, |h| h.admin_socket = admin_socket(|_| {}), "/run/millpond may be written to"),
    good(
        "admin.listen",
        UNIX,
        |h| h.admin_socket = admin_socket(|p| p.occupant = Ok(Occupant::Socket)),
        "may be",
    ),
    critical(
        "admin.listen",
        UNIX,
        |h| h.admin_socket = admin_socket(|p| p.directory = Ok(Access::Missing)),
        "there is no directory /run/millpond",
        &["RuntimeDirectory=millpond"],
    ),
    critical(
        "admin.listen",
        UNIX,
        |h| h.admin_socket = admin_socket(|p| p.directory = Ok(denied("Permission denied"))),
        "cannot be made in /run/millpond: Permission denied",
        &["chown 999 /run/millpond"],
    ),
    critical(
        "admin.listen",
        UNIX,
        |h| h.admin_socket = admin_socket(|p| p.occupant = Ok(Occupant::Other)),
        "no socket, and in the way",
        &["listen = \"unix:/run/millpond/admin.sock.sock\""],
    ),
    good("admin.listen", OPEN, |_| {}, "Other hosts reach it"),
    good(
        "admin.listen",
        ["admin.listen = \"0.0.0.0:9900\"\nadmin.token_file = \"/t\"", "", ""],
        |_| {},
        "0.0.0.0",
    ),
    critical(
        "admin.listen",
        ["admin.listen = \"192.0.2.2:9900\"\nadmin.token_file = \"/t\"", "", ""],
        |_| {},
        "No interface has 192.0.2.2",
        &["listen = \"0.0.0.0:9900\""],
    ),
    good("admin.token_file", DEFAULTS, |_| {}, "none"),
    good(
        "admin.token_file",
        OPEN,
        |h| h.token = Some(Ok(0o640)),
        "/etc/millpond/token It holds a token, and its mode is 0640",
    ),
    warn(
        "admin.token_file",
        OPEN,
        |h| h.token = Some(Ok(0o644)),
        "every user of this host",
        &["chmod o= /etc/millpond/token"],
    ),
    critical(
        "admin.token_file",
        OPEN,
        |h| h.token = Some(Err("the token file /etc/millpond/token cannot be read: gone".into())),
        "The token file /etc/millpond/token cannot be read: gone.",
        &["openssl rand -hex 32 | install -m 600 -o 999 /dev/stdin /etc/millpond/token"],
    ),
    good("log.access", DEFAULTS, |_| {}, "off"),
    good("log.access", DEFAULTS, |h| h.access_log = access_log(|_| {}), "will be made in /var/log/millpond"),
    good(
        "log.access",
        DEFAULTS,
        |h| h.access_log = access_log(|p| p.file = Ok(Access::Granted)),
        "may be written",
    ),
    critical(
        "log.access",
        DEFAULTS,
        |h| h.access_log = access_log(|p| p.file = Ok(denied("Read-only file system"))),
        "cannot be written to: Read-only file system",
        &["chown 999 /var/log/millpond/access.log"],
    ),
    critical(
        "log.access",
        DEFAULTS,
        |h| h.access_log = access_log(|p| p.directory = Ok(Access::Missing)),
        "there is no directory /var/log/millpond",
        &["LogsDirectory=millpond"],
    ),
    critical(
        "log.access",
        DEFAULTS,
        |h| {
            let mut place = place("/srv/log/access.log");
            place.directory = Ok(Access::Missing);
            h.access_log = Some(place);
        },
        "there is no directory /srv/log",
        &["install -d -o 999 /srv/log"],
    ),
    critical(
        "log.access",
        DEFAULTS,
        |h| {
            h.access_log = access_log(|p| {
                p.file = Ok(Access::Granted);
                p.occupant = Ok(Occupant::Directory);
            });
        },
        "this is a directory",
        &["access = \"/var/log/millpond/access.log/access.log\""],
    ),
    good("kernel", DEFAULTS, |_| {}, "has everything"),
    good(
        "kernel",
        DEFAULTS,
        |h| h.set("kernel.osrelease", "5.10.0-30-amd64"),
        "does without IP_LOCAL_PORT_RANGE",
    ),
    good("kernel", DEFAULTS, |h| h.set("kernel.osrelease", "6.3"), "has everything"),
    good("kernel", DEFAULTS, |h| h.set("kernel.osrelease", "4.2.0"), "does without"),
    critical("kernel", DEFAULTS, |h| h.set("kernel.osrelease", "3.10.0-1160.el7"), "4.2 is the oldest", &[]),
    good("SO_REUSEPORT", DEFAULTS, |_| {}, "reuse_port with several workers"),
    good("SO_REUSEPORT", ["runtime.workers = 1", "", ""], |h| h.options[0].1 = Ok(false), "Not used"),
    critical(
        "SO_REUSEPORT",
        DEFAULTS,
        |h| h.options[0].1 = Ok(false),
        "missing",
        &["socket.reuse_port = false"],
    ),
    good("IP_BIND_ADDRESS_NO_PORT", DEFAULTS, |h| h.options[1].1 = Ok(false), "Not used"),
    critical(
        "IP_BIND_ADDRESS_NO_PORT",
        ["", "", "source.addresses = [\"198.51.100.1\"]"],
        |h| h.options[1].1 = Ok(false),
        "upstream.source.addresses",
        &["source.addresses = []"],
    ),
    good("IP_LOCAL_PORT_RANGE", DEFAULTS, |_| {}, "Helps connect(2)"),
    good("IP_LOCAL_PORT_RANGE", DEFAULTS, |h| h.options[2].1 = Ok(false), "missing connect(2) takes longer"),
    critical(
        "IP_LOCAL_PORT_RANGE",
        ["", "", "source.ports = \"40000-49999\""],
        |h| h.options[2].1 = Ok(false),
        "upstream.source.ports",
        &["source.ports = \"auto\""],
    ),
    good("TCP_USER_TIMEOUT", DEFAULTS, |_| {}, "socket.user_timeout"),
    critical(
        "TCP_USER_TIMEOUT",
        DEFAULTS,
        |h| h.options[3].1 = Ok(false),
        "missing",
        &["socket.user_timeout = \"0s\""],
    ),
    good("sock_diag", DEFAULTS, |_| {}, "answers"),
    warn(
        "sock_diag",
        DEFAULTS,
        |h| h.sock_diag = Err("No such file or directory (os error 2)".into()),
        "No such file",
        &["RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK"],
    ),
    good("splice", DEFAULTS, |_| {}, "works"),
    warn(
        "splice",
        DEFAULTS,
        |h| h.splice = Err((ErrorKind::PermissionDenied, "Operation not permitted".into())),
        "Operation not permitted",
        &["sysctl -w fs.pipe-max-size=524288"],
    ),
    warn(
        "splice",
        DEFAULTS,
        |h| h.splice = Err((ErrorKind::Unsupported, "Function not implemented".into())),
        "Long flows are copied",
        &["SystemCallFilter=splice"],
    ),
];
