//! `GET /connections`: the list is made on a thread of its own, one at a time.
//!
//! To look at all sockets of a host takes the kernel a while, and the answer of a large one is large. Neither
//! the control thread nor a worker waits for it, and only one list takes memory.

use super::reply::{Reply, busy, owned_text, whole};
use crate::observe::connections::{Lister, Query, WrongQuery};
use hyper::StatusCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

/// How long a list may wait for those before it.
const PATIENCE: Duration = Duration::from_secs(2);

/// Makes the lists.
#[derive(Clone, Debug)]
pub(super) struct Lists {
    lister: Arc<Lister>,
    turn: Arc<Semaphore>,
}

impl Lists {
    pub(super) fn new(lister: Lister) -> Self {
        Self { lister: Arc::new(lister), turn: Arc::new(Semaphore::new(1)) }
    }

    /// Answers this query.
    pub(super) async fn answer(self, query: Result<Query, WrongQuery>) -> Reply {
        let query = match query {
            Ok(query) => query,
            Err(wrong) => return refused(&wrong),
        };
        let Ok(Ok(turn)) = timeout(PATIENCE, self.turn.acquire_owned()).await else {
            return busy("another list is being made; ask again\n", "1");
        };
        let made = spawn_blocking(move || {
            // Until it is made, also if nobody waits for it any more.
            let _turn = turn;
            self.lister.list(&query).map(|listing| listing.json())
        });
        match made.await {
            Ok(Ok(Ok(json))) => whole(StatusCode::OK, "application/json", json.into()),
            Ok(Err(wrong)) => refused(&wrong),
            Ok(Ok(Err(error))) => failed(&error),
            Err(error) => failed(&error),
        }
    }
}

fn refused(wrong: &WrongQuery) -> Reply {
    owned_text(StatusCode::BAD_REQUEST, format!("{wrong}\n"))
}

fn failed(error: &dyn std::error::Error) -> Reply {
    tracing::error!(%error, "the connections could not be listed");
    owned_text(StatusCode::INTERNAL_SERVER_ERROR, "the connections could not be listed\n".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::Crew;
    use crate::observe::fixture;
    use hyper::header::RETRY_AFTER;

    fn lists() -> Lists {
        Lists::new(Lister::new(fixture::registry(), Crew::default()))
    }

    #[tokio::test(start_paused = true)]
    async fn a_second_list_waits_for_the_first_and_not_for_ever() {
        let lists = lists();
        let first = Arc::clone(&lists.turn).acquire_owned().await.unwrap();
        let refused = lists.clone().answer(Query::parse("")).await;
        assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(refused.headers()[RETRY_AFTER], "1");

        let second = tokio::spawn(lists.clone().answer(Query::parse("")));
        tokio::task::yield_now().await;
        drop(first);
        assert_eq!(second.await.unwrap().status(), StatusCode::OK);
        assert_eq!(lists.turn.available_permits(), 1);
    }

    /// It is being made all the same: a worker that says nothing takes a second.
    #[tokio::test]
    async fn a_list_that_nobody_waits_for_any_more_keeps_its_turn() {
        let (silent, _kept) = crate::command::channel();
        let lists = Lists::new(Lister::new(fixture::registry(), Crew::new(vec![(0, silent)])));
        let start = std::time::Instant::now();
        let asked = tokio::spawn(lists.clone().answer(Query::parse("")));
        while lists.turn.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        asked.abort();
        assert!(asked.await.is_err());
        let _next = lists.turn.acquire().await.unwrap();
        assert!(start.elapsed() >= Duration::from_secs(1));
    }

    #[tokio::test]
    async fn a_wrong_question_waits_for_nobody() {
        let lists = lists();
        let _first = Arc::clone(&lists.turn).acquire_owned().await.unwrap();
        assert_eq!(lists.answer(Query::parse("limit=x")).await.status(), StatusCode::BAD_REQUEST);
    }
}
