//! Giving up what is not needed any more, once the listening sockets are there.

use crate::config::model::{AdminListen, Config, Runtime};
use crate::sys::limits;
use crate::sys::privileges::{self, Account};
use crate::sys::rights::{self, Capability};
use std::io;
use std::net::SocketAddr;

/// Why this process cannot run as it is to.
#[derive(Debug, thiserror::Error)]
pub enum RightsError {
    /// There is no such user or group on this host.
    #[error("{}: {}: {}", .0.key, .0, UnknownAccount::REMEDY)]
    Unknown(UnknownAccount),
    /// Only root may become another user.
    #[error(
        "runtime.user: only root can become \"{name}\", and this is user {user}: start it as root, or as \
         \"{name}\", or remove the key"
    )]
    NotRoot {
        /// Who is to be become.
        name: String,
        /// Who this is.
        user: u32,
    },
    /// The kernel refuses.
    #[error("runtime.user: cannot become \"{name}\": {error}")]
    Refused {
        /// Who is to be become.
        name: String,
        /// Why not.
        error: io::Error,
    },
    /// The users of this host cannot be looked up.
    #[error("runtime.user: {0}")]
    Database(#[from] io::Error),
}

/// A user or group that this host does not have.
#[derive(Debug, thiserror::Error)]
#[error("this host has no {what} \"{name}\"")]
pub struct UnknownAccount {
    /// The key.
    pub key: &'static str,
    /// `user` or `group`.
    pub what: &'static str,
    /// What is written.
    pub name: String,
}

impl UnknownAccount {
    /// What to do about it.
    pub const REMEDY: &str = "create it, or write the name or number of another";
}

/// Becomes the user of the configuration, if there is one, and never more than that. There are no other threads
/// yet, and all that is opened from here on is opened with that user's rights.
///
/// # Errors
/// See [`RightsError`].
pub(super) fn settle(config: &Config) -> Result<(), RightsError> {
    // Where the kernel does not have it, nothing is lost that was there.
    if let Err(error) = privileges::never_more() {
        tracing::warn!(%error, "PR_SET_NO_NEW_PRIVS is refused");
    }
    let Some(name) = &config.runtime.user else { return Ok(()) };
    let account = account(name, &config.runtime)?;
    let user = rights::user();
    if user == account.user {
        // systemd, or the process before this one, has seen to it.
        return Ok(());
    }
    if user != 0 {
        return Err(RightsError::NotRoot { name: name.clone(), user });
    }
    let keep = kept(config, limits::unprivileged_port_start().unwrap_or(1024));
    privileges::become_account(account, keep)
        .map_err(|error| RightsError::Refused { name: name.clone(), error })?;
    tracing::info!(user = account.user, group = account.group, kept = ?keep, "root is given up");
    Ok(())
}

/// Whom the configuration names; `None`: nobody.
///
/// # Errors
/// There is no such user or group on this host, or its users cannot be looked up.
pub fn account_of(runtime: &Runtime) -> Result<Option<Account>, RightsError> {
    runtime.user.as_deref().map(|name| account(name, runtime)).transpose()
}

/// By name, or by number where no name is that number.
fn account(name: &str, runtime: &Runtime) -> Result<Account, RightsError> {
    let unknown =
        |key, what, name: &str| RightsError::Unknown(UnknownAccount { key, what, name: name.to_owned() });
    let number = |text: &str| text.parse::<u32>().ok();
    let group = match &runtime.group {
        None => None,
        Some(group) => {
            let found = privileges::group_named(group)?.or_else(|| number(group));
            Some(found.ok_or_else(|| unknown("runtime.group", "group", group))?)
        }
    };
    match (privileges::account_named(name)?, number(name)) {
        (Some(account), _) => Ok(Account { group: group.unwrap_or(account.group), ..account }),
        (None, Some(user)) => Ok(Account { user, group: group.unwrap_or(user) }),
        (None, None) => Err(unknown("runtime.user", "user", name)),
    }
}

/// Of all that root may do, only what another bind of the same ports takes, in a reload or an upgrade.
fn kept(config: &Config, unprivileged_from: u32) -> &'static [Capability] {
    let admin = match config.admin.listen {
        AdminListen::Tcp(address) => Some(address),
        AdminListen::Unix(_) => None,
    };
    let bound = config.listeners.iter().flat_map(|listener| &listener.bind).chain(&admin);
    let mut ports = bound.map(SocketAddr::port);
    match ports.any(|port| port != 0 && u32::from(port) < unprivileged_from) {
        true => &[Capability::NetBindService],
        false => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::load::parse_str;

    fn config(bind: &str) -> Config {
        let upstream = "[[upstream]]\nname = \"app\"\nendpoints = [\"127.0.0.1:3000\"]\n";
        let text = format!("[[listener]]\nbind = \"{bind}\"\nupstream = \"app\"\n{upstream}");
        parse_str("x.toml", &text).unwrap().config
    }

    #[test]
    fn the_right_to_low_ports_is_kept_where_one_is_bound() {
        assert_eq!(kept(&config("0.0.0.0:80"), 1024), [Capability::NetBindService]);
        assert_eq!(kept(&config("0.0.0.0:80"), 80), []);
        assert_eq!(kept(&config("0.0.0.0:8080"), 1024), []);
        assert_eq!(kept(&config("0.0.0.0:0"), 1024), []);
    }

    #[test]
    fn accounts_are_names_or_numbers() {
        let runtime = |group: Option<&str>| Runtime {
            group: group.map(str::to_owned),
            ..config("127.0.0.1:0").runtime
        };
        let of = |name: &str, group| account(name, &runtime(group)).map_err(|error| error.to_string());
        assert_eq!(of("root", None), Ok(Account { user: 0, group: 0 }));
        assert_eq!(of("4711", None), Ok(Account { user: 4711, group: 4711 }));
        assert_eq!(of("4711", Some("root")), Ok(Account { user: 4711, group: 0 }));
        assert_eq!(of("root", Some("4712")), Ok(Account { user: 0, group: 4712 }));
        let error = of("no-such-user-here", None).unwrap_err();
        assert!(error.starts_with("runtime.user: this host has no user \"no-such-user-here\": "), "{error}");
        let error = of("root", Some("no-such-group-here")).unwrap_err();
        assert!(error.starts_with("runtime.group: this host has no group "), "{error}");
        assert_eq!(account_of(&runtime(None)).unwrap(), None, "nobody is named");
    }
}
