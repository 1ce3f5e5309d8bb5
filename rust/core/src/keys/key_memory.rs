//! Memory for private keys that are stored: not in core files and, as far as the process may lock memory, not in swap.
//!
//! Keys of one length share mappings, each cut into slots. A page of its own would cost a key more memory than all the rest
//! of its entry, and a million of them more mappings than Linux allows.

use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut, Range};
use std::sync::Arc;

use memmap2::MmapMut;
use parking_lot::{MappedRwLockReadGuard, Mutex, RwLock, RwLockReadGuard};
use zeroize::{Zeroize, Zeroizing};

/// The bytes of one key; wiped on drop. As large as a boxed slice.
pub(crate) struct KeyBytes {
    mapping: Arc<Mapping>,
    slot: u32,
    length: u32,
}

impl KeyBytes {
    /// Copies a key to memory of its own.
    pub(crate) fn new(key: &[u8]) -> Self {
        let length = u32::try_from(key.len()).expect("a key is shorter than 4 GiB");
        let (mapping, slot) = take_slot(key.len().max(1).next_multiple_of(SLOT_STEP));
        let stored = KeyBytes { mapping, slot, length };
        stored.mapping.memory.write()[stored.place()].copy_from_slice(key);
        stored
    }

    /// The key. Not to be held for long: meanwhile nobody can store or drop one of the same length beside it.
    pub(crate) fn read(&self) -> MappedRwLockReadGuard<'_, [u8]> {
        // Recursive, so that whoever compares two keys does not wait for itself.
        RwLockReadGuard::map(self.mapping.memory.read_recursive(), |memory| &memory[self.place()])
    }

    fn place(&self) -> Range<usize> {
        let start = self.slot as usize * self.mapping.slot_size;
        start..start + self.length as usize
    }
}

impl Drop for KeyBytes {
    fn drop(&mut self) {
        self.mapping.memory.write()[self.place()].zeroize();
        give_back(&self.mapping, self.slot);
    }
}

/// Slots of one size, and who has them.
struct Mapping {
    slot_size: usize,
    bytes: usize,
    memory: RwLock<Memory>,
    slots: Mutex<Slots>,
}

struct Slots {
    count: u32,
    used: u32,
    /// Slots from here on were never given out, and their pages perhaps never touched.
    untouched: u32,
    returned: Vec<u32>,
}

enum Memory {
    Protected(MmapMut),
    /// No mapping was to be had. The key is worth more than its protection.
    Plain(Zeroizing<Vec<u8>>),
}

/// Mappings by the size of their slots.
static MAPPINGS: Mutex<BTreeMap<usize, SizeClass>> = Mutex::new(BTreeMap::new());

#[derive(Default)]
struct SizeClass {
    /// Of all its mappings.
    bytes: usize,
    with_room: Vec<Arc<Mapping>>,
}

/// As fine as the allocator's own steps: no more is lost than there.
const SLOT_STEP: usize = 16;
const MIN_MAPPING: usize = 16 << 10;
const MAX_MAPPING: usize = 1 << 20;
/// A locked mapping is resident from the start, so that a new one must not be large beside what there is.
const GROWTH: usize = 8;

fn take_slot(slot_size: usize) -> (Arc<Mapping>, u32) {
    let mut mappings = MAPPINGS.lock();
    let class = mappings.entry(slot_size).or_default();
    let mapping = class.with_room.pop().unwrap_or_else(|| {
        let bytes = (class.bytes / GROWTH).clamp(MIN_MAPPING, MAX_MAPPING).max(slot_size);
        class.bytes += bytes;
        Arc::new(Mapping::new(slot_size, bytes))
    });
    let mut slots = mapping.slots.lock();
    slots.used += 1;
    let slot = slots.returned.pop().unwrap_or_else(|| {
        slots.untouched += 1;
        slots.untouched - 1
    });
    if slots.used < slots.count {
        class.with_room.push(Arc::clone(&mapping));
    }
    drop(slots);
    (mapping, slot)
}

/// A mapping without keys goes, so that nothing is left of what was evicted.
fn give_back(mapping: &Arc<Mapping>, slot: u32) {
    let mut mappings = MAPPINGS.lock();
    let class = mappings.entry(mapping.slot_size).or_default();
    let mut slots = mapping.slots.lock();
    if slots.used == slots.count {
        class.with_room.push(Arc::clone(mapping));
    }
    slots.used -= 1;
    slots.returned.push(slot);
    if slots.used == 0 {
        class.with_room.retain(|other| !Arc::ptr_eq(other, mapping));
        class.bytes -= mapping.bytes;
    }
}

