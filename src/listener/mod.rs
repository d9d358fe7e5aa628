//! Where clients come in.

pub mod bind;
