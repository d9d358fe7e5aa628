//! What two processes say to each other when one takes over from the other (docs/UPGRADE.md): messages, and
//! the connection that they go over. What either side does with them is the supervisor's.
//!
//! | the new process | the old one |
//! |---|---|
//! | [`Greeting`](FromNew::Greeting): the protocols that it speaks | |
//! | | [`Greeting`](FromOld::Greeting): the one that is spoken |
//! | [`Wants`](FromNew::Wants): the addresses of its configuration | |
//! | | [`Listener`](FromOld::Listener), [`Admin`](FromOld::Admin), …, [`EndOfSockets`](FromOld::EndOfSockets) |
//! | [`Ready`](FromNew::Ready): all is there, nobody is accepted yet | |
//! | | [`Connections`](FromOld::Connections) that are idle; it keeps them open as well |
//! | [`Taken`](FromNew::Taken) after each | |
//! | | [`Serve`](FromOld::Serve) |
//! | [`Serving`](FromNew::Serving): it accepts | |
//! | | [`Succeeded`](FromOld::Succeeded): it lets go of what it has given, and drains |
//! | | [`Connections`](FromOld::Connections) that become idle meanwhile, until it ends |
//! | [`Taken`](FromNew::Taken) after each | |
//!
//! Before `Serving` the new process may say [`Failed`](FromNew::Failed) at any time, or just end; then the old
//! one goes on. Whatever a side does not understand ends the conversation.

mod frame;
mod link;

pub use frame::{FrameError, FromNew, FromOld, Moved, decode, encode};
pub use link::{Link, LinkError};

/// The version of the protocol, which is another when one side could not understand the other.
pub const PROTOCOL: u32 = 1;

/// Says that a process was started by the one that it is to take over from, over standard input.
pub const VARIABLE: &str = "MILLPOND_UPGRADE";
