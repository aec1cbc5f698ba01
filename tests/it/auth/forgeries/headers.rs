//! `kid`, keys in headers, and JSON that readers take differently.

use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value as Json, json};

use super::super::issuer::{Issuer, b64, now};
use super::super::tokens::{Stage, header};

use super::*;

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
        forged.add(&head, signed(stage.key, &head, claims.to_string()), KID);
    }
    for head in [
        r#"{"alg":"RS256"}"#,
        r#"{"alg":"RS256","Kid":"k1"}"#,
        r#"{"alg":"RS256","key_id":"k1"}"#,
    ] {
        forged.add(head, signed(stage.key, head, claims.to_string()), KID);
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
