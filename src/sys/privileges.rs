//! Becoming another user, with fewer rights, for good. credentials(7), capabilities(7), prctl(2)

use super::rights::Capability;
use super::succeeded;
use rustix::process::{DumpableBehavior, set_dumpable_behavior};
use rustix::thread::{
    CapabilitySet, CapabilitySets, configure_capability_in_ambient_set, set_capabilities,
    set_keep_capabilities, set_no_new_privs,
};
use std::ffi::CString;
use std::{io, mem, ptr};

/// A user with a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Account {
    /// The user's number.
    pub user: u32,
    /// The group's number.
    pub group: u32,
}

/// Entries of the user database are no longer than this, in bytes.
const ENTRY_MAX: usize = 64 * 1024;

/// The account of a user by name, with the user's own group; `None`: there is no such user. getpwnam_r(3)
///
/// # Errors
/// The database of users cannot be read.
#[allow(unsafe_code)]
pub fn account_named(name: &str) -> io::Result<Option<Account>> {
    let name = CString::new(name)?;
    let mut buffer = vec![0; ENTRY_MAX];
    // SAFETY: passwd is numbers and pointers, for all of which zeroes are a value.
    let mut entry: libc::passwd = unsafe { mem::zeroed() };
    let mut found = ptr::null_mut();
    // SAFETY: the name ends with a zero; entry, buffer and found are valid for as long as the call lasts, and
    // the length is that of the buffer. Of the entry only numbers are read afterwards.
    let error = unsafe {
        libc::getpwnam_r(name.as_ptr(), &raw mut entry, buffer.as_mut_ptr(), buffer.len(), &raw mut found)
    };
    let is_known = is_known(error, found)?;
    Ok(is_known.then_some(Account { user: entry.pw_uid, group: entry.pw_gid }))
}

/// The number of a group by name; `None`: there is no such group. getgrnam_r(3)
///
/// # Errors
/// The database of groups cannot be read.
#[allow(unsafe_code)]
pub fn group_named(name: &str) -> io::Result<Option<u32>> {
    let name = CString::new(name)?;
    let mut buffer = vec![0; ENTRY_MAX];
    // SAFETY: group is numbers and pointers, for all of which zeroes are a value.
    let mut entry: libc::group = unsafe { mem::zeroed() };
    let mut found = ptr::null_mut();
    // SAFETY: as in `account_named`.
    let error = unsafe {
        libc::getgrnam_r(name.as_ptr(), &raw mut entry, buffer.as_mut_ptr(), buffer.len(), &raw mut found)
    };
    Ok(is_known(error, found)?.then_some(entry.gr_gid))
}

/// Whether a database has what it was asked for: what it has answered, and the entry that it has found.
fn is_known<T>(error: libc::c_int, found: *const T) -> io::Result<bool> {
    match error {
        0 => Ok(!found.is_null()),
        // What some databases answer for a name that they do not know.
        libc::ENOENT | libc::ESRCH => Ok(false),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

/// This process, and what it starts, is never more than it is: no set-user-ID program and no file capability
/// changes that. PR_SET_NO_NEW_PRIVS(2const)
///
/// # Errors
/// The kernel has no such thing.
pub fn never_more() -> io::Result<()> {
    Ok(set_no_new_privs(true)?)
}

/// Becomes this user, in this group and no other, for good, and keeps no capability but these. To be called
/// before any other thread is started: capabilities are a thread's own, and what it starts has its.
///
/// # Errors
/// This process may not, which leaves it as it is or, for `keep`, with less.
pub fn become_account(account: Account, keep: &[Capability]) -> io::Result<()> {
    set_keep_capabilities(!keep.is_empty())?;
    set_ids(account)?;
    let kept = keep.iter().fold(CapabilitySet::empty(), |set, one| set | bit(*one));
    set_capabilities(None, CapabilitySets { effective: kept, permitted: kept, inheritable: kept })?;
    for capability in keep {
        // What an upgrade starts has them too.
        configure_capability_in_ambient_set(bit(*capability), true)?;
    }
    set_keep_capabilities(false)?;
    // Another user's process has /proc/self owned by root until this says that it is no secret.
    Ok(set_dumpable_behavior(DumpableBehavior::Dumpable)?)
}

/// The C library changes them in every thread. setgroups(2), setresgid(2), setresuid(2), nptl(7)
#[allow(unsafe_code)]
fn set_ids(Account { user, group }: Account) -> io::Result<()> {
    let groups = [group];
    // SAFETY: the list is one group long, and so is said.
    succeeded(unsafe { libc::setgroups(1, groups.as_ptr()) })?;
    // SAFETY: the call takes numbers.
    succeeded(unsafe { libc::setresgid(group, group, group) })?;
    // SAFETY: the call takes numbers.
    succeeded(unsafe { libc::setresuid(user, user, user) })
}

fn bit(capability: Capability) -> CapabilitySet {
    CapabilitySet::from_bits_retain(1 << capability as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_and_groups_are_found_by_name() {
        assert_eq!(account_named("root").unwrap(), Some(Account { user: 0, group: 0 }));
        assert_eq!(group_named("root").unwrap(), Some(0));
        for nobody in ["no-such-user-here", ""] {
            assert_eq!((account_named(nobody).unwrap(), group_named(nobody).unwrap()), (None, None));
        }
        assert!(account_named("a\0b").is_err());
    }

    #[test]
    fn a_capability_has_the_same_number_everywhere() {
        assert_eq!(bit(Capability::NetBindService), CapabilitySet::NET_BIND_SERVICE);
        assert_eq!(bit(Capability::SysResource), CapabilitySet::SYS_RESOURCE);
    }
}
