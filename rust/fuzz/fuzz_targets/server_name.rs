//! Any bytes as a client's SNI: a plain host name comes out, the same however it was spelled, or nothing.

#![no_main]

use std::net::IpAddr;

use cached_http_core::server_name::{MAX_NAME_LENGTH, NameBuffer, ServerName};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|raw: &[u8]| {
    let Some(name) = parse(raw) else { return };
    assert!(name.len() <= MAX_NAME_LENGTH, "{name}");
    let labels: Vec<_> = name.split('.').collect();
    assert!(labels.len() >= 2, "{name}");
    for label in &labels {
        assert!((1..=63).contains(&label.len()), "{name}");
        let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        assert!(label.bytes().all(is_plain) && !label.starts_with('-') && !label.ends_with('-'), "{name}");
    }
    assert!(name.parse::<IpAddr>().is_err(), "{name}");
    assert!(!labels[labels.len() - 1].bytes().all(|byte| byte.is_ascii_digit()), "{name} ends in a number");

    assert_eq!(parse(name.as_bytes()).as_deref(), Some(name.as_str()), "a fixed point");
    assert_eq!(
        parse(&raw.to_ascii_uppercase()).as_deref(),
        Some(name.as_str()),
        "capitals make another name"
    );
    if raw.is_ascii() {
        assert_eq!(raw.to_ascii_lowercase(), name.as_bytes(), "a plain name is changed");
    }
    for odd in [format!("{name}."), format!(".{name}"), format!("*.{name}"), format!("{name}:443")] {
        assert!(parse(odd.as_bytes()).is_none(), "{odd}");
    }
});

fn parse(raw: &[u8]) -> Option<String> {
    let mut buffer = NameBuffer::default();
    ServerName::parse(raw, &mut buffer).ok().map(|name| name.as_str().to_owned())
}
