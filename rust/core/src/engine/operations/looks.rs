//! A look at the disk for somebody who waits no longer than a moment: a disk that hangs keeps its own threads only.

use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use crate::disk_store::DiskStore;
use crate::engine::shared::Shared;
use crate::worker_pool::Priority;

/// Threads that look, and looks that may wait for one.
pub(in crate::engine) const LOOKERS: usize = 4;
pub(in crate::engine) const MAX_QUEUED_LOOKS: usize = 64;
/// How long a look may take.
const LOOK_TIMEOUT: Duration = Duration::from_secs(5);

/// The disk has not answered in time.
pub(super) struct Hangs;

impl Shared {
    /// What a look finds; `None` without a disk.
    pub(super) fn look<T: Send + 'static>(
        self: &Arc<Self>,
        look: impl FnOnce(&Shared, &DiskStore) -> T + Send + 'static,
    ) -> Result<Option<T>, Hangs> {
        if self.disk.is_none() {
            return Ok(None);
        }
        let (found, finding) = sync_channel(1);
        let shared = Arc::clone(self);
        let job = move || {
            #[cfg(feature = "failpoints")]
            fail::fail_point!("disk_look");
            if let Some(disk) = &shared.disk {
                // Nobody may wait any more.
                let _ = found.send(look(&shared, disk));
            }
        };
        self.lookers.submit(Priority::Foreground, Box::new(job)).map_err(|_| Hangs)?;
        finding.recv_timeout(LOOK_TIMEOUT).map(Some).map_err(|_| Hangs)
    }
}
