//! A backend that answers as it was last told to, or keeps its requests until the test answers each.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use parking_lot::Mutex;

use super::{Request, Step, TestBackend};

/// The backend, and what it keeps. In this order: what is kept goes first, or the backend's threads would wait for it.
pub struct ToldBackend {
    kept: Receiver<Kept>,
    told: Arc<Mutex<Option<Vec<Step>>>>,
    pub backend: TestBackend,
}

/// A request that waits for the test's word. Dropped, its connection is closed.
pub struct Kept {
    pub request: Request,
    answer: Sender<Vec<Step>>,
}

impl ToldBackend {
    /// Keeps every request until [`ToldBackend::tell`].
    pub fn start() -> Self {
        let (keep, kept) = channel();
        let told: Arc<Mutex<Option<Vec<Step>>>> = Arc::default();
        let backend = TestBackend::start({
            let (told, keep) = (Arc::clone(&told), Mutex::new(keep));
            move |request| {
                if let Some(steps) = &*told.lock() {
                    return steps.clone();
                }
                let (answer, answered) = channel();
                let _ = keep.lock().send(Kept { request: request.clone(), answer });
                answered.recv().unwrap_or_else(|_| vec![Step::Close])
            }
        });
        ToldBackend { kept, told, backend }
    }

    /// Answers all requests from now on like this.
    pub fn tell(&self, steps: &[Step]) {
        *self.told.lock() = Some(steps.to_vec());
    }

    /// Keeps all requests from now on.
    pub fn keep(&self) {
        *self.told.lock() = None;
    }

    /// The next request that is kept; it must come soon.
    pub fn next(&self) -> Kept {
        self.kept.recv_timeout(Duration::from_secs(20)).expect("a request to the backend")
    }

    /// The next request that is kept, if there is one by now.
    pub fn try_next(&self) -> Option<Kept> {
        self.kept.try_recv().ok()
    }
}

impl Kept {
    pub fn answer(self, steps: &[Step]) {
        let _ = self.answer.send(steps.to_vec());
    }
}
