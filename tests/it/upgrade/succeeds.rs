//! What a new process has from the old one.

use super::Instance;
use crate::harness::{Client, Origin, Running, Setup, eventually, free_address, millpond_at, nobody_listens};
use libtest_mimic::Trial;
use rustix::process::Signal;
use std::path::Path;

pub(super) fn tests() -> Vec<Trial> {
    crate::trials![
        idle_connections_are_used_again_and_never_closed,
        what_becomes_idle_while_the_old_process_drains_is_handed_over,
        one_process_after_the_other,
        a_signal_does_it_too,
        what_is_not_in_the_new_configuration_is_closed_by_the_policy,
        workers_may_be_more_or_fewer,
        a_listener_that_is_new_and_one_that_is_gone,
        a_unix_socket_of_the_admin_server_stays,
        tunnels_go_on,
    ]
}

fn warm(origin: &Origin) -> Setup {
    Setup::http([origin.address()]).workers(2).upstream("pool.idle_timeout = \"60s\"")
}

fn idle_connections_are_used_again_and_never_closed() {
    let origin = Origin::saying("ok");
    let mut instance = Instance::start(&warm(&origin));
    assert_eq!(Client::connect(instance.process.address()).get("/").text(), "ok");
    let answer = instance.upgrade();
    assert_eq!((&answer["listening_sockets"], &answer["bound"]), (&2.into(), &0.into()));
    instance.alone();
    for _ in 0..8 {
        assert_eq!(Client::connect(instance.process.address()).get("/").text(), "ok");
        eventually("its connection is idle again", || instance.endpoint()["connections"]["idle"] == 1);
    }
    assert_eq!((origin.connections(), origin.ended(0)), (1, None), "one connection for all of them");
    let endpoint = instance.endpoint();
    assert_eq!((&endpoint["opened_total"], &endpoint["reused_total"]), (&0.into(), &8.into()));
    let predecessor = &instance.process.statistics()["process"]["predecessor"];
    assert_eq!((&predecessor["connections"], &predecessor["draining"]), (&1.into(), &false.into()));
    let ports = &endpoint["ports"][0];
    assert_eq!((&ports["used"], &ports["time_wait"]), (&1.into(), &0.into()), "its port is counted");
}

