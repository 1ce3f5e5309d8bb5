//! What the backend is told of a client, beside its name. Its answer serves every client of a kind, so that it is asked
//! as a typical one of them: were it told what the first one offers, that one would choose for all, a scanner too.

use crate::entry::ClientKind;

/// Query parameters as Caddy's `http` manager has them, `cipher_suites` and `signature_schemes`: hexadecimal numbers of
/// the IANA registries in the client's order. Whoever can use RSA only is shown without the suites of TLS 1.3, which
/// say nothing of the certificate.
pub fn client_parameters(client: ClientKind) -> &'static str {
    match client {
        ClientKind::RsaOnly => concat!(
            "cipher_suites=c02f%2Cc030%2Ccca8%2Cc013%2Cc014%2C9c%2C9d%2C2f%2C35",
            "&signature_schemes=804%2C805%2C806%2C401%2C501%2C601%2C201",
        ),
        // As browsers: P-256 and P-384.
        ClientKind::Ecdsa => concat!(
            "cipher_suites=1301%2C1302%2C1303%2Cc02b%2Cc02f%2Cc02c%2Cc030%2Ccca9%2Ccca8%2Cc013%2Cc014%2C9c%2C9d%2C2f%2C35",
            "&signature_schemes=403%2C804%2C401%2C503%2C805%2C501%2C806%2C601",
        ),
        ClientKind::Ed25519 => concat!(
            "cipher_suites=1301%2C1302%2C1303%2Cc02b%2Cc02f%2Cc02c%2Cc030%2Ccca9%2Ccca8%2Cc013%2Cc014%2C9c%2C9d%2C2f%2C35",
            "&signature_schemes=403%2C503%2C807%2C804%2C805%2C806%2C401%2C501%2C601",
        ),
    }
}
