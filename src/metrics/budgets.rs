//! What can run out, apart from source ports: how much is taken, and for how long the rest lasts.

use std::sync::{Mutex, PoisonError};

/// Something of which there is only so much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Resource {
    /// What clients and upstream connections may have of the descriptors; beyond it clients are refused.
    Connections,
    /// Bytes of buffers (`runtime.buffer_memory`); beyond it they stay small, and long heads are refused.
    Buffers,
    /// File descriptors of this process.
    Descriptors,
    /// Files that are open on the whole host.
    Files,
    /// Connections that the kernel's connection tracking follows, in this network namespace.
    Conntrack,
}

impl Resource {
    /// Every resource, in the order in which they are told.
    pub const ALL: [Self; 5] =
        [Self::Connections, Self::Buffers, Self::Descriptors, Self::Files, Self::Conntrack];

    /// The name used in logs, metrics and JSON.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::Buffers => "buffers",
            Self::Descriptors => "descriptors",
            Self::Files => "files",
            Self::Conntrack => "conntrack",
        }
    }
}

/// How urgent it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Urgency {
    /// There is plenty, and it lasts.
    #[default]
    Ok,
    /// It is time to do something about it.
    Warn,
    /// It is gone, or nearly.
    Critical,
}

impl Urgency {
    /// The name used in logs and JSON.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Critical => "critical",
        }
    }
}

/// What is known of one of them.
#[derive(Clone, Debug, PartialEq)]
pub struct BudgetFigures {
    /// Of which.
    pub resource: Resource,
    /// Taken; `None`: it could not be read.
    pub used: Option<u64>,
    /// All there is, likewise.
    pub limit: Option<u64>,
    /// How fast `used` grows a second; negative while it shrinks. `None` until that is known.
    pub per_s: Option<f64>,
    /// Seconds until nothing is left, at that rate; `None`: never, or not within an hour.
    pub exhausts_in_s: Option<f64>,
    /// How urgent that is.
    pub urgency: Urgency,
    /// Why figures are missing.
    pub note: Option<String>,
}

/// The last figures of all that there are.
#[derive(Debug, Default)]
pub struct Budgets(Mutex<Vec<BudgetFigures>>);

impl Budgets {
    /// These are the figures now.
    pub fn set(&self, figures: Vec<BudgetFigures>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = figures;
    }

    /// The last ones.
    pub fn get(&self) -> Vec<BudgetFigures> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
