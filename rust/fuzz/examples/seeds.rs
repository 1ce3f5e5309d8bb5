//! Writes the seeds of all targets below a folder: `cargo run --example seeds -- corpus`.

use std::fs;
use std::path::Path;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use cached_http_core::bundle::Bundle;
use cached_http_core::clock::Timestamp;
use cached_http_core::disk_format::{StoredEntry, encode, pem_of};
use cached_http_core::entry::{ClientKind, EntryKey, ResponseMetadata};
use cached_http_core::freshness::{FreshnessLifetime, ResponseFreshness};
use rcgen::{
    BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, PKCS_ECDSA_P256_SHA256,
    PKCS_ECDSA_P384_SHA384, PKCS_ECDSA_P521_SHA512, PKCS_ED25519, PKCS_RSA_SHA256, SignatureAlgorithm,
};

fn main() {
    let folder = std::env::args().nth(1).expect("the folder of the corpora");
    let folder = Path::new(&folder);
    let write = |target: &str, seeds: Vec<Vec<u8>>| {
        let folder = folder.join(target);
        fs::create_dir_all(&folder).unwrap();
        for (number, seed) in seeds.iter().enumerate() {
            fs::write(folder.join(format!("seed-{number:02}")), seed).unwrap();
        }
        println!("{target}: {} seeds", seeds.len());
    };
    let bundles = bundles();
    write("disk_entry", disk_entries(&bundles));
    write("bundle", bundles);
    write("freshness", header_fields());
    write("server_name", server_names());
}

fn bundles() -> Vec<Vec<u8>> {
    let authority = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority_pem = params.self_signed(&authority).unwrap().pem();
    let issuer = Issuer::new(params, authority);
    let kinds: [&SignatureAlgorithm; 5] = [
        &PKCS_ECDSA_P256_SHA256,
        &PKCS_ECDSA_P384_SHA384,
        &PKCS_ECDSA_P521_SHA512,
        &PKCS_ED25519,
        &PKCS_RSA_SHA256,
    ];
    let mut bundles = Vec::new();
    for kind in kinds {
        let key = KeyPair::generate_for(kind).unwrap();
        let names = ["www.example.com".to_owned(), "*.example.net".to_owned()];
        let leaf = CertificateParams::new(names).unwrap().signed_by(&key, &issuer).unwrap();
        let (leaf, key) = (leaf.pem(), key.serialize_pem());
        bundles.push(format!("{leaf}{authority_pem}{key}"));
        bundles.push(format!("text before\n{key}{authority_pem}{leaf}{leaf}"));
        bundles.extend(inner_key(&key).map(|(label, der)| format!("{leaf}{}", pem(label, &der))));
    }
    let first = bundles[0].clone();
    bundles.push(first.replace('\n', "\r\n"));
    bundles.push(format!("\u{feff}{first}"));
    bundles.push(first.replacen("-----BEGIN PRIVATE KEY-----", "-----BEGIN ENCRYPTED PRIVATE KEY-----", 1));
    bundles.push(format!(
        "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n{first}"
    ));
    bundles.push(first.replacen(
        "-----BEGIN PRIVATE KEY-----\n",
        "-----BEGIN PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\n",
        1,
    ));
    bundles.into_iter().map(String::into_bytes).collect()
}

/// What a PKCS #8 key holds, under its own label: RSA and EC.
fn inner_key(pkcs8: &str) -> Option<(&'static str, Vec<u8>)> {
    let body: String = pkcs8.lines().filter(|line| !line.starts_with('-')).collect();
    let der = BASE64_STANDARD.decode(body).unwrap();
    // The last OCTET STRING of the outer SEQUENCE, found by a SEQUENCE inside that reaches to its end.
    let is_rsa = der.windows(9).any(|oid| oid == [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1]);
    let is_ec = der.windows(7).any(|oid| oid == [0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1]);
    let label = if is_rsa { "RSA PRIVATE KEY" } else { "EC PRIVATE KEY" };
    let inner = (20..der.len().saturating_sub(4)).find(|at| {
        let rest = &der[*at..];
        rest[0] == 0x30
            && match rest[1] {
                0x82 => usize::from(rest[2]) * 256 + usize::from(rest[3]) + 4 == rest.len(),
                0x81 => usize::from(rest[2]) + 3 == rest.len(),
                short => usize::from(short) + 2 == rest.len(),
            }
    })?;
    (is_rsa || is_ec).then(|| (label, der[inner..].to_vec()))
}

fn pem(label: &str, der: &[u8]) -> String {
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", BASE64_STANDARD.encode(der))
}

/// The bodies, whose head the target makes, and a whole text.
fn disk_entries(bundles: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let bundle = Bundle::parse(&bundles[0]).unwrap();
    let lifetimes = [FreshnessLifetime::Unspecified, FreshnessLifetime::Explicit(Duration::from_secs(3_600))];
    let mut seeds = Vec::new();
    for (lifetime, etag) in lifetimes.into_iter().zip([None, Some("\"v1\"")]) {
        let metadata = ResponseMetadata {
            fetched_at: Timestamp(1_753_000_000_123),
            freshness: ResponseFreshness { lifetime, must_revalidate: etag.is_some() },
            etag: etag.map(Into::into),
            last_modified: etag.map(|_| "Sun, 20 Jul 2025 08:26:40 GMT".into()),
        };
        let key = EntryKey { name: "shop.example.com".into(), client: ClientKind::Ecdsa };
        let entry = StoredEntry { key, metadata, not_after: bundle.not_after(), pem: pem_of(&bundle) };
        let text = encode(&entry, "https://backend.example/certificates").unwrap();
        let body = text.splitn(3, |byte| *byte == b'\n').last().unwrap().to_vec();
        seeds.extend([body, text.to_vec()]);
    }
    seeds
}

fn header_fields() -> Vec<Vec<u8>> {
    let fields = [
        "Cache-Control: s-maxage=60, max-age=5, must-revalidate\nAge: 3",
        "Cache-Control: no-store",
        "Cache-Control: max-age=\"60\", private=\"a, b\", no-cache",
        "CDN-Cache-Control: max-age=600;a=1, must-revalidate\nCache-Control: no-store",
        "Expires: Sun, 06 Nov 2033 08:49:37 GMT\nDate: Sunday, 06-Nov-33 08:49:37 GMT",
        "Expires: 0\nAge: 18446744073709551616",
        "Expires: Sun Nov  6 08:49:37 2033\nCache-Control: max-age=abc",
        "",
    ];
    let times = |n: u64| [n << 36, n << 45, n << 50, n << 52].map(u64::to_le_bytes).concat();
    (1..).zip(fields).map(|(n, fields)| [&times(n), fields.as_bytes()].concat()).collect()
}

fn server_names() -> Vec<Vec<u8>> {
    let names = [
        "www.example.com",
        "Shop.EXAMPLE.com",
        "bücher.example",
        "xn--bcher-kva.example",
        "169.254.169.254",
        "1.2.3.0x7f",
        "169。254。169。254",
        "ｅｘａｍｐｌｅ．com",
        "[::1]",
        "a..example",
        "localhost",
        "*.example.com",
        "faß.example",
        "\u{200d}a.example",
        "a\u{301}.example",
        "İ.example",
        "\u{1e9e}.example",
    ];
    let long = format!("{}example", "abc.".repeat(61));
    names
        .into_iter()
        .map(str::as_bytes)
        .chain([long.as_bytes(), b"\xff\xff.example"])
        .map(<[u8]>::to_vec)
        .collect()
}
