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
//! etag: only if the response had one
//! last-modified: only if the response had one
//!
//! -----BEGIN CERTIFICATE-----
//! ```
//!
//! The checksum finds damage; it is no signature. Who can write into the directory can forge an entry, and
//! [`crate::disk_store`] makes sure that this is nobody but our own user.

use std::fmt;
use std::time::Duration;

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use zeroize::Zeroizing;

use crate::bundle::Bundle;
use crate::clock::Timestamp;
use crate::entry::{ClientKind, EntryKey, ResponseMetadata};
use crate::freshness::{FreshnessLifetime, ResponseFreshness};
use crate::keys::KeyEncoding;

/// The largest file that is written or read, in bytes.
pub const MAX_FILE_LENGTH: usize = 1 << 20;

const FIRST_LINE: &str = "caddy-cached-http entry, format 1\n";
const CHECKSUM_LENGTH: usize = 2 * digest::SHA256_OUTPUT_LEN;
/// 64 columns of base64 (RFC 7468 2).
const BYTES_PER_LINE: usize = 48;

/// What a file holds: an entry before its bundle is parsed. `Debug` shows no key material.
#[derive(PartialEq, Eq)]
pub struct StoredEntry {
    /// What it is kept under.
    pub key: EntryKey,
    /// What the response said beside the bundle.
    pub metadata: ResponseMetadata,
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
    /// Another format, or not a file of ours.
    #[error("not an entry of format 1")]
    NotAnEntry,
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

/// Makes the text of an entry. A validator with control characters is left out: it only saves a transfer.
pub fn encode(entry: &StoredEntry, backend: &str) -> Result<Zeroizing<Vec<u8>>, FormatError> {
    let header = header(entry, backend)?;
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
    let rest = text.strip_prefix(FIRST_LINE.as_bytes()).ok_or(FormatError::NotAnEntry)?;
    let rest = rest.strip_prefix(b"checksum: ").ok_or(FormatError::NotAnEntry)?;
    let (checksum, rest) = rest.split_at_checked(CHECKSUM_LENGTH).ok_or(FormatError::NotAnEntry)?;
    let body = rest.strip_prefix(b"\n").ok_or(FormatError::NotAnEntry)?;
    if sha256_hex([body]).as_bytes() != checksum {
        return Err(FormatError::Checksum);
    }
    let end = body.windows(2).position(|pair| pair == b"\n\n").ok_or(FormatError::NotAnEntry)? + 1;
    let header = std::str::from_utf8(&body[..end]).map_err(|_| FormatError::NotAnEntry)?;
    let metadata = parse_header(header, backend, key)?;
    Ok(StoredEntry { key: key.clone(), metadata, pem: Zeroizing::new(body[end + 1..].to_vec()) })
}

/// Writes a bundle as PEM text: the certificates, leaf first, then the private key.
pub fn pem_of(bundle: &Bundle) -> Zeroizing<Vec<u8>> {
    let key = bundle.private_key();
    let key_label = match key.encoding() {
        KeyEncoding::Pkcs1 => "RSA PRIVATE KEY",
        KeyEncoding::Pkcs8 => "PRIVATE KEY",
        KeyEncoding::Sec1 => "EC PRIVATE KEY",
    };
    let mut blocks: Vec<_> = bundle.chain().map(|der| ("CERTIFICATE", der)).collect();
    blocks.push((key_label, key.der()));
    write_blocks(&blocks)
}

fn header(entry: &StoredEntry, backend: &str) -> Result<String, FormatError> {
    let StoredEntry { key, metadata, .. } = entry;
    let lifetime = match &metadata.freshness.lifetime {
        FreshnessLifetime::Unspecified => "unspecified".to_owned(),
        FreshnessLifetime::Explicit(lifetime) => {
            u64::try_from(lifetime.as_millis()).unwrap_or(u64::MAX).to_string()
        }
        FreshnessLifetime::Uncacheable(_) => return Err(FormatError::Uncacheable),
    };
    if has_control_characters(backend) {
        return Err(FormatError::ControlCharacters("backend"));
    }
    if has_control_characters(&key.name) {
        return Err(FormatError::ControlCharacters("server name"));
    }
    let must_revalidate = if metadata.freshness.must_revalidate { "yes" } else { "no" };
    let mut header = format!(
        "backend: {backend}\nserver-name: {name}\nclient: {client}\nfetched-at: {fetched_at}\n\
         lifetime: {lifetime}\nmust-revalidate: {must_revalidate}\n",
        name = key.name,
        client = client(key),
        fetched_at = metadata.fetched_at.0,
    );
    for (name, value) in [("etag", &metadata.etag), ("last-modified", &metadata.last_modified)] {
        if let Some(value) = value.as_deref().filter(|value| !has_control_characters(value)) {
            header.extend([name, ": ", value, "\n"]);
        }
    }
    header.push('\n');
    Ok(header)
}

fn parse_header(header: &str, backend: &str, key: &EntryKey) -> Result<ResponseMetadata, FormatError> {
    let mut fields = Fields(header);
    if fields.required("backend")? != backend {
        return Err(FormatError::OtherBackend);
    }
    if fields.required("server-name")? != key.name.as_str() || fields.required("client")? != client(key) {
        return Err(FormatError::OtherKey);
    }
    let fetched_at = Timestamp(number("fetched-at", fields.required("fetched-at")?)?);
    let lifetime = match fields.required("lifetime")? {
        "unspecified" => FreshnessLifetime::Unspecified,
        text => FreshnessLifetime::Explicit(Duration::from_millis(number("lifetime", text)?)),
    };
    let must_revalidate = match fields.required("must-revalidate")? {
        "yes" => true,
        "no" => false,
        _ => return Err(FormatError::Field("must-revalidate")),
    };
    let etag = fields.optional("etag").map(Box::from);
    let last_modified = fields.optional("last-modified").map(Box::from);
    if !fields.0.is_empty() {
        return Err(FormatError::NotAnEntry);
    }
    let freshness = ResponseFreshness { lifetime, must_revalidate };
    Ok(ResponseMetadata { fetched_at, freshness, etag, last_modified })
}

/// The header's lines that are not yet read.
struct Fields<'a>(&'a str);

