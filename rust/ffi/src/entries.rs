//! What the host builds its certificates from: the chain, copied out, and a key to sign with, which stays here.

use cached_http_core::entry::{self, Entry};
use cached_http_core::keys::{MAX_SIGNATURE_LENGTH, SignatureScheme, SigningInput};

use crate::boundary::guarded;
use crate::bytes::{Buffer, output, view};
use crate::handles::{EngineHandle, EntryId, KEYS, KeyHandle, open_engine};
use crate::status::Status;

/// Opens an entry that is a candidate or in memory; `GONE` otherwise. `key` receives a handle to sign with, to
/// be closed with `cached_http_key_close`; it works whatever becomes of entry and engine. `chain` receives the
/// certificates, leaf first, each as its length in 4 little-endian bytes and its DER, for the caller to free.
///
/// # Safety
/// The outputs are NULL or writable, and don't overlap.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cached_http_entry_open(
    engine: EngineHandle,
    entry: EntryId,
    key: *mut KeyHandle,
    chain: *mut Buffer,
) -> Status {
    guarded(|| {
        let engine = open_engine(engine)?;
        // SAFETY: both outputs are NULL or writable, and two places: our own contract.
        let (key, chain) = unsafe { (output(key)?, output(chain)?) };
        let entry = engine.entry(entry::EntryId(entry)).ok_or(Status::Gone)?;
        let signing_key = entry.bundle.private_key().signing_key().map_err(|_| Status::SigningRejected)?;
        entry.mark_opened();
        // An entry that left memory before it was marked gets no RETIRED event; so it must not be handed out.
        engine.entry(entry.id).ok_or(Status::Gone)?;
        chain.write(Buffer::from(framed_chain(&entry)));
        key.write(KEYS.insert(signing_key));
        Ok(Status::Ok)
    })
}

/// Signs. `scheme` is a TLS SignatureScheme code point (RFC 8446 4.2.3); `input` is the message, or its digest
/// under the scheme's hash if `is_digest` is not 0. Writes the signature to `signature`, which has room for
/// `signature_capacity` bytes (512 are enough for every key), and its length to `signature_length`.
///
/// # Safety
/// `input` and `signature` point to as many bytes as their lengths say; `signature_length` is NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cached_http_key_sign(
    key: KeyHandle,
    scheme: u16,
    is_digest: u32,
    input: *const u8,
    input_length: usize,
    signature: *mut u8,
    signature_capacity: usize,
    signature_length: *mut usize,
) -> Status {
    guarded(|| {
        let signing_key = KEYS.find(key)?;
        if signature.is_null() {
            return Err(Status::InvalidArgument);
        }
        // SAFETY: `input` has `input_length` bytes, and `signature_length` is NULL or writable: our own contract.
        let (input, length) = unsafe { (view(input, input_length)?, output(signature_length)?) };
        let scheme = SignatureScheme::from_code_point(scheme).ok_or(Status::SigningRejected)?;
        let input = if is_digest == 0 { SigningInput::Message(input) } else { SigningInput::Digest(input) };
        let mut made = [0; MAX_SIGNATURE_LENGTH];
        let made_length =
            signing_key.sign_into(scheme, input, &mut made).map_err(|_| Status::SigningRejected)?;
        let made = made.get(..made_length).filter(|made| made.len() <= signature_capacity);
        let made = made.ok_or(Status::SigningRejected)?;
        // SAFETY: not NULL, and the caller has room for `signature_capacity` bytes, which are no fewer and none of ours.
        unsafe { signature.copy_from_nonoverlapping(made.as_ptr(), made.len()) };
        length.write(made.len());
        Ok(Status::Ok)
    })
}

/// Closes a key. A signature under way is finished.
#[unsafe(no_mangle)]
pub extern "C" fn cached_http_key_close(key: KeyHandle) -> Status {
    guarded(|| KEYS.remove(key).map(|_| Status::Ok))
}

fn framed_chain(entry: &Entry) -> Vec<u8> {
    let chain = entry.bundle.chain();
    let mut framed = Vec::with_capacity(chain.clone().map(|der| der.len() + 4).sum());
    for der in chain {
        framed.extend_from_slice(&u32::try_from(der.len()).unwrap_or(u32::MAX).to_le_bytes());
        framed.extend_from_slice(der);
    }
    framed
}
