//! Everything that is read of the host, each figure with the reason where it cannot be read.

use crate::admin::Token;
use crate::config::model::{AccessLog, AdminListen, Config};
use crate::forward::splice::PIPE;
use crate::supervisor::{RightsError, account_of};
use crate::sys::probe::{self, Access, Purpose, SocketOption};
use crate::sys::rights::{self, Capabilities, Capability};
use crate::sys::sock_diag::{self, Filter, TcpState, TcpStates};
use crate::sys::{limits, sysctl};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Why something is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable(pub String);

impl From<io::Error> for Unreadable {
    fn from(error: io::Error) -> Self {
        Self(error.to_string())
    }
}

/// Something that is known, or why it is not.
pub type Fact<T> = Result<T, Unreadable>;

/// The host, as this process sees it.
#[derive(Clone, Debug)]
pub struct HostFacts {
    /// Settings of the kernel.
    pub sysctls: Sysctls,
    /// RLIMIT_NOFILE, soft and hard.
    pub nofile: Fact<(u64, u64)>,
    /// The effective user id.
    pub user: u32,
    /// Whom the configuration has it become, by number; or why there is no such user.
    pub account: Option<Result<u32, Stranger>>,
    /// What this process may do.
    pub capabilities: Fact<Capabilities>,
    /// Whether it may do that on the whole host.
    pub rules_host: Fact<bool>,
    /// The unit of net.ipv4.tcp_mem and fs.pipe-user-pages-soft, in bytes.
    pub page_size: Fact<u64>,
    /// Whether the kernel has a socket option.
    pub options: [(SocketOption, Fact<bool>); 4],
    /// Whether the kernel lists its sockets; if not, why.
    pub sock_diag: Result<(), String>,
    /// Whether bytes pass through a pipe of the size that long flows take; if not, why.
    pub splice: Result<(), (io::ErrorKind, String)>,
    /// Whether the addresses of the configuration are this host's.
    pub local: BTreeMap<IpAddr, Fact<bool>>,
    /// Where the admin server's Unix socket is to be made, if there is to be one.
    pub admin_socket: Option<Place>,
    /// The mode of the file with the admin server's token, if there is to be one; or why it is none.
    pub token: Option<Result<u32, String>>,
    /// Where the access log is to be written, if it is a file.
    pub access_log: Option<Place>,
}

/// Why there is nobody to become.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stranger {
    /// In words.
    pub why: String,
    /// What creates the account, where it is not there.
    pub command: Option<String>,
}

impl From<RightsError> for Stranger {
    fn from(error: RightsError) -> Self {
        let RightsError::Unknown(account) = error else {
            return Self { why: error.to_string(), command: None };
        };
        let command = Some(format!("{}add --system {}", account.what, account.name));
        Self { why: account.to_string(), command }
    }
}

/// A path that something is to be created at.
#[derive(Clone, Debug)]
pub struct Place {
    /// As it is configured.
    pub path: PathBuf,
    /// What is there.
    pub occupant: Fact<Occupant>,
    /// Whether that may be written to.
    pub file: Fact<Access>,
    /// Whether its directory may be written to.
    pub directory: Fact<Access>,
}

/// What stands at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occupant {
    /// Nothing.
    Nothing,
    /// A socket, of a process that may have ended.
    Socket,
    /// A directory.
    Directory,
    /// Something else.
    Other,
}

impl HostFacts {
    /// Looks at everything that a check of this configuration may ask for.
    pub fn read(config: &Config) -> Self {
        use SocketOption::{BindAddressNoPort, LocalPortRange, ReusePort, UserTimeout};
        let options = [ReusePort, BindAddressNoPort, LocalPortRange, UserTimeout];
        Self {
            sysctls: Sysctls::read(),
            nofile: limits::nofile().map_err(Unreadable::from),
            user: rights::user(),
            account: match account_of(&config.runtime) {
                Ok(account) => account.map(|account| Ok(account.user)),
                Err(error) => Some(Err(error.into())),
            },
            capabilities: Capabilities::effective().map_err(Unreadable::from),
            rules_host: rights::is_in_first_user_namespace().map_err(Unreadable::from),
            page_size: limits::page_size().map_err(Unreadable::from),
            options: options.map(|option| (option, option.is_there().map_err(Unreadable::from))),
            sock_diag: lists_sockets().map_err(|error| error.to_string()),
            splice: probe::splice(PIPE).map_err(|error| (error.kind(), error.to_string())),
            local: addresses(config)
                .map(|address| (address, probe::is_local(address).map_err(Unreadable::from)))
                .collect(),
            admin_socket: match &config.admin.listen {
                AdminListen::Unix(path) => Some(Place::of(path)),
                AdminListen::Tcp(_) => None,
            },
            token: config.admin.token_file.as_deref().map(token_mode),
            access_log: match &config.log.access {
                AccessLog::File(path) => Some(Place::of(path)),
                AccessLog::Off | AccessLog::Stdout => None,
            },
        }
    }

