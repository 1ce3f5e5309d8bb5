//! PEM text into certificates and private keys. The only module that knows rustls-pemfile.
//!
//! That reader skips what it does not know, without a word: an encrypted key, a block behind a byte order
//! mark, a misspelt label. So the boundary lines are looked at first, and whatever the reader would skip,
//! or read otherwise than Go's encoding/pem, is rejected with its reason. Then the two must agree.

use rustls_pemfile::Item;
use zeroize::{Zeroize, Zeroizing};

/// One block of a bundle, decoded.
pub(crate) enum Block {
    /// A certificate's DER; not looked into.
    Certificate(Box<[u8]>),
    /// An unencrypted private key's DER; its label said nothing about its encoding that can be trusted.
    PrivateKey(Zeroizing<Box<[u8]>>),
}

/// Why text is not a bundle's PEM. Quotes nothing of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PemError {
    /// Base64 that does not decode, a header inside a block, or characters that don't belong there.
    #[error("a PEM block is damaged or has headers of its own; send plain base64 between its boundary lines")]
    Damaged,
    /// `ENCRYPTED PRIVATE KEY`, or `Proc-Type: 4,ENCRYPTED` inside a key's block.
    #[error("the private key is encrypted; send it without a passphrase")]
    EncryptedKey,
    /// `-----BEGIN` or `-----END` with something before or after it on its line.
    #[error("a PEM boundary is not on a line of its own, from its first column on")]
    MisplacedBoundary,
    /// No block at all.
    #[error("there is no PEM block; send the certificate chain and its private key as PEM text")]
    NoBlocks,
    /// `EC PARAMETERS` without the key they belong to.
    #[error("EC PARAMETERS do not stand right before an EC PRIVATE KEY; leave them out")]
    StrayEcParameters,
    /// A block that belongs in no bundle.
    #[error("the bundle has {0}; send only certificates and one private key")]
    Unexpected(&'static str),
    /// A block that is cut short, begun twice or ended twice.
    #[error("a PEM block does not end with the END line of its label; was the text cut short?")]
    Unfinished,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Label {
    Certificate,
    EcParameters,
    EcPrivateKey,
    PrivateKey,
    RsaPrivateKey,
}

impl Label {
    fn is_key(self) -> bool {
        matches!(self, Label::EcPrivateKey | Label::PrivateKey | Label::RsaPrivateKey)
    }
}

/// Reads all blocks, in the order of the text. Linear in the text's length, which the caller caps.
pub(crate) fn read_blocks(text: &[u8]) -> Result<Vec<Block>, PemError> {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let labels = scan(text)?;
    check_ec_parameters(&labels)?;

    let mut blocks = Vec::with_capacity(labels.len());
    let mut rest = text;
    // The reader skips EC PARAMETERS, a label it does not know.
    for label in labels.into_iter().filter(|label| *label != Label::EcParameters) {
        let read = rustls_pemfile::read_one_from_slice(rest).map_err(|_| PemError::Damaged)?;
        let (item, remainder) = read.ok_or(PemError::Damaged)?;
        rest = remainder;
        blocks.push(block(label, item).ok_or(PemError::Damaged)?);
    }
    Ok(blocks)
}

/// Copies into boxes of just the right size; the reader's own buffer of a key is wiped.
fn block(label: Label, item: Item) -> Option<Block> {
    let secret = |der: &[u8]| Block::PrivateKey(Zeroizing::new(der.into()));
    match (label, item) {
        (Label::Certificate, Item::X509Certificate(der)) => Some(Block::Certificate(der.as_ref().into())),
        (Label::EcPrivateKey, Item::Sec1Key(mut key)) => {
            let block = secret(key.secret_sec1_der());
            key.zeroize();
            Some(block)
        }
        (Label::PrivateKey, Item::Pkcs8Key(mut key)) => {
            let block = secret(key.secret_pkcs8_der());
            key.zeroize();
            Some(block)
        }
        (Label::RsaPrivateKey, Item::Pkcs1Key(mut key)) => {
            let block = secret(key.secret_pkcs1_der());
            key.zeroize();
            Some(block)
        }
        _ => None,
    }
}

/// Finds the labels of all blocks, in order. Lines end in LF or CR LF, as for Go; text between blocks, such
/// as `openssl x509 -text` writes, is passed over.
fn scan(text: &[u8]) -> Result<Vec<Label>, PemError> {
    let mut labels = Vec::new();
    let mut open: Option<(&[u8], Body)> = None;
    for line in text.split(|byte| *byte == b'\n') {
        let line = line.trim_ascii_end();
        match (boundary(line)?, &mut open) {
            (Some(Boundary::Begin(name)), None) => {
                labels.push(known_label(name)?);
                open = Some((name, Body::default()));
            }
            (Some(Boundary::End(name)), Some((begun, body))) if name == *begun => {
                body.check_length()?;
                open = None;
            }
            (Some(_), _) => return Err(PemError::Unfinished),
            (None, Some((_, body))) => body.add(line)?,
            (None, None) => {}
        }
    }
    match (open, labels.is_empty()) {
        (Some(_), _) => Err(PemError::Unfinished),
        (None, true) => Err(PemError::NoBlocks),
        (None, false) => Ok(labels),
    }
}

enum Boundary<'a> {
    Begin(&'a [u8]),
    End(&'a [u8]),
}

fn boundary(line: &[u8]) -> Result<Option<Boundary<'_>>, PemError> {
    // Most lines are a block's body.
    if !line.contains(&b'-') {
        return Ok(None);
    }
    let contains = |part: &[u8], marker: &[u8]| part.windows(marker.len()).any(|window| window == marker);
    let named = |begins: &[u8]| {
        let name = line.strip_prefix(begins)?.strip_suffix(b"-----")?;
        (!contains(name, b"-----")).then_some(name)
    };
    if let Some(name) = named(b"-----BEGIN ") {
        Ok(Some(Boundary::Begin(name)))
    } else if let Some(name) = named(b"-----END ") {
        Ok(Some(Boundary::End(name)))
    } else if contains(line, b"-----BEGIN") || contains(line, b"-----END") {
        Err(PemError::MisplacedBoundary)
    } else {
        Ok(None)
    }
}

/// What a block's body has so far. The reader tolerates missing padding and vertical tabs; Go does not.
#[derive(Default)]
struct Body {
    characters: usize,
}

impl Body {
    fn add(&mut self, line: &[u8]) -> Result<(), PemError> {
        if line.starts_with(b"Proc-Type:") && line.ends_with(b"ENCRYPTED") {
            return Err(PemError::EncryptedKey);
        }
        for byte in line {
            match byte {
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'+' | b'/' | b'=' => self.characters += 1,
                b' ' | b'\t' | b'\r' => {}
                b'-' => return Err(PemError::Unfinished), // what is left of an END line
                _ => return Err(PemError::Damaged),
            }
        }
        Ok(())
    }

    fn check_length(&self) -> Result<(), PemError> {
        if self.characters.is_multiple_of(4) { Ok(()) } else { Err(PemError::Damaged) }
    }
}

fn known_label(name: &[u8]) -> Result<Label, PemError> {
    Err(match name {
        b"CERTIFICATE" => return Ok(Label::Certificate),
        b"EC PARAMETERS" => return Ok(Label::EcParameters),
        b"EC PRIVATE KEY" => return Ok(Label::EcPrivateKey),
        b"PRIVATE KEY" => return Ok(Label::PrivateKey),
        b"RSA PRIVATE KEY" => return Ok(Label::RsaPrivateKey),
        b"ENCRYPTED PRIVATE KEY" => PemError::EncryptedKey,
        b"CERTIFICATE REQUEST" | b"NEW CERTIFICATE REQUEST" => PemError::Unexpected("a certificate request"),
        b"DH PARAMETERS" | b"X9.42 DH PARAMETERS" => PemError::Unexpected("Diffie-Hellman parameters"),
        b"DSA PARAMETERS" | b"DSA PRIVATE KEY" => PemError::Unexpected("a DSA key"),
        b"OPENSSH PRIVATE KEY" => PemError::Unexpected("a key in OpenSSH's own format"),
        b"PKCS7" | b"CMS" => PemError::Unexpected("a PKCS #7 block"),
        b"PUBLIC KEY" | b"RSA PUBLIC KEY" => PemError::Unexpected("a public key"),
        b"TRUSTED CERTIFICATE" => PemError::Unexpected("a TRUSTED CERTIFICATE, which only OpenSSL reads"),
        b"X509 CERTIFICATE" => PemError::Unexpected("an X509 CERTIFICATE; the label is CERTIFICATE"),
        b"X509 CRL" => PemError::Unexpected("a revocation list"),
        // The label itself is the backend's text, and may be anything.
        _ => PemError::Unexpected("a block with a label unknown here"),
    })
}

/// Caddy's rule for its own getter: before the key, EC PARAMETERS belong to the EC key that follows them.
fn check_ec_parameters(labels: &[Label]) -> Result<(), PemError> {
    for (place, label) in labels.iter().enumerate() {
        if label.is_key() {
            return Ok(());
        }
        if *label == Label::EcParameters && labels.get(place + 1) != Some(&Label::EcPrivateKey) {
            return Err(PemError::StrayEcParameters);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
