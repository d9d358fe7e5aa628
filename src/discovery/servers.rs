//! The name servers, over UDP, and TCP where an answer does not fit; and the files of this host that say
//! which they are.

use super::record::{Ask, Failure, Kind, Question, Record, Reply, Service};
use super::runtime::Runtime;
use super::search::Search;
use crate::config::model;
use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::{Query, ResponseCode};
use hickory_resolver::proto::rr::{self, Name, RData, RecordType};
use hickory_resolver::{Hosts, Resolver, system_conf};
use std::fs;
use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

const RESOLV_CONF: &str = "/etc/resolv.conf";
const HOSTS: &str = "/etc/hosts";
/// Servers asked at once.
const AT_ONCE: usize = 2;
/// Whom resolv.conf(5) means when it names nobody.
const LOCAL_SERVER: &[u8] = b"\nnameserver 127.0.0.1\n";

/// Who is asked, as the configuration and the files of this host have it.
#[derive(Debug)]
pub struct Servers {
    config: model::Resolver,
    open: Option<(Stamps, Arc<Open>)>,
}

/// When the files were changed.
type Stamps = [Option<(SystemTime, u64)>; 2];

/// Name servers that can be asked.
pub struct Open {
    /// One for each server: of several, it would take the failure of one for an answer.
    servers: Vec<Resolver<Runtime>>,
    hosts: Hosts,
    search: Search,
}

impl Servers {
    /// Nobody is asked yet.
    pub fn new(config: model::Resolver) -> Self {
        Self { config, open: None }
    }

    /// Others are asked from now on, if the configuration is another.
    pub fn configure(&mut self, config: &model::Resolver) {
        if self.config != *config {
            *self = Self::new(config.clone());
        }
    }

    /// Those to ask now: others than before if the files have changed since.
    ///
    /// # Errors
    /// When no resolver can be made of what the files say.
    pub fn open(&mut self) -> Result<Arc<Open>, String> {
        let stamps = [RESOLV_CONF, HOSTS].map(|path| {
            let file = fs::metadata(path).ok()?;
            Some((file.modified().ok()?, file.len()))
        });
        if let Some((of, open)) = &self.open
            && *of == stamps
        {
            return Ok(Arc::clone(open));
        }
        let open = Arc::new(Open::new(&self.config)?);
        self.open = Some((stamps, Arc::clone(&open)));
        Ok(open)
    }

    /// Begins anew with the next question: nothing of a connection that has failed is used again.
    pub fn forget(&mut self) {
        self.open = None;
    }
}

impl Open {
    fn new(config: &model::Resolver) -> Result<Self, String> {
        let (system, mut options) = system()?;
        let servers: Vec<NameServerConfig> = match &config.nameservers {
            Some(servers) => servers.iter().map(|server| name_server(server.ip(), server.port())).collect(),
            None => system.name_servers().to_vec(),
        };
        let domains = system.search().iter().map(plain).collect();
        let search = Search {
            domains: config.search.clone().unwrap_or(domains),
            ndots: config.ndots.unwrap_or(options.ndots),
        };
        options.timeout = config.timeout;
        // Those after the first.
        options.attempts = config.attempts - 1;
        // What is kept, and for how long, is decided elsewhere.
        options.cache_size = 0;
        options.use_hosts_file = ResolveHosts::Never;
        let resolver = |server| {
            let config = ResolverConfig::from_name_servers(vec![server]);
            let builder = Resolver::builder_with_config(config, Runtime::default());
            builder.with_options(options.clone()).build().map_err(|error| error.to_string())
        };
        Ok(Self {
            servers: servers.into_iter().map(resolver).collect::<Result<_, _>>()?,
            hosts: Hosts::from_system().unwrap_or_default(),
            search,
        })
    }

    /// Where names are looked for.
    pub fn search(&self) -> &Search {
        &self.search
    }
}

/// What `/etc/resolv.conf` says; nothing if there is none.
fn system() -> Result<(ResolverConfig, ResolverOpts), String> {
    let mut text = match fs::read(RESOLV_CONF) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(format!("{RESOLV_CONF}: {error}")),
    };
    if let Ok(read) = system_conf::parse_resolv_conf(&text) {
        return Ok(read);
    }
    text.extend_from_slice(LOCAL_SERVER);
    system_conf::parse_resolv_conf(&text).map_err(|error| format!("{RESOLV_CONF}: {error}"))
}

fn name_server(ip: IpAddr, port: u16) -> NameServerConfig {
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
        connection.port = port;
        connection
    });
    NameServerConfig::new(ip, true, connections.to_vec())
}

impl Ask for Open {
    async fn ask(&self, question: &Question) -> Reply {
        let name = match Name::from_ascii(format!("{}.", question.name)) {
            Ok(name) => name,
            Err(error) => return failed(false, error.to_string()),
        };
        let mut reply = failed(false, "there is no name server".to_owned());
        for some in self.servers.chunks(AT_ONCE) {
            reply = match some {
                [one, other] => either(lookup(one, &name, question), lookup(other, &name, question)).await,
                some => lookup(&some[0], &name, question).await,
            };
            if !matches!(reply, Reply::Failed(_)) {
                break;
            }
        }
        reply
    }

