//! Where a request goes: endpoints, how one is chosen, and how it is reached.

pub mod balance;
pub mod connect;
pub mod group;
pub mod health;
pub mod idle_learning;
