//! Whole screens, compared with the files in `snapshots/`. After a change that is meant, write them
//! anew with `MILLPOND_BLESS=1 cargo test --lib cli::top`, and read the difference.

use super::*;
use std::path::Path;

#[track_caller]
fn picture(name: &str, app: &App, (width, height): (u16, u16)) -> String {
    let seen = text(app, width, height);
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cli/top/snapshots");
    let file = directory.join(format!("{name}-{width}x{height}.txt"));
    if std::env::var_os("MILLPOND_BLESS").is_some() {
        std::fs::write(&file, &seen).unwrap();
    }
    let expected = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(seen == expected, "{} has\n{expected}\nand on the screen is\n{seen}", file.display());
    seen
}

const SMALL: (u16, u16) = (80, 24);
const LARGE: (u16, u16) = (120, 40);

#[test]
fn a_healthy_instance() {
    let mut app = app([healthy(), a_second_later(healthy())]);
    let small = picture("healthy", &app, SMALL);
    for words in ["1,234", "OK  nothing to warn of", "1,041 of 20,000", "up 2h 3m", "99.8%"] {
        assert!(small.contains(words), "{words}: {small}");
    }
    press(&mut app, "Enter");
    let large = picture("healthy-details", &app, LARGE);
    for words in ["28,229/28,232", "the default", "░░░░░░", "reused one 2,232", "idle_timeout 1"]
    {
        assert!(large.contains(words), "{words}: {large}");
    }
    assert_eq!(small.lines().chain(large.lines()).filter(|line| line.contains("WARNING")).count(), 0);
}

#[test]
fn an_instance_in_trouble() {
    let mut app = app([in_trouble(), in_trouble_later()]);
    let small = picture("trouble", &app, SMALL);
    assert!(small.contains("CRITICAL") && small.contains("more (w: all of them)"), "{small}");
    let large = picture("trouble", &app, LARGE);
    for words in ["refuse", "down", "no owner", "1,025/1,025/1,024", "3m 20s", "pool_queue_full", "24,000"] {
        assert!(large.contains(words), "{words}: {large}");
    }
    press(&mut app, "w");
    let all = picture("trouble-warnings", &app, SMALL);
    for words in [
        "app 127.0.0.1:3001 is down",
        "ports at refuse, 85.8% taken from 192.0.2.2,",
        "the accept queue is full (1,025 of 1,024)",
        "the accept queue is nearly full (800 of 1,024)",
        "3 in CLOSE_WAIT, the oldest for 3m 20s; 1 without an owner",
        "CRITICAL  conntrack: 250,000 of 262,144 taken",
        "44.0 rejects/s, most of them pool_queue_full",
    ] {
        assert!(all.contains(words), "{words}: {all}");
    }
}

#[test]
fn details_of_each_table() {
    let mut app = app([in_trouble(), in_trouble_later()]);
    press(&mut app, "Enter");
    let endpoint = picture("details-endpoint", &app, SMALL);
    assert!(endpoint.contains("4s (the default)") && endpoint.contains("idle_timeout 1"), "{endpoint}");
    assert!(endpoint.contains("192.0.2.2 refuse   free 4,000 of 28,232   none left now"), "{endpoint}");
    press(&mut app, "1");
    let listener = picture("details-listener", &app, SMALL);
    assert!(
        listener.contains("client_fin 80   graceful 7") && listener.contains("syn_recv 90"),
        "{listener}"
    );
    press(&mut app, "3 Down");
    let socket = picture("details-socket", &app, SMALL);
    assert!(socket.contains("nobody: its owner has forgotten it"), "{socket}");
}

#[test]
fn what_is_not_measured_is_a_dash() {
    let mut app = app([unmeasured(), a_second_later(unmeasured())]);
    let seen = picture("unmeasured", &app, LARGE);
    assert!(seen.contains("-/-/1,024") && seen.contains("not known; w says why"), "{seen}");
    assert!(seen.contains("descriptors - of 20,000") && seen.contains("memory -"), "{seen}");
    press(&mut app, "w");
    assert!(text(&app, 80, 24).contains("sock_diag: Operation not permitted"));
    press(&mut app, "w");
    let close_wait = |count| CloseWait { count, oldest_s: Some(1.0), reaped_total: 0, sockets: Vec::new() };
    for (count, says) in [
        (None, "not known; w says why"),
        (Some(9), "9, the oldest for 1s, 0 listed, reaped so far 0\n not listed"),
    ] {
        app.snapshot.close_wait = Some(close_wait(count));
        assert!(text(&app, 80, 24).contains(says), "{says}");
    }
}

#[test]
fn the_connection_is_lost() {
    let mut app = app([healthy(), a_second_later(healthy())]);
    app.update(Event::Silence("Connection refused".into()), at(2));
    app.update(Event::Tick, at(13));
    let seen = picture("lost", &app, SMALL);
    let banner = seen.lines().next().unwrap();
    assert!(
        banner.contains("no answer from 127.0.0.1:9900 since 14:13:21 UTC (12s), trying again"),
        "{banner}"
    );
    assert!(seen.contains("1,234"), "the last figures stay: {seen}");
}

#[test]
fn the_help() {
    let mut app = app([healthy()]);
    press(&mut app, "?");
    let seen = picture("help", &app, SMALL);
    assert!(seen.contains("no dialling") && !seen.contains("taller"), "all of it is to be seen: {seen}");
}

#[test]
fn filtered_and_sorted() {
    let mut app = app([in_trouble(), in_trouble_later()]);
    press(&mut app, "/127.0 Enter ssssssssss r");
    let seen = picture("filtered", &app, SMALL);
    assert!(seen.contains("2 of 3, with \"127.0\", by RETRY/S reversed"), "{seen}");
    assert!(!seen.contains("192.0.2.30:3000 "), "{seen}");
    press(&mut app, "/ Backspace Backspace");
    assert!(text(&app, 80, 24).ends_with("/127_   Enter keeps the filter, Esc clears it\n"));
}

#[test]
fn more_rows_than_there_is_room_for() {
    let mut snapshot = healthy();
    let endpoint = snapshot.upstreams[0].endpoints[0].clone();
    snapshot.upstreams[0].endpoints =
        (0..50).map(|n| Endpoint { address: format!("10.0.0.{n}:3000"), ..endpoint.clone() }).collect();
    let mut app = app([snapshot]);
    press(&mut app, "PgDn PgDn");
    let seen = picture("many", &app, SMALL);
    assert!(seen.contains(">app      10.0.0.20:3000"), "{seen}");
}

#[test]
fn a_window_that_is_too_small_says_so() {
    let app = app([healthy()]);
    for size in [(79, 24), (80, 23), (10, 1), (1, 1)] {
        let seen = text(&app, size.0, size.1);
        assert!(size.0 < 70 || seen.starts_with("millpond top needs 80x24; this window is "), "{seen}");
        assert_eq!(seen.lines().count(), usize::from(size.1));
    }
    text(&app, 500, 200);
}
