//! The certificate of the port, read again when its files change.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use axum_server::tls_rustls::RustlsConfig;
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use crate::{config::Config, error::StartError, metrics::Metrics};

const LOOK_EVERY: Duration = Duration::from_secs(10);

/// A certificate and its key on disk.
#[derive(Debug)]
pub(crate) struct Certificate {
    cert_file: PathBuf,
    key_file: PathBuf,
}

/// What was read of it at one time.
struct Loaded {
    fingerprint: [u8; 32],
    config: Arc<ServerConfig>,
}

impl Certificate {
    /// The files the configuration names, when it names any.
    pub(crate) fn of(config: &Config) -> Option<Self> {
        let cert_file = config.tls_cert_file.clone()?;
        let key_file = config.tls_key_file.clone()?;
        Some(Self {
            cert_file,
            key_file,
        })
    }

    /// Reads the files for the first time.
    pub(crate) fn load(self) -> Result<(RustlsConfig, Reload), StartError> {
        let loaded = self.read()?;
        let served = RustlsConfig::from_config(loaded.config);
        let reload = Reload {
            files: self,
            fingerprint: loaded.fingerprint,
            served: served.clone(),
        };
        Ok((served, reload))
    }

    fn read(&self) -> Result<Loaded, StartError> {
        let chain = Zeroizing::new(read(&self.cert_file)?);
        let key = Zeroizing::new(read(&self.key_file)?);
        let mut digest = Sha256::new();
        digest.update(&chain);
        digest.update(&key);
        Ok(Loaded {
            fingerprint: digest.finalize().into(),
            config: self.parse(&chain, &key)?,
        })
    }

    fn parse(&self, chain: &[u8], key: &[u8]) -> Result<Arc<ServerConfig>, StartError> {
        let refuse = |path: &Path, message: String| StartError::Certificate {
            path: path.to_owned(),
            message,
        };
        let chain: Vec<_> = CertificateDer::pem_slice_iter(chain)
            .collect::<Result<_, _>>()
            .map_err(|error| refuse(&self.cert_file, format!("it is not PEM: {error}")))?;
        if chain.is_empty() {
            return Err(refuse(&self.cert_file, "it holds no certificate".into()));
        }
        let key = PrivateKeyDer::from_pem_slice(key)
            .map_err(|error| refuse(&self.key_file, format!("it holds no private key: {error}")))?;
        let mut config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(|error| {
                refuse(
                    &self.cert_file,
                    format!("it does not go with its key: {error}"),
                )
            })?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

fn read(path: &Path) -> Result<Vec<u8>, StartError> {
    std::fs::read(path).map_err(|error| StartError::Certificate {
        path: path.to_owned(),
        message: format!("it cannot be read: {error}"),
    })
}

/// Puts a changed certificate into service. New connections get it; those that are open stay.
pub(crate) struct Reload {
    files: Certificate,
    fingerprint: [u8; 32],
    served: RustlsConfig,
}

impl Reload {
    /// Looks at the files at intervals until it is told to stop.
    ///
    /// By content: a Secret that is mounted changes by a swapped link, whose times tell little.
    pub(crate) async fn run(mut self, metrics: Arc<Metrics>, stop: CancellationToken) {
        while stop
            .run_until_cancelled(tokio::time::sleep(LOOK_EVERY))
            .await
            .is_some()
        {
            match self.look() {
                Ok(false) => {}
                Ok(true) => {
                    tracing::info!(file = %self.files.cert_file.display(), "serving the new certificate");
                    metrics
                        .certificate_reloads
                        .with_label_values(&["loaded"])
                        .inc();
                }
                // Half-written files are seen again in a moment; the old certificate still serves.
                Err(error) => {
                    tracing::warn!(%error, "keeping the old certificate");
                    metrics
                        .certificate_reloads
                        .with_label_values(&["failed"])
                        .inc();
                }
            }
        }
    }

    fn look(&mut self) -> Result<bool, StartError> {
        let loaded = self.files.read()?;
        if loaded.fingerprint == self.fingerprint {
            return Ok(false);
        }
        self.fingerprint = loaded.fingerprint;
        self.served.reload_from_config(loaded.config);
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::Certificate;

    fn write(folder: &std::path::Path) {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        fs::write(folder.join("tls.crt"), made.cert.pem()).unwrap();
        fs::write(folder.join("tls.key"), made.signing_key.serialize_pem()).unwrap();
    }

    fn files(folder: &std::path::Path) -> Certificate {
        Certificate {
            cert_file: folder.join("tls.crt"),
            key_file: folder.join("tls.key"),
        }
    }

    #[test]
    fn a_changed_certificate_is_served_and_a_broken_one_is_not() {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let folder = tempfile::tempdir().unwrap();
        write(folder.path());
        let (served, mut reload) = files(folder.path()).load().unwrap();
        let first = served.get_inner();
        assert!(!reload.look().unwrap());

        fs::write(folder.path().join("tls.crt"), "half a certi").unwrap();
        assert!(reload.look().is_err());
        assert!(std::sync::Arc::ptr_eq(&first, &served.get_inner()));

        write(folder.path());
        assert!(reload.look().unwrap());
        assert!(!std::sync::Arc::ptr_eq(&first, &served.get_inner()));
        assert!(!reload.look().unwrap());
    }

    #[test]
    fn a_key_of_another_certificate_is_refused() {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let folder = tempfile::tempdir().unwrap();
        write(folder.path());
        let other = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        fs::write(
            folder.path().join("tls.key"),
            other.signing_key.serialize_pem(),
        )
        .unwrap();

        let Err(error) = files(folder.path()).load() else {
            panic!("accepted");
        };

        assert_eq!(error.code(), "SIGNET-CENTRAL-0107");
    }
}
