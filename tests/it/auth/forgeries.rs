//! Forged tokens, made systematically: every part of a token is bent in every way that
//! has opened a door somewhere, and each is refused by HTTP and REST APIs alike with the
//! very words of a refusal. A good token passes before and after.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256_SHA256_FIXED_SIGNING,
    ECDSA_P256K1_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING,
    ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair,
    KeyPair as _,
};
use aws_lc_rs::{digest, hmac};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use num_bigint::BigUint;
use serde_json::{Value as Json, json};

use super::issuer::{Issuer, Key, b64, now};
use super::tokens::{Stage, header};
use super::{Answer, get, send};

const PLAIN: &str = r#"{"alg":"RS256","kid":"k1"}"#;

/// `error_description` of a refusal.
const SEGMENTS: &str = "token contains an invalid number of segments";
const MALFORMED: &str = "the token is malformed";
const METHOD: &str = "signing method is invalid";
const KID: &str = "the token does not have a valid key id";
const SIGNATURE: &str = "the token has an invalid signature";
const CLAIMS: &str = "the token has invalid claims";
const ISSUER: &str = "issuer does not match";
const AUDIENCE: &str = "the token does not have a valid audience";
const EXPIRED: &str = "the token has expired";
const NOT_YET: &str = "the token is not valid yet";

/// Forged tokens, and how an HTTP API words their refusal.
#[derive(Default)]
struct Forged {
    tokens: Vec<(String, String, &'static str)>,
}

impl Forged {
    fn add(&mut self, name: impl Into<String>, token: impl Into<String>, words: &'static str) {
        self.tokens.push((name.into(), token.into(), words));
    }

