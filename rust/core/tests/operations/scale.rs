//! Many names. `OPERATIONS_PROOFS=full` takes as many as an operator may have, and prints what it took.

use std::fs::{self, DirBuilder, Permissions};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;
use std::time::Instant;

use cached_http_core::bundle::Bundle;
use cached_http_core::disk_format::{self, StoredEntry};
use cached_http_core::entry::{ClientKind, EntryKey, ResponseMetadata};
use cached_http_core::freshness::{FreshnessLifetime, ResponseFreshness};
use cached_http_core::operations::Answer;
use serde_json::json;

use crate::help::files_below;
use crate::support::host::{CacheDirectory, Host, bundle};
use crate::support::{Step, TestBackend};

fn full() -> bool {
    std::env::var("OPERATIONS_PROOFS").is_ok_and(|proofs| proofs == "full")
}

/// Puts an entry for each name into the folder, as a cache of this backend would have.
fn fill(directory: &Path, backend: &str, names: &[String], host: &Host) {
    let made = Bundle::parse(bundle("shop.example", false).as_bytes()).unwrap();
    let freshness = ResponseFreshness { lifetime: FreshnessLifetime::Unspecified, must_revalidate: false };
    let fetched_at = host.clock.now();
    let folder = directory.join("entries").join(disk_format::directory_name(backend));
    let private = |path: &Path| DirBuilder::new().mode(0o700).recursive(true).create(path).unwrap();
    private(&folder);
    for shard in 0..256 {
        private(&folder.join(format!("{shard:02x}")));
    }
    for name in names {
        let key = EntryKey { name: name.as_str().into(), client: ClientKind::Ecdsa };
        let file = disk_format::file_name(backend, &key);
        let freshness = freshness.clone();
        let metadata = ResponseMetadata { fetched_at, freshness, etag: None, last_modified: None };
        let pem = disk_format::pem_of(&made);
        let text =
            disk_format::encode(&StoredEntry { key, metadata, not_after: made.not_after(), pem }, backend);
        let path = folder.join(&file[..2]).join(file);
        fs::write(&path, &*text.unwrap()).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    }
}

#[test]
fn as_many_names_as_a_call_takes_are_purged_in_it() {
    let names: Vec<_> =
        (0..if full() { 100_000 } else { 5_000 }).map(|n| format!("shop{n}.example")).collect();
    let backend = TestBackend::start(|_| vec![Step::Close]);
    let directory = CacheDirectory::new();
    let mut host = Host::new(&backend, Some(&directory.path), "");
    fill(&directory.path, &backend.url(), &names, &host);
    let (purged, others) = names.split_at(names.len() - 10);

    let begin = Instant::now();
    let answer = host.operate(&json!({"purge": {"names": purged}}).to_string());
    println!("{} names purged, their files removed and synced: {:.2?}", purged.len(), begin.elapsed());
    assert_eq!(answer, Ok(Answer::Purged { purged: purged.len() as u64 }));
    assert_eq!(files_below(&directory.path.join("entries")).len(), others.len());

    let begin = Instant::now();
    assert!(host.operate(r#"{"purge_all": {}}"#).is_ok());
    println!("all of the others: {:.2?}", begin.elapsed());
    assert_eq!(files_below(&directory.path.join("entries")).len(), 0);
}
