use super::*;

fn parse(query: &str) -> Query {
    Query::parse(query).unwrap_or_else(|wrong| panic!("{query}: {wrong}"))
}

fn wrong(query: &str) -> String {
    Query::parse(query).expect_err(query).to_string()
}

#[test]
fn nothing_asked_is_everything_up_to_a_limit() {
    assert_eq!(parse(""), Query::default());
    assert_eq!(parse("state=&listener=&upstream=&older_than=&limit="), Query::default());
    assert_eq!((Query::default().limit, Query::default().sort), (1000, Sort::Age));
}

#[test]
fn every_key_is_read() {
    let query = parse(
        "state=close-wait&listener=web&upstream=app&endpoint=127.0.0.1%3A3000&side=upstream&phase=idle\
         &older_than=1m%2030s&sort=rtt&limit=5",
    );
    let expected = Query {
        states: Some(TcpStates::of(&[TcpState::CloseWait])),
        side: Some(Peer::Endpoint),
        listener: Some("web".into()),
        upstream: Some("app".into()),
        endpoint: Target::parse("127.0.0.1:3000"),
        phase: Some(Some("idle")),
        older_than: Some(Duration::from_secs(90)),
        sort: Sort::Rtt,
        limit: 5,
    };
    assert_eq!(query, expected);
}

#[test]
fn a_state_is_written_in_whatever_way() {
    let of = |text: &str| parse(&format!("state={text}")).states.unwrap();
    for text in ["close-wait", "close_wait", "CLOSE_WAIT", "CloseWait", "CLOSE-WAIT", "close-wait,close-wait"]
    {
        assert_eq!(of(text), TcpStates::of(&[TcpState::CloseWait]), "{text}");
    }
    for text in ["FIN-WAIT-1", "fin_wait1", "FIN_WAIT_1"] {
        assert_eq!(of(text), TcpStates::of(&[TcpState::FinWait1]), "{text}");
    }
    assert_eq!(of("ESTAB"), of("established"));
    assert_eq!(of("time-wait, syn-recv"), of("bucket"));
    assert_eq!(of("all"), TcpStates::of(&TcpState::CONNECTION));
    assert_eq!(of("bucket,big"), of("all"));
    assert_eq!(of("synchronized,syn_sent"), of("all"));
    assert!(!of("synchronized").contains(TcpState::SynSent) && !of("big").contains(TcpState::TimeWait));
}

#[test]
fn an_address_has_a_port_or_none() {
    let is = |text: &str, address: &str| Target::parse(text).unwrap().is(address.parse().unwrap());
    assert!(is("10.0.0.1:3000", "10.0.0.1:3000") && is("10.0.0.1", "10.0.0.1:3000"));
    assert!(!is("10.0.0.1:3000", "10.0.0.1:3001") && !is("10.0.0.1", "10.0.0.2:3000"));
    assert!(is("[::1]:3000", "[::1]:3000") && is("::1", "[::1]:3000") && is("[::1]", "[::1]:3000"));
    assert!(is("10.0.0.1", "[::ffff:10.0.0.1]:3000"));
    assert_eq!(Target::parse("app"), None);
    assert_eq!(parse("phase=none").phase, Some(None));
}

#[test]
fn what_is_wrong_is_said_with_what_to_write() {
    for (query, text) in [
        ("stat=close-wait", "query: \"stat\" is not known; did you mean state?"),
        ("older-than=10s", "query: \"older-than\" is not known; did you mean older_than?"),
        (
            "colour=red",
            "write one of state, listener, upstream, endpoint, side, phase, older_than, sort, limit",
        ),
        ("state=close_wiat", "state: \"close_wiat\" is not known; did you mean close_wait?"),
        ("state=listen", "state: \"listen\" is not known"),
        ("state=close-wait,", "state: \"\" is not known; write one of established, syn_sent,"),
        ("state=a&state=b", "state: \"a\" is not known"),
        ("state=all&state=all", "state is given twice; write it once"),
        ("older_than=10", "older_than: \"10\" is not a time; write a number and a unit, such as 10s"),
        ("older_than=soon", "older_than: \"soon\" is not a time; write a number and a unit, such as 10s"),
        ("limit=-1", "limit: \"-1\" will not do; write a whole number from 0 to 100000"),
        ("limit=100001", "from 0 to 100000"),
        ("side=server", "side: \"server\" is not known; write one of client, upstream"),
        ("phase=tunel", "phase: \"tunel\" is not known; did you mean tunnel?"),
        ("sort=agee", "sort: \"agee\" is not known; did you mean age?"),
        ("endpoint=app", "endpoint: \"app\" is not an address; write one such as 192.0.2.1:3000"),
        ("side=%1b%5B2J", "side: \"\\u{1b}[2J\" is not known"),
    ] {
        assert!(wrong(query).contains(text), "{query}: {}", wrong(query));
    }
    assert!(wrong(&format!("side={}", "x".repeat(5000))).len() < 200);
}
