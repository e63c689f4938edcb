//! A bound on the handlers at work in a process; the most important one gets the next free place.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// Places for handlers; clones share them.
#[derive(Debug, Clone)]
pub(super) struct Slots(Arc<Mutex<Places>>);

#[derive(Debug)]
struct Places {
    free: usize,
    /// By priority, then by the time they came.
    waiting: BTreeMap<(Reverse<i32>, u64), oneshot::Sender<Slot>>,
    arrivals: u64,
}

/// A place; it is free again when this is dropped.
#[derive(Debug)]
pub(super) struct Slot(Slots);

impl Slots {
    pub(super) fn new(places: usize) -> Self {
        Self(Arc::new(Mutex::new(Places {
            free: places,
            waiting: BTreeMap::new(),
            arrivals: 0,
        })))
    }

    /// Nothing that holds the lock can panic half-way.
    fn places(&self) -> MutexGuard<'_, Places> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Priorities of those who wait, in the order in which they are let in.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> Vec<i32> {
        let places = self.places();
        let waiting = places.waiting.keys();
        waiting.map(|(Reverse(priority), _)| *priority).collect()
    }

    /// Waits for a place. Who gives up waiting loses nothing.
    pub(super) async fn take(&self, priority: i32) -> Slot {
        let receiver = {
            let mut places = self.places();
            if places.free > 0 {
                places.free -= 1;
                return Slot(self.clone());
            }
            let (sender, receiver) = oneshot::channel();
            let arrival = places.arrivals;
            places.arrivals += 1;
            places.waiting.insert((Reverse(priority), arrival), sender);
            receiver
        };
        match receiver.await {
            Ok(slot) => slot,
            // Cannot be: a sender is kept until it sends.
            Err(_) => std::future::pending().await,
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let next = {
            let mut places = self.0.places();
            let next = places.waiting.pop_first();
            if next.is_none() {
                places.free += 1;
            }
            next
        };
        if let Some((_, sender)) = next {
            // To one who gave up it comes back, is dropped here, and goes to the next.
            let _ = sender.send(Slot(self.0.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use futures::future::BoxFuture;

    use super::{Slot, Slots};

    fn waiting(slots: &Slots, priority: i32) -> BoxFuture<'static, Slot> {
        let slots = slots.clone();
        let mut waiting = async move { slots.take(priority).await }.boxed();
        assert!((&mut waiting).now_or_never().is_none(), "there was a place");
        waiting
    }

    #[test]
    fn the_greatest_priority_goes_first_and_among_equals_the_first_that_came() {
        let slots = Slots::new(1);
        let held = slots.take(0).now_or_never().unwrap();
        let mut low = waiting(&slots, -1);
        let first = waiting(&slots, 5);
        let mut second = waiting(&slots, 5);

        drop(held);
        assert!((&mut low).now_or_never().is_none());
        assert!((&mut second).now_or_never().is_none());
        let held = first.now_or_never().unwrap();
        drop(held);
        let held = second.now_or_never().unwrap();
        drop(held);
        assert!(low.now_or_never().is_some());
    }

    #[test]
    fn who_gives_up_takes_no_place_along() {
        let slots = Slots::new(1);
        let held = slots.take(0).now_or_never().unwrap();
        let gives_up_before = waiting(&slots, 9);
        let gives_up_after = waiting(&slots, 8);
        let stays = waiting(&slots, 1);

        drop(gives_up_before);
        drop(held);
        drop(gives_up_after);

        drop(stays.now_or_never().expect("the place was lost"));
        assert!(slots.take(0).now_or_never().is_some());
    }
}
