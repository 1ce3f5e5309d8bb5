//! The header of an entry's file: what is known of the entry beside its bundle, one field a line.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::disk_format::{FormatError, StoredEntry};
use crate::entry::{ClientKind, EntryKey, ResponseMetadata};
use crate::freshness::{FreshnessLifetime, ResponseFreshness};

/// The text of a header, with the empty line that ends it.
pub(super) fn write(entry: &StoredEntry, backend: &str) -> Result<String, FormatError> {
    let StoredEntry { key, metadata, not_after, .. } = entry;
    let lifetime = match &metadata.freshness.lifetime {
        FreshnessLifetime::Unspecified => "unspecified".to_owned(),
        FreshnessLifetime::Explicit(lifetime) => {
            u64::try_from(lifetime.as_millis()).unwrap_or(u64::MAX).to_string()
        }
        FreshnessLifetime::Uncacheable(_) => return Err(FormatError::Uncacheable),
    };
    if has_control_characters(backend) {
        return Err(FormatError::ControlCharacters("backend"));
    }
    if has_control_characters(&key.name) {
        return Err(FormatError::ControlCharacters("server name"));
    }
    let must_revalidate = if metadata.freshness.must_revalidate { "yes" } else { "no" };
    let mut header = format!(
        "backend: {backend}\nserver-name: {name}\nclient: {client}\nfetched-at: {fetched_at}\n\
         lifetime: {lifetime}\nmust-revalidate: {must_revalidate}\nnot-after: {not_after}\n",
        name = key.name,
        client = client(key),
        fetched_at = metadata.fetched_at.0,
        not_after = not_after.0,
    );
    for (name, value) in [("etag", &metadata.etag), ("last-modified", &metadata.last_modified)] {
        if let Some(value) = value.as_deref().filter(|value| !has_control_characters(value)) {
            header.extend([name, ": ", value, "\n"]);
        }
    }
    header.push('\n');
    Ok(header)
}

/// What a header says.
pub(crate) struct Header<'a> {
    pub(crate) backend: &'a str,
    pub(crate) server_name: &'a str,
    pub(super) client: &'a str,
    pub(crate) metadata: ResponseMetadata,
    pub(crate) not_after: Timestamp,
}

pub(super) fn parse(header: &str) -> Result<Header<'_>, FormatError> {
    // Never written by us, and a validator with one makes no request.
    if header.split('\n').any(has_control_characters) {
        return Err(FormatError::NotAnEntry);
    }
    let mut fields = Fields(header);
    let backend = fields.required("backend")?;
    let server_name = fields.required("server-name")?;
    let client = fields.required("client")?;
    let fetched_at = Timestamp(number("fetched-at", fields.required("fetched-at")?)?);
    let lifetime = match fields.required("lifetime")? {
        "unspecified" => FreshnessLifetime::Unspecified,
        text => FreshnessLifetime::Explicit(Duration::from_millis(number("lifetime", text)?)),
    };
    let must_revalidate = match fields.required("must-revalidate")? {
        "yes" => true,
        "no" => false,
        _ => return Err(FormatError::Field("must-revalidate")),
    };
    let not_after = Timestamp(number("not-after", fields.required("not-after")?)?);
    let etag = fields.optional("etag").map(Box::from);
    let last_modified = fields.optional("last-modified").map(Box::from);
    if !fields.0.is_empty() {
        return Err(FormatError::NotAnEntry);
    }
    let freshness = ResponseFreshness { lifetime, must_revalidate };
    let metadata = ResponseMetadata { fetched_at, freshness, etag, last_modified };
    Ok(Header { backend, server_name, client, metadata, not_after })
}

/// The header's lines that are not yet read.
struct Fields<'a>(&'a str);

impl<'a> Fields<'a> {
    fn optional(&mut self, name: &str) -> Option<&'a str> {
        let (line, rest) = self.0.split_once('\n')?;
        let value = line.strip_prefix(name)?.strip_prefix(": ")?;
        self.0 = rest;
        Some(value)
    }

    fn required(&mut self, name: &'static str) -> Result<&'a str, FormatError> {
        self.optional(name).ok_or(FormatError::Field(name))
    }
}

fn number(name: &'static str, text: &str) -> Result<u64, FormatError> {
    text.parse().map_err(|_| FormatError::Field(name))
}

/// How a file says which clients its entry is for.
pub(super) fn client(key: &EntryKey) -> &'static str {
    match key.client {
        ClientKind::RsaOnly => "rsa-only",
        ClientKind::Ecdsa => "ecdsa",
        ClientKind::Ed25519 => "ed25519",
    }
}

fn has_control_characters(value: &str) -> bool {
    value.chars().any(char::is_control)
}
