//! `GET /connections` and `millpond conns`: every socket of a process with its owner, compared with what the
//! kernel and both peers know of it.

mod cost;

use crate::harness::{Client, Gate, Origin, Refusing, Running, Setup, eventually, kernel, millpond};
use libtest_mimic::Trial;
use millpond::observe::connections::{Connection, Connections};
use millpond::sys::sock_diag::TcpState;
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::process::Output;

pub(crate) fn tests() -> Vec<Trial> {
    let mut tests = crate::trials![
        an_idle_client_is_listed_with_its_listener,
        an_exchange_has_two_sockets_that_know_each_other,
        a_pooled_connection_tells_how_often_it_was_used,
        a_tunnel_has_two_sockets_that_know_each_other,
        a_half_closed_client_is_in_close_wait_with_what_it_waits_for,
        a_time_wait_is_attributed_by_its_addresses,
        a_reader_that_is_blocked_shows_on_both_sides,
        a_client_that_is_not_accepted_yet_has_no_owner,
        clients_of_a_wildcard_listener_are_found,
        each_worker_tells_of_its_own,
        more_match_than_are_listed,
        a_connection_of_another_process_is_not_ours,
        a_wrong_question_answer_with_what_to_write,
        the_command_prints_a_table_or_the_answer,
        the_command_fails_with_a_reason,
    ];
    tests.extend(cost::tests());
    tests
}

const GET: &str = "GET / HTTP/1.1\r\nHost: test\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// The status and the text of the answer to this query.
fn ask(admin: SocketAddr, query: &str) -> (u16, String) {
    let mut client = Client::connect(admin);
    client.send(format!("GET /connections?{query} HTTP/1.1\r\nHost: {admin}\r\n\r\n"));
    let answer = client.response();
    (answer.status(), answer.text())
}

#[track_caller]
fn list(admin: SocketAddr, query: &str) -> Connections {
    let (status, text) = ask(admin, query);
    assert_eq!(status, 200, "{text}");
    let listed: Connections = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"));
    assert_eq!(listed.notes, [""; 0]);
    listed
}

/// Waits until as many connections match, and the condition holds for all of them; returns them.
#[track_caller]
fn until(
    admin: SocketAddr,
    query: &str,
    count: usize,
    holds: impl Fn(&Connection) -> bool,
) -> Vec<Connection> {
    let mut listed = list(admin, query);
    eventually(&format!("{count} connections with {query:?}"), || {
        let done = listed.connections.len() == count && listed.connections.iter().all(&holds);
        if !done {
            listed = list(admin, query);
        }
        done
    });
    listed.connections
}

/// The only one that matches.
#[track_caller]
fn only(admin: SocketAddr, query: &str, holds: impl Fn(&Connection) -> bool) -> Connection {
    until(admin, query, 1, holds).remove(0)
}

fn has_phase(phase: &str) -> impl Fn(&Connection) -> bool {
    move |connection| connection.phase.as_deref() == Some(phase)
}

/// A process with a request that its origin has read whole, and does not answer before it is told to.
struct Asked {
    client: Client,
    process: Running,
    origin: Origin,
    gate: Gate,
}

impl Asked {
    fn new() -> Self {
        let gate = Gate::new();
        let told = gate.clone();
        let origin = Origin::start(move |conn| {
            conn.request();
            told.wait();
            conn.send(OK);
            conn.hold();
        });
        let process = Running::start(&Setup::http([origin.address()]));
        let client = Client::connect(process.address());
        client.send(GET);
        origin.wait_for_requests(1);
        Self { client, process, origin, gate }
    }

    /// The same, and its client has sent FIN.
    fn half_closed() -> Self {
        let asked = Self::new();
        asked.client.half_close();
        only(asked.process.admin(), "state=close-wait", has_phase("exchange"));
        asked
    }

    fn answer(mut self) {
        self.gate.open();
        assert_eq!(self.client.response().text(), "ok");
    }
}

