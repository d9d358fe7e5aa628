//! What must not happen, and happens: workers that panic, endpoints that go, processes that are stopped, a clock that
//! is set, a host that runs out. Each has its row in docs/RELIABILITY.md.

/// No release lets a test have its workers stand still.
#[cfg(debug_assertions)]
mod busy;
mod clock;
mod descriptors;
mod endpoints;
/// No release lets a test have its workers panic.
#[cfg(debug_assertions)]
mod panics;
mod stopped;

use libtest_mimic::Trial;

pub(crate) fn tests() -> Vec<Trial> {
    let all = [
        #[cfg(debug_assertions)]
        panics::tests(),
        #[cfg(debug_assertions)]
        busy::tests(),
        clock::tests(),
        descriptors::tests(),
        endpoints::tests(),
        stopped::tests(),
    ];
    all.into_iter().flatten().collect()
}
