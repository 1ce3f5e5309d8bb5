use super::*;
use crate::keys::KeyEncoding;

use base64::Engine;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};

/// 2030-01-01, within the validity of every certificate made here.
/// When the samples begin to be valid, see `params`.
const START: Timestamp = Timestamp(1_861_920_000_000);
const NOW: Timestamp = Timestamp(1_893_456_000_000);

fn pem(label: &str, der: &[u8]) -> String {
    let body = base64::prelude::BASE64_STANDARD.encode(der);
    format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n")
}

fn params(common_name: &str, names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.not_before = date_time_ymd(2029, 1, 1);
    params.not_after = date_time_ymd(2031, 1, 1);
    params
}

/// A leaf for shop.example.com and *.example.org under two intermediates and a root.
struct Sample {
    leaf: Vec<u8>,
    upwards: Vec<Vec<u8>>,
    key: KeyPair,
}

impl Sample {
    fn new() -> Self {
        Self::with_key(KeyPair::generate().unwrap())
    }

    fn with_key(key: KeyPair) -> Self {
        let authority = |name: &str| {
            let mut params = params(name, &[]);
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            (params, KeyPair::generate().unwrap())
        };
        let (root, root_key) = authority("root");
        let root_der = root.self_signed(&root_key).unwrap().der().to_vec();
        let mut issuer = Issuer::new(root, root_key);
        let mut upwards = vec![root_der];
        for name in ["upper", "lower"] {
            let (params, key) = authority(name);
            upwards.insert(0, params.signed_by(&key, &issuer).unwrap().der().to_vec());
            issuer = Issuer::new(params, key);
        }
        let leaf = params("cn.example.com", &["shop.example.com", "*.example.org"]);
        Sample { leaf: leaf.signed_by(&key, &issuer).unwrap().der().to_vec(), upwards, key }
    }

    fn chain(&self) -> Vec<&[u8]> {
        std::iter::once(&self.leaf).chain(&self.upwards).map(Vec::as_slice).collect()
    }

    fn key_pem(&self) -> String {
        pem("PRIVATE KEY", self.key.serialized_der())
    }

    fn pem(&self) -> String {
        certificates(&self.chain()) + &self.key_pem()
    }
}

fn certificates(ders: &[&[u8]]) -> String {
    ders.iter().map(|der| pem("CERTIFICATE", der)).collect()
}

fn parse(text: impl AsRef<[u8]>) -> Result<Bundle, BundleError> {
    Bundle::parse(text.as_ref())
}

fn rejection(text: impl AsRef<[u8]>) -> BundleError {
    parse(text).expect_err("a rejection")
}

#[test]
fn every_kind_of_key_makes_a_bundle() {
    use rcgen::*;
    for key in [
        KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256),
        KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384),
        KeyPair::generate_for(&PKCS_ECDSA_P521_SHA512),
        KeyPair::generate_for(&PKCS_ED25519),
        KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048),
    ] {
        let sample = Sample::with_key(key.unwrap());
        let bundle = parse(sample.pem()).unwrap();
        assert!(bundle.chain().eq(sample.chain()));
        assert_eq!(*bundle.private_key().der(), *sample.key.serialized_der());
        assert_eq!(bundle.private_key().encoding(), KeyEncoding::Pkcs8);
        assert_eq!(bundle.check("shop.example.com", NOW), Ok(()));
        let bytes = sample.chain().concat().len() + sample.key.serialized_der().len();
        assert!((bytes..bytes + 500).contains(&bundle.weight()), "{} of {bytes}", bundle.weight());
    }
}

#[test]
fn the_chain_is_put_in_order_from_the_leaf() {
    let sample = Sample::new();
    let [leaf, lower, upper, root] = sample.chain()[..] else { unreachable!() };
    let stray = params("stray", &[]).self_signed(&KeyPair::generate().unwrap()).unwrap();
    let stray = stray.der().as_ref();
    for (given, wanted) in [
        (vec![root, upper, lower, leaf], vec![leaf, lower, upper, root]),
        (vec![upper, leaf, lower], vec![leaf, lower, upper]),
        (vec![leaf, leaf, lower, leaf, lower], vec![leaf, lower]),
        (vec![stray, root, leaf, lower], vec![leaf, lower, stray, root]),
        (vec![upper, leaf], vec![leaf, upper]),
        (vec![leaf], vec![leaf]),
    ] {
        for text in [certificates(&given) + &sample.key_pem(), sample.key_pem() + &certificates(&given)] {
            let bundle = parse(text).unwrap();
            assert!(bundle.chain().eq(wanted.iter().copied()));
        }
    }
}

#[test]
fn pem_quirks_are_tolerated() {
    let sample = Sample::new();
    let text = sample.pem();
    for variant in [
        format!("\u{feff}{text}"),
        text.replace('\n', "\r\n"),
        text.replace('\n', "\n\n"),
        format!("Certificate:\n    Data:\n        Version: 3 (0x2)\n{text}\n"),
        // The label is wrong, the key is not.
        text.replace("PRIVATE KEY", "RSA PRIVATE KEY"),
        text.replace("-----BEGIN PRIVATE", &(pem("EC PARAMETERS", b"\x05\x00") + "-----BEGIN EC PRIVATE"))
            .replace("END PRIVATE", "END EC PRIVATE"),
    ] {
        assert_eq!(parse(&variant).unwrap().chain().count(), 4, "{variant}");
    }
}

