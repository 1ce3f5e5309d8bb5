//! Writes the C header to the build folder. A build never touches the source tree: `make header` copies it from
//! there, and `make check` compares.

use std::env;
use std::path::Path;

fn main() {
    println!("cargo::rerun-if-changed=src");
    println!("cargo::rerun-if-changed=cbindgen.toml");
    let crate_dir = env::var("CARGO_MANIFEST_DIR").expect("cargo sets it");
    let mut config = cbindgen::Config::from_root_or_default(&crate_dir);
    let version = env::var("CARGO_PKG_VERSION").expect("cargo sets it");
    config.after_includes = Some(format!("\n#define CACHED_HTTP_VERSION \"{version}\""));
    let header =
        cbindgen::generate_with_config(&crate_dir, config).expect("the exports are readable to cbindgen");
    let out_dir = env::var("OUT_DIR").expect("cargo sets it");
    header.write_to_file(Path::new(&out_dir).join("cached_http.h"));
}
