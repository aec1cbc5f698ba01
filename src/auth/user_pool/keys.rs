//! A local pool's keys: two that sign tokens, as Cognito's pools have, and one that
//! seals what the pool hands out to get it back.
//!
//! They are made once and kept, so that tokens hold over restarts.

use std::path::Path;

use aws_lc_rs::aead::{AES_256_GCM, Aad, Nonce, RandomizedNonceKey};
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256};
use aws_lc_rs::{digest, hmac};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::file;
use crate::auth::issuer::KeySet;

/// Why a pool's keys or users cannot be kept.
#[derive(Debug, thiserror::Error)]
pub enum KeptFault {
    /// The folder or a file in it.
    #[error("{path}: {cause}")]
    File {
        /// Which.
        path: String,
        /// What the system says.
        #[source]
        cause: std::io::Error,
    },
    /// A file holds something else.
    #[error("{path} is not what this program wrote; remove it to begin anew")]
    Content {
        /// Which.
        path: String,
    },
    /// The system gives no random numbers.
    #[error("no keys can be made: the system gives no random numbers")]
    Random,
}

/// What a signing key signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signs {
    Id,
    Access,
}

struct SigningKey {
    kid: String,
    pair: KeyPair,
}

pub(super) struct Keys {
    id: SigningKey,
    access: SigningKey,
    seal: RandomizedNonceKey,
    digest: hmac::Key,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Keys({}, {})", self.id.kid, self.access.kid)
    }
}

/// `keys.json`: PKCS #8 and raw bytes in base64.
#[derive(Serialize, Deserialize)]
struct Written {
    version: u32,
    id: String,
    access: String,
    seal: String,
}

impl Keys {
    /// Those of a file; where there is none it is made.
    pub(super) fn open(path: &Path) -> Result<Self, KeptFault> {
        let name = || path.display().to_string();
        let failed = |cause| KeptFault::File {
            path: name(),
            cause,
        };
        if file::read(path).map_err(failed)?.is_none() {
            let content = Self::make()?;
            file::create(path, &content).map_err(failed)?;
        }
        let content = file::read(path).map_err(failed)?.unwrap_or_default();
        Self::read(&content).ok_or_else(|| KeptFault::Content { path: name() })
    }

    fn make() -> Result<Vec<u8>, KeptFault> {
        let pair = || -> Result<String, KeptFault> {
            let pair = KeyPair::generate(KeySize::Rsa2048).map_err(|_| KeptFault::Random)?;
            let der = AsDer::<Pkcs8V1Der<'_>>::as_der(&pair).map_err(|_| KeptFault::Random)?;
            Ok(STANDARD.encode(der.as_ref()))
        };
        let written = Written {
            version: 1,
            id: pair()?,
            access: pair()?,
            seal: STANDARD.encode(random::<32>()?),
        };
        serde_json::to_vec_pretty(&written).map_err(|_| KeptFault::Random)
    }

    fn read(content: &[u8]) -> Option<Self> {
        let written: Written = serde_json::from_slice(content).ok()?;
        let pair = |text: &str| {
            let pair = KeyPair::from_pkcs8(&STANDARD.decode(text).ok()?).ok()?;
            // The same key has the same name on every machine.
            let named = digest::digest(&digest::SHA256, pair.public_key().as_ref());
            Some(SigningKey {
                kid: format!("{}=", &STANDARD.encode(named.as_ref())[..43]),
                pair,
            })
        };
        let seal = STANDARD.decode(&written.seal).ok()?;
        Some(Self {
            id: pair(&written.id)?,
            access: pair(&written.access)?,
            digest: hmac::Key::new(hmac::HMAC_SHA256, &seal),
            seal: RandomizedNonceKey::new(&AES_256_GCM, &seal).ok()?,
        })
    }

