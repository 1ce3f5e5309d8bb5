//! Purges that the other nodes are to follow, and what follows here of theirs.

use std::sync::Arc;
use std::time::Duration;

use crate::engine::disk_writes::DiskWrite;
use crate::engine::fleet::{Fleet, FleetWrite};
use crate::engine::shared::Shared;
use crate::engine::storing::PurgedBy;
use crate::entry::{ClientKind, EntryKeyRef};
use crate::purge_journal::{Purge, Purged};

/// How long a withdrawal waits for others.
const SOON: Duration = Duration::from_millis(500);

impl Shared {
    /// Has the other nodes forget a name as well. The caller holds `changes`.
    pub(in crate::engine) fn purge_in_fleet(self: &Arc<Self>, name: EntryKeyRef<'_>, by: &PurgedBy<'_>) {
        let Some(fleet) = self.fleet() else { return };
        fleet.journal.lock().note(by, || Purged::Name(name.name.into()));
        match by {
            PurgedBy::ThisNode => self.delete_from_fleet(&fleet, name.all_kinds()),
            PurgedBy::Other(_) => fleet.writes.take_back(name),
        }
        self.write_to_fleet(&fleet);
    }

    /// The same for all names. Records can't be listed: those that are left are refused by whoever knows of the purge.
    pub(in crate::engine) fn purge_all_in_fleet(self: &Arc<Self>, by: &PurgedBy<'_>) {
        let Some(fleet) = self.fleet() else { return };
        fleet.journal.lock().note(by, || Purged::All);
        fleet.writes.take_back_all();
        self.write_to_fleet(&fleet);
    }

    /// The backend has said "no" to such a client, which could have used `known`. What nobody knew of needs no word. The others
    /// forget the name, unless the client was one of those that use RSA alone: of what others use, its "no" says nothing.
    pub(in crate::engine) fn withdraw_from_fleet<'a>(
        self: &Arc<Self>,
        client: EntryKeyRef<'_>,
        known: impl Iterator<Item = EntryKeyRef<'a>>,
    ) {
        let (Some(fleet), mut known) = (self.fleet(), known.peekable()) else { return };
        if known.peek().is_none() {
            return;
        }
        match client.client {
            ClientKind::RsaOnly => self.delete_from_fleet(&fleet, known),
            ClientKind::Ecdsa | ClientKind::Ed25519 => {
                fleet.journal.lock().note(&PurgedBy::ThisNode, || Purged::Withdrawn(client.name.into()));
                self.delete_from_fleet(&fleet, client.all_kinds());
                self.read_purges_soon(&fleet);
            }
        }
        self.write_to_fleet(&fleet);
    }

    /// A backend that forgets many names makes one turn of it.
    fn read_purges_soon(self: &Arc<Self>, fleet: &Arc<Fleet>) {
        if !std::mem::replace(&mut fleet.journal.lock().is_soon, true) {
            let (shared, of) = (Arc::clone(self), Arc::clone(fleet));
            fleet.after(SOON, Box::new(move || shared.read_purges(&of)));
        }
    }

    fn delete_from_fleet<'a>(&self, fleet: &Fleet, keys: impl IntoIterator<Item = EntryKeyRef<'a>>) {
        for key in keys {
            if !fleet.writes.want(key, FleetWrite::Delete) {
                self.counters.fleet_skipped.increment();
            }
        }
    }

    /// Carries out what another node has purged.
    pub(super) fn purge_as_told(self: &Arc<Self>, purge: &Purge) {
        let by = PurgedBy::Other(purge);
        match &purge.purged {
            Purged::All => {
                self.purge_all_by(&by);
                self.give_back();
            }
            Purged::Name(name) | Purged::Withdrawn(name) => {
                let key = EntryKeyRef { name, client: ClientKind::RsaOnly };
                self.purge(key, &DiskWrite::Remove(ClientKind::Ed25519), &by);
            }
        }
        self.counters.fleet_purges.increment();
    }
}