fn an_idle_client_is_listed_with_its_listener() {
    let origin = Origin::saying("ok");
    let process = Running::start(&Setup::http([origin.address()]));
    let client = Client::connect(process.address());
    let listed = only(process.admin(), "", has_phase("idle"));
    assert_eq!((listed.side.as_str(), listed.listener.as_deref()), ("client", Some("web")));
    assert_eq!((listed.state.as_deref(), listed.worker), (Some("established"), Some(0)));
    assert_eq!((listed.upstream, listed.endpoint, listed.uses, listed.client), (None, None, None, None));
    let (local, peer) = (process.address().to_string(), client.address().to_string());
    assert_eq!((listed.local, listed.peer), (local, peer));
    let bytes = [listed.received_bytes, listed.sent_bytes, listed.unread_bytes, listed.unacknowledged_bytes];
    assert_eq!(bytes, [Some(0); 4]);
    let (age, idle) = (listed.age_s.unwrap(), listed.idle_s.unwrap());
    assert!(age < 10.0 && idle <= age && listed.state_age_s == Some(age), "{age} {idle}");
    drop(client);
    until(process.admin(), "state=established", 0, |_| true);
}

fn an_exchange_has_two_sockets_that_know_each_other() {
    let asked = Asked::new();
    let Asked { client, process, origin, .. } = &asked;
    let both = until(process.admin(), "phase=exchange", 2, |_| true);
    let of = |side: &str| both.iter().find(|c| c.side == side).unwrap_or_else(|| panic!("{both:?}"));
    let (near, far) = (of("client"), of("upstream"));
    let endpoint = origin.address().to_string();
    for connection in [near, far] {
        assert_eq!(
            (connection.listener.as_deref(), connection.upstream.as_deref()),
            (Some("web"), Some("app"))
        );
        assert_eq!(connection.endpoint.as_deref(), Some(endpoint.as_str()));
    }
    assert_eq!(near.peer, client.address().to_string());
    assert_eq!((far.client.as_ref(), far.peer.as_str()), (Some(&near.peer), endpoint.as_str()));
    assert_eq!((near.uses, far.uses), (None, Some(1)));
    assert_eq!((near.received_bytes, near.sent_bytes), (Some(GET.len() as u64), Some(0)));
    assert_eq!((far.received_bytes, far.sent_bytes), (Some(0), Some(origin.received(0).len() as u64)));
    assert!(far.rtt_ms.is_some_and(|rtt| rtt < 1000.0) && far.retransmits.is_some(), "{far:?}");
    for query in ["upstream=app", &format!("endpoint={endpoint}"), "listener=web", "older_than=0s"] {
        assert_eq!(list(process.admin(), query).matching, 2, "{query}");
    }
    assert_eq!(list(process.admin(), "older_than=1h").matching, 0);
    asked.answer();
}

fn a_pooled_connection_tells_how_often_it_was_used() {
    let origin = Origin::saying("ok");
    let process = Running::start(&Setup::http([origin.address()]));
    let mut client = Client::connect(process.address());
    (0..3).for_each(|_| assert_eq!(client.get("/").text(), "ok"));
    let idle = only(process.admin(), "side=upstream", has_phase("idle"));
    assert_eq!((idle.uses, idle.worker, idle.upstream.as_deref()), (Some(3), Some(0), Some("app")));
    assert_eq!((idle.listener, idle.client), (None, None));
    assert_eq!(
        (idle.received_bytes, idle.sent_bytes),
        (Some(3 * OK.len() as u64), Some(origin.received(0).len() as u64))
    );
    let own = kernel::towards(origin.address(), &[TcpState::Established]);
    assert_eq!(idle.local, own[0].local.to_string());
    assert_eq!(list(process.admin(), "phase=idle").matching, 2, "the client is idle too");
}

fn a_tunnel_has_two_sockets_that_know_each_other() {
    let origin = Origin::start(|conn| {
        conn.send("220 ready");
        conn.hold();
    });
    let process = Running::start(&Setup::tcp([origin.address()]));
    let mut client = Client::connect(process.address());
    client.send("12345");
    client.exactly(9);
    eventually("the bytes are there", || origin.received(0) == b"12345");
    let both = until(process.admin(), "phase=tunnel&sort=age", 2, |_| true);
    for (side, counted) in [("client", (Some(5), Some(9))), ("upstream", (Some(9), Some(5)))] {
        let connection = both.iter().find(|c| c.side == side).unwrap_or_else(|| panic!("{both:?}"));
        assert_eq!((connection.received_bytes, connection.sent_bytes), counted, "{side}");
        assert_eq!(connection.upstream.as_deref(), Some("app"));
    }
}

