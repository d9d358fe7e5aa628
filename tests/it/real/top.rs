//! `millpond top` in a terminal, beside a running instance.

use super::process::free_address;
use super::tmux::Terminal;
use crate::harness::{Client, Origin, Running, Setup, eventually, millpond};
use libtest_mimic::Trial;
use rustix::process::{Signal, kill_process};
use std::net::SocketAddr;
use tempfile::TempDir;

pub(super) fn tests() -> Vec<Trial> {
    crate::trials![
        the_screen_agrees_with_the_statistics_and_q_gives_the_terminal_back,
        an_instance_that_goes_is_waited_for,
        signals_give_the_terminal_back,
        a_terminal_that_closes_ends_it,
        a_window_may_change_its_size,
        without_colour_if_no_color_is_set,
    ]
}

/// A shell command that shows this instance.
fn top(admin: SocketAddr) -> String {
    format!("{} top --interval 250ms --admin {admin}", env!("CARGO_BIN_EXE_millpond"))
}

/// Waits until the terminal is a shell's again, with the program's exit code on its screen.
#[track_caller]
fn given_back(terminal: &Terminal, code: u8) {
    terminal.wait_for(&format!("code={code}"));
    assert_eq!(terminal.modes(), (false, true), "no screen of its own, and a cursor");
}

fn the_screen_agrees_with_the_statistics_and_q_gives_the_terminal_back() {
    let origin = Origin::saying("ok");
    let process = Running::start(&Setup::http([origin.address()]).workers(1));
    let mut clients: Vec<_> = (0..3).map(|_| Client::connect(process.address())).collect();
    clients.iter_mut().for_each(|client| assert_eq!(client.get("/").text(), "ok"));

    let terminal = Terminal::open();
    let before = terminal.settings();
    terminal.line(&format!("{}; echo code=$?", top(process.admin())));
    terminal.wait_for("Listeners  1");
    assert_eq!(terminal.modes(), (true, false), "a screen of its own, without a cursor");
    // Long addresses leave no room for every column in a small window.
    terminal.resize(120, 40);

    let row_of = |screen: &str, address: SocketAddr| -> Vec<String> {
        let address = address.to_string();
        let row = screen.lines().find(|line| line.split_whitespace().any(|word| word == address));
        row.unwrap_or_default().split_whitespace().map(str::to_owned).collect()
    };
    let statistics = process.statistics();
    let sessions = statistics["listeners"][0]["sessions"]["current"].to_string();
    terminal.wait_until("the sessions", |screen| row_of(screen, process.address()).get(3) == Some(&sessions));
    let idle = statistics["upstreams"][0]["endpoints"][0]["connections"]["idle"].to_string();
    terminal.wait_until("the pool", |screen| {
        let row = row_of(screen, origin.address());
        row.get(1..4) == Some(&[origin.address().to_string(), "up".into(), idle.clone()])
    });
    assert_eq!(sessions, "3");

    // Nothing came since the last answer; then something does.
    terminal.wait_for("requests/s 0 ");
    terminal.keys(&["1", "Enter"]);
    terminal.wait_for("requests 3 ");
    (0..4).for_each(|_| assert_eq!(clients[0].get("/").text(), "ok"));
    let total = process.statistics()["listeners"][0]["requests_total"].to_string();
    terminal.wait_for(&format!("requests {total} "));
    assert_eq!(total, "7");

    terminal.keys(&["q"]);
    given_back(&terminal, 0);
    assert_eq!(terminal.settings(), before);
}

fn an_instance_that_goes_is_waited_for() {
    let origin = Origin::saying("ok");
    let admin = free_address();
    let instance = || {
        let mut command = millpond();
        let origin = origin.address().to_string();
        command.args(["run", "--listen", "127.0.0.1:0", "--upstream", &origin]);
        command.env("MILLPOND_ADMIN_LISTEN", admin.to_string());
        Running::of(command)
    };
    let first = instance();
    let listener = first.address().to_string();
    let terminal = Terminal::open();
    terminal.line(&top(admin));
    terminal.wait_for(&listener);
    drop(first);
    terminal.wait_for(&format!("no answer from {admin} since "));
    assert!(terminal.screen().contains(&listener), "the last figures stay");
    let second = instance();
    terminal.wait_for(&second.address().to_string());
    terminal.wait_until("no banner", |screen| !screen.contains("no answer"));
}

fn signals_give_the_terminal_back() {
    let origin = Origin::saying("ok");
    let process = Running::start(&Setup::http([origin.address()]));
    let terminal = Terminal::open();
    let before = terminal.settings();
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        terminal.line("clear");
        terminal.line(&format!("{}; echo code=$?", top(process.admin())));
        terminal.wait_for("Listeners  1");
        assert_eq!(terminal.modes(), (true, false));
        kill_process(terminal.program(), signal).unwrap();
        given_back(&terminal, 0);
        assert_eq!(terminal.settings(), before, "{signal:?}");
    }
}

/// Without an error that nobody could read.
fn a_terminal_that_closes_ends_it() {
    let origin = Origin::saying("ok");
    let process = Running::start(&Setup::http([origin.address()]));
    let directory = TempDir::new().unwrap();
    let code = directory.path().join("code");
    let terminal = Terminal::open();
    // This shell lives on to tell how it ended.
    terminal.line(&format!("sh -c 'trap \"\" HUP; {}; echo $? >{}'", top(process.admin()), code.display()));
    terminal.wait_for("Listeners  1");
    terminal.close();
    eventually("the end of the program", || {
        std::fs::read_to_string(&code).is_ok_and(|code| code.ends_with('\n'))
    });
    assert_eq!(std::fs::read_to_string(&code).unwrap(), "0\n");
}

fn a_window_may_change_its_size() {
    let origin = Origin::saying("ok");
    let process = Running::start(&Setup::http([origin.address()]));
    let terminal = Terminal::open();
    terminal.line(&top(process.admin()));
    terminal.wait_for("Listeners  1");
    terminal.resize(79, 24);
    terminal.wait_for("millpond top needs 80x24; this window is 79x24");
    terminal.resize(120, 40);
    terminal.wait_for("RETRY/S");
}

fn without_colour_if_no_color_is_set() {
    let origin = Origin::saying("ok");
    let process = Running::start(&Setup::http([origin.address()]));
    let terminal = Terminal::open();
    for (variable, coloured) in [("NO_COLOR=", true), ("NO_COLOR=1", false)] {
        terminal.line(&format!("clear; {variable} {}", top(process.admin())));
        terminal.wait_for("Listeners  1");
        assert_eq!(has_colour(&terminal.coloured_screen()), coloured, "{variable}");
        terminal.keys(&["q"]);
        terminal.wait_until("the shell", |screen| !screen.contains("Listeners"));
    }
}

/// Whether a text has a sequence that sets the colour of what follows (ECMA-48 8.3.117: SGR 30 to 47
/// and, by common use, 90 to 107).
fn has_colour(text: &str) -> bool {
    let sequences = text.split("\u{1b}[").skip(1).filter_map(|rest| rest.split_once('m'));
    let mut codes =
        sequences.flat_map(|(codes, _)| codes.split(';')).filter_map(|code| code.parse::<u8>().ok());
    codes.any(|code| (30..=38).contains(&code) || (40..=48).contains(&code) || (90..=107).contains(&code))
}
