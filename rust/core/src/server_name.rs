//! Which names are worth a lookup, and how they are spelled.
//!
//! The SNI is an attacker's bytes: mixed case, empty labels, 0xFF, IP literals, 400 bytes. A name is
//! accepted only as a DNS host name of at least two labels; everything made from it later (store keys,
//! query strings, file names) starts from the spelling made here.

/// The longest DNS name in text form (RFC 1035 2.3.4, without the trailing dot).
pub const MAX_NAME_LENGTH: usize = 253;
const MAX_LABEL_LENGTH: usize = 63;

/// A normalised host name: lower-case ASCII letters, digits and hyphens (IDNA A-labels for the rest), two
/// labels or more, at most 253 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerName<'b>(&'b str);

/// Room for one name, so that a lookup neither allocates nor copies it about.
pub struct NameBuffer([u8; MAX_NAME_LENGTH]);

impl Default for NameBuffer {
    fn default() -> Self {
        NameBuffer([0; MAX_NAME_LENGTH])
    }
}

/// Why a name was rejected; rejecting one costs no backend call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidServerName {
    /// The client sent no server name.
    #[error("the client sent no server name")]
    Empty,
    /// Longer than 253 bytes, or a label longer than 63.
    #[error("the server name is longer than a DNS name can be")]
    TooLong,
    /// An empty label: a leading, trailing or doubled dot.
    #[error("the server name has an empty label")]
    EmptyLabel,
    /// Characters that no host name has, or an IDN that does not convert.
    #[error("the server name has characters that no host name has")]
    BadCharacter,
    /// An IP address; SNI does not allow one (RFC 6066 3).
    #[error("the server name is an IP address")]
    IpAddress,
    /// One label only, such as `localhost`.
    #[error("the server name has a single label")]
    SingleLabel,
}

impl<'b> ServerName<'b> {
    /// Normalises what a client sent as its server name.
    pub fn parse(raw: &[u8], buffer: &'b mut NameBuffer) -> Result<Self, InvalidServerName> {
        if raw.is_empty() {
            return Err(InvalidServerName::Empty);
        }
        if raw.is_ascii() {
            return Self::from_ascii(raw, buffer);
        }
        let text = std::str::from_utf8(raw).map_err(|_| InvalidServerName::BadCharacter)?;
        if text.len() > 4 * MAX_NAME_LENGTH {
            return Err(InvalidServerName::TooLong);
        }
        let ascii = idna::domain_to_ascii_strict(text).map_err(|_| InvalidServerName::BadCharacter)?;
        Self::from_ascii(ascii.as_bytes(), buffer)
    }

    /// The name as text.
    pub fn as_str(self) -> &'b str {
        self.0
    }

    /// One pass: this is part of every handshake.
    fn from_ascii(raw: &[u8], buffer: &'b mut NameBuffer) -> Result<Self, InvalidServerName> {
        let name = buffer.0.get_mut(..raw.len()).ok_or(InvalidServerName::TooLong)?;
        let mut label_start = 0;
        for (index, byte) in raw.iter().map(u8::to_ascii_lowercase).enumerate() {
            name[index] = byte;
            match byte {
                b'.' => {
                    check_label(&name[label_start..index])?;
                    label_start = index + 1;
                }
                b'a'..=b'z' | b'0'..=b'9' | b'-' => {}
                _ => return Err(InvalidServerName::BadCharacter),
            }
        }
        let last = &name[label_start..];
        check_label(last)?;
        if ends_an_address(last) {
            return Err(InvalidServerName::IpAddress);
        }
        if label_start == 0 {
            return Err(InvalidServerName::SingleLabel);
        }
        std::str::from_utf8(name).map(ServerName).map_err(|_| InvalidServerName::BadCharacter)
    }
}

