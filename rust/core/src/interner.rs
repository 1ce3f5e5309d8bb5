//! Byte strings held once however many entries share them: the few intermediates of a million certificates.

use std::collections::HashSet;
use std::sync::Arc;

use parking_lot::Mutex;

/// Gives equal bytes the same allocation. Thread-safe.
#[derive(Default)]
pub struct Interner {
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    bytes: HashSet<Arc<[u8]>>,
    sweep_at: usize,
}

/// Below this a sweep is not worth it.
const SMALLEST_SWEEP: usize = 64;

impl Interner {
    /// The allocation that holds these bytes: an earlier one, or the given.
    pub fn intern(&self, bytes: &Arc<[u8]>) -> Arc<[u8]> {
        let mut known = self.known.lock();
        if let Some(first) = known.bytes.get(&**bytes) {
            return Arc::clone(first);
        }
        if known.bytes.len() >= known.sweep_at {
            // What only this set still holds belongs to no entry any more.
            known.bytes.retain(|bytes| Arc::strong_count(bytes) > 1);
            known.sweep_at = SMALLEST_SWEEP.max(2 * known.bytes.len());
        }
        known.bytes.insert(Arc::clone(bytes));
        Arc::clone(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_bytes_share_and_unused_ones_go() {
        let interner = Interner::default();
        let kept = interner.intern(&Arc::from(&b"issuer"[..]));
        assert!(Arc::ptr_eq(&kept, &interner.intern(&Arc::from(&b"issuer"[..]))));
        for n in 0..10_000_u32 {
            interner.intern(&Arc::from(&n.to_le_bytes()[..]));
        }
        assert!(interner.known.lock().bytes.len() <= SMALLEST_SWEEP + 1);
        assert!(Arc::ptr_eq(&kept, &interner.intern(&Arc::from(&b"issuer"[..]))), "a used one stays");
    }
}
