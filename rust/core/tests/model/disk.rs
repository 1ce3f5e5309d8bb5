//! What happens to files and folders behind the engine's back.

use std::fs::{self, OpenOptions, Permissions};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::steps::DiskFault;

/// What vanishes meanwhile, since the engine is at work, is left alone.
pub(crate) fn happen(directory: &Path, which: usize, fault: DiskFault) {
    let files = files_below(&directory.join("entries"));
    if files.is_empty() {
        return;
    }
    let file = &files[which % files.len()];
    match fault {
        DiskFault::Damaged => {
            if let Ok(file) = OpenOptions::new().write(true).open(file) {
                let _ = file.write_at(b"\0", 200);
            }
        }
        DiskFault::OpenToOthers => set_mode(file, 0o644),
        DiskFault::Refuses => set_mode(file.parent().unwrap(), 0o755),
        DiskFault::Mended => mend(directory),
    }
}

/// What an operator would put right.
pub(crate) fn mend(directory: &Path) {
    for file in files_below(&directory.join("entries")) {
        set_mode(&file, 0o600);
        set_mode(file.parent().unwrap(), 0o700);
    }
}

fn set_mode(path: &Path, mode: u32) {
    let _ = fs::set_permissions(path, Permissions::from_mode(mode));
}

fn files_below(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for found in fs::read_dir(directory).into_iter().flatten().flatten().map(|found| found.path()) {
        if found.is_dir() { files.extend(files_below(&found)) } else { files.push(found) }
    }
    files.sort();
    files
}
