//! What a token costs inside one process: `cargo bench --bench tokens`.
//!
//! `signature`: the check alone, which a cold token cannot do without. `cold`: a token that
//! is not kept, from text to claims. `warm`: one that is. `refused`: a forged one, which
//! is as cold every time.

#![expect(
    clippy::unwrap_used,
    reason = "a measurement may stop at the first trouble"
)]

use std::hint::black_box;
use std::sync::Arc;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use criterion::{Criterion, criterion_group, criterion_main};
use serde_json::json;
use tollgate::auth::issuer::{Issuer, KeySet};
use tollgate::auth::jwt::UnverifiedToken;

/// More than an issuer keeps.
const COLD: usize = 9_000;

fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// An access token as a user pool signs it.
fn token(pair: &KeyPair, number: usize) -> String {
    let header = json!({"kid": "k1", "alg": "RS256"});
    let claims = json!({
        "sub": "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee", "token_use": "access", "scope": "orders/read",
        "auth_time": 1_700_000_000, "iss": "https://issuer.example/us-east-1_Example1", "exp": 4_102_444_800u64,
        "iat": 1_700_000_000, "version": 2, "jti": format!("jti-{number}"), "client_id": "service",
    });
    let message = format!(
        "{}.{}",
        encode(header.to_string()),
        encode(claims.to_string())
    );
    let mut signature = vec![0; pair.public_modulus_len()];
    let random = SystemRandom::new();
    pair.sign(
        &RSA_PKCS1_SHA256,
        &random,
        message.as_bytes(),
        &mut signature,
    )
    .unwrap();
    format!("{message}.{}", encode(signature))
}

fn tokens(criterion: &mut Criterion) {
    let pair = KeyPair::generate(KeySize::Rsa2048).unwrap();
    let public = pair.public_key();
    let set = json!({"keys": [{
        "kty": "RSA", "use": "sig", "alg": "RS256", "kid": "k1",
        "n": encode(public.modulus().big_endian_without_leading_zero()),
        "e": encode(public.exponent().big_endian_without_leading_zero()),
    }]})
    .to_string();
    let issuer = Arc::new(Issuer::with_keys(
        "https://issuer.example/us-east-1_Example1",
        KeySet::read(set.as_bytes()).unwrap(),
    ));
    let many: Vec<String> = (0..COLD).map(|number| token(&pair, number)).collect();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let verify = |token: &str| runtime.block_on(issuer.verify(black_box(token), |_, _| Ok(())));

    let mut group = criterion.benchmark_group("tokens");
    let keys = KeySet::read(set.as_bytes()).unwrap();
    let key = keys.get("k1").unwrap();
    group.bench_function("signature", |bencher| {
        let read = UnverifiedToken::parse(&many[0]).unwrap();
        bencher.iter(|| {
            assert!(key.verifies(
                black_box(read.signing_input),
                read.signature,
                read.algorithm
            ));
        });
    });
    group.bench_function("cold", |bencher| {
        let mut turn = many.iter().cycle();
        bencher.iter(|| verify(turn.next().unwrap()).unwrap());
    });
    group.bench_function("warm", |bencher| {
        bencher.iter(|| verify(&many[0]).unwrap());
    });
    group.bench_function("refused", |bencher| {
        let (message, _) = many[0].rsplit_once('.').unwrap();
        let (_, signature) = many[1].rsplit_once('.').unwrap();
        let forged = format!("{message}.{signature}");
        bencher.iter(|| verify(&forged).unwrap_err());
    });
    group.finish();
}

criterion_group!(benches, tokens);
criterion_main!(benches);
