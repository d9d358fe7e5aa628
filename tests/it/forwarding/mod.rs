//! Requests go to the origin and responses come back, changed in nothing but what a proxy must change.

mod plain;

use libtest_mimic::Trial;

pub(crate) fn tests() -> Vec<Trial> {
    plain::tests()
}
