//! Signed requests: AWS's own signer is the oracle, and nothing may be changed after it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    SignableBody, SignableRequest, SignatureLocation, SigningSettings, sign,
};
use aws_sigv4::sign::v4;
use proptest::prelude::*;
use serde_json::json;
use tollgate::Gateway;
use tollgate::base::Clock;
use tollgate::server::Running;

use super::{Answer, echo, echo_http, send};

pub(super) const NOW: u64 = 1_800_000_000;
pub(super) const KEY: &str = "AKIDEXAMPLE";
pub(super) const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

pub(super) async fn serve(rest: bool, policy: serde_json::Value) -> Running {
    let integration = if rest { echo() } else { echo_http() };
    let operation = json!({
        "x-amazon-apigateway-any-method": {"security": [{"sigv4": []}], "x-amazon-apigateway-integration": integration},
    });
    let mut document = json!({
        "openapi": "3.0.1", "info": {"title": "t", "version": "1"},
        "paths": {"/a": operation, "/{proxy+}": operation},
        "components": {"securitySchemes": {"sigv4": {
            "type": "apiKey", "name": "Authorization", "in": "header", "x-amazon-apigateway-authtype": "awsSigv4",
        }}},
    });
    if !policy.is_null() {
        document["x-amazon-apigateway-policy"] = policy;
    }
    let config = json!({
        "apiType": if rest { "rest" } else { "http" },
        "iam": {"users": [
            {"accessKeyId": KEY, "secretAccessKey": SECRET, "userArn": "arn:aws:iam::123456789012:user/alice"},
            {"accessKeyId": "SESSION", "secretAccessKey": SECRET, "sessionToken": "the-token", "expiration": "2027-01-15T08:00:01Z",
             "userArn": "arn:aws:sts::123456789012:assumed-role/Admin/me"},
            {"accessKeyId": "OVER", "secretAccessKey": SECRET, "sessionToken": "the-token", "expiration": "2027-01-15T08:00:00Z",
             "userArn": "arn:aws:sts::123456789012:assumed-role/Admin/me"},
            {"accessKeyId": "NOTHING", "secretAccessKey": SECRET, "userArn": "arn:aws:iam::123456789012:user/nobody", "policies": []},
            {"accessKeyId": "ONLYA", "secretAccessKey": SECRET, "userArn": "arn:aws:iam::123456789012:user/some", "policies": [
                {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "execute-api:Invoke", "Resource": "arn:aws:execute-api:*:*:*/*/GET/a"}]},
            ]},
            {"accessKeyId": "OTHER", "secretAccessKey": SECRET, "userArn": "arn:aws:iam::999999999999:user/bob"},
        ]},
    });
    Gateway::builder()
        .openapi_text(document.to_string())
        .config_text(config.to_string())
        .clock(Clock::Fixed(Duration::from_secs(NOW)))
        .spawn()
        .await
        .unwrap()
}

/// What is signed, and how.
#[derive(Clone)]
struct Signed {
    key: &'static str,
    secret: &'static str,
    token: Option<&'static str>,
    region: &'static str,
    service: &'static str,
    time: u64,
    /// Presigned for so long.
    presigned: Option<Duration>,
    unsigned_payload: bool,
}

impl Default for Signed {
    fn default() -> Self {
        Self {
            key: KEY,
            secret: SECRET,
            token: None,
            region: "us-east-1",
            service: "execute-api",
            time: NOW,
            presigned: None,
            unsigned_payload: false,
        }
    }
}

