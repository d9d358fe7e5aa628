use super::super::figures::Figures;
use super::super::query::Query;
use super::*;
use crate::addr::Ends;
use crate::command::Peer;
use crate::observe::fixture;
use crate::sys::sock_diag::TcpState;
use std::sync::Arc;

const S: fn(u64) -> Duration = Duration::from_secs;

fn places() -> Places {
    Places::of(&fixture::registry().running(), [].iter())
}

/// A client of `web`, or a connection to 127.0.0.1:3000, established this many seconds ago.
fn row(peer: Peer, age: u64) -> Row {
    let running = fixture::registry().running();
    let is_client = peer == Peer::Client;
    let upstream = Arc::clone(&running.upstreams[0].config);
    Row {
        peer,
        ends: Ends::new(([127, 0, 0, 1], 8080).into(), ([192, 0, 2, 1], age as u16).into()),
        listener: is_client.then(|| Arc::clone(&running.listeners[0])),
        upstream: (!is_client).then_some(upstream),
        endpoint: (!is_client).then(|| running.upstreams[0].endpoints[0].address.0),
        client: None,
        phase: Some("idle"),
        state: Some(TcpState::Established),
        age: Some(S(age)),
        state_age: Some(S(age)),
        figures: None,
        uses: None,
        worker: Some(0),
    }
}

fn in_state(state: TcpState, age: u64, state_age: Option<u64>) -> Row {
    Row { state: Some(state), state_age: state_age.map(S), ..row(Peer::Client, age) }
}

/// The ages of those that the query selects, and how many match.
fn select(query: &str, rows: &[Row]) -> (Vec<u64>, u64) {
    let query = Query::parse(query).unwrap();
    let mut selection = Selection::new(&query, &places()).unwrap();
    rows.iter().for_each(|row| selection.offer(row.clone()));
    let (rows, matching, _) = selection.finish();
    (rows.iter().map(|row| row.age.unwrap_or_default().as_secs()).collect(), matching)
}

fn ages(query: &str, rows: &[Row]) -> Vec<u64> {
    select(query, rows).0
}

#[test]
fn each_key_narrows() {
    let unknown = Row { state: None, phase: None, ..row(Peer::Client, 5) };
    let rows = [
        row(Peer::Client, 1),
        row(Peer::Endpoint, 2),
        in_state(TcpState::CloseWait, 3, None),
        Row { phase: Some("tunnel"), ..row(Peer::Client, 4) },
        unknown,
    ];
    for (query, expected) in [
        ("", &[5, 4, 3, 2, 1][..]),
        ("state=all", &[4, 3, 2, 1]),
        ("state=close-wait", &[3]),
        ("side=client", &[5, 4, 3, 1]),
        ("side=upstream", &[2]),
        ("phase=tunnel", &[4]),
        ("phase=none", &[5]),
        ("listener=web", &[5, 4, 3, 1]),
        ("listener=127.0.0.1:8080", &[5, 4, 3, 1]),
        ("listener=127.0.0.1:8081", &[]),
        ("listener=db", &[]),
        ("upstream=app", &[2]),
        ("upstream=127.0.0.1:3000", &[2]),
        ("upstream=127.0.0.1:3001", &[]),
        ("endpoint=127.0.0.1:3000", &[2]),
        ("endpoint=127.0.0.1", &[2]),
        ("endpoint=127.0.0.1:3001", &[]),
        ("side=client&state=established&phase=idle", &[1]),
    ] {
        assert_eq!(ages(query, &rows), expected, "{query}");
    }
}

#[test]
fn a_name_that_does_not_exist_is_said() {
    for (query, text) in [
        ("listener=weeb", "listener: \"weeb\" is not known; did you mean web?"),
        ("listener=other", "listener: \"other\" is not known; write one of db, web"),
        ("listener=10.0.0.1:1", "listener: \"10.0.0.1:1\" is not known; write one of "),
        ("upstream=ap", "upstream: \"ap\" is not known; did you mean app?"),
        ("endpoint=127.0.0.1:3002", "endpoint: \"127.0.0.1:3002\" is not known; did you mean 127.0.0.1:300"),
    ] {
        let wrong = Selection::new(&Query::parse(query).unwrap(), &places()).unwrap_err().to_string();
        assert!(wrong.starts_with(text), "{wrong}");
    }
}

/// A connection of an hour that its peer closed a second ago is young in that state.
#[test]
fn older_than_means_the_time_in_the_state_where_that_is_known() {
    let rows = [
        row(Peer::Client, 10),
        row(Peer::Client, 11),
        in_state(TcpState::CloseWait, 3600, Some(1)),
        in_state(TcpState::CloseWait, 3601, Some(20)),
        in_state(TcpState::CloseWait, 20, None),
        in_state(TcpState::FinWait1, 9, None),
        Row { age: None, ..in_state(TcpState::TimeWait, 0, Some(30)) },
        Row { age: None, ..in_state(TcpState::SynRecv, 0, None) },
    ];
    assert_eq!(ages("older_than=10s", &rows), [3601, 20, 11, 0]);
    assert_eq!(ages("older_than=10s&state=close-wait", &rows), [3601, 20]);
    assert_eq!(ages("older_than=30s&state=time-wait", &rows), [0; 0]);
}

#[test]
fn more_match_than_are_listed_and_the_largest_are_kept() {
    let rows: Vec<Row> = (0..100_u64).map(|n| row(Peer::Client, n * 37 % 100)).collect();
    let query = Query::parse("limit=7").unwrap();
    let mut selection = Selection::new(&query, &places()).unwrap();
    for row in rows.iter().cloned() {
        selection.offer(row);
        assert!(selection.rows.len() < 14);
    }
    let (listed, matching, states) = selection.finish();
    let listed: Vec<u64> = listed.iter().map(|row| row.age.unwrap().as_secs()).collect();
    assert_eq!((listed, matching), (vec![99, 98, 97, 96, 95, 94, 93], 100));
    assert_eq!(states, [("established", 100)].into());
    assert_eq!(select("limit=0", &rows), (vec![], 100));
    assert_eq!(select("limit=1", &rows), (vec![99], 100));
}

#[test]
fn every_order_has_the_largest_first_and_the_unknown_last() {
    let figures = |idle: u64, received: u64, sent: u64, rtt: Option<u64>| {
        Some(Figures {
            idle: Some(S(idle)),
            received: Some(received),
            sent: Some(sent),
            unread: 0,
            unacknowledged: 0,
            rtt: rtt.map(Duration::from_micros),
            retransmits: 0,
        })
    };
    let rows = [
        Row { figures: figures(1, 0, 10, Some(5)), ..row(Peer::Client, 1) },
        Row { figures: figures(3, 20, 20, None), state_age: Some(S(9)), ..row(Peer::Client, 2) },
        Row { state_age: None, ..row(Peer::Client, 3) },
        Row { figures: figures(2, 30, 0, Some(50)), ..row(Peer::Client, 4) },
    ];
    for (sort, expected) in [
        ("age", [4, 3, 2, 1]),
        ("idle", [2, 4, 1, 3]),
        ("state-age", [2, 4, 1, 3]),
        ("bytes", [2, 4, 1, 3]),
        ("rtt", [4, 1, 2, 3]),
    ] {
        assert_eq!(ages(&format!("sort={sort}"), &rows), expected, "{sort}");
    }
}
