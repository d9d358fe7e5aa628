//! One port, from before the dial until after the close.

use super::level::Level;
use super::ports::{Left, SourcePorts};
use super::select::most_room;
use crate::timer;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

/// A port of a source towards a destination, taken until this is dropped. Which one it is, the kernel
/// chooses at connect(2).
#[derive(Debug)]
pub struct PortLease {
    ports: Arc<SourcePorts>,
    /// What the connection leaves of it; `None` once it is given back.
    left: Option<Left>,
}

impl PortLease {
    /// Takes a port of the source with the most room, if its level is `most` or below; `turn` is
    /// another number each time.
    ///
    /// # Errors
    /// The level for which there is none.
    pub fn take(sources: &[Arc<SourcePorts>], turn: usize, most: Level, now: Instant) -> Result<Self, Level> {
        let chosen = match sources {
            [only] => Some(only),
            several => {
                let rooms: Vec<u32> = several.iter().map(|source| source.room(now)).collect();
                most_room(&rooms, turn).map(|place| &several[place])
            }
        };
        let ports = chosen.ok_or(Level::Refuse)?;
        ports.reserve(now, most)?;
        Ok(Self { ports: Arc::clone(ports), left: Some(Left::Unused) })
    }

    /// Takes the port of a connection that another process had, with this local address; `None`: none of
    /// these sources is dialled from there.
    pub fn adopt(sources: &[Arc<SourcePorts>], local: IpAddr, now: Instant) -> Option<Self> {
        let same = sources.iter().find(|source| source.source() == local);
        let ports = same.or_else(|| sources.iter().find(|source| source.bind_to().is_none()))?;
        ports.adopt(now);
        Some(Self { ports: Arc::clone(ports), left: Some(Left::TimeWait) })
    }

    /// Whose port it is.
    pub fn ports(&self) -> &Arc<SourcePorts> {
        &self.ports
    }

    /// The connection is established. If nobody says how it is closed, it is by close(2), which sends
    /// FIN.
    pub fn connected(&mut self, now: Instant) {
        self.left = Some(Left::TimeWait);
        self.ports.note_connected(now);
    }

    /// What the close, which follows at once, will leave of the port.
    pub fn leaves(&mut self, left: Left) {
        self.left = Some(left);
    }

    /// Gives the port back; the socket is closed.
    pub fn release(&mut self) {
        if let Some(left) = self.left.take() {
            self.ports.release(left, timer::now());
        }
    }
}

impl Drop for PortLease {
    fn drop(&mut self) {
        self.release();
    }
}
