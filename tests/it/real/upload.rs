//! curl stores files: with a length, in chunks, and after asking whether it may.

use super::download::curl;
use super::files::{self, assert_same};
use super::nginx::Nginx;
use super::process::{finish, succeeds, succeeds_with};
use libtest_mimic::Trial;
use std::fs::File;
use std::process::Stdio;

const MIB: u64 = 1024 * 1024;

pub(super) fn tests() -> Vec<Trial> {
    crate::trials![
        a_file_with_a_length_is_stored,
        a_stream_in_chunks_is_stored,
        a_body_is_sent_after_100_continue,
        a_body_that_is_refused_is_not_sent,
        what_is_refused_half_way_is_answered,
        one_connection_stores_one_after_the_other,
        many_uploads_at_once_are_stored,
    ]
}

fn a_file_with_a_length_is_stored() {
    let nginx = Nginx::start();
    let proxy = nginx.proxied();
    for bytes in [0, 1, 1024, 64 * 1024, MIB, 64 * MIB] {
        let sent = files::create(&nginx.scratch(""), "sent", bytes);
        let name = format!("stored-{bytes}");
        let mut command = curl(&proxy, &format!("/{name}"));
        command.args(["--write-out", "%{http_code}", "--header", "Expect:", "--upload-file"]).arg(&sent);
        assert_eq!(succeeds(&mut command), "201");
        assert_same(&sent, &nginx.files().join(name));
    }
    assert_eq!(proxy.opened(), 1);
}

fn a_stream_in_chunks_is_stored() {
    let nginx = Nginx::start();
    let proxy = nginx.proxied();
    for bytes in [0, 1, 70_000, 64 * MIB] {
        let sent = files::create(&nginx.scratch(""), "sent", bytes);
        let name = format!("stored-{bytes}");
        let mut command = curl(&proxy, &format!("/{name}"));
        command.args(["--write-out", "%{http_code}", "--header", "Transfer-Encoding: chunked"]);
        command.args(["--header", "Expect:", "--upload-file", "-"]);
        assert_eq!(succeeds_with(File::open(&sent).unwrap(), &mut command), "201", "{bytes} bytes");
        assert_same(&sent, &nginx.files().join(name));
    }
    assert_eq!(proxy.opened(), 1);
}

/// Both with a length and in chunks; `--verbose` tells what came before the final response.
fn a_body_is_sent_after_100_continue() {
    let nginx = Nginx::start();
    let sent = files::create(&nginx.scratch(""), "sent", 5 * MIB);
    let proxy = nginx.proxied();
    for framing in ["X-Framing: length", "Transfer-Encoding: chunked"] {
        let mut command = curl(&proxy, "/stored");
        command.args(["--verbose", "--header", "Expect: 100-continue", "--expect100-timeout", "30"]);
        command.args(["--header", framing, "--upload-file"]).arg(&sent);
        let output = finish(Stdio::null(), &mut command);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{told}");
        assert!(told.contains("< HTTP/1.1 100 Continue\r\n"), "{told}");
        assert_same(&sent, &nginx.files().join("stored"));
        std::fs::remove_file(nginx.files().join("stored")).unwrap();
    }
}

/// nginx refuses the length at once, so curl never begins with the body.
fn a_body_that_is_refused_is_not_sent() {
    let nginx = Nginx::start();
    let sent = files::create(&nginx.scratch(""), "sent", 5 * MIB);
    let proxy = nginx.proxied();
    let mut command = curl(&proxy, "/small/stored");
    command.args(["--no-fail", "--header", "Expect: 100-continue", "--expect100-timeout", "30"]);
    command.args(["--output", "/dev/null", "--write-out", "%{http_code} %{size_upload}", "--upload-file"]);
    assert_eq!(succeeds(command.arg(&sent)), "413 0");
}

/// Without asking, a part of the body is on its way when the answer comes; the answer arrives.
fn what_is_refused_half_way_is_answered() {
    let nginx = Nginx::start();
    let sent = files::create(&nginx.scratch(""), "sent", 64 * MIB);
    let proxy = nginx.proxied();
    for _ in 0..5 {
        let mut command = curl(&proxy, "/small/stored");
        command.args(["--no-fail", "--header", "Expect:", "--output", "/dev/null"]);
        command.args(["--write-out", "%{http_code}", "--upload-file"]).arg(&sent);
        let output = finish(Stdio::null(), &mut command);
        assert_eq!(String::from_utf8_lossy(&output.stdout), "413", "{output:?}");
    }
}

/// The longer ones cannot be written at once, which is no reason to end the client's connection.
fn one_connection_stores_one_after_the_other() {
    let nginx = Nginx::start();
    let sent = files::create(&nginx.scratch(""), "sent", 20 * MIB);
    let proxy = nginx.proxied();
    let mut command = curl(&proxy, "/stored-[1-5]");
    command.args(["--write-out", "%{http_code} %{num_connects}\n", "--header", "Expect:", "--upload-file"]);
    assert_eq!(succeeds(command.arg(&sent)), format!("201 1\n{}", "201 0\n".repeat(4)));
    for number in 1..=5 {
        assert_same(&sent, &nginx.files().join(format!("stored-{number}")));
    }
}

fn many_uploads_at_once_are_stored() {
    let nginx = Nginx::start();
    let sent = files::create(&nginx.scratch(""), "sent", MIB + 17);
    let proxy = nginx.proxied();
    let mut command = curl(&proxy, "/stored-[1-32]");
    command.args(["--parallel", "--parallel-max", "8", "--write-out", "%{http_code}\n", "--upload-file"]);
    assert_eq!(succeeds(command.arg(&sent)), "201\n".repeat(32));
    for number in 1..=32 {
        assert_same(&sent, &nginx.files().join(format!("stored-{number}")));
    }
}
