//! What is measured, by name.

use crate::{balancing, census, http1, pooling};
use std::fmt;

/// Something that can be done again and again.
pub(crate) type Run = Box<dyn FnMut()>;

/// One thing to measure.
#[derive(Debug)]
pub(crate) struct Body {
    pub(crate) name: &'static str,
    /// How often it is done for a count of its instructions: so often that one is told from another.
    pub(crate) rounds: u64,
    /// Prepares it.
    pub(crate) make: fn() -> Run,
}

/// All of them.
pub(crate) const ALL: &[Body] = &[
    Body { name: "pool_checkout_return", rounds: 1000, make: pooling::checkout_return },
    Body { name: "port_take_give", rounds: 1000, make: pooling::port_take_give },
    Body { name: "request_head_small", rounds: 500, make: http1::small_request },
    Body { name: "request_head_browser", rounds: 200, make: http1::browser_request },
    Body { name: "response_head", rounds: 500, make: http1::response },
    Body { name: "chunked_64_kib", rounds: 20, make: http1::chunked },
    Body { name: "balance_round_robin", rounds: 1000, make: balancing::round_robin },
    Body { name: "balance_least_conn", rounds: 1000, make: balancing::least_conn },
    Body { name: "balance_p2c", rounds: 1000, make: balancing::p2c },
    Body { name: "balance_random", rounds: 1000, make: balancing::random },
    Body { name: "balance_hash", rounds: 1000, make: balancing::hash },
    Body { name: "census_100000", rounds: 1, make: census::take },
];

impl Body {
    pub(crate) fn named(name: &str) -> Option<&'static Self> {
        ALL.iter().find(|body| body.name == name)
    }
}

impl fmt::Display for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}
