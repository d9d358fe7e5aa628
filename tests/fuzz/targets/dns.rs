//! Answers of name servers, as bytes: what becomes of a name is within its limits, and is somewhere to dial.

#![no_main]

use hickory_resolver::proto::op::Message;
use libfuzzer_sys::fuzz_target;
use millpond::config::model::{Discovery, DnsKind, DnsName, Family};
use millpond::discovery::record::{Ask, Failure, Question, Reply};
use millpond::discovery::search::Search;
use millpond::discovery::servers::records;
use millpond::discovery::walk::{Memory, Outcome, resolve};
use millpond::discovery::watch::Watch;
use std::future::{Future, ready};
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Mutex;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

const DISCOVERY: Discovery = Discovery {
    family: Family::Both,
    ttl_min: Duration::from_secs(1),
    ttl_max: Duration::from_secs(3600),
    grace: Duration::from_secs(60),
    max_endpoints: 5,
};

/// Answers with one message after the other.
struct Server(Mutex<Vec<Vec<u8>>>);

impl Ask for Server {
    fn ask(&self, question: &Question) -> impl Future<Output = Reply> + Send {
        let message = self.0.lock().expect("no panic").pop();
        let failed = |is_timeout| Reply::Failed(Failure { is_timeout, why: "no".into() });
        ready(match message.map(|bytes| Message::from_vec(&bytes)) {
            None => failed(true),
            Some(Err(_)) => failed(false),
            Some(Ok(message)) => records(&message.answers, &message.additionals, question.kind),
        })
    }

    fn hosts(&self, _: &str) -> Vec<IpAddr> {
        Vec::new()
    }
}

fuzz_target!(|input: &[u8]| {
    let Some((flags, messages)) = input.split_first() else { return };
    let discovery = &DISCOVERY;
    let kind = match flags & 1 {
        0 => DnsKind::Services,
        _ => DnsKind::Addresses { port: 80, weight: 1 },
    };
    let name = DnsName { name: "app.internal".into(), kind };
    let search = Search { domains: vec!["a".into()], ndots: usize::from(flags >> 1 & 1) };
    let server = Server(Mutex::new(messages.split(|byte| *byte == 0xfe).map(<[u8]>::to_vec).collect()));
    let (mut memory, mut now) = (Memory::default(), Instant::now());
    let mut watch = Watch::new(discovery.clone(), 7, now);
    for _ in 0..3 {
        let asked = pin!(resolve(&name, discovery, &search, &mut memory, &server));
        let Poll::Ready(outcome) = asked.poll(&mut Context::from_waker(Waker::noop())) else {
            panic!("nobody is waited for")
        };
        if let Outcome::Found(found) = &outcome {
            assert!(!found.endpoints.is_empty());
            assert!(
                found.endpoints.windows(2).all(|two| two[0].address < two[1].address),
                "by address, each once"
            );
            for endpoint in &found.endpoints {
                let ip = endpoint.address.ip();
                assert!(endpoint.weight > 0 && endpoint.address.port() > 0, "{endpoint:?}");
                assert!(!ip.is_unspecified() && !ip.is_multicast(), "{endpoint:?}");
            }
        }
        let before = watch.endpoints().len();
        let change = watch.note(outcome, now);
        assert!(watch.endpoints().len() <= discovery.max_endpoints);
        assert_eq!(before + change.added.len() - change.removed.len(), watch.endpoints().len());
        assert!(
            watch.due() > now && watch.due() < now + Duration::from_secs(2 * 24 * 3600),
            "it is asked again"
        );
        now = watch.due();
    }
});
