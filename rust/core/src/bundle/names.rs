//! Which server names a certificate is for (RFC 9525), as browsers see it.

use x509_parser::asn1_rs::{Any, Class, FromDer};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;

/// The DNS names of the subjectAltName extension; none if there is no such extension, `None` if it is
/// malformed or doubled. The common name is never looked at.
pub(super) fn dns_names<'a>(certificate: &'a X509Certificate<'_>) -> Option<impl Iterator<Item = &'a str>> {
    let extension = certificate.subject_alternative_name().ok()?;
    let names = extension.map(|extension| extension.value.general_names.as_slice()).unwrap_or_default();
    Some(names.iter().filter_map(|name| match name {
        GeneralName::DNSName(name) => Some(*name),
        _ => None,
    }))
}

/// Whether the extensions, if any, stand in a constructed `[3]` (RFC 5280, section 4.1). The parser takes a primitive one,
/// too, which others pass over, and the names with it.
pub(super) fn has_constructed_extensions(certificate: &X509Certificate<'_>) -> bool {
    let Ok((_, to_be_signed)) = Any::from_der(certificate.tbs_certificate.as_ref()) else { return false };
    let mut rest = to_be_signed.data;
    while !rest.is_empty() {
        let Ok((next, field)) = Any::from_der(rest) else { return false };
        if field.class() == Class::ContextSpecific && field.tag().0 == 3 && !field.header.is_constructed() {
            return false;
        }
        rest = next;
    }
    true
}

/// Whether the certificate's name `pattern` covers `name`: the same but for case, or `*.` in place of
/// exactly the left-most label. The star needs two labels or more to its right: `*.com` covers nothing.
pub(super) fn covers(pattern: &str, name: &str) -> bool {
    let Some(domain) = pattern.strip_prefix("*.") else { return pattern.eq_ignore_ascii_case(name) };
    match name.split_once('.') {
        Some((label, rest)) => !label.is_empty() && domain.contains('.') && rest.eq_ignore_ascii_case(domain),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exact_names_and_one_label_wildcards() {
        for (pattern, name) in [
            ("shop.example.com", "shop.example.com"),
            ("Shop.EXAMPLE.com", "shop.example.com"),
            ("*.example.com", "shop.example.com"),
            ("*.EXAMPLE.com", "xn--bcher-kva.example.com"),
        ] {
            assert!(covers(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [
            ("*.example.com", "example.com"),
            ("*.example.com", "a.shop.example.com"),
            ("*.example.com", ".example.com"),
            ("*.com", "example.com"),
            ("*.", "example."),
            ("*", "example.com"),
            ("s*.example.com", "shop.example.com"),
            ("*p.example.com", "shop.example.com"),
            ("shop.*.com", "shop.example.com"),
            ("*.*.com", "shop.example.com"),
            ("shop.example.com.", "shop.example.com"),
            ("example.com", "shop.example.com"),
            ("shop.example.com\0.evil.example", "shop.example.com"),
            ("", "shop.example.com"),
        ] {
            assert!(!covers(pattern, name), "{pattern} {name}");
        }
    }
}
