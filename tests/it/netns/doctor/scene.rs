//! A host as the test wants it, and what the doctor says of it.

use crate::harness::millpond;
use crate::netns::namespace::sysctl;
use millpond::config::load::VARIABLES;
use serde_json::Value;
use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::{NamedTempFile, TempDir};

/// One check, on a host on which it finds something and on one on which it does not.
pub(super) struct Row {
    pub(super) check: &'static str,
    pub(super) bad: Scene,
    /// What is found there; "ok" for what is never more than information.
    pub(super) verdict: &'static str,
    pub(super) good: Scene,
}

/// What is special about a host. Everything else is as the namespace has it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Scene {
    /// Lines for the configuration's top, its listener and its upstream.
    pub(super) config: [&'static str; 3],
    /// Set in this namespace, by the names below net.
    pub(super) settings: &'static [(&'static str, &'static str)],
    /// Settings of the whole host, which a file in their place pretends to have.
    pub(super) pretended: &'static [(&'static str, &'static str)],
    /// A command that runs the program.
    pub(super) through: &'static [&'static str],
}

pub(super) const PLAIN: Scene = Scene { config: [""; 3], settings: &[], pretended: &[], through: &[] };

/// With these settings of the namespace.
pub(super) const fn settings(settings: &'static [(&'static str, &'static str)]) -> Scene {
    Scene { settings, ..PLAIN }
}

/// With these settings of the host.
pub(super) const fn pretended(pretended: &'static [(&'static str, &'static str)]) -> Scene {
    Scene { pretended, ..PLAIN }
}

/// With this configuration.
pub(super) const fn config(config: [&'static str; 3]) -> Scene {
    Scene { config, ..PLAIN }
}

impl Scene {
    pub(super) const fn with(self, config: [&'static str; 3]) -> Self {
        Self { config, ..self }
    }

    pub(super) const fn through(self, through: &'static [&'static str]) -> Self {
        Self { through, ..self }
    }
}

/// Asks the doctor about the bad host and about the good one.
#[track_caller]
pub(super) fn judge(rows: &[Row]) {
    for row in rows {
        for (scene, verdict) in [(&row.bad, row.verdict), (&row.good, "ok")] {
            let report = doctor(scene);
            let check = report.check(row.check);
            assert_eq!(check["verdict"], verdict, "{} with {scene:#?}: {check:#}", row.check);
            let is_fixable = check["fixes"].as_array().is_some_and(|fixes| !fixes.is_empty());
            assert_eq!(is_fixable, verdict != "ok" && row.check != "kernel", "{check:#}");
            let is_critical = report.0["summary"]["critical"] != 0;
            assert_eq!(report.1, i32::from(is_critical), "the exit code of {:#}", report.0);
        }
    }
}

/// What the doctor printed, and its exit code.
pub(super) struct Report(pub(super) Value, i32);

impl Report {
    #[track_caller]
    pub(super) fn check(&self, name: &str) -> &Value {
        let checks = self.0["checks"].as_array().unwrap();
        checks.iter().find(|check| check["name"] == name).unwrap_or_else(|| panic!("no {name}"))
    }
}

/// Makes the host so and runs the program.
#[track_caller]
pub(super) fn doctor(scene: &Scene) -> Report {
    for (name, value) in scene.settings {
        sysctl(name, value);
    }
    let directory = tempfile::tempdir().unwrap();
    for (name, mode) in [("token", 0o600), ("everybodys", 0o644)] {
        let path = directory.path().join(name);
        fs::write(&path, "a-token-of-thirty-two-characters\n").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
    }
    let file = configuration(scene.config, directory.path());
    let doctor = millpond();
    let arguments = ["doctor", "--json", "-c"].map(Into::into).into_iter().chain([file.path().into()]);
    let program = [doctor.get_program().to_owned()].into_iter().chain(arguments);
    let line = scene.through.iter().map(Into::into).chain(program);
    let covers: Vec<Cover> = scene.pretended.iter().map(|(name, value)| Cover::new(name, value)).collect();
    let mut command = Command::new("unshare");
    // $0 is the first cover; a pair for each, and then the program.
    command.args(["--mount", "sh", "-c"]).arg(
        "while [ \"$1\" != -- ]; do mount --bind \"$1\" \"$2\" || exit; shift 2; done; shift; exec \"$@\"",
    );
    command.arg("sh").args(covers.iter().flat_map(Cover::arguments)).arg("--").args(line);
    // What it may say of the admin server would win over the file.
    for (variable, _) in VARIABLES {
        command.env_remove(variable);
    }
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let json = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    Report(json, output.status.code().unwrap())
}

/// One worker unless it says otherwise, one endpoint elsewhere; `{dir}` is a directory of its own, with
/// two files that hold a token.
fn configuration([top, listener, upstream]: [&str; 3], directory: &Path) -> NamedTempFile {
    let unless = |lines: &str, key: &str, line: &'static str| if lines.contains(key) { "" } else { line };
    let text = format!(
        "{}{top}\n[[listener]]\nname = \"web\"\nupstream = \"app\"\n{}{listener}\n\
         [[upstream]]\nname = \"app\"\n{}{upstream}\n",
        unless(top, "workers", "runtime.workers = 1\n"),
        unless(listener, "bind", "bind = \"0.0.0.0:8080\"\n"),
        unless(upstream, "endpoints", "endpoints = [\"192.0.2.1:3000\"]\n"),
    );
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(text.replace("{dir}", directory.to_str().unwrap()).as_bytes()).unwrap();
    file
}

/// A copy of a directory below /proc/sys with one setting changed, to be mounted in its place: a file
/// alone could not stand where there is none.
struct Cover {
    copy: TempDir,
    place: PathBuf,
}

impl Cover {
    fn new(name: &str, value: &str) -> Self {
        let path = Path::new("/proc/sys").join(name.replace('.', "/"));
        let place = path.parent().unwrap().to_owned();
        let copy = tempfile::tempdir().unwrap();
        for entry in fs::read_dir(&place).unwrap() {
            let entry = entry.unwrap();
            // What cannot be read is not asked for.
            if let Ok(text) = fs::read_to_string(entry.path()) {
                fs::write(copy.path().join(entry.file_name()), text).unwrap();
            }
        }
        fs::write(copy.path().join(path.file_name().unwrap()), value).unwrap();
        Self { copy, place }
    }

    fn arguments(&self) -> [&Path; 2] {
        [self.copy.path(), &self.place]
    }
}
