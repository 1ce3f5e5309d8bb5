//! A certificate chain with its private key, as a backend sends it: parsed, put in order, and checked.
//!
//! Parse, don't validate: a [`Bundle`] has a leaf, a key that fits it, and a chain in order. Whether it is in
//! date and covers a name depends on the time and the question: [`Bundle::check`].

mod chain_order;
mod names;

use std::sync::Arc;
use std::time::Duration;

use compact_str::CompactString;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;
use x509_parser::time::ASN1Time;
use zeroize::Zeroizing;

use crate::clock::Timestamp;
use crate::keys::{KeyError, PrivateKey};
use crate::pem::{self, Block};

pub use crate::pem::PemError;

/// No more certificates than this, copies not counted. Chains of the public web have two to four.
pub const MAX_CHAIN_LENGTH: usize = 10;

/// A backend whose clock is ahead of ours may send a certificate that is valid in a moment.
const NOT_BEFORE_TOLERANCE: Duration = Duration::from_secs(60);

/// A chain and the key that fits its leaf. `Debug` shows no key material.
///
/// Held as flat DER: nothing parsed stays in memory. The issuers are a counted reference, so that those that many
/// bundles share can be held once.
#[derive(Debug)]
pub struct Bundle {
    leaf: Der,
    issuers: Arc<Issuers>,
    private_key: PrivateKey,
    not_after: Timestamp,
}

/// Why a bundle is rejected. The text says which check and what to do, and quotes nothing of the bundle's bytes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    /// The leaf's validity has ended.
    #[error("the certificate has expired; renew it")]
    Expired,
    /// The one private key is of no use.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A certificate that is not one, or has bytes behind it. Counted from 1 in the order of the
    /// text, copies not counted.
    #[error("certificate {0} of the bundle is malformed or has bytes after it; send plain X.509 DER in PEM")]
    MalformedCertificate(usize),
    /// The leaf has no DNS name for the server's name. A common name does not count: browsers ignore it.
    #[error("no DNS name of the certificate (subjectAltName) covers the server name")]
    NameNotCovered,
    /// Blocks, but no certificate.
    #[error("the bundle has no certificate; send the leaf and its intermediates along with the key")]
    NoCertificate,
    /// The key is of none of the certificates.
    #[error("the private key fits no certificate of the bundle; send the key the leaf was issued for")]
    NoFit,
    /// Blocks, but no key.
    #[error("the bundle has no private key; send exactly one")]
    NoPrivateKey,
    /// The leaf's validity has not begun.
    #[error("the certificate is not valid yet; check its start and the clocks of both machines")]
    NotYetValid,
    /// Not a bundle's PEM.
    #[error(transparent)]
    Pem(#[from] PemError),
    /// More than [`MAX_CHAIN_LENGTH`] certificates.
    #[error(
        "the bundle has more than {MAX_CHAIN_LENGTH} certificates; send the leaf and its intermediates only"
    )]
    TooManyCertificates,
    /// More than one key, be it the same twice.
    #[error("the bundle has two private keys or more; send exactly one")]
    TwoPrivateKeys,
}

impl Bundle {
    /// Parses PEM text: certificates in any order and exactly one private key. The work grows with the
    /// length of the text, which the caller caps.
    pub fn parse(pem: &[u8]) -> Result<Self, BundleError> {
        Self::parse_and(pem, |_| Ok(()))
    }

    /// [`Bundle::parse`] and [`Bundle::check`] in one, for which the leaf is parsed once.
    pub fn parse_for(pem: &[u8], name: &str, now: Timestamp) -> Result<Self, BundleError> {
        Self::parse_and(pem, |leaf| check(leaf, name, now))
    }

