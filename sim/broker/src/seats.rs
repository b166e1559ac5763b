//! One seat per client id: who comes again waits until the former connection is closed through and through.
//!
//! MQTT lets a new connection take over the session of an old one with the same client id. The broker behind the
//! front must not do that itself, see there: the front ends the old connection before it begins the new one.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex as StdMutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Mutex, MutexGuard, watch};
use tokio::time::timeout;

#[derive(Debug, Default)]
pub(crate) struct Seats {
    by_client_id: StdMutex<HashMap<Vec<u8>, Arc<Seat>>>,
}

#[derive(Debug)]
struct Seat {
    /// Counts those who want it.
    newest: watch::Sender<u64>,
    turn: Mutex<()>,
}

/// A claim to a seat; it ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Claim {
    seats: Arc<Seats>,
    client_id: Vec<u8>,
    seat: Arc<Seat>,
    number: u64,
}

impl Seats {
    /// Claims the seat of a client id; the one who sits there is told to go.
    pub(crate) fn claim(self: &Arc<Self>, client_id: &[u8]) -> Claim {
        let mut by_client_id = self.by_client_id.lock().unwrap_or_else(PoisonError::into_inner);
        let new_seat = || Arc::new(Seat { newest: watch::Sender::new(0), turn: Mutex::new(()) });
        let seat = Arc::clone(by_client_id.entry(client_id.to_owned()).or_insert_with(new_seat));
        let mut number = 0;
        seat.newest.send_modify(|newest| {
            *newest += 1;
            number = *newest;
        });
        Claim { seats: Arc::clone(self), client_id: client_id.to_owned(), seat, number }
    }
}

impl Claim {
    /// Waits until the one before is gone.
    pub(crate) async fn sit_down(&self, patience: Duration) -> io::Result<MutexGuard<'_, ()>> {
        timeout(patience, self.seat.turn.lock()).await.map_err(io::Error::from)
    }

    /// Waits until somebody newer wants the seat.
    pub(crate) async fn is_wanted(&self) {
        // The sender lives as long as the claim.
        self.seat.newest.subscribe().wait_for(|newest| *newest > self.number).await.ok();
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut by_client_id = self.seats.by_client_id.lock().unwrap_or_else(PoisonError::into_inner);
        // The map's and this one: nobody else is interested.
        if Arc::strong_count(&self.seat) == 2 {
            by_client_id.remove(&self.client_id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(test: impl Future<Output = ()>) {
        tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(test);
    }

    #[test]
    fn the_newer_one_sits_down_when_the_older_has_gone() {
        run(async {
            let seats = Arc::new(Seats::default());
            let old = seats.claim(b"node");
            let sitting = old.sit_down(Duration::from_secs(1)).await.unwrap();
            let new = seats.claim(b"node");
            old.is_wanted().await;
            assert!(new.sit_down(Duration::from_millis(10)).await.is_err());
            drop(sitting);
            let _sitting = new.sit_down(Duration::from_secs(1)).await.unwrap();
            assert!(timeout(Duration::from_millis(10), new.is_wanted()).await.is_err());
        });
    }

    #[test]
    fn others_are_not_concerned_and_nothing_is_left() {
        run(async {
            let seats = Arc::new(Seats::default());
            let (one, other) = (seats.claim(b"one"), seats.claim(b"other"));
            let _sitting = one.sit_down(Duration::from_secs(1)).await.unwrap();
            let _also_sitting = other.sit_down(Duration::from_secs(1)).await.unwrap();
        });
        let seats = Arc::new(Seats::default());
        drop((seats.claim(b"one"), seats.claim(b"one")));
        assert!(seats.by_client_id.lock().unwrap().is_empty());
    }
}