impl Signed {
    /// Headers to add, and the target with what is added to its query.
    fn sign(
        &self,
        gateway: &Running,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> (Vec<(String, String)>, String) {
        let identity = Credentials::new(
            self.key,
            self.secret,
            self.token.map(str::to_owned),
            None,
            "test",
        )
        .into();
        let mut settings = SigningSettings::default();
        // What is routed is what is signed: the gateway resolves nothing in a path.
        settings.uri_path_normalization_mode =
            aws_sigv4::http_request::UriPathNormalizationMode::Disabled;
        if let Some(life) = self.presigned {
            settings.signature_location = SignatureLocation::QueryParams;
            settings.expires_in = Some(life);
        }
        let time: SystemTime = UNIX_EPOCH + Duration::from_secs(self.time);
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(self.region)
            .name(self.service)
            .time(time)
            .settings(settings)
            .build()
            .unwrap()
            .into();
        let url = gateway.url();
        let host = url.strip_prefix("http://").unwrap();
        let mut all = vec![("host", host)];
        all.extend_from_slice(headers);
        if self.unsigned_payload {
            all.push(("x-amz-content-sha256", "UNSIGNED-PAYLOAD"));
        }
        let payload = if self.unsigned_payload {
            SignableBody::UnsignedPayload
        } else {
            SignableBody::Bytes(body)
        };
        let uri = format!("{url}{target}");
        let request = SignableRequest::new(method, uri, all.into_iter(), payload).unwrap();
        let (instructions, _) = sign(request, &params).unwrap().into_parts();
        let (signed, query) = instructions.into_parts();
        let mut added: Vec<(String, String)> = signed
            .iter()
            .map(|header| (header.name().to_owned(), header.value().to_owned()))
            .collect();
        added.extend(
            headers
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
        );
        if self.unsigned_payload {
            added.push((
                "x-amz-content-sha256".to_owned(),
                "UNSIGNED-PAYLOAD".to_owned(),
            ));
        }
        let mut target = target.to_owned();
        for (name, value) in query {
            let glue = if target.contains('?') { '&' } else { '?' };
            let value =
                percent_encoding::utf8_percent_encode(&value, percent_encoding::NON_ALPHANUMERIC);
            target.push_str(&format!("{glue}{name}={value}"));
        }
        (added, target)
    }

    async fn send(&self, gateway: &Running, method: &str, target: &str, body: &[u8]) -> Answer {
        let (headers, target) = self.sign(gateway, method, target, &[], body);
        send_owned(gateway, method, &target, &headers, body).await
    }
}

async fn send_owned(
    gateway: &Running,
    method: &str,
    target: &str,
    headers: &[(String, String)],
    body: &[u8],
) -> Answer {
    let headers: Vec<(&str, &str)> = headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    send(gateway, method, target, &headers, body).await
}

pub(super) fn error_type(answer: &Answer) -> &str {
    answer.header("x-amzn-errortype").unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_aws_signs_passes() {
    let rest = serve(true, json!(null)).await;
    let http = serve(false, json!(null)).await;
    for gateway in [&rest, &http] {
        for (method, target, body) in [
            ("GET", "/a", ""),
            ("POST", "/a", "body"),
            ("GET", "/x/y%20z/%C3%A4/~tilde-_.", ""),
            ("GET", "/a?b=2&a=1&a=%7E&c=&d=x%20y%2Bz%26", ""),
            ("DELETE", "/x/%2F/%25", ""),
            ("PUT", "/x/a:b@c!$&'()*,;=", "{}"),
        ] {
            let answer = Signed::default()
                .send(gateway, method, target, body.as_bytes())
                .await;
            assert_eq!(answer.status, 200, "{method} {target}: {}", answer.body);
            let presigned = Signed {
                presigned: Some(Duration::from_secs(60)),
                ..Signed::default()
            };
            let answer = presigned
                .send(gateway, method, target, body.as_bytes())
                .await;
            assert_eq!(
                answer.status, 200,
                "presigned {method} {target}: {}",
                answer.body
            );
        }
    }
    let seen = Signed::default().send(&rest, "GET", "/a", b"").await.json();
    let iam = &seen["authorizer"]["iam"];
    assert_eq!(iam["accessKey"], KEY);
    assert_eq!(iam["userArn"], "arn:aws:iam::123456789012:user/alice");
    assert_eq!(iam["accountId"], "123456789012");
    assert_eq!(iam["userId"], iam["callerId"]);
    assert!(iam["userId"].as_str().unwrap().starts_with("AIDA"));
    let seen = Signed::default().send(&http, "GET", "/a", b"").await.json();
    assert_eq!(seen["authorizer"]["iam"]["accessKey"], KEY);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_may_be_changed_after_signing() {
    let gateway = serve(true, json!(null)).await;
    let target = "/a/b?x=1&y=2";
    let extra = [("x-amz-meta", "one"), ("content-type", "text/plain")];
    let (headers, _) = Signed::default().sign(&gateway, "POST", target, &extra, b"body");
    let good = send_owned(&gateway, "POST", target, &headers, b"body").await;
    assert_eq!(good.status, 200, "{}", good.body);

    for (method, target, body) in [
        ("PUT", target, "body"),
        ("POST", "/a/c?x=1&y=2", "body"),
        ("POST", "/a/./b?x=1&y=2", "body"),
        ("POST", "/a/x/../b?x=1&y=2", "body"),
        ("POST", "/a//b?x=1&y=2", "body"),
        ("POST", "/a/%62?x=1&y=2", "body"),
        ("POST", "/a/b?x=1&y=3", "body"),
        ("POST", "/a/b?x=1", "body"),
        ("POST", "/a/b?x=1&y=2&z=3", "body"),
        ("POST", "/a/b?x=1&y=2&y=2", "body"),
        ("POST", target, "other"),
        ("POST", target, ""),
        ("POST", target, "body "),
    ] {
        let answer = send_owned(&gateway, method, target, &headers, body.as_bytes()).await;
        assert_eq!(answer.status, 403, "{method} {target} {body}");
        assert_eq!(error_type(&answer), "InvalidSignatureException");
    }
    let change = |name: &str, value: &str| -> Vec<(String, String)> {
        headers
            .iter()
            .map(|(own, old)| {
                let value = if own == name { value } else { old };
                (own.clone(), value.to_owned())
            })
            .collect()
    };
    for headers in [
        change("x-amz-meta", "two"),
        change("content-type", "text/html"),
        change("x-amz-date", "20270115T080001Z"),
        [headers.clone(), vec![("x-amz-meta".into(), "two".into())]].concat(),
        [
            headers.clone(),
            vec![("x-amz-security-token".into(), "t".into())],
        ]
        .concat(),
        [
            headers.clone(),
            vec![("x-amz-content-sha256".into(), "UNSIGNED-PAYLOAD".into())],
        ]
        .concat(),
        headers
            .iter()
            .filter(|(name, _)| name != "x-amz-meta")
            .cloned()
            .collect(),
    ] {
        let answer = send_owned(&gateway, "POST", target, &headers, b"body").await;
        assert_eq!(answer.status, 403, "{headers:?}");
    }
    let authorization = &headers
        .iter()
        .find(|(name, _)| name == "authorization")
        .unwrap()
        .1;
    for forged in [
        authorization.replace(KEY, "SESSION"),
        authorization.replace(KEY, "unknown"),
        authorization.replace("us-east-1", "eu-west-1"),
        authorization.replace("execute-api", "s3"),
        authorization.replace("aws4_request", "aws5_request"),
        authorization.replace("20270115", "20270116"),
        authorization.replace("AWS4-HMAC-SHA256", "AWS4-HMAC-SHA1"),
        authorization.replace("AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256"),
        authorization.replace("host;", ""),
        authorization.replace("host;", "host;host;"),
        authorization.replace("host;", "Host;"),
        authorization.replace("host;", ";"),
        authorization.to_uppercase(),
        authorization.replace("Signature=", "Signature=0"),
        format!("{authorization}00"),
        authorization[..authorization.len() - 2].to_owned(),
        format!("{authorization}, Signature={}", "0".repeat(64)),
        format!("{authorization}, Credential={KEY}/20270115/us-east-1/execute-api/aws4_request"),
        authorization.split("Signature=").next().unwrap().to_owned(),
        format!(
            "{}Signature={}",
            authorization.split("Signature=").next().unwrap(),
            "0".repeat(64)
        ),
        format!(
            "{}Signature=",
            authorization.split("Signature=").next().unwrap()
        ),
        "AWS4-HMAC-SHA256".to_owned(),
        "AWS4-HMAC-SHA256 ".to_owned(),
        "AWS4-HMAC-SHA256 Credential=, SignedHeaders=, Signature=".to_owned(),
        "AWS4-HMAC-SHA256 Credential=////, SignedHeaders=host, Signature=00".to_owned(),
        "AWS AKID:signature".to_owned(),
        "Bearer token".to_owned(),
        "=".to_owned(),
        ",".repeat(4000),
    ] {
        let headers = change("authorization", &forged);
        let answer = send_owned(&gateway, "POST", target, &headers, b"body").await;
        assert_eq!(answer.status, 403, "{forged}");
        assert!(!answer.body.contains("pathParameters"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn times_keys_and_sessions() {
    let gateway = serve(true, json!(null)).await;
    let base = Signed::default();
    let life = Some(Duration::from_secs(600));
    for (signed, expected) in [
        (
            Signed {
                time: NOW - 299,
                ..base.clone()
            },
            "",
        ),
        (
            Signed {
                time: NOW + 299,
                ..base.clone()
            },
            "",
        ),
        (
            Signed {
                time: NOW - 301,
                ..base.clone()
            },
            "InvalidSignatureException",
        ),
        (
            Signed {
                time: NOW + 301,
                ..base.clone()
            },
            "InvalidSignatureException",
        ),
        (
            Signed {
                time: NOW - 86_400,
                ..base.clone()
            },
            "InvalidSignatureException",
        ),
        (
            Signed {
                time: NOW - 590,
                presigned: life,
                ..base.clone()
            },
            "",
        ),
        (
            Signed {
                time: NOW - 601,
                presigned: life,
                ..base.clone()
            },
            "InvalidSignatureException",
        ),
        (
            Signed {
                time: NOW + 301,
                presigned: life,
                ..base.clone()
            },
            "InvalidSignatureException",
        ),
        (
            Signed {
                secret: "wrong",
                ..base.clone()
            },
            "InvalidSignatureException",
        ),
        (
            Signed {
                key: "UNKNOWN",
                ..base.clone()
            },
            "UnrecognizedClientException",
        ),
        (
            Signed {
                region: "eu-west-1",
                ..base.clone()
            },
            "InvalidSignatureException",
        ),
        (
            Signed {
                service: "lambda",
                ..base.clone()
            },
            "InvalidSignatureException",
        ),
        (
            Signed {
                token: Some("the-token"),
                ..base.clone()
            },
            "UnrecognizedClientException",
        ),
        (
            Signed {
                key: "SESSION",
                token: Some("the-token"),
                ..base.clone()
            },
            "",
        ),
        (
            Signed {
                key: "SESSION",
                token: Some("the-token"),
                presigned: life,
                ..base.clone()
            },
            "",
        ),
        (
            Signed {
                key: "SESSION",
                token: Some("another"),
                ..base.clone()
            },
            "UnrecognizedClientException",
        ),
        (
            Signed {
                key: "SESSION",
                ..base.clone()
            },
            "UnrecognizedClientException",
        ),
        (
            Signed {
                key: "OVER",
                token: Some("the-token"),
                ..base.clone()
            },
            "ExpiredTokenException",
        ),
        (
            Signed {
                key: "NOTHING",
                ..base.clone()
            },
            "AccessDeniedException",
        ),
        (
            Signed {
                key: "ONLYA",
                ..base.clone()
            },
            "",
        ),
        (
            Signed {
                key: "OTHER",
                ..base.clone()
            },
            "AccessDeniedException",
        ),
    ] {
        let answer = signed.send(&gateway, "GET", "/a", b"").await;
        assert_eq!(
            error_type(&answer),
            expected,
            "{} {}: {}",
            signed.key,
            signed.time,
            answer.body
        );
        assert_eq!(answer.status, if expected.is_empty() { 200 } else { 403 });
    }
    let denied = Signed {
        key: "ONLYA",
        ..base.clone()
    }
    .send(&gateway, "GET", "/b", b"")
    .await;
    assert!(denied.body.starts_with(r#"{"Message":"User: arn:aws:iam::123456789012:user/some is not authorized to perform: execute-api:Invoke on resource: "#), "{}", denied.body);
    let unsigned = Signed {
        unsigned_payload: true,
        ..base
    };
    let (headers, _) = unsigned.sign(&gateway, "POST", "/a", &[], b"");
    assert_eq!(
        send_owned(&gateway, "POST", "/a", &headers, b"anything")
            .await
            .status,
        200
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn policies_of_the_api_and_of_users_together() {
    let allow = |principal: &str| {
        json!({"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Principal": {"AWS": principal}, "Action": "execute-api:Invoke", "Resource": "execute-api:/*"},
            {"Effect": "Deny", "Principal": "*", "Action": "execute-api:Invoke", "Resource": "execute-api:/dev/GET/closed"},
        ]})
    };
    for (policy, key, path, expected) in [
        // Table A: the API's allow is enough for a user of its account whose policies are silent.
        (
            allow("arn:aws:iam::123456789012:user/nobody"),
            "NOTHING",
            "/a",
            200,
        ),
        (
            allow("arn:aws:iam::123456789012:user/alice"),
            "NOTHING",
            "/a",
            403,
        ),
        (
            allow("arn:aws:iam::123456789012:user/nobody"),
            KEY,
            "/a",
            200,
        ),
        (
            allow("arn:aws:iam::123456789012:user/nobody"),
            KEY,
            "/closed",
            403,
        ),
        // Table B: another account needs both.
        (
            allow("arn:aws:iam::999999999999:user/bob"),
            "OTHER",
            "/a",
            200,
        ),
        (allow("999999999999"), "OTHER", "/a", 200),
        (allow("123456789012"), "OTHER", "/a", 403),
    ] {
        let gateway = serve(true, policy.clone()).await;
        let signed = Signed {
            key,
            ..Signed::default()
        };
        let answer = signed.send(&gateway, "GET", path, b"").await;
        assert_eq!(
            answer.status, expected,
            "{policy} {key} {path}: {}",
            answer.body
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_presigned_request_may_not_be_changed_either() {
    let gateway = serve(true, json!(null)).await;
    let signed = Signed {
        presigned: Some(Duration::from_secs(60)),
        ..Signed::default()
    };
    let (_, target) = signed.sign(&gateway, "GET", "/a?x=1", &[], b"");
    assert_eq!(send(&gateway, "GET", &target, &[], b"").await.status, 200);

    for changed in [
        target.replace("x=1", "x=2"),
        target.replace("X-Amz-Expires=60", "X-Amz-Expires=600"),
        target.replace("X-Amz-Expires=60", "X-Amz-Expires=0"),
        target.replace("X-Amz-Expires=60", "X-Amz-Expires=-1"),
        target.replace("X-Amz-Expires=60", "X-Amz-Expires=99999999"),
        target.replace("X-Amz-SignedHeaders=host", "X-Amz-SignedHeaders="),
        target.replace("X-Amz-Signature=", "X-Amz-Signatur="),
        target.replace("X-Amz-Algorithm=AWS4", "X-Amz-Algorithm=AWS5"),
        format!("{target}&X-Amz-Date=20270115T080000Z"),
        format!("{target}&x=1"),
        target.replace("/a?", "/b?"),
    ] {
        assert_ne!(changed, target);
        let answer = send(&gateway, "GET", &changed, &[], b"").await;
        assert_eq!(answer.status, 403, "{changed}");
    }
    let answer = send(&gateway, "POST", &target, &[], b"").await;
    assert_eq!(answer.status, 403);
}

/// A backend that answers with the head of each request.
async fn backend() -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut read = Vec::new();
            let mut chunk = [0; 4096];
            while !read.ends_with(b"\r\n\r\n") {
                match stream.read(&mut chunk).await {
                    Ok(length) if length > 0 => read.extend_from_slice(&chunk[..length]),
                    _ => break,
                }
            }
            let head = format!(
                "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
                read.len()
            );
            let _ = stream.write_all(&[head.into_bytes(), read].concat()).await;
        }
    });
    url
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signature_stays_with_the_gateway() {
    let uri = format!("{}/", backend().await);
    let integration = json!({"type": "http_proxy", "httpMethod": "GET", "uri": uri});
    let document = json!({
        "openapi": "3.0.1", "info": {"title": "t", "version": "1"},
        "paths": {
            "/open": {"get": {"x-amazon-apigateway-integration": integration}},
            "/a": {"get": {"security": [{"sigv4": []}], "x-amazon-apigateway-integration": integration}},
        },
        "components": {"securitySchemes": {"sigv4": {
            "type": "apiKey", "name": "Authorization", "in": "header", "x-amazon-apigateway-authtype": "awsSigv4",
        }}},
    });
    let config = json!({"iam": {"users": [{"accessKeyId": KEY, "secretAccessKey": SECRET, "userArn": "arn:aws:iam::123456789012:user/alice"}]}});
    let gateway = Gateway::builder()
        .openapi_text(document.to_string())
        .config_text(config.to_string())
        .clock(Clock::Fixed(Duration::from_secs(NOW)))
        .spawn()
        .await
        .unwrap();

    for path in ["/a", "/open"] {
        let seen = Signed::default().send(&gateway, "GET", path, b"").await;
        assert_eq!(seen.status, 200, "{path}: {}", seen.body);
        assert!(seen.body.contains("x-amz-date"), "{path}: {}", seen.body);
        assert!(
            !seen.body.contains("AWS4-HMAC-SHA256"),
            "{path}: {}",
            seen.body
        );
    }
    // What is no signature passes where nothing is asked for.
    let seen = super::get(&gateway, "/open", "Bearer x").await;
    assert!(seen.body.contains("Bearer x"), "{}", seen.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_route_of_a_rest_api_tells_what_is_no_signature() {
    let document = json!({
        "openapi": "3.0.1", "info": {"title": "t", "version": "1"},
        "paths": {"/a": {"get": {"x-amazon-apigateway-integration": echo()}}},
    });
    let gateway = super::serve(&document).await;

    let answer = super::get(&gateway, "/b", "Bearer abc").await;
    assert_eq!(answer.status, 403);
    assert_eq!(error_type(&answer), "IncompleteSignatureException");
    assert!(
        answer.body.contains("key=value pair (missing equal-sign)"),
        "{}",
        answer.body
    );
    assert!(!answer.body.contains("abc"));
    let answer = send(&gateway, "GET", "/b", &[], b"").await;
    assert_eq!(error_type(&answer), "MissingAuthenticationTokenException");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever AWS's signer signs is accepted, whatever stands in path, query and headers.
    #[test]
    fn the_gateway_agrees_with_the_signer_of_aws(
        path in "(/[a-zA-Z0-9._~!$&'()*,;=:@-]{1,8}|/%[2-7][0-9A-F]){1,4}",
        query in "([a-z]{1,3}=([a-zA-Z0-9._~-]|%[2-7][0-9A-F]){0,6}&){0,4}",
        value in "[a-z]{1,4}( {1,3}[a-z,;]{1,4}){0,3}",
        body in "\\PC{0,30}",
        presigned in any::<bool>(),
    ) {
        prop_assume!(!path.split('/').any(|segment| matches!(segment, "." | ".." | "%2E" | "%2E%2E")));
        let query = query.trim_end_matches('&');
        let target = if query.is_empty() { path } else { format!("{path}?{query}") };
        static RUNTIME: std::sync::OnceLock<(tokio::runtime::Runtime, Running)> = std::sync::OnceLock::new();
        let (runtime, gateway) = RUNTIME.get_or_init(|| {
            let runtime = tokio::runtime::Runtime::new().unwrap();
            let gateway = runtime.block_on(serve(true, json!(null)));
            (runtime, gateway)
        });
        let signed = Signed { presigned: presigned.then_some(Duration::from_secs(60)), ..Signed::default() };
        let answer = runtime.block_on(async {
            let (headers, target) = signed.sign(gateway, "POST", &target, &[("x-own", &value)], body.as_bytes());
            send_owned(gateway, "POST", &target, &headers, body.as_bytes()).await
        });
        prop_assert_eq!(answer.status, 200, "{}: {}", target, answer.body);
    }
}