    /// The first two numbers of the kernel's release, "6.18.44-generic".
    pub(super) fn release(&self) -> Fact<(u32, u32)> {
        self.sysctls.parsed("kernel.osrelease", |text| {
            let mut parts = text.split(|c: char| !c.is_ascii_digit());
            Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
        })
    }

    /// Whether limits of the whole host are lifted by one of these capabilities.
    pub(super) fn is_exempt(&self, by: &[Capability]) -> Fact<bool> {
        let held = self.capabilities.clone()?;
        Ok(by.iter().any(|capability| held.has(*capability)) && self.rules_host.clone()?)
    }

    /// Whether the kernel has this option.
    pub(super) fn has_option(&self, wanted: SocketOption) -> Fact<bool> {
        let found = self.options.iter().find(|(option, _)| *option == wanted);
        found.map_or_else(|| Err(not_asked(&format!("{wanted:?}"))), |(_, answer)| answer.clone())
    }

    /// Whether the address is one of this host's.
    pub(super) fn is_local(&self, address: IpAddr) -> Fact<bool> {
        match self.local.get(&address) {
            Some(answer) => answer.clone(),
            None => Err(not_asked(&address.to_string())),
        }
    }
}

impl Place {
    fn of(path: &Path) -> Self {
        let directory = match path.parent() {
            Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
            Some(parent) => parent,
            None => path,
        };
        Self {
            path: path.to_owned(),
            occupant: occupant(path).map_err(Unreadable::from),
            file: probe::access(path, Purpose::Write).map_err(Unreadable::from),
            directory: probe::access(directory, Purpose::CreateIn).map_err(Unreadable::from),
        }
    }

    /// The directory, as the path has it.
    pub(super) fn directory(&self) -> String {
        let parent = self.path.parent().filter(|parent| !parent.as_os_str().is_empty());
        parent.unwrap_or(Path::new(".")).display().to_string()
    }
}

