//! Settings that the whole host shares.

use super::scene::{Row, pretended};

const LIMITED: [&str; 3] = ["", "limit.connections = 1000", ""];

pub(super) const ROWS: &[Row] = &[
    Row {
        check: "fs.nr_open",
        bad: pretended(&[("fs.nr_open", "2000")]).with(LIMITED),
        verdict: "critical",
        good: pretended(&[("fs.nr_open", "4096")]).with(LIMITED),
    },
    Row {
        check: "fs.file-max",
        bad: pretended(&[("fs.file-max", "100")]).with(LIMITED),
        verdict: "critical",
        good: pretended(&[("fs.file-max", "9223372036854775807")]).with(LIMITED),
    },
    Row {
        check: "fs.pipe-max-size",
        bad: pretended(&[("fs.pipe-max-size", "65536")]),
        verdict: "warn",
        good: pretended(&[("fs.pipe-max-size", "1048576")]),
    },
    Row {
        check: "fs.pipe-user-pages-soft",
        bad: pretended(&[("fs.pipe-user-pages-soft", "4095")]),
        verdict: "warn",
        good: pretended(&[("fs.pipe-user-pages-soft", "16384")]),
    },
    Row {
        check: "kernel",
        bad: pretended(&[("kernel.osrelease", "3.10.0-1160.el7.x86_64")]),
        verdict: "critical",
        good: pretended(&[("kernel.osrelease", "6.18.0")]),
    },
];
