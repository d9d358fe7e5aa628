//! From TOML text to validated types.

pub mod model;
