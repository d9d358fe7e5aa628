//! millpond from outside.

fn main() {}
