use super::super::tests::{a_second_later, healthy, in_trouble, in_trouble_later, unmeasured};
use super::*;
use crate::observe::snapshot::Census;

fn texts(alarms: &[Alarm]) -> Vec<String> {
    alarms.iter().map(|alarm| format!("{} {}", alarm.word(), alarm.text)).collect()
}

fn now(snapshot: &Snapshot) -> Vec<String> {
    texts(&of(snapshot, &Rates::unknown(snapshot)))
}

#[test]
fn nothing_is_wrong_with_a_busy_instance_or_one_that_cannot_be_measured() {
    let later = a_second_later(healthy());
    assert_eq!(texts(&of(&later, &Rates::between(&healthy(), &later))), [""; 0]);
    assert_eq!(now(&unmeasured()), [""; 0]);
}

#[test]
fn the_worst_comes_first() {
    let later = in_trouble_later();
    let alarms = texts(&of(&later, &Rates::between(&in_trouble(), &later)));
    let expected = [
        "CRITICAL app 127.0.0.1:3001 is down",
        "CRITICAL app 127.0.0.1:3000: ports at refuse, 85.8% taken from 192.0.2.2, none left now",
        "CRITICAL app 127.0.0.1:3000: 4.0 connects/s fail for want of something local",
        "CRITICAL app 127.0.0.1:3001: 3.0 connects/s fail",
        "CRITICAL web 127.0.0.1:8080: the accept queue is full (1,025 of 1,024), 12.0 clients/s are turned away",
        "CRITICAL 3 in CLOSE_WAIT, the oldest for 3m 20s; 1 without an owner",
        "CRITICAL conntrack: 250,000 of 262,144 taken, level critical, none left in 1m 35s",
        "WARNING app 127.0.0.1:3000: 1,024 requests wait for a connection",
        "WARNING app 192.0.2.30:3000: ports at warn, 64.6% taken from 192.0.2.1, none left in 3m 20s",
        "WARNING web 127.0.0.1:8080: 44.0 rejects/s, most of them pool_queue_full",
        "WARNING db 127.0.0.1:5432: the accept queue is nearly full (800 of 1,024)",
    ];
    assert_eq!(alarms, expected);
}

#[test]
fn a_queue_that_was_full_is_told_for_as_long_as_it_is_known() {
    let mut snapshot = healthy();
    let queue = &mut snapshot.listeners[0].accept_queue;
    (queue.depth, queue.depth_max, queue.limit, queue.drops_total) = (Some(0), Some(4), 4, Some(0));
    let told = "WARNING web 127.0.0.1:8080: the accept queue was full within the last minute (4 of 4)";
    assert_eq!(now(&snapshot), [told]);
    snapshot.listeners[0].accept_queue.drops_total = Some(1_040);
    assert_eq!(now(&snapshot), [format!("{told}, dropped so far: 1,040")]);
    snapshot.listeners[0].accept_queue.depth_max = Some(3);
    assert_eq!(now(&snapshot), [""; 0]);
}

#[test]
fn an_upstream_without_an_endpoint_is_told_in_one_line() {
    let mut snapshot = in_trouble();
    snapshot.upstreams[0].endpoints[0].health = "down".into();
    assert_eq!(now(&snapshot)[0], "CRITICAL app: 2 of 3 endpoints are down, 127.0.0.1:3000 among them");
    snapshot.upstreams[0].endpoints[2].health = "down".into();
    assert_eq!(now(&snapshot)[0], "CRITICAL app: every endpoint is down (3)");
}

#[test]
fn a_level_that_is_ok_may_be_about_to_end() {
    let mut snapshot = healthy();
    let ports = |snapshot: &mut Snapshot, exhausts_in_s, level: &str| {
        let ports = &mut snapshot.upstreams[0].endpoints[0].ports.as_mut().unwrap()[0];
        (ports.exhausts_in_s, ports.level) = (exhausts_in_s, level.to_owned());
    };
    ports(&mut snapshot, Some(601.0), "ok");
    assert_eq!(now(&snapshot), [""; 0]);
    ports(&mut snapshot, Some(61.0), "ok");
    let says = "WARNING app 127.0.0.1:3000: ports run short, 0.1% taken from 127.0.0.1, none left in 1m 1s";
    assert_eq!(now(&snapshot), [says]);
    ports(&mut snapshot, None, "some_day");
    assert!(now(&snapshot)[0].starts_with("CRITICAL app 127.0.0.1:3000: ports at some_day"));
}

