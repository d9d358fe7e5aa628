//! From a client to a leased connection: an endpoint is chosen, and another if it cannot be reached.

use super::acquire::{self, Want};
use super::record::Record;
use crate::pool::Lease;
use crate::reason::RejectReason;
use crate::upstream::group::{Choice, Group};
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

/// Leases a connection to an endpoint that the balancer chooses by `key`. `record` is told of the endpoint
/// and of the time.
///
/// # Errors
/// Why there is no connection, to be told to the client.
pub async fn lease(
    group: &Rc<Group>,
    key: u64,
    want: Want,
    record: &mut Record,
) -> Result<Leased, RejectReason> {
    let state = group.state();
    let tries = MAX_CONNECT_TRIES.min(state.endpoints.len());
    let (mut avoid, mut tried) = (None, 1);
    loop {
        let Some(choice) = group.choose(key, avoid, record.now) else {
            return Err(RejectReason::NoEndpoint);
        };
        let endpoint = choice.endpoint();
        let address = state.endpoints[endpoint].address;
        record.endpoint = Some(address);
        if want != Want::Fresh
            && let Some(lease) = acquire::idle(group, endpoint, record.now)
        {
            return Ok(Leased { lease, _choice: choice });
        }
        let acquired = acquire::acquire(group, endpoint, want, tried == tries).await;
        record.now = Instant::now();
        match acquired {
            Ok(lease) => {
                record.connected(&lease);
                return Ok(Leased { lease, _choice: choice });
            }
            Err(error) if error.may_differ_elsewhere() && tried < tries => {
                avoid = Some(endpoint);
                tried += 1;
            }
            Err(error) => {
                tracing::debug!(upstream = %state.config.name, endpoint = %address, %error, "no connection");
                return Err(error.reason());
            }
        }
    }
}
