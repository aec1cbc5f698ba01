//! `alg`: none, other names, public keys as secrets, curves.

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256_SHA256_FIXED_SIGNING,
    ECDSA_P256K1_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING,
    ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair,
    KeyPair as _,
};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use num_bigint::BigUint;
use serde_json::{Value as Json, json};

use super::super::issuer::b64;
use super::super::tokens::{Stage, header};

use super::*;

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
            signed(stage.key, &head, claims.to_string()),
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
        forged.add(&head, signed(stage.key, &head, claims.to_string()), METHOD);
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
        forged.add(head, signed(stage.key, head, claims.to_string()), METHOD);
    }

    // Another algorithm of RSA than the key's: with its own signature, and with the pinned one's.
    for alg in ["RS384", "RS512", "PS256", "PS384", "PS512"] {
        let head = header(json!({ "alg": alg }));
        forged.add(alg, stage.key.token(&head, &claims), SIGNATURE);
        forged.add(
            format!("{alg}, signed by RS256"),
            signed(stage.key, head.to_string(), claims.to_string()),
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
            signed(stage.key, head, &claims),
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
