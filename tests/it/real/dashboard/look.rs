//! What it is like to use without a mouse, or in the dark.

use super::Browser;
use super::fixture::{Stub, calm};
use libtest_mimic::Trial;
use serde_json::{Value, json};

pub(super) fn tests() -> Vec<Trial> {
    crate::trials![
        the_keyboard_reaches_everything_in_order,
        it_can_be_paused,
        every_text_stands_out_in_both_schemes,
        its_structure_is_told_to_screen_readers,
    ]
}

const TAB: char = '\u{e004}';
const ENTER: char = '\u{e007}';

/// With something in every part of the page.
fn troubled() -> Value {
    let mut snapshot = calm(3);
    snapshot["upstreams"][0]["endpoints"][1]["health"] = json!("down");
    snapshot["upstreams"][0]["endpoints"][2]["ports"][0]["level"] = json!("reuse_only");
    snapshot["upstreams"][0]["endpoints"][2]["connections"]["waiting"] = json!(3);
    snapshot["listeners"][0]["tcp_states"]["close_wait"] = json!(2);
    snapshot["close_wait"] = json!({ "count": 2, "oldest_s": 100.0, "reaped_total": 0, "sockets": [{
        "side": "client", "name": "web", "local": "192.0.2.200:8080", "peer": "198.51.100.7:51000",
        "phase": null, "age_s": 100.0
    }] });
    snapshot["notes"] = json!(["something could not be read"]);
    snapshot
}

fn the_keyboard_reaches_everything_in_order() {
    let stub = Stub::start(troubled());
    let browser = Browser::start();
    stub.open(&browser);
    browser.wait_for("document.querySelectorAll('#attention-list li').length === 4");
    let mut reached = Vec::new();
    for _ in 0..60 {
        browser.press(TAB);
        let focus = browser.run(
            "const it = document.activeElement; if (it === document.body) return null; \
             const style = getComputedStyle(it); \
             const name = it.id || it.getAttribute('aria-label') || it.getAttribute('aria-labelledby') || it.innerText; \
             return [name, style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2]",
        );
        let Some(focus) = focus.as_array() else { break };
        let name = focus[0].as_str().expect("a name").to_owned();
        assert_eq!(focus[1], true, "the focus shows on {name}");
        reached.push(name);
    }
    let place = |name: &str| {
        let found = reached.iter().position(|reached| reached.starts_with(name));
        found.unwrap_or_else(|| panic!("{name} is not reached: {reached:?}"))
    };
    assert_eq!(place("Skip to what needs attention"), 0);
    let order = [
        "pause",
        "Show: Source ports",
        "TCP states",
        "subject",
        "Drawing",
        "Table of the TCP",
        "listeners-title",
        "web",
        "filter",
        "order",
        "endpoints-title",
        "192.0.2.1:3000",
        "port-scroll",
        "close-wait-scroll",
        "/stats",
    ];
    let places: Vec<usize> = order.iter().map(|name| place(name)).collect();
    assert!(places.is_sorted(), "{reached:?}");
}

fn it_can_be_paused() {
    let stub = Stub::start(calm(1));
    let browser = Browser::start();
    stub.open(&browser);
    browser.run("document.getElementById('pause').focus()");
    browser.press(ENTER);
    browser.wait_for_text("#banner-text", |text| text.starts_with("Paused. All figures are of "));
    let then = browser.text("#updated");
    stub.say(|snapshot| snapshot["listeners"][0]["sessions"]["current"] = json!(77));
    browser.wait_for("parseInt(document.getElementById('banner-since').textContent.match(/\\d+/)) >= 3");
    assert_eq!((browser.text("#updated"), browser.text(&super::tile("Sessions"))), (then, "0".to_owned()));
    assert_eq!(browser.run("return document.getElementById('pause').getAttribute('aria-pressed')"), "true");
    browser.press(ENTER);
    browser.wait_for_text(&super::tile("Sessions"), |text| text == "77");
    assert_eq!(browser.text("#banner"), "");
}