#[test]
fn close_wait_is_a_warning_while_it_has_an_owner() {
    let mut snapshot = healthy();
    let close_wait = snapshot.close_wait.as_mut().unwrap();
    (close_wait.count, close_wait.oldest_s) = (Some(2), Some(7.0));
    assert_eq!(now(&snapshot), ["WARNING 2 in CLOSE_WAIT, the oldest for 7s"]);
    let close_wait = snapshot.close_wait.as_mut().unwrap();
    (close_wait.count, close_wait.oldest_s) = (None, None);
    assert_eq!(now(&snapshot), [""; 0], "what is not known is no alarm");
}

#[test]
fn descriptors_are_judged_here_if_the_instance_does_not() {
    let mut snapshot = unmeasured();
    for (used, level) in
        [(None, "ok"), (Some(15_999), "ok"), (Some(16_000), "warn"), (Some(19_000), "critical")]
    {
        snapshot.process.fds.used = used;
        assert_eq!(budgets(&snapshot)[0].level, level, "{used:?}");
    }
    assert_eq!(now(&snapshot), ["CRITICAL descriptors: 19,000 of 20,000 taken, level critical"]);
    assert_eq!(budgets(&healthy()).len(), 2, "once");
}

#[test]
fn a_listener_that_drops_is_named_and_the_host_only_where_none_is() {
    let mut old = healthy();
    (old.kernel.listen_overflows, old.listeners[2].accept_queue.drops_total) = (Some(9), Some(1));
    let mut new = a_second_later(old.clone());
    (new.kernel.listen_overflows, new.listeners[2].accept_queue.drops_total) = (Some(12), Some(4));
    let at = |new: &Snapshot| texts(&of(new, &Rates::between(&old, new)));
    let queue = "3.0 clients/s are turned away before they are accepted (0 of 1,024 wait)";
    assert_eq!(at(&new), [format!("CRITICAL db 127.0.0.1:5432: {queue}")]);
    new.listeners[2].accept_queue.depth = Some(1_025);
    let queue = "the accept queue is full (1,025 of 1,024), 3.0 clients/s are turned away";
    assert_eq!(at(&new), [format!("CRITICAL db 127.0.0.1:5432: {queue}")]);
    new.listeners[2].accept_queue.drops_total = Some(1);
    let queue = "the accept queue is full (1,025 of 1,024), clients are turned away";
    let host = "this host: 3.0 clients/s are turned away by full accept queues";
    assert_eq!(at(&new), [format!("CRITICAL db 127.0.0.1:5432: {queue}"), format!("CRITICAL {host}")]);
}

#[test]
fn the_hosts_counters_count_while_they_grow() {
    let mut old = healthy();
    let kernel = &mut old.kernel;
    (kernel.listen_overflows, kernel.syn_queue_drops, kernel.time_wait_overflow) =
        (Some(9), Some(9), Some(9));
    let mut new = a_second_later(old.clone());
    assert_eq!(texts(&of(&new, &Rates::between(&old, &new))), [""; 0]);
    let kernel = &mut new.kernel;
    (kernel.listen_overflows, kernel.syn_queue_drops, kernel.time_wait_overflow) =
        (Some(12), Some(11), Some(10));
    kernel.tcp_memory_bytes = Some([3 << 20, 2 << 20]);
    let expected = [
        "CRITICAL this host: 3.0 clients/s are turned away by full accept queues",
        "CRITICAL this host: 2.0 SYNs/s are dropped by full SYN queues",
        "CRITICAL this host: TCP uses 3.0 MiB of 2.0 MiB (tcp_mem)",
        "WARNING this host: 1.0 sockets/s skip TIME_WAIT (tcp_max_tw_buckets)",
    ];
    assert_eq!(texts(&of(&new, &Rates::between(&old, &new))), expected);
}

#[test]
fn a_drain_and_an_old_census_are_told() {
    let mut snapshot = healthy();
    snapshot.draining = true;
    snapshot.census = Some(Census { interval_s: 1.0, age_s: 2.9, sockets: 9, cpu_s: 0.0, cpu_total_s: 0.0 });
    assert_eq!(now(&snapshot), ["WARNING draining: new clients are not accepted"]);
    snapshot.census.as_mut().unwrap().age_s = 61.0;
    assert_eq!(now(&snapshot)[0], "WARNING TCP states, queues and ports were last looked at 1m 1s ago");
}
