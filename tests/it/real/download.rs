//! curl and Python's http.client fetch files of every size from nginx.

use super::files::assert_same;
use super::nginx::Nginx;
use super::process::{succeeds, succeeds_with};
use super::program::{CURL, python};
use crate::harness::Proxy;
use libtest_mimic::Trial;
use std::process::{Command, Stdio};

const KIB: u64 = 1024;
const SIZES: [(&str, u64); 6] = [
    ("empty", 0),
    ("byte", 1),
    ("kib", KIB),
    ("64kib", 64 * KIB),
    ("mib", 1024 * KIB),
    ("256mib", 256 * 1024 * KIB),
];

pub(super) fn tests() -> Vec<Trial> {
    crate::trials![
        curl_fetches_every_size,
        curl_fetches_ranges,
        curl_asks_for_heads,
        curl_speaks_http_1_0,
        curl_fetches_several_on_one_connection,
        curl_fetches_in_parallel,
        curl_is_told_that_nothing_changed,
        curl_takes_longer_than_the_pool_keeps_idle,
        curl_leaves_in_the_middle,
        http_client_keeps_its_connection,
    ]
}

/// curl that fails when it should, and never takes a proxy from the environment.
#[track_caller]
pub(super) fn curl(proxy: &Proxy, path: &str) -> Command {
    let mut command = CURL.command();
    command.args(["--silent", "--show-error", "--fail", "--noproxy", "*", "--max-time", "60"]);
    command.arg(url(proxy, path));
    command
}

fn url(proxy: &Proxy, path: &str) -> String {
    format!("http://{}{path}", proxy.address())
}

fn curl_fetches_every_size() {
    let nginx = Nginx::start();
    let proxy = nginx.proxied();
    for (name, bytes) in SIZES {
        let (sent, received) = (nginx.create(name, bytes), nginx.scratch("received"));
        let mut command = curl(&proxy, &format!("/{name}"));
        command.args(["--write-out", "%{http_code} %{http_version} %{size_download}", "--output"]);
        assert_eq!(succeeds(command.arg(&received)), format!("200 1.1 {bytes}"));
        // curl makes no file for an empty body.
        if bytes > 0 {
            assert_same(&sent, &received);
        }
    }
    assert_eq!(proxy.opened(), 1, "one client after the other needs one connection");
}

fn curl_fetches_ranges() {
    let nginx = Nginx::start();
    let file = std::fs::read(nginx.create("file", 100_000)).unwrap();
    let proxy = nginx.proxied();
    let received = nginx.scratch("received");
    let cases = [("0-0", 0..1), ("100-299", 100..300), ("-5", 99_995..100_000), ("65530-", 65_530..100_000)];
    for (range, expected) in cases {
        let mut command = curl(&proxy, "/file");
        command.args(["--range", range, "--write-out", "%{http_code}", "--output"]).arg(&received);
        assert_eq!(succeeds(&mut command), "206", "{range}");
        assert!(std::fs::read(&received).unwrap() == file[expected], "{range}");
    }
    let mut several = curl(&proxy, "/file");
    several.args(["--range", "0-9,200-209", "--write-out", "%{http_code} %{content_type}", "--output"]);
    let described = succeeds(several.arg(&received));
    assert!(described.starts_with("206 multipart/byteranges; boundary="), "{described}");
    let parts = std::fs::read(&received).unwrap();
    assert!(parts.windows(10).any(|bytes| *bytes == file[200..210]), "the second range is missing");
    let mut beyond = curl(&proxy, "/file");
    let beyond = beyond.args(["--no-fail", "--range", "100000-", "--write-out", "%{http_code}"]);
    assert_eq!(succeeds(beyond.arg("--output").arg(&received)), "416");
}

fn curl_asks_for_heads() {
    let nginx = Nginx::start();
    nginx.create("file", 65_536);
    let proxy = nginx.proxied();
    let heads = succeeds(curl(&proxy, "/file").arg("--head").arg(url(&proxy, "/file")));
    assert_eq!(heads.matches("HTTP/1.1 200 OK\r\n").count(), 2, "{heads}");
    assert_eq!(heads.matches("Content-Length: 65536\r\n").count(), 2, "{heads}");
    let moved = succeeds(curl(&proxy, "/moved").arg("--head"));
    assert!(moved.starts_with("HTTP/1.1 302"), "{moved}");
    assert_eq!(proxy.opened(), 1);
}

fn curl_speaks_http_1_0() {
    let nginx = Nginx::start();
    let (sent, received) = (nginx.create("file", 1_000_000), nginx.scratch("received"));
    let proxy = nginx.proxied();
    let mut command = curl(&proxy, "/file");
    command.args(["--http1.0", "--write-out", "%{http_code} %{num_connects}", "--output"]).arg(&received);
    assert_eq!(succeeds(&mut command), "200 1");
    assert_same(&sent, &received);
    // An HTTP/1.0 client keeps its connection if it asks for it (RFC 9112 appendix C.2.2).
    let (one, other) = (nginx.scratch("one"), nginx.scratch("other"));
    let mut keeping = curl(&proxy, "/file");
    keeping.args(["--http1.0", "--header", "Connection: keep-alive", "--write-out", "%{num_connects} "]);
    keeping.arg("--output").arg(&one).arg(url(&proxy, "/file")).arg("--output").arg(&other);
    assert_eq!(succeeds(&mut keeping), "1 0 ");
    [one, other].iter().for_each(|received| assert_same(&sent, received));
}

