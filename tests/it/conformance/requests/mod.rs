//! What clients send.

mod chunks;
mod connection;
mod content_length;
mod fields;
mod hosts;
mod lines;
mod pipelining;
mod targets;
mod transfer_encoding;
mod upgrades;

use super::case::Request;

pub(super) const CASES: &[(&str, &[Request])] = &[
    ("lines", lines::CASES),
    ("targets", targets::CASES),
    ("hosts", hosts::CASES),
    ("fields", fields::CASES),
    ("content_length", content_length::CASES),
    ("transfer_encoding", transfer_encoding::CASES),
    ("chunks", chunks::CASES),
    ("connection", connection::CASES),
    ("upgrades", upgrades::CASES),
    ("pipelining", pipelining::CASES),
];
