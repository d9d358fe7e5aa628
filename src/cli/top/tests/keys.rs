//! What keys and answers do to the state.

use super::*;
use crate::cli::top::app::Overlay;
use crate::cli::top::panes::Pane;

/// The addresses of the endpoints in their order on the screen, and the one under the cursor.
fn endpoints(app: &App) -> (Vec<String>, Option<String>) {
    let rows = app.grid(Pane::Endpoints).rows;
    let addresses: Vec<_> = rows.iter().map(|row| row.cells[1].text.clone()).collect();
    let selected = app.selected(Pane::Endpoints, &rows).map(|place| addresses[place].clone());
    (addresses, selected)
}

fn under_the_cursor(app: &App) -> String {
    endpoints(app).1.unwrap()
}

fn of(addresses: &[&str]) -> Snapshot {
    let mut snapshot = healthy();
    let endpoint = snapshot.upstreams[0].endpoints[0].clone();
    let endpoint = |address: &&str| Endpoint { address: (*address).to_owned(), ..endpoint.clone() };
    snapshot.upstreams[0].endpoints = addresses.iter().map(endpoint).collect();
    snapshot
}

#[test]
fn three_keys_end_it_and_esc_first_closes_what_is_open() {
    for keys in ["q", "Esc", "Ctrl-C", "? q", "/ Ctrl-C", "/x Enter q", "w Esc Esc", "Enter Esc Esc"] {
        let mut app = app([healthy()]);
        press(&mut app, keys);
        assert!(app.ended(), "{keys}");
    }
    for keys in ["/q", "? Esc", "Enter Esc", "/x Esc", "c", "? ?", "x"] {
        let mut app = app([healthy()]);
        press(&mut app, keys);
        assert!(!app.ended(), "{keys}");
    }
    let mut app = app([healthy()]);
    app.update(Event::End, at(1));
    assert!(app.ended());
}

#[test]
fn tables_are_chosen_by_tab_and_by_number() {
    let mut app = app([healthy()]);
    assert_eq!(app.focus, Pane::Endpoints);
    for (keys, focus) in [
        ("Tab", Pane::CloseWait),
        ("Tab", Pane::Listeners),
        ("BackTab", Pane::CloseWait),
        ("1", Pane::Listeners),
        ("2", Pane::Endpoints),
        ("3", Pane::CloseWait),
        ("? 1 Esc", Pane::CloseWait),
    ] {
        press(&mut app, keys);
        assert_eq!(app.focus, focus, "{keys}");
    }
}

#[test]
fn the_cursor_moves_and_stops_at_both_ends() {
    let names: Vec<String> = (0..30).map(|n| format!("10.0.0.{n}:1")).collect();
    let mut app = app([of(&names.iter().map(String::as_str).collect::<Vec<_>>())]);
    for (keys, place) in [
        ("Up", 0),
        ("Down j", 2),
        ("k", 1),
        ("PgDn", 11),
        ("PgUp PgUp", 0),
        ("End", 29),
        ("Down", 29),
        ("PgUp", 19),
        ("Home", 0),
    ] {
        press(&mut app, keys);
        assert_eq!(under_the_cursor(&app), names[place], "{keys}");
    }
}

#[test]
fn the_cursor_stays_with_its_row_while_the_row_is_there() {
    let mut app = app([of(&["a:1", "b:1", "c:1"])]);
    press(&mut app, "Down");
    app.update(Event::Answer(Box::new(of(&["c:1", "x:1", "a:1", "b:1"]))), at(1));
    assert_eq!(under_the_cursor(&app), "b:1");
    app.update(Event::Answer(Box::new(of(&["c:1", "x:1", "a:1"]))), at(2));
    assert_eq!(under_the_cursor(&app), "a:1", "what is now in its place, or the last");
    app.update(Event::Answer(Box::new(of(&[]))), at(3));
    assert_eq!(endpoints(&app), (vec![], None));
    press(&mut app, "Down End PgUp Enter");
    text(&app, 80, 24);
}

#[test]
fn a_cursor_that_was_not_moved_stays_at_the_top() {
    let mut app = app([of(&["a:1", "b:1"])]);
    app.update(Event::Answer(Box::new(of(&["b:1", "a:1"]))), at(1));
    assert_eq!(under_the_cursor(&app), "b:1");
    press(&mut app, "Down Home");
    app.update(Event::Answer(Box::new(of(&["a:1", "b:1"]))), at(2));
    assert_eq!(under_the_cursor(&app), "a:1");
}

#[test]
fn sorting_goes_through_the_columns_and_back() {
    let mut snapshot = of(&["a:1", "b:1", "c:1"]);
    snapshot.upstreams[0].endpoints[1].connections.idle = 99;
    let mut app = app([snapshot]);
    let order = |app: &App| endpoints(app).0.concat().replace(":1", "");
    press(&mut app, "ss r");
    assert_eq!(order(&app), "cba", "by address, reversed");
    press(&mut app, "ss");
    assert_eq!(order(&app), "bac", "by idle connections, most first");
    let columns = app.grid(Pane::Endpoints).columns.len();
    press(&mut app, &"s".repeat(columns - 3));
    assert_eq!((order(&app).as_str(), app.look(Pane::Endpoints).sort.column), ("abc", None));
    assert_eq!(app.look(Pane::Listeners).sort.column, None, "each table has its own");
}