fn curl_fetches_several_on_one_connection() {
    let nginx = Nginx::start();
    let proxy = nginx.proxied();
    let mut expected = String::new();
    let mut config = String::new();
    for (place, (name, bytes)) in SIZES[1..5].iter().cycle().take(40).enumerate() {
        nginx.create(name, *bytes);
        let output = nginx.scratch(&format!("{place}-{name}"));
        config.push_str(&format!(
            "url = \"{}\"\noutput = \"{}\"\n",
            url(&proxy, &format!("/{name}")),
            output.display()
        ));
        expected.push_str(&format!("200 {} {bytes}\n", u8::from(place == 0)));
    }
    let list = nginx.scratch("list");
    std::fs::write(&list, config).unwrap();
    let mut command = CURL.command();
    command.args(["--silent", "--show-error", "--fail", "--noproxy", "*", "--max-time", "60", "--write-out"]);
    command.args(["%{http_code} %{num_connects} %{size_download}\n", "--config"]).arg(list);
    assert_eq!(succeeds(&mut command), expected);
    for (place, (name, _)) in SIZES[1..5].iter().cycle().take(40).enumerate() {
        assert_same(&nginx.files().join(name), &nginx.scratch(&format!("{place}-{name}")));
    }
    assert_eq!(proxy.opened(), 1);
}

fn curl_fetches_in_parallel() {
    let nginx = Nginx::start();
    let sent = nginx.create("mib", 1024 * KIB + 1);
    let proxy = nginx.proxied();
    let mut command = curl(&proxy, "/mib?[1-64]");
    command.args(["--parallel", "--parallel-max", "16", "--write-out", "%{http_code}\n", "--output"]);
    let codes = succeeds(command.arg(nginx.scratch("received-#1")));
    assert_eq!(codes, "200\n".repeat(64));
    for number in 1..=64 {
        assert_same(&sent, &nginx.scratch(&format!("received-{number}")));
    }
    assert!(proxy.opened() <= 16, "{} connections for 16 clients", proxy.opened());
}

fn curl_is_told_that_nothing_changed() {
    let nginx = Nginx::start();
    let file = nginx.create("file", 10_000);
    let proxy = nginx.proxied();
    let mut unchanged = curl(&proxy, "/file");
    unchanged.arg("--time-cond").arg(&file).args(["--write-out", "%{http_code} %{size_download}"]);
    for _ in 0..3 {
        assert_eq!(succeeds(&mut unchanged), "304 0");
    }
    assert_eq!(proxy.opened(), 1, "a response without a body leaves the connection as it was");
}

/// The alarm that was set while the connection was idle goes off while it is leased.
fn curl_takes_longer_than_the_pool_keeps_idle() {
    let nginx = Nginx::start();
    // More than the sockets on the way take at once.
    let sent = nginx.create("file", 32 * 1024 * KIB);
    let proxy = nginx.setup().workers(1).upstream("[upstream.pool]\nidle_timeout = \"500ms\"").start();
    succeeds(curl(&proxy, "/file").args(["--output", "/dev/null"]));
    let received = nginx.scratch("received");
    succeeds(curl(&proxy, "/file").args(["--limit-rate", "16M", "--output"]).arg(&received));
    assert_same(&sent, &received);
    assert_eq!(proxy.opened(), 1);
}

/// A client that goes away half-way costs one connection, and the next client gets what it asked for.
fn curl_leaves_in_the_middle() {
    let nginx = Nginx::start();
    nginx.create("large", 64 * 1024 * KIB);
    let small = nginx.create("small", 5_000);
    let proxy = nginx.proxied();
    for _ in 0..5 {
        let mut leaving = CURL.command();
        leaving.args(["--silent", "--noproxy", "*", "--max-time", "60", "--max-filesize", "1000"]);
        let status = super::process::finish(Stdio::null(), leaving.arg(url(&proxy, "/large"))).status;
        assert_eq!(status.code(), Some(63), "curl says that the file is too large");
        let received = nginx.scratch("received");
        succeeds(curl(&proxy, "/small").arg("--output").arg(&received));
        assert_same(&small, &received);
    }
}

/// GET, HEAD, conditional and missing, hundreds of times on one connection.
fn http_client_keeps_its_connection() {
    let nginx = Nginx::start();
    for (name, bytes) in &SIZES[..5] {
        nginx.create(name, *bytes);
    }
    let proxy = nginx.proxied();
    let mut client = python("keep_alive.py");
    client.arg(proxy.address().port().to_string()).arg(nginx.files());
    assert_eq!(succeeds_with(Stdio::null(), &mut client), "400 requests on 1 connection\n");
    assert_eq!(proxy.opened(), 1);
}
