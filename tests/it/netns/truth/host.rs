//! A host with several listeners, endpoints and source addresses, over IPv4 and IPv6.

use crate::harness::eventually;
use crate::netns::namespace::{nft, run, sysctl};
use std::net::SocketAddr;
use std::process::Command;

/// Of the host: where clients go to, where they come from, what is dialled, and from where.
const ADDRESSES: [&str; 15] = [
    "192.0.2.1/32",
    "192.0.2.2/32",
    "192.0.2.11/32",
    "192.0.2.12/32",
    "203.0.113.1/32",
    "198.51.100.1/32",
    "198.51.100.2/32",
    "198.51.100.3/32",
    "2001:db8::1/128",
    "2001:db8::11/128",
    "2001:db8::12/128",
    "2001:db8::99/128",
    "2001:db8:1::1/128",
    "2001:db8:1::2/128",
    "2001:db8:1::3/128",
];

/// A listener, an address of it that clients use, and the endpoints behind it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Way {
    pub(super) name: &'static str,
    pub(super) bind: &'static str,
    pub(super) to: &'static str,
    pub(super) from: &'static str,
    pub(super) endpoints: &'static [&'static str],
    pub(super) sources: &'static [&'static str],
}

/// Two of them have the same port, each for all addresses of its family.
pub(super) const WAYS: [Way; 4] = [
    Way {
        name: "exact4",
        bind: "192.0.2.1:8081",
        to: "192.0.2.1:8081",
        from: "203.0.113.1:0",
        endpoints: &["198.51.100.1:9001", "198.51.100.2:9001"],
        sources: &["192.0.2.11", "192.0.2.12"],
    },
    Way {
        name: "all4",
        bind: "0.0.0.0:8082",
        to: "192.0.2.2:8082",
        from: "203.0.113.1:0",
        endpoints: &["198.51.100.3:9001"],
        sources: &[],
    },
    Way {
        name: "all6",
        bind: "[::]:8082",
        to: "[2001:db8::1]:8082",
        from: "[2001:db8::99]:0",
        endpoints: &["[2001:db8:1::1]:9001", "[2001:db8:1::2]:9001"],
        sources: &["2001:db8::11", "2001:db8::12"],
    },
    Way {
        name: "exact6",
        bind: "[2001:db8::1]:8083",
        to: "[2001:db8::1]:8083",
        from: "[2001:db8::99]:0",
        endpoints: &["[2001:db8:1::3]:9001"],
        sources: &[],
    },
];

/// Ways whose endpoints never answer a SYN. Each client needs one of its own: when a dial fails, whoever
/// waits for that endpoint hears of it, though it was begun for a client that is gone.
pub(super) const SILENT: [Way; 2] = [
    Way {
        name: "silent4",
        bind: "192.0.2.1:8084",
        to: "192.0.2.1:8084",
        from: "203.0.113.1:0",
        endpoints: &SILENT_4,
        sources: &["192.0.2.11", "192.0.2.12"],
    },
    Way {
        name: "silent6",
        bind: "[::]:8084",
        to: "[2001:db8::1]:8084",
        from: "[2001:db8::99]:0",
        endpoints: &SILENT_6,
        sources: &[],
    },
];

/// Of networks that are this host's as a whole.
const SILENT_4: [&str; 16] = [
    "198.51.100.100:9009",
    "198.51.100.101:9009",
    "198.51.100.102:9009",
    "198.51.100.103:9009",
    "198.51.100.104:9009",
    "198.51.100.105:9009",
    "198.51.100.106:9009",
    "198.51.100.107:9009",
    "198.51.100.108:9009",
    "198.51.100.109:9009",
    "198.51.100.110:9009",
    "198.51.100.111:9009",
    "198.51.100.112:9009",
    "198.51.100.113:9009",
    "198.51.100.114:9009",
    "198.51.100.115:9009",
];
const SILENT_6: [&str; 16] = [
    "[2001:db8:2::1]:9009",
    "[2001:db8:2::2]:9009",
    "[2001:db8:2::3]:9009",
    "[2001:db8:2::4]:9009",
    "[2001:db8:2::5]:9009",
    "[2001:db8:2::6]:9009",
    "[2001:db8:2::7]:9009",
    "[2001:db8:2::8]:9009",
    "[2001:db8:2::9]:9009",
    "[2001:db8:2::a]:9009",
    "[2001:db8:2::b]:9009",
    "[2001:db8:2::c]:9009",
    "[2001:db8:2::d]:9009",
    "[2001:db8:2::e]:9009",
    "[2001:db8:2::f]:9009",
    "[2001:db8:2::10]:9009",
];

