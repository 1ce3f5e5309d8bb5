//! The text of one entry's file: a header with metadata as data, then the PEM blocks.
//!
//! openssl skips what stands before a PEM block, so `openssl x509 -in FILE` and `openssl pkey -in FILE` read
//! it as it is. Fields come in this order, one a line:
//!
//! ```text
//! caddy-cached-http entry, format 1
//! checksum: 64 hexadecimal digits, the SHA-256 of all that follows this line
//! backend: https://backend.example/certificates
//! server-name: shop.example.com
//! client: rsa-only, ecdsa, or ed25519
//! fetched-at: milliseconds since the Unix epoch
//! lifetime: milliseconds, or unspecified
//! must-revalidate: yes, or no
//! not-after: when the certificate ends, in milliseconds since the Unix epoch
//! etag: only if the response had one
//! last-modified: only if the response had one
//!
//! -----BEGIN CERTIFICATE-----
//! ```
//!
//! The checksum finds damage; it is no signature. Who can write into the directory can forge an entry, and
//! [`crate::disk_store`] makes sure that this is nobody but our own user.

mod header;
mod pem_text;

use std::fmt;

use aws_lc_rs::digest;
use zeroize::Zeroizing;

use crate::clock::Timestamp;
use crate::entry::{EntryKey, ResponseMetadata};

pub(crate) use header::Header;
pub use pem_text::pem_of;

use header::client;

/// The largest file that is written or read, in bytes.
pub const MAX_FILE_LENGTH: usize = 1 << 20;

const FIRST_LINE: &str = "caddy-cached-http entry, format 1\n";
const ANY_FIRST_LINE: &str = "caddy-cached-http entry, format ";
/// A header that is longer is read by [`decode`] alone.
pub(crate) const MAX_HEADER_LENGTH: usize = 4096;
const CHECKSUM_LENGTH: usize = 2 * digest::SHA256_OUTPUT_LEN;

/// What a file holds: an entry before its bundle is parsed. `Debug` shows no key material.
#[derive(PartialEq, Eq)]
pub struct StoredEntry {
    /// What it is kept under.
    pub key: EntryKey,
    /// What the response said beside the bundle.
    pub metadata: ResponseMetadata,
    /// When the certificate ends; says only when the file is of no more use, and is checked no more than the chain.
    pub not_after: Timestamp,
    /// The chain, leaf first, and the private key, as [`pem_of`] writes them. Not checked in any way: what
    /// comes from disk takes the same road as what comes from the backend.
    pub pem: Zeroizing<Vec<u8>>,
}

impl fmt::Debug for StoredEntry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("StoredEntry")
            .field("key", &self.key)
            .field("metadata", &self.metadata)
            .field("not_after", &self.not_after)
            .finish_non_exhaustive()
    }
}