/// The worst and the nearest end come first; none is before all that are known.
#[test]
fn levels_and_forecasts_are_sorted_by_urgency() {
    let mut snapshot = of(&["ok:1", "unknown:1", "refuse:1", "warn:1", "reuse:1"]);
    let forecasts =
        [("ok", None), ("ok", None), ("refuse", Some(0.0)), ("warn", Some(90.0)), ("reuse_only", Some(10.0))];
    for (endpoint, (level, exhausts_in_s)) in snapshot.upstreams[0].endpoints.iter_mut().zip(forecasts) {
        endpoint.ports = Some(vec![Ports { exhausts_in_s, ..ports("127.0.0.1", 9, level) }]);
    }
    snapshot.upstreams[0].endpoints[1].ports = None;
    let mut app = app([snapshot]);
    let by_urgency = ["refuse:1", "reuse:1", "warn:1", "ok:1", "unknown:1"];
    for column in ["LEVEL", "FULL IN"] {
        let columns = app.grid(Pane::Endpoints).columns;
        let place = columns.iter().position(|known| known.title == column).unwrap();
        while app.look(Pane::Endpoints).sort.column != Some(place) {
            press(&mut app, "s");
        }
        assert_eq!(endpoints(&app).0, by_urgency, "{column}");
    }
}

#[test]
fn a_filter_is_typed_kept_and_cleared() {
    let mut app = app([of(&["a:1", "b:1"])]);
    press(&mut app, "/bq Backspace");
    assert_eq!((endpoints(&app).0, app.editing), (vec!["b:1".to_owned()], true));
    press(&mut app, "Enter Tab 2");
    assert_eq!((endpoints(&app).0.len(), app.editing), (1, false));
    press(&mut app, "/ Ctrl-U");
    assert_eq!((endpoints(&app).0.len(), app.editing), (2, true));
    press(&mut app, "b Esc");
    assert_eq!((endpoints(&app).0.len(), app.editing, app.ended()), (2, false, false));
    press(&mut app, "/nothing Enter");
    assert!(text(&app, 80, 24).contains("no row has that text"));
}

#[test]
fn the_interval_goes_by_steps_between_its_ends() {
    let mut app = app([healthy()]);
    let mut seen = |keys: &str| {
        press(&mut app, keys);
        app.interval.as_millis()
    };
    assert_eq!([seen("+"), seen("+"), seen("-"), seen("---------")], [2_000, 5_000, 2_000, 250]);
    assert_eq!([seen("++++++++++"), seen("-")], [60_000, 30_000]);
    app.interval = Duration::from_millis(700);
    press(&mut app, "+");
    assert_eq!(app.interval, Duration::from_secs(1), "from where it was to the next step");
}

#[test]
fn paused_nothing_moves_and_no_rate_is_over_the_pause() {
    let mut app = app([healthy(), a_second_later(healthy())]);
    press(&mut app, "p");
    let frozen = text(&app, 80, 24);
    assert!(frozen.contains("PAUSED") && frozen.contains("1,234"), "{frozen}");
    app.update(Event::Answer(Box::new(in_trouble())), at(3));
    app.update(Event::Silence("refused".into()), at(3));
    assert_eq!(text(&app, 80, 24), frozen);
    press(&mut app, "Space");
    let after = Snapshot { uptime_s: 9_000.0, ..a_second_later(a_second_later(healthy())) };
    app.update(Event::Answer(Box::new(after.clone())), at(90));
    assert_eq!(app.rates.requests(), None);
    app.update(Event::Answer(Box::new(a_second_later(after))), at(91));
    assert_eq!(app.rates.requests(), Some(1_237.0));
}

/// It may be another process that answers again: it counts from 0, and may be older than the last
/// answer of the first.
#[test]
fn it_goes_on_when_the_instance_is_back() {
    let mut app = app([healthy(), a_second_later(healthy())]);
    app.update(Event::Silence("refused".into()), at(2));
    app.update(Event::Silence("still refused".into()), at(3));
    let lost = app.lost.clone().unwrap();
    assert_eq!((lost.since, lost.why.as_str()), (at(1), "still refused"));
    let back = Snapshot { uptime_s: 7_400.0, ..a_second_later(healthy()) };
    app.update(Event::Answer(Box::new(back.clone())), at(4));
    assert!(app.lost.is_none());
    assert_eq!(app.rates.requests(), None, "the first answer is compared with nothing");
    app.update(Event::Answer(Box::new(a_second_later(back))), at(5));
    assert_eq!(app.rates.requests(), Some(1_237.0));
}

#[test]
fn overlays_replace_each_other() {
    let mut app = app([healthy()]);
    for (keys, overlay) in
        [("h", Some(Overlay::Help)), ("w", Some(Overlay::Alarms)), ("w", None), ("? Esc", None)]
    {
        press(&mut app, keys);
        assert_eq!(app.overlay, overlay, "{keys}");
    }
}
