//! Sealing of private keys at rest: AES-256-GCM under the master key. Whatever else has to be kept
//! secret has a key of its own, derived from the master key.

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey},
    digest, hkdf,
};
use eventstore::snapshot::SnapshotKeys;
use zeroize::Zeroizing;

use crate::error::StartError;

/// The key that seals private signing keys.
///
/// Shows itself only by its fingerprint.
pub(crate) struct MasterKey {
    key: RandomizedNonceKey,
    derivation: hkdf::Prk,
    fingerprint: String,
}

/// What a derived key is for. A key for one purpose tells nothing about that for another.
const SNAPSHOTS: &str = "signet/snapshots/1";

/// The sealed bytes do not open: another key, another place, or damage.
#[derive(Debug)]
pub(super) struct DoesNotOpen;

/// What a sealed key is bound to, so that a row moved to another tenant does not open.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    pub(super) tenant: &'a str,
    pub(super) kid: &'a str,
    pub(super) algorithm: &'a str,
}

impl Place<'_> {
    fn associated_data(self) -> Aad<Vec<u8>> {
        // No name has a slash in it, so that two places never read alike.
        let Self {
            tenant,
            kid,
            algorithm,
        } = self;
        Aad::from(format!("signet/signing-key/1/{tenant}/{kid}/{algorithm}").into_bytes())
    }
}

impl MasterKey {
    /// Takes the 32 bytes of the key.
    pub(crate) fn new(bytes: &[u8; 32]) -> Result<Self, StartError> {
        let key =
            RandomizedNonceKey::new(&AES_256_GCM, bytes).map_err(|_| StartError::Randomness)?;
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(b"signet master key fingerprint");
        context.update(bytes);
        let fingerprint = context.finish().as_ref()[..8]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let derivation = hkdf::Salt::new(hkdf::HKDF_SHA256, b"signet master key").extract(bytes);
        Ok(Self {
            key,
            derivation,
            fingerprint,
        })
    }

    /// The key that snapshots of aggregates are encrypted with.
    pub(crate) fn snapshot_keys(&self) -> Result<SnapshotKeys, StartError> {
        // Named after the master key, so that one under another is known for what it is.
        let id = format!("{SNAPSHOTS}/{}", self.fingerprint);
        let key = self.derive(SNAPSHOTS)?;
        SnapshotKeys::new(id, &key).map_err(|error| StartError::Derivation(error.to_string()))
    }

    /// A key for a purpose, by HKDF (RFC 5869) with SHA-256.
    fn derive(&self, purpose: &str) -> Result<Zeroizing<[u8; 32]>, StartError> {
        let mut key = Zeroizing::new([0; 32]);
        self.derivation
            .expand(&[purpose.as_bytes()], hkdf::HKDF_SHA256)
            .and_then(|material| material.fill(key.as_mut_slice()))
            .map_err(|_| StartError::Derivation(format!("HKDF gives no key for {purpose}")))?;
        Ok(key)
    }

    /// Names the key without telling anything about it: 16 hexadecimal digits.
    pub(super) fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// Seals bytes for a place: nonce (12 bytes), ciphertext, tag.
    pub(super) fn seal(&self, place: Place<'_>, plain: &[u8]) -> Result<Vec<u8>, DoesNotOpen> {
        let mut text = plain.to_vec();
        let nonce = self
            .key
            .seal_in_place_append_tag(place.associated_data(), &mut text)
            .map_err(|_| DoesNotOpen)?;
        let mut sealed = nonce.as_ref().to_vec();
        sealed.append(&mut text);
        Ok(sealed)
    }

    /// Opens what [`MasterKey::seal`] gave, at the same place.
    pub(super) fn open(
        &self,
        place: Place<'_>,
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, DoesNotOpen> {
        let (nonce, text) = sealed.split_at_checked(NONCE_LEN).ok_or(DoesNotOpen)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| DoesNotOpen)?;
        let mut text = Zeroizing::new(text.to_vec());
        let length = self
            .key
            .open_in_place(nonce, place.associated_data(), &mut text)
            .map_err(|_| DoesNotOpen)?
            .len();
        text.truncate(length);
        Ok(text)
    }
}

impl std::fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MasterKey")
            .field("fingerprint", &self.fingerprint)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};

    use super::{MasterKey, Place};

    const PLACE: Place<'_> = Place {
        tenant: "acme",
        kid: "2026-11-a",
        algorithm: "ES256",
    };

    fn key(byte: u8) -> MasterKey {
        MasterKey::new(&[byte; 32]).unwrap()
    }

    #[test]
    fn another_master_key_does_not_open() {
        let sealed = key(1).seal(PLACE, b"private").unwrap();

        assert!(key(2).open(PLACE, &sealed).is_err());
        assert_ne!(key(1).fingerprint(), key(2).fingerprint());
    }

    #[test]
    fn a_row_moved_elsewhere_does_not_open() {
        let sealed = key(1).seal(PLACE, b"private").unwrap();

        for place in [
            Place {
                tenant: "other",
                ..PLACE
            },
            Place {
                kid: "2026-11-b",
                ..PLACE
            },
            Place {
                algorithm: "RS256",
                ..PLACE
            },
        ] {
            assert!(key(1).open(place, &sealed).is_err(), "{place:?}");
        }
    }

    #[test]
    fn the_same_bytes_are_never_sealed_alike() {
        assert_ne!(
            key(1).seal(PLACE, b"x").unwrap(),
            key(1).seal(PLACE, b"x").unwrap()
        );
    }

    #[test]
    fn a_derived_key_is_its_purpose_s_and_never_the_master_key() {
        let derived = key(1).derive("signet/snapshots/1").unwrap();

        assert_eq!(derived, key(1).derive("signet/snapshots/1").unwrap());
        assert_ne!(derived, key(1).derive("signet/snapshots/2").unwrap());
        assert_ne!(derived, key(2).derive("signet/snapshots/1").unwrap());
        assert_ne!(*derived, [1; 32]);
    }

    #[test]
    fn snapshots_name_the_master_key_by_its_fingerprint_only() {
        let keys = key(1).snapshot_keys().unwrap();

        let id = format!("signet/snapshots/1/{}", key(1).fingerprint());
        assert_eq!(keys.current(), id);
    }

    #[test]
    fn debugging_shows_no_key() {
        assert!(!format!("{:?}", key(7)).contains("07, 07"));
    }

    proptest! {
        #[test]
        fn what_was_sealed_opens(plain in any::<Vec<u8>>()) {
            let sealed = key(1).seal(PLACE, &plain).unwrap();
            assert_eq!(key(1).open(PLACE, &sealed).unwrap().as_slice(), plain);
        }

        #[test]
        fn a_changed_bit_is_noticed(at in 0usize..1000, bit in 0u8..8) {
            let mut sealed = key(1).seal(PLACE, b"private").unwrap();
            let at = at % sealed.len();
            sealed[at] ^= 1 << bit;
            assert!(key(1).open(PLACE, &sealed).is_err());
        }

        #[test]
        fn any_bytes_are_refused_without_a_panic(bytes in any::<Vec<u8>>()) {
            assert!(key(1).open(PLACE, &bytes).is_err());
        }
    }
}