impl<'a> Fields<'a> {
    fn optional(&mut self, name: &str) -> Option<&'a str> {
        let (line, rest) = self.0.split_once('\n')?;
        let value = line.strip_prefix(name)?.strip_prefix(": ")?;
        self.0 = rest;
        Some(value)
    }

    fn required(&mut self, name: &'static str) -> Result<&'a str, FormatError> {
        self.optional(name).ok_or(FormatError::Field(name))
    }
}

fn number(name: &'static str, text: &str) -> Result<u64, FormatError> {
    text.parse().map_err(|_| FormatError::Field(name))
}

fn client(key: &EntryKey) -> &'static str {
    match key.client {
        ClientKind::RsaOnly => "rsa-only",
        ClientKind::Ecdsa => "ecdsa",
        ClientKind::Ed25519 => "ed25519",
    }
}

fn has_control_characters(value: &str) -> bool {
    value.chars().any(char::is_control)
}

fn sha256_hex<const N: usize>(parts: [&[u8]; N]) -> String {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(part);
    }
    context.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Writes PEM blocks (RFC 7468) given as label and DER, into a buffer that is never grown.
fn write_blocks(blocks: &[(&str, &[u8])]) -> Zeroizing<Vec<u8>> {
    let length = blocks.iter().map(|(label, der)| block_length(label, der)).sum();
    let mut text = Zeroizing::new(Vec::with_capacity(length));
    for (label, der) in blocks {
        for part in ["-----BEGIN ", label, "-----\n"] {
            text.extend_from_slice(part.as_bytes());
        }
        for bytes in der.chunks(BYTES_PER_LINE) {
            let mut line = Zeroizing::new([0; BYTES_PER_LINE / 3 * 4]);
            // The line is as long as the longest chunk needs.
            let length = BASE64.encode_slice(bytes, line.as_mut_slice()).unwrap_or(0);
            text.extend_from_slice(&line[..length]);
            text.push(b'\n');
        }
        for part in ["-----END ", label, "-----\n"] {
            text.extend_from_slice(part.as_bytes());
        }
    }
    text
}

