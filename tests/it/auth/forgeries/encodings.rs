//! Base64, segments, and where a token stands.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use serde_json::json;

use super::super::issuer::b64;
use super::super::tokens::{Stage, header};
use super::super::{get, send};

use super::*;

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
