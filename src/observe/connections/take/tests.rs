//! A list where a worker says nothing, or something else. Real sockets, of this process.

use super::super::Connections;
use super::*;
use crate::command::{self, Crew, Receiver as Commands};
use crate::observe::fixture;
use crate::session::Phase;
use std::net::{SocketAddr, TcpListener, TcpStream};

/// A registry whose first listener this process has, and a client of it that is accepted.
struct Scene {
    registry: Arc<Registry>,
    client: TcpStream,
    _accepted: TcpStream,
}

impl Scene {
    fn new() -> Self {
        let listening = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut config = fixture::config();
        Arc::make_mut(&mut config.listeners[0]).bind = vec![listening.local_addr().unwrap()];
        let client = TcpStream::connect(listening.local_addr().unwrap()).unwrap();
        let accepted = listening.accept().unwrap().0;
        Self { registry: fixture::registry_of(&config), client, _accepted: accepted }
    }

    /// What is listed of the client, and the notes.
    fn list(&self, workers: Vec<Sender>) -> (Vec<Connection>, Vec<String>) {
        let address = self.registry.running().listeners[0].address;
        let query = Query::parse(&format!("listener={address}")).unwrap();
        let workers = Crew::new(workers.into_iter().enumerate().collect());
        let listing = Lister::new(Arc::clone(&self.registry), workers).list(&query).unwrap();
        let listed: Connections = serde_json::from_slice(&listing.json().unwrap()).unwrap();
        assert_eq!(listed.matching as usize, listed.connections.len());
        (listed.connections, listed.notes)
    }
}

/// A worker that tells this, if it tells anything.
fn worker(mut commands: Commands, pages: Vec<Vec<Held>>) {
    std::thread::spawn(move || {
        if let Some(Command::List { answer }) = commands.blocking_recv() {
            pages.into_iter().for_each(|page| answer.send(page).unwrap());
        }
    });
}

#[test]
fn a_worker_that_does_not_answer_costs_owners_and_a_second() {
    let scene = Scene::new();
    let ((silent, _kept), (gone, dropped), (there, commands)) =
        (command::channel(), command::channel(), command::channel());
    drop(dropped);
    worker(commands, vec![vec![]]);
    let start = Instant::now();
    let (listed, notes) = scene.list(vec![silent, gone, there]);
    assert!(start.elapsed() >= PATIENCE);
    let note = |worker| format!("worker {worker} did not answer within 1 s: its connections lack an owner");
    assert_eq!(notes, [note(0)], "and the one that has ended has none");
    let [client] = &listed[..] else { panic!("{listed:?}") };
    assert_eq!(client.peer, scene.client.local_addr().unwrap().to_string());
    assert_eq!((client.state.as_deref(), &client.phase, client.worker), (Some("established"), &None, None));
    assert_eq!(client.unread_bytes, Some(0));
}

#[test]
fn what_a_worker_told_before_it_fell_silent_counts() {
    let scene = Scene::new();
    let session = Held::Session {
        listener: Arc::clone(&scene.registry.running().listeners[0]),
        client: scene.client.local_addr().unwrap(),
        phase: Phase::Tunnel,
        opened: Instant::now(),
        link: None,
    };
    let (sender, commands) = command::channel();
    // Without an end.
    worker(commands, vec![vec![session]]);
    let (listed, notes) = scene.list(vec![sender]);
    assert_eq!((listed.len(), notes.len()), (1, 1));
    assert_eq!((listed[0].phase.as_deref(), listed[0].worker), (Some("tunnel"), Some(0)));
}

#[test]
fn an_answer_is_json_with_a_line_for_each() {
    let row = |n: u16| {
        let ends = crate::addr::Ends::new(SocketAddr::from(([127, 0, 0, 1], n)), ([127, 0, 0, 1], 1).into());
        Row {
            peer: Peer::Client,
            ends,
            listener: None,
            upstream: None,
            endpoint: None,
            client: None,
            phase: None,
            state: None,
            age: Some(Duration::from_micros(1_234_567)),
            state_age: None,
            figures: None,
            uses: None,
            worker: None,
        }
    };
    for rows in [0, 1, 2] {
        let listing = Listing {
            rows: (0..rows).map(row).collect(),
            matching: 7,
            states: [("established", 3)].into(),
            notes: vec!["why".into()],
        };
        let text = String::from_utf8(listing.json().unwrap()).unwrap();
        let parsed: Connections = serde_json::from_str(&text).unwrap();
        assert_eq!((parsed.connections.len(), parsed.matching), (usize::from(rows), 7));
        assert_eq!(parsed.notes, ["why"]);
        assert_eq!(parsed.tcp_states, [("established".to_owned(), 3)].into());
        assert_eq!(text.lines().count(), usize::from(rows) + 2, "{text}");
        assert!(parsed.connections.iter().all(|c| c.age_s == Some(1.235)), "{text}");
    }
}
