//! Tokens: every forged one is refused, by HTTP and REST APIs alike; keys come,
//! rotate and stay.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use aws_lc_rs::{digest, hmac};
use serde_json::{Value as Json, json};
use tollgate::base::Clock;
use tollgate::base::clock::HandClock;
use tollgate::server::Running;

use super::issuer::{Issuer, Key, Mood, b64, now};
use super::{Answer, echo, echo_http, get, send, serve};

pub(super) struct Stage {
    pub(super) key: &'static Key,
    pub(super) stranger: &'static Key,
    pub(super) issuer: Issuer,
    pub(super) http: Running,
    pub(super) rest: Running,
}

/// Keys take their time to make: all stages of a test have the same two.
static KEYS: LazyLock<[Key; 2]> = LazyLock::new(|| [Key::generate(), Key::generate()]);

pub(super) fn http_api(issuer: &str) -> Json {
    json!({
        "openapi": "3.0.1", "info": {"title": "t", "version": "1"},
        "paths": {
            "/plain": {"get": {"security": [{"jwt": []}], "x-amazon-apigateway-integration": echo_http()}},
            "/scoped": {"get": {"security": [{"jwt": ["a/read", "a/write"]}], "x-amazon-apigateway-integration": echo_http()}},
        },
        "components": {"securitySchemes": {"jwt": {"type": "oauth2", "x-amazon-apigateway-authorizer": {
            "type": "jwt", "identitySource": "$request.header.Authorization",
            "jwtConfiguration": {"issuer": issuer, "audience": ["client-1", "client-2"]},
        }}}},
    })
}

pub(super) const POOL: &str =
    "arn:aws:cognito-idp:us-east-1:123456789012:userpool/us-east-1_example";

pub(super) async fn rest_api(issuer: &str) -> Running {
    rest_api_at(issuer, Clock::default()).await
}

async fn rest_api_at(issuer: &str, clock: Clock) -> Running {
    let document = json!({
        "openapi": "3.0.1", "info": {"title": "t", "version": "1"},
        "paths": {
            "/plain": {"get": {"security": [{"pool": []}], "x-amazon-apigateway-integration": echo()}},
            "/scoped": {"get": {"security": [{"pool": ["a/read"]}], "x-amazon-apigateway-integration": echo()}},
            "/expression": {"get": {"security": [{"client": []}], "x-amazon-apigateway-integration": echo()}},
        },
        "components": {"securitySchemes": {
            "pool": {"type": "apiKey", "name": "Authorization", "in": "header", "x-amazon-apigateway-authorizer": {
                "type": "cognito_user_pools", "providerARNs": [POOL],
            }},
            "client": {"type": "apiKey", "name": "Authorization", "in": "header", "x-amazon-apigateway-authorizer": {
                "type": "cognito_user_pools", "providerARNs": [POOL], "identityValidationExpression": "client-[0-9]",
            }},
        }},
    });
    let config =
        json!({"userPools": {POOL: {"issuer": issuer, "jwksUri": format!("{issuer}/jwks.json")}}});
    tollgate::Gateway::builder()
        .openapi_text(document.to_string())
        .config_text(config.to_string())
        .clock(clock)
        .spawn()
        .await
        .unwrap()
}

impl Stage {
    pub(super) async fn set() -> Self {
        let [key, stranger] = &*KEYS;
        let issuer = Issuer::start(vec![key.jwk("k1")]).await;
        let http = serve(&http_api(&issuer.url)).await;
        let rest = rest_api(&issuer.url).await;
        Self {
            key,
            stranger,
            issuer,
            http,
            rest,
        }
    }

    /// Claims that both APIs take, but for what is changed; null takes a claim away.
    pub(super) fn claims(&self, change: Json) -> Json {
        let mut claims = json!({
            "iss": self.issuer.url, "sub": "alice", "aud": "client-1", "token_use": "id",
            "iat": now() - 10, "exp": now() + 3600,
        });
        for (name, value) in change.as_object().unwrap() {
            if value.is_null() {
                claims.as_object_mut().unwrap().remove(name);
            } else {
                claims[name] = value.clone();
            }
        }
        claims
    }

    pub(super) fn good(&self) -> String {
        self.key.token(&header(json!({})), &self.claims(json!({})))
    }

    async fn refuses(&self, name: &str, token: &str) {
        for (kind, gateway) in [("HTTP", &self.http), ("REST", &self.rest)] {
            for value in [token.to_owned(), format!("Bearer {token}")] {
                let answer = get(gateway, "/plain", &value).await;
                assert_eq!(answer.status, 401, "{kind}, {name}: {}", answer.body);
                assert!(!answer.body.contains("pathParameters"), "{kind}, {name}");
                let challenge = answer.header("www-authenticate").unwrap_or_default();
                assert_eq!(kind == "HTTP", challenge.starts_with("Bearer"), "{name}");
            }
        }
    }
}

pub(super) fn header(change: Json) -> Json {
    let mut header = json!({"alg": "RS256", "kid": "k1"});
    for (name, value) in change.as_object().unwrap() {
        if value.is_null() {
            header.as_object_mut().unwrap().remove(name);
        } else {
            header[name] = value.clone();
        }
    }
    header
}

fn hmac_token(header: &Json, claims: &Json, secret: &[u8], algorithm: hmac::Algorithm) -> String {
    let message = format!("{}.{}", b64(header.to_string()), b64(claims.to_string()));
    let tag = hmac::sign(&hmac::Key::new(algorithm, secret), message.as_bytes());
    format!("{message}.{}", b64(tag))
}

