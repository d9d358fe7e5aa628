//! The rules of RFC 9110 and RFC 9112 that an intermediary has, one case each: raw bytes from a client to a
//! recording backend and back. What comes of them (refused, or forwarded in one form) stands beside them,
//! with the section that says so.
//!
//! `cargo test --test it -- conformance::` tells how many were tried and held. Each is tried at once and cut
//! into single bytes.

mod case;
mod exchange;
mod requests;
mod responses;

use case::Pace;
use libtest_mimic::Trial;

pub(crate) fn tests() -> Vec<Trial> {
    let requests = requests::CASES.iter().flat_map(|(group, cases)| {
        cases.iter().map(move |case| {
            trial("requests", group, case.name, case.rule, move |pace| exchange::request(case, pace))
        })
    });
    let responses = responses::CASES.iter().flat_map(|(group, cases)| {
        cases.iter().map(move |case| {
            trial("responses", group, case.name, case.rule, move |pace| exchange::response(case, pace))
        })
    });
    requests.chain(responses).collect()
}

/// A case as a trial, which names its rule.
fn trial(side: &str, group: &str, name: &str, rule: &str, run: impl Fn(Pace) + Send + 'static) -> Trial {
    Trial::test(format!("conformance::{side}::{group}::{name} ({rule})"), move || {
        run(Pace::AtOnce);
        run(Pace::Dripping);
        Ok(())
    })
}