/// The contrast of every text with what is behind it (WCAG 2.2, 1.4.3: 4.5 to 1), worst first.
const CONTRASTS: &str = "
    const channels = (color) => color.match(/[\\d.]+/g).map(Number);
    const luminance = ([r, g, b]) => [r, g, b]
        .map(c => c / 255).map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
        .reduce((sum, c, at) => sum + c * [0.2126, 0.7152, 0.0722][at], 0);
    const behind = (element) => {
        for (let one = element; one; one = one.parentElement) {
            const color = channels(getComputedStyle(one).backgroundColor);
            if (color.length === 3 || color[3] > 0.99) return color;
        }
        return [255, 255, 255];
    };
    const texts = [...document.querySelectorAll('body *')].filter(one => !one.closest('svg, .unseen, .skip, dialog')
        && [...one.childNodes].some(node => node.nodeType === 3 && node.data.trim())
        && one.checkVisibility());
    return texts.map(one => {
        const [text, ground] = [channels(getComputedStyle(one).color), behind(one)].map(luminance);
        const contrast = (Math.max(text, ground) + 0.05) / (Math.min(text, ground) + 0.05);
        return [contrast, one.className, one.textContent.slice(0, 40)];
    }).sort((one, other) => one[0] - other[0])";

fn every_text_stands_out_in_both_schemes() {
    let stub = Stub::start(troubled());
    let browser = Browser::start();
    stub.open(&browser);
    let mut grounds = Vec::new();
    for scheme in ["light", "dark"] {
        browser.prefer(scheme);
        let contrasts = browser.run(CONTRASTS);
        let contrasts = contrasts.as_array().expect("a list");
        assert!(contrasts.len() > 100, "{} texts", contrasts.len());
        let worst = &contrasts[0];
        assert!(worst[0].as_f64().is_some_and(|contrast| contrast >= 4.5), "{scheme}: {worst}");
        grounds.push(browser.run("return getComputedStyle(document.body).backgroundColor"));
    }
    assert_ne!(grounds[0], grounds[1]);
}

fn its_structure_is_told_to_screen_readers() {
    let stub = Stub::start(troubled());
    let browser = Browser::start();
    stub.open(&browser);
    browser.wait_for("document.querySelectorAll('#endpoint-table tbody tr').length === 4");
    let none = |what: &str, expression: &str| {
        assert_eq!(browser.run(&format!("return {expression}")), json!([]), "{what}");
    };
    none(
        "ids that stand twice",
        "[...document.querySelectorAll('[id]')].map(e => e.id).filter((id, at, all) => all.indexOf(id) !== at)",
    );
    none(
        "references to nothing",
        "[...document.querySelectorAll('[aria-labelledby]')].flatMap(e => e.getAttribute('aria-labelledby').split(' ')).filter(id => !document.getElementById(id))",
    );
    none(
        "links to nothing",
        "[...document.querySelectorAll('a[href^=\"#\"]')].filter(a => !document.querySelector(a.hash)).map(a => a.hash)",
    );
    none(
        "controls without a name",
        "[...document.querySelectorAll('select, input')].filter(e => !e.labels.length).map(e => e.id)",
    );
    none(
        "buttons without a name",
        "[...document.querySelectorAll('button, a')].filter(e => !e.textContent.trim()).map(e => e.outerHTML)",
    );
    none(
        "drawings without a name",
        "[...document.querySelectorAll('svg')].filter(e => e.getAttribute('role') !== 'img' || !(e.getAttribute('aria-label') || e.getAttribute('aria-labelledby'))).map(e => e.outerHTML)",
    );
    none(
        "heads without a scope",
        "[...document.querySelectorAll('th')].filter(e => !e.scope).map(e => e.outerHTML)",
    );
    none(
        "rows without a head",
        "[...document.querySelectorAll('tbody tr')].filter(e => !e.querySelector('th')).map(e => e.outerHTML)",
    );
    none(
        "sections without a name",
        "[...document.querySelectorAll('section')].filter(e => !e.getAttribute('aria-labelledby')).map(e => e.outerHTML)",
    );
    let levels = browser
        .run("return [...document.querySelectorAll('main h2, main h3, h1')].map(e => Number(e.tagName[1]))");
    let levels: Vec<i64> = levels.as_array().unwrap().iter().filter_map(Value::as_i64).collect();
    assert_eq!(levels[0], 1);
    assert!(levels.windows(2).all(|pair| pair[1] <= pair[0] + 1), "{levels:?}");
    assert_eq!(browser.run("return document.documentElement.lang"), "en");
    assert_eq!(browser.run("return document.documentElement.scrollWidth <= innerWidth"), true);
}
