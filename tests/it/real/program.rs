//! The programs that these tests need, and the packages of Debian that have them.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A program.
#[derive(Clone, Copy, Debug)]
pub(super) struct Program {
    name: &'static str,
    package: &'static str,
}

pub(super) const AB: Program = Program { name: "ab", package: "apache2-utils" };
pub(super) const CHROMEDRIVER: Program = Program { name: "chromedriver", package: "chromium-driver" };
pub(super) const CHROMIUM: Program = Program { name: "chromium", package: "chromium" };
pub(super) const CURL: Program = Program { name: "curl", package: "curl" };
pub(super) const NC: Program = Program { name: "nc", package: "netcat-openbsd" };
pub(super) const NGINX: Program = Program { name: "nginx", package: "nginx-light" };
pub(super) const PGBENCH: Program = Program { name: "pgbench", package: "postgresql" };
pub(super) const POSTGRES: Program = Program { name: "postgres", package: "postgresql" };
pub(super) const INITDB: Program = Program { name: "initdb", package: "postgresql" };
pub(super) const PROMETHEUS: Program = Program { name: "prometheus", package: "prometheus" };
pub(super) const PROMTOOL: Program = Program { name: "promtool", package: "prometheus" };
pub(super) const PSQL: Program = Program { name: "psql", package: "postgresql-client" };
/// Debian's own, which has Debian's modules; another may come before it in PATH.
const PYTHON: Program = Program { name: "/usr/bin/python3", package: "python3 python3-websockets" };
pub(super) const REDIS_BENCHMARK: Program = Program { name: "redis-benchmark", package: "redis-tools" };
pub(super) const REDIS_CLI: Program = Program { name: "redis-cli", package: "redis-tools" };
pub(super) const REDIS_SERVER: Program = Program { name: "redis-server", package: "redis-server" };
pub(super) const TMUX: Program = Program { name: "tmux", package: "tmux" };
pub(super) const WRK: Program = Program { name: "wrk", package: "wrk" };

impl Program {
    /// The program, to be given arguments. Panics with the line that installs it, if it is missing.
    #[track_caller]
    pub(super) fn command(self) -> Command {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let beside = [PathBuf::from("/usr/sbin"), PathBuf::from("/sbin")];
        let mut places = std::env::split_paths(&path).chain(beside).chain(postgres_directories());
        match places.find_map(|place| Some(place.join(self.name)).filter(|found| found.is_file())) {
            Some(found) => Command::new(found),
            None => panic!("{} is missing: apt-get install {}", self.name, self.package),
        }
    }
}

/// One of the scripts beside this file.
#[track_caller]
pub(super) fn python(script: &str) -> Command {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/real/programs");
    let mut command = PYTHON.command();
    command.arg("-B").arg(directory.join(script));
    command
}

/// Debian keeps the server's programs out of PATH, apart for each version; the newest comes first.
fn postgres_directories() -> Vec<PathBuf> {
    let Ok(versions) = std::fs::read_dir("/usr/lib/postgresql") else { return Vec::new() };
    let mut directories: Vec<_> = versions.flatten().map(|version| version.path().join("bin")).collect();
    directories.sort();
    directories.reverse();
    directories
}
