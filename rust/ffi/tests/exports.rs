//! Every function of the header stands behind the panic boundary.

use std::fs;
use std::path::Path;

/// These have no body that could panic, and no status to answer with.
const WITHOUT_BOUNDARY: [&str; 4] =
    ["cached_http_abi_5", "cached_http_buffer_free", "cached_http_live_handles", "cached_http_tokens_free"];

#[test]
fn every_export_is_guarded() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let header = fs::read_to_string(root.join("../../include/cached_http.h")).unwrap();
    let mut source = String::new();
    for file in fs::read_dir(root.join("src")).unwrap() {
        source += &fs::read_to_string(file.unwrap().path()).unwrap();
    }
    let mut seen = 0;
    for export in source.split("#[unsafe(no_mangle)]").skip(1) {
        let export = export.split("\n}\n").next().unwrap();
        let Some(name) = export.split("fn ").nth(1) else { continue }; // data
        let name = name.split('(').next().unwrap();
        assert!(header.contains(&format!("{name}(")), "{name} is not in the header: run `make header`");
        let guarded = export.contains("    guarded(|| ");
        assert_eq!(guarded, !WITHOUT_BOUNDARY.contains(&name), "{name}");
        seen += 1;
    }
    let declared = header.matches("\ncached_http_status ").count() + WITHOUT_BOUNDARY.len();
    assert_eq!(seen, declared, "exports in the source, functions in the header");
}
