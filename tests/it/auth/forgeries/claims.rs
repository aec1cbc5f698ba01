//! Claims of tokens that are well signed.

use serde_json::{Value as Json, json};

use super::super::get;
use super::super::issuer::now;
use super::super::tokens::{Stage, header};

use super::*;

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
                signed(stage.key, PLAIN, claims),
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
                signed(stage.key, PLAIN, claims),
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
