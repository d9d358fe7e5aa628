//! From a client to a leased connection: an endpoint is chosen, and another if it cannot be reached.

use super::acquire::{self, Want};
use super::client_ip::hash_ip;
use super::record::Record;
use super::waiting::{Gone, Waiting};
use crate::config::model::Balance;
use crate::pool::Lease;
use crate::reason::RejectReason;
use crate::session::Session;
use crate::upstream::group::{Choice, Group};
use std::pin::pin;
use std::rc::Rc;
use std::time::Instant;

/// Endpoints tried for one request or session before it fails with the last one's failure.
const MAX_CONNECT_TRIES: usize = 3;

/// A leased connection, with the choice that counts it in the balancer.
#[derive(Debug)]
pub struct Leased {
    /// The connection.
    pub lease: Lease,
    _choice: Choice,
}

/// What the session's client is balanced by: its address, where the policy asks for that.
pub fn client_key(group: &Group, session: &Session) -> u64 {
    match group.state().config.balance {
        Balance::Hash(_) => hash_ip(session.client().0.ip()),
        Balance::RoundRobin | Balance::LeastConn | Balance::P2c | Balance::Random => 0,
    }
}

/// Chooses an endpoint by `key` and leases a connection to it: nearly always, one is idle. Otherwise the client is
/// watched while one is awaited, or one to another endpoint if the first cannot be reached. `record` is told of the
/// endpoint and, after a wait, of the time.
///
/// # Errors
/// Why the client is gone; within that, why there is no connection, to be told to the client.
pub async fn lease(
    group: &Rc<Group>,
    key: u64,
    want: Want,
    record: &mut Record,
    client: Waiting<'_>,
) -> Result<Result<Leased, RejectReason>, Gone> {
    let choice = match choose(group, key, None, record) {
        Ok(choice) => choice,
        Err(reason) => return Ok(Err(reason)),
    };
    if let Some(lease) = take_idle(group, &choice, want, record) {
        return Ok(Ok(Leased { lease, _choice: choice }));
    }
    client.for_output(pin!(wait(group, key, choice, want, record))).await
}

/// Waits for a connection to the endpoint that was chosen, or to another if it cannot be reached.
async fn wait(
    group: &Rc<Group>,
    key: u64,
    mut choice: Choice,
    want: Want,
    record: &mut Record,
) -> Result<Leased, RejectReason> {
    let state = group.state();
    let tries = MAX_CONNECT_TRIES.min(state.endpoints.len());
    let mut tried = 1;
    loop {
        let endpoint = choice.endpoint();
        let acquired = acquire::acquire(group, endpoint, want, tried == tries).await;
        record.now = Instant::now();
        match acquired {
            Ok(lease) => {
                record.connected(&lease);
                return Ok(Leased { lease, _choice: choice });
            }
            Err(error) if error.may_differ_elsewhere() && tried < tries => {
                drop(choice);
                choice = choose(group, key, Some(endpoint), record)?;
                tried += 1;
                if let Some(lease) = take_idle(group, &choice, want, record) {
                    return Ok(Leased { lease, _choice: choice });
                }
            }
            Err(error) => {
                let address = state.endpoints[endpoint].address;
                tracing::debug!(upstream = %state.config.name, endpoint = %address, %error, "no connection");
                return Err(error.reason());
            }
        }
    }
}

fn choose(
    group: &Rc<Group>,
    key: u64,
    avoid: Option<usize>,
    record: &mut Record,
) -> Result<Choice, RejectReason> {
    let choice = group.choose(key, avoid, record.now).ok_or(RejectReason::NoEndpoint)?;
    record.endpoint = Some(group.state().endpoints[choice.endpoint()].address);
    Ok(choice)
}

fn take_idle(group: &Rc<Group>, choice: &Choice, want: Want, record: &Record) -> Option<Lease> {
    if want == Want::Fresh { None } else { acquire::idle(group, choice.endpoint(), record.now) }
}