    fn hosts(&self, name: &str) -> Vec<IpAddr> {
        let Ok(name) = Name::from_ascii(name) else { return Vec::new() };
        let of = |kind| self.hosts.lookup_static_host(&Query::query(name.clone(), kind));
        let found = [RecordType::A, RecordType::AAAA].into_iter().filter_map(of);
        found.flat_map(|lookup| lookup.answers().iter().filter_map(address).collect::<Vec<_>>()).collect()
    }
}

impl std::fmt::Debug for Open {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Open").field("search", &self.search).finish_non_exhaustive()
    }
}

async fn lookup(server: &Resolver<Runtime>, name: &Name, question: &Question) -> Reply {
    let ask = || server.lookup(name.clone(), record_type(question.kind));
    let asked = match ask().await {
        Err(error) if is_lost(&error) => ask().await,
        asked => asked,
    };
    match asked {
        Ok(lookup) => records(lookup.answers(), lookup.additionals(), question.kind),
        Err(error) => refused(&error),
    }
}

/// Whether the connection that was asked on is gone, which the resolver keeps for the next question. A server may
/// close it at any time, and who has asked then asks again on another (RFC 7766 section 6.2.4).
fn is_lost(error: &NetError) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, NotConnected, UnexpectedEof};
    match error {
        // Its task has ended.
        NetError::Message(_) | NetError::Msg(_) => true,
        NetError::Io(error) => {
            matches!(error.kind(), BrokenPipe | ConnectionReset | NotConnected | UnexpectedEof)
        }
        _ => false,
    }
}

/// The first of two that is no failure.
async fn either(one: impl Future<Output = Reply>, other: impl Future<Output = Reply>) -> Reply {
    let (mut one, mut other) = (pin!(one), pin!(other));
    let (first, is_one) = tokio::select! {
        reply = &mut one => (reply, true),
        reply = &mut other => (reply, false),
    };
    if !matches!(first, Reply::Failed(_)) {
        return first;
    }
    let second = if is_one { other.await } else { one.await };
    match second {
        // Whoever said something knows more than who was silent.
        Reply::Failed(Failure { is_timeout: true, .. }) => first,
        second => second,
    }
}

fn record_type(kind: Kind) -> RecordType {
    match kind {
        Kind::A => RecordType::A,
        Kind::Aaaa => RecordType::AAAA,
        Kind::Srv => RecordType::SRV,
    }
}

/// What a message says that answers a question of this kind: its answers, and its additional records.
pub fn records(answers: &[rr::Record], additionals: &[rr::Record], kind: Kind) -> Reply {
    let wanted = answers.iter().filter(|record| record.record_type() == record_type(kind));
    let records: Vec<Record> = wanted.filter_map(record).collect();
    if records.is_empty() {
        return Reply::None { exists: true, ttl: None };
    }
    let others = additionals.iter();
    let others: Vec<_> =
        others.filter_map(|record| Some((plain(&record.name), address(record)?, record.ttl))).collect();
    // Aliases on the way count, too.
    let ttls = answers.iter().map(|record| record.ttl).chain(others.iter().map(|(_, _, ttl)| *ttl));
    Reply::Records {
        records,
        ttl: Duration::from_secs(ttls.min().unwrap_or(0).into()),
        others: others.into_iter().map(|(name, ip, _)| (name, ip)).collect(),
    }
}

fn record(record: &rr::Record) -> Option<Record> {
    match &record.data {
        RData::SRV(srv) => Some(Record::Service(Service {
            priority: srv.priority,
            target: plain(&srv.target),
            port: srv.port,
            weight: srv.weight,
        })),
        _ => address(record).map(Record::Address),
    }
}

fn address(record: &rr::Record) -> Option<IpAddr> {
    match &record.data {
        RData::A(a) => Some(IpAddr::V4(a.0)),
        RData::AAAA(aaaa) => Some(IpAddr::V6(aaaa.0)),
        _ => None,
    }
}

/// As names are compared here: absolute, lower-case, without the dot at the end.
fn plain(name: &Name) -> String {
    name.to_lowercase().to_ascii().trim_end_matches('.').to_owned()
}

fn refused(error: &NetError) -> Reply {
    match error {
        NetError::Dns(DnsError::NoRecordsFound(none)) => match none.response_code {
            ResponseCode::NoError | ResponseCode::NXDomain => Reply::None {
                exists: none.response_code == ResponseCode::NoError,
                ttl: none.negative_ttl.map(|seconds| Duration::from_secs(seconds.into())),
            },
            code => failed(false, code.to_string()),
        },
        NetError::Dns(DnsError::ResponseCode(code)) => failed(false, code.to_string()),
        NetError::Timeout => failed(true, "no answer in time".to_owned()),
        error => failed(false, error.to_string()),
    }
}

fn failed(is_timeout: bool, why: String) -> Reply {
    Reply::Failed(Failure { is_timeout, why })
}
