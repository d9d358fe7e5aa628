//! What backends answer.

mod bodies;
mod connection;
mod excess;
mod fields;
mod framing;
mod interim;
mod lines;

use super::case::Response;

pub(super) const CASES: &[(&str, &[Response])] = &[
    ("lines", lines::CASES),
    ("fields", fields::CASES),
    ("framing", framing::CASES),
    ("bodies", bodies::CASES),
    ("interim", interim::CASES),
    ("connection", connection::CASES),
    ("excess", excess::CASES),
];