fn unsigned(header: &Json, claims: &Json, signature: &str) -> String {
    format!(
        "{}.{}.{signature}",
        b64(header.to_string()),
        b64(claims.to_string())
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_token_passes_and_no_forged_one_does() {
    let stage = Stage::set().await;
    let good = stage.good();
    for gateway in [&stage.http, &stage.rest] {
        for value in [good.clone(), format!("Bearer {good}")] {
            let answer = get(gateway, "/plain", &value).await;
            assert_eq!(answer.status, 200, "{}", answer.body);
        }
    }

    let claims = stage.claims(json!({}));
    let mut forged: Vec<(String, String)> = Vec::new();
    let mut add = |name: &str, token: String| forged.push((name.to_owned(), token));

    // No algorithm, in every spelling, with and without a signature.
    let signature = good.rsplit('.').next().unwrap();
    for alg in [
        "none",
        "None",
        "NONE",
        "nOnE",
        "none ",
        "",
        "null",
        "NULL",
        "RS256none",
        "\u{0}none",
    ] {
        for signature in ["", "AA", signature] {
            add(
                alg,
                unsigned(&header(json!({"alg": alg})), &claims, signature),
            );
        }
    }
    for alg in [
        json!(null),
        json!(0),
        json!(true),
        json!([]),
        json!(["RS256"]),
        json!({"a": 1}),
    ] {
        add(
            "alg of another type",
            unsigned(&header(json!({"alg": alg})), &claims, signature),
        );
    }

    // A public key taken for a secret.
    let secrets: [Vec<u8>; 9] = [
        stage.key.pem().into_bytes(),
        stage.key.pem().trim_end().as_bytes().to_vec(),
        stage.key.der(),
        stage.key.jwk("k1").to_string().into_bytes(),
        stage.key.jwk("k1")["n"]
            .as_str()
            .unwrap()
            .as_bytes()
            .to_vec(),
        Vec::new(),
        b"secret".to_vec(),
        b"k1".to_vec(),
        vec![0; 32],
    ];
    for secret in &secrets {
        for (alg, algorithm) in [
            ("HS256", hmac::HMAC_SHA256),
            ("HS384", hmac::HMAC_SHA384),
            ("HS512", hmac::HMAC_SHA512),
            ("RS256", hmac::HMAC_SHA256),
        ] {
            let header = header(json!({"alg": alg}));
            add(alg, hmac_token(&header, &claims, secret, algorithm));
        }
    }

    // Another algorithm than the key's, with a signature that fits it.
    for alg in [
        "RS512", "PS256", "RS384", "ES256", "EdDSA", "rs256", "RSA", "SHA256",
    ] {
        add(alg, stage.key.token(&header(json!({"alg": alg})), &claims));
    }

    // Another's key, however it is made known.
    let stranger = stage.stranger.jwk("k1");
    let url = format!("{}/jwks.json", stage.issuer.url);
    for change in [
        json!({}),
        json!({"kid": "other"}),
        json!({"kid": ""}),
        json!({"kid": null}),
        json!({"kid": 1}),
        json!({"kid": ["k1"]}),
        json!({"kid": "../../../../dev/null"}),
        json!({"kid": "/dev/null"}),
        json!({"kid": "k1' OR '1'='1"}),
        json!({"kid": "k1\u{0}"}),
        json!({"kid": "k1; ls"}),
        json!({"kid": "http://127.0.0.1/jwks.json"}),
        json!({"kid": "K1"}),
        json!({"kid": " k1"}),
        json!({"kid": "k".repeat(5000)}),
        json!({"jwk": stranger}),
        json!({"jwk": stranger, "kid": "other"}),
        json!({"jwk": stranger, "kid": null}),
        json!({"jku": url}),
        json!({"jku": url, "kid": "other"}),
        json!({"x5u": url}),
        json!({"x5c": [b64("certificate")]}),
        json!({"x5t": b64("k1")}),
        json!({"crit": ["kid"]}),
        json!({"crit": []}),
        json!({"b64": false, "crit": ["b64"]}),
        json!({"typ": "none"}),
        json!({"cty": "JWT"}),
        json!({"alg": "none", "typ": "JWT"}),
        json!({"enc": "A128GCM"}),
        json!({"zip": "DEF"}),
    ] {
        let token = stage.stranger.token(&header(change.clone()), &claims);
        add(&format!("another's key, {change}"), token);
    }
    // The right key, but a header that must not be passed over.
    for change in [
        json!({"crit": ["exp"]}),
        json!({"crit": []}),
        json!({"crit": null, "b64": false}),
        json!({"b64": true}),
        json!({"enc": "A128GCM"}),
        json!({"zip": "DEF"}),
        json!({"kid": "unknown"}),
        json!({"kid": null}),
    ] {
        let token = stage.key.token(&header(change.clone()), &claims);
        add(&format!("the right key, {change}"), token);
    }

    // Claims that do not hold, well signed.
    let far = now() + 3600;
    for change in [
        json!({"exp": now() - 1}),
        json!({"exp": 0}),
        json!({"exp": 1}),
        json!({"exp": -1}),
        json!({"exp": 1e300}),
        json!({"exp": u64::MAX}),
        json!({"exp": 253_402_300_800u64}),
        json!({"nbf": -1}),
        json!({"iat": -1}),
        json!({"iat": 1e300}),
        json!({"exp": null}),
        json!({"exp": far.to_string()}),
        json!({"exp": [far]}),
        json!({"exp": {"time": far}}),
        json!({"exp": true}),
        json!({"nbf": far}),
        json!({"nbf": "0"}),
        json!({"nbf": []}),
        json!({"iat": far}),
        json!({"iat": far.to_string()}),
        json!({"iss": null}),
        json!({"iss": ""}),
        json!({"iss": format!("{}/", stage.issuer.url)}),
        json!({"iss": stage.issuer.url.to_uppercase()}),
        json!({"iss": format!("{}.evil.example", stage.issuer.url)}),
        json!({"iss": "http://evil.example"}),
        json!({"iss": [stage.issuer.url]}),
        json!({"iss": 1}),
    ] {
        let token = stage
            .key
            .token(&header(json!({})), &stage.claims(change.clone()));
        add(&format!("claims {change}"), token);
    }

    // Tampered: claims or header changed after signing.
    let parts: Vec<&str> = good.split('.').collect();
    let other = stage.claims(json!({"sub": "mallory"}));
    add(
        "other claims",
        format!("{}.{}.{}", parts[0], b64(other.to_string()), parts[2]),
    );
    let other = header(json!({"typ": "JWT"}));
    add(
        "another header",
        format!("{}.{}.{}", b64(other.to_string()), parts[1], parts[2]),
    );
    let of_another = stage
        .key
        .token(&header(json!({})), &stage.claims(json!({"sub": "bob"})));
    let signature_of_another = of_another.rsplit('.').next().unwrap();
    add(
        "another token's signature",
        format!("{}.{}.{signature_of_another}", parts[0], parts[1]),
    );
    for flip in [0, 10, 100, parts[2].len() - 3] {
        let mut signature = parts[2].as_bytes().to_vec();
        signature[flip] = if signature[flip] == b'A' { b'B' } else { b'A' };
        let signature = String::from_utf8(signature).unwrap();
        add(
            "a flipped signature",
            format!("{}.{}.{signature}", parts[0], parts[1]),
        );
    }
    for signature in [
        String::new(),
        "A".repeat(342),
        "_".repeat(342),
        b64([0; 256]),
        b64([0xff; 256]),
        b64([1]),
        b64(vec![0; 512]),
        b64(digest::digest(&digest::SHA256, good.as_bytes())),
        parts[2][..parts[2].len() - 4].to_owned(),
        format!("{}AAAA", parts[2]),
        format!("{}==", parts[2]),
        format!("{}%3D", parts[2]),
        // ECDSA's "psychic" signature.
        b64([0; 64]),
    ] {
        add(
            "no signature",
            format!("{}.{}.{signature}", parts[0], parts[1]),
        );
    }

    // Other forms.
    for token in [
        parts[0].to_owned(),
        format!("{}.{}", parts[0], parts[1]),
        format!("{}.{}.", parts[0], parts[1]),
        format!(".{}.{}", parts[1], parts[2]),
        format!("{}..{}", parts[0], parts[2]),
        "..".to_owned(),
        ".".to_owned(),
        "...".to_owned(),
        format!("{good}.{}", parts[2]),
        format!("{good}."),
        format!(".{good}"),
        format!("{good}.{good}"),
        format!("{good},{good}"),
        format!("{good} {good}"),
        format!("Bearer {good}"),
        format!("bearer {good}"),
        format!("Basic {good}"),
        format!("Token {good}"),
        format!("JWT {good}"),
        format!("\"{good}\""),
        format!("{good}\u{e9}"),
        format!("{}\t.{}.{}", parts[0], parts[1], parts[2]),
        format!("{}. {}.{}", parts[0], parts[1], parts[2]),
        good.replace('.', ".\u{a0}"),
        good.to_uppercase(),
        good.replace(['-', '_'], "+"),
        good.chars().rev().collect(),
        json!({"payload": parts[1], "protected": parts[0], "signature": parts[2]}).to_string(),
        json!({"payload": parts[1], "signatures": [{"protected": parts[0], "signature": parts[2]}]}).to_string(),
        // Five segments: an encrypted token.
        format!("{}.AA.AA.AA.AA", b64(json!({"alg": "RSA-OAEP", "enc": "A128GCM", "kid": "k1"}).to_string())),
        "null".to_owned(),
        "undefined".to_owned(),
        "{}".to_owned(),
        "AAAA.AAAA.AAAA".to_owned(),
        "e30.e30.e30".to_owned(),
        "A".repeat(5000),
        ".".repeat(5000),
    ] {
        // The prefix that `refuses` adds makes of these a token with two of them.
        if token.starts_with("Bearer ") {
            for gateway in [&stage.http, &stage.rest] {
                let answer = get(gateway, "/plain", &format!("Bearer {token}")).await;
                assert_eq!(answer.status, 401);
            }
            continue;
        }
        add("another form", token);
    }

    // JSON that readers take differently, well signed.
    let claims_text = claims.to_string();
    let inside = &claims_text[1..claims_text.len() - 1];
    let plain = r#"{"alg":"RS256","kid":"k1"}"#;
    for (head, body) in [
        (plain, format!("{{{inside},\"exp\":{far}}}")),
        (plain, format!("{{\"exp\":1,{inside}}}")),
        (plain, format!("{{{inside},\"sub\":\"mallory\"}}")),
        (plain, format!("{{\"\\u0065xp\":{far},{inside}}}")),
        (plain, format!("{{{inside},\"a\":{{\"b\":1,\"b\":2}}}}")),
        (plain, format!("{{{inside}}}x")),
        (plain, format!("{{{inside},}}")),
        (plain, format!("/**/{{{inside}}}")),
        (plain, format!("\u{feff}{{{inside}}}")),
        (plain, format!("[{{{inside}}}]")),
        (
            plain,
            format!("{{{inside},\"a\":{}1{}}}", "[".repeat(500), "]".repeat(500)),
        ),
        (plain, format!("{{{inside},\"a\":NaN}}")),
        (
            plain,
            format!("{{{},\"exp\":1e999}}", inside.replace("\"exp\"", "\"exq\"")),
        ),
        (plain, "null".to_owned()),
        (plain, "[]".to_owned()),
        (plain, String::new()),
        (plain, "\"token\"".to_owned()),
        // A token in a token.
        (r#"{"alg":"RS256","kid":"k1","cty":"JWT"}"#, good.clone()),
        (
            r#"{"alg":"RS256","kid":"k1","cty":"JWT"}"#,
            json!(good).to_string(),
        ),
        (
            r#"{"alg":"none","alg":"RS256","kid":"k1"}"#,
            claims_text.clone(),
        ),
        (
            r#"{"alg":"RS256","alg":"none","kid":"k1"}"#,
            claims_text.clone(),
        ),
        (
            r#"{"alg":"RS256","kid":"k0","kid":"k1"}"#,
            claims_text.clone(),
        ),
        (r#"{"alg":"RS256","kid":"k1"}}"#, claims_text.clone()),
        (
            r#"{"alg":"RS256","kid":"k1","x":{"alg":"none","alg":"x"}}"#,
            claims_text.clone(),
        ),
        (r#"[{"alg":"RS256","kid":"k1"}]"#, claims_text.clone()),
        ("RS256", claims_text.clone()),
        ("", claims_text.clone()),
    ] {
        add(
            &format!("{head} {body}"),
            stage.key.token_of_text(head, &body),
        );
    }

    assert!(forged.len() > 200, "{}", forged.len());
    for (name, token) in &forged {
        stage.refuses(name, token).await;
    }
    // None of them has spoilt anything for the good one.
    assert_eq!(get(&stage.http, "/plain", &good).await.status, 200);
    assert_eq!(get(&stage.rest, "/plain", &good).await.status, 200);
    assert!(stage.issuer.fetches() <= 6, "{}", stage.issuer.fetches());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_sent_once() {
    let stage = Stage::set().await;
    let good = stage.good();
    let token = ("authorization", good.as_str());

    for second in [good.as_str(), "x", ""] {
        for gateway in [&stage.http, &stage.rest] {
            let headers = [token, ("Authorization", second)];
            let answer = send(gateway, "GET", "/plain", &headers, b"").await;
            assert_eq!(answer.status, 401, "{second}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn audiences_of_an_http_api() {
    let stage = Stage::set().await;
    let status = |change: Json| {
        let token = stage.key.token(&header(json!({})), &stage.claims(change));
        let gateway = &stage.http;
        async move { get(gateway, "/plain", &token).await }
    };

    for (change, expected) in [
        (json!({"aud": "client-2"}), 200),
        (json!({"aud": ["x", "client-2"]}), 200),
        (json!({"aud": null, "client_id": "client-1"}), 200),
        (json!({"aud": "x", "client_id": "client-1"}), 401),
        (json!({"aud": [], "client_id": "client-1"}), 401),
        (json!({"aud": "", "client_id": "client-1"}), 401),
        (json!({"aud": null, "client_id": "x"}), 401),
        (json!({"aud": null, "client_id": ["client-1"]}), 401),
        (json!({"aud": null}), 401),
        (json!({"aud": "client-1 "}), 401),
        (json!({"aud": "client-1,client-2"}), 401),
        (json!({"aud": {"client-1": 1}}), 401),
        (json!({"aud": ["client-1", 1]}), 401),
        (json!({"aud": 1}), 401),
    ] {
        assert_eq!(status(change.clone()).await.status, expected, "{change}");
    }
    let wrong = status(json!({"aud": "x"})).await;
    assert_eq!(
        wrong.header("www-authenticate"),
        Some(
            r#"Bearer scope="" error="invalid_token" error_description="the token does not have a valid audience""#
        )
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn scopes_of_an_http_api() {
    let stage = Stage::set().await;
    for (change, expected) in [
        (json!({"scope": "x a/read"}), 200),
        (json!({"scp": "a/write"}), 200),
        (json!({"scp": ["a/write"]}), 200),
        (json!({"scope": "a/reader xa/read"}), 403),
        (json!({"scope": "A/READ"}), 403),
        (json!({"scope": ""}), 403),
        (json!({"scope": {"a/read": true}}), 403),
        (json!({}), 403),
        (json!({"scope": "a/read", "exp": 1}), 401),
    ] {
        let token = stage
            .key
            .token(&header(json!({})), &stage.claims(change.clone()));
        let answer = get(&stage.http, "/scoped", &token).await;
        assert_eq!(answer.status, expected, "{change}");
        if expected == 403 {
            assert_eq!(answer.body, r#"{"message":"Forbidden"}"#);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn uses_and_scopes_of_a_user_pool() {
    let stage = Stage::set().await;
    let access = json!({"token_use": "access", "aud": null, "client_id": "c", "scope": "x a/read"});
    let with = |more: Json| {
        let mut change = access.clone();
        for (name, value) in more.as_object().unwrap() {
            change[name] = value.clone();
        }
        change
    };
    for (path, change, expected) in [
        ("/plain", json!({}), 200),
        ("/plain", access.clone(), 401),
        ("/plain", json!({"token_use": null}), 401),
        ("/plain", json!({"token_use": "ID"}), 401),
        ("/plain", json!({"token_use": ["id"]}), 401),
        ("/scoped", access.clone(), 200),
        ("/scoped", json!({"scope": "a/read"}), 401),
        ("/scoped", with(json!({"scope": "a/reader"})), 401),
        (
            "/scoped",
            with(json!({"scope": null, "scp": "a/read"})),
            401,
        ),
        ("/scoped", with(json!({"scope": ["a/read"]})), 401),
        ("/scoped", with(json!({"token_use": "id"})), 401),
        ("/expression", json!({"aud": "client-7"}), 200),
        ("/expression", json!({"aud": "client-77"}), 401),
        ("/expression", json!({"aud": "x client-7"}), 401),
        ("/expression", json!({"aud": ["client-7"]}), 401),
        ("/expression", json!({"aud": null}), 401),
    ] {
        let token = stage
            .key
            .token(&header(json!({})), &stage.claims(change.clone()));
        let answer = get(&stage.rest, path, &token).await;
        assert_eq!(answer.status, expected, "{path} {change}: {}", answer.body);
        if expected == 401 {
            assert_eq!(
                answer.header("x-amzn-errortype"),
                Some("UnauthorizedException")
            );
            assert_eq!(answer.json(), json!({"message": "Unauthorized"}));
        }
    }
    let expired = stage
        .key
        .token(&header(json!({})), &stage.claims(json!({"exp": 1})));
    let answer = get(&stage.rest, "/plain", &expired).await;
    assert_eq!(answer.status, 401);
    assert_eq!(
        answer.json(),
        json!({"message": "The incoming token has expired"})
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn claims_reach_the_function_as_text() {
    let stage = Stage::set().await;
    let claims = stage.claims(json!({"exp": 4_102_444_800u64, "iat": 1_700_000_000, "cognito:groups": ["a", "b"], "email_verified": true}));
    let token = stage.key.token(&header(json!({})), &claims);

    let seen = get(&stage.rest, "/plain", &token).await.json();
    let claims = &seen["authorizer"]["claims"];
    assert_eq!(claims["exp"], "Fri Jan 01 00:00:00 UTC 2100");
    assert_eq!(claims["cognito:groups"], "a,b");
    assert_eq!(claims["email_verified"], "true");

    let seen = get(&stage.http, "/plain", &token).await.json();
    let jwt = &seen["authorizer"]["jwt"];
    assert_eq!(jwt["claims"]["exp"], "4102444800");
    assert_eq!(jwt["claims"]["cognito:groups"], "[a b]");
    assert_eq!(jwt["scopes"], Json::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_in_a_query_is_read_there_alone() {
    let stage = Stage::set().await;
    let mut document = http_api(&stage.issuer.url);
    document["components"]["securitySchemes"]["jwt"]["x-amazon-apigateway-authorizer"]["identitySource"] =
        json!("$request.querystring.token");
    let gateway = serve(&document).await;
    let good = stage.good();
    let forged = stage
        .stranger
        .token(&header(json!({})), &stage.claims(json!({})));
    let ask = async |query: String, header: &str| {
        let target = format!("/plain{query}");
        get(&gateway, &target, header).await.status
    };

    for query in [
        format!("?token={good}"),
        format!("?token=Bearer%20{good}"),
        format!("?token=Bearer+{good}"),
        format!("?a=1&token={}&b=2", good.replace('.', "%2E")),
    ] {
        assert_eq!(ask(query.clone(), "x").await, 200, "{query}");
    }
    for query in [
        String::new(),
        "?".to_owned(),
        "?token".to_owned(),
        "?token=".to_owned(),
        format!("?Token={good}"),
        format!("?token[]={good}"),
        format!("?token={good}&token={good}"),
        format!("?token={good}&token=x"),
        format!("?token=x&token={good}"),
        format!("?token={good}&token="),
        format!("?token={good}%00"),
        format!("?token=%20{good}"),
        format!("?token={good}%0A"),
        format!("?token={good}%2C{good}"),
        format!("?token={}", good.replace('.', "%252E")),
        format!("?token={forged}"),
    ] {
        assert_eq!(ask(query.clone(), &good).await, 401, "{query}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_on_curves_verify_nothing() {
    use aws_lc_rs::signature::{
        ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair,
    };

    let stage = Stage::set().await;
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let point = pair.public_key().as_ref();
    let curve = json!({
        "kty": "EC", "crv": "P-256", "use": "sig", "kid": "ec",
        "x": b64(&point[1..33]), "y": b64(&point[33..]),
    });
    let mut of_another_kind = curve.clone();
    of_another_kind["kty"] = json!("RSA");
    of_another_kind["kid"] = json!("ec-as-rsa");
    let mut both = stage.key.jwk("both");
    both["kty"] = json!("EC");
    both["crv"] = json!("P-256");
    stage
        .issuer
        .publish(vec![curve, of_another_kind, both, stage.key.jwk("k1")]);
    let document = pair.to_pkcs8v1().unwrap();
    let asn1 =
        EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, document.as_ref()).unwrap();
    let random = aws_lc_rs::rand::SystemRandom::new();

    for kid in ["ec", "ec-as-rsa", "both", "k1"] {
        for alg in [
            "ES256", "ES384", "ES512", "ES256K", "EdDSA", "RS256", "PS256", "HS256", "none",
        ] {
            let header = header(json!({"alg": alg, "kid": kid}));
            let message = format!(
                "{}.{}",
                b64(header.to_string()),
                b64(stage.claims(json!({})).to_string())
            );
            let signed =
                |pair: &EcdsaKeyPair| b64(pair.sign(&random, message.as_bytes()).unwrap().as_ref());
            for signature in [
                signed(&pair),
                signed(&asn1),
                b64([0; 64]),
                b64([0xff; 64]),
                // r and s are zero, in DER.
                b64([0x30, 6, 2, 1, 0, 2, 1, 0]),
            ] {
                stage
                    .refuses(&format!("{kid} {alg}"), &format!("{message}.{signature}"))
                    .await;
            }
        }
    }
    // An RSA signature under a key that says it is on a curve.
    let token = stage
        .key
        .token(&header(json!({"kid": "both"})), &stage.claims(json!({})));
    stage.refuses("both", &token).await;
    assert_eq!(status(&stage, &stage.good()).await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_the_issuer_gives_away_or_names_twice() {
    let stage = Stage::set().await;
    let mut given_away = stage.stranger.jwk("open");
    given_away["d"] = json!(b64([7; 256]));
    stage.issuer.publish(vec![
        given_away,
        stage.key.jwk("twice"),
        stage.stranger.jwk("twice"),
        json!("no key"),
        json!(null),
    ]);
    let claims = stage.claims(json!({}));

    let open = stage
        .stranger
        .token(&header(json!({"kid": "open"})), &claims);
    stage.refuses("a key that was given away", &open).await;
    let twice = header(json!({"kid": "twice"}));
    let second = stage.stranger.token(&twice, &claims);
    stage.refuses("the second key of a name", &second).await;
    assert_eq!(status(&stage, &stage.key.token(&twice, &claims)).await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_another_issuer_names_are_not_taken() {
    let stage = Stage::set().await;

    stage.issuer.mood(Mood::Impostor);
    assert_eq!(status(&stage, &stage.good()).await, 401);
    assert_eq!(stage.issuer.fetches(), 0);

    // A document that does not say whose it is names the keys all the same.
    let stage = Stage::set().await;
    stage.issuer.mood(Mood::Nameless);
    assert_eq!(status(&stage, &stage.good()).await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_issuer_holds_up_no_token_whose_key_is_known() {
    let stage = Arc::new(Stage::set().await);
    assert_eq!(status(&stage, &stage.good()).await, 200);
    let before = stage.issuer.fetches();
    stage.issuer.mood(Mood::Slow);

    let waits = {
        let stage = Arc::clone(&stage);
        tokio::spawn(async move {
            let unknown = header(json!({"kid": "unknown"}));
            let token = stage.key.token(&unknown, &stage.claims(json!({})));
            status(&stage, &token).await
        })
    };
    while stage.issuer.fetches() == before {
        tokio::task::yield_now().await;
    }
    for round in 0..5 {
        let claims = stage.claims(json!({"jti": round}));
        let token = stage.key.token(&header(json!({})), &claims);
        assert_eq!(status(&stage, &token).await, 200);
    }

    assert!(!waits.is_finished(), "the known keys waited for the fetch");
    assert_eq!(waits.await.unwrap(), 401);
}

pub(super) async fn status(stage: &Stage, token: &str) -> u16 {
    let Answer { status, .. } = get(&stage.http, "/plain", token).await;
    status
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_rotate() {
    let stage = Stage::set().await;
    let old = stage.good();
    assert_eq!(status(&stage, &old).await, 200);
    assert_eq!(stage.issuer.fetches(), 1);

    // Several times in a row: each new key is found by the first token that names it.
    for round in 0..6 {
        let kid = format!("round-{round}");
        stage
            .issuer
            .publish(vec![stage.stranger.jwk(&kid), stage.key.jwk("k1")]);
        let new = stage
            .stranger
            .token(&header(json!({"kid": kid})), &stage.claims(json!({})));
        assert_eq!(status(&stage, &new).await, 200, "round {round}");
        assert_eq!(status(&stage, &old).await, 200);
    }
    assert_eq!(stage.issuer.fetches(), 7);

    // What is withdrawn is gone with the next reading, tokens that were verified included.
    stage.issuer.publish(vec![stage.stranger.jwk("last")]);
    let new = stage
        .stranger
        .token(&header(json!({"kid": "last"})), &stage.claims(json!({})));
    assert_eq!(status(&stage, &new).await, 200);
    assert_eq!(status(&stage, &old).await, 401);

    // A name that comes back with another key verifies none of the old one's tokens.
    stage
        .issuer
        .publish(vec![stage.stranger.jwk("k1"), stage.stranger.jwk("more")]);
    let new = stage
        .stranger
        .token(&header(json!({"kid": "more"})), &stage.claims(json!({})));
    assert_eq!(status(&stage, &new).await, 200);
    assert_eq!(status(&stage, &old).await, 401);
}

/// Lets the time of the gateway's runtime pass.
async fn minutes_pass(minutes: u64) {
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(minutes * 60)).await;
    tokio::time::resume();
}

/// Waits until a token that passed no longer does.
async fn is_shut_out(gateway: &Running, token: &str) {
    let patience = Duration::from_secs(20);
    let shut = async {
        while get(gateway, "/plain", token).await.status != 401 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(patience, shut)
        .await
        .expect("a withdrawn key is forgotten with the next reading");
}

/// On one thread, so that the gateway's time is the test's.
#[tokio::test]
async fn a_withdrawn_key_is_forgotten_in_the_background_with_its_verified_tokens() {
    let stage = Stage::set().await;
    let good = stage.good();
    let fresh = |jti: &str| {
        let claims = stage.claims(json!({ "jti": jti }));
        stage.key.token(&header(json!({})), &claims)
    };
    for gateway in [&stage.http, &stage.rest] {
        assert_eq!(get(gateway, "/plain", &good).await.status, 200);
    }
    stage.issuer.publish(vec![stage.stranger.jwk("k2")]);

    // Nothing has been read since.
    minutes_pass(9).await;
    for gateway in [&stage.http, &stage.rest] {
        assert_eq!(get(gateway, "/plain", &good).await.status, 200);
        assert_eq!(get(gateway, "/plain", &fresh("1")).await.status, 200);
    }
    assert_eq!(stage.issuer.fetches(), 2);
    minutes_pass(2).await;
    for gateway in [&stage.http, &stage.rest] {
        is_shut_out(gateway, &good).await;
        assert_eq!(get(gateway, "/plain", &fresh("2")).await.status, 401);
        let claims = stage.claims(json!({}));
        let new = stage.stranger.token(&header(json!({"kid": "k2"})), &claims);
        assert_eq!(get(gateway, "/plain", &new).await.status, 200);
    }

    // A set without keys is one, too.
    stage.issuer.publish(Vec::new());
    minutes_pass(11).await;
    for gateway in [&stage.http, &stage.rest] {
        let claims = stage.claims(json!({}));
        let new = stage.stranger.token(&header(json!({"kid": "k2"})), &claims);
        is_shut_out(gateway, &new).await;
    }
}

#[tokio::test]
async fn known_keys_outlast_an_outage_and_go_when_it_is_over() {
    let stage = Stage::set().await;
    let good = stage.good();
    assert_eq!(status(&stage, &good).await, 200);
    stage.issuer.publish(vec![stage.stranger.jwk("k2")]);

    for mood in [
        Mood::Error,
        Mood::HangsUp,
        Mood::Garbage,
        Mood::Half,
        Mood::NoSet,
    ] {
        stage.issuer.mood(mood);
        let before = stage.issuer.requests();
        minutes_pass(60).await;
        for _ in 0..1000 {
            assert_eq!(status(&stage, &good).await, 200, "{mood:?}");
            if stage.issuer.requests() > before {
                break;
            }
        }
        assert!(stage.issuer.requests() > before, "{mood:?}: nobody looked");
        assert_eq!(status(&stage, &good).await, 200, "{mood:?}");
    }
    stage.issuer.mood(Mood::Fine);
    minutes_pass(11).await;
    is_shut_out(&stage.http, &good).await;
}

#[tokio::test]
async fn an_issuer_moves_its_keys() {
    let stage = Stage::set().await;
    let moved = Issuer::start(vec![stage.stranger.jwk("k2")]).await;
    let good = stage.good();
    assert_eq!(status(&stage, &good).await, 200);

    // The old ones stay where they were, but that is no longer the issuer's word.
    let place = Box::leak(format!("{}/jwks.json", moved.url).into_boxed_str());
    stage.issuer.mood(Mood::KeysAt(place));
    minutes_pass(11).await;
    is_shut_out(&stage.http, &good).await;
    let new = stage
        .stranger
        .token(&header(json!({"kid": "k2"})), &stage.claims(json!({})));
    assert_eq!(status(&stage, &new).await, 200);

    // When it cannot be asked where they are, they are read where they were.
    stage.issuer.mood(Mood::Error);
    let before = moved.fetches();
    minutes_pass(11).await;
    for _ in 0..1000 {
        assert_eq!(status(&stage, &new).await, 200);
        if moved.fetches() > before {
            return;
        }
    }
    panic!("nobody looked");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kept_token_is_over_when_its_time_is() {
    const START: u64 = 1_800_000_000;
    let stage = Stage::set().await;
    let clock = HandClock::at(Duration::from_secs(START));
    let http = tollgate::Gateway::builder()
        .openapi_text(http_api(&stage.issuer.url).to_string())
        .clock(Clock::Hand(clock.clone()))
        .spawn()
        .await
        .unwrap();
    let rest = rest_api_at(&stage.issuer.url, Clock::Hand(clock.clone())).await;
    let times = json!({"exp": START + 60, "nbf": START, "iat": START});
    let token = stage.key.token(&header(json!({})), &stage.claims(times));

    for (after, expected) in [
        (0, 200),
        (0, 200),
        (59, 200),
        (60, 401),
        (3600, 401),
        (30, 200),
    ] {
        clock.set(Duration::from_secs(START + after));
        for gateway in [&http, &rest] {
            let answer = get(gateway, "/plain", &token).await;
            assert_eq!(answer.status, expected, "{after}: {}", answer.body);
        }
    }
    // Before its time it is none, kept or not.
    clock.set(Duration::from_secs(START - 1));
    for gateway in [&http, &rest] {
        assert_eq!(get(gateway, "/plain", &token).await.status, 401);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_invented_key_names_makes_a_few_fetches() {
    let stage = Arc::new(Stage::set().await);
    assert_eq!(status(&stage, &stage.good()).await, 200);

    let flood = (0..60).map(|index| {
        let stage = Arc::clone(&stage);
        tokio::spawn(async move {
            let header = header(json!({"kid": format!("invented-{index}")}));
            let token = stage.stranger.token(&header, &stage.claims(json!({})));
            status(&stage, &token).await
        })
    });
    for answer in flood.collect::<Vec<_>>() {
        assert_eq!(answer.await.unwrap(), 401);
    }

    assert!(stage.issuer.fetches() <= 4, "{}", stage.issuer.fetches());
    assert_eq!(status(&stage, &stage.good()).await, 200);
    // Tokens that are no good anyway ask nobody.
    let before = stage.issuer.fetches();
    for change in [json!({"exp": 1}), json!({"aud": "x"}), json!({"iss": "x"})] {
        let token = stage
            .stranger
            .token(&header(json!({"kid": "x"})), &stage.claims(change));
        assert_eq!(status(&stage, &token).await, 401);
    }
    assert_eq!(stage.issuer.fetches(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_first_requests_make_one_fetch() {
    let stage = Arc::new(Stage::set().await);
    let tasks = (0..40).map(|_| {
        let stage = Arc::clone(&stage);
        tokio::spawn(async move { status(&stage, &stage.good()).await })
    });
    for answer in tasks.collect::<Vec<_>>() {
        assert_eq!(answer.await.unwrap(), 200);
    }

    assert_eq!(stage.issuer.fetches(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issuer_that_is_down_leaves_its_known_keys() {
    for mood in Mood::DOWN {
        let stage = Stage::set().await;
        assert_eq!(status(&stage, &stage.good()).await, 200);
        stage.issuer.mood(mood);
        let fresh = stage.key.token(
            &header(json!({})),
            &stage.claims(json!({"jti": format!("{mood:?}")})),
        );
        assert_eq!(status(&stage, &fresh).await, 200, "{mood:?}");
        let unknown = stage
            .key
            .token(&header(json!({"kid": "x"})), &stage.claims(json!({})));
        assert_eq!(status(&stage, &unknown).await, 401, "{mood:?}");
        assert_eq!(status(&stage, &fresh).await, 200, "{mood:?}");
        // No key of a stranger's comes in while one cannot look.
        let forged = stage
            .stranger
            .token(&header(json!({})), &stage.claims(json!({})));
        assert_eq!(status(&stage, &forged).await, 401, "{mood:?}");
        assert!(stage.issuer.fetches() > 1, "{mood:?} was not met");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_keys_nobody_passes_however_often_he_asks() {
    for mood in Mood::DOWN {
        let stage = Stage::set().await;
        stage.issuer.mood(mood);

        for gateway in [&stage.http, &stage.rest] {
            for token in [
                stage.good(),
                stage.good(),
                stage
                    .stranger
                    .token(&header(json!({})), &stage.claims(json!({}))),
            ] {
                let answer = get(gateway, "/plain", &token).await;
                assert_eq!(answer.status, 401, "{mood:?}");
                assert_eq!(answer.body, r#"{"message":"Unauthorized"}"#, "{mood:?}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_read_from_web_addresses_alone() {
    for place in [
        "file:///etc/hostname",
        "/jwks.json",
        "jwks.json",
        "//127.0.0.1/jwks.json",
        "",
        "data:application/json,{}",
        "ftp://127.0.0.1/jwks.json",
        "gopher://127.0.0.1/",
        "unix:/tmp/socket",
        "javascript:1",
        "http:",
        "http://",
        "http:///jwks.json",
        " http://127.0.0.1/",
        "http://[::1",
        "http://127.0.0.1:99999/",
    ] {
        let stage = Stage::set().await;
        stage.issuer.mood(Mood::KeysAt(place));

        assert_eq!(status(&stage, &stage.good()).await, 401, "{place}");
        assert_eq!(stage.issuer.fetches(), 0, "{place}");
        // Told elsewhere, the pool's own address is read as ever.
        assert_eq!(get(&stage.rest, "/plain", &stage.good()).await.status, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issuer_that_comes_up_late_is_found() {
    for mood in [
        Mood::Error,
        Mood::HangsUp,
        Mood::Slow,
        Mood::Redirects,
        Mood::Huge,
    ] {
        let stage = Stage::set().await;
        stage.issuer.mood(mood);
        for gateway in [&stage.http, &stage.rest] {
            assert_eq!(
                get(gateway, "/plain", &stage.good()).await.status,
                401,
                "{mood:?}"
            );
        }

        stage.issuer.mood(Mood::Fine);
        tokio::time::sleep(Duration::from_millis(400)).await;

        for gateway in [&stage.http, &stage.rest] {
            assert_eq!(
                get(gateway, "/plain", &stage.good()).await.status,
                200,
                "{mood:?}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_are_for_something_else_verify_nothing() {
    let stage = Stage::set().await;
    let mut encryption = stage.stranger.jwk("enc");
    encryption["use"] = json!("enc");
    let mut secret = json!({"kty": "oct", "kid": "oct", "alg": "HS256"});
    secret["k"] = json!(b64("secret"));
    let nameless = {
        let mut jwk = stage.stranger.jwk("x");
        jwk.as_object_mut().unwrap().remove("kid");
        jwk
    };
    stage
        .issuer
        .publish(vec![encryption, secret, nameless, stage.key.jwk("k1")]);

    let claims = stage.claims(json!({}));
    let hs = header(json!({"alg": "HS256", "kid": "oct"}));
    for token in [
        stage
            .stranger
            .token(&header(json!({"kid": "enc"})), &claims),
        stage.stranger.token(&header(json!({"kid": "x"})), &claims),
        stage.stranger.token(&header(json!({"kid": null})), &claims),
        hmac_token(&hs, &claims, b"secret", hmac::HMAC_SHA256),
    ] {
        assert_eq!(status(&stage, &token).await, 401);
    }
    assert_eq!(status(&stage, &stage.good()).await, 200);
}
