//! The secrets that are given as files, because an environment is too easily printed.

use std::{fs, path::Path};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use secrecy::SecretString;
use zeroize::Zeroizing;

use super::Config;
use crate::{error::StartError, keys::MasterKey};

const MASTER_KEY_BYTES: usize = 32;
const BOOTSTRAP_TOKEN_MIN_CHARACTERS: usize = 32;

/// Everything that was read from secret files.
pub(crate) struct Secrets {
    pub(crate) master_key: MasterKey,
    pub(crate) bootstrap_token: SecretString,
}

impl Secrets {
    /// Reads and checks the files the configuration names.
    pub(crate) fn read(config: &Config) -> Result<Self, StartError> {
        Ok(Self {
            master_key: master_key(&config.master_key_file)?,
            bootstrap_token: bootstrap_token(&config.bootstrap_token_file)?,
        })
    }
}

/// A new master key, in the form that `--master-key-file` holds: 32 random bytes as base64.
///
/// # Errors
///
/// [`StartError::Randomness`] when the system gives no random bytes.
pub fn generate_master_key() -> Result<Zeroizing<String>, StartError> {
    let mut bytes = Zeroizing::new([0_u8; MASTER_KEY_BYTES]);
    aws_lc_rs::rand::fill(bytes.as_mut_slice()).map_err(|_| StartError::Randomness)?;
    Ok(Zeroizing::new(STANDARD.encode(bytes.as_slice())))
}

fn read(flag: &'static str, path: &Path) -> Result<Zeroizing<String>, StartError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Zeroizing::new(text)),
        Err(error) => Err(StartError::Configuration {
            flag,
            message: format!("{} cannot be read: {error}", path.display()),
        }),
    }
}

fn master_key(path: &Path) -> Result<MasterKey, StartError> {
    const FLAG: &str = "--master-key-file";
    let refuse = |message: String| StartError::Configuration {
        flag: FLAG,
        message,
    };
    let text = read(FLAG, path)?;
    let bytes = Zeroizing::new(STANDARD.decode(text.trim()).map_err(|_| {
        refuse(format!(
            "{} is not base64; it must hold 32 random bytes as base64 (openssl rand -base64 32)",
            path.display()
        ))
    })?);
    let bytes: &[u8; MASTER_KEY_BYTES] = bytes.as_slice().try_into().map_err(|_| {
        refuse(format!(
            "{} holds {} bytes; a master key has exactly {MASTER_KEY_BYTES} (openssl rand -base64 32)",
            path.display(),
            bytes.len()
        ))
    })?;
    MasterKey::new(bytes)
}

fn bootstrap_token(path: &Path) -> Result<SecretString, StartError> {
    const FLAG: &str = "--bootstrap-token-file";
    let text = read(FLAG, path)?;
    let token = text.trim();
    let sound = token.chars().all(|c| c.is_ascii_graphic());
    if token.len() < BOOTSTRAP_TOKEN_MIN_CHARACTERS || !sound {
        return Err(StartError::Configuration {
            flag: FLAG,
            message: format!(
                "{} must hold at least {BOOTSTRAP_TOKEN_MIN_CHARACTERS} printable ASCII characters \
                 without spaces (openssl rand -hex 32)",
                path.display()
            ),
        });
    }
    Ok(SecretString::from(token.to_owned()))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{bootstrap_token, generate_master_key, master_key};

    fn file(content: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), content).unwrap();
        file
    }

    #[test]
    fn a_generated_master_key_is_accepted_with_a_line_end() {
        let text = generate_master_key().unwrap();

        assert!(master_key(file(&format!("{}\n", text.as_str())).path()).is_ok());
    }

    #[test]
    fn a_master_key_of_another_length_is_refused_with_the_length() {
        let Err(error) = master_key(file("c2hvcnQ=").path()) else {
            panic!("accepted");
        };

        assert!(error.to_string().contains("holds 5 bytes"), "{error}");
    }

    #[test]
    fn a_refusal_never_repeats_the_secret() {
        let Err(error) = bootstrap_token(file("hunter2").path()) else {
            panic!("accepted");
        };

        assert!(!error.to_string().contains("hunter2"), "{error}");
        assert!(error.to_string().contains("32"), "{error}");
    }
}
