//! XAES-256-GCM (C2SP, <https://c2sp.org/XAES-256-GCM>): AES-256-GCM with a nonce of 24 bytes, so that random ones never meet,
//! however many records one key seals.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::cmac;
use aws_lc_rs::error::Unspecified;
use zeroize::Zeroizing;

pub(super) const KEY_LENGTH: usize = 32;
pub(super) const NONCE_LENGTH: usize = 24;
pub(super) const TAG_LENGTH: usize = 16;

/// Seals what stands in `text` from `start` on, where it is, and appends the tag.
pub(super) fn seal(
    key: &[u8],
    nonce: &[u8; NONCE_LENGTH],
    associated: &[u8],
    text: &mut Vec<u8>,
    start: usize,
) -> Result<(), Unspecified> {
    let (key, nonce) = derived(key, nonce)?;
    let tag = key.seal_in_place_separate_tag(nonce, Aad::from(associated), &mut text[start..])?;
    text.extend_from_slice(tag.as_ref());
    Ok(())
}

/// Opens a box with its tag, in place; what is left of it is the text.
pub(super) fn open(
    key: &[u8],
    nonce: &[u8; NONCE_LENGTH],
    associated: &[u8],
    sealed: &mut Vec<u8>,
) -> Result<(), Unspecified> {
    let (key, nonce) = derived(key, nonce)?;
    let length = key.open_in_place(nonce, Aad::from(associated), sealed)?.len();
    sealed.truncate(length);
    Ok(())
}

/// The key of the nonce's first half, and its second half as the nonce of AES-256-GCM: NIST SP 800-108 in counter mode with
/// CMAC, of which two blocks make a key.
fn derived(key: &[u8], nonce: &[u8; NONCE_LENGTH]) -> Result<(LessSafeKey, Nonce), Unspecified> {
    let (for_key, for_message) = nonce.split_at(NONCE_LENGTH / 2);
    let root = cmac::Key::new(cmac::AES_256, key)?;
    let mut derived = Zeroizing::new([0; KEY_LENGTH]);
    for (counter, half) in (1..).zip(derived.chunks_mut(KEY_LENGTH / 2)) {
        let block = [&[0, counter, b'X', 0], for_key].concat();
        half.copy_from_slice(cmac::sign(&root, &block)?.as_ref());
    }
    let derived = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, derived.as_slice())?);
    Ok((derived, Nonce::try_assume_unique_for_key(for_message)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed(key: u8, associated: &[u8], text: &[u8]) -> String {
        let nonce = b"ABCDEFGHIJKLMNOPQRSTUVWX";
        let mut text = text.to_vec();
        seal(&[key; 32], nonce, associated, &mut text, 0).unwrap();
        text.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn is_what_the_specification_says() {
        // Its two vectors: one for each value of the most significant bit that subkeys of CMAC depend on.
        let first = sealed(1, b"", b"XAES-256-GCM");
        assert_eq!(first, "ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271");
        let second = sealed(3, b"c2sp.org/XAES-256-GCM", b"XAES-256-GCM");
        assert_eq!(second, "986ec1832593df5443a179437fd083bf3fdb41abd740a21f71eb769d");
    }

    #[test]
    fn opens_what_it_has_sealed_and_nothing_else() {
        let (key, nonce, text) = ([7; 32], [9; 24], b"a text".to_vec());
        let mut sealed = text.clone();
        seal(&key, &nonce, b"its place", &mut sealed, 0).unwrap();
        let opened = |key: &[u8], nonce, associated: &[u8], sealed: &[u8]| {
            let mut sealed = sealed.to_vec();
            open(key, nonce, associated, &mut sealed).ok().map(|()| sealed)
        };
        assert_eq!(opened(&key, &nonce, b"its place", &sealed), Some(text));
        assert_eq!(opened(&key, &nonce, b"another", &sealed), None);
        assert_eq!(opened(&[8; 32], &nonce, b"its place", &sealed), None);
        assert_eq!(opened(&key, &[8; 24], b"its place", &sealed), None);
        for place in 0..sealed.len() {
            let mut damaged = sealed.clone();
            damaged[place] ^= 1;
            assert_eq!(opened(&key, &nonce, b"its place", &damaged), None, "byte {place}");
            assert_eq!(opened(&key, &nonce, b"its place", &sealed[..place]), None, "{place} bytes");
        }
    }
}
