//! Requests whose signature is what the secret makes of them, but that say of themselves
//! what a signed request must not: the rules of Signature Version 4 are judged, not the arithmetic.

use aws_lc_rs::{digest, hmac};
use serde_json::json;
use tollgate::server::Running;

use super::signatures::{KEY, NOW, SECRET, error_type, serve};
use super::{Answer, send};

const DATE: &str = "20270115T080000Z";
const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A request and how it is signed; everything may be told otherwise than it is.
#[derive(Clone)]
struct Signed {
    method: &'static str,
    path: String,
    /// As sent; the canonical one is this, sorted already.
    query: String,
    /// As sent, in any order. `host` is put in front.
    headers: Vec<(String, String)>,
    /// As the signature covers them, where that differs.
    covered: Option<Vec<(String, String)>>,
    signed_headers: String,
    payload_hash: String,
    body: &'static str,
    algorithm: String,
    timestamp: String,
    key: &'static str,
    scope: String,
}

impl Default for Signed {
    fn default() -> Self {
        Self {
            method: "GET",
            path: "/a".to_owned(),
            query: String::new(),
            headers: vec![("x-amz-date".to_owned(), DATE.to_owned())],
            covered: None,
            signed_headers: "host;x-amz-date".to_owned(),
            payload_hash: EMPTY.to_owned(),
            body: "",
            algorithm: "AWS4-HMAC-SHA256".to_owned(),
            timestamp: DATE.to_owned(),
            key: KEY,
            scope: "20270115/us-east-1/execute-api/aws4_request".to_owned(),
        }
    }
}

impl Signed {
    fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    fn covers(mut self, names: &str) -> Self {
        names.clone_into(&mut self.signed_headers);
        self
    }

    fn at(mut self, time: &str) -> Self {
        time.clone_into(&mut self.timestamp);
        self.headers = vec![("x-amz-date".to_owned(), time.to_owned())];
        self
    }

    fn scope(mut self, scope: &str) -> Self {
        scope.clone_into(&mut self.scope);
        self
    }

    fn signature(&self, host: &str, query: &str) -> String {
        let headers = self.covered.as_ref().unwrap_or(&self.headers);
        let mut canonical = format!("{}\n{}\n{query}\n", self.method, self.path);
        for name in self.signed_headers.split(';') {
            let values: Vec<&str> = headers
                .iter()
                .filter(|(own, _)| own.eq_ignore_ascii_case(name))
                .map(|(_, value)| value.as_str())
                .collect();
            let value = if name.eq_ignore_ascii_case("host") {
                host.to_owned()
            } else {
                values.join(",")
            };
            canonical.push_str(&format!("{name}:{value}\n"));
        }
        canonical.push_str(&format!("\n{}\n{}", self.signed_headers, self.payload_hash));
        let hash = digest::digest(&digest::SHA256, canonical.as_bytes());
        let text = format!(
            "{}\n{}\n{}\n{}",
            self.algorithm,
            self.timestamp,
            self.scope,
            hex(hash.as_ref())
        );
        let step = |key: &[u8], data: &str| {
            let key = hmac::Key::new(hmac::HMAC_SHA256, key);
            hmac::sign(&key, data.as_bytes()).as_ref().to_vec()
        };
        let start = format!("AWS4{SECRET}").into_bytes();
        let key = self
            .scope
            .split('/')
            .fold(start, |key, part| step(&key, part));
        hex(&step(&key, &text))
    }

    async fn send(&self, gateway: &Running) -> Answer {
        let url = gateway.url();
        let host = url.strip_prefix("http://").unwrap();
        let authorization = format!(
            "{} Credential={}/{}, SignedHeaders={}, Signature={}",
            self.algorithm,
            self.key,
            self.scope,
            self.signed_headers,
            self.signature(host, &self.query)
        );
        self.send_as(gateway, &[&authorization]).await
    }

