use std::time::Duration;

use super::pem_text::write_blocks;
use super::*;
use crate::entry::ClientKind;
use crate::freshness::{FreshnessLifetime, ResponseFreshness};
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
    StoredEntry { key: key(), metadata, not_after: Timestamp(1_760_000_000_000), pem }
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
    let lines: Vec<&str> = text.lines().take(13).collect();
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
            "not-after: 1760000000000",
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
        names[0] != names[1] && names[0] != names[2] && names[0] != file_name("https://b.example", &key())
    );
}

#[test]
fn another_versions_entry_is_no_damage() {
    let first_line = |format| format!("caddy-cached-http entry, format {format}\nmore");
    assert_eq!(decode(first_line("12").as_bytes(), BACKEND, &key()), Err(FormatError::OtherFormat));
    for text in [first_line(""), first_line("1x"), "caddy-cached-http entry, format 1".into()] {
        assert_eq!(decode(text.as_bytes(), BACKEND, &key()), Err(FormatError::NotAnEntry), "{text}");
    }
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
        ("not-after: 1760000000000\n", "", FormatError::Field("not-after")),
        ("not-after: 1760000000000\n", "not-after: 1\nnew: 1\n", FormatError::NotAnEntry),
        ("GMT\n\n", "GMT\n", FormatError::NotAnEntry),
        ("GMT\n\n", "GMT\u{c}\n\n", FormatError::NotAnEntry),
    ] {
        assert_eq!(decode(&with_checksum(&body.replacen(from, to, 1)), BACKEND, &key()), Err(error), "{to}");
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