/// The settings of the kernel that the checks ask for.
#[derive(Clone, Debug)]
pub struct Sysctls(BTreeMap<&'static str, Fact<Option<String>>>);

impl Sysctls {
    /// Every name that is read.
    pub const NAMES: [&'static str; 35] = [
        "fs.file-max",
        "fs.file-nr",
        "fs.nr_open",
        "fs.pipe-max-size",
        "fs.pipe-user-pages-soft",
        "kernel.osrelease",
        "net.core.netdev_max_backlog",
        "net.core.somaxconn",
        "net.ipv4.ip_local_port_range",
        "net.ipv4.ip_local_reserved_ports",
        "net.ipv4.ip_nonlocal_bind",
        "net.ipv4.ip_unprivileged_port_start",
        "net.ipv4.tcp_abort_on_overflow",
        "net.ipv4.tcp_fin_timeout",
        "net.ipv4.tcp_keepalive_intvl",
        "net.ipv4.tcp_keepalive_probes",
        "net.ipv4.tcp_keepalive_time",
        "net.ipv4.tcp_max_syn_backlog",
        "net.ipv4.tcp_max_tw_buckets",
        "net.ipv4.tcp_mem",
        "net.ipv4.tcp_migrate_req",
        "net.ipv4.tcp_rmem",
        "net.ipv4.tcp_slow_start_after_idle",
        "net.ipv4.tcp_syncookies",
        "net.ipv4.tcp_timestamps",
        "net.ipv4.tcp_tw_reuse",
        "net.ipv4.tcp_wmem",
        "net.ipv6.ip_nonlocal_bind",
        "net.netfilter.nf_conntrack_buckets",
        "net.netfilter.nf_conntrack_count",
        "net.netfilter.nf_conntrack_max",
        "net.netfilter.nf_conntrack_tcp_be_liberal",
        "net.netfilter.nf_conntrack_tcp_timeout_close_wait",
        "net.netfilter.nf_conntrack_tcp_timeout_established",
        "net.netfilter.nf_conntrack_tcp_timeout_time_wait",
    ];

    fn read() -> Self {
        Self::from(|name| sysctl::read(name).map_err(Unreadable::from))
    }

    /// Every setting as `text` has it; `None`: the kernel shows none of that name.
    pub(super) fn from(text: impl Fn(&'static str) -> Fact<Option<String>>) -> Self {
        Self(Self::NAMES.iter().map(|name| (*name, text(name))).collect())
    }

    /// Changes one.
    #[cfg(test)]
    pub(super) fn set(&mut self, name: &'static str, text: Fact<Option<String>>) {
        assert!(self.0.insert(name, text).is_some(), "{name} is not read");
    }

    /// Whether the kernel shows it.
    pub(super) fn is_there(&self, name: &str) -> Fact<bool> {
        match self.0.get(name) {
            Some(Ok(text)) => Ok(text.is_some()),
            Some(Err(why)) => Err(why.clone()),
            None => Err(not_asked(name)),
        }
    }

    /// As it stands.
    pub(super) fn text(&self, name: &str) -> Fact<&str> {
        match self.0.get(name) {
            Some(Ok(Some(text))) => Ok(text),
            Some(Ok(None)) => {
                let why = "is not shown by this kernel or in this network namespace";
                Err(Unreadable(format!("{name} {why}")))
            }
            Some(Err(why)) => Err(why.clone()),
            None => Err(not_asked(name)),
        }
    }

    /// A number.
    pub(super) fn number(&self, name: &str) -> Fact<u64> {
        self.parsed(name, |text| text.parse().ok())
    }

    /// Several numbers.
    pub(super) fn numbers<T: FromStr, const N: usize>(&self, name: &str) -> Fact<[T; N]> {
        self.parsed(name, |text| {
            let numbers: Option<Vec<T>> =
                text.split_ascii_whitespace().map(|part| part.parse().ok()).collect();
            numbers?.try_into().ok()
        })
    }

    /// Two ports.
    pub(super) fn port_range(&self, name: &str) -> Fact<RangeInclusive<u16>> {
        self.numbers(name).map(|[first, last]| first..=last)
    }

    /// Ports and ranges of them, with commas: "8080,9000-9010".
    pub(super) fn port_list(&self, name: &str) -> Fact<Vec<RangeInclusive<u16>>> {
        self.parsed(name, |text| {
            let parts = text.split(',').filter(|part| !part.is_empty());
            let range = |part: &str| {
                let (first, last) = part.split_once('-').unwrap_or((part, part));
                Some(first.parse().ok()?..=last.parse().ok()?)
            };
            parts.map(range).collect()
        })
    }

    fn parsed<T>(&self, name: &str, parse: impl Fn(&str) -> Option<T>) -> Fact<T> {
        let text = self.text(name)?;
        parse(text).ok_or_else(|| Unreadable(format!("{name}: not understood: {text:?}")))
    }
}

/// A mistake of this program, which is better told than hidden.
fn not_asked(name: &str) -> Unreadable {
    Unreadable(format!("{name}: was not looked at"))
}

/// The addresses of which it matters whether they are here.
fn addresses(config: &Config) -> impl Iterator<Item = IpAddr> {
    let binds = config.listeners.iter().flat_map(|listener| listener.bind.iter().map(|bind| bind.ip()));
    let endpoints = config.upstreams.iter().flat_map(|upstream| upstream.endpoints.iter());
    let sources = config.upstreams.iter().flat_map(|upstream| upstream.source.addresses.iter().copied());
    let admin = match config.admin.listen {
        AdminListen::Tcp(address) => Some(address.ip()),
        AdminListen::Unix(_) => None,
    };
    binds.chain(endpoints.map(|endpoint| endpoint.address.ip())).chain(sources).chain(admin)
}

/// Permission bits of a file that holds a token.
fn token_mode(path: &Path) -> Result<u32, String> {
    Token::read(path).map_err(|error| error.to_string())?;
    let metadata = fs::metadata(path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(metadata.permissions().mode() & 0o7777)
}

/// Asks for the sockets that listen on the discard port (RFC 863): few answers, if any.
fn lists_sockets() -> io::Result<()> {
    let listening = TcpStates::of(&[TcpState::Listen]);
    sock_diag::visit(&Filter { local_port: Some(9), ..Filter::states(listening) }, |_| {})
}

fn occupant(path: &Path) -> io::Result<Occupant> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.file_type().is_socket() => Ok(Occupant::Socket),
        Ok(metadata) if metadata.is_dir() => Ok(Occupant::Directory),
        Ok(_) => Ok(Occupant::Other),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(Occupant::Nothing)
        }
        Err(error) => Err(error),
    }
}