    async fn send_as(&self, gateway: &Running, authorizations: &[&str]) -> Answer {
        let mut headers: Vec<(&str, &str)> = authorizations
            .iter()
            .map(|value| ("authorization", *value))
            .collect();
        headers.extend(
            self.headers
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_str())),
        );
        let target = match self.query.as_str() {
            "" => self.path.clone(),
            query => format!("{}?{query}", self.path),
        };
        send(
            gateway,
            self.method,
            &target,
            &headers,
            self.body.as_bytes(),
        )
        .await
    }
}

fn refused(name: &str, kind: &str, answer: &Answer) {
    assert_eq!(answer.status, 403, "{kind}, {name}: {}", answer.body);
    if kind == "HTTP" {
        assert_eq!(answer.body, r#"{"message":"Forbidden"}"#, "{name}");
        return;
    }
    assert!(
        [
            "InvalidSignatureException",
            "IncompleteSignatureException",
            "UnrecognizedClientException",
            "MissingAuthenticationTokenException",
        ]
        .contains(&error_type(answer)),
        "{name}: {} {}",
        error_type(answer),
        answer.body
    );
    assert!(!answer.body.contains(SECRET), "{name}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_signature_must_cover_and_say() {
    let rest = serve(true, json!(null)).await;
    let http = serve(false, json!(null)).await;
    let base = Signed::default;
    let hash = |text: &str| hex(digest::digest(&digest::SHA256, text.as_bytes()).as_ref());
    let good = [
        ("plain", base()),
        (
            "sorted names",
            base().with("x-own", "1").covers("host;x-amz-date;x-own"),
        ),
        ("a header that is not signed", base().with("x-own", "1")),
        (
            "a header twice",
            base()
                .with("x-own", "1")
                .with("x-own", "2")
                .covers("host;x-amz-date;x-own"),
        ),
        (
            "parameters twice",
            Signed {
                query: "a=1&a=1&a=2".to_owned(),
                ..base()
            },
        ),
        (
            "a body",
            Signed {
                method: "POST",
                body: "x",
                payload_hash: hash("x"),
                ..base()
            },
        ),
        (
            "a told hash",
            Signed {
                method: "POST",
                body: "x",
                payload_hash: hash("x"),
                ..base()
            }
            .with("x-amz-content-sha256", &hash("x"))
            .covers("host;x-amz-content-sha256;x-amz-date"),
        ),
        (
            "a body that is not signed",
            Signed {
                method: "POST",
                body: "x",
                payload_hash: "UNSIGNED-PAYLOAD".to_owned(),
                ..base()
            }
            .with("x-amz-content-sha256", "UNSIGNED-PAYLOAD")
            .covers("host;x-amz-content-sha256;x-amz-date"),
        ),
        (
            "a date alone",
            Signed {
                headers: vec![("date".to_owned(), DATE.to_owned())],
                ..base()
            }
            .covers("date;host"),
        ),
        (
            "the time of HTTP",
            Signed {
                headers: vec![(
                    "date".to_owned(),
                    "Fri, 15 Jan 2027 08:00:00 GMT".to_owned(),
                )],
                ..base()
            }
            .covers("date;host"),
        ),
        ("as early as may be", base().at("20270115T075500Z")),
        ("as late as may be", base().at("20270115T080500Z")),
    ];
    let absent = |names: &str| Signed {
        covered: Some(vec![
            ("x-amz-date".to_owned(), DATE.to_owned()),
            ("x-own".to_owned(), String::new()),
        ]),
        ..base().covers(names)
    };
    let told = |method: &'static str, body: &'static str, told: &str| {
        Signed {
            method,
            body,
            payload_hash: told.to_owned(),
            ..base()
        }
        .with("x-amz-content-sha256", told)
        .covers("host;x-amz-content-sha256;x-amz-date")
    };
    let bad = [
        ("no host", base().covers("x-amz-date")),
        ("nothing", base().covers("")),
        ("no date", base().covers("host")),
        ("names in capitals", base().covers("Host;X-Amz-Date")),
        ("one name in capitals", base().covers("host;X-Amz-Date")),
        ("names out of order", base().covers("x-amz-date;host")),
        ("a name twice", base().covers("host;host;x-amz-date")),
        ("an empty name", base().covers("host;;x-amz-date")),
        ("a name too many", base().covers("host;x-amz-date;")),
        (
            "a header that is not there",
            absent("host;x-amz-date;x-own"),
        ),
        ("a blank among the names", base().covers("host; x-amz-date")),
        ("commas among the names", base().covers("host,x-amz-date")),
        (
            "a session's token that is not signed",
            base().with("x-amz-security-token", "the-token"),
        ),
        (
            "a session's token of nobody",
            base()
                .with("x-amz-security-token", "t")
                .covers("host;x-amz-date;x-amz-security-token"),
        ),
        (
            "an empty token",
            base()
                .with("x-amz-security-token", "")
                .covers("host;x-amz-date;x-amz-security-token"),
        ),
        (
            "a session without its token",
            Signed {
                key: "SESSION",
                ..base()
            },
        ),
        (
            "another token",
            Signed {
                key: "SESSION",
                ..base()
            }
            .with("x-amz-security-token", "the-toke")
            .covers("host;x-amz-date;x-amz-security-token"),
        ),
        (
            "the token twice",
            Signed {
                key: "SESSION",
                ..base()
            }
            .with("x-amz-security-token", "the-token")
            .with("x-amz-security-token", "the-token")
            .covers("host;x-amz-date;x-amz-security-token"),
        ),
        (
            "the token unsigned",
            Signed {
                key: "SESSION",
                ..base()
            }
            .with("x-amz-security-token", "the-token"),
        ),
        (
            "a hash that is not signed",
            base().with("x-amz-content-sha256", EMPTY),
        ),
        (
            "a payload that is not signed, told by an unsigned header",
            Signed {
                payload_hash: "UNSIGNED-PAYLOAD".to_owned(),
                ..base()
            }
            .with("x-amz-content-sha256", "UNSIGNED-PAYLOAD"),
        ),
        (
            "a payload that is not signed, told by nobody",
            Signed {
                payload_hash: "UNSIGNED-PAYLOAD".to_owned(),
                ..base()
            },
        ),
        ("another body's hash", told("POST", "x", &hash("y"))),
        ("the empty hash with a body", told("POST", "x", EMPTY)),
        ("a body's hash without it", told("POST", "", &hash("x"))),
        (
            "another body",
            Signed {
                method: "POST",
                body: "x",
                payload_hash: hash("y"),
                ..base()
            },
        ),
        (
            "a body behind nothing",
            Signed {
                method: "POST",
                body: "x",
                ..base()
            },
        ),
        (
            "chunks",
            told("POST", "x", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"),
        ),
        (
            "chunks with a trailer",
            told("POST", "x", "STREAMING-UNSIGNED-PAYLOAD-TRAILER"),
        ),
        (
            "chunks of the other kind",
            told("POST", "x", "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD"),
        ),
        ("small letters", told("POST", "x", "unsigned-payload")),
        ("an empty hash", told("POST", "x", "")),
        ("half a hash", told("POST", "x", &hash("x")[..32])),
        (
            "another region",
            base().scope("20270115/eu-west-1/execute-api/aws4_request"),
        ),
        (
            "the region in capitals",
            base().scope("20270115/US-EAST-1/execute-api/aws4_request"),
        ),
        (
            "no region",
            base().scope("20270115//execute-api/aws4_request"),
        ),
        (
            "any region",
            base().scope("20270115/*/execute-api/aws4_request"),
        ),
        (
            "another service",
            base().scope("20270115/us-east-1/lambda/aws4_request"),
        ),
        (
            "the service in capitals",
            base().scope("20270115/us-east-1/Execute-Api/aws4_request"),
        ),
        (
            "another end",
            base().scope("20270115/us-east-1/execute-api/aws4_requests"),
        ),
        (
            "the end in capitals",
            base().scope("20270115/us-east-1/execute-api/AWS4_REQUEST"),
        ),
        ("no end", base().scope("20270115/us-east-1/execute-api")),
        (
            "a part too many",
            base().scope("20270115/us-east-1/execute-api/aws4_request/x"),
        ),
        (
            "yesterday's scope",
            base().scope("20270114/us-east-1/execute-api/aws4_request"),
        ),
        (
            "tomorrow's scope",
            base().scope("20270116/us-east-1/execute-api/aws4_request"),
        ),
        (
            "a scope of the wrong form",
            base().scope("2027-01-15/us-east-1/execute-api/aws4_request"),
        ),
        (
            "an empty date",
            base().scope("/us-east-1/execute-api/aws4_request"),
        ),
        ("too early", base().at("20270115T075459Z")),
        ("too late", base().at("20270115T080501Z")),
        (
            "long ago",
            base()
                .at("20260115T080000Z")
                .scope("20260115/us-east-1/execute-api/aws4_request"),
        ),
        (
            "the beginning of time",
            base()
                .at("19700101T000000Z")
                .scope("19700101/us-east-1/execute-api/aws4_request"),
        ),
        (
            "the end of time",
            base()
                .at("99991231T235959Z")
                .scope("99991231/us-east-1/execute-api/aws4_request"),
        ),
        (
            "before time",
            base()
                .at("00000101T000000Z")
                .scope("00000101/us-east-1/execute-api/aws4_request"),
        ),
        (
            "a day that there is not",
            base()
                .at("20270132T080000Z")
                .scope("20270132/us-east-1/execute-api/aws4_request"),
        ),
        ("a time with dashes", base().at("2027-01-15T08:00:00Z")),
        ("a time without Z", base().at("20270115T080000")),
        ("a time in small letters", base().at("20270115t080000z")),
        ("a time elsewhere", base().at("20270115T080000+0000")),
        ("a day alone", base().at("20270115")),
        ("seconds", base().at(&NOW.to_string())),
        ("an empty time", base().at("")),
        ("two times", base().with("x-amz-date", "20270115T080001Z")),
        (
            "another algorithm",
            Signed {
                algorithm: "AWS4-HMAC-SHA512".to_owned(),
                ..base()
            },
        ),
        (
            "an older one",
            Signed {
                algorithm: "AWS4-HMAC-SHA1".to_owned(),
                ..base()
            },
        ),
        (
            "small letters",
            Signed {
                algorithm: "aws4-hmac-sha256".to_owned(),
                ..base()
            },
        ),
        (
            "version 4A",
            Signed {
                algorithm: "AWS4-ECDSA-P256-SHA256".to_owned(),
                ..base()
            },
        ),
        (
            "version 3",
            Signed {
                algorithm: "AWS3-HTTPS".to_owned(),
                ..base()
            },
        ),
        (
            "nobody's key",
            Signed {
                key: "NOBODY",
                ..base()
            },
        ),
        (
            "a key in small letters",
            Signed {
                key: "akidexample",
                ..base()
            },
        ),
        (
            "a key with a blank",
            Signed {
                key: "AKIDEXAMPLE ",
                ..base()
            },
        ),
        ("no key", Signed { key: "", ..base() }),
        ("any key", Signed { key: "*", ..base() }),
        (
            "a key with a NUL told",
            Signed {
                key: "AKIDEXAMPLE%00",
                ..base()
            },
        ),
        (
            "another method told",
            base().with("x-http-method-override", "DELETE"),
        ),
    ];
    for (kind, gateway) in [("REST", &rest), ("HTTP", &http)] {
        for (name, signed) in &good {
            let answer = signed.send(gateway).await;
            assert_eq!(answer.status, 200, "{kind}, {name}: {}", answer.body);
        }
        for (name, signed) in &bad {
            // HTTP APIs have no overriding of methods.
            if kind == "HTTP" && *name == "another method told" {
                continue;
            }
            refused(name, kind, &signed.send(gateway).await);
        }
        assert_eq!(base().send(gateway).await.status, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signature_is_told_once_and_in_one_place() {
    let rest = serve(true, json!(null)).await;
    let http = serve(false, json!(null)).await;
    for (kind, gateway) in [("REST", &rest), ("HTTP", &http)] {
        let url = gateway.url();
        let host = url.strip_prefix("http://").unwrap();
        let base = Signed::default();
        let signature = base.signature(host, "");
        let credential = format!("Credential={KEY}/{}", base.scope);
        let names = "SignedHeaders=host;x-amz-date";
        let good = format!("AWS4-HMAC-SHA256 {credential}, {names}, Signature={signature}");
        for good in [
            good.clone(),
            good.replace(", ", ","),
            format!("AWS4-HMAC-SHA256 Signature={signature}, {names}, {credential}"),
        ] {
            assert_eq!(
                base.send_as(gateway, &[&good]).await.status,
                200,
                "{kind} {good}"
            );
        }
        for (name, told) in [
            ("twice", vec![good.as_str(), good.as_str()]),
            ("with a token", vec![good.as_str(), "Bearer x"]),
            ("behind a token", vec!["Bearer x", good.as_str()]),
            ("with an empty one", vec![good.as_str(), ""]),
            ("behind an empty one", vec!["", good.as_str()]),
            ("nowhere", vec![]),
        ] {
            refused(name, kind, &base.send_as(gateway, &told).await);
        }
        for told in [
            good.replace("Signature=", "signature="),
            good.replace("Credential=", "credential="),
            good.replace("SignedHeaders=", "signedheaders="),
            good.replace(&signature, &signature.to_uppercase()),
            good.replace(&signature, &format!("{signature} ")) + "x",
            good.replace(&signature, &format!("\"{signature}\"")),
            good.replace(&signature, &signature[..63]),
            good.replace(&signature, &format!("{signature}0")),
            good.replace(&signature, &"0".repeat(64)),
            good.replace(&signature, ""),
            format!("{good}, Signature={signature}"),
            format!("{good}, {credential}"),
            format!("{good}, {names}"),
            format!("{good}, x"),
            format!("Bearer {good}"),
            format!("AWS4-HMAC-SHA256 {good}"),
            good.replace("AWS4-HMAC-SHA256 ", "AWS4-HMAC-SHA256"),
            good.replace("AWS4-HMAC-SHA256 ", ""),
            good.replace(", ", " "),
            good.replace(", ", "; "),
            good.replace(", ", "&"),
            good.replace('=', ":"),
            good.replace("host;x-amz-date", "host%3Bx-amz-date"),
        ] {
            refused(&told, kind, &base.send_as(gateway, &[&told]).await);
        }
        // A second host; and one that was not signed.
        let twice = base.clone().with("host", "evil.example");
        let answer = twice.send_as(gateway, &[&good]).await;
        assert!(
            [400, 403].contains(&answer.status),
            "{kind}: {}",
            answer.body
        );
        // Paths that lead elsewhere or are spelt otherwise.
        for path in [
            "/a/", "//a", "/%61", "/a/.", "/./a", "/x/../a", "/a/%2e", "/a;x", "/A",
        ] {
            let other = Signed {
                path: path.to_owned(),
                ..base.clone()
            };
            let answer = other.send_as(gateway, &[&good]).await;
            refused(path, kind, &answer);
        }
    }
}

/// A presigned target: `change` may say anything before it is signed.
fn presigned(
    host: &str,
    signed: &Signed,
    change: impl Fn(&mut Vec<(&'static str, String)>),
) -> String {
    let mut parameters = vec![
        ("X-Amz-Algorithm", signed.algorithm.clone()),
        (
            "X-Amz-Credential",
            format!("{}/{}", signed.key, signed.scope),
        ),
        ("X-Amz-Date", signed.timestamp.clone()),
        ("X-Amz-Expires", "60".to_owned()),
        ("X-Amz-SignedHeaders", signed.signed_headers.clone()),
    ];
    change(&mut parameters);
    let encode = |text: &str| {
        const ALL: &percent_encoding::AsciiSet = &percent_encoding::NON_ALPHANUMERIC
            .remove(b'-')
            .remove(b'_')
            .remove(b'.')
            .remove(b'~');
        percent_encoding::utf8_percent_encode(text, ALL).to_string()
    };
    let mut pairs: Vec<String> = parameters
        .iter()
        .map(|(name, value)| format!("{}={}", encode(name), encode(value)))
        .collect();
    pairs.sort();
    let query = pairs.join("&");
    let signature = signed.signature(host, &query);
    format!("{}?{query}&X-Amz-Signature={signature}", signed.path)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_presigned_request_must_say() {
    type Change = fn(&mut Vec<(&'static str, String)>);
    let rest = serve(true, json!(null)).await;
    let http = serve(false, json!(null)).await;
    fn set(parameters: &mut [(&'static str, String)], name: &str, value: &str) {
        for (own, old) in parameters {
            if *own == name {
                value.clone_into(old);
            }
        }
    }
    let base = || Signed {
        headers: Vec::new(),
        ..Signed::default().covers("host")
    };
    let at = |time: &str| Signed {
        timestamp: time.to_owned(),
        ..base()
    };
    let session = || Signed {
        key: "SESSION",
        ..base()
    };
    let good: Vec<(&str, Signed, Change)> = vec![
        ("plain", base(), |_| {}),
        ("for a second", base(), |p| set(p, "X-Amz-Expires", "1")),
        (
            "for a week",
            at("20270108T080000Z").scope("20270108/us-east-1/execute-api/aws4_request"),
            |p| set(p, "X-Amz-Expires", "604800"),
        ),
        ("until now", at("20270115T075900Z"), |_| {}),
        ("of soon", at("20270115T080500Z"), |_| {}),
        ("with a token", session(), |p| {
            p.push(("X-Amz-Security-Token", "the-token".into()))
        }),
        ("with another parameter", base(), |p| {
            p.push(("a", "1".into()))
        }),
    ];
    let bad: Vec<(&str, Signed, Change)> = vec![
        ("for no time", base(), |p| set(p, "X-Amz-Expires", "0")),
        ("for longer than a week", base(), |p| {
            set(p, "X-Amz-Expires", "604801")
        }),
        ("for less than no time", base(), |p| {
            set(p, "X-Amz-Expires", "-60")
        }),
        ("for a fraction", base(), |p| {
            set(p, "X-Amz-Expires", "60.5")
        }),
        ("for no number", base(), |p| set(p, "X-Amz-Expires", "60s")),
        ("with a blank", base(), |p| set(p, "X-Amz-Expires", " 60")),
        ("for ever", base(), |p| {
            set(p, "X-Amz-Expires", "99999999999999999999")
        }),
        ("for nothing", base(), |p| set(p, "X-Amz-Expires", "")),
        ("without saying", base(), |p| {
            p.retain(|(name, _)| *name != "X-Amz-Expires")
        }),
        ("twice", base(), |p| p.push(("X-Amz-Expires", "600".into()))),
        ("over", at("20270115T075859Z"), |_| {}),
        ("not yet", at("20270115T080501Z"), |_| {}),
        (
            "over by days",
            at("20270113T080000Z").scope("20270113/us-east-1/execute-api/aws4_request"),
            |p| set(p, "X-Amz-Expires", "86400"),
        ),
        ("no algorithm", base(), |p| {
            p.retain(|(name, _)| *name != "X-Amz-Algorithm")
        }),
        ("no credential", base(), |p| {
            p.retain(|(name, _)| *name != "X-Amz-Credential")
        }),
        ("no date", base(), |p| {
            p.retain(|(name, _)| *name != "X-Amz-Date")
        }),
        ("no names", base(), |p| {
            p.retain(|(name, _)| *name != "X-Amz-SignedHeaders")
        }),
        ("two dates", base(), |p| p.push(("X-Amz-Date", DATE.into()))),
        ("two credentials", base(), |p| {
            p.push((
                "X-Amz-Credential",
                "NOBODY/20270115/us-east-1/execute-api/aws4_request".into(),
            ))
        }),
        ("two algorithms", base(), |p| {
            p.push(("X-Amz-Algorithm", "none".into()))
        }),
        ("no host", base().covers("x-amz-date"), |_| {}),
        (
            "a header that is not there",
            base().covers("host;x-own"),
            |_| {},
        ),
        (
            "another algorithm",
            Signed {
                algorithm: "AWS4-HMAC-SHA1".to_owned(),
                ..base()
            },
            |_| {},
        ),
        (
            "nobody's key",
            Signed {
                key: "NOBODY",
                ..base()
            },
            |_| {},
        ),
        (
            "another region",
            base().scope("20270115/eu-west-1/execute-api/aws4_request"),
            |_| {},
        ),
        (
            "another service",
            base().scope("20270115/us-east-1/s3/aws4_request"),
            |_| {},
        ),
        (
            "another day",
            base().scope("20270114/us-east-1/execute-api/aws4_request"),
            |_| {},
        ),
        ("a session without its token", session(), |_| {}),
        ("another token", session(), |p| {
            p.push(("X-Amz-Security-Token", "another".into()))
        }),
        ("an empty token", session(), |p| {
            p.push(("X-Amz-Security-Token", String::new()))
        }),
        ("a token twice", session(), |p| {
            p.extend([
                ("X-Amz-Security-Token", "the-token".into()),
                ("X-Amz-Security-Token", "the-token".into()),
            ])
        }),
        ("a token of nobody", base(), |p| {
            p.push(("X-Amz-Security-Token", "the-token".into()))
        }),
        ("names in small letters", base(), |p| {
            for (name, value) in p.clone() {
                let lower: &'static str = match name {
                    "X-Amz-Algorithm" => "x-amz-algorithm",
                    "X-Amz-Credential" => "x-amz-credential",
                    "X-Amz-Date" => "x-amz-date",
                    "X-Amz-Expires" => "x-amz-expires",
                    _ => "x-amz-signedheaders",
                };
                p.retain(|(own, _)| *own != name);
                p.push((lower, value));
            }
        }),
    ];
    for (kind, gateway) in [("REST", &rest), ("HTTP", &http)] {
        let url = gateway.url();
        let host = url.strip_prefix("http://").unwrap();
        for (name, signed, change) in &good {
            let target = presigned(host, signed, change);
            let answer = send(gateway, "GET", &target, &[], b"").await;
            assert_eq!(answer.status, 200, "{kind}, {name}: {}", answer.body);
        }
        for (name, signed, change) in &bad {
            let target = presigned(host, signed, change);
            refused(name, kind, &send(gateway, "GET", &target, &[], b"").await);
        }
        let target = presigned(host, &base(), |_| {});
        let signature = target.rsplit('=').next().unwrap().to_owned();
        for (name, target, headers) in [
            (
                "a header beside it",
                target.clone(),
                vec![("authorization", "Bearer x")],
            ),
            (
                "a date beside it",
                target.clone(),
                vec![("x-amz-date", DATE)],
            ),
            (
                "a token beside it",
                target.clone(),
                vec![("x-amz-security-token", "the-token")],
            ),
            (
                "a hash beside it",
                target.clone(),
                vec![("x-amz-content-sha256", "UNSIGNED-PAYLOAD")],
            ),
            (
                "two signatures",
                format!("{target}&X-Amz-Signature={signature}"),
                vec![],
            ),
            ("a parameter behind", format!("{target}&a=1"), vec![]),
            ("an empty parameter behind", format!("{target}&a"), vec![]),
            ("a parameter in front", target.replace('?', "?a=1&"), vec![]),
            ("another path", target.replace("/a?", "/b?"), vec![]),
            (
                "an encoded name",
                target.replace("X-Amz-Expires", "X%2DAmz-Expires") + "&X-Amz-Expires=600",
                vec![],
            ),
            (
                "capitals",
                target.replace(&signature, &signature.to_uppercase()),
                vec![],
            ),
            (
                "no signature",
                target.replace(&format!("&X-Amz-Signature={signature}"), ""),
                vec![],
            ),
            ("an empty signature", target.replace(&signature, ""), vec![]),
        ] {
            refused(
                name,
                kind,
                &send(gateway, "GET", &target, &headers, b"").await,
            );
        }
        for method in ["POST", "HEAD", "DELETE"] {
            assert_eq!(
                send(gateway, method, &target, &[], b"").await.status,
                403,
                "{method}"
            );
        }
        refused(
            "a body",
            kind,
            &send(gateway, "GET", &target, &[], b"x").await,
        );
        assert_eq!(send(gateway, "GET", &target, &[], b"").await.status, 200);
    }
}
