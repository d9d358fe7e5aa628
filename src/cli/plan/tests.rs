use super::*;
use serde_json::{Value, json};

fn args(rate: u32) -> PlanArgs {
    PlanArgs {
        rate,
        backends: 1,
        source_addresses: 1,
        ports: Some(28_232),
        time_wait: None,
        reuse: Percent(0),
        json: false,
    }
}

fn planned(args: &PlanArgs) -> (u8, String) {
    let mut out = Vec::new();
    let code = plan(args, &mut out).unwrap();
    (code, String::from_utf8(out).unwrap())
}

#[test]
fn a_plan_that_fails_says_when_and_what_is_enough() {
    let expected = "\
requests              2,000/s  0% on reused connections
new connections       2,000/s
ports there            28,232  --ports
needed for TIME_WAIT  120,000  for 60s each
sustainable           470.5/s  new connections

The ports run out after 14.1s. Any one of these is enough:
  --reuse 76.474        connections used again, from a pool
  --source-addresses 5  upstream.source.addresses
  --backends 5          or addresses or ports of one
  --time-wait 14.116    net.ipv4.tcp_tw_reuse = 1 makes it 1, to backends with TCP timestamps
More ports are not: 120,000 are needed, and an address has 64,512.
";
    assert_eq!(planned(&args(2000)), (1, expected.to_owned()));
}

#[test]
fn a_plan_that_holds_says_how_closely() {
    let held = PlanArgs { backends: 3, source_addresses: 2, reuse: Percent(97_500), ..args(100_000) };
    let expected = "\
requests              100,000/s  97.5% on reused connections
new connections         2,500/s
                        416.6/s  from each local address to each backend
ports there              28,232  --ports
needed for TIME_WAIT     25,000  for 60s each
sustainable           2,823.2/s  new connections

The ports last: 88.6% of them are held in TIME_WAIT.
";
    assert_eq!(planned(&held), (0, expected.to_owned()));
}

#[test]
fn what_is_said_to_be_enough_is() {
    let short = args(600);
    let (code, out) = planned(&short);
    assert!(code == 1 && out.contains("  --ports 36000 "), "{out}");
    for enough in [
        PlanArgs { ports: Some(36_000), ..args(600) },
        PlanArgs { backends: 2, ..args(600) },
        PlanArgs { source_addresses: 2, ..args(600) },
        PlanArgs { reuse: Percent::parse("21.578").unwrap(), ..args(600) },
        PlanArgs { time_wait: Some(Duration::from_millis(47_053)), ..args(600) },
    ] {
        let (code, now) = planned(&enough);
        assert_eq!(code, 0, "{enough:?} of\n{out}gives\n{now}");
    }
}

#[test]
fn more_ports_than_an_address_has_are_those_of_several() {
    let nat = PlanArgs { ports: Some(110_000), ..args(2000) };
    assert!(planned(&nat).1.contains("  --ports 120000 "));
    let hopeless = PlanArgs { ports: Some(1), ..args(2_000_000) };
    assert!(!planned(&hopeless).1.contains("--time-wait"), "no millisecond is short enough");
}

#[test]
fn json_has_the_same_numbers() {
    let (code, out) = planned(&PlanArgs { json: true, ..args(2000) });
    let read: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(code, 1);
    assert_eq!(
        (&read["ports"], &read["time_wait_s"], &read["opens_per_s"]),
        (&json!(28_232), &json!(60.0), &json!(2000.0))
    );
    assert_eq!(read["exhausts_in_s"], json!(14.116));
    assert_eq!(
        read["enough"],
        json!({
            "reuse_percent": 76.474, "source_addresses": 5, "backends": 5, "ports": null, "time_wait_s": 14.116
        })
    );
    let (code, out) = planned(&PlanArgs { json: true, ..args(470) });
    let read: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &read["exhausts_in_s"], &read["enough"]), (0, &Value::Null, &Value::Null));
}

#[test]
fn ports_are_those_of_this_host_unless_they_are_given() {
    assert_eq!(ports(None, Some(32_768..=60_999)).0, DEFAULT_PORTS);
    assert_eq!(ports(None, Some(20_000..=40_000)).0, 20_000, "an odd one is never used");
    assert_eq!(ports(None, Some(7..=7)).0, 1);
    assert_eq!(ports(Some(5), Some(1..=2)), (5, "--ports".to_owned()));
    assert_eq!(ports(None, None).0, DEFAULT_PORTS);
}
