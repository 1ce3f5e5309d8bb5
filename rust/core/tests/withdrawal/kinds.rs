//! A "no" holds for what the client who asked could have used.

use cached_http_core::engine::Lookup;

use crate::help::{Cache, ECDSA, ED25519, NAME, ecdsa, rsa};
use crate::support::host::RSA_ONLY;

/// Both certificates, in memory and on disk.
fn with_both() -> Cache {
    let mut cache = Cache::with(&ecdsa());
    cache.gets(NAME, RSA_ONLY, &rsa());
    cache.until_written(2);
    cache
}

#[test]
fn a_no_to_a_modern_client_withdraws_the_rsa_only_entry_as_well() {
    for client in [ECDSA, ED25519] {
        for restarted in [false, true] {
            let mut cache = with_both();
            if restarted {
                // Found on disk, but not in memory.
                cache = cache.stop().restart();
                cache.gets(NAME, RSA_ONLY, &[]);
            }
            // Past the lifetime: who asks is not served from memory.
            cache.advance(10_000);
            cache.is_told_no(client);
            assert!(!matches!(cache.host.look_as(NAME, RSA_ONLY, None), Lookup::Hit(_)));
            let stopped = cache.stop();
            assert_eq!(stopped.files(), 0, "{client:?}, restarted: {restarted}");
        }
    }
}

#[test]
fn a_no_to_an_rsa_only_client_leaves_the_ecdsa_entry_alone() {
    for restarted in [false, true] {
        let mut cache = with_both();
        if restarted {
            cache = cache.stop().restart();
        }
        cache.advance(9_000);
        cache.host.engine.purge(b"other.example").unwrap();
        // The RSA certificate is of no more use, the ECDSA one is newer.
        cache.advance(1_000);
        cache.is_told_no(RSA_ONLY);
        let stopped = cache.stop();
        assert_eq!(stopped.files(), 1, "restarted: {restarted}");
        stopped.clock.set(cached_http_core::clock::Timestamp(stopped.clock.now().0 - 5_000_000));
        let mut cache = stopped.restart();
        assert!(cache.serves(ECDSA), "restarted: {restarted}");
        assert!(!cache.serves(RSA_ONLY));
    }
}

#[test]
fn a_no_to_a_modern_client_holds_for_less_capable_ones() {
    let mut cache = Cache::open();
    cache.is_told_no(ED25519);
    for client in [RSA_ONLY, ECDSA, ED25519] {
        assert_eq!(cache.host.look_as(NAME, client, None), Lookup::Negative);
    }
    let mut cache = Cache::open();
    cache.is_told_no(RSA_ONLY);
    assert_eq!(cache.host.look_as(NAME, ECDSA, None), Lookup::Miss);
}
