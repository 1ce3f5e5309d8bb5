//! What lies on a fleet's storage: a sealed text, which says nothing to who has not the key, and is worth nothing under
//! another key of the storage.
//!
//! ```text
//! caddy-cached-http record, format 1
//! key: 16 hexadecimal digits, which of a fleet's keys has sealed it
//! a nonce of 24 bytes, and a box of XAES-256-GCM over the text
//! ```
//!
//! The box is bound to both lines and to the storage's key, so that records can't be exchanged for each other. An old one can
//! be put back in its own place: the text has to say how old it is.

mod key_file;
mod xaes;

use std::path::PathBuf;

use aws_lc_rs::digest;
use zeroize::Zeroizing;

use crate::keys::KeyBytes;

pub use key_file::KeyFileError;
use xaes::{NONCE_LENGTH, TAG_LENGTH};

/// The longest record, in bytes: some storages take no more than twice as much.
pub const MAX_RECORD_LENGTH: usize = 256 << 10;

const FIRST_LINE: &[u8] = b"caddy-cached-http record, format 1\n";
const KEY_FIELD: &[u8] = b"key: ";
const KEY_ID_LENGTH: usize = 16;
const HEADER_LENGTH: usize = FIRST_LINE.len() + KEY_FIELD.len() + KEY_ID_LENGTH + 1;
const OVERHEAD: usize = HEADER_LENGTH + NONCE_LENGTH + TAG_LENGTH;

/// Why a record can't be sealed or opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// It would be, or is, longer than [`MAX_RECORD_LENGTH`].
    #[error("larger than 256 KiB")]
    TooLarge,
    /// It is none, or was changed, cut, or moved from another key of the storage.
    #[error("damaged, or moved from another key")]
    Damaged,
    /// It was sealed with a key that is not among ours.
    #[error("sealed with an encryption key that this node does not have")]
    UnknownKey,
}

/// The keys of a fleet: the first seals, all open. Thread-safe.
pub struct KeyRing {
    keys: Vec<RecordKey>,
}

struct RecordKey {
    id: [u8; KEY_ID_LENGTH],
    bytes: KeyBytes,
}

impl KeyRing {
    /// Reads the keys from their files, at least one.
    pub fn read(files: &[PathBuf]) -> Result<Self, KeyFileError> {
        let key = |path: &PathBuf| key_file::read(path).map(|key| RecordKey::new(key.as_slice()));
        let keys = files.iter().map(key).collect::<Result<Vec<_>, _>>()?;
        if keys.is_empty() { Err(KeyFileError::Missing) } else { Ok(KeyRing { keys }) }
    }

    /// Makes a record of a text, to lie under this key of the storage and no other.
    pub fn seal(&self, storage_key: &str, text: &[&[u8]]) -> Result<Vec<u8>, RecordError> {
        let length = OVERHEAD + text.iter().map(|part| part.len()).sum::<usize>();
        if length > MAX_RECORD_LENGTH {
            return Err(RecordError::TooLarge);
        }
        let Some(key) = self.keys.first() else { return Err(RecordError::UnknownKey) };
        let mut nonce = [0; NONCE_LENGTH];
        aws_lc_rs::rand::fill(&mut nonce).map_err(|_| RecordError::Damaged)?;
        // Never grown: that would leave a copy of the text behind.
        let mut record = Vec::with_capacity(length);
        for part in [FIRST_LINE, KEY_FIELD, &key.id, b"\n"] {
            record.extend_from_slice(part);
        }
        let associated = associated(&record, storage_key);
        record.extend_from_slice(&nonce);
        let start = record.len();
        text.iter().for_each(|part| record.extend_from_slice(part));
        match xaes::seal(&key.bytes.read(), &nonce, &associated, &mut record, start) {
            Ok(()) => Ok(record),
            Err(_) => {
                drop(Zeroizing::new(record));
                Err(RecordError::Damaged)
            }
        }
    }

    /// The text of a record that lay under this key of the storage.
    pub fn open(&self, storage_key: &str, record: &[u8]) -> Result<Zeroizing<Vec<u8>>, RecordError> {
        if record.len() > MAX_RECORD_LENGTH {
            return Err(RecordError::TooLarge);
        }
        let (header, sealed) = record.split_at_checked(HEADER_LENGTH).ok_or(RecordError::Damaged)?;
        let id = header
            .strip_prefix(FIRST_LINE)
            .and_then(|rest| rest.strip_prefix(KEY_FIELD))
            .and_then(|rest| rest.strip_suffix(b"\n"))
            .ok_or(RecordError::Damaged)?;
        let (nonce, sealed) = sealed.split_first_chunk().ok_or(RecordError::Damaged)?;
        let key = self.keys.iter().find(|key| key.id == id).ok_or(RecordError::UnknownKey)?;
        let mut text = Zeroizing::new(sealed.to_vec());
        xaes::open(&key.bytes.read(), nonce, &associated(header, storage_key), &mut text)
            .map_err(|_| RecordError::Damaged)?;
        Ok(text)
    }
}

impl RecordKey {
    fn new(key: &[u8]) -> Self {
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(b"caddy-cached-http key id\n");
        context.update(key);
        let mut id = [0; KEY_ID_LENGTH];
        for (pair, byte) in id.chunks_exact_mut(2).zip(context.finish().as_ref()) {
            pair.copy_from_slice(format!("{byte:02x}").as_bytes());
        }
        RecordKey { id, bytes: KeyBytes::new(key) }
    }
}

fn associated(header: &[u8], storage_key: &str) -> Vec<u8> {
    [header, storage_key.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(keys: &[u8]) -> KeyRing {
        KeyRing { keys: keys.iter().map(|key| RecordKey::new(&[*key; 32])).collect() }
    }

    #[test]
    fn a_record_opens_in_its_own_place_with_any_of_the_keys() {
        let record = ring(&[1]).seal("a/b", &[b"first,", b" second"]).unwrap();
        assert_eq!(ring(&[2, 1]).open("a/b", &record).unwrap().as_slice(), b"first, second");
        assert_eq!(ring(&[1]).open("a/c", &record), Err(RecordError::Damaged));
        assert_eq!(ring(&[2]).open("a/b", &record), Err(RecordError::UnknownKey));
        assert_ne!(ring(&[1]).seal("a/b", &[b"first, second"]).unwrap(), record, "no nonce comes twice");
    }

    #[test]
    fn no_bit_of_a_record_can_be_changed_and_none_left_out() {
        let record = ring(&[1]).seal("a/b", &[b"text"]).unwrap();
        for place in 0..record.len() {
            for bit in 0..8 {
                let mut damaged = record.clone();
                damaged[place] ^= 1 << bit;
                assert!(ring(&[1]).open("a/b", &damaged).is_err(), "bit {bit} of byte {place}");
            }
            assert_eq!(ring(&[1]).open("a/b", &record[..place]), Err(RecordError::Damaged));
        }
        let longer = [&record[..], b"\0"].concat();
        assert_eq!(ring(&[1]).open("a/b", &longer), Err(RecordError::Damaged));
    }

    #[test]
    fn what_is_too_large_is_neither_sealed_nor_opened() {
        let ring = ring(&[1]);
        let largest = vec![0; MAX_RECORD_LENGTH - OVERHEAD];
        assert_eq!(ring.seal("a", &[&largest]).unwrap().len(), MAX_RECORD_LENGTH);
        assert_eq!(ring.seal("a", &[&largest, b"1"]), Err(RecordError::TooLarge));
        assert_eq!(ring.open("a", &vec![0; MAX_RECORD_LENGTH + 1]), Err(RecordError::TooLarge));
    }
}