    /// The public keys as a JWK set.
    pub(super) fn jwks(&self) -> Json {
        let jwk = |key: &SigningKey| {
            let public = key.pair.public_key();
            let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
            json!({
                "alg": "RS256",
                "e": encode(public.exponent().big_endian_without_leading_zero()),
                "kid": key.kid,
                "kty": "RSA",
                "n": encode(public.modulus().big_endian_without_leading_zero()),
                "use": "sig",
            })
        };
        json!({"keys": [jwk(&self.id), jwk(&self.access)]})
    }

    /// The public keys as authorizers take them.
    pub(super) fn key_set(&self) -> KeySet {
        KeySet::read(self.jwks().to_string().as_bytes()).unwrap_or_default()
    }

    /// A token with these claims. `None` where the system gives no random numbers.
    pub(super) fn token(&self, signs: Signs, claims: &Json) -> Option<String> {
        let key = match signs {
            Signs::Id => &self.id,
            Signs::Access => &self.access,
        };
        let header = json!({"kid": key.kid, "alg": "RS256"}).to_string();
        let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
        let message = format!("{}.{}", encode(&header), encode(&claims.to_string()));
        let mut signature = vec![0; key.pair.public_modulus_len()];
        key.pair
            .sign(
                &RSA_PKCS1_SHA256,
                &SystemRandom::new(),
                message.as_bytes(),
                &mut signature,
            )
            .ok()?;
        Some(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }

    /// Something that only this pool can read again, for one `purpose`.
    pub(super) fn seal(&self, purpose: &str, content: &Json) -> Option<Vec<u8>> {
        let mut bytes = content.to_string().into_bytes();
        let nonce = self
            .seal
            .seal_in_place_append_tag(Aad::from(purpose.as_bytes()), &mut bytes)
            .ok()?;
        let mut sealed = nonce.as_ref().to_vec();
        sealed.append(&mut bytes);
        Some(sealed)
    }

    /// What was sealed for that purpose.
    pub(super) fn unseal(&self, purpose: &str, sealed: &[u8]) -> Option<Json> {
        let (nonce, bytes) = sealed.split_at_checked(12)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut bytes = bytes.to_vec();
        let content = self
            .seal
            .open_in_place(nonce, Aad::from(purpose.as_bytes()), &mut bytes)
            .ok()?;
        serde_json::from_slice(content).ok()
    }

    /// Sixty-four digits that say nothing of `text`, and are the same each time.
    pub(super) fn digest(&self, text: &str) -> [u8; 32] {
        let tag = hmac::sign(&self.digest, text.as_bytes());
        let mut bytes = [0; 32];
        bytes.copy_from_slice(tag.as_ref());
        bytes
    }
}

/// Random bytes from the system.
pub(super) fn random<const N: usize>() -> Result<[u8; N], KeptFault> {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| KeptFault::Random)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_made_once_and_kept_for_their_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.json");

        let first = Keys::open(&path).unwrap();
        let again = Keys::open(&path).unwrap();

        assert_eq!(first.jwks(), again.jwks());
        assert_eq!(first.key_set().len(), 2);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = std::fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        assert!(!format!("{first:?}").contains("seal"));
    }

    #[test]
    fn what_is_sealed_opens_for_its_purpose_alone() {
        let folder = tempfile::tempdir().unwrap();
        let keys = Keys::open(&folder.path().join("keys.json")).unwrap();
        let sealed = keys.seal("refresh", &json!({"a": 1})).unwrap();

        assert_eq!(keys.unseal("refresh", &sealed), Some(json!({"a": 1})));
        assert_eq!(keys.unseal("session", &sealed), None);
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_eq!(keys.unseal("refresh", &changed), None, "byte {at}");
        }
        assert_eq!(keys.unseal("refresh", b"short"), None);
    }

    #[test]
    fn a_broken_file_is_named_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.json");
        std::fs::write(&path, "{}").unwrap();

        let fault = Keys::open(&path).unwrap_err();

        assert!(fault.to_string().contains("keys.json"), "{fault}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "{}");
    }
}
