//! `GET /events`: every second one snapshot, taken once for all subscribers.
//!
//! What is sent is kept in one place, and each subscriber looks there when it is ready for more: one
//! that reads slowly finds the newest snapshot and has missed those between. So nobody waits for it,
//! and it costs no more memory than one snapshot on its way.

use crate::observe::snapshot::Snapshot;
use hyper::body::{Body, Bytes, Frame};
use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

/// Subscribers at once: each holds one of the admin server's connections for as long as it likes.
pub(super) const SUBSCRIBERS: usize = 16;

/// When nothing has been sent for this long, a comment says that the connection is alive.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// After a broken connection, browsers wait for this long.
const GREETING: &[u8] = b"retry: 2000\n\n";
const COMMENT: &[u8] = b": alive\n\n";
/// The last event, when the server ends: a connection that breaks off is something else.
const END: &[u8] = b"event: end\ndata: {}\n\n";

/// Where snapshots go.
#[derive(Debug)]
pub(super) struct Feed {
    latest: watch::Sender<Bytes>,
    published: AtomicU64,
    places: Arc<Semaphore>,
    first: Notify,
    closing: CancellationToken,
}

impl Feed {
    /// Every stream ends when `closing` is cancelled.
    pub(super) fn new(closing: CancellationToken) -> Self {
        Self {
            latest: watch::Sender::new(Bytes::new()),
            published: AtomicU64::new(0),
            places: Arc::new(Semaphore::new(SUBSCRIBERS)),
            first: Notify::new(),
            closing,
        }
    }

    /// Whether there is a subscriber.
    pub(super) fn is_heard(&self) -> bool {
        self.latest.receiver_count() > 0
    }

    /// Waits for a subscriber where there was none. Cancel-safe.
    pub(super) async fn first_subscriber(&self) {
        self.first.notified().await;
    }

    /// Sends a snapshot to all subscribers.
    pub(super) fn publish(&self, snapshot: &Snapshot) {
        let number = self.published.fetch_add(1, Relaxed) + 1;
        let mut event = format!("id: {number}\nevent: snapshot\ndata: ").into_bytes();
        // Compact JSON has no line feed, which would end the field.
        if let Err(error) = serde_json::to_writer(&mut event, snapshot) {
            tracing::error!(%error, "a snapshot could not be written as JSON");
            return;
        }
        event.extend_from_slice(b"\n\n");
        self.latest.send_replace(event.into());
    }

    /// Everything that is published from now on, with signs of life on `pulse`; `None` when there are
    /// [`SUBSCRIBERS`] already.
    pub(super) fn subscribe(&self, pulse: Arc<Pulse>) -> Option<Events> {
        let place = self.places.clone().try_acquire_owned().ok()?;
        if !self.is_heard() {
            self.first.notify_one();
        }
        let subscriber = Subscriber { latest: self.latest.subscribe(), closing: self.closing.clone(), place };
        pulse.beat();
        let greeting = async { Some((Bytes::from_static(GREETING), Some(subscriber))) };
        Some(Events { next: Box::pin(greeting), pulse })
    }
}

/// When a stream was last ready for more. hyper asks its body for more only while there is room in
/// the connection's buffer, so that a reader that has stopped shows here.
#[derive(Debug, Default)]
pub(super) struct Pulse(Mutex<Option<Instant>>);

