//! How purges are written: a line for each, the oldest first.

use crate::purge_journal::{Purge, PurgeId, Purged};

pub(super) const FIRST_LINE: &str = "caddy-cached-http purges, format 1\n";

/// Writes the journal's text: a line for each purge, the oldest first.
pub fn encode(purges: &[Purge]) -> String {
    let mut text = FIRST_LINE.to_owned();
    purges.iter().for_each(|purge| text += &line(purge));
    text
}

/// Reads it; `None` if it is none of ours.
pub fn decode(text: &[u8]) -> Option<Vec<Purge>> {
    let lines = std::str::from_utf8(text).ok()?.strip_prefix(FIRST_LINE)?;
    lines.lines().map(parse_line).collect()
}

/// Ids as a record's text has them: hexadecimal, with commas between.
pub fn encode_ids(ids: impl Iterator<Item = PurgeId>) -> String {
    ids.map(|id| format!("{:016x}", id.0)).collect::<Vec<_>>().join(",")
}

/// Reads them.
pub fn decode_ids(text: &str) -> Option<Vec<PurgeId>> {
    text.split(',').filter(|id| !id.is_empty()).map(parse_id).collect()
}

fn line(purge: &Purge) -> String {
    match &purge.purged {
        Purged::All => format!("{:016x} *\n", purge.id.0),
        Purged::Name(name) => format!("{:016x} {name}\n", purge.id.0),
        Purged::Withdrawn(name) => format!("{:016x} {name} withdrawn\n", purge.id.0),
    }
}

fn parse_line(line: &str) -> Option<Purge> {
    let mut parts = line.split(' ');
    let id = parse_id(parts.next()?)?;
    let purged = match (parts.next()?, parts.next(), parts.next()) {
        ("*", None, None) => Purged::All,
        ("", ..) => return None,
        (name, None, None) => Purged::Name(name.into()),
        (name, Some("withdrawn"), None) => Purged::Withdrawn(name.into()),
        _ => return None,
    };
    Some(Purge { id, purged })
}

fn parse_id(text: &str) -> Option<PurgeId> {
    let id = u64::from_str_radix(text, 16).ok().filter(|id| *id > 0 && text.len() == 16)?;
    Some(PurgeId(id))
}

pub(super) fn length(purges: &[Purge]) -> usize {
    FIRST_LINE.len() + purges.iter().map(|purge| line(purge).len()).sum::<usize>()
}
