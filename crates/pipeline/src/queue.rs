//! The edges of the pipeline: queues bounded in bytes, closed from both ends.
//!
//! A sender that has sent all says so with [`Sender::finish`]. One that is dropped without that word has failed: its receiver
//! then sees [`Closed`] and not an end, so that no stage takes what came before for the whole film.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// What a queued item weighs.
pub(crate) trait Weigh {
    /// Bytes held in memory.
    fn bytes(&self) -> usize;
}

/// The other end of a queue is gone, or the run was stopped. Not an error in itself: whoever left knows why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Closed;

struct State<T> {
    items: VecDeque<T>,
    held_bytes: usize,
    senders: usize,
    /// Whether a sender left without the word that it has sent all.
    abandoned: bool,
    receiver_alive: bool,
}

struct Shared<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
    capacity_bytes: usize,
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        // A panic while the lock is held cannot leave the state half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The end that puts in. Cloned for several producers; the queue ends when all have finished.
pub(crate) struct Sender<T> {
    shared: Arc<Shared<T>>,
    finished: bool,
}

/// The end that takes out.
pub(crate) struct Receiver<T>(Arc<Shared<T>>);

/// A queue that holds up to `capacity_bytes`, or one item of any weight.
pub(crate) fn queue<T: Weigh>(capacity_bytes: usize) -> (Sender<T>, Receiver<T>) {
    let state = State { items: VecDeque::new(), held_bytes: 0, senders: 1, abandoned: false, receiver_alive: true };
    let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new(), capacity_bytes });
    (Sender { shared: Arc::clone(&shared), finished: false }, Receiver(shared))
}

impl<T: Weigh> Sender<T> {
    /// Waits until there is room, then puts `item` in.
    pub(crate) fn send(&self, item: T) -> Result<(), Closed> {
        let bytes = item.bytes();
        let mut state = self.shared.lock();
        while state.receiver_alive && state.held_bytes > 0 && state.held_bytes + bytes > self.shared.capacity_bytes {
            state = self.shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if !state.receiver_alive {
            return Err(Closed);
        }
        state.held_bytes += bytes;
        state.items.push_back(item);
        self.shared.changed.notify_all();
        Ok(())
    }

    /// Says that nothing more follows from this end.
    pub(crate) fn finish(mut self) {
        self.finished = true;
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.shared.lock().senders += 1;
        Self { shared: Arc::clone(&self.shared), finished: false }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.senders -= 1;
        state.abandoned |= !self.finished;
        drop(state);
        self.shared.changed.notify_all();
    }
}

impl<T: Weigh> Receiver<T> {
    /// Waits for the next item; `None` when the queue is empty and every sender has finished.
    pub(crate) fn recv(&self) -> Result<Option<T>, Closed> {
        let mut state = self.0.lock();
        loop {
            if state.abandoned {
                return Err(Closed);
            }
            if let Some(item) = state.items.pop_front() {
                state.held_bytes -= item.bytes();
                self.0.changed.notify_all();
                return Ok(Some(item));
            }
            if state.senders == 0 {
                return Ok(None);
            }
            state = self.0.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.receiver_alive = false;
        state.items.clear();
        state.held_bytes = 0;
        self.0.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    use super::*;

    impl Weigh for Vec<u8> {
        fn bytes(&self) -> usize {
            self.len()
        }
    }

    #[test]
    fn holds_no_more_than_its_bytes_or_one_item() {
        let (tx, rx) = queue::<Vec<u8>>(100);
        let sent = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&sent);
        let producer = thread::spawn(move || {
            for size in [60, 40, 1, 500, 500] {
                tx.send(vec![0; size]).unwrap();
                counter.fetch_add(1, Ordering::SeqCst);
            }
            tx.finish();
        });
        while sent.load(Ordering::SeqCst) < 2 {
            thread::yield_now();
        }
        thread::sleep(std::time::Duration::from_millis(20));
        assert_eq!(sent.load(Ordering::SeqCst), 2, "60 + 40 fill the queue");
        let sizes: Vec<usize> = std::iter::from_fn(|| rx.recv().unwrap()).map(|v| v.len()).collect();
        assert_eq!(sizes, [60, 40, 1, 500, 500]);
        producer.join().unwrap();
    }

    #[test]
    fn a_dropped_receiver_ends_a_waiting_sender() {
        let (tx, rx) = queue::<Vec<u8>>(10);
        tx.send(vec![0; 10]).unwrap();
        let blocked = thread::spawn(move || tx.send(vec![0; 10]));
        thread::sleep(std::time::Duration::from_millis(10));
        drop(rx);
        assert_eq!(blocked.join().unwrap(), Err(Closed));
    }

    #[test]
    fn ends_when_every_sender_has_finished() {
        let (tx, rx) = queue::<Vec<u8>>(10);
        let other = tx.clone();
        other.send(vec![1]).unwrap();
        tx.finish();
        other.finish();
        assert_eq!(rx.recv(), Ok(Some(vec![1])));
        assert_eq!(rx.recv(), Ok(None));
    }

    #[test]
    fn a_sender_that_failed_is_no_end() {
        let (tx, rx) = queue::<Vec<u8>>(10);
        let other = tx.clone();
        other.send(vec![1]).unwrap();
        tx.finish();
        drop(other);
        assert_eq!(rx.recv(), Err(Closed));
    }
}
