//! Trying a case.

use super::case::{After, Delivery, Forwarding, Pace, Request, Response, expand};
use crate::harness::{Client, Conn, Gate, Origin, Proxy, Setup, eventually};
use std::io::Write;

/// A request that has nothing to do with the case, and its answer.
const CANARY: &str = "GET /canary HTTP/1.1\r\nHost: t\r\n\r\n";
const CANARY_FORWARDED: &str = "GET /canary HTTP/1.1\r\nHost: t\r\n{us}\r\n";
const CANARY_ANSWER: &str = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\ncanary";
/// In every request that millpond forwards, once.
const FORWARDED: &[u8] = b"X-Forwarded-Proto: http\r\n";

/// Sends a request through a proxy, then another on the same connection, or on one of its own where that has
/// ended: what the backend received is known to the last byte.
pub(super) fn request(case: &Request, pace: Pace) {
    let origin = Origin::start(|conn| {
        while let Some(request) = conn.request() {
            conn.send(format!("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-To: {}\r\n\r\n", request.start));
        }
    });
    let proxy = Setup::http([origin.address()]).listener("limit.body_bytes = \"64KiB\"").start();
    let mut client = Client::connect(proxy.address());
    send(&client, &expand(case.sent), pace);

    let received = match case.then {
        Forwarding::Kept(received) | Forwarding::Last(received) | Forwarding::ThenRefused(received, ..) => {
            expand(received)
        }
        Forwarding::Refused(..) | Forwarding::RefusedLate(..) | Forwarding::Cut => Vec::new(),
    };
    let answers = received.windows(FORWARDED.len()).filter(|part| *part == FORWARDED).count();
    let lines: Vec<_> = (0..answers).map(|_| answered(&mut client)).collect();
    let goes_on = is_over(case, pace, &mut client);
    if matches!(case.then, Forwarding::Refused(..)) && pace == Pace::AtOnce {
        assert_eq!(origin.connections(), 0, "a connection for what is refused");
    }

    let mut canary = if goes_on { client } else { Client::connect(proxy.address()) };
    canary.send(CANARY);
    assert_eq!(answered(&mut canary), "GET /canary HTTP/1.1");
    let requests: Vec<_> = origin.requests().into_iter().map(|request| request.message.start).collect();
    assert_eq!(requests[..answers], lines, "each client's answer is to its own request");
    assert_eq!(requests.len(), answers + 1, "{requests:?}");
    // Of what is refused late, or comes in pieces, the front is there before the reason is.
    if answers > 0 || matches!(case.then, Forwarding::Refused(..)) && pace == Pace::AtOnce {
        let all: Vec<u8> = (0..origin.connections()).flat_map(|number| origin.received(number)).collect();
        assert_same(&all, &[received, expand(CANARY_FORWARDED)].concat(), "the backend received");
    }
}

/// The request line that an answer is to.
#[track_caller]
fn answered(client: &mut Client) -> String {
    let response = client.response();
    assert_eq!(response.status(), 200, "{response:?}");
    response.field("x-to").expect("the backend's own answer").to_owned()
}

/// What comes behind the answers; returns whether the client's connection goes on.
#[track_caller]
fn is_over(case: &Request, pace: Pace, client: &mut Client) -> bool {
    match case.then {
        Forwarding::Kept(_) => return true,
        Forwarding::Last(_) => {}
        Forwarding::Refused(status, reason)
        | Forwarding::RefusedLate(status, reason)
        | Forwarding::ThenRefused(_, status, reason) => is_refused(client, status, reason, pace),
        Forwarding::Cut => {
            client.half_close();
            is_refused(client, 400, "client_aborted", pace);
        }
    }
    client.expect_eof();
    false
}

#[track_caller]
fn is_refused(client: &mut Client, status: u16, reason: &str, pace: Pace) {
    let response = client.response();
    assert_eq!((response.status(), response.reason()), (status, Some(reason)), "{pace:?}");
    assert!(response.says_close());
}

