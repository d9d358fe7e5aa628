//! A kernel without memory for another socket, as strace makes it seem.

use super::namespace::{STRACE, trials};
use crate::harness::{Client, Origin, Running, Setup};
use libtest_mimic::Trial;

pub(crate) fn tests() -> Vec<Trial> {
    trials![&[STRACE]; memory_that_is_short_is_not_the_endpoints_fault]
}

fn memory_that_is_short_is_not_the_endpoints_fault() {
    // More than the failures after which an endpoint is left out (passive.failures).
    const FAILURES: usize = 4;
    for error in ["ENOBUFS", "ENOMEM"] {
        let origin = Origin::saying("ok");
        let inject = format!("connect:error={error}:when=1..{FAILURES}");
        let process = Running::with_failing(&Setup::http([origin.address()]), &inject);
        let mut client = Client::connect(process.address());
        for _ in 0..FAILURES {
            let response = client.get("/");
            assert_eq!((response.status(), response.reason()), (503, Some("memory")));
        }
        assert_eq!(client.get("/").text(), "ok");
        let statistics = process.statistics();
        let endpoint = &statistics["upstreams"][0]["endpoints"][0];
        assert_eq!((&endpoint["health"], &endpoint["connect_errors_total"]), (&"up".into(), &0.into()));
    }
}