fn check_label(label: &[u8]) -> Result<(), InvalidServerName> {
    match label {
        [] => Err(InvalidServerName::EmptyLabel),
        _ if label.len() > MAX_LABEL_LENGTH => Err(InvalidServerName::TooLong),
        [b'-', ..] | [.., b'-'] => Err(InvalidServerName::BadCharacter),
        _ => Ok(()),
    }
}

/// A name that ends in a number is an IPv4 address to some resolver (RFC 3696 2, WHATWG URL). One of IPv6 has
/// colons, which no label has.
fn ends_an_address(last_label: &[u8]) -> bool {
    let hexadecimal = last_label.strip_prefix(b"0x");
    last_label.iter().all(u8::is_ascii_digit)
        || hexadecimal.is_some_and(|rest| rest.iter().all(u8::is_ascii_hexdigit))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(raw: &str) -> Result<String, InvalidServerName> {
        parse_bytes(raw.as_bytes())
    }

    fn parse_bytes(raw: &[u8]) -> Result<String, InvalidServerName> {
        ServerName::parse(raw, &mut NameBuffer::default()).map(|name| name.as_str().to_owned())
    }

    #[test]
    fn normalises_case_and_idn() {
        assert_eq!(parse("Shop.EXAMPLE.com").as_deref(), Ok("shop.example.com"));
        assert_eq!(parse("xn--bcher-kva.example").as_deref(), Ok("xn--bcher-kva.example"));
        assert_eq!(parse("Bücher.example").as_deref(), Ok("xn--bcher-kva.example"));
        assert_eq!(parse("a-b.c1.example").as_deref(), Ok("a-b.c1.example"));
    }

    #[test]
    fn rejects_what_no_customer_owns() {
        let long_label = format!("{}.example", "a".repeat(64));
        let long_name = format!("{}example", "abc.".repeat(64));
        for (raw, rejection) in [
            ("", InvalidServerName::Empty),
            ("localhost", InvalidServerName::SingleLabel),
            (".example.com", InvalidServerName::EmptyLabel),
            ("example.com.", InvalidServerName::EmptyLabel),
            ("a..example", InvalidServerName::EmptyLabel),
            ("169.254.169.254", InvalidServerName::IpAddress),
            ("1.2.3.0x7f", InvalidServerName::IpAddress),
            ("::1", InvalidServerName::BadCharacter),
            ("*.example.com", InvalidServerName::BadCharacter),
            ("_dmarc.example.com", InvalidServerName::BadCharacter),
            ("a/../b.example", InvalidServerName::BadCharacter),
            ("a&server_name=b.example", InvalidServerName::BadCharacter),
            ("-a.example", InvalidServerName::BadCharacter),
            ("a\0.example", InvalidServerName::BadCharacter),
            (long_label.as_str(), InvalidServerName::TooLong),
            (long_name.as_str(), InvalidServerName::TooLong),
        ] {
            assert_eq!(parse(raw), Err(rejection), "{raw:?}");
        }
        assert_eq!(parse_bytes(b"\xff\xff.example"), Err(InvalidServerName::BadCharacter));
    }

    #[test]
    fn full_width_dots_do_not_hide_an_address() {
        assert_eq!(parse("169。254。169。254"), Err(InvalidServerName::IpAddress));
        assert_eq!(parse("ｅｘａｍｐｌｅ．com").as_deref(), Ok("example.com"));
    }

    proptest! {
        #[test]
        fn any_bytes_give_a_plain_host_name_or_a_rejection(raw in proptest::collection::vec(any::<u8>(), 0..420)) {
            if let Ok(text) = parse_bytes(&raw) {
                prop_assert!(text.len() <= MAX_NAME_LENGTH);
                prop_assert!(text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.'));
                prop_assert_eq!(parse(&text), Ok(text));
            }
        }

        #[test]
        fn host_names_survive_unchanged(name in "([a-z0-9]{1,20}\\.){1,4}[a-z]{2,10}") {
            prop_assert_eq!(parse(&name), Ok(name.clone()));
        }
    }
}
