use super::*;

use aws_lc_rs::digest;
use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::signature::{self, EcdsaKeyPair, UnparsedPublicKey, VerificationAlgorithm};
use base64::Engine;
use rcgen::{KeyPair, PublicKeyData};

/// PKCS #1, 1024 bits: aws-lc-rs makes none so short. It protects nothing.
const RSA_1024: &str = "\
    MIICXAIBAAKBgQDDy8l1KuhhDVhAZcG2Ja3ifJrFnQs8Dl+c8x5Bp68c/8fS389v\
    7ff7sWH4p8PC/IMqmBmyFaRW1nUBGtfjm8/LPMT1NccxrRpsO3F36OC+c+SNqnqx\
    iZR0s2J97c1zYjSB0qhSFlVdsko5phykAwvf30CGRBImzfvocoixze6vUwIDAQAB\
    AoGAaiUrdSqqyhqa8mZ36tBogTV+Do3BznAYY5TlnUBTzcvYv7h3071VyAx1CYGh\
    vi54yXmlzIaxDia7TbsIuSr6LchUm6eaOyiK8gd6kBpw7OfWA4+GbSRleduJFn83\
    KtyL2GDqcTshQd6PW8MVn9S3nAzxwoDaU6MLuWHFoQ0hZKkCQQDlgQkjD2tb4Qsy\
    NQYKj+Yh7cq2D8vmYMyXMiR6cXx0Ah8lwmQJ2olbMjcho6gNbzUdGTNsJCLjxqC5\
    pnTVbAlfAkEA2maD6vWbFFSpZYwU6WlxEZskawaDmFxFhqfuAHUahRgSapacqsOc\
    a6nb3VdK3svr7VY6N+C5nDxwcYWFRXI6jQJANcERWMrlxHFjY/ETZynpJw1BK39r\
    rJwDj25JKPynv6w3i2qKb9xly5xpWVGxrOPdNuGOL8gO+/ar8o/QUaSqVQJBAMVK\
    5JKlipFkJZ7RW7a7hOP1tYFlYg2KFViebRdGsk1XQJO/OQneKXjs+exKxhzcNGWz\
    hmYiASqNQrqadpkUpqUCQHZuagEN+UNGIe/N7vtqd2ALCyErZmtgs0SY6kfrjA0j\
    XgNjaJuMsaG1b7m1lAIgup6VkF3FdZN1GXzPgAWzu0I=";

const MESSAGE: &[u8] = b"64 spaces, a context string and a transcript hash";

fn rsa() -> KeyPair {
    KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048).unwrap()
}

fn read(der: &[u8]) -> Result<PrivateKey, KeyError> {
    PrivateKey::from_der(Zeroizing::new(der.into()))
}

/// The key inside a PKCS #8 wrapping: PKCS #1 or SEC 1 as the algorithm has it.
fn unwrapped(pkcs8: &[u8]) -> Vec<u8> {
    let (_, outer) = Any::from_der(pkcs8).unwrap();
    let (fields, _version) = Any::from_der(outer.data).unwrap();
    let (fields, _algorithm) = Any::from_der(fields).unwrap();
    let (_, key) = Any::from_der(fields).unwrap();
    key.data.to_vec()
}

fn signature(
    key: &SigningKey,
    scheme: SignatureScheme,
    input: SigningInput<'_>,
) -> Result<Vec<u8>, KeyError> {
    let mut buffer = [0; MAX_SIGNATURE_LENGTH];
    let length = key.sign_into(scheme, input, &mut buffer)?;
    Ok(buffer[..length].to_vec())
}

fn verify(public_key: &[u8], algorithm: &'static dyn VerificationAlgorithm, made: &[u8]) {
    UnparsedPublicKey::new(algorithm, public_key).verify(MESSAGE, made).unwrap();
}

fn digest_of_message(scheme: SignatureScheme) -> digest::Digest {
    use SignatureScheme::*;
    let hash = match scheme {
        RsaPkcs1Sha256 | RsaPssSha256 | EcdsaP256Sha256 => &digest::SHA256,
        RsaPkcs1Sha384 | RsaPssSha384 | EcdsaP384Sha384 => &digest::SHA384,
        _ => &digest::SHA512,
    };
    digest::digest(hash, MESSAGE)
}

