//! PostgreSQL through a TCP listener: queries, 100,000 rows in and out, and clients that reconnect.

use super::process::{Server, free_address, succeeds};
use super::program::{INITDB, PGBENCH, POSTGRES, PSQL};
use crate::harness::{Proxy, Setup};
use libtest_mimic::Trial;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// The user and group `nobody` of Debian: PostgreSQL refuses to run as root.
const NOBODY: u32 = 65534;

pub(super) fn tests() -> Vec<Trial> {
    crate::trials![psql_selects_and_copies, pgbench_reconnects_for_every_transaction]
}

/// A server with an empty database, and the proxy in front of it.
#[derive(Debug)]
struct Postgres {
    // Dropped in this order.
    proxy: Proxy,
    _server: Server,
    directory: TempDir,
}

impl Postgres {
    #[track_caller]
    fn start() -> Self {
        let directory = TempDir::new().expect("a temporary directory");
        std::fs::set_permissions(directory.path(), PermissionsExt::from_mode(0o755)).expect("just created");
        let data = directory.path().join("data");
        std::fs::create_dir(&data).expect("just created");
        let mut initdb = INITDB.command();
        initdb.args([
            "--username",
            "tester",
            "--auth",
            "trust",
            "--encoding",
            "UTF8",
            "--no-locale",
            "--no-sync",
        ]);
        succeeds(unprivileged(initdb.arg("--pgdata").arg(&data), &data));
        let address = free_address();
        let mut command = POSTGRES.command();
        command.arg("-D").arg(&data).args(["-p", &address.port().to_string(), "-c", "fsync=off"]);
        command.args(["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="]);
        let server = Server::spawn(directory.path(), unprivileged(&mut command, &data));
        // SIGINT ends the clients' connections too, where SIGTERM would wait for them (postgres(1)).
        let mut server = server.ended_by("INT");
        server.wait_until_it_says("database system is ready to accept connections");
        let proxy = Setup::tcp([address]).workers(2).start();
        Self { proxy, _server: server, directory }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Runs commands of psql, which come to the server through the proxy.
    #[track_caller]
    fn psql(&self, commands: &[&str]) -> String {
        let mut psql = PSQL.command();
        psql.args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set", "ON_ERROR_STOP=1"]);
        for command in commands {
            psql.args(["--command", command]);
        }
        succeeds(self.reaching(&mut psql))
    }

    fn reaching<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.args(["--host", "127.0.0.1", "--port", &self.proxy.address().port().to_string()]);
        command.args(["--username", "tester"]).env("PGDATABASE", "postgres").env("PGCONNECT_TIMEOUT", "20")
    }
}

/// Run by root, the command becomes `nobody`, who is given the directory.
fn unprivileged<'a>(command: &'a mut Command, data: &Path) -> &'a mut Command {
    let is_root = std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0);
    if is_root {
        std::os::unix::fs::chown(data, Some(NOBODY), Some(NOBODY)).expect("root may");
        command.uid(NOBODY).gid(NOBODY);
    }
    command.current_dir(data)
}

fn psql_selects_and_copies() {
    let postgres = Postgres::start();
    assert_eq!(postgres.psql(&["SELECT 6 * 7", "SELECT 'two'"]), "42\ntwo\n");

    let rows: String = (0..100_000).map(|row| format!("{row}\t{:x}\n", row * 2_654_435_761_u64)).collect();
    let (sent, received) = (postgres.path("sent"), postgres.path("received"));
    std::fs::write(&sent, &rows).unwrap();
    let copied = postgres.psql(&[
        "CREATE TABLE rows (number int PRIMARY KEY, words text)",
        &format!("\\copy rows FROM '{}'", sent.display()),
        "SELECT count(*), sum(number) FROM rows",
        &format!("\\copy (SELECT * FROM rows ORDER BY number) TO '{}'", received.display()),
    ]);
    assert_eq!(copied, "100000|4999950000\n");
    assert!(std::fs::read_to_string(&received).unwrap() == rows, "the rows that came back differ");

    // One value of 20 MB, and an error after which the connection goes on.
    assert_eq!(postgres.psql(&["SELECT length(repeat('millpond', 2500000))"]), "20000000\n");
    let long = postgres.psql(&["SELECT repeat('millpond', 2500000)"]);
    assert!(long.trim_end() == "millpond".repeat(2_500_000), "{} bytes came back", long.len());
}

/// Each of 300 transactions has a connection of its own, which psql and the server both close.
fn pgbench_reconnects_for_every_transaction() {
    let postgres = Postgres::start();
    succeeds(postgres.reaching(PGBENCH.command().args(["--initialize", "--quiet"])));
    let mut bench = PGBENCH.command();
    bench.args(["--no-vacuum", "--connect", "--client", "4", "--transactions", "75"]);
    let report = succeeds(postgres.reaching(&mut bench));
    assert!(report.contains("number of transactions actually processed: 300/300\n"), "{report}");
    assert!(report.contains("number of failed transactions: 0 "), "{report}");
}
