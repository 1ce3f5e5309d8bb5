//! Parsed keys and the TLS signature schemes they can make.

use std::fmt;

use aws_lc_rs::digest::{self, Digest};
use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::error::KeyRejected;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, ECDSA_P521_SHA512_ASN1_SIGNING,
    EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384,
    RSA_PKCS1_SHA512, RSA_PSS_SHA256, RSA_PSS_SHA384, RSA_PSS_SHA512, RsaEncoding, RsaKeyPair, RsaParameters,
};

use super::{Family, Form, KeyAlgorithm, KeyEncoding, KeyError};

/// No signature is longer than this many bytes: the modulus of RSA-4096.
pub const MAX_SIGNATURE_LENGTH: usize = 512;

/// A TLS `SignatureScheme` (RFC 8446 4.2.3) this library can make.
///
/// TLS 1.3 ties the ECDSA schemes to one curve each. TLS 1.2 reads the same code points as ECDSA with that
/// hash on any curve (RFC 8446 4.2.3), so every ECDSA key signs with all three.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum SignatureScheme {
    /// `rsa_pkcs1_sha256`
    RsaPkcs1Sha256 = 0x0401,
    /// `rsa_pkcs1_sha384`
    RsaPkcs1Sha384 = 0x0501,
    /// `rsa_pkcs1_sha512`
    RsaPkcs1Sha512 = 0x0601,
    /// `ecdsa_secp256r1_sha256`
    EcdsaP256Sha256 = 0x0403,
    /// `ecdsa_secp384r1_sha384`
    EcdsaP384Sha384 = 0x0503,
    /// `ecdsa_secp521r1_sha512`
    EcdsaP521Sha512 = 0x0603,
    /// `rsa_pss_rsae_sha256`; the salt is as long as the hash.
    RsaPssSha256 = 0x0804,
    /// `rsa_pss_rsae_sha384`; the salt is as long as the hash.
    RsaPssSha384 = 0x0805,
    /// `rsa_pss_rsae_sha512`; the salt is as long as the hash.
    RsaPssSha512 = 0x0806,
    /// `ed25519`
    Ed25519 = 0x0807,
}

/// What is to be signed.
#[derive(Clone, Copy)]
pub enum SigningInput<'a> {
    /// The whole message; hashed here.
    Message(&'a [u8]),
    /// Its digest under the scheme's hash; Ed25519 has none.
    Digest(&'a [u8]),
}

/// A parsed key, ready to sign. Thread-safe. `Debug` shows the algorithm only.
pub struct SigningKey {
    algorithm: KeyAlgorithm,
    pair: Pair,
}

enum Pair {
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Rsa(RsaKeyPair),
}

impl SignatureScheme {
    /// The scheme with this code point, if it is one of ours.
    pub fn from_code_point(code_point: u16) -> Option<Self> {
        use SignatureScheme::*;
        [
            RsaPkcs1Sha256,
            RsaPkcs1Sha384,
            RsaPkcs1Sha512,
            EcdsaP256Sha256,
            EcdsaP384Sha384,
            EcdsaP521Sha512,
            RsaPssSha256,
            RsaPssSha384,
            RsaPssSha512,
            Ed25519,
        ]
        .into_iter()
        .find(|scheme| *scheme as u16 == code_point)
    }

    fn hash(self) -> Option<&'static digest::Algorithm> {
        use SignatureScheme::*;
        match self {
            RsaPkcs1Sha256 | RsaPssSha256 | EcdsaP256Sha256 => Some(&digest::SHA256),
            RsaPkcs1Sha384 | RsaPssSha384 | EcdsaP384Sha384 => Some(&digest::SHA384),
            RsaPkcs1Sha512 | RsaPssSha512 | EcdsaP521Sha512 => Some(&digest::SHA512),
            Ed25519 => None,
        }
    }

    fn is_ecdsa(self) -> bool {
        matches!(self, Self::EcdsaP256Sha256 | Self::EcdsaP384Sha384 | Self::EcdsaP521Sha512)
    }

    fn rsa_encoding(self) -> Option<&'static dyn RsaEncoding> {
        use SignatureScheme::*;
        match self {
            RsaPkcs1Sha256 => Some(&RSA_PKCS1_SHA256),
            RsaPkcs1Sha384 => Some(&RSA_PKCS1_SHA384),
            RsaPkcs1Sha512 => Some(&RSA_PKCS1_SHA512),
            RsaPssSha256 => Some(&RSA_PSS_SHA256),
            RsaPssSha384 => Some(&RSA_PSS_SHA384),
            RsaPssSha512 => Some(&RSA_PSS_SHA512),
            EcdsaP256Sha256 | EcdsaP384Sha384 | EcdsaP521Sha512 | Ed25519 => None,
        }
    }
}

