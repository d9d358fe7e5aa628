//! Configuration: whatever is written is compiled or refused with what is wrong, the same each time.

#![no_main]

use libfuzzer_sys::fuzz_target;
use millpond::config::load::parse_str;

fuzz_target!(|text: &str| {
    let (one, other) = (parse_str("fuzz.toml", text), parse_str("fuzz.toml", text));
    match (one, other) {
        (Ok(one), Ok(other)) => {
            assert_eq!(one.config, other.config);
            assert!(!one.config.listeners.is_empty() && !one.config.upstreams.is_empty());
        }
        (Err(one), Err(other)) => {
            let (one, other) = (one.to_string(), other.to_string());
            assert_eq!(one, other);
            assert!(!one.is_empty(), "refused without a word");
        }
        (one, other) => panic!("{one:?} and {other:?}"),
    }
});
