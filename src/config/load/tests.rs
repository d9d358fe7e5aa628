//! Layers: which file and which variable wins, and which one a diagnostic names.

use super::*;
use crate::config::model::{AccessLog, AdminListen, DnsKind, DnsName, LogFormat};
use proptest::prelude::*;
use std::time::Duration;
use tempfile::TempDir;

const MAIN: &str = r#"[log]
level = "warn"
format = "json"
[[listener]]
bind = "127.0.0.1:8080"
upstream = "app"
[[upstream]]
name = "app"
endpoints = ["127.0.0.1:3000"]
"#;

/// A directory with these files, `main.toml` among them.
struct Files(TempDir);

impl Files {
    fn new(files: &[(&str, &[u8])]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = directory.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        Self(directory)
    }

    fn load(&self, environment: &[(&str, &str)]) -> Result<Loaded, Diagnostics> {
        let found = |name: &str| environment.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned());
        load(&self.0.path().join("main.toml"), &found)
    }

    /// Every problem as a line, with the directory left out.
    fn problems(&self, environment: &[(&str, &str)]) -> Vec<String> {
        let directory = format!("{}/", self.0.path().display());
        let problems = self.load(environment).expect_err("an error");
        problems.to_string().replace(&directory, "").lines().map(str::to_owned).collect()
    }
}

fn starts(lines: &[String], expected: &[&str]) {
    assert_eq!(lines.len(), expected.len(), "{lines:#?}");
    for (line, start) in lines.iter().zip(expected) {
        assert!(line.starts_with(start), "{line}\nshould begin with\n{start}");
    }
}

#[test]
fn fragments_add_listeners_and_upstreams_and_win_by_key() {
    let files = Files::new(&[
        ("main.toml", MAIN.as_bytes()),
        ("conf.d/20.toml", b"[log]\nlevel = \"debug\"\naccess = \"stdout\"\n"),
        (
            "conf.d/10.toml",
            b"log.level = \"error\"\n[[upstream]]\nname = \"b\"\nendpoints = [\"127.0.0.1:3001\"]\n\
              [[listener]]\nbind = \"127.0.0.1:8081\"\nupstream = \"b\"\n",
        ),
        ("conf.d/.hidden.toml", b"not TOML"),
        ("conf.d/notes.txt", b"not TOML"),
    ]);
    let config = files.load(&[]).unwrap().config;
    assert_eq!(config.log.level, "debug", "20 comes after 10");
    assert_eq!((config.log.format, config.log.access), (LogFormat::Json, AccessLog::Stdout));
    let listeners: Vec<_> = config.listeners.iter().map(|l| (l.name.as_str(), l.upstream)).collect();
    assert_eq!(listeners, [("127.0.0.1:8080", 0), ("127.0.0.1:8081", 1)]);
    let upstreams: Vec<_> = config.upstreams.iter().map(|u| u.name.as_str()).collect();
    assert_eq!(upstreams, ["app", "b"]);
}

#[test]
fn diagnostics_name_the_right_file_and_its_own_places() {
    let fragment = "[[listener]]\nbind = \"127.0.0.1:8081\"\nupstream = \"ap\"\ntimeout.idel = \"1s\"\n\
                    [[listener]]\nname = \"web\"\nbind = \"127.0.0.1:8080\"\nupstream = \"app\"\n\
                    [[upstream]]\nname = \"app\"\nendpoints = [\"127.0.0.1:0\"]\n";
    let files = Files::new(&[
        ("main.toml", MAIN.replace("json", "jsn").as_bytes()),
        ("conf.d/a.toml", fragment.as_bytes()),
        ("conf.d/b.toml", b"\n[log]\nlevel = \"inof\"\n"),
    ]);
    starts(
        &files.problems(&[]),
        &[
            "error: main.toml:3: log.format: \"jsn\" is not known here; write \"json\"",
            "error: conf.d/a.toml:3: listener[0].upstream: there is no upstream \"ap\"; write \"app\"",
            "error: conf.d/a.toml:4: listener[0].timeout.idel: unknown key idel; write idle",
            "error: conf.d/a.toml:7: listener.web.bind: 127.0.0.1:8080 is listened on at ",
            "error: conf.d/a.toml:10: upstream.app.name: the name \"app\" is taken at main.toml:8; ",
            "error: conf.d/a.toml:11: upstream.app.endpoints[0]: \"127.0.0.1:0\" has port 0; ",
            "error: conf.d/b.toml:3: log.level: \"inof\" is not a level; write \"info\"",
        ],
    );
}

