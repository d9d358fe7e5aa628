//! A name server that says what a test has written down, over UDP and TCP.

use super::{Refusing, eventually};
use hickory_resolver::proto::op::{Message, MessageType, Query, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, AAAA, CNAME, SOA, SRV};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How soon its threads notice that they are to end.
const TICK: Duration = Duration::from_millis(20);

/// How it treats whoever asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    /// As it should.
    Well,
    /// With this code and nothing else.
    Code(ResponseCode),
    /// Not at all.
    Silent,
    /// With bytes that are no message.
    Garbage,
    /// Over UDP, says that the answer is too long.
    Truncating,
}

/// A name server on loopback. Dropped, it ends.
#[derive(Debug)]
pub(crate) struct NameServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    zone: Mutex<HashMap<Name, Vec<Record>>>,
    mood: Mutex<Mood>,
    asked: Mutex<Vec<String>>,
    has_ended: AtomicBool,
}

impl NameServer {
    /// One that knows no name.
    pub(crate) fn start() -> Self {
        Self::on(Refusing::new().listen())
    }

    /// The same where one was that has ended.
    pub(crate) fn at(address: SocketAddr) -> Self {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        // What is left of questions by TCP is of no importance.
        socket.set_reuse_address(true).unwrap();
        socket.bind(&address.into()).unwrap();
        socket.listen(16).unwrap();
        Self::on(socket.into())
    }

    fn on(tcp: TcpListener) -> Self {
        let shared = Arc::new(Shared {
            zone: Mutex::default(),
            mood: Mutex::new(Mood::Well),
            asked: Mutex::default(),
            has_ended: AtomicBool::new(false),
        });
        let address = tcp.local_addr().unwrap();
        // Whoever asks a server, another test's too, has a UDP port of all addresses until the answer is there.
        let mut udp = None;
        eventually("the port is free for UDP, too", || {
            udp = UdpSocket::bind(address).ok();
            udp.is_some()
        });
        let udp = udp.expect("it is bound");
        let (one, other) = (Arc::clone(&shared), Arc::clone(&shared));
        let threads =
            vec![thread::spawn(move || one.serve_udp(&udp)), thread::spawn(move || other.serve_tcp(&tcp))];
        Self { address, shared, threads }
    }

    /// A `[resolver]` that asks it, and nobody else, without patience.
    pub(crate) fn resolver(&self) -> String {
        format!(
            "[resolver]\nnameservers = [\"{}\"]\nsearch = []\nndots = 1\ntimeout = \"300ms\"\nattempts = 1\n",
            self.address
        )
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// These are the addresses of the name from now on, whatever else it has.
    pub(crate) fn has(&self, name: &str, ttl: u32, ips: &[IpAddr]) {
        let data = ips.iter().map(|ip| match ip {
            IpAddr::V4(v4) => RData::A(A(*v4)),
            IpAddr::V6(v6) => RData::AAAA(AAAA(*v6)),
        });
        self.records(name, ttl, data);
    }

    /// The name is another name for this one.
    pub(crate) fn alias(&self, name: &str, ttl: u32, of: &str) {
        self.records(name, ttl, [RData::CNAME(CNAME(absolute(of)))]);
    }

    /// The name has these services: priority, weight, port, target.
    pub(crate) fn services(&self, name: &str, ttl: u32, services: &[(u16, u16, u16, &str)]) {
        let service = |(priority, weight, port, target): &(u16, u16, u16, &str)| {
            RData::SRV(SRV::new(*priority, *weight, *port, absolute(target)))
        };
        self.records(name, ttl, services.iter().map(service));
    }

    /// There is no such name from now on.
    pub(crate) fn forget(&self, name: &str) {
        self.shared.zone.lock().unwrap().remove(&absolute(name));
    }

    pub(crate) fn is(&self, mood: Mood) {
        *self.shared.mood.lock().unwrap() = mood;
    }

    /// What it was asked so far: `udp A app.test`.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.shared.asked.lock().unwrap().clone()
    }

    /// Waits until it was asked so many more times.
    #[track_caller]
    pub(crate) fn wait_for_questions(&self, more: usize) {
        let wanted = self.asked().len() + more;
        eventually("it is asked", || self.asked().len() >= wanted);
    }

