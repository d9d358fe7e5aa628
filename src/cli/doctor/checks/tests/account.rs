//! Whom it runs as.

use super::{Case, DEFAULTS, critical, good, warn};
use crate::cli::doctor::facts::Stranger;

const USER: [&str; 3] = ["runtime.user = \"app\"", "", ""];

pub(super) const CASES: &[Case] = &[
    good("runtime.user", DEFAULTS, |_| {}, "stays user id 999"),
    warn(
        "runtime.user",
        DEFAULTS,
        |h| h.user = 0,
        "stays root",
        &["user = \"millpond\"", "useradd --system millpond"],
    ),
    good(
        "runtime.user",
        DEFAULTS,
        |h| {
            h.user = 0;
            h.rules_host = Ok(false);
        },
        "root of a user namespace",
    ),
    good(
        "runtime.user",
        USER,
        |h| {
            h.user = 0;
            h.account = Some(Ok(998));
        },
        "given up for it",
    ),
    good("runtime.user", USER, |h| h.account = Some(Ok(999)), "whom this process runs as"),
    critical(
        "runtime.user",
        USER,
        |h| h.account = Some(Ok(998)),
        "this is user id 999",
        &["user = \"none\""],
    ),
    critical("runtime.user", USER, |h| h.account = Some(Ok(0)), "Nobody but root", &["user = \"none\""]),
    critical(
        "runtime.user",
        USER,
        |h| h.account = Some(Err(Stranger { why: "no user".into(), command: Some("useradd app".into()) })),
        "No user.",
        &["useradd app"],
    ),
];