fn a_half_closed_client_is_in_close_wait_with_what_it_waits_for() {
    let asked = Asked::half_closed();
    let Asked { process, origin, .. } = &asked;
    let stuck = only(process.admin(), "state=CLOSE-WAIT", has_phase("exchange"));
    assert_eq!((stuck.side.as_str(), stuck.state.as_deref()), ("client", Some("close_wait")));
    assert_eq!(stuck.endpoint, Some(origin.address().to_string()));
    // The kernel counts the FIN as a byte.
    assert_eq!((stuck.received_bytes, stuck.unread_bytes), (Some(GET.len() as u64), Some(0)));
    assert_eq!(list(process.admin(), "state=close_wait&older_than=0ms&listener=web").matching, 1);
    assert_eq!(list(process.admin(), "state=close_wait&older_than=1h").matching, 0);
    let known = only(process.admin(), "state=close_wait", |connection| connection.state_age_s.is_some());
    assert!(known.state_age_s <= known.age_s, "{known:?}");
    assert_eq!(list(process.admin(), "state=close_wait&side=upstream").matching, 0);
    asked.gate.open();
    until(process.admin(), "state=close_wait", 0, |_| true);
    asked.answer();
}

fn a_time_wait_is_attributed_by_its_addresses() {
    let origin = Origin::saying("ok");
    let graceful = "socket.close = \"graceful\"\npool.idle_timeout = \"50ms\"";
    let process = Running::start(&Setup::http([origin.address()]).upstream(graceful));
    let mut client = Client::connect(process.address());
    assert_eq!(client.get("/").text(), "ok");
    eventually("a TIME_WAIT", || !kernel::towards(origin.address(), &[TcpState::TimeWait]).is_empty());
    let left = only(process.admin(), "state=time-wait&upstream=app", |_| true);
    assert_eq!((left.side.as_str(), left.state.as_deref()), ("upstream", Some("time_wait")));
    assert_eq!(left.endpoint, Some(origin.address().to_string()));
    assert_eq!((&left.phase, left.age_s, left.worker, left.uses), (&None, None, None, None));
    assert_eq!((left.unread_bytes, left.received_bytes, left.rtt_ms), (None, None, None));
    assert!(left.state_age_s.is_some_and(|age| (0.0..30.0).contains(&age)), "{left:?}");
    assert_eq!(only(process.admin(), "phase=none", |_| true).local, left.local);
    assert_eq!(list(process.admin(), "state=time_wait&older_than=50s").matching, 0);
    assert_eq!(list(process.admin(), "state=time_wait&older_than=0s").matching, 1);
}

fn a_reader_that_is_blocked_shows_on_both_sides() {
    const BODY: usize = 32 << 20;
    let origin = Origin::start(|conn| {
        conn.request();
        conn.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {BODY}\r\n\r\n"));
        conn.send(vec![0; BODY]);
        conn.hold();
    });
    let process = Running::start(&Setup::http([origin.address()]));
    let client = Client::with_receive_buffer(process.address(), 4096);
    client.send(GET);
    let figure = |side: &str, pick: fn(&Connection) -> Option<u64>| {
        list(process.admin(), &format!("phase=exchange&side={side}")).connections.first().and_then(pick)
    };
    eventually("both sides are full", || {
        figure("client", |c| c.unacknowledged_bytes) > Some(0)
            && figure("upstream", |c| c.unread_bytes) > Some(0)
    });
    eventually("it is what the kernel says", || {
        let own = kernel::session(process.address(), client.address(), &[TcpState::Established]);
        figure("client", |c| c.unacknowledged_bytes) == own.map(|socket| socket.wqueue.into())
    });
}

