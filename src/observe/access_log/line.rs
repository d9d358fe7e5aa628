//! One entry as one line. Pure.
//!
//! Whatever a client sends ends up here, so every byte that could end the line, close a quote or
//! drive a terminal is escaped as `\xNN`, in both formats: nobody can write a line of their own.

use super::Entry;
use serde::Serialize;
use std::fmt::Display;
use std::io::Write;
use std::time::Duration;

/// `key=value` pairs; `-` where there is none.
pub(super) fn text(out: &mut Vec<u8>, entry: &Entry) {
    pair(out, "time", Some(humantime::format_rfc3339_micros(entry.time)));
    pair(out, "client", Some(entry.client));
    pair(out, "listener", Some(value(entry.listener.name.as_bytes())));
    pair(out, "upstream", Some(value(entry.upstream.name.as_bytes())));
    pair(out, "endpoint", entry.endpoint);
    pair(out, "method", present(&entry.method).map(value));
    pair(out, "target", present(&entry.target).map(|target| format!("\"{}\"", escaped(target))));
    pair(out, "status", status(entry));
    pair(out, "bytes_in", Some(entry.bytes_in));
    pair(out, "bytes_out", Some(entry.bytes_out));
    pair(out, "total_s", Some(format!("{:.6}", entry.total.as_secs_f64())));
    pair(out, "connect_s", entry.connect.map(|time| format!("{:.6}", time.as_secs_f64())));
    pair(out, "first_byte_s", entry.first_byte.map(|time| format!("{:.6}", time.as_secs_f64())));
    pair(out, "reused", entry.reused);
    pair(out, "reason", entry.reason);
    if let Some(last) = out.last_mut() {
        *last = b'\n';
    }
}

/// One JSON object; `null` where there is no value.
pub(super) fn json(out: &mut Vec<u8>, entry: &Entry) {
    let line = JsonLine {
        time: humantime::format_rfc3339_micros(entry.time).to_string(),
        client: entry.client.to_string(),
        listener: &entry.listener.name,
        upstream: &entry.upstream.name,
        endpoint: entry.endpoint.map(|address| address.to_string()),
        method: present(&entry.method).map(escaped),
        target: present(&entry.target).map(escaped),
        status: status(entry),
        bytes_in: entry.bytes_in,
        bytes_out: entry.bytes_out,
        total_s: seconds(entry.total),
        connect_s: entry.connect.map(seconds),
        first_byte_s: entry.first_byte.map(seconds),
        reused: entry.reused,
        reason: entry.reason,
    };
    // Strings, numbers and a Vec: neither serialising nor writing can fail.
    let _ = serde_json::to_writer(&mut *out, &line);
    out.push(b'\n');
}

#[derive(Serialize)]
struct JsonLine<'a> {
    time: String,
    client: String,
    listener: &'a str,
    upstream: &'a str,
    endpoint: Option<String>,
    method: Option<String>,
    target: Option<String>,
    status: Option<u16>,
    bytes_in: u64,
    bytes_out: u64,
    total_s: f64,
    connect_s: Option<f64>,
    first_byte_s: Option<f64>,
    reused: Option<bool>,
    reason: Option<&'static str>,
}

fn pair(out: &mut Vec<u8>, key: &str, value: Option<impl Display>) {
    // Writing to a Vec cannot fail.
    let _ = match value {
        Some(value) => write!(out, "{key}={value} "),
        None => write!(out, "{key}=- "),
    };
}

/// A value that needs quotes only where something in it could be taken for the log's own syntax.
fn value(bytes: &[u8]) -> String {
    let plain = |b: &u8| b.is_ascii_alphanumeric() || b"._:/[]-".contains(b);
    if bytes.iter().all(plain) && bytes != b"-" {
        String::from_utf8_lossy(bytes).into_owned()
    } else {
        format!("\"{}\"", escaped(bytes))
    }
}

/// Printable ASCII as it is; quotes and backslashes behind a backslash; every other byte as `\xNN`.
fn escaped(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for byte in bytes {
        match byte {
            b'"' | b'\\' => out.extend(['\\', char::from(*byte)]),
            b' '..=b'~' => out.push(char::from(*byte)),
            _ => out.push_str(&format!("\\x{byte:02x}")),
        }
    }
    out
}

fn present(bytes: &[u8]) -> Option<&[u8]> {
    (!bytes.is_empty()).then_some(bytes)
}

fn status(entry: &Entry) -> Option<u16> {
    (entry.status != 0).then_some(entry.status)
}

/// To the microsecond.
fn seconds(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1e6
}