/// Each scheme over the message and over its digest, verified against the public half.
fn signs_with(key: &KeyPair, schemes: &[(SignatureScheme, &'static dyn VerificationAlgorithm)]) {
    let signing = read(key.serialized_der()).unwrap().signing_key().unwrap();
    for (scheme, algorithm) in schemes {
        verify(
            key.der_bytes(),
            *algorithm,
            &signature(&signing, *scheme, SigningInput::Message(MESSAGE)).unwrap(),
        );
        let digest = digest_of_message(*scheme);
        verify(
            key.der_bytes(),
            *algorithm,
            &signature(&signing, *scheme, SigningInput::Digest(digest.as_ref())).unwrap(),
        );
        let short = SigningInput::Digest(&digest.as_ref()[1..]);
        assert_eq!(signature(&signing, *scheme, short), Err(KeyError::WrongDigestLength));
        let mut one_byte = [0];
        let cramped = signing.sign_into(*scheme, SigningInput::Message(MESSAGE), &mut one_byte);
        assert_eq!(cramped, Err(KeyError::BufferTooSmall));
    }
    for code_point in 0..=u16::MAX {
        let Some(scheme) = SignatureScheme::from_code_point(code_point) else { continue };
        assert_eq!(scheme as u16, code_point);
        if !schemes.iter().any(|(ours, _)| *ours == scheme) {
            let rejected = signature(&signing, scheme, SigningInput::Message(MESSAGE));
            assert_eq!(rejected, Err(KeyError::WrongScheme), "{scheme:?}");
        }
    }
}

#[test]
fn rsa_signs_with_pkcs1_and_pss() {
    use SignatureScheme::*;
    signs_with(
        &rsa(),
        &[
            (RsaPkcs1Sha256, &signature::RSA_PKCS1_2048_8192_SHA256),
            (RsaPkcs1Sha384, &signature::RSA_PKCS1_2048_8192_SHA384),
            (RsaPkcs1Sha512, &signature::RSA_PKCS1_2048_8192_SHA512),
            // These verify a salt as long as the hash and no other.
            (RsaPssSha256, &signature::RSA_PSS_2048_8192_SHA256),
            (RsaPssSha384, &signature::RSA_PSS_2048_8192_SHA384),
            (RsaPssSha512, &signature::RSA_PSS_2048_8192_SHA512),
        ],
    );
}

#[test]
fn every_curve_signs_with_every_hash() {
    use SignatureScheme::*;
    signs_with(
        &KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap(),
        &[
            (EcdsaP256Sha256, &signature::ECDSA_P256_SHA256_ASN1),
            (EcdsaP384Sha384, &signature::ECDSA_P256_SHA384_ASN1),
            (EcdsaP521Sha512, &signature::ECDSA_P256_SHA512_ASN1),
        ],
    );
    signs_with(
        &KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap(),
        &[
            (EcdsaP256Sha256, &signature::ECDSA_P384_SHA256_ASN1),
            (EcdsaP384Sha384, &signature::ECDSA_P384_SHA384_ASN1),
            (EcdsaP521Sha512, &signature::ECDSA_P384_SHA512_ASN1),
        ],
    );
    signs_with(
        &KeyPair::generate_for(&rcgen::PKCS_ECDSA_P521_SHA512).unwrap(),
        &[
            (EcdsaP256Sha256, &signature::ECDSA_P521_SHA256_ASN1),
            (EcdsaP384Sha384, &signature::ECDSA_P521_SHA384_ASN1),
            (EcdsaP521Sha512, &signature::ECDSA_P521_SHA512_ASN1),
        ],
    );
}

#[test]
fn ed25519_signs_messages_only() {
    let key = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let signing = read(key.serialized_der()).unwrap().signing_key().unwrap();
    let made = signature(&signing, SignatureScheme::Ed25519, SigningInput::Message(MESSAGE)).unwrap();
    verify(key.der_bytes(), &signature::ED25519, &made);
    for (scheme, input, error) in [
        (SignatureScheme::Ed25519, SigningInput::Digest(&[0; 64]), KeyError::WrongDigestLength),
        (SignatureScheme::EcdsaP256Sha256, SigningInput::Message(MESSAGE), KeyError::WrongScheme),
        (SignatureScheme::RsaPssSha256, SigningInput::Message(MESSAGE), KeyError::WrongScheme),
    ] {
        assert_eq!(signature(&signing, scheme, input), Err(error));
    }
    assert_eq!(SignatureScheme::from_code_point(0x0201), None); // rsa_pkcs1_sha1
}

#[test]
fn reads_each_encoding_by_what_it_is() {
    let rsa = rsa();
    let pkcs1 = unwrapped(rsa.serialized_der());
    let ec = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
    let pair =
        EcdsaKeyPair::from_pkcs8(&signature::ECDSA_P384_SHA384_ASN1_SIGNING, ec.serialized_der()).unwrap();
    let sec1 = pair.private_key().as_der().unwrap();
    for (der, encoding, algorithm, public) in [
        (rsa.serialized_der(), KeyEncoding::Pkcs8, KeyAlgorithm::Rsa { bits: 2048 }, &rsa),
        (&pkcs1, KeyEncoding::Pkcs1, KeyAlgorithm::Rsa { bits: 2048 }, &rsa),
        (ec.serialized_der(), KeyEncoding::Pkcs8, KeyAlgorithm::EcdsaP384, &ec),
        (sec1.as_ref(), KeyEncoding::Sec1, KeyAlgorithm::EcdsaP384, &ec),
    ] {
        let key = read(der).unwrap();
        assert_eq!((key.encoding(), key.algorithm(), &*key.der()), (encoding, algorithm, der));
        let info = key.signing_key().unwrap().public_key_info().unwrap();
        assert_eq!(&*info, public.subject_public_key_info());
    }
}

#[test]
fn unusable_keys_are_rejected() {
    let short = base64::prelude::BASE64_STANDARD.decode(RSA_1024).unwrap();
    assert_eq!(read(&short).err(), Some(KeyError::RsaSize));

    let ec = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let mut trailing = ec.serialized_der().to_vec();
    trailing.push(0);
    let cut = &ec.serialized_der()[..ec.serialized_der().len() - 1];
    // Wrapped in PKCS #8 it needs no curve; alone it does.
    let curveless = unwrapped(ec.serialized_der());
    for der in [&trailing, cut, &curveless, b"", b"\x30\x00", b"\x30\x80\x00\x00"] {
        assert_eq!(read(der).err(), Some(KeyError::Unreadable));
    }
}

#[test]
fn debug_shows_no_key_material() {
    let key = read(KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap().serialized_der()).unwrap();
    assert_eq!(format!("{key:?}"), "PrivateKey { encoding: Pkcs8, algorithm: Ed25519, .. }");
    assert_eq!(format!("{:?}", key.signing_key().unwrap()), "SigningKey { algorithm: Ed25519, .. }");
}