fn block_length(label: &str, der: &[u8]) -> usize {
    let frame = "-----BEGIN -----\n".len() + "-----END -----\n".len() + 2 * label.len();
    frame + der.len().div_ceil(3) * 4 + der.len().div_ceil(BYTES_PER_LINE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BACKEND: &str = "https://backend.example:8443/certificates";

    fn key() -> EntryKey {
        EntryKey { name: "shop.example.com".into(), client: ClientKind::Ecdsa }
    }

    fn entry() -> StoredEntry {
        let freshness = ResponseFreshness {
            lifetime: FreshnessLifetime::Explicit(Duration::from_millis(3_600_500)),
            must_revalidate: true,
        };
        let metadata = ResponseMetadata {
            fetched_at: Timestamp(1_753_000_000_123),
            freshness,
            etag: Some("\"5f3a\"".into()),
            last_modified: Some("Sun, 20 Jul 2025 08:26:40 GMT".into()),
        };
        let der: Vec<u8> = (0..2_000).map(|i| (i * 7 % 251) as u8).collect();
        let pem = write_blocks(&[("CERTIFICATE", &der), ("PRIVATE KEY", &der[..121])]);
        StoredEntry { key: key(), metadata, pem }
    }

    /// A text whose checksum fits, whatever its header says.
    fn with_checksum(body: &str) -> Vec<u8> {
        let checksum = sha256_hex([body.as_bytes()]);
        format!("{FIRST_LINE}checksum: {checksum}\n{body}").into_bytes()
    }

    #[test]
    fn an_entry_survives_with_all_its_facts() {
        let mut entry = entry();
        assert_eq!(decode(&encode(&entry, BACKEND).unwrap(), BACKEND, &key()), Ok(entry));

        entry = self::entry();
        entry.metadata.freshness =
            ResponseFreshness { lifetime: FreshnessLifetime::Unspecified, must_revalidate: false };
        (entry.metadata.etag, entry.metadata.last_modified) = (None, Some(" spaced ".into()));
        assert_eq!(decode(&encode(&entry, BACKEND).unwrap(), BACKEND, &key()), Ok(entry));
    }

    #[test]
    fn the_text_is_what_the_module_says() {
        let text = encode(&entry(), BACKEND).unwrap();
        let text = std::str::from_utf8(&text).unwrap();
        let lines: Vec<&str> = text.lines().take(12).collect();
        assert_eq!(lines[0], "caddy-cached-http entry, format 1");
        assert!(lines[1].starts_with("checksum: ") && lines[1].len() == 74);
        assert_eq!(
            lines[2..],
            [
                "backend: https://backend.example:8443/certificates",
                "server-name: shop.example.com",
                "client: ecdsa",
                "fetched-at: 1753000000123",
                "lifetime: 3600500",
                "must-revalidate: yes",
                "etag: \"5f3a\"",
                "last-modified: Sun, 20 Jul 2025 08:26:40 GMT",
                "",
                "-----BEGIN CERTIFICATE-----",
            ]
        );
    }

    #[test]
    fn every_truncation_and_every_flipped_bit_is_found() {
        let mut text = encode(&entry(), BACKEND).unwrap().to_vec();
        assert!(text.len() > 3_000);
        for length in 0..text.len() {
            assert!(decode(&text[..length], BACKEND, &key()).is_err(), "cut to {length} bytes");
        }
        for bit in 0..8 * text.len() {
            text[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(&text, BACKEND, &key()).is_err(), "bit {bit} flipped");
            text[bit / 8] ^= 1 << (bit % 8);
        }
        text.push(b'\n');
        assert_eq!(decode(&text, BACKEND, &key()), Err(FormatError::Checksum));
    }

    #[test]
    fn another_ones_file_is_rejected() {
        let text = encode(&entry(), BACKEND).unwrap();
        let other_name = EntryKey { name: "other.example.com".into(), client: ClientKind::Ecdsa };
        let other_client = EntryKey { name: key().name, client: ClientKind::RsaOnly };
        assert_eq!(decode(&text, "https://other.example/", &key()), Err(FormatError::OtherBackend));
        assert_eq!(decode(&text, BACKEND, &other_name), Err(FormatError::OtherKey));
        assert_eq!(decode(&text, BACKEND, &other_client), Err(FormatError::OtherKey));

        let names =
            [file_name(BACKEND, &key()), file_name(BACKEND, &other_name), file_name(BACKEND, &other_client)];
        assert!(names.iter().all(|name| name.len() == 68 && name.ends_with(".pem")));
        assert!(
            names[0] != names[1]
                && names[0] != names[2]
                && names[0] != file_name("https://b.example", &key())
        );
    }

    #[test]
    fn what_must_not_be_kept_is_not_written() {
        let mut entry = entry();
        entry.metadata.freshness.lifetime = FreshnessLifetime::Uncacheable("Cache-Control: no-store".into());
        assert_eq!(encode(&entry, BACKEND), Err(FormatError::Uncacheable));

        let mut entry = self::entry();
        entry.pem = Zeroizing::new(vec![b'A'; MAX_FILE_LENGTH]);
        assert_eq!(encode(&entry, BACKEND), Err(FormatError::TooLarge));
    }

    #[test]
    fn no_value_can_add_a_line() {
        let mut entry = entry();
        entry.metadata.etag = Some("a\netag: b".into());
        entry.metadata.last_modified = Some("a\rb".into());
        let read = decode(&encode(&entry, BACKEND).unwrap(), BACKEND, &key()).unwrap();
        assert_eq!((read.metadata.etag, read.metadata.last_modified), (None, None));

        assert_eq!(encode(&entry, "http://a\nb"), Err(FormatError::ControlCharacters("backend")));
        entry.key.name = "a\0.example".into();
        assert_eq!(encode(&entry, BACKEND), Err(FormatError::ControlCharacters("server name")));
    }

    #[test]
    fn a_header_of_the_wrong_shape_is_rejected_even_with_a_fitting_checksum() {
        let text = encode(&entry(), BACKEND).unwrap();
        let body = std::str::from_utf8(&text).unwrap().splitn(3, '\n').last().unwrap();
        assert!(decode(&with_checksum(body), BACKEND, &key()).is_ok());
        for (from, to, error) in [
            ("fetched-at: 1753000000123\n", "", FormatError::Field("fetched-at")),
            ("fetched-at: 1753000000123", "fetched-at: -1", FormatError::Field("fetched-at")),
            ("lifetime: 3600500", "lifetime: forever", FormatError::Field("lifetime")),
            ("lifetime: 3600500", "lifetime: 99999999999999999999", FormatError::Field("lifetime")),
            ("must-revalidate: yes", "must-revalidate: YES", FormatError::Field("must-revalidate")),
            ("must-revalidate: yes\n", "must-revalidate: yes\nnew: 1\n", FormatError::NotAnEntry),
            ("GMT\n\n", "GMT\n", FormatError::NotAnEntry),
        ] {
            assert_eq!(
                decode(&with_checksum(&body.replacen(from, to, 1)), BACKEND, &key()),
                Err(error),
                "{to}"
            );
        }
    }

    #[test]
    fn blocks_have_64_columns_and_the_size_foreseen() {
        for length in [0, 1, 2, 3, 47, 48, 49, 96, 1_000] {
            let der = vec![0xa5; length];
            let text = write_blocks(&[("EC PRIVATE KEY", &der)]);
            assert_eq!(text.len(), block_length("EC PRIVATE KEY", &der), "{length} bytes");
            let text = std::str::from_utf8(&text).unwrap();
            let lines: Vec<&str> = text.lines().collect();
            let (content, frame) = (&lines[1..lines.len() - 1], [lines[0], lines[lines.len() - 1]]);
            assert_eq!(frame, ["-----BEGIN EC PRIVATE KEY-----", "-----END EC PRIVATE KEY-----"]);
            assert!(content.iter().rev().skip(1).all(|line| line.len() == 64));
            assert_eq!(BASE64.decode(content.concat()).unwrap(), der);
        }
    }

    #[test]
    fn debug_shows_no_key_material() {
        assert!(!format!("{:?}", entry()).contains("pem"));
    }

    proptest! {
        #[test]
        fn any_bytes_are_rejected_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            prop_assert!(decode(&bytes, BACKEND, &key()).is_err());
        }

        #[test]
        fn any_body_with_a_fitting_checksum_does_not_panic(body in "(backend: |[a-z:\n -]){0,40}\n\n.{0,40}") {
            prop_assert!(decode(&with_checksum(&body), BACKEND, &key()).is_err());
        }

        #[test]
        fn any_facts_survive(fetched_at: u64, lifetime: u64, must_revalidate: bool, etag in "[^\\p{C}]{0,40}") {
            let mut entry = entry();
            entry.metadata = ResponseMetadata {
                fetched_at: Timestamp(fetched_at),
                freshness: ResponseFreshness {
                    lifetime: FreshnessLifetime::Explicit(Duration::from_millis(lifetime)),
                    must_revalidate,
                },
                etag: Some(etag.into()),
                last_modified: None,
            };
            prop_assert_eq!(decode(&encode(&entry, BACKEND).unwrap(), BACKEND, &key()), Ok(entry));
        }
    }
}
