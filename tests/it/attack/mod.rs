//! Clients that mean harm. Each attack ends for the right reason and in time, takes no more memory than
//! docs/RELIABILITY.md says, and does not slow down who else is served.

mod floods;
mod group;
mod memory;
pub(crate) mod scene;
mod slow;

use libtest_mimic::Trial;

pub(crate) fn tests() -> Vec<Trial> {
    [slow::tests(), floods::tests(), memory::tests(), group::tests()].into_iter().flatten().collect()
}
