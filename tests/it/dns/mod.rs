//! Endpoints behind names.

mod answers;

use libtest_mimic::Trial;

pub(crate) fn tests() -> Vec<Trial> {
    let all = [answers::tests()];
    all.into_iter().flatten().collect()
}
