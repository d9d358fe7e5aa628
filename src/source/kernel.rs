//! What the kernel's settings say of local ports (pure).

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

/// How long the side that closes first keeps a connection in TIME_WAIT: TCP_TIMEWAIT_LEN of
/// include/net/tcp.h, which no setting changes.
pub const TIME_WAIT: Duration = Duration::from_secs(60);
/// How late the kernel ends it at most. A timer that is set for a minute fires at the next multiple of
/// 512 jiffies, with 1000 of them a second of 4096 (kernel/time/timer.c): that is 5.12 s with 100 of
/// them a second, 4.1 s with 1000, and less in between.
const TIMER_LATE: Duration = Duration::from_millis(5120);

/// The settings that decide which local ports connect(2) may choose, and how soon again. All are
/// called net.ipv4 and hold for IPv6 too. ip(7), Documentation/networking/ip-sysctl.rst
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortSettings {
    /// ip_local_port_range.
    pub range: RangeInclusive<u16>,
    /// ip_local_reserved_ports: never chosen.
    pub reserved: Vec<RangeInclusive<u16>>,
    /// tcp_tw_reuse: 0 never, 1 always, 2 on loopback.
    pub tw_reuse: u32,
    /// tcp_tw_reuse_delay: how old a TIME_WAIT has to be to be reused.
    pub tw_reuse_delay: Duration,
    /// tcp_timestamps, without which nothing is reused.
    pub timestamps: bool,
    /// Whether a socket can have a range of its own: IP_LOCAL_PORT_RANGE, from Linux 6.3 on.
    pub range_by_socket: bool,
}

/// How long the kernel keeps the port of a connection that we closed first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hold {
    /// From the close on; by the kernel's timer where it is not reused, and those are late.
    pub time: Duration,
    /// Whether a later connection may have the port although the TIME_WAIT is still there.
    pub reuse: bool,
}

impl Hold {
    /// Where a TIME_WAIT holds its port to its end.
    pub const TO_THE_END: Self = Self { time: TIME_WAIT, reuse: false };

    /// After this time the port is there again, whatever the kernel's timers do.
    pub fn longest(&self) -> Duration {
        if self.reuse { self.time } else { self.time + TIMER_LATE }
    }
}

impl Default for PortSettings {
    /// What Linux has where nobody changed it.
    fn default() -> Self {
        Self {
            range: 32768..=60999,
            reserved: Vec::new(),
            tw_reuse: 2,
            tw_reuse_delay: Duration::from_secs(1),
            timestamps: true,
            range_by_socket: true,
        }
    }
}

impl PortSettings {
    /// How many ports connect(2) chooses from, on a socket with this range of its own.
    pub fn ports(&self, configured: Option<&RangeInclusive<u16>>) -> u32 {
        let range = configured.map_or_else(|| self.range.clone(), |configured| self.narrowed(configured));
        let mut reserved: Vec<_> = self.reserved.iter().collect();
        reserved.sort_by_key(|reserved| *reserved.start());
        let (mut ports, mut next) = (0, u32::from(*range.start()));
        for reserved in reserved {
            let end = u32::from(*range.end()) + 1;
            let first = u32::from(*reserved.start()).clamp(next, end.max(next));
            ports += first - next;
            next = next.max((u32::from(*reserved.end()) + 1).min(end));
        }
        ports + (u32::from(*range.end()) + 1).saturating_sub(next)
    }

    /// What the kernel makes of a configured range on this host; all of the host's where a socket can
    /// have none of its own.
    pub fn narrowed(&self, configured: &RangeInclusive<u16>) -> RangeInclusive<u16> {
        match self.range_by_socket {
            true => narrowed(configured, &self.range),
            false => self.range.clone(),
        }
    }

    /// How long a TIME_WAIT between these addresses holds its port (tcp_twsk_unique,
    /// net/ipv4/tcp_ipv4.c).
    pub fn hold(&self, source: IpAddr, destination: SocketAddr) -> Hold {
        let loopback = source.is_loopback() || destination.ip().to_canonical().is_loopback();
        let reuse = self.timestamps && (self.tw_reuse == 1 || self.tw_reuse == 2 && loopback);
        match reuse {
            true => Hold { time: self.tw_reuse_delay.min(TIME_WAIT), reuse },
            false => Hold::TO_THE_END,
        }
    }
}

/// What the kernel makes of a configured range: either end counts only if it lies within `host`'s,
/// ip_local_port_range (inet_sk_get_local_port_range, net/ipv4/inet_connection_sock.c).
pub fn narrowed(configured: &RangeInclusive<u16>, host: &RangeInclusive<u16>) -> RangeInclusive<u16> {
    let within = |port: &u16, otherwise: &u16| if host.contains(port) { *port } else { *otherwise };
    within(configured.start(), host.start())..=within(configured.end(), host.end())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn settings(range: RangeInclusive<u16>, reserved: &[RangeInclusive<u16>]) -> PortSettings {
        PortSettings { range, reserved: reserved.to_vec(), ..PortSettings::default() }
    }

    #[test]
    fn a_host_as_it_comes_has_28232_ports() {
        assert_eq!(PortSettings::default().ports(None), 28_232);
        assert_eq!(settings(1..=65535, &[]).ports(None), 65_535);
    }

    #[test]
    fn a_configured_range_only_narrows() {
        let host = settings(32768..=60999, &[]);
        assert_eq!(host.ports(Some(&(40_000..=40_039))), 40);
        assert_eq!(host.ports(Some(&(20_000..=32_767))), 28_232, "outside, which the kernel ignores");
        assert_eq!(host.ports(Some(&(20_000..=32_768))), 1);
        assert_eq!(host.ports(Some(&(60_999..=65_535))), 1);
        let old = PortSettings { range_by_socket: false, ..host };
        assert_eq!(old.ports(Some(&(40_000..=40_039))), 28_232);
    }

    proptest! {
        #[test]
        fn reserved_ports_are_counted_once(
            (first, last) in (1u16..=400).prop_flat_map(|first| (Just(first), first..=400)),
            reserved in prop::collection::vec((1u16..=400, 0u16..50), 0..8),
        ) {
            let reserved: Vec<_> = reserved.into_iter().map(|(first, more)| first..=first + more).collect();
            let free = (first..=last).filter(|port| !reserved.iter().any(|r| r.contains(port))).count();
            prop_assert_eq!(settings(first..=last, &reserved).ports(None), free as u32);
        }
    }

    #[test]
    fn a_time_wait_holds_its_port_as_long_as_the_kernel_does_not_reuse_it() {
        let (far, near) = ("203.0.113.7:80", "127.0.0.9:80");
        let delay = Duration::from_millis(1500);
        let cases = [
            (0, true, near, TIME_WAIT),
            (1, true, far, delay),
            (1, false, far, TIME_WAIT),
            (2, true, far, TIME_WAIT),
            (2, true, near, delay),
            (2, true, "[::1]:80", delay),
            (2, true, "[::ffff:127.0.0.1]:80", delay),
        ];
        for (tw_reuse, timestamps, destination, expected) in cases {
            let settings =
                PortSettings { tw_reuse, timestamps, tw_reuse_delay: delay, ..PortSettings::default() };
            let hold = settings.hold("192.0.2.1".parse().unwrap(), destination.parse().unwrap());
            let reuse = expected == delay;
            assert_eq!(hold, Hold { time: expected, reuse }, "{tw_reuse} {timestamps} {destination}");
        }
    }
}
