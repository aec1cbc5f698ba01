//! A published key set (RFC 7517), read for what API Gateway verifies with: RSA
//! signature keys that have a name.

use std::collections::HashMap;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey};
use serde_json::Value as Json;

/// The most keys of a set that are looked at.
const KEYS_LIMIT: usize = 200;

/// A public key and what it may verify.
#[derive(Clone)]
pub struct Key {
    modulus: Vec<u8>,
    exponent: Vec<u8>,
    /// Only these: the key set decides, never the token.
    algorithms: Vec<Algorithm>,
    decoding: DecodingKey,
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Key({:?})", self.algorithms)
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.modulus == other.modulus
            && self.exponent == other.exponent
            && self.algorithms == other.algorithms
    }
}

impl Key {
    /// Whether the key is for this algorithm.
    pub fn takes(&self, algorithm: Algorithm) -> bool {
        self.algorithms.contains(&algorithm)
    }

    /// Whether `signature` (base64url) is the key's under `message`.
    pub fn verifies(&self, message: &str, signature: &str, algorithm: Algorithm) -> bool {
        self.takes(algorithm)
            && jsonwebtoken::crypto::verify(
                signature,
                message.as_bytes(),
                &self.decoding,
                algorithm,
            )
            .unwrap_or(false)
    }

    fn read(jwk: &Json) -> Option<(String, Self)> {
        let text = |name: &str| jwk.get(name).and_then(Json::as_str);
        if text("kty") != Some("RSA") {
            return None;
        }
        if jwk.get("use").is_some() && text("use") != Some("sig") {
            return None;
        }
        if let Some(operations) = jwk.get("key_ops") {
            let operations = operations.as_array()?;
            if !operations.iter().any(|one| one.as_str() == Some("verify")) {
                return None;
            }
        }
        let kid = text("kid").filter(|kid| !kid.is_empty())?;
        // RFC 7518, 6.3.2 and 6.4: any of them gives the whole private key away.
        let private = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];
        if private.iter().any(|name| jwk.get(name).is_some()) {
            // Whoever reads the key set can sign with it.
            tracing::warn!(
                kid,
                "a key set gives away the private key: nothing it signs is taken"
            );
            return None;
        }
        let algorithms = match (jwk.get("alg").is_some(), text("alg")) {
            (false, _) => vec![Algorithm::RS256, Algorithm::RS384, Algorithm::RS512],
            (true, Some("RS256")) => vec![Algorithm::RS256],
            (true, Some("RS384")) => vec![Algorithm::RS384],
            (true, Some("RS512")) => vec![Algorithm::RS512],
            (true, Some("PS256")) => vec![Algorithm::PS256],
            (true, Some("PS384")) => vec![Algorithm::PS384],
            (true, Some("PS512")) => vec![Algorithm::PS512],
            (true, _) => return None,
        };
        let modulus = number(text("n")?)?;
        let exponent = number(text("e")?)?;
        let bits = modulus.len() * 8 - modulus[0].leading_zeros() as usize;
        // A short modulus can be factored; an exponent of 1 or an even one signs nothing.
        let weak = !(2048..=8192).contains(&bits)
            || exponent.len() > 4
            || exponent.last().is_none_or(|byte| byte % 2 == 0)
            || exponent == [1];
        if weak {
            return None;
        }
        let decoding = DecodingKey::from_rsa_raw_components(&modulus, &exponent);
        let key = Self {
            modulus,
            exponent,
            algorithms,
            decoding,
        };
        Some((kid.to_owned(), key))
    }
}

/// A big-endian number without leading zeros; `None` for zero and what is no base64url.
fn number(text: &str) -> Option<Vec<u8>> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    let start = bytes.iter().position(|byte| *byte != 0)?;
    Some(bytes[start..].to_vec())
}

/// The keys of an issuer, by `kid`.
#[derive(Debug, Default)]
pub struct KeySet {
    keys: HashMap<String, Arc<Key>>,
}

impl KeySet {
    /// The same keys, shared with an older set where it had them already.
    pub fn sharing(mut self, older: &Self) -> Self {
        for (kid, key) in &mut self.keys {
            if let Some(known) = older.keys.get(kid).filter(|known| *known == key) {
                *key = Arc::clone(known);
            }
        }
        self
    }

