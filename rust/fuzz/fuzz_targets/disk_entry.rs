//! Any text as an entry's file: as it is, and under a checksum that fits.

#![no_main]

use aws_lc_rs::digest;
use cached_http_core::disk_format::{FormatError, decode, encode};
use cached_http_core::entry::{ClientKind, EntryKey};
use libfuzzer_sys::fuzz_target;

const BACKEND: &str = "https://backend.example/certificates";

fuzz_target!(|data: &[u8]| {
    let key = EntryKey { name: "shop.example.com".into(), client: ClientKind::Ecdsa };
    let _ = decode(data, BACKEND, &key);

    let checksum: String =
        digest::digest(&digest::SHA256, data).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let head = format!("caddy-cached-http entry, format 1\nchecksum: {checksum}\n");
    let text = [head.as_bytes(), data].concat();
    let Ok(entry) = decode(&text, BACKEND, &key) else { return };
    assert_eq!(entry.key, key);

    // It comes back, and from then on byte by byte.
    let written = encode(&entry, BACKEND).expect("what was read can be written");
    let again = decode(&written, BACKEND, &key).expect("what was written can be read");
    assert!(again == entry, "it reads otherwise: {again:?}, was {entry:?}");
    assert_eq!(*encode(&again, BACKEND).unwrap(), *written);

    // Nobody else's question is answered by it.
    let other = EntryKey { client: ClientKind::RsaOnly, ..key.clone() };
    assert_eq!(decode(&written, BACKEND, &other), Err(FormatError::OtherKey));
    assert_eq!(decode(&written, "https://other.example/", &key), Err(FormatError::OtherBackend));
    let damaged = &mut written.to_vec();
    let place = data.len() * 7 % damaged.len();
    damaged[place] ^= 1 << (data.len() % 8);
    assert!(decode(damaged, BACKEND, &key).is_err(), "a changed bit is not found");
});
