//! What shows only with a network of one's own: few ports, another TIME_WAIT policy, packets that get
//! lost.
//!
//! Each of these tests runs in a process and a network namespace of its own. Where none may be made,
//! or a program is missing, they are listed as ignored, by name and with the reason.

mod disk;
mod doctor;
mod forecast;
mod half_open;
mod memory;
mod namespace;
mod ports;
mod silent;
mod time_wait;
mod truth;

use libtest_mimic::Trial;

pub(crate) fn tests() -> Vec<Trial> {
    // Those that take longest first.
    [
        forecast::tests(),
        truth::tests(),
        time_wait::tests(),
        ports::tests(),
        silent::tests(),
        half_open::tests(),
        memory::tests(),
        disk::tests(),
        doctor::tests(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
