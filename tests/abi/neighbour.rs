//! Another Rust library in the same program: it brings std, too, and catches panics of its own.

#[unsafe(no_mangle)]
extern "C" fn neighbour_catches(number: i32) -> i32 {
    std::panic::set_hook(Box::new(|_| {})); // of this library's own std
    let caught = std::panic::catch_unwind(|| {
        let texts: Vec<String> = (0..number).map(|n| n.to_string()).collect();
        assert!(texts.len() < 3, "too many");
        texts.len()
    });
    caught.map_or(-1, |count| count as i32)
}