impl Mapping {
    fn new(slot_size: usize, bytes: usize) -> Self {
        let count = u32::try_from(bytes / slot_size).unwrap_or(u32::MAX);
        let slots = Slots { count, used: 0, untouched: 0, returned: Vec::new() };
        Mapping { slot_size, bytes, memory: RwLock::new(Memory::new(bytes)), slots: Mutex::new(slots) }
    }
}

impl Memory {
    fn new(bytes: usize) -> Self {
        let Ok(mapping) = MmapMut::map_anon(bytes) else {
            return Memory::Plain(Zeroizing::new(vec![0; bytes]));
        };
        // Both may fail, and the keys are kept all the same: an old kernel, and the limit of locked memory (ulimit -l).
        #[cfg(target_os = "linux")]
        let _ = mapping.advise(memmap2::Advice::DontDump);
        let _ = mapping.lock();
        Memory::Protected(mapping)
    }
}

impl Deref for Memory {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Memory::Protected(mapping) => mapping,
            Memory::Plain(bytes) => bytes,
        }
    }
}

impl DerefMut for Memory {
    fn deref_mut(&mut self) -> &mut [u8] {
        match self {
            Memory::Protected(mapping) => mapping,
            Memory::Plain(bytes) => bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A length that no other test's keys have, so that its mappings are this test's own.
    const LENGTH: usize = 4_321;

    fn key(number: usize) -> Vec<u8> {
        (0..LENGTH).map(|place| (number * 31 + place) as u8).collect()
    }

    fn mapped() -> usize {
        MAPPINGS.lock().get(&LENGTH.next_multiple_of(SLOT_STEP)).map_or(0, |class| class.bytes)
    }

    #[test]
    fn keys_keep_their_bytes_while_others_come_and_go() {
        let mut stored: Vec<Option<KeyBytes>> =
            (0..200).map(|number| Some(KeyBytes::new(&key(number)))).collect();
        for round in 1..=5 {
            for number in (0..200).filter(|number| number % 7 != round) {
                stored[number] = None;
            }
            for (number, place) in stored.iter_mut().enumerate() {
                let stored = place.get_or_insert_with(|| KeyBytes::new(&key(number)));
                assert_eq!(*stored.read(), *key(number), "round {round}");
            }
            assert!(mapped() <= 2 * 200 * LENGTH, "slots are used again: {}", mapped());
        }
        let (mapping, place) =
            (Arc::clone(&stored[3].as_ref().unwrap().mapping), stored[3].as_ref().unwrap().place());
        stored[3] = None;
        assert!(mapping.memory.read()[place].iter().all(|byte| *byte == 0), "it is wiped");
        stored.clear();
        assert_eq!(mapped(), 0, "nothing stays mapped");
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn keys_lie_in_mappings_that_no_core_file_has() {
        let stored = KeyBytes::new(b"a private key");
        let address = stored.read().as_ptr() as usize;
        let maps = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let begins_with_range =
            |line: &&str| line.split_once(' ').is_some_and(|(range, _)| range.contains('-'));
        let ranges = maps.lines().enumerate().filter(|(_, line)| begins_with_range(line));
        let holds = |line: &str| {
            let (start, end) = line.split_once(' ').unwrap().0.split_once('-').unwrap();
            let parse = |text| usize::from_str_radix(text, 16).unwrap();
            (parse(start)..parse(end)).contains(&address)
        };
        let (index, _) = ranges.into_iter().find(|(_, line)| holds(line)).expect("a mapping");
        let flags = maps.lines().skip(index).find(|line| line.starts_with("VmFlags:")).unwrap();
        assert!(flags.split(' ').any(|flag| flag == "dd"), "{flags}");
        // The few bytes of a test are below any limit but 0.
        let limit = std::fs::read_to_string("/proc/self/limits").unwrap();
        let limit = limit.lines().find(|line| line.starts_with("Max locked memory")).unwrap();
        assert!(flags.split(' ').any(|flag| flag == "lo") || limit.contains(" 0 "), "{flags}, {limit}");
    }
}
