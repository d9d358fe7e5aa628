//! From TOML text to validated types, with every problem at once.
//!
//! [`load`] reads the files and layers them; `file` gives every value the line it stands on;
//! [`schema`] knows which keys exist; `compile` reads the layered values key by key into [`model`],
//! and everything that any of them finds is a [`diagnostic::Diagnostic`].

mod address;
mod compile;
pub mod diagnostic;
pub mod diff;
mod dns_name;
mod file;
pub mod load;
pub mod model;
pub mod nat;
pub mod schema;
mod section;
pub(crate) mod suggest;
mod values;
pub mod view;
