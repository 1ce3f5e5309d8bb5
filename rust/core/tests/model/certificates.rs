//! Certificates to send, sound and flawed. Keys are made once.

use std::sync::LazyLock;
use std::time::Duration;

use cached_http_core::clock::Timestamp;
use cached_http_core::entry::ClientKind;
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, PKCS_RSA_SHA256};

use crate::steps::{Flaw, Key, NAMES};

/// A bundle's text, its leaf, and when that ends.
pub(crate) struct Bundle {
    pub(crate) pem: String,
    pub(crate) leaf: Vec<u8>,
    pub(crate) not_after: Timestamp,
}

struct Keys {
    rsa: KeyPair,
    ecdsa: KeyPair,
    ed25519: KeyPair,
    other: KeyPair,
}

static KEYS: LazyLock<Keys> = LazyLock::new(|| {
    let ecdsa = || KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let rsa = KeyPair::generate_for(&PKCS_RSA_SHA256).unwrap();
    let ed25519 = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    Keys { rsa, ecdsa: ecdsa(), ed25519, other: ecdsa() }
});

/// A certificate like no other, as of `now`.
pub(crate) fn bundle(name: usize, key: Key, flaw: Flaw, ends_in: i64, serial: u64, now: Timestamp) -> Bundle {
    let now = i64::try_from(now.0 / 1000).unwrap();
    let named = if flaw == Flaw::OtherName { (name + 1) % NAMES.len() } else { name };
    let end = if flaw == Flaw::Ended { now - 1 } else { now + ends_in };
    let start = if flaw == Flaw::NotBegun { now + 3_600 } else { now - 30 * 86_400 };
    let mut params = CertificateParams::new([NAMES[named].to_owned()]).unwrap();
    params.serial_number = Some(serial.into());
    let at = |seconds: i64| rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(seconds.unsigned_abs());
    (params.not_before, params.not_after) = (at(start), at(end.max(start)));
    let pair = match key {
        Key::Rsa => &KEYS.rsa,
        Key::Ecdsa => &KEYS.ecdsa,
        Key::Ed25519 => &KEYS.ed25519,
    };
    let certificate = params.self_signed(pair).unwrap();
    let sent = if flaw == Flaw::OtherKey { &KEYS.other } else { pair };
    let mut pem = certificate.pem() + &sent.serialize_pem();
    if flaw == Flaw::Cut {
        pem.truncate(pem.len() - 40);
    }
    let not_after = Timestamp::from_unix_seconds(end.max(start));
    Bundle { pem, leaf: certificate.der().to_vec(), not_after }
}

pub(crate) fn kind(key: Key) -> ClientKind {
    match key {
        Key::Rsa => ClientKind::RsaOnly,
        Key::Ecdsa => ClientKind::Ecdsa,
        Key::Ed25519 => ClientKind::Ed25519,
    }
}
