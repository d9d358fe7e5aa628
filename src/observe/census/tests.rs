use super::*;
use crate::command;
use crate::metrics::close_wait::Stuck;
use crate::observe::fixture::{self, Log};
use std::net::{Shutdown, TcpListener, TcpStream};

/// Runs `test` and returns what it logged.
fn logged(test: impl FnOnce()) -> Vec<String> {
    let log = Log::default();
    tracing::subscriber::with_default(log.subscriber(), test);
    log.lines()
}

/// A listener of the registry's, for which nobody accepts.
fn listening() -> (TcpListener, Arc<Registry>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut config = fixture::config();
    Arc::make_mut(&mut config.listeners[0]).bind = vec![listener.local_addr().unwrap()];
    (listener, fixture::registry_of(&config))
}

#[test]
fn it_counts_at_once_and_ends_when_it_is_dropped() {
    let registry = fixture::registry();
    registry.close_wait.failed("not yet".into());
    let census = Census::start(Arc::clone(&registry), Vec::new()).unwrap();
    let start = Instant::now();
    while registry.close_wait.stuck(Instant::now()).is_err() {
        assert!(start.elapsed() < Duration::from_secs(5));
        thread::yield_now();
    }
    drop(census);
    assert!(start.elapsed() < Duration::from_secs(5), "the thread has ended");
}

#[test]
fn what_no_worker_was_asked_about_is_not_called_nobodys() {
    let (listener, registry) = listening();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let _accepted = listener.accept().unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    // A worker that has ended hears nothing.
    let (ended, _) = command::channel();
    let (mut taker, start) = (Taker::new(Arc::clone(&registry), vec![ended]), Instant::now());
    let lines = logged(|| (0..10).for_each(|number| taker.take(start + Duration::from_secs(60 * number))));
    assert_eq!(registry.close_wait.stuck(start).map(|stuck: Stuck| stuck.count), Ok(1));
    assert_eq!(lines, [""; 0]);
}

#[test]
fn a_failure_is_said_once_and_so_is_its_end() {
    let (_, registry) = listening();
    let mut taker = Taker::new(registry, Vec::new());
    let error = io::Error::other("no answer");
    let lines = logged(|| {
        for error in [None, Some(&error), Some(&error), None, None, Some(&error)] {
            taker.report(0, "CLOSE_WAIT", error);
        }
        taker.report(1, "ports", None);
    });
    let failures: Vec<_> = lines.iter().map(|line| line.contains("cannot count")).collect();
    assert_eq!(failures, [true, false, true], "{lines:?}");
    assert!(lines[0].contains("no answer") && lines[1].contains("counts again"), "{lines:?}");
}
