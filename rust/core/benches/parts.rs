//! What the parts of a lookup and of a miss cost, one by one, so that a regression is found where it is:
//! `cargo bench -p cached-http-core`. Ratios between runs on one machine mean something, absolute figures little.

#[path = "../tests/support/mod.rs"]
mod support;

use std::hint::black_box;

use cached_http_core::bundle::Bundle;
use cached_http_core::clock::Clock;
use cached_http_core::keys::{MAX_SIGNATURE_LENGTH, SignatureScheme, SigningInput};
use cached_http_core::server_name::{NameBuffer, ServerName};
use criterion::{Criterion, criterion_group, criterion_main};
use support::host::{Host, backend, bundle};

const ECDSA_P256_SHA256: u16 = 0x0403;
const RSA_PSS_SHA256: u16 = 0x0804;

fn lookups(criterion: &mut Criterion) {
    let backend = backend("Cache-Control: s-maxage=86400\r\n");
    let mut host = Host::with_clock(&backend, None, "", Clock::system());
    let names: Vec<_> = (0..500).map(|n| format!("known-{n}.example")).collect();
    for name in &names {
        host.ask(name);
    }
    host.ask("unknown.example");
    criterion.bench_function("lookup: one name", |bencher| bencher.iter(|| host.look(black_box(&names[0]))));
    let mut turn = 0;
    criterion.bench_function("lookup: 500 names in turn", |bencher| {
        bencher.iter(|| {
            turn = (turn + 1) % names.len();
            host.look(black_box(&names[turn]))
        });
    });
    criterion.bench_function("lookup: a negative", |bencher| {
        bencher.iter(|| host.look(black_box("unknown.example")))
    });
    criterion.bench_function("server name", |bencher| {
        bencher.iter(|| {
            ServerName::parse(black_box(b"www.some-shop.example"), &mut NameBuffer::default()).is_ok()
        });
    });
}

fn bundles(criterion: &mut Criterion) {
    let now = Clock::system().now();
    for (kind, rsa, scheme) in [("ECDSA", false, ECDSA_P256_SHA256), ("RSA", true, RSA_PSS_SHA256)] {
        let pem = bundle("known.example", rsa);
        criterion.bench_function(&format!("bundle, parsed and checked: {kind}"), |bencher| {
            bencher.iter(|| Bundle::parse(pem.as_bytes()).unwrap().check("known.example", now).unwrap());
        });
        let bundle = Bundle::parse(pem.as_bytes()).unwrap();
        criterion.bench_function(&format!("key, parsed: {kind}"), |bencher| {
            bencher.iter(|| bundle.private_key().signing_key().unwrap());
        });
        let key = bundle.private_key().signing_key().unwrap();
        let scheme = SignatureScheme::from_code_point(scheme).unwrap();
        let mut signature = [0; MAX_SIGNATURE_LENGTH];
        criterion.bench_function(&format!("signature: {kind}"), |bencher| {
            bencher.iter(|| key.sign_into(scheme, SigningInput::Message(&[7; 130]), &mut signature).unwrap());
        });
    }
}

criterion_group!(benches, lookups, bundles);
criterion_main!(benches);
