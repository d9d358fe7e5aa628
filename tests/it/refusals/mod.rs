//! What millpond answers by itself: the status, the reason, and what becomes of the connections.

mod limits;
mod rates;
mod requests;
mod slow;
mod upstream;

use crate::harness::{Client, Message};
use libtest_mimic::Trial;

pub(crate) fn tests() -> Vec<Trial> {
    [requests::tests(), limits::tests(), rates::tests(), slow::tests(), upstream::tests()]
        .into_iter()
        .flatten()
        .collect()
}

/// The response is millpond's own, for this reason, and well formed.
#[track_caller]
fn is_refused(response: &Message, status: u16, reason: &str) {
    assert_eq!((response.status(), response.reason()), (status, Some(reason)), "{}", response.text());
    assert_eq!(response.field("content-type"), Some("text/plain"));
    assert!(response.text().ends_with(&format!(": {reason}\n")), "{}", response.text());
}

/// Refused, and the connection ends: where the next request would begin, nobody can tell.
#[track_caller]
fn is_refused_for_good(client: &mut Client, status: u16, reason: &str) {
    let response = client.response();
    is_refused(&response, status, reason);
    assert!(response.says_close());
    client.expect_eof();
}

/// Refused, and the connection goes on.
#[track_caller]
fn is_refused_once(client: &mut Client, status: u16, reason: &str) {
    let response = client.response();
    is_refused(&response, status, reason);
    assert!(!response.says_close());
}
