//! What is known of the network address translators of the large clouds, and what any of them means
//! for the connections that go through it (pure). `docs/NAT.md` has the same numbers for users.

use super::model::Nat;
use std::time::Duration;

/// The names that `upstream.source.nat` takes, and what they stand for: one address of the translator,
/// as its provider sets it up by default.
pub const PROFILES: [(&str, Nat); 3] =
    [("aws-nat-gateway", AWS), ("azure-nat-gateway", AZURE), ("gcp-cloud-nat", GCP)];

/// AWS NAT gateway.
///
/// - Ports: 55,000 connections to each destination for each address of the gateway (Amazon VPC User
///   Guide, "NAT gateway basics").
/// - Idle timeout: 350 s, which cannot be changed; what comes afterwards is answered with RST (the same
///   guide, "Troubleshoot NAT gateways").
/// - Port of a closed connection: no number is documented. That the limit "also applies" to about 900
///   connections a second, "55,000 a minute" ("NAT gateway basics"), says 60 s.
const AWS: Nat = nat(55_000, 350, 60);

/// Azure NAT gateway.
///
/// - Ports: 50,000 connections to one destination for each public address, out of 64,512 ports
///   (Microsoft Learn, "Azure NAT Gateway resource", "Performance").
/// - Idle timeout: 4 minutes unless it was raised, to 120 at most (the same page, "TCP idle timeout").
/// - Port of a closed connection: 65 s after FIN, 16 s after RST (the same page, "Port reuse timers");
///   the longer one, because either side may close.
const AZURE: Nat = nat(50_000, 240, 65);

/// Google Cloud NAT.
///
/// - Ports: 64 for a virtual machine, unless the gateway was given another number ("Cloud NAT IP
///   addresses and ports": the minimum ports per VM of static allocation).
/// - Idle timeout: 1,200 s for established connections ("Tune NAT configuration", "NAT timeouts").
/// - Port of a closed connection: 120 s, or 30 s for gateways created since the change of 30 June to
///   30 September 2026 (Cloud NAT release notes, 31 March 2026); the longer one, which every older
///   gateway keeps.
const GCP: Nat = nat(64, 1200, 120);

const fn nat(ports: u32, idle_timeout: u64, time_wait: u64) -> Nat {
    Nat { ports, idle_timeout: Duration::from_secs(idle_timeout), time_wait: Duration::from_secs(time_wait) }
}

impl Nat {
    /// The longest that a pooled connection is left idle without being asked for: 0.8 of the time after
    /// which the translator forgets it, so that it is closed while both ends still hear of it.
    pub fn pool_idle_max(&self) -> Duration {
        self.idle_timeout / 5 * 4
    }

    /// The longest silence before a keepalive probe: half of the time after which the translator
    /// forgets the connection, so that one probe may be lost. In whole seconds, as the kernel counts
    /// (tcp(7), TCP_KEEPIDLE), and 1 at least.
    pub fn keepalive_idle_max(&self) -> Duration {
        Duration::from_secs((self.idle_timeout / 2).as_secs().max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_from_an_idle_timeout() {
        let of = |seconds| {
            let nat = nat(1, seconds, 0);
            (nat.pool_idle_max().as_secs_f64(), nat.keepalive_idle_max().as_secs())
        };
        assert_eq!([350, 240, 1200, 5].map(of), [(280.0, 175), (192.0, 120), (960.0, 600), (4.0, 2)]);
        assert!(PROFILES.iter().all(|(_, nat)| nat.keepalive_idle_max() * 2 <= nat.idle_timeout));
    }
}
