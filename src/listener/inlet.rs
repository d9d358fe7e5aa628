//! What a client that comes in finds: its listener's configuration and where its requests go.

use crate::config::model::ClientFin;
use crate::forward::exchange::Deadlines;
use crate::forward::half_close::Limits;
use crate::registry::ListenerState;
use crate::upstream::group::Group;
use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::sync::Arc;

/// One listening address in one worker, as one configuration has it.
#[derive(Debug)]
pub struct Inlet {
    /// The address, its configuration and its counters.
    pub state: Arc<ListenerState>,
    /// Where its sessions go.
    pub group: Rc<Group>,
    door: Rc<Door>,
}

/// One listening address in one worker, whatever the configuration.
#[derive(Debug, Default)]
pub struct Door {
    current: RefCell<Weak<Inlet>>,
    says_close: Cell<bool>,
    ends_idle: Cell<bool>,
}

impl Inlet {
    /// What clients find at this door from now on.
    pub fn new(door: &Rc<Door>, state: Arc<ListenerState>, group: Rc<Group>) -> Rc<Self> {
        let inlet = Rc::new(Self { state, group, door: Rc::clone(door) });
        door.current.replace(Rc::downgrade(&inlet));
        inlet
    }

    /// The door.
    pub fn door(&self) -> &Rc<Door> {
        &self.door
    }

    /// What has taken the place of this since: a session goes on with it at its next request.
    pub fn newer(&self) -> Option<Rc<Self>> {
        let current = self.door.current.borrow();
        if std::ptr::eq(current.as_ptr(), self) { None } else { current.upgrade() }
    }

    /// How long each side of an exchange may keep the other waiting.
    pub fn deadlines(&self) -> Deadlines {
        let (client, endpoint) = (&self.state.config.timeout, &self.group.state().config.timeout);
        Deadlines {
            client_body: client.body,
            client_half_close: client.half_close,
            response_head: endpoint.response_header,
            endpoint_body: endpoint.body,
            endpoint_half_close: endpoint.half_close,
        }
    }

    /// Whether a client's FIN before its answer is taken for leaving, where that is safe.
    pub fn aborts_on_fin(&self) -> bool {
        self.state.config.client_fin == ClientFin::Abort
    }

    /// The deadlines of a tunnel.
    pub fn tunnel_limits(&self) -> Limits {
        let client = &self.state.config.timeout;
        Limits {
            idle: client.idle,
            client_half_close: client.half_close,
            endpoint_half_close: self.group.state().config.timeout.half_close,
        }
    }
}

impl Door {
    /// Responses are the last on their connections from now on.
    pub fn say_close(&self) {
        self.says_close.set(true);
    }

    /// Whether they are, to be looked at again and again.
    pub fn says_close(&self) -> &Cell<bool> {
        &self.says_close
    }

    /// Sessions end after what they are doing, and at once if that is nothing. Who waits has to be woken.
    pub fn end_idle(&self) {
        self.says_close.set(true);
        self.ends_idle.set(true);
    }

    /// Whether they do.
    pub fn ends_idle(&self) -> bool {
        self.ends_idle.get()
    }
}
