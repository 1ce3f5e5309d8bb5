//! Any text as a bundle. What is accepted must come back from its own disk text, whatever line ends or mark it had.

#![no_main]

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use cached_http_core::bundle::Bundle;
use cached_http_core::clock::Timestamp;
use cached_http_core::disk_format::pem_of;
use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};

fuzz_target!(|text: &[u8]| {
    let Ok(bundle) = Bundle::parse(text) else {
        assert!(Bundle::parse_for(text, "www.example.com", Timestamp(1_700_000_000_000)).is_err());
        return;
    };
    let again = Bundle::parse(&pem_of(&bundle)).expect("its own text is accepted");
    assert_same(&bundle, &again);
    assert_eq!(*pem_of(&bundle), *pem_of(&again));
    if !text.starts_with(b"\xef\xbb\xbf") {
        let marked = [b"\xef\xbb\xbf", text].concat();
        assert_same(&bundle, &Bundle::parse(&marked).expect("accepted behind a byte order mark"));
    }
    if !text.contains(&b'\r') {
        let lines: Vec<&[u8]> = text.split(|byte| *byte == b'\n').collect();
        assert_same(&bundle, &Bundle::parse(&lines.join(&b"\r\n"[..])).expect("accepted with CR LF"));
    }
    // Past its end nobody accepts it, whatever its name.
    let ended = bundle.not_after();
    assert!(bundle.check("www.example.com", ended).is_err());
    assert!(Bundle::parse_for(text, "www.example.com", ended).is_err());
});

fn assert_same(one: &Bundle, other: &Bundle) {
    assert!(one.chain().eq(other.chain()), "another chain");
    assert!(one.private_key().der().to_vec() == other.private_key().der().to_vec(), "another key");
    assert_eq!(one.not_after(), other.not_after());
}

// Most changes of base64 are found by its length. Every other change is made to what a block holds.
fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    if seed % 2 == 0
        && let Some(changed) = change_a_block(&data[..size], seed / 2)
        && changed.len() <= max_size
    {
        data[..changed.len()].copy_from_slice(&changed);
        return changed.len();
    }
    fuzzer_mutate(data, size, max_size)
});

fn change_a_block(text: &[u8], seed: u32) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(text).ok()?;
    let begins: Vec<_> = text.match_indices("-----BEGIN ").map(|(at, _)| at).collect();
    let begin = *begins.get(seed as usize % begins.len().max(1))?;
    let start = begin + text[begin..].find('\n')? + 1;
    let end = start + text[start..].find("-----END ")?;
    let body: String = text[start..end].split_whitespace().collect();
    let mut der = BASE64_STANDARD.decode(body).ok()?;
    let length = der.len();
    der.resize(length + 64, 0);
    let length = fuzzer_mutate(&mut der, length, length + 64);
    let encoded = BASE64_STANDARD.encode(&der[..length]);
    let lines: Vec<_> = encoded.as_bytes().chunks(64).collect();
    Some([text[..start].as_bytes(), &lines.join(&b'\n'), b"\n", text[end..].as_bytes()].concat())
}