impl SigningKey {
    pub(super) fn parse(form: Form, der: &[u8]) -> Result<Self, KeyError> {
        let ecdsa =
            |algorithm, curve| Ok(SigningKey { algorithm, pair: Pair::Ecdsa(ecdsa_pair(curve, der)?) });
        match form.family {
            Family::EcdsaP256 => ecdsa(KeyAlgorithm::EcdsaP256, &ECDSA_P256_SHA256_ASN1_SIGNING),
            Family::EcdsaP384 => ecdsa(KeyAlgorithm::EcdsaP384, &ECDSA_P384_SHA384_ASN1_SIGNING),
            Family::EcdsaP521 => ecdsa(KeyAlgorithm::EcdsaP521, &ECDSA_P521_SHA512_ASN1_SIGNING),
            Family::Ed25519 => {
                let pair = Ed25519KeyPair::from_pkcs8(der).map_err(|_| KeyError::Unreadable)?;
                Ok(SigningKey { algorithm: KeyAlgorithm::Ed25519, pair: Pair::Ed25519(pair) })
            }
            Family::Rsa => {
                let (pair, bits) = rsa_pair(form.encoding, der)?;
                Ok(SigningKey { algorithm: KeyAlgorithm::Rsa { bits }, pair: Pair::Rsa(pair) })
            }
        }
    }

    /// The kind of key.
    pub fn algorithm(&self) -> KeyAlgorithm {
        self.algorithm
    }

    /// The public key as DER `SubjectPublicKeyInfo` (RFC 5280), in the one form RFC 3279 and RFC 5480 leave
    /// to a certificate: `rsaEncryption` with NULL, a named curve with an uncompressed point, or Ed25519.
    pub fn public_key_info(&self) -> Result<Box<[u8]>, KeyError> {
        let info = match &self.pair {
            Pair::Ecdsa(pair) => pair.public_key().as_der(),
            Pair::Ed25519(pair) => pair.public_key().as_der(),
            Pair::Rsa(pair) => pair.public_key().as_der(),
        };
        info.map(|der| der.as_ref().into()).map_err(|_| KeyError::Unreadable)
    }