/// A SYN with TCP_DEFER_ACCEPT is no connection to accept before its first byte.
fn a_client_that_is_not_accepted_yet_has_no_owner() {
    let origin = Origin::saying("ok");
    let process = Running::start(&Setup::http([origin.address()]).listener("socket.defer_accept = \"10s\""));
    let mut client = Client::connect(process.address());
    let half_open = only(process.admin(), "side=client", |_| true);
    assert_eq!((half_open.state.as_deref(), half_open.phase), (Some("syn_recv"), None));
    assert_eq!((half_open.listener.as_deref(), half_open.worker), (Some("web"), None));
    assert_eq!((half_open.age_s, half_open.unread_bytes), (None, None));
    assert_eq!(list(process.admin(), "state=bucket").matching, 1);
    assert_eq!(client.get("/").text(), "ok");
    only(process.admin(), "side=client&state=established", has_phase("idle"));
}

fn clients_of_a_wildcard_listener_are_found() {
    let origin = Origin::saying("ok");
    let mut command = millpond();
    command.args(["run", "--listen", "0.0.0.0:0", "--upstream", &origin.address().to_string()]);
    let process = Running::of(command);
    let address = SocketAddr::from(([127, 0, 0, 1], process.address().port()));
    let client = Client::connect(address);
    let listed = only(process.admin(), "", has_phase("idle"));
    assert_eq!((listed.local, listed.peer), (address.to_string(), client.address().to_string()));
    assert_eq!(list(process.admin(), &format!("listener={}", process.address())).matching, 1);
}

fn each_worker_tells_of_its_own() {
    let origin = Origin::saying("ok");
    let proxy = Setup::http([origin.address()]).workers(2).start();
    let admin = proxy.supervisor().admin_address().unwrap();
    let clients = [proxy.client_of(0), proxy.client_of(1)];
    for (worker, client) in clients.iter().enumerate() {
        let peer = client.address().to_string();
        // Clients that the other worker got are on their way out.
        let all = list(admin, "side=client").connections;
        let listed = all.iter().find(|c| c.peer == peer).unwrap_or_else(|| panic!("{all:?}"));
        assert_eq!((listed.worker, listed.phase.as_deref()), (Some(worker), Some("idle")));
    }
}

fn more_match_than_are_listed() {
    let origin = Origin::saying("ok");
    let process = Running::start(&Setup::http([origin.address()]));
    let mut clients: Vec<Client> = (0..5).map(|_| Client::connect(process.address())).collect();
    (0..3).for_each(|_| assert_eq!(clients[3].get("/").text(), "ok"));
    assert_eq!(clients[1].get("/").text(), "ok");
    until(process.admin(), "side=client", 5, has_phase("idle"));
    let listed = list(process.admin(), "side=client&limit=2&sort=bytes");
    assert_eq!((listed.connections.len(), listed.matching), (2, 5));
    assert_eq!(listed.tcp_states, [("established".to_owned(), 5)].into());
    let peers = listed.connections.iter().map(|c| c.peer.clone());
    assert!(peers.eq([3, 1].map(|at: usize| clients[at].address().to_string())), "{listed:?}");
    let counted = list(process.admin(), "side=client&limit=0");
    assert_eq!((counted.connections.len(), counted.matching), (0, 5));
}

fn a_connection_of_another_process_is_not_ours() {
    let origin = Origin::start(|conn| {
        while conn.request().is_some() {
            conn.send(OK);
        }
    });
    let process = Running::start(&Setup::http([origin.address()]));
    let foreign = TcpStream::connect(origin.address()).unwrap();
    let mut client = Client::connect(process.address());
    assert_eq!(client.get("/").text(), "ok");
    (&foreign).write_all(GET.as_bytes()).unwrap();
    let own = only(process.admin(), "side=upstream", has_phase("idle"));
    assert_eq!(kernel::towards(origin.address(), &[TcpState::Established]).len(), 2);
    assert_ne!(own.local, foreign.local_addr().unwrap().to_string());
}