/// Why an entry can't be written, or a file is not the entry asked for. Quotes nothing of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// The response forbids keeping it; such an answer is never written.
    #[error("the response forbids keeping it")]
    Uncacheable,
    /// Larger than [`MAX_FILE_LENGTH`].
    #[error("larger than 1 MiB")]
    TooLarge,
    /// A value that would break the header's lines.
    #[error("the {0} has control characters")]
    ControlCharacters(&'static str),
    /// Not a file of ours.
    #[error("not an entry")]
    NotAnEntry,
    /// An entry as another version of this program writes it.
    #[error("an entry of another format than 1")]
    OtherFormat,
    /// Truncated or changed.
    #[error("damaged: the checksum doesn't fit")]
    Checksum,
    /// The checksum fits, but a field is missing, unknown, out of order or has no such value.
    #[error("the field {0} is missing or has a wrong value")]
    Field(&'static str),
    /// Another backend's.
    #[error("belongs to another backend")]
    OtherBackend,
    /// Another name's or client's; moved here by hand.
    #[error("belongs to another server name or kind of client")]
    OtherKey,
}

/// The file name of an entry: the same for the same backend and key, and safe for any file system. The first
/// two digits are evenly spread.
pub fn file_name(backend: &str, key: &EntryKey) -> String {
    let parts = [backend, "\n", &key.name, "\n", client(key)];
    format!("{}.pem", sha256_hex(parts.map(str::as_bytes)))
}

/// The name of a text that is about something; it tells nobody about what.
pub fn text_name(backend: &str, about: &str) -> String {
    sha256_hex([backend, "\ntext\n", about].map(str::as_bytes))
}

/// The name of a backend's directory.
pub fn directory_name(backend: &str) -> String {
    sha256_hex([backend.as_bytes()])[..16].to_owned()
}

/// Whether a directory may be one of a backend.
pub(crate) fn is_directory_name(name: &str) -> bool {
    is_hexadecimal(name, 16)
}

/// Whether a file may be one of an entry.
pub(crate) fn is_file_name(name: &str) -> bool {
    name.strip_suffix(".pem").is_some_and(|hash| is_hexadecimal(hash, 64))
}

fn is_hexadecimal(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Makes the text of an entry. A validator with control characters is left out: it only saves a transfer.
pub fn encode(entry: &StoredEntry, backend: &str) -> Result<Zeroizing<Vec<u8>>, FormatError> {
    let header = header::write(entry, backend)?;
    let length = FIRST_LINE.len() + "checksum: \n".len() + CHECKSUM_LENGTH + header.len() + entry.pem.len();
    if length > MAX_FILE_LENGTH {
        return Err(FormatError::TooLarge);
    }
    // Never grown: that would leave a copy of the key behind.
    let mut text = Zeroizing::new(Vec::with_capacity(length));
    text.extend_from_slice(FIRST_LINE.as_bytes());
    text.extend_from_slice(b"checksum: ");
    text.extend_from_slice(sha256_hex([header.as_bytes(), &entry.pem]).as_bytes());
    text.extend_from_slice(b"\n");
    text.extend_from_slice(header.as_bytes());
    text.extend_from_slice(&entry.pem);
    Ok(text)
}

/// Reads the text of the entry kept for a backend under a key; rejects any other, and one with a single bit
/// changed.
pub fn decode(text: &[u8], backend: &str, key: &EntryKey) -> Result<StoredEntry, FormatError> {
    let rest = text.strip_prefix(FIRST_LINE.as_bytes()).ok_or_else(|| other_format(text))?;
    let rest = rest.strip_prefix(b"checksum: ").ok_or(FormatError::NotAnEntry)?;
    let (checksum, rest) = rest.split_at_checked(CHECKSUM_LENGTH).ok_or(FormatError::NotAnEntry)?;
    let body = rest.strip_prefix(b"\n").ok_or(FormatError::NotAnEntry)?;
    if sha256_hex([body]).as_bytes() != checksum {
        return Err(FormatError::Checksum);
    }
    let end = body.windows(2).position(|pair| pair == b"\n\n").ok_or(FormatError::NotAnEntry)? + 1;
    let header = std::str::from_utf8(&body[..end]).map_err(|_| FormatError::NotAnEntry)?;
    let parsed = header::parse(header)?;
    if parsed.backend != backend {
        return Err(FormatError::OtherBackend);
    }
    if parsed.server_name != key.name.as_str() || parsed.client != client(key) {
        return Err(FormatError::OtherKey);
    }
    let Header { metadata, not_after, .. } = parsed;
    Ok(StoredEntry { key: key.clone(), metadata, not_after, pem: Zeroizing::new(body[end + 1..].to_vec()) })
}

/// The header of a file of which only the start was read, without a look at its checksum: enough to tell what it says
/// it is, and whether it can be of use at all.
pub(crate) fn decode_start(start: &[u8]) -> Option<Header<'_>> {
    let rest = start.strip_prefix(FIRST_LINE.as_bytes())?;
    let body = rest.get("checksum: \n".len() + CHECKSUM_LENGTH..)?;
    let end = body.windows(2).position(|pair| pair == b"\n\n")? + 1;
    header::parse(std::str::from_utf8(&body[..end]).ok()?).ok()
}

/// Tells an entry of another version from a text that is damaged or none of ours.
fn other_format(text: &[u8]) -> FormatError {
    let number = text.strip_prefix(ANY_FIRST_LINE.as_bytes()).map(|rest| rest.split(|byte| *byte == b'\n'));
    // The part behind the line's end is there, too, or the line was cut.
    match number.map(|mut parts| (parts.next(), parts.next())) {
        Some((Some(number), Some(_))) if !number.is_empty() && number.iter().all(u8::is_ascii_digit) => {
            FormatError::OtherFormat
        }
        _ => FormatError::NotAnEntry,
    }
}

fn sha256_hex<const N: usize>(parts: [&[u8]; N]) -> String {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(part);
    }
    context.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