impl Pulse {
    fn beat(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// The last sign of life; `None`: no stream was asked for on this connection.
    pub(super) fn last(&self) -> Option<Instant> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The body of an answer that goes on.
pub(super) struct Events {
    next: Pin<Box<dyn Future<Output = Step> + Send>>,
    pulse: Arc<Pulse>,
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events").field("pulse", &self.pulse).finish_non_exhaustive()
    }
}

/// What is sent next, and who goes on after it.
type Step = Option<(Bytes, Option<Subscriber>)>;

struct Subscriber {
    latest: watch::Receiver<Bytes>,
    closing: CancellationToken,
    #[expect(dead_code, reason = "given back on drop")]
    place: OwnedSemaphorePermit,
}

impl Subscriber {
    async fn next(mut self) -> Step {
        let changed = tokio::select! {
            () = self.closing.cancelled() => return Some((Bytes::from_static(END), None)),
            changed = timeout(HEARTBEAT, self.latest.changed()) => changed,
        };
        match changed {
            Err(_) => Some((Bytes::from_static(COMMENT), Some(self))),
            Ok(Err(_)) => None,
            Ok(Ok(())) => {
                let event = self.latest.borrow_and_update().clone();
                Some((event, Some(self)))
            }
        }
    }
}

impl Body for Events {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.pulse.beat();
        let Some((event, subscriber)) = ready!(self.next.as_mut().poll(context)) else {
            self.next = Box::pin(std::future::ready(None));
            return Poll::Ready(None);
        };
        self.next = match subscriber {
            Some(subscriber) => Box::pin(subscriber.next()),
            None => Box::pin(std::future::ready(None)),
        };
        Poll::Ready(Some(Ok(Frame::data(event))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::host::Host;
    use crate::observe::fixture;
    use http_body_util::BodyExt;

    fn snapshot() -> Snapshot {
        Snapshot::take(&fixture::registry(), Host::default())
    }

    async fn next(events: &mut Events) -> String {
        let frame = events.frame().await.expect("it goes on").expect("infallible");
        String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap()
    }

    /// With the clock stopped: whatever waits longest comes next.
    fn run<F: Future>(test: F) -> F::Output {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        runtime.enable_time().start_paused(true).build().unwrap().block_on(test)
    }

    #[test]
    fn a_reader_that_is_late_finds_the_newest_snapshot_only() {
        run(async {
            let feed = Feed::new(CancellationToken::new());
            let mut events = feed.subscribe(Arc::default()).unwrap();
            assert_eq!(next(&mut events).await, "retry: 2000\n\n");
            (0..1000).for_each(|_| feed.publish(&snapshot()));
            let event = next(&mut events).await;
            let lines: Vec<&str> = event.split('\n').collect();
            assert_eq!((lines.len(), lines[0], lines[1], lines[4]), (5, "id: 1000", "event: snapshot", ""));
            let read: Snapshot = serde_json::from_str(lines[2].strip_prefix("data: ").unwrap()).unwrap();
            assert_eq!(read.listeners, snapshot().listeners);
            assert_eq!(next(&mut events).await, ": alive\n\n", "nothing is sent twice");
        });
    }

    #[test]
    fn who_comes_late_gets_nothing_old_and_is_announced_when_first() {
        run(async {
            let feed = Feed::new(CancellationToken::new());
            feed.publish(&snapshot());
            assert!(!feed.is_heard());
            let mut events = feed.subscribe(Arc::default()).unwrap();
            timeout(Duration::ZERO, feed.first_subscriber()).await.expect("at once");
            let _second = feed.subscribe(Arc::default()).unwrap();
            assert!(timeout(Duration::ZERO, feed.first_subscriber()).await.is_err());
            next(&mut events).await;
            assert_eq!(next(&mut events).await, ": alive\n\n");
            feed.publish(&snapshot());
            assert!(next(&mut events).await.starts_with("id: 2\n"));
        });
    }

    #[test]
    fn places_are_bounded_and_given_back() {
        let feed = Feed::new(CancellationToken::new());
        let mut all: Vec<_> = (0..SUBSCRIBERS).map(|_| feed.subscribe(Arc::default()).unwrap()).collect();
        assert!(feed.subscribe(Arc::default()).is_none());
        all.pop();
        assert!(feed.subscribe(Arc::default()).is_some());
        all.clear();
        assert!(!feed.is_heard());
    }

    #[test]
    fn the_end_is_an_event_and_then_the_end_of_the_body() {
        run(async {
            let closing = CancellationToken::new();
            let feed = Feed::new(closing.clone());
            let mut events = feed.subscribe(Arc::default()).unwrap();
            next(&mut events).await;
            closing.cancel();
            assert_eq!(next(&mut events).await, "event: end\ndata: {}\n\n");
            assert!(events.frame().await.is_none());
            assert!(events.frame().await.is_none(), "even if asked again");
            assert!(!feed.is_heard());
        });
    }

    #[test]
    fn being_asked_for_more_is_a_sign_of_life() {
        run(async {
            let feed = Feed::new(CancellationToken::new());
            let pulse = Arc::new(Pulse::default());
            assert_eq!(pulse.last(), None);
            let mut events = feed.subscribe(pulse.clone()).unwrap();
            let begun = pulse.last().unwrap();
            next(&mut events).await;
            tokio::time::sleep(Duration::from_secs(60)).await;
            assert!(pulse.last().unwrap() < begun + Duration::from_secs(60));
            next(&mut events).await;
            assert!(pulse.last().unwrap() >= begun + Duration::from_secs(60));
        });
    }
}
