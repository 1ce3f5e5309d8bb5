//! PEM text of a bundle (RFC 7468), without a copy of the key beside it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use zeroize::Zeroizing;

use crate::bundle::Bundle;
use crate::keys::KeyEncoding;

/// 64 columns of base64 (RFC 7468 2).
const BYTES_PER_LINE: usize = 48;

/// Writes a bundle as PEM text: the certificates, leaf first, then the private key.
pub fn pem_of(bundle: &Bundle) -> Zeroizing<Vec<u8>> {
    let key = bundle.private_key();
    let key_label = match key.encoding() {
        KeyEncoding::Pkcs1 => "RSA PRIVATE KEY",
        KeyEncoding::Pkcs8 => "PRIVATE KEY",
        KeyEncoding::Sec1 => "EC PRIVATE KEY",
    };
    let mut blocks: Vec<_> = bundle.chain().map(|der| ("CERTIFICATE", der)).collect();
    let der = key.der();
    blocks.push((key_label, &der));
    write_blocks(&blocks)
}

/// Writes PEM blocks (RFC 7468) given as label and DER, into a buffer that is never grown.
pub(super) fn write_blocks(blocks: &[(&str, &[u8])]) -> Zeroizing<Vec<u8>> {
    let length = blocks.iter().map(|(label, der)| block_length(label, der)).sum();
    let mut text = Zeroizing::new(Vec::with_capacity(length));
    for (label, der) in blocks {
        for part in ["-----BEGIN ", label, "-----\n"] {
            text.extend_from_slice(part.as_bytes());
        }
        for bytes in der.chunks(BYTES_PER_LINE) {
            let mut line = Zeroizing::new([0; BYTES_PER_LINE / 3 * 4]);
            // The line is as long as the longest chunk needs.
            let length = BASE64.encode_slice(bytes, line.as_mut_slice()).unwrap_or(0);
            text.extend_from_slice(&line[..length]);
            text.push(b'\n');
        }
        for part in ["-----END ", label, "-----\n"] {
            text.extend_from_slice(part.as_bytes());
        }
    }
    text
}

fn block_length(label: &str, der: &[u8]) -> usize {
    let frame = "-----BEGIN -----\n".len() + "-----END -----\n".len() + 2 * label.len();
    frame + der.len().div_ceil(3) * 4 + der.len().div_ceil(BYTES_PER_LINE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_have_64_columns_and_the_size_foreseen() {
        for length in [0, 1, 2, 3, 47, 48, 49, 96, 1_000] {
            let der = vec![0xa5; length];
            let text = write_blocks(&[("EC PRIVATE KEY", &der)]);
            assert_eq!(text.len(), block_length("EC PRIVATE KEY", &der), "{length} bytes");
            let text = std::str::from_utf8(&text).unwrap();
            let lines: Vec<&str> = text.lines().collect();
            let (content, frame) = (&lines[1..lines.len() - 1], [lines[0], lines[lines.len() - 1]]);
            assert_eq!(frame, ["-----BEGIN EC PRIVATE KEY-----", "-----END EC PRIVATE KEY-----"]);
            assert!(content.iter().rev().skip(1).all(|line| line.len() == 64));
            assert_eq!(BASE64.decode(content.concat()).unwrap(), der);
        }
    }
}
