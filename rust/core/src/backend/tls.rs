//! TLS to the backend: rustls over aws-lc-rs, the platform's trust store or the operator's own authorities.

use std::sync::Arc;

use rustls::RootCertStore;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig, TlsProvider, parse_pem};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, NextTimeout, RustlsConnector, Transport,
};

use super::BackendError;
use super::error::{setting, setting_from};
use crate::settings::LookupSettings;

/// Checks here what ureq would ignore or panic over when it first connects.
pub(super) fn configuration(settings: &LookupSettings) -> Result<TlsConfig, BackendError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let roots = match &settings.trusted_ca_pem {
        Some(pem) => trusted_authorities(pem)?,
        None => RootCerts::PlatformVerifier,
    };
    let client = match &settings.client_certificate_pem {
        Some(pem) => Some(client_certificate(pem, &provider)?),
        None => None,
    };
    Ok(TlsConfig::builder()
        .provider(TlsProvider::Rustls)
        .root_certs(roots)
        .client_cert(client)
        .unversioned_rustls_crypto_provider(provider)
        .build())
}

fn trusted_authorities(pem: &str) -> Result<RootCerts, BackendError> {
    let (certificates, _) = parse("trusted_ca", pem)?;
    if certificates.is_empty() {
        return Err(setting("trusted_ca: no certificate in it"));
    }
    let mut store = RootCertStore::empty();
    for (index, certificate) in certificates.iter().enumerate() {
        store
            .add(CertificateDer::from(certificate.der()))
            .map_err(setting_from(format!("trusted_ca: certificate {} can't be used", index + 1)))?;
    }
    Ok(RootCerts::new_with_certs(&certificates))
}

fn client_certificate(pem: &str, provider: &CryptoProvider) -> Result<ClientCert, BackendError> {
    let (certificates, mut keys) = parse("client_certificate", pem)?;
    if certificates.is_empty() {
        return Err(setting("client_certificate: no certificate in it"));
    }
    let (Some(key), None) = (keys.pop(), keys.pop()) else {
        return Err(setting("client_certificate: it must hold exactly one private key, not encrypted"));
    };
    let chain = certificates.iter().map(|one| CertificateDer::from(one.der().to_vec())).collect();
    let unusable = "client_certificate: its certificate or key can't be used";
    let der = PrivateKeyDer::try_from(key.der().to_vec()).map_err(|_| setting(unusable))?;
    CertifiedKey::from_der(chain, der, provider).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => {
            setting_from("client_certificate: the key is another certificate's")(error)
        }
        _ => setting_from(unusable)(error),
    })?;
    Ok(ClientCert::new_with_certs(&certificates, key))
}

type Blocks = (Vec<Certificate<'static>>, Vec<PrivateKey<'static>>);

fn parse(option: &str, pem: &str) -> Result<Blocks, BackendError> {
    let (mut certificates, mut keys) = (Vec::new(), Vec::new());
    for item in parse_pem(pem.as_bytes()) {
        match item {
            Ok(PemItem::Certificate(certificate)) => certificates.push(certificate),
            Ok(PemItem::PrivateKey(key)) => keys.push(key),
            Ok(_) => {}
            Err(_) => return Err(setting(format!("{option}: not PEM text"))),
        }
    }
    Ok((certificates, keys))
}

/// ureq's TLS connector, told that a request's settings are the agent's: they differ by the deadline only.
/// Otherwise it would read the trust store anew for each connection and resume no session. Clones share both.
#[derive(Clone, Debug, Default)]
pub(super) struct SharedConnector(Arc<RustlsConnector>);

impl<In: Transport> Connector<In> for SharedConnector {
    type Out = Zeroized<<RustlsConnector as Connector<In>>::Out>;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, ureq::Error> {
        let details = ConnectionDetails {
            uri: details.uri,
            addrs: details.resolver.empty(), // connected already
            config: details.config,
            request_level: false,
            resolver: details.resolver,
            now: details.now,
            timeout: details.timeout,
            current_time: details.current_time.clone(),
            run_connector: details.run_connector.clone(),
            register_shutdown: details.register_shutdown.clone(),
        };
        Ok(self.0.connect(&details, chained)?.map(Zeroized))
    }
}

/// A connection whose input buffer is wiped before it waits in the pool: the last answer, key and all, would
/// stay there.
#[derive(Debug)]
pub(super) struct Zeroized<T>(T);

impl<T: Transport> Transport for Zeroized<T> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.0.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        self.0.transmit_output(amount, timeout)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        self.0.await_input(timeout)
    }

    // The pool asks when a connection comes back to it, with all input consumed.
    fn is_open(&mut self) -> bool {
        self.0.buffers().input_append_buf().fill(0);
        self.0.is_open()
    }

    fn is_tls(&self) -> bool {
        self.0.is_tls()
    }
}