    fn parse_and(
        pem: &[u8],
        check: impl FnOnce(&X509Certificate<'_>) -> Result<(), BundleError>,
    ) -> Result<Self, BundleError> {
        let (certificates, key) = sort_out(pem::read_blocks(pem)?)?;
        let private_key = PrivateKey::from_der(key)?;
        let parsed = parse_certificates(&certificates)?;

        // Bytes decide: the only encoding the key's public half has in a sound certificate. Point
        // compression, explicit curve parameters and RSA keys restricted to PSS don't equal it.
        let public_key_info = private_key.public_key_info()?;
        let fits = |certificate: &X509Certificate<'_>| certificate.public_key().raw == &*public_key_info;
        let leaf = parsed.iter().position(fits).ok_or(BundleError::NoFit)?;
        if names::dns_names(&parsed[leaf]).is_none() || !names::has_constructed_extensions(&parsed[leaf]) {
            return Err(BundleError::MalformedCertificate(leaf + 1));
        }

        check(&parsed[leaf])?;

        let issuers = chain_order::above(&parsed, leaf);
        Ok(Bundle {
            not_after: Timestamp::from_unix_seconds(parsed[leaf].validity().not_after.timestamp()),
            leaf: certificates[leaf].clone(),
            issuers: issuers.into_iter().map(|place| certificates[place].clone()).collect(),
            private_key,
        })
    }

    /// That it may be served for `name` at `now`: in date, and the leaf's DNS names cover it. Parses the
    /// leaf anew, so it is for accepting a bundle, not for each handshake.
    pub fn check(&self, name: &str, now: Timestamp) -> Result<(), BundleError> {
        check(&parse_certificate(&self.leaf).ok_or(BundleError::MalformedCertificate(1))?, name, now)
    }

    /// The leaf's DNS names, in lower case. Parses the leaf anew.
    pub fn dns_names(&self) -> Vec<CompactString> {
        let leaf = parse_certificate(&self.leaf);
        let names = leaf.as_ref().and_then(names::dns_names).into_iter().flatten();
        names.map(|name| name.to_ascii_lowercase().into()).collect()
    }

    /// The chain's certificates as DER, leaf first; those that don't lead up from the leaf come last.
    pub fn chain(&self) -> impl Iterator<Item = &[u8]> + Clone {
        std::iter::once(&*self.leaf).chain(self.issuers.iter().map(|issuer| &**issuer))
    }

    /// What is above the leaf.
    pub fn issuers(&self) -> &Arc<Issuers> {
        &self.issuers
    }

    /// The leaf's private key.
    pub fn private_key(&self) -> &PrivateKey {
        &self.private_key
    }

    /// When the leaf stops being valid.
    pub fn not_after(&self) -> Timestamp {
        self.not_after
    }

    /// Replaces the leaf's issuers by ones that other bundles hold too.
    pub fn share_issuers(&mut self, shared: impl FnOnce(&Arc<Issuers>) -> Arc<Issuers>) {
        self.issuers = shared(&self.issuers);
    }

    /// Bytes it occupies in memory, about. Issuers that other bundles hold too count as a reference, so the sum
    /// depends on when it is taken.
    pub fn weight(&self) -> usize {
        // One count is ours, one may be that of the table of shared issuers.
        let are_shared = Arc::strong_count(&self.issuers) > 2;
        let issuers = self.issuers.iter().map(|issuer| issuer.len() + size_of_val(issuer));
        let own = if are_shared { 0 } else { issuers.sum() };
        size_of::<Self>() + self.leaf.len() + own + self.private_key.der().len()
    }
}

type Der = Box<[u8]>;

/// The certificates above a leaf as DER, in order.
pub type Issuers = [Der];

/// Certificates in the order of the text, copies dropped, and the one key.
fn sort_out(blocks: Vec<Block>) -> Result<(Vec<Der>, Zeroizing<Der>), BundleError> {
    let mut certificates: Vec<Der> = Vec::new();
    let mut keys = Vec::new();
    for block in blocks {
        match block {
            Block::Certificate(der) if certificates.contains(&der) => {}
            Block::Certificate(_) if certificates.len() == MAX_CHAIN_LENGTH => {
                return Err(BundleError::TooManyCertificates);
            }
            Block::Certificate(der) => certificates.push(der),
            Block::PrivateKey(der) => keys.push(der),
        }
    }
    if keys.len() > 1 {
        return Err(BundleError::TwoPrivateKeys);
    }
    let key = keys.pop().ok_or(BundleError::NoPrivateKey)?;
    if certificates.is_empty() {
        return Err(BundleError::NoCertificate);
    }
    Ok((certificates, key))
}

fn parse_certificates(certificates: &[Der]) -> Result<Vec<X509Certificate<'_>>, BundleError> {
    let numbered = certificates.iter().enumerate();
    numbered
        .map(|(place, der)| parse_certificate(der).ok_or(BundleError::MalformedCertificate(place + 1)))
        .collect()
}

fn parse_certificate(der: &[u8]) -> Option<X509Certificate<'_>> {
    X509Certificate::from_der(der).ok().and_then(|(rest, parsed)| rest.is_empty().then_some(parsed))
}

fn check(leaf: &X509Certificate<'_>, name: &str, now: Timestamp) -> Result<(), BundleError> {
    let time = |time: ASN1Time| Timestamp::from_unix_seconds(time.timestamp());
    if now.saturating_add(NOT_BEFORE_TOLERANCE) < time(leaf.validity().not_before) {
        return Err(BundleError::NotYetValid);
    }
    if now >= time(leaf.validity().not_after) {
        return Err(BundleError::Expired);
    }
    let mut dns_names = names::dns_names(leaf).ok_or(BundleError::MalformedCertificate(1))?;
    if dns_names.any(|pattern| names::covers(pattern, name)) {
        Ok(())
    } else {
        Err(BundleError::NameNotCovered)
    }
}

#[cfg(test)]
mod tests;
