//! An issuer to test against: signs whatever it is told, counts who asks for its
//! keys, rotates, fails and dawdles.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{
    KeyPair as _, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_SHA256,
    RSA_PSS_SHA384, RSA_PSS_SHA512,
};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use num_bigint::BigUint;
use serde_json::{Value as Json, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// A key and its public parts.
pub(crate) struct Key {
    pair: KeyPair,
}

impl Key {
    pub(crate) fn generate() -> Self {
        Self {
            pair: KeyPair::generate(KeySize::Rsa2048).unwrap(),
        }
    }

    pub(crate) fn jwk(&self, kid: &str) -> Json {
        let public = self.pair.public_key();
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        json!({
            "kty": "RSA", "use": "sig", "alg": "RS256", "kid": kid,
            "n": encode(public.modulus().big_endian_without_leading_zero()),
            "e": encode(public.exponent().big_endian_without_leading_zero()),
        })
    }

    /// The public key as PEM, which HMAC confusion takes for a secret.
    pub(crate) fn pem(&self) -> String {
        let der =
            AsDer::<aws_lc_rs::encoding::PublicKeyX509Der<'_>>::as_der(self.pair.public_key())
                .unwrap();
        let text = STANDARD.encode(der.as_ref());
        let lines: Vec<&str> = (0..text.len())
            .step_by(64)
            .map(|at| &text[at..text.len().min(at + 64)])
            .collect();
        format!(
            "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
            lines.join("\n")
        )
    }

    pub(crate) fn der(&self) -> Vec<u8> {
        self.pair.public_key().as_ref().to_vec()
    }

    pub(crate) fn sign(&self, message: &str, algorithm: &str) -> Vec<u8> {
        let encoding: &dyn aws_lc_rs::signature::RsaEncoding = match algorithm {
            "RS384" => &RSA_PKCS1_SHA384,
            "RS512" => &RSA_PKCS1_SHA512,
            "PS256" => &RSA_PSS_SHA256,
            "PS384" => &RSA_PSS_SHA384,
            "PS512" => &RSA_PSS_SHA512,
            _ => &RSA_PKCS1_SHA256,
        };
        let mut signature = vec![0; self.pair.public_modulus_len()];
        self.pair
            .sign(
                encoding,
                &SystemRandom::new(),
                message.as_bytes(),
                &mut signature,
            )
            .unwrap();
        signature
    }

    /// The public key as PKCS #8 has it around PKCS #1.
    pub(crate) fn spki(&self) -> Vec<u8> {
        let der =
            AsDer::<aws_lc_rs::encoding::PublicKeyX509Der<'_>>::as_der(self.pair.public_key())
                .unwrap();
        der.as_ref().to_vec()
    }

    /// Modulus, public and private exponent.
    pub(crate) fn numbers(&self) -> [BigUint; 3] {
        let document = AsDer::<Pkcs8V1Der<'_>>::as_der(&self.pair).unwrap();
        // PrivateKeyInfo: version, algorithm, and in an OCTET STRING the RSAPrivateKey.
        let info = der_parts(&der_parts(document.as_ref())[0]);
        let numbers = der_parts(&der_parts(&info[2])[0]);
        [1, 2, 3].map(|at| BigUint::from_bytes_be(&numbers[at]))
    }

    /// A token with any header and claims, signed as its `alg` says.
    pub(crate) fn token(&self, header: &Json, claims: &Json) -> String {
        self.token_of_text(&header.to_string(), &claims.to_string())
    }

    pub(crate) fn token_of_text(&self, header: &str, claims: &str) -> String {
        let message = format!("{}.{}", b64(header), b64(claims));
        let algorithm = serde_json::from_str::<Json>(header)
            .ok()
            .and_then(|header| Some(header.get("alg")?.as_str()?.to_owned()))
            .unwrap_or_default();
        let signature = self.sign(&message, &algorithm);
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

/// The contents of DER values that stand one after the other.
fn der_parts(mut der: &[u8]) -> Vec<Vec<u8>> {
    let mut parts = Vec::new();
    while let [_, length, rest @ ..] = der {
        let (length, rest) = match length {
            0..=0x7f => (usize::from(*length), rest),
            long => {
                let (bytes, rest) = rest.split_at(usize::from(long & 0x7f));
                let length = bytes
                    .iter()
                    .fold(0, |length, byte| length << 8 | usize::from(*byte));
                (length, rest)
            }
        };
        let (content, rest) = rest.split_at(length);
        parts.push(content.to_vec());
        der = rest;
    }
    parts
}

pub(crate) fn b64(text: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(text)
}

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    #[expect(
        clippy::disallowed_methods,
        reason = "the issuer is outside of the gateway"
    )]
    let now = SystemTime::now();
    now.duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// How an issuer answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    Fine,
    Error,
    HangsUp,
    Slow,
    Redirects,
    Huge,
    /// It announces more than it sends.
    Truncated,
    /// What it sends is no JSON.
    Garbage,
    /// It sends half of the JSON, and says that this is all.
    Half,
    /// It sends nothing, and says so.
    Empty,
    /// It says that nothing has changed.
    NotModified,
    /// A byte now and then, and never the last one.
    Drips,
    /// Its JSON is no key set.
    NoSet,
    /// Its discovery document is another issuer's.
    Impostor,
    /// Its discovery document does not say whose it is.
    Nameless,
    /// Its discovery document says that the keys are there.
    KeysAt(&'static str),
}

impl Mood {
    /// All in which no keys are to be had.
    pub(crate) const DOWN: [Self; 12] = [
        Self::Error,
        Self::HangsUp,
        Self::Slow,
        Self::Redirects,
        Self::Huge,
        Self::Truncated,
        Self::Garbage,
        Self::Half,
        Self::Empty,
        Self::NotModified,
        Self::Drips,
        Self::NoSet,
    ];
}

pub(crate) struct Issuer {
    pub(crate) url: String,
    keys: Arc<Mutex<Vec<Json>>>,
    mood: Arc<Mutex<Mood>>,
    fetches: Arc<AtomicUsize>,
    requests: Arc<AtomicUsize>,
}

impl Issuer {
    pub(crate) async fn start(keys: Vec<Json>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let issuer = Self {
            url: url.clone(),
            keys: Arc::new(Mutex::new(keys)),
            mood: Arc::new(Mutex::new(Mood::Fine)),
            fetches: Arc::new(AtomicUsize::new(0)),
            requests: Arc::new(AtomicUsize::new(0)),
        };
        let requests = Arc::clone(&issuer.requests);
        let (keys, mood, fetches) = (
            Arc::clone(&issuer.keys),
            Arc::clone(&issuer.mood),
            Arc::clone(&issuer.fetches),
        );
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (keys, mood) = (Arc::clone(&keys), Arc::clone(&mood));
                let (fetches, url) = (Arc::clone(&fetches), url.clone());
                let requests = Arc::clone(&requests);
                tokio::spawn(async move {
                    let mut read = Vec::new();
                    let mut chunk = [0; 1024];
                    while !read.windows(4).any(|four| four == b"\r\n\r\n") {
                        match stream.read(&mut chunk).await {
                            Ok(length) if length > 0 => read.extend_from_slice(&chunk[..length]),
                            _ => return,
                        }
                    }
                    let head = String::from_utf8_lossy(&read).into_owned();
                    let mood = *mood.lock().unwrap();
                    let is_keys = head.contains("jwks");
                    requests.fetch_add(1, Ordering::SeqCst);
                    if is_keys {
                        fetches.fetch_add(1, Ordering::SeqCst);
                    }
                    let body = if is_keys {
                        json!({"keys": keys.lock().unwrap().clone()}).to_string()
                    } else {
                        let mut document =
                            json!({"issuer": url, "jwks_uri": format!("{url}/jwks.json")});
                        match mood {
                            Mood::Impostor => document["issuer"] = json!("https://other.example"),
                            Mood::Nameless => {
                                document.as_object_mut().unwrap().remove("issuer");
                            }
                            Mood::KeysAt(place) => document["jwks_uri"] = json!(place),
                            _ => {}
                        }
                        document.to_string()
                    };
                    let (status, extra, body) = match mood {
                        Mood::Fine | Mood::Impostor | Mood::Nameless | Mood::KeysAt(_) => {
                            ("200 OK", String::new(), body)
                        }
                        Mood::Truncated => {
                            let head = format!(
                                "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n",
                                body.len() + 9
                            );
                            let _ = stream.write_all(format!("{head}{body}").as_bytes()).await;
                            return;
                        }
                        Mood::Garbage => ("200 OK", String::new(), format!("<html>{body}")),
                        Mood::Half => ("200 OK", String::new(), body[..body.len() / 2].to_owned()),
                        Mood::Empty => ("200 OK", String::new(), String::new()),
                        Mood::NotModified => ("304 Not Modified", String::new(), String::new()),
                        Mood::Drips => {
                            let head = "HTTP/1.1 200 OK\r\ncontent-length: 9999\r\n\r\n";
                            let mut bytes = head.bytes().chain(body.bytes());
                            while let Some(byte) = bytes.next()
                                && stream.write_all(&[byte]).await.is_ok()
                            {
                                tokio::time::sleep(Duration::from_millis(10)).await;
                            }
                            return;
                        }
                        Mood::NoSet => (
                            "200 OK",
                            String::new(),
                            json!({"keys": {"k1": body}}).to_string(),
                        ),
                        Mood::Error => ("500 Oops", String::new(), body),
                        Mood::HangsUp => return,
                        Mood::Slow => {
                            tokio::time::sleep(Duration::from_secs(5)).await;
                            ("200 OK", String::new(), body)
                        }
                        Mood::Redirects => (
                            "302 Found",
                            format!("location: {url}/elsewhere/jwks.json\r\n"),
                            String::new(),
                        ),
                        Mood::Huge => {
                            let padded = format!("{body}{}", " ".repeat(200_000));
                            ("200 OK", String::new(), padded)
                        }
                    };
                    let answer = format!(
                        "HTTP/1.1 {status}\r\n{extra}content-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                        body.len()
                    );
                    let _ = stream.write_all(answer.as_bytes()).await;
                });
            }
        });
        issuer
    }

    pub(crate) fn publish(&self, keys: Vec<Json>) {
        *self.keys.lock().unwrap() = keys;
    }

    pub(crate) fn mood(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    /// How often anything was asked for.
    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }

    /// How often the key set was asked for.
    pub(crate) fn fetches(&self) -> usize {
        self.fetches.load(Ordering::SeqCst)
    }
}