fn what_becomes_idle_while_the_old_process_drains_is_handed_over() {
    let (origin, gate) = Origin::gated();
    let mut instance = Instance::start(&warm(&origin));
    let mut clients: Vec<Client> = (0..5).map(|_| Client::connect(instance.process.address())).collect();
    clients.iter().for_each(|client| client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n"));
    origin.wait_for_requests(5);
    assert_eq!(instance.upgrade()["connections"], 0, "all are in use");
    gate.open();
    for client in &mut clients {
        let response = client.response();
        assert!(response.text() == "ok" && response.says_close());
        client.expect_eof();
    }
    instance.alone();
    assert_eq!(instance.endpoint()["connections"]["idle"], 5);
    assert_eq!(instance.process.statistics()["process"]["predecessor"]["connections"], 5);
    assert!((0..5).all(|number| origin.ended(number).is_none()));
}

fn one_process_after_the_other() {
    let origin = Origin::saying("ok");
    let mut instance = Instance::start(&warm(&origin));
    // A client that stays keeps the first process there; the connection goes all the way.
    let mut stays = Client::connect(instance.process.address());
    assert_eq!(stays.get("/").text(), "ok");
    for _ in 0..4 {
        instance.upgrade();
        assert_eq!(Client::connect(instance.process.address()).get("/").text(), "ok");
    }
    assert!(stays.get("/").says_close());
    stays.expect_eof();
    instance.alone();
    assert_eq!(Client::connect(instance.process.address()).get("/").text(), "ok");
    assert!(origin.connections() <= 2, "{} were dialled", origin.connections());
}

fn a_signal_does_it_too() {
    let origin = Origin::saying("ok");
    let mut instance = Instance::start(&warm(&origin));
    assert_eq!(Client::connect(instance.process.address()).get("/").text(), "ok");
    instance.process.signal(Signal::USR2);
    let entry = instance.process.wait_for_entry("another process serves; this one drains");
    instance.pids.push(entry["pid"].as_u64().unwrap().try_into().unwrap());
    assert_eq!(entry["listening_sockets"], 2);
    instance.alone();
    assert_eq!(Client::connect(instance.process.address()).get("/").text(), "ok");
    assert_eq!(origin.connections(), 1);
}

fn what_is_not_in_the_new_configuration_is_closed_by_the_policy() {
    let [one, other] = [(); 2].map(|()| Origin::saying("ok"));
    let mut instance = Instance::start(&warm(&one));
    assert_eq!(Client::connect(instance.process.address()).get("/").text(), "ok");
    instance.process.write(&warm(&other).text());
    assert_eq!(instance.upgrade()["connections"], 0);
    assert_eq!(one.wait_for_end(0), crate::harness::Ended::Reset, "without a TIME_WAIT");
    assert_eq!(Client::connect(instance.process.address()).get("/").text(), "ok");
    assert_eq!((one.connections(), other.connections()), (1, 1));
    instance.alone();
}

fn workers_may_be_more_or_fewer() {
    let origin = Origin::saying("ok");
    let mut instance = Instance::start(&warm(&origin));
    for (workers, sockets) in [(4, 2), (1, 4), (3, 4)] {
        instance.process.write(&warm(&origin).workers(workers).text());
        assert_eq!(instance.upgrade()["listening_sockets"], sockets);
        // On whichever socket they come, somebody accepts.
        for _ in 0..40 {
            assert_eq!(Client::connect(instance.process.address()).get("/").text(), "ok");
        }
    }
    instance.alone();
}

fn a_listener_that_is_new_and_one_that_is_gone() {
    let origin = Origin::saying("ok");
    let (first, second) = (free_address(), free_address());
    let with = |address| {
        format!(
            "{}\n[[listener]]\nname = \"more\"\nupstream = \"app\"\nbind = \"{address}\"\n",
            warm(&origin).text()
        )
    };
    let mut instance = Instance::start(&warm(&origin));
    instance.process.write(&with(first));
    let answer = instance.upgrade();
    assert_eq!((&answer["listening_sockets"], &answer["bound"]), (&2.into(), &1.into()));
    assert_eq!(Client::connect(first).get("/").text(), "ok");
    instance.process.write(&with(second));
    let answer = instance.upgrade();
    assert_eq!((&answer["listening_sockets"], &answer["bound"]), (&2.into(), &1.into()));
    assert_eq!(Client::connect(second).get("/").text(), "ok");
    eventually("nobody listens there any more", || nobody_listens(first));
    instance.alone();
}

fn a_unix_socket_of_the_admin_server_stays() {
    let origin = Origin::saying("ok");
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("admin.sock");
    let text = warm(&origin)
        .text()
        .replace("listen = \"127.0.0.1:0\"", &format!("listen = \"unix:{}\"", path.display()));
    let file = directory.path().join("millpond.toml");
    std::fs::write(&file, text).unwrap();
    let mut command = millpond_at(Path::new(env!("CARGO_BIN_EXE_millpond")));
    command.env_remove("MILLPOND_ADMIN_LISTEN").args(["run", "-c"]).arg(&file);
    let mut process = Running::of(command);
    let admin = format!("unix:{}", path.display());
    let ask = |arguments: &[&str]| {
        let mut command = crate::harness::millpond();
        command.args(arguments).args(["--admin", &admin]);
        command.output().unwrap()
    };
    let upgraded = ask(&["upgrade"]);
    assert!(upgraded.status.success(), "{upgraded:?}");
    assert_eq!(process.wait().code(), Some(0));
    assert!(path.exists(), "the old process has left it");
    let text = String::from_utf8(upgraded.stdout).unwrap();
    assert!(text.contains("2 listening sockets handed over"), "{text}");
    let stats: serde_json::Value = serde_json::from_slice(&ask(&["stats", "--json"]).stdout).unwrap();
    let new = super::Ends::new(super::pid_of(&stats["process"]), Path::new(env!("CARGO_BIN_EXE_millpond")));
    new.terminate();
    eventually("the new process removes it in the end", || !path.exists());
}

fn tunnels_go_on() {
    let origin = Origin::start(|conn| {
        while let Some(bytes) = conn.exactly(4) {
            conn.send(bytes);
        }
    });
    let mut instance = Instance::start(&Setup::tcp([origin.address()]).workers(2));
    let mut tunnel = Client::connect(instance.process.address());
    let echo = |client: &mut Client, text: &str| {
        client.send(text);
        assert_eq!(client.exactly(4), text.as_bytes());
    };
    echo(&mut tunnel, "one ");
    instance.upgrade();
    echo(&mut tunnel, "two ");
    echo(&mut Client::connect(instance.process.address()), "new ");
    echo(&mut tunnel, "end ");
    drop(tunnel);
    instance.alone();
}
