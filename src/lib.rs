//! millpond: a connection-pooling TCP and HTTP/1.1 reverse proxy for Linux.
//!
//! This page is the map of the code. What users see is in `README.md`, `config/reference.toml` and
//! `docs`.
//!
//! # Threads
//!
//! One thread a worker, each with a `current_thread` tokio runtime and a `LocalSet`. A worker owns its
//! listening sockets (`SO_REUSEPORT`: the kernel spreads clients over the workers), its sessions, its
//! pools, its buffers and its deadlines outright. What all threads read is in the [`registry`]:
//! addresses, configuration, and each worker's own counters, which are added up only when somebody
//! asks.
//!
//! Pools are split by worker, but an idle connection is not lost to the others: a worker without one
//! asks a sibling, which takes the socket out of its runtime and hands it over
//! ([`pool::handover`]). Only when nobody has one is another connection dialled. The ports that it comes
//! from are all workers' together: their ledger ([`source::ports`]) is locked at a dial and at a close, never
//! for a request on a connection that is there.
//!
//! A session that panics is lost, and no other; where a task panics without which its worker is of no use
//! ([`worker::vital`]), the worker ends, gives back what it had, and the supervisor starts another in its place on
//! the listening sockets that it keeps.
//!
//! What runs is one [`registry::Running`], which a reload replaces as a whole: listeners, upstreams and
//! the configuration that they come from. Its parts that are kept are in both, and what a reload removes stays in
//! it until it is over. A worker is given it as a [`command`]; sessions go on with what they began with and take
//! what is new at their next request ([`listener::inlet`]).
//!
//! Beside the workers, a control thread serves the [`admin`] server, takes snapshots of the counters
//! for its streams and its history, asks for the endpoints behind names ([`discovery`]), and ends a drain that
//! takes too long; a thread asks the kernel every few seconds what it has of our sockets
//! ([`observe::census`]); and a thread writes the access log, where there is one. A list of connections
//! ([`observe::connections`]) is made on a thread of its own too. The [`supervisor`] starts all of them or
//! none. Whatever they want of a worker is a [`command`], which the worker carries out itself. Other endpoints
//! behind a name are another [`registry::Running`], with the same configuration.
//!
//! # Data path
//!
//! In the order in which to read it:
//!
//! 1. `main.rs` calls [`cli`], which reads the configuration ([`config`]) and starts the
//!    [`supervisor`]. That binds every address ([`listener::bind`]) before it starts a [`worker`].
//! 2. [`listener::accept`] accepts a client, opens its [`session`] within the descriptor [`budget`]
//!    and the listener's limits, and gives it to [`forward::dispatch`], which starts one task. The
//!    session's entry in its worker's table tells what it is at, for as long as it lasts.
//! 3. HTTP, in [`forward::http`]: read a request head and rewrite it ([`http1`]); choose an endpoint
//!    ([`upstream::group`], [`upstream::balance`], [`upstream::health`]); lease a connection to it
//!    ([`forward::acquire`]: idle here, else with a sibling, else dialled by [`upstream::connect`], from
//!    a port that the budget of its [`source`] allows; [`forward::waiting`] watches the client meanwhile);
//!    move the request and the response, both at once ([`forward::exchange`]). Then the lease ends:
//!    the connection goes back to the [`pool`] or is discarded with a reason, and the session waits
//!    for its next request without holding a buffer.
//! 4. TCP, in [`forward::tcp`]: choose, lease a new connection, and copy both ways
//!    ([`forward::tunnel`]; long flows go through pipes, [`forward::splice`]), passing on each side's
//!    FIN by itself. An HTTP connection that was upgraded goes on in the same tunnel.
//! 5. Whatever goes wrong is a [`forward::failure::Failure`]; one `match` decides what the client is
//!    answered, whether the request may be sent again, and what becomes of both connections.
//! 6. [`close::policy`] decides between FIN, FIN and drain, and RST; [`close::linger`] carries it
//!    out. The session's guard counts the one reason for which it ended.
//!
//! Beside it runs the kernel's view of the same sockets: [`observe::census`] asks for them by netlink
//! ([`sys::sock_diag`]), finds by their addresses whose they are ([`observe::places`]), and counts the states
//! of every listener and endpoint. By the same count the budgets of [`source`] are corrected, and what is in
//! CLOSE_WAIT is found: [`observe::reaper`] suspects what has been there for too long; the worker that owns
//! it tells what it is waiting for, and closes it if that is nothing. Once a second the census looks at the
//! accept queues, and at what can run out ([`observe::budget`] foretells when).
//!
//! An upgrade starts the program again and hands everything over to the new process before this one drains
//! ([`supervisor::Upgrader`] here, [`supervisor::Predecessor`] there, what they say in [`upgrade`]): listening
//! sockets, then the connections that are idle in the pools ([`pool::heir`]), and those that become idle while
//! the old process drains. The new one has its requests wait a moment for them rather than dial.
//!
//! # Modules
//!
//! From the bottom to the top; a module uses those above it in this table and those in its own row.
//! `tests/tidy.rs` holds the code to it.
//!
//! | modules | what they are |
//! |---|---|
//! | [`addr`], [`reason`], [`budget`], [`buffer`], [`timer`] | addresses by their role; a label for every end, refusal and discard; descriptors; buffers lent while bytes are in flight; a timer wheel |
//! | [`config`] | from TOML to validated types, with every problem at once |
//! | [`sys`] | socket options, `sock_diag`, limits, splice(2): the only `unsafe` code |
//! | [`http1`], [`close`], [`source`], [`upgrade`] | HTTP/1.1 messages without sockets; how connections end; the ports they come from; what two processes say when one takes over from the other |
//! | [`registry`], [`session`], [`command`], [`metrics`], [`upstream`], [`discovery`], [`pool`] | what is known and counted of listeners, clients and endpoints; what a worker may be asked; choosing and reaching an endpoint; endpoints behind names; connections kept to an endpoint |
//! | [`observe`] | the JSON of `/stats` and `/connections`, the log, the access log; the census and the reaper |
//! | [`listener`], [`worker`], [`forward`] | accepting, one thread's belongings, and carrying traffic |
//! | [`admin`] | the admin server, which reads the registry and gives commands |
//! | [`supervisor`] | start everything or nothing; reload, hand over, drain, end |
//! | [`cli`] | the commands; the only place that prints |
//!
//! What decides is kept apart from what does I/O: [`http1`], [`upstream::balance`],
//! [`upstream::health`], [`upstream::idle_learning`], [`config::diff`], [`discovery::search`], [`discovery::watch`], [`pool::idle`], [`pool::waiters`],
//! [`close::policy`], [`source::ports`], [`observe::places`], [`observe::budget`], [`observe::reaper`],
//! [`forward::half_close`], [`forward::blocked`] and [`timer::wheel`]
//! read no clock, hold no socket and draw no random number. Time and seeds are their arguments, so that tests
//! need neither to wait nor to hope.
//!
//! # Invariants
//!
//! 1. Every socket has an owner and a deadline in every state, and a peer's FIN is noticed in every
//!    state: an idle pooled connection is watched, and so is the client whose answer is awaited. What
//!    is not read, because nobody takes it, is looked at ([`forward::blocked`]).
//!    Where all that fails, the reaper closes the socket, and counts a fault of ours.
//! 2. A connection goes back to its pool only after a request that was sent whole and a response
//!    that was read whole, when both sides agreed to keep it and no byte lies beyond the response. A
//!    byte that arrives on an idle connection condemns it.
//! 3. What this host lacks (ports, descriptors, memory) is never the endpoint's fault: it has its own
//!    reasons, and no effect on the endpoint's health.
//! 4. A request is sent a second time at most: when the first connection had been used before,
//!    nothing of a response had come, and the request is idempotent or not a byte of it was written.
//! 5. A close does not destroy what the client may still read: RST only once all is acknowledged, or,
//!    after a time, to say that a response was cut short or because the configuration asks for it.
//! 6. Every close, refusal, discard and retry is counted, under a label of [`reason`] where it has
//!    one.
//! 7. Nothing grows without bound: heads, buffers, queues, tables and labels have limits.
//! 8. A reload that fails changes nothing; one that succeeds touches only what differs, and no request is
//!    served by two configurations. An upgrade that fails changes nothing either, and until it succeeds no
//!    connection is used by two processes.
//! 9. The control side never touches a session or a pool; it reads counters and gives commands.
//! 10. A figure that cannot be read is absent or `null` with a note, never 0.

pub mod addr;
pub mod admin;
pub mod budget;
pub mod buffer;
pub mod cli;
pub mod close;
pub mod command;
pub mod config;
pub mod discovery;
pub mod forward;
pub mod http1;
pub mod listener;
pub mod metrics;
pub mod observe;
pub mod pool;
pub mod reason;
pub mod registry;
pub mod session;
pub mod source;
pub mod supervisor;
pub mod sys;
pub mod timer;
pub mod upgrade;
pub mod upstream;
pub mod worker;
