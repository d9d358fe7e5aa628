//! Requests go to the origin and responses come back, changed in nothing but what a proxy must change.

mod cut;
mod fields;
mod long_flow;
mod order;
mod plain;
mod segments;
mod streaming;
mod upgrade;

use libtest_mimic::Trial;

pub(crate) fn tests() -> Vec<Trial> {
    [
        plain::tests(),
        segments::tests(),
        fields::tests(),
        order::tests(),
        streaming::tests(),
        cut::tests(),
        upgrade::tests(),
        long_flow::tests(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
