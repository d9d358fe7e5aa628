//! Colours, and that nothing depends on them; that no text of the instance's drives the terminal.

use super::*;
use crate::cli::top::clean;
use ratatui::style::{Color, Modifier};

/// The cells of the first place where this text stands.
#[track_caller]
fn cells(buffer: &Buffer, text: &str) -> Vec<ratatui::buffer::Cell> {
    let width = buffer.area.width;
    let rows =
        (0..buffer.area.height).map(|y| (0..width).map(|x| buffer[(x, y)].clone()).collect::<Vec<_>>());
    for row in rows {
        for start in 0..row.len() {
            let end = (start + text.chars().count()).min(row.len());
            if row[start..end].iter().map(|cell| cell.symbol()).collect::<String>() == text {
                return row[start..end].to_vec();
            }
        }
    }
    panic!("{text} is not on the screen");
}

#[test]
fn what_is_urgent_is_red_and_what_is_fine_is_green() {
    let buffer = drawn(&app([in_trouble(), in_trouble_later()]), 120, 40);
    for (text, colour) in [
        ("CRITICAL", Color::Red),
        ("refuse", Color::Red),
        ("down", Color::Red),
        ("no owner", Color::Red),
        ("1,025/1,025/1,024", Color::Red),
        ("800/901/1,024", Color::Yellow),
        ("250,000 of 262,144", Color::Red),
    ] {
        assert!(cells(&buffer, text).iter().all(|cell| cell.fg == colour), "{text}");
    }
    let buffer = drawn(&app([healthy()]), 80, 24);
    assert!(cells(&buffer, "OK  nothing to warn of").iter().all(|cell| cell.fg == Color::Green));
}

#[test]
fn without_colours_there_is_none() {
    let mut app = app([in_trouble(), in_trouble_later()]);
    app.theme = Theme::new(false);
    let has_colour = |buffer: &Buffer| {
        buffer.content.iter().any(|cell| (cell.fg, cell.bg) != (Color::Reset, Color::Reset))
    };
    assert!(!has_colour(&drawn(&app, 120, 40)));
    app.update(Event::Silence("refused".into()), at(3));
    for keys in ["Enter", "?", "w"] {
        press(&mut app, keys);
        assert!(!has_colour(&drawn(&app, 120, 40)), "{keys}");
    }
    assert!(
        cells(&drawn(&self::app([in_trouble()]), 120, 40), "CRITICAL")[0].modifier.contains(Modifier::BOLD)
    );
}

#[test]
fn what_is_no_longer_of_now_is_grey_under_a_banner_that_is_not() {
    let mut app = app([in_trouble(), in_trouble_later()]);
    app.update(Event::Silence("no route".into()), at(3));
    let buffer = drawn(&app, 80, 24);
    let grey = cells(&buffer, "refuse")[0].fg;
    for text in ["CRITICAL", "millpond 1.2.3", "127.0.0.1:8080"] {
        let cells = cells(&buffer, text);
        assert!(
            cells.iter().all(|cell| cell.fg == grey && !cell.modifier.contains(Modifier::BOLD)),
            "{text}"
        );
    }
    assert_eq!(cells(&buffer, " no answer from")[0].fg, Color::Red);
    app.update(Event::Answer(Box::new(healthy())), at(4));
    assert!(cells(&drawn(&app, 80, 24), "OK  ")[0].fg == Color::Green);
}

/// The JSON of an instance that means harm: every string and key of it has an escape sequence.
#[test]
fn no_text_of_the_instances_drives_the_terminal() {
    fn spoilt(value: serde_json::Value) -> serde_json::Value {
        use serde_json::Value;
        match value {
            Value::String(text) => Value::String(format!("\u{1b}[31m{text}\n\u{202e}\u{9b}2J")),
            Value::Array(values) => values.into_iter().map(spoilt).collect(),
            Value::Object(fields) => {
                let known = |key: &str| serde_json::to_string(&in_trouble()).unwrap().contains(key);
                assert!(fields.keys().all(|key| known(key)));
                fields.into_iter().map(|(key, value)| (key, spoilt(value))).collect()
            }
            other => other,
        }
    }
    let value = clean::json(spoilt(serde_json::to_value(in_trouble()).unwrap()));
    let snapshot: Snapshot = serde_json::from_value(value).unwrap();
    let mut app = app([snapshot]);
    app.update(Event::Silence("\u{1b}]0;owned\u{7}".into()), at(1));
    for keys in ["Enter", "1", "3", "w"] {
        press(&mut app, keys);
        let seen = text(&app, 120, 40);
        let bad = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
        assert!(!seen.contains(bad), "{seen:?}");
        assert!(seen.contains("?[31m"), "{seen}");
        assert!(keys == "w" || seen.contains("?]0;owned?"), "{seen}");
    }
}