#[test]
fn listed_variables_win_over_the_files() {
    let files = Files::new(&[("main.toml", MAIN.as_bytes())]);
    let environment = [
        ("MILLPOND_ADMIN_LISTEN", "127.0.0.1:1"),
        ("MILLPOND_ADMIN_TOKEN_FILE", "/run/token"),
        ("MILLPOND_LOG_LEVEL", "trace"),
        ("MILLPOND_LOG_FORMAT", "text"),
        ("MILLPOND_LOG_ACCESS", "./a"),
        ("MILLPOND_RUNTIME_WORKERS", "7"),
        ("MILLPOND_RUNTIME_SHUTDOWN_TIMEOUT", "8s"),
        ("MILLPOND_SERVICE_HOST", "10.0.0.1"),
        ("MILLPOND_RUNTIME", "x"),
    ];
    let config = files.load(&environment).unwrap().config;
    assert_eq!(config.admin.listen, AdminListen::Tcp("127.0.0.1:1".parse().unwrap()));
    assert_eq!(config.admin.token_file, Some("/run/token".into()));
    assert_eq!((config.log.level.as_str(), config.log.format), ("trace", LogFormat::Text));
    assert_eq!(config.log.access, AccessLog::File("./a".into()));
    assert_eq!((config.runtime.workers, config.runtime.shutdown_timeout), (7, Duration::from_secs(8)));
    let empty: Vec<_> = VARIABLES.iter().map(|(name, _)| (*name, "")).collect();
    assert_eq!(files.load(&empty).unwrap().config, files.load(&[]).unwrap().config, "empty is unset");
}

#[test]
fn a_bad_variable_is_named() {
    let files = Files::new(&[("main.toml", MAIN.as_bytes())]);
    for (name, key) in VARIABLES {
        for bad in ["?", "-1"] {
            starts(&files.problems(&[(name, bad)]), &[&format!("error: {name}: {key}: ")]);
        }
    }
}

#[test]
fn what_is_no_toml_is_named_in_every_file_and_nothing_else_is_guessed() {
    let files = Files::new(&[
        ("main.toml", MAIN.replace("bind = ", "bind ").as_bytes()),
        ("conf.d/a.toml", b"\n\n[log\n"),
        ("conf.d/b.toml", b"log.level = \"a\"\nlog.level = \"b\"\n"),
        ("conf.d/c.toml", b"# fine\n# \xff\n"),
        ("conf.d/d.toml/a", b""),
    ]);
    let not_toml = |place: &str| format!("error: {place}: this is not TOML: ");
    starts(
        &files.problems(&[]),
        &[
            &not_toml("main.toml:5"),
            &not_toml("conf.d/a.toml:3"),
            &not_toml("conf.d/b.toml:2"),
            "error: conf.d/d.toml: cannot be read: ",
            "error: conf.d/c.toml:2: this is not UTF-8; save it as UTF-8",
        ],
    );
}

#[test]
fn a_missing_file_is_named() {
    let files = Files::new(&[("other.toml", b"")]);
    starts(&files.problems(&[]), &["error: main.toml: cannot be read: No such file"]);
    let files = Files::new(&[("main.toml", MAIN.as_bytes()), ("conf.d", b"")]);
    starts(&files.problems(&[]), &["error: conf.d: cannot be read: Not a directory"]);
}