/// Has a backend answer with these bytes, then another client ask: what both received is known to the last
/// byte, and which connection the other's request came on.
pub(super) fn response(case: &'static Response, pace: Pace) {
    let pace = if case.is_whole { Pace::AtOnce } else { pace };
    let has_response = Gate::new();
    let seen = has_response.clone();
    let origin = Origin::start(move |conn| {
        if conn.number == 0 && misbehave(conn, case, pace, &seen) == After::Reset {
            return;
        }
        while conn.request().is_some() {
            conn.send(CANARY_ANSWER);
        }
    });
    let proxy = Proxy::http(origin.address());
    let mut client = Client::connect(proxy.address());
    client.send(expand(case.asked));

    let goes_on = is_delivered(case, &mut client, &has_response);
    if !matches!(case.then, Delivery::Kept(_) | Delivery::Last(_)) && case.after != After::Reset {
        origin.wait_for_end(0);
    }
    let is_kept = matches!(case.then, Delivery::Kept(_) | Delivery::Last(_));
    eventually("the connection to be idle or gone", || proxy.rested().idle() == u64::from(is_kept));

    let mut clients = vec![Client::connect(proxy.address())];
    clients.extend(goes_on.then_some(client));
    for mut client in clients {
        client.send(CANARY);
        assert_same(&client.exactly(CANARY_ANSWER.len()), CANARY_ANSWER.as_bytes(), "the next client got");
        client.half_close();
        client.expect_eof();
    }
    assert!(origin.requests().iter().all(|request| (request.connection == 0) == is_kept));
}

/// The backend's side of the case; returns what it has done at last.
fn misbehave(conn: &mut Conn, case: &Response, pace: Pace, has_response: &Gate) -> After {
    conn.head();
    for piece in pace.pieces(&expand(case.answer)) {
        conn.send(piece);
    }
    match case.after {
        After::Stay => {}
        After::Fin => conn.half_close(),
        After::Reset => {
            has_response.wait();
            conn.reset_on_close();
        }
        After::Late(bytes) => {
            has_response.wait();
            conn.send(bytes);
        }
    }
    case.after
}

/// What the client receives; returns whether its connection goes on. The gate is open then.
#[track_caller]
fn is_delivered(case: &Response, client: &mut Client, has_response: &Gate) -> bool {
    let (Delivery::Refused(_) | Delivery::Broken(_)) = case.then else {
        return is_received(case, client, has_response);
    };
    has_response.open();
    match (case.then, client.try_response()) {
        (Delivery::Refused(reason) | Delivery::Broken(reason), Ok(response)) => {
            assert_eq!((response.status(), response.reason()), (502, Some(reason)));
            assert!(!response.says_close());
            true
        }
        (Delivery::Broken(_), Err(_)) => false,
        (_, Err(error)) => panic!("no response: {error}"),
        (_, Ok(response)) => panic!("{response:?}"),
    }
}

#[track_caller]
fn is_received(case: &Response, client: &mut Client, has_response: &Gate) -> bool {
    let (bytes, goes_on) = match case.then {
        Delivery::Kept(bytes) | Delivery::Condemned(bytes) => (expand(bytes), true),
        Delivery::Last(bytes) | Delivery::Both(bytes) | Delivery::Cut(bytes) => (expand(bytes), false),
        Delivery::Refused(_) | Delivery::Broken(_) => panic!("nothing to be received"),
    };
    client.gather(bytes.len());
    assert_same(&client.received(), &bytes, "the client got");
    has_response.open();
    match case.then {
        Delivery::Cut(_) => {
            let whole = client.try_response();
            assert!(whole.is_err(), "nothing shows that it is cut: {whole:?}");
        }
        _ if goes_on => assert_eq!(client.exactly(bytes.len()), bytes),
        _ => assert_eq!(client.rest(), bytes),
    }
    assert_same(&client.received(), &bytes, "in the end the client had got");
    goes_on
}

/// Sends to a proxy that may have closed in the meantime.
fn send(client: &Client, bytes: &[u8], pace: Pace) {
    let mut stream = client.sender();
    let _ = pace.pieces(bytes).try_for_each(|piece| stream.write_all(piece));
}

#[track_caller]
fn assert_same(found: &[u8], expected: &[u8], what: &str) {
    assert!(
        found == expected,
        "{what}:\n  {}\ninstead of:\n  {}",
        found.escape_ascii(),
        expected.escape_ascii()
    );
}
