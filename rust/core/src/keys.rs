//! Private keys: read from DER, held as flat bytes in memory of their own (`key_memory`), and parsed into a signing key
//! only for names under traffic. aws-lc-rs does the arithmetic, in memory that is not protected as ours is.

mod key_memory;
mod signing;

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use parking_lot::Mutex;
use x509_parser::asn1_rs::{Any, Class, FromDer, Oid, Tag};
use x509_parser::oid_registry::{
    OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_NIST_EC_P384, OID_NIST_EC_P521, OID_PKCS1_RSAENCRYPTION,
    OID_SIG_ED25519,
};
use x509_parser::x509::AlgorithmIdentifier;
use zeroize::Zeroizing;

pub(crate) use self::key_memory::KeyBytes;
pub use self::signing::{MAX_SIGNATURE_LENGTH, SignatureScheme, SigningInput, SigningKey};

/// How the key's DER is wrapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyEncoding {
    /// PKCS #1 `RSAPrivateKey` (RFC 8017), PEM label `RSA PRIVATE KEY`.
    Pkcs1,
    /// PKCS #8 `PrivateKeyInfo` (RFC 5958), PEM label `PRIVATE KEY`.
    Pkcs8,
    /// SEC 1 `ECPrivateKey` (RFC 5915), PEM label `EC PRIVATE KEY`.
    Sec1,
}

/// Kind and size of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyAlgorithm {
    /// ECDSA on P-256.
    EcdsaP256,
    /// ECDSA on P-384.
    EcdsaP384,
    /// ECDSA on P-521.
    EcdsaP521,
    /// Ed25519.
    Ed25519,
    /// RSA with this many bits of modulus: 2048 to 4096.
    Rsa {
        /// Bits of the modulus.
        bits: u32,
    },
}

/// A private key as flat bytes, known to make a signing key. `Debug` shows encoding and algorithm only.
pub struct PrivateKey {
    encoding: KeyEncoding,
    algorithm: KeyAlgorithm,
    der: KeyBytes,
    /// What was parsed to see that it can be, for the first who wants to sign.
    parsed: Mutex<Option<Arc<SigningKey>>>,
}

/// Why a key can't be used or a signature made. Holds no key material.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The caller's buffer can't hold the signature.
    #[error("the signature needs a buffer of {MAX_SIGNATURE_LENGTH} bytes")]
    BufferTooSmall,
    /// An RSA modulus below 2048 or above 4096 bits.
    #[error(
        "the RSA key is shorter than 2048 or longer than 4096 bits; issue the certificate for another key"
    )]
    RsaSize,
    /// The cryptographic library rejected.
    #[error("signing failed")]
    SigningFailed,
    /// Not a key this library can read.
    #[error("the private key can't be read: not RSA, ECDSA P-256, P-384, P-521 or Ed25519, or malformed")]
    Unreadable,
    /// The digest's length does not fit the scheme's hash, or Ed25519 was given a digest.
    #[error("the digest's length doesn't fit the signature scheme")]
    WrongDigestLength,
    /// The scheme is not one of this key's.
    #[error("the private key can't sign with this scheme")]
    WrongScheme,
}

impl PrivateKey {
    /// Takes a key's DER if it makes a signing key. What the DER is, it says itself: labels of PEM blocks are
    /// often wrong.
    pub fn from_der(der: Zeroizing<Box<[u8]>>) -> Result<Self, KeyError> {
        let form = Form::read(&der).ok_or(KeyError::Unreadable)?;
        let signing_key = SigningKey::parse(form, &der)?;
        let algorithm = signing_key.algorithm();
        let parsed = Mutex::new(Some(Arc::new(signing_key)));
        Ok(PrivateKey { encoding: form.encoding, algorithm, der: KeyBytes::new(&der), parsed })
    }

    /// The kind of key.
    pub fn algorithm(&self) -> KeyAlgorithm {
        self.algorithm
    }

    /// How [`PrivateKey::der`] is wrapped.
    pub fn encoding(&self) -> KeyEncoding {
        self.encoding
    }

    /// The key's DER. For the disk store; nothing else may ask, and nobody hold it for long.
    pub fn der(&self) -> impl Deref<Target = [u8]> + '_ {
        self.der.read()
    }

    /// Parses the key for signing: tens of microseconds for ECDSA, several hundred for RSA.
    /// The first caller gets what reading the key has left over.
    pub fn signing_key(&self) -> Result<Arc<SigningKey>, KeyError> {
        if let Some(parsed) = self.parsed.lock().take() {
            return Ok(parsed);
        }
        let der = self.der.read();
        let form = Form::read(&der).ok_or(KeyError::Unreadable)?;
        SigningKey::parse(form, &der).map(Arc::new)
    }

    /// The public half, as a certificate's SubjectPublicKeyInfo.
    pub fn public_key_info(&self) -> Result<Box<[u8]>, KeyError> {
        let signing_key = self.signing_key()?;
        let info = signing_key.public_key_info();
        *self.parsed.lock() = Some(signing_key);
        info
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("PrivateKey")
            .field("encoding", &self.encoding)
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

/// What a key's DER says it is, before the cryptographic library looks at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Form {
    encoding: KeyEncoding,
    family: Family,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    EcdsaP256,
    EcdsaP384,
    EcdsaP521,
    Ed25519,
    Rsa,
}

impl Form {
    /// The three encodings differ in what follows the version: PKCS #1 the modulus, SEC 1 the secret, PKCS #8
    /// the algorithm. aws-lc overlooks bytes after the key and guesses a curve left out; neither passes here.
    fn read(der: &[u8]) -> Option<Self> {
        let (after, key) = Any::from_der(der).ok()?;
        if !after.is_empty() || key.tag() != Tag::Sequence {
            return None;
        }
        let (fields, _version) = Any::from_der(key.data).ok()?;
        let (after_second, second) = Any::from_der(fields).ok()?;
        match second.tag() {
            Tag::Integer => Some(Form { encoding: KeyEncoding::Pkcs1, family: Family::Rsa }),
            Tag::OctetString => {
                let (_, parameters) = Any::from_der(after_second).ok()?;
                if parameters.class() != Class::ContextSpecific || parameters.tag() != Tag(0) {
                    return None;
                }
                let (_, curve) = Oid::from_der(parameters.data).ok()?;
                Some(Form { encoding: KeyEncoding::Sec1, family: Family::of_curve(&curve)? })
            }
            Tag::Sequence => {
                let (_, algorithm) = AlgorithmIdentifier::from_der(fields).ok()?;
                Some(Form { encoding: KeyEncoding::Pkcs8, family: Family::of_algorithm(&algorithm)? })
            }
            _ => None,
        }
    }
}

impl Family {
    fn of_algorithm(algorithm: &AlgorithmIdentifier<'_>) -> Option<Self> {
        if algorithm.algorithm == OID_PKCS1_RSAENCRYPTION {
            Some(Family::Rsa)
        } else if algorithm.algorithm == OID_SIG_ED25519 {
            Some(Family::Ed25519)
        } else if algorithm.algorithm == OID_KEY_TYPE_EC_PUBLIC_KEY {
            Family::of_curve(&algorithm.parameters.as_ref()?.as_oid().ok()?)
        } else {
            None
        }
    }

    fn of_curve(curve: &Oid<'_>) -> Option<Self> {
        if *curve == OID_EC_P256 {
            Some(Family::EcdsaP256)
        } else if *curve == OID_NIST_EC_P384 {
            Some(Family::EcdsaP384)
        } else if *curve == OID_NIST_EC_P521 {
            Some(Family::EcdsaP521)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests;
