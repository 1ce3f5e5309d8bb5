//! Joining a fleet, staying in it with other settings, and leaving it.

use std::path::PathBuf;
use std::sync::Arc;

use crate::engine::fleet::Fleet;
use crate::engine::fleet::journal::Journal;
use crate::engine::shared::Shared;
use crate::log_sampler::LogKind;
use crate::record::{KeyFileError, KeyRing};
use crate::settings::FleetSettings;

/// Whether the keys of a fleet can be read.
pub(in crate::engine) fn check(key_files: &[PathBuf]) -> Result<(), KeyFileError> {
    KeyRing::read(key_files).map(drop)
}

impl Shared {
    /// Becomes part of a fleet, or stays so with other settings, or leaves it.
    pub(in crate::engine) fn join_fleet(
        self: &Arc<Self>,
        wanted: Option<&FleetSettings>,
    ) -> Result<(), KeyFileError> {
        let Some(wanted) = wanted else {
            let left = self.fleet.write().take();
            left.iter().for_each(|fleet| self.leave(fleet));
            return Ok(());
        };
        let keys = KeyRing::read(&wanted.key_files)?;
        let mut is_another_storage = false;
        let fleet = {
            let mut current = self.fleet.write();
            match &*current {
                Some(fleet) => {
                    *fleet.keys.write() = keys;
                    fleet.journal.lock().outdate_turn();
                    let before = std::mem::replace(&mut *fleet.settings.lock(), wanted.clone());
                    is_another_storage = before.storage != wanted.storage;
                    Arc::clone(fleet)
                }
                None => {
                    let journal = Journal::new(self.clock.now());
                    let fleet = Arc::new(Fleet::new(&self.backend_name, wanted.clone(), keys, journal));
                    *current = Some(Arc::clone(&fleet));
                    fleet
                }
            }
        };
        if is_another_storage {
            fleet.journal.lock().begin_anew();
            let steps = fleet.operations.begin_anew();
            self.carry_out(&fleet, steps);
        }
        let steps = fleet.operations.resize(wanted.max_concurrent as usize);
        self.carry_out(&fleet, steps);
        self.read_purges(&fleet);
        Ok(())
    }

    /// Ends the fleet's operations. What the storage has not taken of this node's purges nobody can tell now.
    pub(in crate::engine) fn leave(&self, fleet: &Fleet) {
        let untold = fleet.journal.lock().unwritten().len();
        if untold > 0 {
            let hope = match self.disk {
                Some(_) => "; the next to use this cache_dir with the fleet tells them",
                None => "",
            };
            self.log_of(LogKind::Advice, None, || {
                format!(
                    "{untold} purges by this node are not told to the others, since the storage of the fleet has not taken \
                     them: purge on those, too{hope}"
                )
            });
        }
        fleet.close();
    }
}
