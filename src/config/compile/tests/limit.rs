//! `[listener.limit]`

use super::{SOUND, loaded, one};
use crate::config::diagnostic::Severity;
use crate::config::model::{ListenerLimit, Period, Rate};

fn text(lines: &str) -> String {
    SOUND.replace("\n\n", &format!("\n{lines}\n\n"))
}

fn limit(lines: &str) -> ListenerLimit {
    let loaded = loaded(&text(lines));
    assert_eq!(loaded.warnings, [], "{lines}");
    loaded.config.listeners[0].limit.clone()
}

#[test]
fn a_burst_is_what_the_rate_allows_in_its_period_unless_it_is_written() {
    let rate = |count, period, burst| Some(Rate { count, period, burst });
    let limits =
        limit("limit.request_rate_per_client = \"600/m\"\nlimit.connection_rate_per_client = \"5 / s\"");
    assert_eq!(limits.request_rate, rate(600, Period::Minute, 600));
    assert_eq!(limits.connection_rate, rate(5, Period::Second, 5));
    let limits = limit("limit.request_rate_per_client = \"1/h\"\nlimit.request_burst = 7");
    assert_eq!((limits.request_rate, limits.connection_rate), (rate(1, Period::Hour, 7), None));
    let off = limit("limit.request_rate_per_client = \"off\"\nlimit.request_burst = \"auto\"");
    assert_eq!(off.request_rate, None);
}

#[test]
fn what_has_no_effect_is_said() {
    let warned = |lines: &str, start: &str, fix: &str| one(Severity::Warning, &text(lines), start, fix);
    warned(
        "limit.request_burst = 5",
        ":5: listener.web.limit.request_burst: it has no effect without request_rate_per_client",
        "request_rate_per_client = \"100/s\"",
    );
    warned(
        "limit.exempt_clients = [\"192.0.2.0/24\"]",
        ":5: listener.web.limit.exempt_clients: there is no limit a client",
        "connections_per_client",
    );
    warned(
        "protocol = \"tcp\"\nlimit.request_rate_per_client = \"1/s\"",
        ":6: listener.web.limit.request_rate_per_client: it has no effect on a tcp listener",
        "remove it",
    );
    limit("limit.connections_per_client = 5\nlimit.exempt_clients = [\"192.0.2.0/24\", \"2001:db8::1\"]");
}

#[test]
fn a_network_that_is_none_is_named_with_its_place() {
    let lines = "limit.connections_per_client = 5\nlimit.exempt_clients = [\"::1\", \"10.0.0.0/33\"]";
    let start =
        ":6: listener.web.limit.exempt_clients[1]: \"10.0.0.0/33\" is neither an address nor a network";
    one(Severity::Error, &text(lines), start, "192.0.2.0/24");
}
