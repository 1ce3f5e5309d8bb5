//! A panic planted in every export, and in the worker that fetches: a status, a reason, and a process that goes on.
//! Run with `cargo test -p cached-http-ffi --features failpoints --test panics`.

use std::collections::BTreeSet;
use std::fs;
use std::mem::zeroed;
use std::path::Path;
use std::ptr::null_mut;
use std::thread;
use std::time::Duration;

use cached_http::bytes::Buffer;
use cached_http::counters::*;
use cached_http::engine::*;
use cached_http::entries::*;
use cached_http::events::*;
use cached_http::lookup::fetch_cached_cert;
use cached_http::operations::*;
use cached_http::status::Status;
use cached_http::storage::cached_http_storage_answer;
use fail::FailScenario;

const ENGINE: &str = r#"{"backend":"http://127.0.0.1:1/","max_memory":1000000,"max_negative_memory":10000,"max_concurrent_fetches":2}"#;
const LOOKUP_CONFIG: &str = r#"{"url":"http://127.0.0.1:1/","default_ttl_ms":1000,"negative_ttl_ms":1000,
    "timeout_ms":2000,"stale_if_error_ms":0,"refresh_ahead":true}"#;

/// Opens an engine and a config over it.
fn open() -> (u64, u64) {
    let (mut engine, mut config, mut descriptor) = (0, 0, 0);
    // SAFETY: the texts and numbers live as long as the calls.
    unsafe {
        let status =
            cached_http_engine_open(ENGINE.as_ptr(), ENGINE.len(), &mut engine, &mut descriptor, null_mut());
        assert_eq!(status, Status::Ok);
        let status = cached_http_lookup_config_open(
            engine,
            LOOKUP_CONFIG.as_ptr(),
            LOOKUP_CONFIG.len(),
            &mut config,
            null_mut(),
        );
        assert_eq!(status, Status::Ok);
    }
    (engine, config)
}

fn look(config: u64, token: u64) -> Status {
    let (name, mut entry) = ("a.example", 0);
    // SAFETY: as above; NULL with length 0 is an empty query.
    unsafe {
        fetch_cached_cert(config, name.as_ptr(), name.len(), 1, null_mut(), 0, token, &mut entry, null_mut())
    }
}

/// Takes one event, if there is one: its kind, status and text.
fn take(engine: u64) -> Option<(u32, Status, String)> {
    let mut count = 0;
    // SAFETY: all-zero is an empty event; it is written before it is read, and its buffers are freed once.
    unsafe {
        let mut event: EventView = zeroed();
        assert_eq!(cached_http_next_events(engine, &mut event, 1, &mut count), Status::Ok);
        if count == 0 {
            return None;
        }
        let taken = (event.kind, event.status, text_of(&event.text));
        cached_http::bytes::cached_http_buffer_free(event.text);
        cached_http::bytes::cached_http_buffer_free(event.server_name);
        cached_http::bytes::cached_http_buffer_free(event.value);
        cached_http::bytes::cached_http_tokens_free(event.tokens);
        Some(taken)
    }
}

/// Takes events until a fetch has finished; returns how, and with which reason.
fn finished(engine: u64) -> (Status, String) {
    loop {
        match take(engine) {
            Some((CACHED_HTTP_EVENT_FINISHED, status, text)) => return (status, text),
            Some(_) => {}
            None => thread::sleep(Duration::from_millis(1)),
        }
    }
}

/// Takes what is there; returns how many records of panics were among it.
fn panics_logged(engine: u64) -> usize {
    let all = std::iter::from_fn(|| take(engine));
    all.filter(|(kind, _, text)| *kind == CACHED_HTTP_EVENT_LOG && text.contains("panic at ")).count()
}

