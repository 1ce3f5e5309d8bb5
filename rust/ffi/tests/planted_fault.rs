//! A fault on purpose, which `tests/scripts/asan.sh` runs to see that the address sanitizer finds it.

use std::ptr::null_mut;

use cached_http::bytes::{Buffer, cached_http_buffer_free};
use cached_http::engine::cached_http_engine_open;
use cached_http::status::Status;

#[test]
#[ignore = "it reads memory that was freed: run by tests/scripts/asan.sh only"]
fn a_buffer_is_read_after_it_was_given_back() {
    let mut message = Buffer { data: null_mut(), length: 0, capacity: 0 };
    let (mut engine, mut descriptor) = (0, 0);
    // SAFETY: the text and the outputs are ours.
    let status =
        unsafe { cached_http_engine_open("{}".as_ptr(), 2, &mut engine, &mut descriptor, &mut message) };
    assert_eq!(status, Status::SettingsRejected);
    let data = message.data;
    // SAFETY: given back once.
    unsafe { cached_http_buffer_free(message) };
    // SAFETY: none, that is the fault.
    println!("{}", unsafe { data.read_volatile() });
}
