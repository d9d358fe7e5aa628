//! The messages, and their bytes (pure).

use crate::sys::fd_passing::MAX_MESSAGE;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// What every message begins with; JSON follows. Fixed for every version of the protocol.
const MAGIC: &[u8] = b"millpond-upgrade ";

/// What the new process says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "message", rename_all = "snake_case", deny_unknown_fields)]
pub enum FromNew {
    /// The first word.
    Greeting {
        /// The versions of the protocol that it speaks.
        protocols: Vec<u32>,
        /// Its version.
        version: String,
        /// Its process id.
        pid: u32,
    },
    /// Its configuration can be used; it would have the sockets of these addresses.
    Wants {
        /// The addresses of its listeners as the configuration has them.
        listeners: Vec<SocketAddr>,
        /// That of the admin server, `host:port` or `unix:/path`.
        admin: String,
    },
    /// It has all that it needs but the word to serve.
    Ready {
        /// Addresses of listeners that it has bound itself.
        bound: usize,
    },
    /// It has taken the connections of the last message.
    Taken {
        /// But for these, by their places there; it has closed its copies.
        refused: Vec<usize>,
    },
    /// It accepts clients.
    Serving,
    /// It cannot go on, and ends.
    Failed {
        /// Why.
        why: String,
    },
}

/// What the old process says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "message", rename_all = "snake_case", deny_unknown_fields)]
pub enum FromOld {
    /// The answer to the new one's greeting.
    Greeting {
        /// The version of the protocol that is spoken from now on.
        protocol: u32,
        /// Its version.
        version: String,
        /// Its process id.
        pid: u32,
    },
    /// With listening sockets of an address that is wanted. Several of these may follow each other.
    Listener {
        /// Its place among those wanted.
        place: usize,
    },
    /// With the listening socket of the admin server.
    Admin {
        /// Whether the file of a Unix socket is the service manager's, and not to be removed in the end.
        keeps_file: bool,
    },
    /// Whatever has not come is not there.
    EndOfSockets,
    /// With one descriptor for each of these connections.
    Connections {
        /// What is known of them.
        connections: Vec<Moved>,
    },
    /// The new process is to serve.
    Serve,
    /// The old process has let go: the new one is alone responsible.
    Succeeded,
}

/// An idle connection to an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Moved {
    /// The upstream's name.
    pub upstream: String,
    /// The endpoint.
    pub endpoint: SocketAddr,
    /// How long ago it was established, in milliseconds.
    pub age_ms: u64,
    /// Exchanges begun on it.
    pub uses: u64,
    /// For how long it has been idle, in milliseconds.
    pub idle_ms: u64,
    /// In how many milliseconds its age ends it; `None`: never.
    pub retire_in_ms: Option<u64>,
    /// How long connect(2) took, in microseconds.
    pub connect_us: u64,
}

/// Why bytes are no message, or a message cannot be sent.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// They begin otherwise.
    #[error("these bytes are no message of this protocol: {0:?}")]
    Foreign(String),
    /// They go on otherwise.
    #[error("a message that is not understood: {0}")]
    Json(#[from] serde_json::Error),
    /// There are more than one message may have.
    #[error("a message of {0} bytes, of at most {MAX_MESSAGE}")]
    TooLong(usize),
}

/// The bytes of a message.
///
/// # Errors
/// [`FrameError::TooLong`].
pub fn encode<M: Serialize>(message: &M) -> Result<Vec<u8>, FrameError> {
    let mut bytes = MAGIC.to_vec();
    serde_json::to_writer(&mut bytes, message)?;
    if bytes.len() > MAX_MESSAGE {
        return Err(FrameError::TooLong(bytes.len()));
    }
    Ok(bytes)
}

