use super::*;

const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\nAAEC\n-----END CERTIFICATE-----\n";
const KEY: &str = "-----BEGIN PRIVATE KEY-----\nAwQF\n-----END PRIVATE KEY-----\n";
const EC_KEY: &str = "-----BEGIN EC PRIVATE KEY-----\nAwQF\n-----END EC PRIVATE KEY-----\n";
const EC_PARAMETERS: &str = "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n";

/// `c` and `k` for the blocks read, or the reason.
fn read(text: impl AsRef<[u8]>) -> Result<String, PemError> {
    let shape = |block: &Block| match block {
        Block::Certificate(der) => (&**der == b"\x00\x01\x02").then_some('c'),
        Block::PrivateKey(der) => (&***der == b"\x03\x04\x05").then_some('k'),
    };
    read_blocks(text.as_ref()).map(|blocks| blocks.iter().map(|block| shape(block).unwrap_or('?')).collect())
}

fn labelled(label: &str) -> String {
    format!("{CERTIFICATE}{}{KEY}", KEY.replace("PRIVATE KEY", label))
}

#[test]
fn tolerates_what_editors_and_openssl_leave_behind() {
    let plain = format!("{CERTIFICATE}{KEY}");
    for text in [
        plain.clone(),
        format!("\u{feff}{plain}"),
        plain.replace('\n', "\r\n"),
        plain.replace('\n', "\n\n"),
        plain.replace('\n', "  \n"),
        plain.trim_end().to_owned(),
        format!(
            "Certificate:\n    Data: - -----\n{CERTIFICATE}Bag Attributes\n  friendlyName: \u{e9}\n{KEY}bye"
        ),
    ] {
        assert_eq!(read(&text).as_deref(), Ok("ck"), "{text:?}");
    }
    assert_eq!(
        read(b"\xff\n-----BEGIN PRIVATE KEY-----\nAwQF\n-----END PRIVATE KEY-----").as_deref(),
        Ok("k")
    );
}

#[test]
fn encrypted_keys_are_named() {
    let header = "KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAwQF";
    assert_eq!(read(EC_KEY.replacen("KEY-----\nAwQF", header, 1)), Err(PemError::EncryptedKey));
    assert_eq!(read(labelled("ENCRYPTED PRIVATE KEY")), Err(PemError::EncryptedKey));
}

#[test]
fn other_labels_are_named_if_known_and_never_echoed() {
    for (label, kind) in [
        ("CERTIFICATE REQUEST", "certificate request"),
        ("X509 CRL", "revocation list"),
        ("DH PARAMETERS", "Diffie-Hellman"),
        ("PUBLIC KEY", "public key"),
        ("TRUSTED CERTIFICATE", "TRUSTED"),
        ("OPENSSH PRIVATE KEY", "OpenSSH"),
        ("certificate", "unknown"),
        ("MY SECRET PRIVATE KEY", "unknown"),
        ("", "unknown"),
    ] {
        let message = read(labelled(label)).unwrap_err().to_string();
        assert!(message.contains(kind) && !message.contains("SECRET"), "{label}: {message}");
    }
}

#[test]
fn ec_parameters_belong_to_the_ec_key_after_them() {
    assert_eq!(read(format!("{CERTIFICATE}{EC_PARAMETERS}{EC_KEY}")).as_deref(), Ok("ck"));
    assert_eq!(read(format!("{EC_KEY}{CERTIFICATE}{EC_PARAMETERS}")).as_deref(), Ok("kc"));
    for stray in
        [format!("{EC_PARAMETERS}{CERTIFICATE}{EC_KEY}"), format!("{CERTIFICATE}{EC_PARAMETERS}{KEY}")]
    {
        assert_eq!(read(stray), Err(PemError::StrayEcParameters));
    }
}

#[test]
fn broken_text_is_rejected() {
    let cut = KEY.split_at(40).0;
    for (text, reason) in [
        (String::new(), PemError::NoBlocks),
        ("<html><body>502 Bad Gateway</body></html>".to_owned(), PemError::NoBlocks),
        (format!("{CERTIFICATE}{cut}"), PemError::Unfinished),
        (format!("{cut}\n{KEY}"), PemError::Unfinished),
        (format!("{CERTIFICATE}-----END CERTIFICATE-----\n"), PemError::Unfinished),
        (KEY.replace("END PRIVATE", "END RSA PRIVATE"), PemError::Unfinished),
        (format!("{}{KEY}", CERTIFICATE.trim_end()), PemError::MisplacedBoundary),
        (KEY.replace('\n', "\n "), PemError::MisplacedBoundary),
        (KEY.replace('\n', "\r"), PemError::MisplacedBoundary),
        (KEY.replace("AwQF", "AwQ"), PemError::Damaged),
        (KEY.replace("AwQF", "Aw\u{b}QF"), PemError::Damaged),
        (KEY.replace("AwQF", "Aw==QF=="), PemError::Damaged),
        (KEY.replace("AwQF", "Comment: none\n\nAwQF"), PemError::Damaged),
    ] {
        assert_eq!(read(&text), Err(reason), "{text:?}");
    }
}