fn a_wrong_question_answer_with_what_to_write() {
    let origin = Origin::saying("ok");
    let process = Running::start(&Setup::http([origin.address()]));
    for (query, text) in [
        ("state=close_wiat", "state: \"close_wiat\" is not known; did you mean close_wait?\n"),
        ("older_than=10", "older_than: \"10\" is not a time; write a number and a unit, such as 10s\n"),
        ("listeners=web", "query: \"listeners\" is not known; did you mean listener?\n"),
        ("upstream=application", "upstream: \"application\" is not known; did you mean app?\n"),
        ("endpoint=192.0.2.1:1", "endpoint: \"192.0.2.1:1\" is not known; "),
    ] {
        let (status, answer) = ask(process.admin(), query);
        assert_eq!(status, 400, "{query}");
        assert!(answer.starts_with(text), "{query}: {answer}");
    }
    let mut client = Client::connect(process.admin());
    client.send("POST /connections HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(client.response().status(), 405);
}

fn conns(process: &Running, arguments: &[&str]) -> Output {
    let mut command = millpond();
    command.args(["conns", "--admin", &process.admin().to_string()]).args(arguments);
    command.output().unwrap()
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn the_command_prints_a_table_or_the_answer() {
    let asked = Asked::half_closed();
    let Asked { client, process, .. } = &asked;
    // The census tells since when it has been in its state.
    only(process.admin(), "side=client", |connection| connection.state_age_s.is_some());
    let output = conns(process, &[]);
    let text = out(&output);
    assert!(output.status.success() && err(&output).is_empty(), "{output:?}");
    assert!(text.starts_with("STATE ") && !text.contains('\u{1b}'), "{text}");
    let row = |side: &str| text.lines().find(|line| line.contains(side)).unwrap_or_else(|| panic!("{text}"));
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let near = words(row(" client "));
    assert_eq!([&near[0], &near[3], &near[4]], ["close_wait", "web", "exchange"]);
    assert!(near[1].ends_with('s') && !near[1].starts_with('-'), "{near:?}");
    assert_eq!(near[6], client.address().to_string());
    assert_eq!((near[9].as_str(), near[11].as_str()), (GET.len().to_string().as_str(), "0"));
    let far = words(row(" upstream "));
    assert_eq!([&far[0], &far[3], &far[4], &far[15]], ["established", "app", "exchange", "1"]);
    assert!(text.ends_with("2 of 2 listed: close_wait 1, established 1\n"), "{text}");
    assert!(text.lines().all(|line| line.len() <= 160), "{text}");

    let filters = ["--state", "close-wait", "--older-than", "0s", "--listener", "web", "--side", "client"];
    let filtered = out(&conns(process, &filters));
    assert!(filtered.ends_with("1 of 1 listed: close_wait 1\n"), "{filtered}");
    let nothing = conns(process, &["--state", "close-wait", "--older-than", "1h"]);
    assert_eq!((nothing.status.code(), out(&nothing).as_str()), (Some(0), "no connection matches\n"));

    let json = out(&conns(process, &["--json", "--phase", "exchange", "--sort", "bytes", "--limit", "1"]));
    let listed: Connections = serde_json::from_str(&json).unwrap();
    assert_eq!((listed.connections.len(), listed.matching), (1, 2));
    assert_eq!(json.lines().filter(|line| line.contains("\"side\":")).count(), 1, "one a line: {json}");
    asked.answer();
}

fn the_command_fails_with_a_reason() {
    let origin = Origin::saying("ok");
    let process = Running::start(&Setup::http([origin.address()]));
    let usage = conns(&process, &["--state", "close_wiat"]);
    assert_eq!(usage.status.code(), Some(2));
    assert!(err(&usage).contains("did you mean close_wait?"), "{}", err(&usage));
    let unknown = conns(&process, &["--listener", "wen"]);
    assert_eq!((unknown.status.code(), out(&unknown).as_str()), (Some(1), ""));
    assert!(err(&unknown).contains("400 Bad Request") && err(&unknown).contains("web"), "{}", err(&unknown));
    let unused = Refusing::new();
    let nobody = unused.address().to_string();
    let output = millpond().args(["conns", "--admin", &nobody]).output().unwrap();
    assert_eq!((output.status.code(), out(&output).as_str()), (Some(1), ""));
    assert!(err(&output).contains(&nobody) && err(&output).contains("--admin"), "{}", err(&output));
}
