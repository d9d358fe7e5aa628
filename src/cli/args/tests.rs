use super::*;
use clap::CommandFactory;
use clap::error::ErrorKind;

fn parse(line: &str) -> Result<Command, clap::Error> {
    Args::try_parse_from(line.split(' ')).map(|args| args.command)
}

#[test]
fn the_definition_is_sound_and_every_command_has_an_example() {
    Args::command().debug_assert();
    for command in Args::command().get_subcommands() {
        assert!(command.get_about().is_some());
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        assert!(help.contains(&format!("millpond {}", command.get_name())), "{help}");
    }
}

#[test]
fn run_takes_a_file_or_addresses_but_not_both_or_neither() {
    let Ok(Command::Run(run)) =
        parse("millpond run --listen 127.0.0.1:1 --upstream 10.0.0.1:2,[::1]:3,app.svc:4 --tcp")
    else {
        panic!("refused")
    };
    assert_eq!((run.upstream.len(), run.tcp, run.config), (3, true, None));
    assert!(matches!(parse("millpond run -c x.toml"), Ok(Command::Run(_))));
    for bad in [
        "millpond run",
        "millpond run --listen 127.0.0.1:1",
        "millpond run --upstream 127.0.0.1:1",
        "millpond run -c x.toml --tcp",
        "millpond run -c x.toml --listen 127.0.0.1:1 --upstream 127.0.0.1:2",
        "millpond run --listen 8080 --upstream 127.0.0.1:2",
        "millpond run --listen 127.0.0.1:1 --upstream 8080",
        "millpond run --listen 127.0.0.1:1 --upstream app.svc",
        "millpond check",
        "millpond doctor x.toml",
        "millpond nonsense",
    ] {
        assert_eq!(parse(bad).unwrap_err().exit_code(), 2, "{bad}");
    }
    assert_eq!(parse("millpond --help").unwrap_err().kind(), ErrorKind::DisplayHelp);
}

#[test]
fn an_interval_is_neither_a_flood_nor_for_ever() {
    let interval = |text: &str| match parse(&format!("millpond top --interval {text}")) {
        Ok(Command::Top(top)) => Some(top.interval.as_millis()),
        _ => None,
    };
    assert_eq!(["100ms", "1s", "1h"].map(interval), [Some(100), Some(1_000), Some(3_600_000)]);
    assert_eq!(["0s", "99ms", "2h", "1", "soon"].map(interval), [None; 5]);
    assert!(matches!(parse("millpond top"), Ok(Command::Top(top)) if top.interval.as_secs() == 1));
}

#[test]
fn a_plan_takes_plain_numbers_and_says_what_to_write() {
    let Ok(Command::Plan(plan)) = parse("millpond plan --rate 2000 --reuse 98.5% --time-wait 0.5") else {
        panic!("refused")
    };
    assert_eq!((plan.rate, plan.backends, plan.source_addresses, plan.ports), (2000, 1, 1, None));
    assert_eq!((plan.reuse, plan.time_wait), (Percent(98_500), Some(Duration::from_millis(500))));
    for (bad, fix) in [
        ("", "--rate <R>"),
        ("--rate 0", "write a whole number from 1"),
        ("--rate many", "write a whole number from 1"),
        ("--rate 1 --backends 0", "write a whole number from 1"),
        ("--rate 1 --source-addresses -1", "write a whole number from 1"),
        ("--rate 1 --ports 0", "write a whole number from 1"),
        ("--rate 1 --time-wait 0", "write seconds"),
        ("--rate 1 --time-wait 2h", "write seconds"),
        ("--rate 1 --time-wait nan", "write seconds"),
        ("--rate 1 --reuse 101", "write a percentage from 0 to 100"),
    ] {
        let error = parse(format!("millpond plan {bad}").trim_end()).unwrap_err();
        assert_eq!(error.exit_code(), 2, "{bad}");
        assert!(error.to_string().contains(fix), "{bad}: {error}");
    }
    assert!(matches!(parse("millpond plan --rate 1 --time-wait 4m"), Ok(Command::Plan(_))));
}

#[test]
fn a_drain_waits_if_told_to_and_health_asks_for_one_thing() {
    assert!(matches!(parse("millpond drain"), Ok(Command::Drain(drain)) if !drain.wait));
    let Ok(Command::Drain(drain)) = parse("millpond drain --wait --admin [::1]:1 --token-file t") else {
        panic!("refused")
    };
    assert_eq!((drain.wait, drain.instance.admin.to_string().as_str()), (true, "[::1]:1"));
    assert!(matches!(parse("millpond health"), Ok(Command::Health(health)) if !health.live));
    assert!(matches!(parse("millpond health --live"), Ok(Command::Health(health)) if health.live));
    assert!(parse("millpond health --token-file t").is_err(), "probes need none");
}

#[test]
fn connections_are_asked_for_in_words_that_are_known() {
    let Ok(Command::Conns(conns)) =
        parse("millpond conns --state CLOSE-WAIT,estab --older-than 10s --sort state-age --limit 0")
    else {
        panic!("refused")
    };
    assert_eq!((conns.state.as_deref(), conns.json), (Some("CLOSE-WAIT,estab"), false));
    for (bad, fix) in [
        ("--state close_wiat", "did you mean close_wait?"),
        ("--older-than 10", "such as 10s"),
        ("--endpoint app", "write one such as 192.0.2.1:3000"),
        ("--side clients", "did you mean client?"),
        ("--phase idel", "did you mean idle?"),
        ("--sort size", "write one of age, idle, state_age, bytes, rtt"),
        ("--limit 100001", "from 0 to 100000"),
    ] {
        let error = parse(&format!("millpond conns {bad}")).unwrap_err();
        assert_eq!(error.exit_code(), 2, "{bad}");
        assert!(error.to_string().contains(fix), "{bad}: {error}");
    }
}

#[test]
fn the_admin_address_is_tcp_or_unix() {
    let admin = |line| match parse(line) {
        Ok(Command::Stats(stats)) => stats.instance.admin,
        other => panic!("{other:?}"),
    };
    assert_eq!(admin("millpond stats"), AdminTarget::Tcp("127.0.0.1:9900".into()));
    assert_eq!(admin("millpond stats --admin "), AdminTarget::Tcp("127.0.0.1:9900".into()), "empty");
    assert_eq!(admin("millpond stats --admin localhost:1"), AdminTarget::Tcp("localhost:1".into()));
    let unix = admin("millpond stats --admin unix:/run/a.sock");
    assert_eq!(
        (unix.to_string().as_str(), &unix),
        ("unix:/run/a.sock", &AdminTarget::Unix("/run/a.sock".into()))
    );
}