    fn records(&self, name: &str, ttl: u32, data: impl IntoIterator<Item = RData>) {
        let name = absolute(name);
        let records = data.into_iter().map(|data| Record::from_rdata(name.clone(), ttl, data)).collect();
        self.shared.zone.lock().unwrap().insert(name, records);
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.shared.has_ended.store(true, Relaxed);
        for thread in self.threads.drain(..) {
            let ended = thread.join();
            assert!(thread::panicking() || ended.is_ok(), "a name server has panicked");
        }
    }
}

impl Shared {
    fn serve_udp(&self, socket: &UdpSocket) {
        socket.set_read_timeout(Some(TICK)).unwrap();
        let mut buffer = [0; 4096];
        while !self.has_ended.load(Relaxed) {
            let Ok((len, from)) = socket.recv_from(&mut buffer) else { continue };
            if let Some(answer) = self.answer(&buffer[..len], "udp") {
                socket.send_to(&answer, from).unwrap();
            }
        }
    }

    /// One question a connection, as few ask for more.
    fn serve_tcp(&self, listener: &TcpListener) {
        listener.set_nonblocking(true).unwrap();
        while !self.has_ended.load(Relaxed) {
            match listener.accept() {
                // Whoever asks may leave at any time.
                Ok((stream, _)) => _ = self.serve_stream(stream),
                Err(_) => thread::sleep(TICK / 10),
            }
        }
    }

    fn serve_stream(&self, mut stream: TcpStream) -> std::io::Result<()> {
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        let mut len = [0; 2];
        stream.read_exact(&mut len)?;
        let mut question = vec![0; u16::from_be_bytes(len).into()];
        stream.read_exact(&mut question)?;
        if let Some(answer) = self.answer(&question, "tcp") {
            let len = u16::try_from(answer.len()).expect("a test's answer is short");
            stream.write_all(&[&len.to_be_bytes()[..], &answer].concat())?;
        }
        Ok(())
    }

    fn answer(&self, question: &[u8], over: &str) -> Option<Vec<u8>> {
        let question = Message::from_vec(question).expect("a well-formed question");
        let query = question.queries.first().expect("a question").clone();
        let name = query.name().to_ascii().trim_end_matches('.').to_lowercase();
        self.asked.lock().unwrap().push(format!("{over} {} {name}", query.query_type()));
        let mut answer = Message::response(question.id, question.op_code);
        answer.metadata.recursion_desired = true;
        answer.metadata.recursion_available = true;
        answer.add_query(query.clone());
        let mood = *self.mood.lock().unwrap();
        match mood {
            Mood::Silent => return None,
            Mood::Garbage => return Some(b"\x00\x01garbage".to_vec()),
            Mood::Code(code) => answer.metadata.response_code = code,
            Mood::Truncating if over == "udp" => answer.metadata.truncation = true,
            Mood::Well | Mood::Truncating => self.tell(&query, &mut answer),
        }
        assert_eq!(answer.metadata.message_type, MessageType::Response);
        Some(answer.to_vec().unwrap())
    }

    /// What the zone says, through aliases, with the addresses of the hosts of services.
    fn tell(&self, query: &Query, answer: &mut Message) {
        let zone = self.zone.lock().unwrap();
        let mut name = query.name().to_lowercase();
        let mut is_there = false;
        while let Some(records) = zone.get(&name) {
            is_there = true;
            let wanted = [query.query_type(), RecordType::CNAME];
            let told = records.iter().filter(|record| wanted.contains(&record.record_type()));
            answer.add_answers(told.cloned());
            match records.iter().find_map(|record| match &record.data {
                RData::CNAME(alias) => Some(alias.0.clone()),
                _ => None,
            }) {
                Some(next) => name = next,
                None => break,
            }
        }
        let is_answered = answer.answers.iter().any(|record| record.record_type() == query.query_type());
        if !is_there {
            answer.metadata.response_code = ResponseCode::NXDomain;
        }
        if !is_answered {
            // Its last number is how long it may be kept that there is nothing (RFC 2308).
            let soa = SOA::new(absolute("ns.test"), absolute("root.test"), 1, 1, 1, 1, 1);
            answer.add_authority(Record::from_rdata(absolute("test"), 1, RData::SOA(soa)));
        }
    }
}

fn absolute(name: &str) -> Name {
    Name::from_ascii(format!("{}.", name.trim_end_matches('.'))).unwrap()
}
