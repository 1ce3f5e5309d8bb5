//! Writes the C header and what belongs to it to the build folder. A build never touches the source tree: `make header`
//! copies from there, and `make check` compares.

use std::env;
use std::fs;
use std::path::Path;

#[path = "build/counters.rs"]
mod counters;

const COUNTERS: &str = "../core/src/counters.rs";

fn main() {
    for path in ["src", "build", "build.rs", "cbindgen.toml", COUNTERS] {
        println!("cargo::rerun-if-changed={path}");
    }
    let crate_dir = env::var("CARGO_MANIFEST_DIR").expect("cargo sets it");
    let out_dir = env::var("OUT_DIR").expect("cargo sets it");
    let out = Path::new(&out_dir);

    let list = fs::read_to_string(COUNTERS).expect("the list of counters is readable");
    let list = counters::parse(&list);
    let counters_view = out.join("counters_view.rs");
    fs::write(&counters_view, counters::rust_struct(&list)).expect("OUT_DIR is writable");
    fs::write(out.join("counters_generated.go"), counters::go_struct(&list)).expect("OUT_DIR is writable");

    let mut config = cbindgen::Config::from_root_or_default(&crate_dir);
    let version = env::var("CARGO_PKG_VERSION").expect("cargo sets it");
    config.after_includes = Some(format!("\n#define CACHED_HTTP_VERSION \"{version}\""));
    cbindgen::Builder::new()
        .with_config(config)
        .with_crate(&crate_dir)
        .with_src(&counters_view)
        .generate()
        .expect("the exports are readable to cbindgen")
        .write_to_file(out.join("cached_http.h"));
}
