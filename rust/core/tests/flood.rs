//! A scan of made-up names against one engine: known names stay, memory and disk stay small, and the backend is not asked by
//! more than it can bear at once. `SOAK=1` makes it a million names.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use cached_http_core::engine::Lookup;
use cached_http_core::events::{Event, Outcome};
use support::host::{CacheDirectory, Host, MODERN, answer, next_token};
use support::memory::resident_kib;
use support::{Step, TestBackend};

#[test]
fn a_flood_of_unknown_names_costs_nothing_of_value() {
    let names: usize = if std::env::var_os("SOAK").is_some() { 1_000_000 } else { 20_000 };
    let (under_way, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let backend = TestBackend::start({
        let (under_way, most) = (under_way.clone(), most.clone());
        move |request| {
            most.fetch_max(under_way.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            // Long enough that more workers than allowed would show.
            std::thread::sleep(Duration::from_micros(200));
            let step: Step = answer(request, "Cache-Control: s-maxage=86400\r\n");
            under_way.fetch_sub(1, Ordering::SeqCst);
            vec![step]
        }
    });
    let directory = CacheDirectory::new();
    let mut host = Host::new(&backend, Some(&directory.path), "");
    let known: Vec<_> = (0..100).map(|n| format!("known-{n}.example")).collect();
    for name in &known {
        assert!(matches!(host.ask(name), Outcome::Found(_)));
    }
    while host.engine.counters().disk_writes < 100 {
        std::thread::yield_now();
    }
    let (before, memory) = (host.engine.sizes(), resident_kib());
    let begin = Instant::now();
    let (mut asked, mut answered) = (0, 0);
    while answered < names {
        // As many wait at once as a busy server would have handshakes.
        while asked < names && asked - answered < 256 {
            let name = format!("n{asked}.made-up.example");
            let lookup = host.look_as(&name, MODERN, Some(next_token()));
            assert_eq!(lookup, Lookup::Pending);
            asked += 1;
        }
        for event in host.next_events(64) {
            if let Event::Finished { outcome, .. } = event {
                assert_eq!(outcome, Outcome::NoCertificate);
                answered += 1;
            }
        }
    }
    let (sizes, counters) = (host.engine.sizes(), host.engine.counters());
    println!(
        "{names} made-up names in {:.1} s: {} entries evicted, {} negatives of 65,536 bytes, {} requests at once, \
         RSS {} KiB more",
        begin.elapsed().as_secs_f64(),
        counters.evictions,
        sizes.negatives,
        most.load(Ordering::SeqCst),
        resident_kib() - memory,
    );
    assert_eq!((sizes.entries, counters.evictions, counters.disk_writes), (before.entries, 0, 100));
    assert!(sizes.negatives * 160 <= (1 << 16) * 101 / 100 && sizes.failing_names == 0);
    assert!(most.load(Ordering::SeqCst) <= 8, "max_concurrent_fetches is 8");
    assert!(resident_kib() - memory < 8 * 1024, "{} KiB more", resident_kib() - memory);
    for name in &known {
        assert!(matches!(host.look(name), Lookup::Hit(_)));
    }
    host.close();
}