    /// Signs into `signature` and returns how many bytes were written, at most [`MAX_SIGNATURE_LENGTH`]
    /// (ECDSA: ASN.1 DER; RSA: as long as the modulus).
    pub fn sign_into(
        &self,
        scheme: SignatureScheme,
        input: SigningInput<'_>,
        signature: &mut [u8],
    ) -> Result<usize, KeyError> {
        match &self.pair {
            Pair::Ecdsa(pair) if scheme.is_ecdsa() => {
                let digest = digest_for_curve(pair.algorithm(), &digest_of(scheme, input)?)?;
                copy(pair.sign_digest(&digest).map_err(|_| KeyError::SigningFailed)?.as_ref(), signature)
            }
            Pair::Ed25519(pair) if scheme == SignatureScheme::Ed25519 => {
                let SigningInput::Message(message) = input else { return Err(KeyError::WrongDigestLength) };
                copy(pair.try_sign(message).map_err(|_| KeyError::SigningFailed)?.as_ref(), signature)
            }
            Pair::Rsa(pair) => {
                let encoding = scheme.rsa_encoding().ok_or(KeyError::WrongScheme)?;
                let length = pair.public_modulus_len();
                let signature = signature.get_mut(..length).ok_or(KeyError::BufferTooSmall)?;
                match input {
                    SigningInput::Message(message) => {
                        pair.sign(encoding, &SystemRandom::new(), message, signature)
                    }
                    SigningInput::Digest(_) => {
                        pair.sign_digest(encoding, &digest_of(scheme, input)?, signature)
                    }
                }
                .map_err(|_| KeyError::SigningFailed)?;
                Ok(length)
            }
            Pair::Ecdsa(_) | Pair::Ed25519(_) => Err(KeyError::WrongScheme),
        }
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("SigningKey").field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}

fn ecdsa_pair(curve: &'static EcdsaSigningAlgorithm, der: &[u8]) -> Result<EcdsaKeyPair, KeyError> {
    // Reads PKCS #8 and SEC 1.
    EcdsaKeyPair::from_private_key_der(curve, der).map_err(|_| KeyError::Unreadable)
}

fn rsa_pair(encoding: KeyEncoding, der: &[u8]) -> Result<(RsaKeyPair, u32), KeyError> {
    let rejection = |rejected: KeyRejected| match rejected.description_() {
        "TooSmall" | "TooLarge" => KeyError::RsaSize,
        _ => KeyError::Unreadable,
    };
    let pair = match encoding {
        KeyEncoding::Pkcs1 => RsaKeyPair::from_der(der).map_err(rejection)?,
        _ => RsaKeyPair::from_pkcs8(der).map_err(rejection)?,
    };
    let bits =
        RsaParameters::public_modulus_len(pair.public_key().as_ref()).map_err(|_| KeyError::Unreadable)?;
    if !(2048..=4096).contains(&bits) {
        return Err(KeyError::RsaSize);
    }
    Ok((pair, bits))
}

fn digest_of(scheme: SignatureScheme, input: SigningInput<'_>) -> Result<Digest, KeyError> {
    let hash = scheme.hash().ok_or(KeyError::WrongScheme)?;
    match input {
        SigningInput::Message(message) => Ok(digest::digest(hash, message)),
        SigningInput::Digest(bytes) => {
            Digest::import_less_safe(bytes, hash).map_err(|_| KeyError::WrongDigestLength)
        }
    }
}

/// aws-lc-rs pairs each curve with one hash; TLS 1.2 does not. ECDSA signs the leftmost bits of the digest
/// as a number (FIPS 186-5 6.4.1), so a longer digest may be cut and a shorter one led by zeros beforehand.
fn digest_for_curve(curve: &'static EcdsaSigningAlgorithm, given: &Digest) -> Result<Digest, KeyError> {
    let hash = if curve == &ECDSA_P256_SHA256_ASN1_SIGNING {
        &digest::SHA256
    } else if curve == &ECDSA_P384_SHA384_ASN1_SIGNING {
        &digest::SHA384
    } else {
        &digest::SHA512
    };
    let mut fitted = [0; digest::MAX_OUTPUT_LEN];
    let fitted = &mut fitted[..hash.output_len()];
    let given = given.as_ref();
    let kept = given.len().min(fitted.len());
    let zeros = fitted.len() - kept;
    fitted[zeros..].copy_from_slice(&given[..kept]);
    Digest::import_less_safe(fitted, hash).map_err(|_| KeyError::SigningFailed)
}

fn copy(made: &[u8], signature: &mut [u8]) -> Result<usize, KeyError> {
    signature.get_mut(..made.len()).ok_or(KeyError::BufferTooSmall)?.copy_from_slice(made);
    Ok(made.len())
}