#[test]
fn a_command_line_makes_a_configuration() {
    let address = |text: &str| text.parse::<SocketAddr>().unwrap();
    let endpoints = [address("127.0.0.1:3000"), address("[::1]:3001")];
    let environment = |name: &str| (name == "MILLPOND_LOG_LEVEL").then(|| "debug".to_owned());
    let loaded = adhoc(address("127.0.0.1:8080"), &endpoints, Protocol::Tcp, &environment).unwrap();
    assert_eq!(loaded.warnings, []);
    let text = "log.level = \"debug\"\n[[listener]]\nbind = \"127.0.0.1:8080\"\nprotocol = \"tcp\"\n\
                upstream = \"default\"\n[[upstream]]\nname = \"default\"\n\
                endpoints = [\"127.0.0.1:3000\", \"[::1]:3001\"]\n";
    assert_eq!(loaded.config, parse_str("x", text).unwrap().config);

    let named = adhoc(address("127.0.0.1:8080"), &["app.svc:3000"], Protocol::Http, &|_| None).unwrap();
    let kind = DnsKind::Addresses { port: 3000, weight: 1 };
    assert_eq!(named.config.upstreams[0].names, [DnsName { name: "app.svc".into(), kind }]);

    let twice = [endpoints[0], endpoints[0], address("0.0.0.0:1")];
    let problems = adhoc(address("127.0.0.1:9900"), &twice, Protocol::Http, &|_| None).unwrap_err();
    let lines: Vec<String> = problems.to_string().lines().map(str::to_owned).collect();
    starts(
        &lines,
        &[
            "error: command line: listener[0].bind: 127.0.0.1:9900 takes the admin server's address",
            "error: command line: upstream.default.endpoints[1]: 127.0.0.1:3000 is listed",
            "error: command line: upstream.default.endpoints[2]: \"0.0.0.0:1\" is no address of a host",
        ],
    );
}

/// A line made of what a configuration is made of, put together at random.
fn line() -> impl Strategy<Value = String> {
    let mut names: Vec<String> =
        super::super::schema::KEYS.iter().flat_map(|key| key.split('.')).map(str::to_owned).collect();
    names.extend(["\"listener[3]\"".into(), "a".into()]);
    let path = prop::collection::vec(prop::sample::select(names), 1..4).prop_map(|names| names.join("."));
    let values = [
        "1",
        "-1",
        "9223372036854775807",
        "1.5",
        "nan",
        "true",
        "\"\"",
        "\"1s\"",
        "\"8KiB\"",
        "\"auto\"",
        "\"off\"",
        "\"127.0.0.1:80\"",
        "[]",
        "[[]]",
        "[\"127.0.0.1:80\", { address = 1 }]",
        "{}",
        "{ idle = \"1s\" }",
        "1979-05-27",
        "\"hash\"",
        "\"header:\"",
        "\"a\"",
        "\"99999999999999999999h\"",
    ];
    (path, prop::sample::select(values.to_vec()), 0..4).prop_map(|(path, value, shape)| match shape {
        0 => format!("[[{path}]]\n"),
        1 => format!("[{path}]\n"),
        _ => format!("{path} = {value}\n"),
    })
}

/// Either a configuration, or at least one error.
fn loads_or_says_why(text: &str) {
    match parse_str("x.toml", text) {
        Ok(loaded) => {
            assert!(!loaded.config.listeners.is_empty());
            for listener in &loaded.config.listeners {
                assert!(listener.upstream < loaded.config.upstreams.len());
            }
        }
        Err(Diagnostics(problems)) => {
            assert!(problems.iter().any(|problem| problem.severity == Severity::Error));
            assert!(problems.iter().all(|problem| !problem.to_string().contains('\n')));
        }
    }
}

proptest! {
    #[test]
    fn arbitrary_text_never_panics(text in any::<String>()) {
        loads_or_says_why(&text);
    }

    #[test]
    fn arbitrary_configurations_never_panic(lines in prop::collection::vec(line(), 0..6)) {
        loads_or_says_why(&lines.concat());
        loads_or_says_why(&format!("{MAIN}{}", lines.concat()));
    }
}
