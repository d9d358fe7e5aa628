//! A side that closes or resets, whatever is going on: the other side learns of it, and nothing is left.

use super::{GET, OK, SHORT, is_clean};
use crate::harness::{Client, Conn, Origin, Proxy, Setup, eventually};
use libtest_mimic::Trial;
use std::io::ErrorKind;

pub(crate) fn tests() -> Vec<Trial> {
    crate::trials![
        clients_that_half_close_in_every_phase_leave_nothing,
        clients_that_close_in_every_phase_leave_nothing,
        clients_that_reset_in_every_phase_leave_nothing,
        an_endpoint_that_closes_while_its_request_is_sent,
        an_endpoint_that_closes_before_its_response,
        an_endpoint_that_closes_in_its_response_head,
        an_endpoint_that_closes_in_its_response_body,
        an_endpoint_that_closes_behind_its_response,
        an_endpoint_that_closes_behind_an_early_answer,
    ]
}

/// How a client goes.
#[derive(Clone, Copy, Debug)]
enum Going {
    /// FIN, and it reads on for ever.
    HalfClosing,
    Closing,
    Resetting,
}

const POST: &str = "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 10\r\n\r\n";
const PART: &str = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n01234";

/// What clients have sent when they go, and how much of an answer they have by then.
const PHASES: [(&str, &str); 6] = [
    ("", ""),
    ("GET / HTTP/1.1\r\nHo", ""),
    (GET, OK),
    (POST, ""),
    ("GET /never HTTP/1.1\r\nHost: test\r\n\r\n", ""),
    ("GET /part HTTP/1.1\r\nHost: test\r\n\r\n", PART),
];

fn answering(conn: &mut Conn) {
    while let Some(head) = conn.head() {
        match head.start.as_str() {
            "GET / HTTP/1.1" => conn.send(OK),
            "GET /part HTTP/1.1" => conn.send(PART),
            _ => {}
        }
    }
}

fn go(going: Going) {
    let origin = Origin::start(answering);
    let tunnel = Origin::start(|conn| {
        conn.hold();
    });
    let deadlines = format!("timeout = {{ half_close = {SHORT}, linger = \"200ms\" }}");
    let proxy = Setup::http([origin.address()]).listener(&deadlines).start();
    let tcp = Setup::tcp([tunnel.address()]).listener(&deadlines).start();
    let mut clients = Vec::new();
    for (sent, answer) in PHASES {
        let mut client = Client::connect(proxy.address());
        client.send(sent);
        client.exactly(if answer.is_empty() { 0 } else { "HTTP/1.1 200 OK\r\n".len() });
        clients.push(client);
    }
    clients.push(Client::connect(tcp.address()));
    // Those that were forwarded: three of them once the idle one is used again, or four.
    eventually("the endpoints have their requests", || origin.connections() >= 3);
    tunnel.wait_for_connections(1);
    let mut reading = Vec::new();
    for client in clients {
        match going {
            Going::HalfClosing => {
                client.half_close();
                reading.push(client);
            }
            Going::Closing => drop(client),
            Going::Resetting => client.reset(),
        }
    }
    is_clean(&proxy, origin.address());
    is_clean(&tcp, tunnel.address());
}

fn clients_that_half_close_in_every_phase_leave_nothing() {
    go(Going::HalfClosing);
}

fn clients_that_close_in_every_phase_leave_nothing() {
    go(Going::Closing);
}

fn clients_that_reset_in_every_phase_leave_nothing() {
    go(Going::Resetting);
}

/// What a client gets when its endpoint reads the head of `request`, sends `answer` and FIN, and then
/// neither reads nor closes until the proxy does.
fn closed_behind(request: &str, answer: &'static str) -> Result<(u16, String), ErrorKind> {
    let origin = Origin::start(move |conn| {
        conn.head();
        conn.send(answer);
        conn.half_close();
        conn.hold();
    });
    let proxy = Proxy::http(origin.address());
    let mut client = Client::connect(proxy.address());
    client.send(request);
    let response = client.try_response();
    drop(client);
    origin.wait_for_end(0);
    is_clean(&proxy, origin.address());
    assert_eq!(proxy.rested().idle(), 0);
    response.map(|response| (response.status(), response.text())).map_err(|error| error.kind())
}

const UPSTREAM_CLOSED: &str = "502 Bad Gateway: upstream_closed\n";

fn an_endpoint_that_closes_while_its_request_is_sent() {
    assert_eq!(closed_behind(POST, ""), Ok((502, UPSTREAM_CLOSED.to_owned())));
}

fn an_endpoint_that_closes_before_its_response() {
    assert_eq!(closed_behind(GET, ""), Ok((502, UPSTREAM_CLOSED.to_owned())));
}

fn an_endpoint_that_closes_in_its_response_head() {
    let half = "HTTP/1.1 200 OK\r\nContent-";
    assert_eq!(closed_behind(GET, half), Ok((502, UPSTREAM_CLOSED.to_owned())));
}

fn an_endpoint_that_closes_in_its_response_body() {
    assert_eq!(closed_behind(GET, PART), Err(ErrorKind::UnexpectedEof));
}

fn an_endpoint_that_closes_behind_its_response() {
    assert_eq!(closed_behind(GET, OK), Ok((200, "ok".to_owned())));
    assert_eq!(closed_behind(GET, "HTTP/1.1 200 OK\r\n\r\nok"), Ok((200, "ok".to_owned())));
}

fn an_endpoint_that_closes_behind_an_early_answer() {
    assert_eq!(closed_behind(POST, OK), Ok((200, "ok".to_owned())));
    assert_eq!(closed_behind(POST, PART), Err(ErrorKind::UnexpectedEof));
}