/// The message in these bytes.
///
/// # Errors
/// When there is none, or anything beside it.
pub fn decode<M: DeserializeOwned>(bytes: &[u8]) -> Result<M, FrameError> {
    /// Of what is not understood, as much as says what it is.
    const SHOWN: usize = 40;
    match bytes.strip_prefix(MAGIC) {
        Some(json) => Ok(serde_json::from_slice(json)?),
        None => {
            let shown = &bytes[..bytes.len().min(SHOWN)];
            Err(FrameError::Foreign(String::from_utf8_lossy(shown).into_owned()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn moved() -> impl Strategy<Value = Moved> {
        let address = (any::<[u8; 4]>(), any::<u16>()).prop_map(SocketAddr::from);
        ("\\PC{0,40}", address, any::<(u64, u64, u64, Option<u64>, u64)>()).prop_map(
            |(upstream, endpoint, (age_ms, uses, idle_ms, retire_in_ms, connect_us))| Moved {
                upstream,
                endpoint,
                age_ms,
                uses,
                idle_ms,
                retire_in_ms,
                connect_us,
            },
        )
    }

    fn from_old() -> impl Strategy<Value = FromOld> {
        prop_oneof![
            (any::<u32>(), "\\PC{0,20}", any::<u32>())
                .prop_map(|(protocol, version, pid)| FromOld::Greeting { protocol, version, pid }),
            any::<usize>().prop_map(|place| FromOld::Listener { place }),
            any::<bool>().prop_map(|keeps_file| FromOld::Admin { keeps_file }),
            Just(FromOld::EndOfSockets),
            prop::collection::vec(moved(), 0..64)
                .prop_map(|connections| FromOld::Connections { connections }),
            Just(FromOld::Serve),
            Just(FromOld::Succeeded),
        ]
    }

    fn from_new() -> impl Strategy<Value = FromNew> {
        let address = (any::<[u8; 16]>(), any::<u16>()).prop_map(SocketAddr::from);
        prop_oneof![
            (prop::collection::vec(any::<u32>(), 0..4), "\\PC{0,20}", any::<u32>())
                .prop_map(|(protocols, version, pid)| FromNew::Greeting { protocols, version, pid }),
            (prop::collection::vec(address, 0..9), "\\PC{0,40}")
                .prop_map(|(listeners, admin)| FromNew::Wants { listeners, admin }),
            any::<usize>().prop_map(|bound| FromNew::Ready { bound }),
            prop::collection::vec(any::<usize>(), 0..64).prop_map(|refused| FromNew::Taken { refused }),
            Just(FromNew::Serving),
            "\\PC{0,200}".prop_map(|why| FromNew::Failed { why }),
        ]
    }

    proptest! {
        #[test]
        fn what_is_said_is_what_is_heard(old in from_old(), new in from_new()) {
            prop_assert_eq!(decode::<FromOld>(&encode(&old).unwrap()).unwrap(), old);
            prop_assert_eq!(decode::<FromNew>(&encode(&new).unwrap()).unwrap(), new);
        }

        /// Whatever is cut, added to or replaced is another message or none; it never panics.
        #[test]
        fn no_bytes_are_too_strange(
            message in from_new(),
            cut in 0usize..400,
            strange in prop::collection::vec(any::<u8>(), 0..50),
        ) {
            let bytes = encode(&message).unwrap();
            let cut = cut.min(bytes.len());
            let _ = decode::<FromOld>(&strange);
            let _ = decode::<FromNew>(&[&bytes[..cut], &strange[..]].concat());
            if cut < bytes.len() {
                prop_assert!(decode::<FromNew>(&bytes[..cut]).is_err(), "half a message");
            }
        }
    }

    #[test]
    fn what_is_not_understood_is_refused_and_said() {
        let refused = |bytes: &[u8]| decode::<FromOld>(bytes).unwrap_err().to_string();
        assert!(refused(b"GET / HTTP/1.1\r\n").contains("no message of this protocol: \"GET / HTTP/1.1"));
        assert!(refused(br#"millpond-upgrade {"message":"dance"}"#).contains("unknown variant `dance`"));
        assert!(refused(br#"millpond-upgrade {"message":"listener","place":0,"x":1}"#).contains("`x`"));
        assert!(refused(br#"millpond-upgrade {"message":"serve"} {}"#).contains("trailing"));
        let long = FromNew::Failed { why: "x".repeat(MAX_MESSAGE) };
        assert!(matches!(encode(&long), Err(FrameError::TooLong(_))));
    }
}
