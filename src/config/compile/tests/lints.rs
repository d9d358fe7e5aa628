//! Deadlines that are longer than those of the others.

use super::{SOUND, loaded, one};
use crate::config::diagnostic::Severity;

#[test]
fn a_half_closed_connection_is_over_before_a_firewall_forgets_it() {
    let upstream = |time: &str| format!("{SOUND}timeout.half_close = \"{time}\"\n");
    let listener = |time: &str| SOUND.replace("\n\n", &format!("\ntimeout.half_close = \"{time}\"\n\n"));
    for text in [upstream("59s"), listener("59s")] {
        assert_eq!(loaded(&text).warnings, []);
    }
    let start = "timeout.half_close: a firewall that tracks connections forgets a half-closed one after 1m";
    let fix = "write less than \"1m\"";
    one(Severity::Warning, &upstream("60s"), &format!(":9: upstream.app.{start}"), fix);
    one(Severity::Warning, &listener("1h"), &format!(":5: listener.web.{start}"), fix);
}

#[test]
fn a_pool_is_no_more_patient_than_servers_are() {
    let text = |time: &str| format!("{SOUND}pool.idle_timeout = \"{time}\"\n");
    assert_eq!(loaded(&text("60s")).warnings, []);
    let start = ":9: upstream.app.pool.idle_timeout: most servers close idle connections before";
    one(Severity::Warning, &text("61s"), start, "write \"auto\"");
    let tcp = text("61s").replace("name = \"web\"", "name = \"web\"\nprotocol = \"tcp\"");
    assert_eq!(loaded(&tcp).warnings, [], "connections of tunnels are not used again");
}