    /// Reads a key set. What cannot verify here is left out; the first of two
    /// keys of one name counts.
    ///
    /// # Errors
    ///
    /// When the text is no key set.
    pub fn read(text: &[u8]) -> Result<Self, String> {
        let json: Json = serde_json::from_slice(text)
            .map_err(|error| format!("the key set is not JSON: {error}"))?;
        let listed = json
            .get("keys")
            .and_then(Json::as_array)
            .ok_or("the key set has no list `keys`")?;
        let mut keys = HashMap::new();
        for (kid, key) in listed.iter().take(KEYS_LIMIT).filter_map(Key::read) {
            keys.entry(kid).or_insert_with(|| Arc::new(key));
        }
        Ok(Self { keys })
    }

    /// The same for `algorithm` alone; keys that are not for it are left out.
    pub(super) fn only(self, algorithm: Algorithm) -> Self {
        let keys = self.keys.into_iter().filter_map(|(kid, key)| {
            let key = Arc::unwrap_or_clone(key);
            key.takes(algorithm).then(|| {
                let algorithms = vec![algorithm];
                (kid, Arc::new(Key { algorithms, ..key }))
            })
        });
        Self {
            keys: keys.collect(),
        }
    }

    /// The key of that name.
    pub fn get(&self, kid: &str) -> Option<&Arc<Key>> {
        self.keys.get(kid)
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn jwk(change: Json) -> Json {
        let mut jwk = json!({
            "kty": "RSA", "kid": "k", "use": "sig", "alg": "RS256",
            "n": URL_SAFE_NO_PAD.encode([0xc5; 256]), "e": "AQAB",
        });
        for (name, value) in change.as_object().into_iter().flatten() {
            if value.is_null() {
                jwk.as_object_mut().unwrap().remove(name);
            } else {
                jwk[name] = value.clone();
            }
        }
        jwk
    }

    fn read(keys: &[Json]) -> KeySet {
        KeySet::read(json!({ "keys": keys }).to_string().as_bytes()).unwrap()
    }

    #[test]
    fn a_signature_key_is_read_and_pinned_to_its_algorithm() {
        let set = read(&[jwk(json!({}))]);
        let key = set.get("k").unwrap();

        assert!(key.takes(Algorithm::RS256));
        assert!(!key.takes(Algorithm::RS512) && !key.takes(Algorithm::PS256));
        let set = read(&[jwk(json!({"alg": null, "use": null}))]);
        let key = set.get("k").unwrap();
        assert!(key.takes(Algorithm::RS512) && !key.takes(Algorithm::PS256));
        assert!(!key.takes(Algorithm::HS256));
    }

    #[test]
    fn keys_that_are_for_something_else_or_weak_are_left_out() {
        for change in [
            json!({"kty": "EC"}),
            json!({"kty": "oct", "k": "c2VjcmV0"}),
            json!({"use": "enc"}),
            json!({"use": 1}),
            json!({"key_ops": ["encrypt"]}),
            json!({"alg": "HS256"}),
            json!({"alg": "none"}),
            json!({"alg": 1}),
            json!({"kid": null}),
            json!({"kid": ""}),
            json!({"d": URL_SAFE_NO_PAD.encode([0xc5; 256])}),
            json!({"p": URL_SAFE_NO_PAD.encode([0xc5; 128])}),
            json!({"q": "", "qi": ""}),
            json!({"dp": 1}),
            json!({"oth": []}),
            json!({"n": URL_SAFE_NO_PAD.encode([0xc5; 128])}),
            json!({"n": URL_SAFE_NO_PAD.encode([0xc5; 2000])}),
            json!({"n": ""}),
            json!({"n": "AAAA"}),
            json!({"n": "not base64!"}),
            json!({"e": "AQ"}),
            json!({"e": "Ag"}),
            json!({"e": null}),
        ] {
            assert!(read(&[jwk(change.clone())]).is_empty(), "{change}");
        }
    }

    #[test]
    fn a_set_for_one_algorithm_has_no_key_for_another() {
        let set = read(&[
            jwk(json!({"kid": "any", "alg": null})),
            jwk(json!({"kid": "it"})),
            jwk(json!({"kid": "other", "alg": "RS512"})),
        ])
        .only(Algorithm::RS256);

        for kid in ["any", "it"] {
            let key = set.get(kid).unwrap();
            assert!(key.takes(Algorithm::RS256) && !key.takes(Algorithm::RS512));
        }
        assert!(set.get("other").is_none());
    }

    #[test]
    fn what_is_no_key_set_is_an_error() {
        for text in ["", "[]", "{}", r#"{"keys": {}}"#, "<html>"] {
            assert!(KeySet::read(text.as_bytes()).is_err(), "{text}");
        }
    }
}
