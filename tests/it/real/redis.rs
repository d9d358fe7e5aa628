//! redis through a TCP listener: small and large values, pipelines, and a subscriber that waits.

use super::files;
use super::process::{Server, free_address, succeeds, succeeds_with};
use super::program::{REDIS_BENCHMARK, REDIS_CLI, REDIS_SERVER};
use crate::harness::{Proxy, Setup};
use libtest_mimic::Trial;
use std::fs::File;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

pub(super) fn tests() -> Vec<Trial> {
    crate::trials![
        a_value_is_set_and_got,
        a_value_of_10_mib_comes_back,
        a_pipeline_is_answered_whole,
        a_subscriber_hears_after_a_silence,
        redis_benchmark_sees_no_error,
    ]
}

/// A server without a disk, and the proxy in front of it.
#[derive(Debug)]
struct Redis {
    // Dropped in this order.
    proxy: Proxy,
    address: SocketAddr,
    _server: Server,
    directory: TempDir,
}

impl Redis {
    #[track_caller]
    fn start() -> Self {
        let directory = TempDir::new().expect("a temporary directory");
        let address = free_address();
        let mut command = REDIS_SERVER.command();
        command.args(["--bind", "127.0.0.1", "--port", &address.port().to_string(), "--daemonize", "no"]);
        command.args(["--save", "", "--appendonly", "no", "--dir"]).arg(directory.path());
        let mut server = Server::spawn(directory.path(), &mut command);
        server.wait_until_it_accepts(address);
        let proxy = Setup::tcp([address]).workers(2).start();
        Self { proxy, address, _server: server, directory }
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    /// redis-cli through the proxy.
    #[track_caller]
    fn cli(&self) -> Command {
        cli(self.proxy.address().port())
    }
}

#[track_caller]
fn cli(port: u16) -> Command {
    let mut command = REDIS_CLI.command();
    command.args(["-h", "127.0.0.1", "-p", &port.to_string()]);
    command
}

fn a_value_is_set_and_got() {
    let redis = Redis::start();
    assert_eq!(succeeds(redis.cli().args(["SET", "key", "value"])), "OK\n");
    assert_eq!(succeeds(redis.cli().args(["GET", "key"])), "value\n");
    // And it is in the server, not somewhere on the way.
    assert_eq!(succeeds(cli(redis.address.port()).args(["GET", "key"])), "value\n");
    assert_eq!(redis.proxy.opened(), 2, "one connection for each client");
}

fn a_value_of_10_mib_comes_back() {
    let redis = Redis::start();
    let sent = files::create(redis.path(), "sent", 10 * 1024 * 1024);
    let set = succeeds_with(File::open(&sent).unwrap(), redis.cli().args(["-x", "SET", "large"]));
    assert_eq!(set, "OK\n");
    assert_eq!(succeeds(redis.cli().args(["STRLEN", "large"])), "10485760\n");
    let output =
        super::process::finish(std::process::Stdio::null(), redis.cli().args(["--raw", "GET", "large"]));
    let mut expected = std::fs::read(&sent).unwrap();
    // redis-cli ends its output with a line feed.
    expected.push(b'\n');
    assert!(output.stdout == expected, "{} bytes came back", output.stdout.len());
}

fn a_pipeline_is_answered_whole() {
    let redis = Redis::start();
    let commands = redis.path().join("commands");
    let set = |number: u32| format!("SET key:{number} value:{number}\r\n");
    std::fs::write(&commands, (0..100_000).map(set).collect::<String>()).unwrap();
    let report = succeeds_with(File::open(&commands).unwrap(), redis.cli().arg("--pipe"));
    assert!(report.contains("errors: 0, replies: 100000\n"), "{report}");
    assert_eq!(succeeds(redis.cli().arg("DBSIZE")), "100000\n");
    assert_eq!(succeeds(redis.cli().args(["GET", "key:99999"])), "value:99999\n");
}

/// Five seconds without a byte are longer than a pooled connection may be idle (4 s).
fn a_subscriber_hears_after_a_silence() {
    let redis = Redis::start();
    let directory = redis.path().join("subscriber");
    std::fs::create_dir(&directory).unwrap();
    let mut subscriber = Server::spawn(&directory, redis.cli().args(["SUBSCRIBE", "news"]));
    subscriber.wait_until_it_says("subscribe\nnews\n");
    std::thread::sleep(Duration::from_secs(5));
    assert_eq!(succeeds(redis.cli().args(["PUBLISH", "news", "it rains"])), "1\n");
    subscriber.wait_until_it_says("message\nnews\nit rains\n");
}

fn redis_benchmark_sees_no_error() {
    let redis = Redis::start();
    let mut command = REDIS_BENCHMARK.command();
    command.args([
        "-h",
        "127.0.0.1",
        "-p",
        &redis.proxy.address().port().to_string(),
        "-n",
        "20000",
        "-c",
        "32",
    ]);
    let report = succeeds(command.args(["-d", "1000", "-P", "4", "--csv", "-t", "set,get,lrange_100"]));
    for test in ["\"SET\"", "\"GET\"", "\"LRANGE_100 (first 100 elements)\""] {
        assert!(report.contains(test), "{report}");
    }
}