    /// Each is refused by both kinds of API, and the good token passes before and after.
    async fn are_refused(self, stage: &Stage, at_least: usize) {
        passes(stage, &stage.good()).await;
        assert!(self.tokens.len() >= at_least, "{}", self.tokens.len());
        for (name, token, words) in &self.tokens {
            let answer = get(&stage.http, "/plain", token).await;
            http_refusal(name, &answer, words);
            let answer = get(&stage.rest, "/plain", token).await;
            rest_refusal(name, &answer, words);
        }
        passes(stage, &stage.good()).await;
    }
}

async fn passes(stage: &Stage, token: &str) {
    for gateway in [&stage.http, &stage.rest] {
        let answer = get(gateway, "/plain", token).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
    }
}

fn http_refusal(name: &str, answer: &Answer, words: &str) {
    let challenge = format!(r#"Bearer scope="" error="invalid_token" error_description="{words}""#);
    assert_eq!(answer.status, 401, "HTTP, {name}: {}", answer.body);
    assert_eq!(answer.body, r#"{"message":"Unauthorized"}"#, "HTTP, {name}");
    assert_eq!(
        answer.header("www-authenticate"),
        Some(challenge.as_str()),
        "HTTP, {name}"
    );
}

fn rest_refusal(name: &str, answer: &Answer, words: &str) {
    let message = if words == EXPIRED {
        "The incoming token has expired"
    } else {
        "Unauthorized"
    };
    assert_eq!(answer.status, 401, "REST, {name}: {}", answer.body);
    assert_eq!(answer.json(), json!({ "message": message }), "REST, {name}");
    assert_eq!(
        answer.header("x-amzn-errortype"),
        Some("UnauthorizedException"),
        "REST, {name}"
    );
    assert_eq!(answer.header("www-authenticate"), None, "REST, {name}");
}

/// A token of any bytes, signed by RS256 whatever its header says.
fn signed(key: &Key, header: impl AsRef<[u8]>, payload: impl AsRef<[u8]>) -> String {
    let message = format!("{}.{}", b64(header), b64(payload));
    over(key, &message)
}

/// The signature of `key` behind a message.
fn over(key: &Key, message: &str) -> String {
    format!("{message}.{}", b64(key.sign(message, "RS256")))
}

#[tokio::test(flavor = "multi_thread")]
async fn algorithms() {
    let stage = Stage::set().await;
    let mut forged = Forged::default();
    let claims = stage.claims(json!({}));
    let good_signature = stage.good().rsplit('.').next().unwrap().to_owned();

    // Names, with nothing, rubbish, and the right key's signature behind them.
    for alg in [
        "none",
        "None",
        "NONE",
        "nOnE",
        "noNe",
        "none ",
        " none",
        "none\u{0}",
        "nοne",
        "",
        " ",
        "null",
        "undefined",
        "rs256",
        "Rs256",
        "rS256",
        "RS256 ",
        " RS256",
        "RS256\u{0}",
        "RS256\n",
        "RS\u{200b}256",
        "\u{feff}RS256",
        "ＲＳ２５６",
        "RS-256",
        "RS_256",
        "RS257",
        "RS2560",
        "RS25",
        "RS1",
        "RSA",
        "RSA256",
        "RSA-SHA256",
        "SHA256withRSA",
        "sha256",
        "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256",
        "1.2.840.113549.1.1.11",
        "RSA1_5",
        "RSA-OAEP",
        "RSA-OAEP-256",
        "dir",
        "A128KW",
        "A256GCMKW",
        "ECDH-ES",
        "PBES2-HS256+A128KW",
        "hs256",
        "HMAC",
        "HS",
        "HS1",
        "HS256 ",
        "es256",
        "ES256K",
        "ES",
        "EdDSA",
        "Ed25519",
        "Ed448",
        "ML-DSA-44",
        "PS",
        "ps256",
        "PS256 ",
        "RS256,none",
        "RS256;none",
        "RS256none",
        "none/RS256",
        "*",
        "../RS256",
        "RS256' OR '1'='1",
    ] {
        let words = match alg {
            "none" => "signing method none is invalid",
            _ => METHOD,
        };
        let head = header(json!({ "alg": alg })).to_string();
        forged.add(
            format!("alg {alg:?}, right signature"),
            signed(&stage.key, &head, claims.to_string()),
            words,
        );
        for rubbish in [String::new(), "AA".to_owned(), good_signature.clone()] {
            let token = format!("{}.{}.{rubbish}", b64(&head), b64(claims.to_string()));
            forged.add(format!("alg {alg:?}, {rubbish:.4}"), token, words);
        }
    }
    // Of another type, or not there.
    for alg in [
        "null",
        "0",
        "256",
        "-1",
        "1.5",
        "true",
        "false",
        "[]",
        "[\"RS256\"]",
        "{}",
        "{\"alg\":\"RS256\"}",
        "[null]",
        "\"\\u0000\"",
    ] {
        let head = format!(r#"{{"alg":{alg},"kid":"k1"}}"#);
        forged.add(&head, signed(&stage.key, &head, claims.to_string()), METHOD);
    }
    for head in [
        r#"{"kid":"k1"}"#,
        r#"{"Alg":"RS256","kid":"k1"}"#,
        r#"{"ALG":"RS256","kid":"k1"}"#,
        r#"{"alg ":"RS256","kid":"k1"}"#,
        r#"{"algorithm":"RS256","kid":"k1"}"#,
        r#"{"header":{"alg":"RS256"},"kid":"k1"}"#,
        "{}",
    ] {
        forged.add(head, signed(&stage.key, head, claims.to_string()), METHOD);
    }

    // Another algorithm of RSA than the key's: with its own signature, and with the pinned one's.
    for alg in ["RS384", "RS512", "PS256", "PS384", "PS512"] {
        let head = header(json!({ "alg": alg }));
        forged.add(alg, stage.key.token(&head, &claims), SIGNATURE);
        forged.add(
            format!("{alg}, signed by RS256"),
            signed(&stage.key, head.to_string(), claims.to_string()),
            SIGNATURE,
        );
        // And the other way round: the header tells RS256.
        let message = format!("{}.{}", b64(PLAIN), b64(claims.to_string()));
        let token = format!("{message}.{}", b64(stage.key.sign(&message, alg)));
        forged.add(format!("RS256, signed by {alg}"), token, SIGNATURE);
    }
    forged.are_refused(&stage, 280).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn public_keys_are_no_secrets() {
    let stage = Stage::set().await;
    let mut forged = Forged::default();
    let claims = stage.claims(json!({})).to_string();

    let jwk = stage.key.jwk("k1");
    let pem = stage.key.pem();
    let pkcs1 = STANDARD.encode(stage.key.der());
    let modulus = jwk["n"].as_str().unwrap();
    let secrets: Vec<(&str, Vec<u8>)> = vec![
        ("PEM", pem.clone().into_bytes()),
        ("PEM without its last line break", pem.trim_end().into()),
        ("PEM with CRLF", pem.replace('\n', "\r\n").into()),
        ("PEM in one line", pem.replace('\n', "").into()),
        ("PEM with two line breaks", format!("{pem}\n").into()),
        (
            "PEM of PKCS #1",
            format!("-----BEGIN RSA PUBLIC KEY-----\n{pkcs1}\n-----END RSA PUBLIC KEY-----\n")
                .into(),
        ),
        ("PKCS #1", stage.key.der()),
        ("SPKI", stage.key.spki()),
        ("SPKI in base64", STANDARD.encode(stage.key.spki()).into()),
        ("PKCS #1 in base64", pkcs1.into()),
        ("JWK", jwk.to_string().into()),
        ("JWK, spaced", serde_json::to_vec_pretty(&jwk).unwrap()),
        ("key set", json!({ "keys": [jwk] }).to_string().into()),
        ("modulus", URL_SAFE_NO_PAD.decode(modulus).unwrap()),
        ("modulus in base64url", modulus.into()),
        ("exponent", vec![1, 0, 1]),
        ("exponent in base64url", b"AQAB".to_vec()),
        ("kid", b"k1".to_vec()),
        ("issuer", stage.issuer.url.clone().into_bytes()),
        ("audience", b"client-1".to_vec()),
        ("nothing", Vec::new()),
        ("secret", b"secret".to_vec()),
        ("NUL", vec![0; 64]),
    ];
    for (name, secret) in &secrets {
        for (alg, algorithm) in [
            ("HS256", hmac::HMAC_SHA256),
            ("HS384", hmac::HMAC_SHA384),
            ("HS512", hmac::HMAC_SHA512),
            ("RS256", hmac::HMAC_SHA256),
        ] {
            let message = format!(
                "{}.{}",
                b64(header(json!({ "alg": alg })).to_string()),
                b64(&claims)
            );
            let tag = hmac::sign(&hmac::Key::new(algorithm, secret), message.as_bytes());
            let words = match alg {
                "HS256" => "signing method HS256 is invalid",
                "HS384" => "signing method HS384 is invalid",
                "HS512" => "signing method HS512 is invalid",
                _ => SIGNATURE,
            };
            forged.add(
                format!("{alg} by {name}"),
                format!("{message}.{}", b64(tag)),
                words,
            );
        }
    }
    forged.are_refused(&stage, 90).await;
}

/// A curve's key pair as JWK, with the two spellings of its group's order.
struct Curve {
    alg: &'static str,
    name: &'static str,
    pair: EcdsaKeyPair,
    order: &'static str,
}

impl Curve {
    fn all() -> [Self; 4] {
        let make = |alg, name, algorithm: &'static EcdsaSigningAlgorithm, order| Self {
            alg,
            name,
            pair: EcdsaKeyPair::generate(algorithm).unwrap(),
            order,
        };
        // SEC 2: n of each curve.
        [
            make(
                "ES256",
                "P-256",
                &ECDSA_P256_SHA256_FIXED_SIGNING,
                "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551",
            ),
            make(
                "ES384",
                "P-384",
                &ECDSA_P384_SHA384_FIXED_SIGNING,
                "ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973",
            ),
            make(
                "ES512",
                "P-521",
                &ECDSA_P521_SHA512_FIXED_SIGNING,
                "01fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffa51868783bf2f966b7fcc0148f709a5d03bb5c9b8899c47aebb6fb71e91386409",
            ),
            make(
                "ES256K",
                "secp256k1",
                &ECDSA_P256K1_SHA256_FIXED_SIGNING,
                "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141",
            ),
        ]
    }

    fn jwk(&self, kid: &str) -> Json {
        let point = &self.pair.public_key().as_ref()[1..];
        let (x, y) = point.split_at(point.len() / 2);
        json!({"kty": "EC", "crv": self.name, "alg": self.alg, "use": "sig", "kid": kid, "x": b64(x), "y": b64(y)})
    }

    /// The honest signature and what readers have taken for one.
    fn signatures(&self, message: &str) -> Vec<(String, Vec<u8>)> {
        let order = BigUint::parse_bytes(self.order.as_bytes(), 16).unwrap();
        let width = self.order.len() / 2;
        let bytes = |number: &BigUint| {
            let bytes = number.to_bytes_be();
            [vec![0; width - bytes.len()], bytes].concat()
        };
        let honest = self
            .pair
            .sign(&SystemRandom::new(), message.as_bytes())
            .unwrap();
        let (r, s) = honest.as_ref().split_at(width);
        let high = bytes(&(&order - BigUint::from_bytes_be(s)));
        let zero = vec![0; width];
        let n = bytes(&order);
        let one = bytes(&BigUint::from(1_u8));
        let pairs: [(&str, &[u8], &[u8]); 10] = [
            ("honest", r, s),
            ("s of the other half", r, &high),
            ("r and s zero", &zero, &zero),
            ("r zero", &zero, s),
            ("s zero", r, &zero),
            ("r and s the order", &n, &n),
            ("r the order", &n, s),
            ("s the order", r, &n),
            ("r and s one", &one, &one),
            ("swapped", s, r),
        ];
        pairs
            .iter()
            .map(|(name, r, s)| (format!("{}, {name}", self.alg), [*r, *s].concat()))
            .collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn curves() {
    let stage = Stage::set().await;
    let mut forged = Forged::default();
    let claims = stage.claims(json!({})).to_string();
    let curves = Curve::all();
    let edwards = Ed25519KeyPair::generate().unwrap();
    let mut keys = vec![stage.key.jwk("k1")];
    keys.extend(curves.iter().map(|curve| curve.jwk(curve.name)));
    keys.push(json!({"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": "Ed25519", "x": b64(edwards.public_key().as_ref())}));
    stage.issuer.publish(keys);

    let words = |alg: &str| match alg {
        "ES256" => "signing method ES256 is invalid",
        "ES384" => "signing method ES384 is invalid",
        "ES512" => "signing method ES512 is invalid",
        _ => METHOD,
    };
    for curve in &curves {
        // Under its own key, which is published, and under the RSA key.
        for kid in [curve.name, "k1"] {
            let head = header(json!({"alg": curve.alg, "kid": kid})).to_string();
            let message = format!("{}.{}", b64(head), b64(&claims));
            for (name, signature) in curve.signatures(&message) {
                let token = format!("{message}.{}", b64(signature));
                forged.add(format!("{name}, kid {kid}"), token, words(curve.alg));
            }
        }
        // Every curve's signature under every other's name.
        for other in ["ES256", "ES384", "ES512", "ES256K", "EdDSA"] {
            let head = header(json!({"alg": other, "kid": curve.name})).to_string();
            let message = format!("{}.{}", b64(head), b64(&claims));
            let signature = curve
                .pair
                .sign(&SystemRandom::new(), message.as_bytes())
                .unwrap();
            let token = format!("{message}.{}", b64(signature));
            forged.add(
                format!("{} told as {other}", curve.alg),
                token,
                words(other),
            );
        }
        // Told as the RSA key's.
        let message = format!("{}.{}", b64(PLAIN), b64(&claims));
        let signature = curve
            .pair
            .sign(&SystemRandom::new(), message.as_bytes())
            .unwrap();
        forged.add(
            "told as RS256",
            format!("{message}.{}", b64(signature)),
            SIGNATURE,
        );
        let head = header(json!({"kid": curve.name})).to_string();
        forged.add(
            "RS256 of a curve's key",
            signed(&stage.key, head, &claims),
            KID,
        );
    }
    // DER in place of r and s.
    let document = curves[0].pair.to_pkcs8v1().unwrap();
    let asn1 =
        EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, document.as_ref()).unwrap();
    let head = header(json!({"alg": "ES256", "kid": "P-256"})).to_string();
    let message = format!("{}.{}", b64(head), b64(&claims));
    let der = asn1.sign(&SystemRandom::new(), message.as_bytes()).unwrap();
    for (name, signature) in [
        ("DER", der.as_ref().to_vec()),
        ("zeros in DER", vec![0x30, 6, 2, 1, 0, 2, 1, 0]),
        ("nothing in DER", vec![0x30, 0]),
    ] {
        forged.add(
            name,
            format!("{message}.{}", b64(signature)),
            words("ES256"),
        );
    }
    for kid in ["Ed25519", "k1"] {
        for alg in ["EdDSA", "Ed25519"] {
            let message = format!(
                "{}.{}",
                b64(header(json!({"alg": alg, "kid": kid})).to_string()),
                b64(&claims)
            );
            for signature in [
                edwards.sign(message.as_bytes()).as_ref().to_vec(),
                vec![0; 64],
            ] {
                forged.add(alg, format!("{message}.{}", b64(signature)), METHOD);
            }
        }
    }
    forged.are_refused(&stage, 115).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn names_of_keys_and_keys_in_headers() {
    let stage = Stage::set().await;
    let mut forged = Forged::default();
    let claims = stage.claims(json!({}));

    let evil = Issuer::start(vec![stage.stranger.jwk("k1"), stage.stranger.jwk("evil")]).await;
    let long = "k".repeat(3000);
    for kid in [
        "evil",
        "K1",
        "k1 ",
        " k1",
        "k1\u{0}",
        "\u{0}k1",
        "k1\n",
        "k\u{200b}1",
        "ｋ1",
        "k1/",
        "/k1",
        "./k1",
        "k%31",
        "k1?x=1",
        "k1#",
        "*",
        "?",
        ".",
        "..",
        "../k1",
        "../../../../../dev/null",
        "/dev/null",
        "/etc/passwd",
        "C:\\windows\\win.ini",
        "file:///dev/null",
        "k1' OR '1'='1",
        "x' UNION SELECT 'key';--",
        "k1\"",
        "k1;ls",
        "$(id)",
        "`id`",
        "| id",
        "${jndi:ldap://127.0.0.1/}",
        "{{7*7}}",
        "http://127.0.0.1:1/k",
        "0",
        "1",
        "-1",
        "null",
        "undefined",
        "true",
        "__proto__",
        "constructor",
        "toString",
        long.as_str(),
    ] {
        // By whoever holds the key, and by whoever does not.
        for key in [&stage.key, &stage.stranger] {
            let token = key.token(&header(json!({ "kid": kid })), &claims);
            forged.add(format!("kid {kid:.40?}"), token, KID);
        }
    }
    for kid in [
        "null",
        "0",
        "1",
        "true",
        "[]",
        "[\"k1\"]",
        "{}",
        "{\"kid\":\"k1\"}",
        "\"\"",
    ] {
        let head = format!(r#"{{"alg":"RS256","kid":{kid}}}"#);
        forged.add(&head, signed(&stage.key, &head, claims.to_string()), KID);
    }
    for head in [
        r#"{"alg":"RS256"}"#,
        r#"{"alg":"RS256","Kid":"k1"}"#,
        r#"{"alg":"RS256","key_id":"k1"}"#,
    ] {
        forged.add(head, signed(&stage.key, head, claims.to_string()), KID);
    }

    let jwk = stage.stranger.jwk("k1");
    let set = json!({"keys": [jwk]});
    let at = format!("{}/jwks.json", evil.url);
    let certificate = STANDARD.encode(stage.stranger.spki());
    let thumb = b64(digest::digest(&digest::SHA256, jwk.to_string().as_bytes()));
    for change in [
        json!({}),
        json!({"jwk": jwk}),
        json!({"jwk": jwk.to_string()}),
        json!({"jwk": [jwk]}),
        json!({"jwk": {"kty": "oct", "k": b64("secret"), "kid": "k1"}}),
        json!({"jwk": null}),
        json!({"jwks": set}),
        json!({"keys": [jwk]}),
        json!({"key": stage.stranger.pem()}),
        json!({"public_key": stage.stranger.pem()}),
        json!({"pem": stage.stranger.pem()}),
        json!({"jku": at}),
        json!({"jku": format!("{}@{}", stage.issuer.url, evil.url.trim_start_matches("http://"))}),
        json!({"jku": [at]}),
        json!({"jku": "file:///dev/stdin"}),
        json!({"jwks_uri": at}),
        json!({"x5u": at}),
        json!({"x5c": [certificate]}),
        json!({"x5c": certificate}),
        json!({"x5c": []}),
        json!({"x5t": thumb}),
        json!({"x5t#S256": thumb}),
        json!({"iss": evil.url}),
        json!({"url": at}),
        json!({"jwk": jwk, "jku": at, "x5u": at, "x5c": [certificate]}),
    ] {
        let token = stage.stranger.token(&header(change.clone()), &claims);
        forged.add(format!("another's key, {change:.60}"), token, SIGNATURE);
        let mut other = change.clone();
        other["kid"] = json!("evil");
        let token = stage.stranger.token(&header(other), &claims);
        forged.add(format!("another's key and name, {change:.60}"), token, KID);
        let mut other = change;
        other["kid"] = Json::Null;
        let token = stage.stranger.token(&header(other.clone()), &claims);
        forged.add(
            format!("another's key without name, {other:.60}"),
            token,
            KID,
        );
    }
    forged.are_refused(&stage, 170).await;
    assert_eq!(evil.fetches(), 0, "a header's address was asked");
    assert!(stage.issuer.fetches() <= 8, "{}", stage.issuer.fetches());
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_and_claims_that_are_read_in_two_ways() {
    let stage = Stage::set().await;
    let mut forged = Forged::default();
    let claims = stage.claims(json!({})).to_string();
    let inside = claims[1..claims.len() - 1].to_owned();
    let key = &stage.key;

    // What a reader must understand or refuse.
    for change in [
        r#""crit":["exp"]"#,
        r#""crit":["b64"]"#,
        r#""crit":[]"#,
        r#""crit":null"#,
        r#""crit":"exp""#,
        r#""crit":["http://example.com/unknown"],"http://example.com/unknown":1"#,
        r#""crit":["alg"]"#,
        r#""crit":["kid","kid"]"#,
        r#""crit":{}"#,
        r#""crit":0"#,
        r#""b64":false"#,
        r#""b64":true"#,
        r#""b64":null"#,
        r#""b64":"false""#,
        r#""b64":false,"crit":["b64"]"#,
        r#""zip":"DEF""#,
        r#""zip":null"#,
        r#""zip":"none""#,
        r#""enc":"A128GCM""#,
        r#""enc":"none""#,
        r#""enc":null"#,
        r#""enc":"A256CBC-HS512","zip":"DEF""#,
        r#""\u0063rit":["exp"]"#,
        r#""b6\u0034":false"#,
    ] {
        let head = format!(r#"{{"alg":"RS256","kid":"k1",{change}}}"#);
        forged.add(&head, signed(key, &head, &claims), MALFORMED);
    }
    // An unencoded payload, as RFC 7797 has it.
    let head = b64(r#"{"alg":"RS256","kid":"k1","b64":false,"crit":["b64"]}"#);
    let bare = claims.replace('.', "");
    forged.add(
        "an unencoded payload",
        over(key, &format!("{head}.{bare}")),
        MALFORMED,
    );
    forged.add(
        "an unencoded payload",
        over(key, &format!("{}.{bare}", b64(PLAIN))),
        MALFORMED,
    );

    // Names that stand twice, spelt alike or not.
    for head in [
        r#"{"alg":"none","alg":"RS256","kid":"k1"}"#,
        r#"{"alg":"RS256","alg":"none","kid":"k1"}"#,
        r#"{"alg":"RS256","alg":"RS256","kid":"k1"}"#,
        r#"{"\u0061lg":"none","alg":"RS256","kid":"k1"}"#,
        r#"{"alg":"RS256","\u0061lg":"none","kid":"k1"}"#,
        r#"{"alg":"RS256","a\u006c\u0067":"HS256","kid":"k1"}"#,
        r#"{"alg":"RS256","kid":"k1","kid":"k2"}"#,
        r#"{"alg":"RS256","kid":"k2","kid":"k1"}"#,
        r#"{"alg":"RS256","kid":"k1","\u006bid":"k1"}"#,
        r#"{"alg":"RS256","kid":"k1","typ":"JWT","typ":"JWT"}"#,
        r#"{"alg":"RS256","kid":"k1","x":{"a":1,"a":2}}"#,
        r#"{"alg":"RS256","kid":"k1","x":[{"a":1,"\u0061":2}]}"#,
        r#"{"alg":"RS256","kid":"k1","":1,"":2}"#,
    ] {
        forged.add(head, signed(key, head, &claims), MALFORMED);
    }
    let far = now() + 3600;
    for twice in [
        format!("\"exp\":{far}"),
        "\"exp\":1".to_owned(),
        format!("\"\\u0065xp\":{far}"),
        "\"ex\\u0070\":1".to_owned(),
        "\"sub\":\"mallory\"".to_owned(),
        "\"s\\u0075b\":\"mallory\"".to_owned(),
        "\"aud\":\"client-1\"".to_owned(),
        "\"aud\":[\"client-1\"]".to_owned(),
        format!("\"iss\":\"{}\"", stage.issuer.url),
        "\"iss\":\"x\"".to_owned(),
        "\"token_use\":\"id\"".to_owned(),
        "\"token_use\":\"access\"".to_owned(),
        "\"a\":{\"b\":1,\"b\":2}".to_owned(),
        "\"a\":[[{\"b\":1,\"\\u0062\":2}]]".to_owned(),
        "\"a\":1,\"\\u0061\":1".to_owned(),
        "\"cognito:groups\":[],\"cognito:groups\":[\"admin\"]".to_owned(),
    ] {
        for payload in [
            format!("{{{inside},{twice}}}"),
            format!("{{{twice},{inside}}}"),
        ] {
            forged.add(
                format!("twice {twice}"),
                signed(key, PLAIN, payload),
                MALFORMED,
            );
        }
    }

    // What is no JSON object, or one for some readers only.
    let utf16 = |text: &str| {
        text.encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect::<Vec<u8>>()
    };
    let with = |more: &[u8]| [inside.as_bytes(), b",\"a\":", more, b"}"].concat();
    let object = |content: Vec<u8>| [b"{".to_vec(), content].concat();
    let bodies: Vec<(&str, Vec<u8>)> = vec![
        ("nothing", Vec::new()),
        ("null", b"null".to_vec()),
        ("true", b"true".to_vec()),
        ("a number", b"1".to_vec()),
        ("a text", b"\"a\"".to_vec()),
        ("a text of JSON", json!(claims).to_string().into()),
        ("a list", b"[]".to_vec()),
        ("a list of it", format!("[{claims}]").into()),
        ("a byte order mark", format!("\u{feff}{claims}").into()),
        ("something behind", format!("{claims}x").into()),
        ("a NUL behind", format!("{claims}\u{0}").into()),
        ("another object behind", format!("{claims}{claims}").into()),
        (
            "an object in a line behind",
            format!("{claims}\n{{}}").into(),
        ),
        ("a comma too many", format!("{{{inside},}}").into()),
        ("a comma in front", format!("{{,{inside}}}").into()),
        ("a comment", format!("/**/{claims}").into()),
        ("a comment inside", format!("{{//x\n{inside}}}").into()),
        ("a hash", format!("#\n{claims}").into()),
        ("single quotes", claims.replace('"', "'").into()),
        (
            "names without quotes",
            claims.replace("\"exp\"", "exp").into(),
        ),
        ("not closed", claims[..claims.len() - 1].into()),
        ("a guard", format!(")]}}',\n{claims}").into()),
        ("a call", format!("f({claims})").into()),
        ("NaN", object(with(b"NaN"))),
        ("Infinity", object(with(b"Infinity"))),
        ("a hexadecimal number", object(with(b"0x10"))),
        ("a number with a zero in front", object(with(b"01"))),
        ("a number with a plus", object(with(b"+1"))),
        ("a number without digits", object(with(b"1."))),
        ("a number beyond all", object(with(b"1e400"))),
        ("half a character", object(with(b"\"\\ud800\""))),
        (
            "half a character, the other",
            object(with(b"\"\\udc00\\ud800\"")),
        ),
        ("a bad escape", object(with(b"\"\\x41\""))),
        ("a raw line break", object(with(b"\"a\nb\""))),
        ("a raw NUL", object(with(b"\"a\0b\""))),
        ("bytes that are no UTF-8", object(with(b"\"\xff\""))),
        ("an overlong dot", object(with(b"\"\xc0\xae\""))),
        ("a surrogate in UTF-8", object(with(b"\"\xed\xa0\x80\""))),
        ("half of UTF-8", object(with(b"\"\xe2\x82\""))),
        ("UTF-16", utf16(&claims)),
        (
            "deep lists",
            object(with([vec![b'['; 300], vec![b']'; 300]].concat().as_slice())),
        ),
        (
            "deep objects",
            object(with(
                format!("{}1{}", "{\"a\":".repeat(200), "}".repeat(200)).as_bytes(),
            )),
        ),
        ("a token", stage.good().into()),
        ("a token as text", json!(stage.good()).to_string().into()),
        (
            "CBOR",
            vec![0xa1, 0x63, b'e', b'x', b'p', 0x1a, 0xff, 0xff, 0xff, 0xff],
        ),
        (
            "YAML",
            claims.replace(',', "\n").replace(['{', '}'], "").into(),
        ),
        ("XML", b"<claims/>".to_vec()),
    ];
    for (name, body) in &bodies {
        forged.add(
            format!("claims: {name}"),
            signed(key, PLAIN, body),
            MALFORMED,
        );
    }
    // The same of headers, where the claims are fine.
    for (name, body) in bodies {
        let text = String::from_utf8_lossy(&body).into_owned();
        let head = match text.strip_prefix(&format!("{{{inside}")) {
            Some(rest) if !rest.is_empty() && rest != "}" => [
                br#"{"alg":"RS256","kid":"k1""#.as_slice(),
                &body[inside.len() + 1..],
            ]
            .concat(),
            _ => match name {
                "a byte order mark" => format!("\u{feff}{PLAIN}").into(),
                "something behind" => format!("{PLAIN}x").into(),
                "a NUL behind" => format!("{PLAIN}\u{0}").into(),
                "a list of it" => format!("[{PLAIN}]").into(),
                "UTF-16" => utf16(PLAIN),
                "single quotes" => PLAIN.replace('"', "'").into(),
                "a text of JSON" => json!(PLAIN).to_string().into(),
                // Claims are no header: it names no algorithm.
                _ if body.first() == Some(&b'{')
                    && serde_json::from_slice::<Json>(&body).is_ok() =>
                {
                    continue;
                }
                _ => body,
            },
        };
        forged.add(
            format!("header: {name}"),
            signed(key, head, &claims),
            MALFORMED,
        );
    }
    forged.are_refused(&stage, 160).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn forms_and_encodings() {
    let stage = Stage::set().await;
    let mut forged = Forged::default();
    let key = &stage.key;
    // Bytes whose base64 has the two characters in which the alphabets differ, and whose
    // lengths leave bits over at the end of each part.
    let head = br#"{"alg":"RS256","kid":"k1","a":"???>>>~~~"}"#.to_vec();
    let body = stage
        .claims(json!({"sub": "???>>>~~~"}))
        .to_string()
        .into_bytes();
    let to = |mut bytes: Vec<u8>, rest: usize| {
        while bytes.len() % 3 != rest {
            bytes.insert(1, b' ');
        }
        bytes
    };
    for rest in [1, 2] {
        let (head, body) = (to(head.clone(), rest), to(body.clone(), rest));
        let (h, p) = (b64(&head), b64(&body));
        assert!(h.contains(['-', '_']) && p.contains(['-', '_']));
        let good = over(key, &format!("{h}.{p}"));
        passes(&stage, &good).await;
        let s = good.rsplit('.').next().unwrap().to_owned();
        let signature = URL_SAFE_NO_PAD.decode(&s).unwrap();

        // Signed over what is sent: only the strictness of the reading refuses it.
        for (name, other) in [
            ("padded header", format!("{}.{p}", URL_SAFE.encode(&head))),
            ("padded claims", format!("{h}.{}", URL_SAFE.encode(&body))),
            (
                "header of the other alphabet",
                format!("{}.{p}", STANDARD_NO_PAD.encode(&head)),
            ),
            (
                "claims of the other alphabet",
                format!("{h}.{}", STANDARD_NO_PAD.encode(&body)),
            ),
            (
                "both alphabets",
                format!("{}.{p}", h.replacen(['-', '_'], "+", 1)),
            ),
            ("stray bits in the header", format!("{}.{p}", stray(&h))),
            ("stray bits in the claims", format!("{h}.{}", stray(&p))),
            ("one padding too many", format!("{h}.{p}=")),
            ("padding alone", format!("{h}.{p}====")),
            ("padding in front", format!("{h}.={p}")),
            (
                "a space in the header",
                format!("{} {}.{p}", &h[..4], &h[4..]),
            ),
            (
                "a tab in the claims",
                format!("{h}.{}\t{}", &p[..4], &p[4..]),
            ),
            (
                "percent-encoded",
                format!("{h}.{}", p.replace('-', "%2D").replace('_', "%5F")),
            ),
            ("hexadecimal", format!("{h}.{}", hex(&body))),
            ("one character too many", format!("{h}.{p}A")),
            (
                "not encoded",
                format!("{}.{p}", String::from_utf8_lossy(&head)),
            ),
            ("base64 twice", format!("{h}.{}", b64(&p))),
        ] {
            forged.add(name, over(key, &other), MALFORMED);
        }
        for (name, other) in [
            ("padded", URL_SAFE.encode(&signature)),
            ("of the other alphabet", STANDARD_NO_PAD.encode(&signature)),
            ("of the other alphabet, padded", STANDARD.encode(&signature)),
            ("stray bits", stray(&s)),
            ("spaced", format!("{} {}", &s[..8], &s[8..])),
            ("one character too many", format!("{s}AAA")),
            ("percent-encoded padding", format!("{s}%3D%3D")),
            ("quoted", format!("\"{s}\"")),
            (
                "hexadecimal, short of base64",
                format!("{}=", hex(&signature)),
            ),
            ("empty", String::new()),
            ("padding alone", "==".to_owned()),
            ("a space inside", "A A".to_owned()),
            ("not ASCII", format!("{s}é")),
            ("a comma behind", format!("{s},")),
            ("two, with a comma", format!("{s},{s}")),
            ("a semicolon behind", format!("{s};")),
        ] {
            if other == s {
                continue;
            }
            forged.add(
                format!("signature {name}"),
                format!("{h}.{p}.{other}"),
                MALFORMED,
            );
        }

        for (name, token) in [
            ("one part", h.clone()),
            ("two parts", format!("{h}.{p}")),
            ("four parts", format!("{good}.{s}")),
            (
                "five parts",
                format!(
                    "{}.{}.{}.{}.{}",
                    b64(r#"{"alg":"dir","enc":"A128GCM","kid":"k1"}"#),
                    "",
                    b64("iv"),
                    b64("text"),
                    b64("tag")
                ),
            ),
            ("five parts of it", format!("{h}.{p}.{s}.{p}.{s}")),
            ("a dot behind", format!("{good}.")),
            ("a dot in front", format!(".{good}")),
            ("dots between", good.replace('.', "..")),
            ("only dots", "....".to_owned()),
            ("two tokens", format!("{good}.{good}")),
            ("dots of another script", good.replace('.', "．")),
            ("encoded dots", good.replace('.', "%2E")),
            ("commas", good.replace('.', ",")),
            ("slashes", good.replace('.', "/")),
            (
                "JSON, flattened",
                json!({"payload": p, "protected": h, "signature": s})
                    .to_string()
                    .replace('.', ""),
            ),
            (
                "JSON, general",
                json!({"payload": p, "signatures": [{"protected": h, "signature": s}]}).to_string(),
            ),
            ("a word", "token".to_owned()),
            ("null", "null".to_owned()),
        ] {
            forged.add(name, token, SEGMENTS);
        }
        for (name, token) in [
            ("two dots", "..".to_owned()),
            ("no header", format!(".{p}.{s}")),
            ("no claims", format!("{h}..{s}")),
            ("no claims, signed", over(key, &format!("{h}."))),
            ("no signature", format!("{h}.{p}.")),
            ("everything in quotes", format!("\"{good}\"")),
            ("in brackets", format!("<{good}>")),
            ("another scheme", format!("Basic {good}")),
            ("a scheme in small letters", format!("bearer {good}")),
            ("a scheme in capitals", format!("BEARER {good}")),
            ("two schemes", format!("Bearer Bearer {good}")),
            ("two blanks", format!("Bearer  {good}")),
            ("a tab for a blank", format!("Bearer\t{good}")),
            ("a blank that does not break", format!("Bearer\u{a0}{good}")),
            ("a colon", format!("Bearer: {good}")),
            ("an equals sign", format!("Bearer={good}")),
            ("a comma in front", format!("Bearer ,{good}")),
            ("a parameter", format!("Bearer token={good}")),
            ("DPoP", format!("DPoP {good}")),
            ("something behind", format!("{good} x")),
            (
                "something behind the scheme",
                format!("Bearer {good} realm=x"),
            ),
            ("capitals", good.to_uppercase()),
        ] {
            forged.add(name, token, MALFORMED);
        }
        forged.add(
            "reversed",
            good.chars().rev().collect::<String>(),
            MALFORMED,
        );
        forged.add("a list of tokens", format!("{good},{good}"), SEGMENTS);
        forged.add(
            "a list of credentials",
            format!("Bearer {good}, Bearer {good}"),
            SEGMENTS,
        );
    }
    forged.are_refused(&stage, 140).await;
}

/// The same bytes in base64url for a reader that lets bits at the end be.
fn stray(text: &str) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let last = *text.as_bytes().last().unwrap();
    let value = ALPHABET.iter().position(|one| *one == last).unwrap();
    assert_ne!(text.len() % 4, 0, "no bits are left over");
    format!(
        "{}{}",
        &text[..text.len() - 1],
        char::from(ALPHABET[value | 1])
    )
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn claims_that_do_not_hold() {
    let stage = Stage::set().await;
    let mut forged = Forged::default();
    let url = stage.issuer.url.clone();
    let port = url.rsplit(':').next().unwrap();

    // Times as JSON writes them, since some are no value of a reader's.
    let (past, far) = (now() - 1, now() + 3600);
    let texts = |time: u64| {
        vec![
            format!("\"{time}\""),
            format!("\"{time}.0\""),
            format!("[{time}]"),
            format!("{{\"$numberLong\":{time}}}"),
            "null".to_owned(),
            "true".to_owned(),
            "\"\"".to_owned(),
            "\"never\"".to_owned(),
            "[]".to_owned(),
            "{}".to_owned(),
            "-1".to_owned(),
            format!("-{time}"),
            "1e300".to_owned(),
            "18446744073709551615".to_owned(),
            "18446744073709551616".to_owned(),
            "9223372036854775808".to_owned(),
            "99999999999999999999999999".to_owned(),
            format!("{time}000"),
            "253402300800".to_owned(),
            "-0.5".to_owned(),
            "-1e-300".to_owned(),
            "\"2099-01-01T00:00:00Z\"".to_owned(),
        ]
    };
    for name in ["exp", "nbf", "iat"] {
        for text in texts(far) {
            let claims = stage.claims(json!({ name: null })).to_string();
            let claims = format!("{},\"{name}\":{text}}}", &claims[..claims.len() - 1]);
            forged.add(
                format!("{name} {text}"),
                signed(&stage.key, PLAIN, claims),
                CLAIMS,
            );
        }
        for text in [
            "1e400",
            "-1e400",
            "NaN",
            "Infinity",
            "1e",
            "0x7fffffff",
            "1_000",
        ] {
            let claims = stage.claims(json!({ name: null })).to_string();
            let claims = format!("{},\"{name}\":{text}}}", &claims[..claims.len() - 1]);
            forged.add(
                format!("{name} {text}"),
                signed(&stage.key, PLAIN, claims),
                MALFORMED,
            );
        }
    }
    let mut say = |change: Json, words| {
        let token = stage
            .key
            .token(&header(json!({})), &stage.claims(change.clone()));
        forged.add(change.to_string(), token, words);
    };
    for exp in [
        json!(past),
        json!(0),
        json!(1),
        json!(0.0),
        json!(past as f64 + 0.5),
        json!(1e-300),
    ] {
        say(json!({ "exp": exp }), EXPIRED);
    }
    say(json!({"exp": null, "Exp": far}), CLAIMS);
    say(json!({"exp": null, "expires": far}), CLAIMS);
    for name in ["nbf", "iat"] {
        for time in [json!(far), json!(far as f64 + 0.25), json!(1e11)] {
            say(json!({ name: time }), NOT_YET);
        }
    }

    for iss in [
        format!("{url}/"),
        format!("{url}//"),
        format!("{url}/."),
        format!("{url}#"),
        format!("{url}?"),
        format!("{url}/x"),
        format!("{url} "),
        format!(" {url}"),
        format!("{url}\u{0}"),
        format!("{url}\n"),
        url.to_uppercase(),
        url.replace("http", "HTTP"),
        url.replace("http", "https"),
        url.replace("http://", "http:/"),
        url.replace("http://", "//"),
        url.replace("http://", ""),
        url.replace("127.0.0.1", "localhost"),
        url.replace("127.0.0.1", "127.1"),
        url.replace("127.0.0.1", "2130706433"),
        url.replace("127.0.0.1", "0x7f000001"),
        url.replace("127.0.0.1", "[::ffff:127.0.0.1]"),
        url.replace("127.0.0.1", "127.0.0.1."),
        url.replace("127", "１２７"),
        url.replace("127", "%3127"),
        url.replace('.', "。"),
        url.replace("http", "һttp"),
        url.replace("://", "://user@"),
        url.replace("://", "://user:word@"),
        format!("http://evil.example@127.0.0.1:{port}"),
        format!("http://127.0.0.1:{port}@evil.example"),
        format!("{url}.evil.example"),
        format!("http://evil.example/{url}"),
        format!("http://evil.example?{url}"),
        format!("{url}\u{200b}"),
        format!("{url},http://evil.example"),
        "http://evil.example".to_owned(),
        String::new(),
        "*".to_owned(),
        ".*".to_owned(),
        url[..url.len() - 1].to_owned(),
        format!("{url}0"),
    ] {
        say(json!({ "iss": iss }), ISSUER);
    }
    for iss in [
        json!(null),
        json!([url]),
        json!([url, "x"]),
        json!({"iss": url}),
        json!(1),
        json!(true),
        json!([]),
    ] {
        let mut claims = stage.claims(json!({}));
        claims["iss"] = iss.clone();
        let token = stage.key.token(&header(json!({})), &claims);
        forged.add(format!("iss {iss}"), token, CLAIMS);
    }
    let mut none = stage.claims(json!({}));
    none.as_object_mut().unwrap().remove("iss");
    forged.add("no iss", stage.key.token(&header(json!({})), &none), CLAIMS);
    forged.are_refused(&stage, 130).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whom_a_token_is_for() {
    let stage = Stage::set().await;
    let claims_of = |change: &Json| {
        let mut claims = stage.claims(json!({}));
        for (name, value) in change.as_object().unwrap() {
            match value.as_str() {
                Some("(none)") => {
                    claims.as_object_mut().unwrap().remove(name);
                }
                _ => claims[name] = value.clone(),
            }
        }
        claims
    };
    // HTTP: `aud`, and `client_id` only where there is none.
    for (change, words) in [
        (json!({"aud": ""}), AUDIENCE),
        (json!({"aud": " client-1"}), AUDIENCE),
        (json!({"aud": "client-1 "}), AUDIENCE),
        (json!({"aud": "CLIENT-1"}), AUDIENCE),
        (json!({"aud": "client-10"}), AUDIENCE),
        (json!({"aud": "client-"}), AUDIENCE),
        (json!({"aud": "xclient-1"}), AUDIENCE),
        (json!({"aud": "client-1\u{0}"}), AUDIENCE),
        (json!({"aud": "client\u{2010}1"}), AUDIENCE),
        (json!({"aud": "client-1,client-2"}), AUDIENCE),
        (json!({"aud": "client-1 client-2"}), AUDIENCE),
        (json!({"aud": "*"}), AUDIENCE),
        (json!({"aud": []}), AUDIENCE),
        (json!({"aud": [""]}), AUDIENCE),
        (json!({"aud": ["client-10", "client-20"]}), AUDIENCE),
        (json!({"aud": null}), CLAIMS),
        (json!({"aud": 1}), CLAIMS),
        (json!({"aud": true}), CLAIMS),
        (json!({"aud": {}}), CLAIMS),
        (json!({"aud": {"client-1": true}}), CLAIMS),
        (json!({"aud": [["client-1"]]}), CLAIMS),
        (json!({"aud": ["client-1", null]}), CLAIMS),
        (json!({"aud": ["client-1", 1]}), CLAIMS),
        (json!({"aud": [{"aud": "client-1"}]}), CLAIMS),
        (json!({"aud": "(none)"}), AUDIENCE),
        (json!({"aud": "(none)", "client_id": "client-10"}), AUDIENCE),
        (json!({"aud": "(none)", "client_id": ""}), AUDIENCE),
        (json!({"aud": "(none)", "client_id": null}), AUDIENCE),
        (
            json!({"aud": "(none)", "client_id": ["client-1"]}),
            AUDIENCE,
        ),
        (
            json!({"aud": "(none)", "client_id": {"client-1": 1}}),
            AUDIENCE,
        ),
        (json!({"aud": "(none)", "azp": "client-1"}), AUDIENCE),
        (json!({"aud": "(none)", "cid": "client-1"}), AUDIENCE),
        (json!({"aud": "(none)", "clientId": "client-1"}), AUDIENCE),
        (json!({"aud": "(none)", "Aud": "client-1"}), AUDIENCE),
        (json!({"aud": "x", "client_id": "client-1"}), AUDIENCE),
        (json!({"aud": "", "client_id": "client-1"}), AUDIENCE),
        (json!({"aud": [], "client_id": "client-1"}), AUDIENCE),
        (json!({"aud": ["x"], "client_id": "client-1"}), AUDIENCE),
        (json!({"aud": null, "client_id": "client-1"}), CLAIMS),
        (json!({"aud": {}, "client_id": "client-1"}), CLAIMS),
    ] {
        let token = stage.key.token(&header(json!({})), &claims_of(&change));
        let answer = get(&stage.http, "/plain", &token).await;
        http_refusal(&change.to_string(), &answer, words);
    }
    // REST: the use, and there the audience is not asked for.
    for token_use in [
        json!("access"),
        json!("ID"),
        json!("Id"),
        json!("id "),
        json!(" id"),
        json!("id\u{0}"),
        json!(""),
        json!("id access"),
        json!("refresh"),
        json!(["id"]),
        json!({"id": 1}),
        json!(1),
        json!(true),
        json!(null),
        json!("(none)"),
    ] {
        let change = json!({ "token_use": token_use });
        let token = stage.key.token(&header(json!({})), &claims_of(&change));
        let answer = get(&stage.rest, "/plain", &token).await;
        rest_refusal(&change.to_string(), &answer, CLAIMS);
    }
    passes(&stage, &stage.good()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn scopes_that_are_none() {
    let stage = Stage::set().await;
    let access = |change: Json| {
        let mut claims = stage.claims(json!({"token_use": "access", "scope": "a/read"}));
        for (name, value) in change.as_object().unwrap() {
            claims[name] = value.clone();
        }
        stage.key.token(&header(json!({})), &claims)
    };
    let good = access(json!({}));
    for gateway in [&stage.http, &stage.rest] {
        assert_eq!(get(gateway, "/scoped", &good).await.status, 200);
    }
    for scope in [
        json!(""),
        json!(" "),
        json!("a/rea"),
        json!("a/reads"),
        json!("xa/read"),
        json!("A/READ"),
        json!("a/Read"),
        json!("a/read\tb"),
        json!("a/read\u{0}"),
        json!("a/read\n"),
        json!("\u{a0}a/read"),
        json!("a/read,b"),
        json!("a/read;b"),
        json!("a/read+b"),
        json!("a%2Fread"),
        json!("a/*"),
        json!("*"),
        json!("a"),
        json!("read"),
        json!("a/read/"),
        json!("/a/read"),
        json!("ａ/read"),
        json!("\"a/read\""),
        json!(null),
        json!(1),
        json!(true),
        json!({}),
        json!({"a/read": true}),
        json!([["a/read"]]),
        json!([{"scope": "a/read"}]),
        json!(["a/read b"]),
        json!([" a/read"]),
        json!([null]),
        json!([]),
    ] {
        let token = access(json!({ "scope": scope }));
        let answer = get(&stage.http, "/scoped", &token).await;
        assert_eq!(answer.status, 403, "{scope}: {}", answer.body);
        assert_eq!(answer.body, r#"{"message":"Forbidden"}"#, "{scope}");
        assert_eq!(
            answer.header("www-authenticate"),
            Some(
                r#"Bearer scope="a/read a/write" error="insufficient_scope" error_description="the token does not have a sufficient scope""#
            ),
            "{scope}"
        );
        let answer = get(&stage.rest, "/scoped", &token).await;
        rest_refusal(&scope.to_string(), &answer, CLAIMS);
    }
    // Scopes do not make up for anything else.
    for (change, words) in [
        (json!({"exp": 1}), EXPIRED),
        (json!({"iss": "x"}), ISSUER),
        (json!({"nbf": now() + 600}), NOT_YET),
    ] {
        let token = access(change.clone());
        let answer = get(&stage.http, "/scoped", &token).await;
        assert_eq!(answer.status, 401, "{change}");
        let challenge = format!(
            r#"Bearer scope="a/read a/write" error="invalid_token" error_description="{words}""#
        );
        assert_eq!(answer.header("www-authenticate"), Some(challenge.as_str()));
        rest_refusal(
            &change.to_string(),
            &get(&stage.rest, "/scoped", &token).await,
            words,
        );
    }
    // `scp` where there is no `scope`, at HTTP APIs alone.
    let mut claims = stage.claims(json!({"token_use": "access", "scp": "a/read"}));
    let token = stage.key.token(&header(json!({})), &claims);
    assert_eq!(get(&stage.http, "/scoped", &token).await.status, 200);
    assert_eq!(get(&stage.rest, "/scoped", &token).await.status, 401);
    claims["scope"] = json!("b");
    let token = stage.key.token(&header(json!({})), &claims);
    assert_eq!(get(&stage.http, "/scoped", &token).await.status, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn signatures() {
    let stage = Stage::set().await;
    let mut forged = Forged::default();
    let key = &stage.key;
    let good = stage.good();
    let (message, signature) = good.rsplit_once('.').unwrap();
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    let other = key.token(&header(json!({})), &stage.claims(json!({"sub": "bob"})));
    let other = URL_SAFE_NO_PAD
        .decode(other.rsplit('.').next().unwrap())
        .unwrap();
    let mut say = |name: &str, signature: &[u8]| {
        forged.add(name, format!("{message}.{}", b64(signature)), SIGNATURE);
    };

    for length in [1, 2, 3, 32, 64, 128, 254, 255] {
        say("cut at the end", &signature[..length]);
        say("cut in front", &signature[signature.len() - length..]);
        say("zeros", &vec![0; length]);
    }
    for length in [1, 2, 3, 256] {
        say(
            "zeros behind",
            &[signature.as_slice(), &vec![0; length]].concat(),
        );
        say(
            "zeros in front",
            &[vec![0; length].as_slice(), &signature].concat(),
        );
        say(
            "itself behind",
            &[signature.as_slice(), &signature[..length]].concat(),
        );
    }
    for byte in [0, 1, 127, 128, 254, 255] {
        for bit in [0x01, 0x80] {
            let mut flipped = signature.clone();
            flipped[byte] ^= bit;
            say("a flipped bit", &flipped);
        }
    }
    say("zeros", &[0; 256]);
    say("ones", &[0xff; 256]);
    say("one", &[vec![0; 255], vec![1]].concat());
    say(
        "reversed",
        &signature.iter().rev().copied().collect::<Vec<u8>>(),
    );
    say("another token's", &other);
    say("another key's", &stage.stranger.sign(message, "RS256"));
    say(
        "of the header alone",
        &key.sign(message.split('.').next().unwrap(), "RS256"),
    );
    say(
        "of the claims alone",
        &key.sign(message.split('.').nth(1).unwrap(), "RS256"),
    );
    say(
        "of the bytes that were encoded",
        &key.sign(&format!("{PLAIN}{}", stage.claims(json!({}))), "RS256"),
    );
    say(
        "of the message with a dot behind",
        &key.sign(&format!("{message}."), "RS256"),
    );
    say(
        "of the message in capitals",
        &key.sign(&message.to_uppercase(), "RS256"),
    );
    say("of nothing", &key.sign("", "RS256"));
    say(
        "the hash alone",
        digest::digest(&digest::SHA256, message.as_bytes()).as_ref(),
    );
    say("the message itself", message.as_bytes());

    // What only whoever holds the key can make, so that the padding is judged and nothing else.
    let [modulus, _, private] = key.numbers();
    let raw = |encoded: &[u8]| {
        let power = BigUint::from_bytes_be(encoded).modpow(&private, &modulus);
        let bytes = power.to_bytes_be();
        [vec![0; 256 - bytes.len()], bytes].concat()
    };
    let hash = digest::digest(&digest::SHA256, message.as_bytes());
    // RFC 8017, 9.2, note 1: DigestInfo for SHA-256.
    let info = [
        &[
            0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02,
            0x01, 0x05, 0x00, 0x04, 0x20,
        ],
        hash.as_ref(),
    ]
    .concat();
    let padded = |kind: u8, filler: u8, content: &[u8]| {
        [
            &[0, kind],
            vec![filler; 253 - content.len()].as_slice(),
            &[0],
            content,
        ]
        .concat()
    };
    assert_eq!(
        raw(&padded(1, 0xff, &info)),
        signature,
        "the encoding is RFC 8017's"
    );
    let changed = |at: usize, to: u8| {
        let mut info = info.clone();
        info[at] = to;
        info
    };
    let without_null = [
        &[
            0x30, 0x2f, 0x30, 0x0b, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02,
            0x01, 0x04, 0x20,
        ],
        hash.as_ref(),
    ]
    .concat();
    let behind = [info.as_slice(), &[0; 32]].concat();
    let short = [
        &[0, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0],
        info.as_slice(),
        vec![0x5a; 256 - 11 - info.len()].as_slice(),
    ]
    .concat();
    let long_form = [&[0x30, 0x81, 0x31], &info[2..]].concat();
    for (name, encoded) in [
        (
            "SHA-384's name over the hash",
            padded(1, 0xff, &changed(14, 0x02)),
        ),
        (
            "SHA-512's name over the hash",
            padded(1, 0xff, &changed(14, 0x03)),
        ),
        ("no NULL in the parameters", padded(1, 0xff, &without_null)),
        ("lengths in the long form", padded(1, 0xff, &long_form)),
        ("no name of the hash", padded(1, 0xff, hash.as_ref())),
        ("zeros behind the hash", padded(1, 0xff, &behind)),
        ("little padding and rubbish behind", short),
        ("padding of zeros", padded(1, 0, &info)),
        ("padding of block type 0", padded(0, 0, &info)),
        ("padding for encryption", padded(2, 0xff, &info)),
        ("one byte of the padding is another", {
            let mut encoded = padded(1, 0xff, &info);
            encoded[20] = 0xfe;
            encoded
        }),
        ("nothing between padding and hash", {
            let mut encoded = padded(1, 0xff, &info);
            encoded[256 - info.len() - 1] = 0xff;
            encoded
        }),
        ("the hash of another message", {
            let other = digest::digest(&digest::SHA256, b"other");
            padded(1, 0xff, &[&info[..19], other.as_ref()].concat())
        }),
    ] {
        assert_eq!(encoded.len(), 256, "{name}");
        say(name, &raw(&encoded));
    }
    // The same number and once the modulus more.
    let more = (BigUint::from_bytes_be(&signature) + &modulus).to_bytes_be();
    say("beyond the modulus", &more);
    say("the modulus", &modulus.to_bytes_be());
    say(
        "the number below the modulus",
        &(&modulus - BigUint::from(1_u8)).to_bytes_be(),
    );
    forged.are_refused(&stage, 75).await;
}

/// A token under an RSA key of any size, made with the bare numbers.
fn token_of_numbers(kid: &str, claims: &Json, modulus: &BigUint, private: &BigUint) -> String {
    let message = format!(
        "{}.{}",
        b64(header(json!({ "kid": kid })).to_string()),
        b64(claims.to_string())
    );
    let hash = digest::digest(&digest::SHA256, message.as_bytes());
    let info = [
        &[
            0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02,
            0x01, 0x05, 0x00, 0x04, 0x20,
        ],
        hash.as_ref(),
    ]
    .concat();
    let length = modulus.bits().div_ceil(8) as usize;
    let encoded = [
        &[0, 1],
        vec![0xff; length - 3 - info.len()].as_slice(),
        &[0],
        &info,
    ]
    .concat();
    let bytes = BigUint::from_bytes_be(&encoded)
        .modpow(private, modulus)
        .to_bytes_be();
    format!(
        "{message}.{}",
        b64([vec![0; length - bytes.len()], bytes].concat())
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_are_no_good() {
    let number = |text: &str| BigUint::parse_bytes(text.as_bytes(), 16).unwrap();
    let small = [
        number(
            "cf18ba944a5479152290da6b93d7a04f56426b3c4afae110bd7b655e0b0247bd4ef447bd7796819e45b47cbb1896c86f49e65b942492901cca5adeb4ec7979d7",
        ),
        number(
            "ab44c130d813ea1b0f7e0a14c3aca49858370fa64a401697988c8f356a1755a97de440a219f8035f821c5d12ce1b7f6639d96a3a501545a6f116ac1ed00380f1",
        ),
    ];
    let middling = [
        number(
            "d06c9387016f99f8bbb77dd122e2cb211e20f5062c0ce6d8a30a98bba3db2457ae8336f7535896c64562b53b858098cb5bfb28c369e0d216cc5d0c9e77e6027a9988ef3b791c7f09ae3302a5516d2f0bc612bde73000bdc45eba8b942a4de200bb2bb410d59dc56822be293ecc6f6c6e8b3f195cd060840ad75d861776612819",
        ),
        number(
            "a5de82d9e26eaa9ea4e5b69f859ff0007f35c34a122c825ace0654de9fdc7ae3bce2781004a86ff582aab788930a708f06b8af0c356ad2478a8452d29aa0d63ec2e5b9716d6e122eebe4a507defe5207b6c387d118ceeea402badb0cd6bac71caf6376ec7c16b43d35d0a46f15f29e4c57599f22ce07b2dcd609ae7a59629271",
        ),
    ];
    let stage = Stage::set().await;
    let mut forged = Forged::default();
    let claims = stage.claims(json!({}));
    let weak = |kid: &str, modulus: &BigUint| json!({"kty": "RSA", "use": "sig", "alg": "RS256", "kid": kid, "n": b64(modulus.to_bytes_be()), "e": "AQAB"});
    let mut keys = vec![weak("512", &small[0]), weak("1024", &middling[0])];
    forged.add(
        "512 bits",
        token_of_numbers("512", &claims, &small[0], &small[1]),
        KID,
    );
    forged.add(
        "1024 bits",
        token_of_numbers("1024", &claims, &middling[0], &middling[1]),
        KID,
    );

    // The right key's own numbers, but published as something that verifies nothing.
    let [modulus, _, private] = stage.key.numbers();
    let secret = b64(private.to_bytes_be());
    let changes = [
        json!({"use": "enc"}),
        json!({"use": "SIG"}),
        json!({"use": ""}),
        json!({"use": null}),
        json!({"use": ["sig"]}),
        json!({"key_ops": []}),
        json!({"key_ops": ["encrypt"]}),
        json!({"key_ops": ["sign"]}),
        json!({"key_ops": "verify"}),
        json!({"key_ops": ["Verify"]}),
        json!({"key_ops": null}),
        json!({"key_ops": {"verify": true}}),
        json!({"alg": "RS512"}),
        json!({"alg": "PS256"}),
        json!({"alg": "HS256"}),
        json!({"alg": "none"}),
        json!({"alg": "RSA-OAEP"}),
        json!({"alg": "rs256"}),
        json!({"alg": null}),
        json!({"alg": ["RS256"]}),
        json!({"alg": ""}),
        json!({"kty": "oct", "k": secret}),
        json!({"kty": "EC"}),
        json!({"kty": "OKP"}),
        json!({"kty": "rsa"}),
        json!({"kty": null}),
        json!({"kty": ["RSA"]}),
        json!({"kty": "(none)"}),
        json!({"n": "(none)"}),
        json!({"n": ""}),
        json!({"n": null}),
        json!({"n": "AQAB"}),
        json!({"n": "!"}),
        json!({"n": [1]}),
        json!({"n": format!("{}==", b64(modulus.to_bytes_be()))}),
        json!({"n": STANDARD.encode(modulus.to_bytes_be())}),
        json!({"e": "(none)"}),
        json!({"e": ""}),
        json!({"e": "AQ"}),
        json!({"e": "Ag"}),
        json!({"e": "AA"}),
        json!({"e": 65537}),
        json!({"e": "65537"}),
        json!({"e": b64([1; 9])}),
        json!({"d": secret}),
        json!({"d": ""}),
        json!({"d": null}),
        json!({"p": secret}),
        json!({"q": secret}),
        json!({"dp": secret}),
        json!({"dq": secret}),
        json!({"qi": secret}),
        json!({"oth": []}),
        json!({"k": secret}),
        json!({"priv": null, "d": 1}),
        json!({"kid": "(none)"}),
        json!({"kid": null}),
        json!({"kid": 7}),
        json!({"kid": ["x"]}),
        json!({"kid": ""}),
    ];
    for (at, change) in changes.iter().enumerate() {
        let kid = format!("bad-{at}");
        let mut jwk = stage.key.jwk(&kid);
        for (name, value) in change.as_object().unwrap() {
            match value.as_str() {
                Some("(none)") => {
                    jwk.as_object_mut().unwrap().remove(name);
                }
                _ => jwk[name] = value.clone(),
            }
        }
        keys.push(jwk);
        let words = match change["alg"].as_str() {
            Some("RS512" | "PS256") => SIGNATURE,
            _ => KID,
        };
        let token = stage.key.token(&header(json!({ "kid": kid })), &claims);
        forged.add(format!("{change:.60}"), token, words);
    }
    keys.extend([
        json!(null),
        json!([]),
        json!("k1"),
        json!(7),
        json!({}),
        json!({"keys": [stage.stranger.jwk("k1")]}),
    ]);

    // An exponent of three makes cube roots signatures, for a reader that does not
    // look behind the hash (Bleichenbacher, 2006).
    let mut cubes = stage.key.jwk("three");
    cubes["e"] = json!("Aw");
    keys.push(cubes);
    let message = format!(
        "{}.{}",
        b64(header(json!({"kid": "three"})).to_string()),
        b64(claims.to_string())
    );
    let hash = digest::digest(&digest::SHA256, message.as_bytes());
    let prefix = [
        &[0, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0][..],
        &[
            0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02,
            0x01, 0x05, 0x00, 0x04, 0x20,
        ],
        hash.as_ref(),
    ]
    .concat();
    let most = [prefix.as_slice(), &vec![0xff; 256 - prefix.len()]].concat();
    let root = BigUint::from_bytes_be(&most).cbrt();
    let cube = root.pow(3).to_bytes_be();
    assert_eq!(
        &cube[..prefix.len() - 1],
        &prefix[1..],
        "the cube begins as a signature does"
    );
    let bytes = root.to_bytes_be();
    let bytes = [vec![0; 256 - bytes.len()], bytes].concat();
    forged.add(
        "a cube root",
        format!("{message}.{}", b64(bytes)),
        SIGNATURE,
    );

    // The good one stands among them, and last.
    keys.push(stage.key.jwk("k1"));
    stage.issuer.publish(keys);
    forged.are_refused(&stage, 60).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ways_to_send_a_token() {
    let stage = Stage::set().await;
    let good = stage.good();
    let bearer = format!("Bearer {good}");
    let cookie = format!("Authorization={good}; token={good}");
    let forged = stage
        .stranger
        .token(&header(json!({})), &stage.claims(json!({})));
    let basic = format!("Basic {}", STANDARD.encode(format!("token:{good}")));
    passes(&stage, &good).await;

    type Way<'w> = (&'w str, String, Vec<(&'w str, &'w str)>);
    let ways: Vec<Way<'_>> = vec![
        ("nowhere", "/plain".into(), vec![]),
        (
            "an empty header",
            "/plain".into(),
            vec![("Authorization", "")],
        ),
        (
            "blanks alone",
            "/plain".into(),
            vec![("Authorization", "  \t ")],
        ),
        (
            "the scheme alone",
            "/plain".into(),
            vec![("Authorization", "Bearer")],
        ),
        (
            "in the query",
            format!("/plain?access_token={good}"),
            vec![],
        ),
        (
            "in the query, by the header's name",
            format!("/plain?Authorization={good}"),
            vec![],
        ),
        ("in a cookie", "/plain".into(), vec![("Cookie", &cookie)]),
        (
            "for a proxy",
            "/plain".into(),
            vec![("Proxy-Authorization", &bearer)],
        ),
        (
            "in another header",
            "/plain".into(),
            vec![("X-Authorization", &bearer)],
        ),
        (
            "in another header, as others forward it",
            "/plain".into(),
            vec![("X-Forwarded-Authorization", &bearer)],
        ),
        (
            "in a header of Amazon's",
            "/plain".into(),
            vec![("x-amzn-remapped-authorization", &bearer)],
        ),
        (
            "with an underscore",
            "/plain".into(),
            vec![("Authorization_", &bearer)],
        ),
        ("Basic", "/plain".into(), vec![("Authorization", &basic)]),
        (
            "twice",
            "/plain".into(),
            vec![("Authorization", &good), ("Authorization", &good)],
        ),
        (
            "twice, in two spellings",
            "/plain".into(),
            vec![("authorization", &bearer), ("AUTHORIZATION", &bearer)],
        ),
        (
            "the good one first",
            "/plain".into(),
            vec![("Authorization", &good), ("Authorization", &forged)],
        ),
        (
            "the good one last",
            "/plain".into(),
            vec![("Authorization", &forged), ("Authorization", &good)],
        ),
        (
            "with an empty one",
            "/plain".into(),
            vec![("Authorization", &good), ("Authorization", "")],
        ),
        (
            "behind an empty one",
            "/plain".into(),
            vec![("Authorization", ""), ("Authorization", &good)],
        ),
        (
            "another method told",
            "/plain".into(),
            vec![("X-HTTP-Method-Override", "GET")],
        ),
        ("a slash behind", "/plain/".into(), vec![]),
        ("another spelling", "/%70lain".into(), vec![]),
    ];
    for (name, target, headers) in ways {
        for (kind, gateway) in [("HTTP", &stage.http), ("REST", &stage.rest)] {
            let answer = send(gateway, "GET", &target, &headers, b"").await;
            // The path's other spellings are no route of one kind, and this one of the other.
            let refused = [401, 403, 404].contains(&answer.status);
            assert!(refused, "{kind}, {name}: {} {}", answer.status, answer.body);
            if target == "/plain" {
                assert_eq!(answer.status, 401, "{kind}, {name}: {}", answer.body);
            }
            if kind == "HTTP"
                && !headers.iter().any(|(own, value)| {
                    own.eq_ignore_ascii_case("authorization") && !value.trim().is_empty()
                })
                && answer.status == 401
            {
                assert_eq!(answer.header("www-authenticate"), Some("Bearer"), "{name}");
            }
        }
    }
    for (name, value) in [
        ("far too long", format!("{good}{}", "A".repeat(60_000))),
        ("too long for an HTTP API", "A".repeat(10_300)),
        (
            "too long for a token",
            format!("{}.{}.{}", b64(PLAIN), "A".repeat(9_000), "A".repeat(900)),
        ),
        ("bytes that are no ASCII", format!("{good}\u{ff}\u{80}")),
        ("a NUL", format!("{good}\u{0}")),
        ("a bare carriage return", format!("{good}\rx")),
        (
            "a line break that goes on",
            format!("{}\r\n {}", &good[..40], &good[40..]),
        ),
    ] {
        for (kind, gateway) in [("HTTP", &stage.http), ("REST", &stage.rest)] {
            let answer = get(gateway, "/plain", &value).await;
            assert!(
                [400, 401, 431].contains(&answer.status),
                "{kind}, {name}: {} {}",
                answer.status,
                answer.body
            );
            assert!(!answer.body.contains(&good[..40]), "{kind}, {name}");
        }
    }
    passes(&stage, &good).await;
}