#[test]
fn exactly_one_plain_key_that_fits() {
    let sample = Sample::new();
    let chain = certificates(&sample.chain());
    let other_key = Sample::new().key_pem();
    assert_eq!(rejection(&chain), BundleError::NoPrivateKey);
    assert_eq!(rejection(sample.key_pem()), BundleError::NoCertificate);
    assert_eq!(rejection(sample.pem() + &sample.key_pem()), BundleError::TwoPrivateKeys);
    assert_eq!(rejection(sample.pem() + &other_key), BundleError::TwoPrivateKeys);
    assert_eq!(rejection(chain.clone() + &other_key), BundleError::NoFit);
    assert_eq!(
        rejection(chain.clone() + &pem("PRIVATE KEY", b"\x30\x00")),
        BundleError::Key(KeyError::Unreadable)
    );
    let encrypted = sample.key_pem().replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    assert_eq!(rejection(chain + &encrypted), BundleError::Pem(PemError::EncryptedKey));
    for text in ["", "<!DOCTYPE html><title>502 Bad Gateway</title>"] {
        assert_eq!(rejection(text), BundleError::Pem(PemError::NoBlocks));
    }
}

#[test]
fn certificates_must_be_whole_and_few() {
    let sample = Sample::new();
    let trailing = [&sample.leaf[..], &[0]].concat();
    let cut = &sample.upwards[0][..sample.upwards[0].len() - 1];
    assert_eq!(
        rejection(pem("CERTIFICATE", &trailing) + &sample.key_pem()),
        BundleError::MalformedCertificate(1)
    );
    assert_eq!(
        rejection(certificates(&[&sample.leaf, cut]) + &sample.key_pem()),
        BundleError::MalformedCertificate(2)
    );

    let authority = KeyPair::generate().unwrap();
    let many: Vec<Vec<u8>> = (0..MAX_CHAIN_LENGTH)
        .map(|number| params(&format!("ca {number}"), &[]).self_signed(&authority).unwrap().der().to_vec())
        .collect();
    let with = |count: usize| -> Vec<&[u8]> {
        std::iter::once(&sample.leaf).chain(&many[..count]).map(Vec::as_slice).collect()
    };
    let longest = certificates(&with(MAX_CHAIN_LENGTH - 1)) + &sample.key_pem();
    assert_eq!(parse(longest).unwrap().chain().count(), MAX_CHAIN_LENGTH);
    assert_eq!(
        rejection(certificates(&with(MAX_CHAIN_LENGTH)) + &sample.key_pem()),
        BundleError::TooManyCertificates
    );
}

#[test]
fn served_only_in_date() {
    let bundle = parse(Sample::new().pem()).unwrap();
    let check = |now: Timestamp| bundle.check("shop.example.com", now);
    let start = START;
    assert_eq!(bundle.not_after(), Timestamp(1_924_992_000_000));
    assert_eq!(check(Timestamp(start.0 - 60_001)), Err(BundleError::NotYetValid));
    assert_eq!(check(Timestamp(start.0 - 60_000)), Ok(()));
    assert_eq!(check(Timestamp(bundle.not_after().0 - 1)), Ok(()));
    assert_eq!(check(bundle.not_after()), Err(BundleError::Expired));
}

#[test]
fn served_only_for_its_dns_names() {
    let bundle = parse(Sample::new().pem()).unwrap();
    for name in ["shop.example.com", "SHOP.example.com", "www.example.org"] {
        assert_eq!(bundle.check(name, NOW), Ok(()), "{name}");
    }
    for name in ["example.com", "example.org", "a.www.example.org", "cn.example.com", "example.net"] {
        assert_eq!(bundle.check(name, NOW), Err(BundleError::NameNotCovered), "{name}");
    }

    let key = KeyPair::generate().unwrap();
    let nameless = params("shop.example.com", &[]).self_signed(&key).unwrap();
    let bundle = parse(nameless.pem() + &key.serialize_pem()).unwrap();
    assert_eq!(bundle.check("shop.example.com", NOW), Err(BundleError::NameNotCovered));
}

#[test]
fn extensions_that_others_overlook_name_nothing() {
    let mut sample = Sample::new();
    let subject_alternative_name = [0x06, 0x03, 0x55, 0x1d, 0x11];
    let at = sample.leaf.windows(5).position(|window| window == subject_alternative_name).unwrap();
    let tag = sample.leaf[..at].iter().rposition(|byte| *byte == 0xa3).unwrap();
    sample.leaf[tag] = 0x83; // primitive
    assert_eq!(rejection(sample.pem()), BundleError::MalformedCertificate(1));
}

#[test]
fn parsed_for_a_name_it_is_checked_for_it() {
    let pem = Sample::new().pem();
    let bundle = parse(&pem).unwrap();
    let (start, end) = (START, bundle.not_after());
    for (name, now) in [
        ("shop.example.com", NOW),
        ("example.net", NOW),
        ("shop.example.com", end),
        ("shop.example.com", Timestamp(start.0 - 60_001)),
    ] {
        let at_once = Bundle::parse_for(pem.as_bytes(), name, now).map(drop);
        assert_eq!(at_once, bundle.check(name, now), "{name} {now:?}");
    }
}

#[test]
fn reasons_quote_nothing() {
    let sample = Sample::new();
    let secret = base64::prelude::BASE64_STANDARD.encode(sample.key.serialized_der());
    let texts = [
        certificates(&sample.chain()),
        sample.pem() + &sample.key_pem(),
        sample.pem().replace("PRIVATE KEY", &secret[..40]),
        sample.key_pem().replace("-----END", &secret),
        sample.pem().replace(&secret[..8], "!"),
    ];
    for text in texts {
        let rejected = rejection(&text);
        for shown in [rejected.to_string(), format!("{rejected:?}")] {
            let quoted =
                secret.as_bytes().windows(8).any(|part| shown.contains(str::from_utf8(part).unwrap()));
            assert!(!quoted && !shown.contains("BEGIN CERTIFICATE"), "{shown}");
        }
    }
}