/// # Safety
/// The buffer is one that was just handed out.
unsafe fn text_of(buffer: &Buffer) -> String {
    if buffer.data.is_null() {
        return String::new();
    }
    // SAFETY: the caller vouches for it.
    let bytes = unsafe { std::slice::from_raw_parts(buffer.data, buffer.length) };
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_panic_anywhere_is_a_status_and_the_process_goes_on() {
    let scenario = FailScenario::setup();
    let (engine, config) = open();

    fail::cfg("export", "panic").unwrap();
    let mut tried = BTreeSet::new();
    macro_rules! panics {
        ($export:ident($($argument:expr),*)) => {
            // SAFETY: the panic comes before any argument is looked at.
            #[allow(unused_unsafe, reason = "some exports are safe")]
            let status = unsafe { $export($($argument),*) };
            assert_eq!(status, Status::Panic, stringify!($export));
            tried.insert(stringify!($export));
        };
    }
    panics!(cached_http_engine_open(null_mut(), 0, null_mut(), null_mut(), null_mut()));
    panics!(cached_http_engine_resize(engine, null_mut(), 0, null_mut()));
    panics!(cached_http_engine_close(engine));
    panics!(cached_http_engine_counters(engine, null_mut()));
    panics!(cached_http_lookup_config_open(engine, null_mut(), 0, null_mut(), null_mut()));
    panics!(cached_http_lookup_config_close(config));
    panics!(cached_http_entry_open(engine, 1, null_mut(), null_mut()));
    panics!(cached_http_key_sign(1, 0, 0, null_mut(), 0, null_mut(), 0, null_mut()));
    panics!(cached_http_key_close(1));
    panics!(cached_http_next_events(engine, null_mut(), 0, null_mut()));
    panics!(cached_http_candidate_confirm(engine, 1));
    panics!(cached_http_candidate_reject(engine, 1, null_mut(), 0));
    panics!(fetch_cached_cert(config, null_mut(), 0, 0, null_mut(), 0, 0, null_mut(), null_mut()));
    panics!(cached_http_operate(config, null_mut(), 0, 1, null_mut()));
    panics!(cached_http_ask(config, null_mut(), 0, 0, 0, 1, null_mut()));
    panics!(cached_http_check_name(null_mut(), 0, null_mut()));
    panics!(cached_http_storage_answer(engine, 1, 0, null_mut(), 0));
    fail::remove("export");

    let header = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../include/cached_http.h");
    let declared = fs::read_to_string(header).unwrap().matches("\ncached_http_status ").count();
    assert_eq!(tried.len(), declared, "an export is missing here");
    assert_eq!(panics_logged(engine), declared, "each has its record, though a batch has room for one");

    // The worker: who waits is told, and the next fetch goes as if nothing had been.
    assert_eq!(look(config, 0), Status::Miss, "no lock is left behind");
    fail::cfg("fetch", "1*panic").unwrap();
    assert_eq!(look(config, 1), Status::Pending);
    let (status, reason) = finished(engine);
    assert!(status == Status::Failed && reason.contains("given up"), "{status:?}: {reason}");
    assert_eq!(panics_logged(engine), 1, "it had no room beside the fetch's end");
    assert_eq!(look(config, 2), Status::Pending);
    let (status, reason) = finished(engine);
    assert!(status == Status::Failed && reason.contains("connection refused"), "{status:?}: {reason}");

    // A panic of the last moment is told before the engine is gone.
    fail::cfg("export", "1*panic").unwrap();
    assert_eq!(cached_http_key_close(1), Status::Panic);
    assert_eq!(
        (cached_http_lookup_config_close(config), cached_http_engine_close(engine)),
        (Status::Ok, Status::Ok)
    );
    assert_eq!(take(engine).map(|(kind, ..)| kind), Some(CACHED_HTTP_EVENT_LOG));
    let mut count = 0;
    // SAFETY: all-zero is an empty event, and none is written.
    let status = unsafe { cached_http_next_events(engine, &mut zeroed(), 1, &mut count) };
    assert_eq!((status, count), (Status::Closed, 0));
    scenario.teardown();
}
