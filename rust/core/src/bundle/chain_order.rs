//! The order in which a server sends certificates (RFC 8446 4.4.2): each one issued by the next.

use x509_parser::certificate::X509Certificate;

/// Places of the certificates above the leaf, issuer by issuer; those that no link leads to follow in the order
/// they came in. Names decide, since TLS clients build their own path and check its signatures.
pub(super) fn above(certificates: &[X509Certificate<'_>], leaf: usize) -> Vec<usize> {
    let mut order = Vec::with_capacity(certificates.len());
    let mut left: Vec<usize> = (0..certificates.len()).filter(|place| *place != leaf).collect();
    let mut last = &certificates[leaf];
    while last.issuer().as_raw() != last.subject().as_raw() {
        let issued_last = |place: &usize| certificates[*place].subject().as_raw() == last.issuer().as_raw();
        let Some(found) = left.iter().position(issued_last) else { break };
        let place = left.remove(found);
        order.push(place);
        last = &certificates[place];
    }
    order.append(&mut left);
    order
}
