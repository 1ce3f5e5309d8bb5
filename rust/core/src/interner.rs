//! Values held once however many entries share them: the few intermediates of a million certificates, the few
//! hello queries of their clients.

use std::collections::HashSet;
use std::hash::Hash;
use std::sync::Arc;

use parking_lot::Mutex;

/// Gives equal values the same allocation. Thread-safe.
pub struct Interner<T: ?Sized> {
    known: Mutex<Known<T>>,
}

struct Known<T: ?Sized> {
    values: HashSet<Arc<T>>,
    sweep_at: usize,
    /// Since the last sweep that made no room.
    turned_away: usize,
}

impl<T: ?Sized> Default for Interner<T> {
    fn default() -> Self {
        Interner { known: Mutex::new(Known { values: HashSet::new(), sweep_at: 0, turned_away: 0 }) }
    }
}

/// Below this a sweep is not worth it.
const SMALLEST_SWEEP: usize = 64;

impl<T: ?Sized + Eq + Hash> Interner<T> {
    /// The allocation that holds this value: an earlier one, or the given.
    pub fn intern(&self, value: &Arc<T>) -> Arc<T> {
        self.intern_within(usize::MAX, value).unwrap_or_else(|| Arc::clone(value))
    }

    /// The same, but `None` for a value that would be one more than `most` that are in use.
    pub fn intern_within(&self, most: usize, value: &Arc<T>) -> Option<Arc<T>> {
        let mut known = self.known.lock();
        if let Some(first) = known.values.get(&**value) {
            return Some(Arc::clone(first));
        }
        // A walk for each value that finds no room would cost more than all that is gained: one for as many of them.
        let is_saturated = known.values.len() >= most && known.turned_away > 0 && known.turned_away < most;
        if known.values.len() >= known.sweep_at.min(most) && !is_saturated {
            // What only this set still holds belongs to no entry any more.
            known.values.retain(|value| Arc::strong_count(value) > 1);
            known.sweep_at = SMALLEST_SWEEP.max(2 * known.values.len());
            known.turned_away = 0;
        }
        if known.values.len() >= most {
            known.turned_away += 1;
        }
        (known.values.len() < most).then(|| {
            known.values.insert(Arc::clone(value));
            Arc::clone(value)
        })
    }

    /// How many different values are held, those counted that nobody uses any more.
    pub fn len(&self) -> usize {
        self.known.lock().values.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_one_still_knows_what_it_has_and_takes_more_once_some_are_out_of_use() {
        let interner = Interner::<str>::default();
        let kept: Vec<_> =
            (0..10).map(|n| interner.intern_within(10, &n.to_string().into()).unwrap()).collect();
        assert!(Arc::ptr_eq(&kept[3], &interner.intern_within(10, &"3".into()).unwrap()));
        assert_eq!(interner.intern_within(10, &"10".into()), None);
        drop(kept);
        // It looks again after as many as there is room for.
        let tries =
            (0..=10).map(|_| interner.intern_within(10, &"10".into())).take_while(Option::is_none).count();
        assert!(tries <= 10, "{tries}");
    }

    #[test]
    fn equal_bytes_share_and_unused_ones_go() {
        let interner = Interner::<[u8]>::default();
        let kept = interner.intern(&Arc::from(&b"issuer"[..]));
        assert!(Arc::ptr_eq(&kept, &interner.intern(&Arc::from(&b"issuer"[..]))));
        for n in 0..10_000_u32 {
            interner.intern(&Arc::from(&n.to_le_bytes()[..]));
        }
        assert!(interner.len() <= SMALLEST_SWEEP + 1);
        assert!(Arc::ptr_eq(&kept, &interner.intern(&Arc::from(&b"issuer"[..]))), "a used one stays");
    }
}
