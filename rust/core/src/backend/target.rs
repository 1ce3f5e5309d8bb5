//! Where requests go: the operator's URL taken apart, and the header fields sent along.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode_str;
use ureq::http::Uri;
use ureq::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use ureq::http::uri::Authority;
use zeroize::Zeroizing;

use super::error::{Failure, setting, setting_from};
use super::{BackendError, BackendRequest};
use crate::settings::LookupSettings;

/// Fields that say how a message is framed or coded, which is the client's own affair.
const OWN_FIELDS: [HeaderName; 7] = [
    header::ACCEPT_ENCODING,
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::EXPECT,
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

pub(super) struct Target {
    /// Scheme, host, port and path.
    base: String,
    /// `host` or `host:port`, for messages.
    host: String,
    /// The operator's own query parameters, as written.
    query: Vec<String>,
    headers: HeaderMap,
}

impl Target {
    pub(super) fn new(settings: &LookupSettings) -> Result<Self, BackendError> {
        let uri: Uri = settings.url.parse().map_err(setting_from("url: not a URL"))?;
        let scheme = match uri.scheme_str().map(str::to_ascii_lowercase).as_deref() {
            Some("http") => "http",
            Some("https") => "https",
            _ => return Err(setting("url: it must begin with http:// or https://")),
        };
        let authority = uri.authority().ok_or_else(|| setting("url: it has no host"))?;
        let (host, credentials) = split_authority(authority)?;

        let mut headers = headers(&settings.headers)?;
        if let Some(credentials) = credentials {
            // As Go's client does: a field that the operator wrote wins over the URL.
            headers.entry(header::AUTHORIZATION).or_insert(basic_authorization(credentials)?);
        }
        let query = uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
        Ok(Target {
            base: format!("{scheme}://{host}{}", uri.path()),
            host: host.to_owned(),
            query: query.map(str::to_owned).collect(),
            headers,
        })
    }

    pub(super) fn host(&self) -> &str {
        &self.host
    }

    pub(super) fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// The URL for one name. Our parameters replace the operator's of the same name; all are sorted by name,
    /// as Go's `url.Values` are, so that a backend sees the very line the stock manager sends.
    pub(super) fn uri(&self, request: &BackendRequest) -> Result<Uri, Failure> {
        let server_name = format!("server_name={}", request.server_name);
        let mut pairs: Vec<&str> =
            request.handshake_params.split('&').filter(|pair| !pair.is_empty()).collect();
        pairs.push(&server_name);
        let ours: Vec<&str> = pairs.iter().map(|pair| name_of(pair)).collect();
        pairs.extend(self.query.iter().map(String::as_str).filter(|pair| !ours.contains(&name_of(pair))));
        pairs.sort_by_key(|pair| name_of(pair));
        let uri = format!("{}?{}", self.base, pairs.join("&"));
        uri.try_into()
            .map_err(|_| Failure::new("the request's URL is too long or has a character no URL has"))
    }
}

fn name_of(pair: &str) -> &str {
    pair.split_once('=').map_or(pair, |(name, _)| name)
}

/// Host and port, and the credentials before them.
fn split_authority(authority: &Authority) -> Result<(&str, Option<&str>), BackendError> {
    let (credentials, host) = match authority.as_str().rsplit_once('@') {
        Some((credentials, host)) => (Some(credentials), host),
        None => (None, authority.as_str()),
    };
    if authority.host().is_empty() {
        return Err(setting("url: it has no host"));
    }
    // Anything but a number would silently become the scheme's own port.
    let port = host.strip_prefix(authority.host()).unwrap_or_default();
    if !matches!(port, "" | ":") && authority.port_u16().is_none_or(|port| port == 0) {
        return Err(setting("url: its port must be a number from 1 to 65535"));
    }
    Ok((host.trim_end_matches(':'), credentials))
}

fn basic_authorization(credentials: &str) -> Result<HeaderValue, BackendError> {
    let (user, password) = credentials.split_once(':').unwrap_or((credentials, ""));
    let mut plain = Zeroizing::new(percent_decode_str(user).collect::<Vec<u8>>());
    plain.push(b':');
    plain.extend(percent_decode_str(password));
    let text = Zeroizing::new(format!("Basic {}", STANDARD.encode(&*plain)));
    secret(&text).ok_or_else(|| setting("url: its credentials can't be sent"))
}

fn headers(settings: &[(String, String)]) -> Result<HeaderMap, BackendError> {
    let mut headers = HeaderMap::new();
    for (name, value) in settings {
        let parsed: HeaderName = name.parse().map_err(|_| {
            // Up to what makes it none: a whole line may stand there by mistake, value included.
            let beginning =
                name.split(|c: char| !c.is_ascii_alphanumeric() && c != '-').next().unwrap_or_default();
            setting(format!("header {beginning}: not a field name"))
        })?;
        if OWN_FIELDS.contains(&parsed) {
            return Err(setting(format!("header {parsed}: it is set by the client itself")));
        }
        let value = secret(value)
            .ok_or_else(|| setting(format!("header {parsed}: its value has a character no field has")))?;
        headers.append(parsed, value);
    }
    Ok(headers)
}

/// A value that ureq and `http` leave out of what they log.
fn secret(value: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(value.trim()).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(url: &str, headers: &[(&str, &str)]) -> Result<Target, String> {
        let headers = serde_json::to_string(headers).unwrap();
        let json = format!(
            r#"{{"url":{url:?},"default_ttl_ms":1,"negative_ttl_ms":1,"timeout_ms":1,"stale_if_error_ms":0,"refresh_ahead":false,"headers":{headers}}}"#
        );
        let settings = LookupSettings::from_json(json.as_bytes()).unwrap();
        Target::new(&settings).map_err(|error| error.to_string())
    }

    fn uri(url: &str, handshake_params: &str) -> String {
        let request = BackendRequest {
            server_name: "shop.example".into(),
            handshake_params: handshake_params.into(),
            validators: crate::backend::Validators::default(),
        };
        target(url, &[]).unwrap().uri(&request).unwrap().to_string()
    }

    #[test]
    fn asks_as_the_stock_manager_does() {
        let hello = "cipher_suites=4865%2C4866&local_ip=127.0.0.1&signature_schemes=1027";
        assert_eq!(
            uri("http://127.0.0.1:8080/certs", hello),
            "http://127.0.0.1:8080/certs?cipher_suites=4865%2C4866&local_ip=127.0.0.1&server_name=shop.example&signature_schemes=1027"
        );
        assert_eq!(uri("HTTPS://example.test", ""), "https://example.test/?server_name=shop.example");
        assert_eq!(uri("http://[::1]:81/a#part", ""), "http://[::1]:81/a?server_name=shop.example");
        assert_eq!(uri("http://example.test:/", ""), "http://example.test/?server_name=shop.example");
    }

    #[test]
    fn keeps_the_operators_parameters_and_overrides_its_own() {
        assert_eq!(
            uri("http://a.test/?token=x%26y&server_name=evil&zone&token=z", "local_ip=::1"),
            "http://a.test/?local_ip=::1&server_name=shop.example&token=x%26y&token=z&zone"
        );
    }

    #[test]
    fn credentials_become_a_header_and_leave_the_url() {
        let target = target("https://us%40er:p%3Aa:ss@example.test:8443/x", &[]).unwrap();
        let value = &target.headers()[header::AUTHORIZATION];
        assert_eq!(value, &format!("Basic {}", STANDARD.encode("us@er:p:a:ss")));
        assert!(value.is_sensitive());
        assert_eq!(target.host(), "example.test:8443");
        assert_eq!(target.base, "https://example.test:8443/x");
    }

    #[test]
    fn the_operators_own_fields_win_and_may_repeat() {
        let given = [("Authorization", "Bearer t"), ("X-A", "1"), ("X-A", "2")];
        let target = target("http://u:p@a.test/", &given).unwrap();
        assert_eq!(target.headers()[header::AUTHORIZATION], "Bearer t");
        assert_eq!(target.headers().get_all("x-a").iter().count(), 2);
    }

    #[test]
    fn unusable_urls_are_rejected_without_repeating_them() {
        for (url, part) in [
            ("", "not a URL"),
            ("http://", "not a URL"),
            ("secret.test", "begin with http"),
            ("/secret", "begin with http"),
            ("ftp://u:secret@a.test/", "begin with http"),
            ("unix:///secret", "not a URL"),
            ("http://u:secret@/", "not a URL"),
            ("http://:8080/secret", "no host"),
            ("http://u:secret@a.test:99999/", "port"),
            ("http://u:secret@a.test:0/", "port"),
            ("http://u:secret@a b.test/", "not a URL"),
        ] {
            let message = target(url, &[]).err().unwrap_or_else(|| panic!("{url} is accepted"));
            assert!(message.starts_with("url: ") && message.contains(part), "{url}: {message}");
            assert!(!message.contains("secret"), "{message}");
        }
    }

    #[test]
    fn unusable_headers_are_rejected_by_name() {
        for (name, value) in
            [("X-Y: secret", ""), ("X-A", "sec\nret"), ("Content-Length", "secret"), ("", "secret")]
        {
            let message = target("http://a.test/", &[(name, value)]).err().unwrap();
            assert!(message.starts_with("header ") && !message.contains("sec"), "{message}");
        }
    }
}
