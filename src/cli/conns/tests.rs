use super::*;
use crate::cli::args::{AdminTarget, Instance};

fn connection() -> Connection {
    Connection {
        side: "client".into(),
        listener: Some("web".into()),
        upstream: Some("app".into()),
        endpoint: Some("192.168.100.12:3000".into()),
        local: "192.168.100.11:8080".into(),
        peer: "203.0.113.117:51234".into(),
        client: None,
        phase: Some("reading_head".into()),
        state: Some("established".into()),
        age_s: Some(200.0),
        state_age_s: Some(200.0),
        idle_s: Some(0.25),
        received_bytes: Some(12_345),
        sent_bytes: Some(999),
        unread_bytes: Some(0),
        unacknowledged_bytes: Some(87_040),
        rtt_ms: Some(0.043),
        retransmits: Some(2),
        uses: None,
        worker: Some(1),
    }
}

fn listed(connections: Vec<Connection>, notes: &[&str]) -> Connections {
    Connections {
        matching: 40,
        tcp_states: [("close_wait".to_owned(), 10), ("established".to_owned(), 30)].into(),
        notes: notes.iter().map(|note| (*note).to_owned()).collect(),
        connections,
    }
}

#[test]
fn a_list_in_a_table_that_fits() {
    let idle = Connection {
        side: "upstream".into(),
        listener: None,
        local: "192.168.100.11:40000".into(),
        peer: "192.168.100.12:3000".into(),
        phase: Some("idle".into()),
        uses: Some(17),
        ..connection()
    };
    let nobodys = Connection {
        phase: None,
        state: Some("time_wait".into()),
        age_s: None,
        state_age_s: Some(12.4),
        idle_s: None,
        received_bytes: None,
        sent_bytes: None,
        unread_bytes: None,
        unacknowledged_bytes: None,
        rtt_ms: None,
        retransmits: None,
        ..connection()
    };
    let text = text(&listed(vec![connection(), idle, nobodys], &["worker 1 did not answer"]));
    let expected = "\
STATE          FOR  SIDE      NAME  PHASE         LOCAL                 PEER                   AGE  IDLE  RECV  SENT  UNREAD  UNACK   RTT  RETR  USES
established  3m20s  client    web   reading_head  192.168.100.11:8080   203.0.113.117:51234  3m20s  0.2s   12K   999       0    85K  43us     2     -
established  3m20s  upstream  app   idle          192.168.100.11:40000  192.168.100.12:3000  3m20s  0.2s   12K   999       0    85K  43us     2    17
time_wait      12s  client    web   -             192.168.100.11:8080   203.0.113.117:51234      -     -     -     -       -      -     -     -     -
3 of 40 listed: established 30, close_wait 10

Notes
  worker 1 did not answer
";
    assert_eq!(text, expected);
    assert!(text.lines().all(|line| line.len() <= 160), "{text}");
}

#[test]
fn nothing_is_said_in_words() {
    let mut nothing = listed(Vec::new(), &[]);
    nothing.matching = 0;
    assert_eq!(text(&nothing), "no connection matches\n");
    assert_eq!(text(&listed(Vec::new(), &[])), "0 of 40 listed: established 30, close_wait 10\n");
}

#[test]
fn nothing_in_it_drives_the_terminal() {
    let mut list = listed(vec![connection()], &["\x1b[2J"]);
    list.connections[0].listener = Some("w\x1b[31mb".into());
    list.tcp_states = [("\x07".to_owned(), 1)].into();
    let text = text(&list);
    assert!(!text.contains(|c: char| c.is_control() && c != '\n'), "{text:?}");
}

#[test]
fn figures_are_short() {
    let times = [-1.0, 0.0, 0.26, 9.94, 9.96, 59.4, 59.6, 3_599.0, 3_600.0, 86_399.0, 90_000.0, f64::NAN];
    let shown =
        ["0.0s", "0.0s", "0.3s", "9.9s", "10s", "59s", "1m00s", "59m59s", "1h00m", "23h59m", "1d01h", "-"];
    assert_eq!(times.map(|seconds| time(Some(seconds))), shown);
    let sizes = [0, 999, 1_000, 1_024, 10_188, 10_240, 1 << 20, (1 << 20) - 1, 5 << 30, u64::MAX];
    let shown = ["0", "999", "1.0K", "1.0K", "9.9K", "10K", "1.0M", "1.0M", "5.0G", "16E"];
    assert_eq!(sizes.map(|bytes| size(Some(bytes))), shown);
    let trips = [0.0, 0.043, 0.9996, 9.94, 9.96, 999.0, 1_200.0, f64::INFINITY];
    assert_eq!(
        trips.map(|ms| round_trip(Some(ms))),
        ["0us", "43us", "1.0ms", "9.9ms", "10ms", "999ms", "1.2s", "-"]
    );
    assert_eq!([time(None), size(None), round_trip(None)], [MISSING; 3]);
}

#[test]
fn what_is_asked_for_stands_in_the_query() {
    let instance = Instance { admin: AdminTarget::Tcp("x".into()), token_file: None };
    let nothing = ConnsArgs {
        instance,
        state: None,
        older_than: None,
        listener: None,
        upstream: None,
        endpoint: None,
        side: None,
        phase: None,
        sort: None,
        limit: None,
        json: false,
    };
    assert_eq!(path(&nothing), "/connections");
    let asked = ConnsArgs {
        state: Some("close-wait,estab".into()),
        listener: Some("a&b c".into()),
        endpoint: Some("[::1]:3000".into()),
        limit: Some("5".into()),
        ..nothing
    };
    assert_eq!(
        path(&asked),
        "/connections?state=close-wait%2Cestab&listener=a%26b+c&endpoint=%5B%3A%3A1%5D%3A3000&limit=5"
    );
}