/// What does not arrive.
#[derive(Clone, Copy, Debug)]
pub(super) enum Held {
    /// Anything.
    Mute,
    /// FINs.
    Unending,
    /// Anything, for as long as the test lasts.
    Unanswered,
}

/// A set of [`Held`] for each family. Ports alone would not do: clients of either have the same ones now and then.
const RULES: &str = "table inet hold {
    set mute4 { type ipv4_addr . inet_service . ipv4_addr . inet_service; }
    set mute6 { type ipv6_addr . inet_service . ipv6_addr . inet_service; }
    set unending4 { type ipv4_addr . inet_service . ipv4_addr . inet_service; }
    set unending6 { type ipv6_addr . inet_service . ipv6_addr . inet_service; }
    set unanswered4 { type ipv4_addr . inet_service . ipv4_addr . inet_service; }
    set unanswered6 { type ipv6_addr . inet_service . ipv6_addr . inet_service; }
    chain input {
        type filter hook input priority 0;
        tcp dport 9009 drop
        ip saddr . tcp sport . ip daddr . tcp dport @mute4 drop
        ip6 saddr . tcp sport . ip6 daddr . tcp dport @mute6 drop
        ip saddr . tcp sport . ip daddr . tcp dport @unanswered4 drop
        ip6 saddr . tcp sport . ip6 daddr . tcp dport @unanswered6 drop
        tcp flags & fin == fin ip saddr . tcp sport . ip daddr . tcp dport @unending4 drop
        tcp flags & fin == fin ip6 saddr . tcp sport . ip6 daddr . tcp dport @unending6 drop
    }
}";

impl Held {
    /// The command of nft(8) after which this does not arrive, from the one to the other.
    pub(super) fn between(self, from: SocketAddr, to: SocketAddr) -> String {
        let set = match self {
            Self::Mute => "mute",
            Self::Unending => "unending",
            Self::Unanswered => "unanswered",
        };
        let family = if from.is_ipv4() { 4 } else { 6 };
        let [from, to] = [from, to].map(|end| format!("{} . {}", end.ip(), end.port()));
        format!("add element inet hold {set}{family} {{ {from} . {to} }}\n")
    }
}

/// Everything arrives again but for what is never answered.
pub(super) fn release() {
    nft("flush set inet hold mute4; flush set inet hold mute6; \
         flush set inet hold unending4; flush set inet hold unending6");
}

/// Gives this namespace its addresses and rules. An IPv6 address's route comes behind the address: the kernel leaves
/// it to a worker (addrconf_dad_work in net/ipv6/addrconf.c), which a busy host holds up, and until then a connect to
/// the address fails.
pub(super) fn prepare() {
    for address in ADDRESSES {
        let mut command = Command::new("ip");
        run(command.args(["address", "add", address, "dev", "lo"]).args(
            // Duplicates are looked for on other interfaces in vain.
            if address.contains(':') { &["nodad"][..] } else { &[] },
        ));
    }
    for network in ["198.51.100.0/24", "2001:db8:2::/64"] {
        run(Command::new("ip").args(["route", "add", "local", network, "dev", "lo"]));
    }
    eventually("every address is this host's", || {
        let routes = Command::new("ip").args(["-6", "route", "show", "table", "local"]).output().unwrap();
        let routes = String::from_utf8(routes.stdout).unwrap();
        let mut ours = ADDRESSES.iter().filter(|address| address.contains(':'));
        ours.all(|address| routes.contains(&format!("local {} ", address.trim_end_matches("/128"))))
    });
    sysctl("ipv4/tcp_tw_reuse", 0);
    nft(RULES);
}

/// A connect goes on when its client is gone; less than the deadline of whoever waits for it.
const CONNECT: &str = "8s";

/// Nothing else ends by itself.
pub(super) fn configuration() -> String {
    let mut text = "[runtime]\nworkers = 2\ncensus_interval = \"100ms\"\n\
                    [admin]\nlisten = \"127.0.0.1:0\"\n"
        .to_owned();
    for Way { name, bind, endpoints, sources, .. } in WAYS.iter().chain(&SILENT) {
        text.push_str(&format!(
            "[[listener]]\nname = \"{name}\"\nbind = \"{bind}\"\nprotocol = \"tcp\"\nupstream = \"{name}\"\n\
             timeout.half_close = \"10m\"\nsocket.user_timeout = \"0s\"\n\
             [[upstream]]\nname = \"{name}\"\nendpoints = {endpoints:?}\nsource.addresses = {sources:?}\n\
             timeout.half_close = \"10m\"\ntimeout.connect = \"{CONNECT}\"\nsocket.user_timeout = \"0s\"\n\
             passive.failures = 0\nbalance = \"round_robin\"\n"
        ));
    }
    text
}
