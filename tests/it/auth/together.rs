//! Authorizers together with resource policies, with each other's routes, and with time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use serde_json::{Value as Json, json};
use tollgate::Gateway;
use tollgate::server::Running;

use super::tokens::{POOL, Stage, header};
use super::{echo, echo_http, get, send};

/// Order and words where a token and a resource policy both guard a method.
#[tokio::test(flavor = "multi_thread")]
async fn a_user_pools_token_and_a_resource_policy() {
    let stage = Stage::set().await;
    let statement = |effect: &str, path: &str| json!({"Effect": effect, "Principal": "*", "Action": "execute-api:Invoke", "Resource": format!("execute-api:/dev/GET/{path}")});
    let operation =
        json!({"get": {"security": [{"pool": []}], "x-amazon-apigateway-integration": echo()}});
    let document = json!({
        "openapi": "3.0.1", "info": {"title": "t", "version": "1"},
        "paths": {"/allowed": operation, "/silent": operation, "/denied": operation},
        "x-amazon-apigateway-policy": {"Version": "2012-10-17", "Statement": [statement("Allow", "allowed"), statement("Allow", "denied"), statement("Deny", "denied")]},
        "components": {"securitySchemes": {"pool": {"type": "apiKey", "name": "Authorization", "in": "header", "x-amazon-apigateway-authorizer": {
            "type": "cognito_user_pools", "providerARNs": [POOL],
        }}}},
    });
    let config = json!({"userPools": {POOL: {"issuer": stage.issuer.url, "jwksUri": format!("{}/jwks.json", stage.issuer.url)}}});
    let gateway = Gateway::builder()
        .openapi_text(document.to_string())
        .config_text(config.to_string())
        .spawn()
        .await
        .unwrap();
    let (good, forged) = (
        stage.good(),
        stage
            .stranger
            .token(&header(json!({})), &stage.claims(json!({}))),
    );

    assert_eq!(get(&gateway, "/allowed", &good).await.status, 200);
    // Who has no token is told so, whatever the policy says.
    for path in ["/allowed", "/silent", "/denied"] {
        let answer = get(&gateway, path, &forged).await;
        assert_eq!(
            (answer.status, answer.json()),
            (401, json!({"message": "Unauthorized"})),
            "{path}"
        );
    }
    for (path, tail) in [
        (
            "/silent",
            " because no resource-based policy allows the execute-api:Invoke action",
        ),
        ("/denied", " with an explicit deny"),
    ] {
        let answer = get(&gateway, path, &good).await;
        assert_eq!(answer.status, 403, "{path}");
        assert_eq!(
            answer.header("x-amzn-errortype"),
            Some("AccessDeniedException")
        );
        let told = answer.json()["Message"].as_str().unwrap().to_owned();
        assert!(
            told.starts_with("User: anonymous is not authorized to perform: execute-api:Invoke on resource: arn:aws:execute-api:us-east-1:********9012:"),
            "{told}"
        );
        assert!(told.ends_with(&format!("/dev/GET{path}{tail}")), "{told}");
    }
}

/// Two pools: each one's tokens by its own keys alone.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_one_pool_by_the_key_of_another() {
    let stage = Stage::set().await;
    let second = super::issuer::Issuer::start(vec![stage.stranger.jwk("k1")]).await;
    let other = POOL.replace("example", "other");
    let document = json!({
        "openapi": "3.0.1", "info": {"title": "t", "version": "1"},
        "paths": {"/a": {"get": {"security": [{"pools": []}], "x-amazon-apigateway-integration": echo()}}},
        "components": {"securitySchemes": {"pools": {"type": "apiKey", "name": "Authorization", "in": "header", "x-amazon-apigateway-authorizer": {
            "type": "cognito_user_pools", "providerARNs": [POOL, other],
        }}}},
    });
    let place = |url: &str| json!({"issuer": url, "jwksUri": format!("{url}/jwks.json")});
    let config = json!({"userPools": {POOL: place(&stage.issuer.url), other: place(&second.url)}});
    let gateway = Gateway::builder()
        .openapi_text(document.to_string())
        .config_text(config.to_string())
        .spawn()
        .await
        .unwrap();
    let (one, two) = (json!({}), json!({"iss": second.url}));
    let plain = header(json!({}));

    for (name, token, expected) in [
        (
            "the first",
            stage.key.token(&plain, &stage.claims(one.clone())),
            200,
        ),
        (
            "the second",
            stage.stranger.token(&plain, &stage.claims(two.clone())),
            200,
        ),
        (
            "the first by the second's key",
            stage.stranger.token(&plain, &stage.claims(one)),
            401,
        ),
        (
            "the second by the first's key",
            stage.key.token(&plain, &stage.claims(two)),
            401,
        ),
        (
            "nobody's",
            stage
                .key
                .token(&plain, &stage.claims(json!({"iss": "https://x"}))),
            401,
        ),
        (
            "of both",
            stage.key.token(
                &plain,
                &stage.claims(json!({"iss": [stage.issuer.url, second.url]})),
            ),
            401,
        ),
        (
            "of none",
            stage.key.token(&plain, &stage.claims(json!({"iss": null}))),
            401,
        ),
        (
            "by another algorithm",
            stage
                .key
                .token(&header(json!({"alg": "RS512"})), &stage.claims(json!({}))),
            401,
        ),
        ("no token", "x".to_owned(), 401),
    ] {
        assert_eq!(get(&gateway, "/a", &token).await.status, expected, "{name}");
    }
    // A pool's keys are for RS256, whatever else an issuer's might be for.
    let mut keys = Vec::new();
    for alg in [json!(null), json!("RS512")] {
        let mut jwk = stage.key.jwk(&format!("{alg}"));
        match alg {
            Json::Null => {
                jwk.as_object_mut().unwrap().remove("alg");
            }
            alg => jwk["alg"] = alg,
        }
        keys.push(jwk);
    }
    stage.issuer.publish(keys);
    for (kid, alg, expected) in [
        ("null", "RS256", [200, 200]),
        ("null", "RS512", [200, 401]),
        ("\"RS512\"", "RS512", [200, 401]),
        ("\"RS512\"", "RS256", [401, 401]),
    ] {
        let token = stage.key.token(
            &header(json!({"alg": alg, "kid": kid})),
            &stage.claims(json!({})),
        );
        let answers = [
            get(&stage.http, "/plain", &token).await.status,
            get(&stage.rest, "/plain", &token).await.status,
        ];
        assert_eq!(answers, expected, "{kid} {alg}");
    }
}

/// A gateway of an HTTP API whose authorizer counts its calls and says yes to `yes`.
async fn http_api(sources: &str, simple: bool, calls: &Arc<AtomicUsize>) -> Running {
    let operation =
        json!({"get": {"security": [{"who": []}], "x-amazon-apigateway-integration": echo_http()}});
    let document = json!({
        "openapi": "3.0.1", "info": {"title": "t", "version": "1"},
        "paths": {"/a": operation, "/b": operation},
        "components": {"securitySchemes": {"who": {"type": "apiKey", "name": "x-token", "in": "header", "x-amazon-apigateway-authorizer": {
            "type": "request", "authorizerUri": "local:who", "authorizerPayloadFormatVersion": "2.0", "enableSimpleResponses": simple,
            "identitySource": sources, "authorizerResultTtlInSeconds": 300,
        }}}},
    });
    let calls = Arc::clone(calls);
    Gateway::builder()
        .openapi_text(document.to_string())
        .handler("who", move |request: Request<Bytes>| {
            calls.fetch_add(1, Ordering::SeqCst);
            let event: Json = serde_json::from_slice(request.body()).unwrap();
            let answer = if simple {
                json!({"isAuthorized": event["headers"]["x-token"] == "yes"})
            } else {
                json!({"policyDocument": {"Version": "2012-10-17", "Statement": [
                    {"Effect": "Allow", "Action": "execute-api:Invoke", "Resource": event["routeArn"]},
                ]}})
            };
            async move { answer.to_string() }
        })
        .spawn()
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn kept_answers_of_an_http_api() {
    let calls = Arc::new(AtomicUsize::new(0));
    let ask = async |gateway: &Running, path: &str, token: &str| {
        send(gateway, "GET", path, &[("x-token", token)], b"")
            .await
            .status
    };
    let token = "$request.header.x-token";
    let per_route = "$request.header.x-token, $context.routeKey";

    // A simple answer is one for all routes, unless the route is part of the identity.
    for (sources, number) in [(token, 2), (per_route, 4)] {
        calls.store(0, Ordering::SeqCst);
        let gateway = http_api(sources, true, &calls).await;
        for path in ["/a", "/b", "/a"] {
            assert_eq!(ask(&gateway, path, "yes").await, 200);
            assert_eq!(ask(&gateway, path, "no").await, 403);
        }
        assert_eq!(calls.load(Ordering::SeqCst), number, "{sources}");
    }
    // A policy is asked anew for each route.
    for (sources, second) in [(token, 403), (per_route, 200)] {
        let gateway = http_api(sources, false, &calls).await;
        assert_eq!(ask(&gateway, "/a", "yes").await, 200);
        assert_eq!(ask(&gateway, "/b", "yes").await, second, "{sources}");
    }
}

/// On one thread, so that the gateway's time is the test's.
#[tokio::test]
async fn an_authorizer_has_ten_seconds() {
    let calls = Arc::new(AtomicUsize::new(0));
    for kind in ["rest", "http"] {
        let (integration, version) = if kind == "rest" {
            (echo(), json!(null))
        } else {
            (echo_http(), json!("2.0"))
        };
        let mut authorizer = json!({"type": "request", "authorizerUri": "local:slow", "authorizerResultTtlInSeconds": 0});
        if !version.is_null() {
            authorizer["authorizerPayloadFormatVersion"] = version;
        }
        let document = json!({
            "openapi": "3.0.1", "info": {"title": "t", "version": "1"},
            "paths": {"/a": {"get": {"security": [{"who": []}], "x-amazon-apigateway-integration": integration}}},
            "components": {"securitySchemes": {"who": {
                "type": "apiKey", "name": "x-token", "in": "header", "x-amazon-apigateway-authtype": "custom",
                "x-amazon-apigateway-authorizer": authorizer,
            }}},
        });
        let counted = Arc::clone(&calls);
        let gateway = Gateway::builder()
            .openapi_text(document.to_string())
            .config_text(json!({ "apiType": kind }).to_string())
            .handler("slow", move |_: Request<Bytes>| {
                counted.fetch_add(1, Ordering::SeqCst);
                async {
                    std::future::pending::<()>().await;
                    String::new()
                }
            })
            .spawn()
            .await
            .unwrap();
        let before = calls.load(Ordering::SeqCst);

        // Without identity sources and a time to keep, everybody is asked about.
        let asking = send(&gateway, "GET", "/a", &[], b"");
        let passing = async {
            while calls.load(Ordering::SeqCst) == before {
                tokio::task::yield_now().await;
            }
            tokio::time::pause();
            tokio::time::advance(Duration::from_secs(11)).await;
            tokio::time::resume();
        };
        let (answer, ()) = tokio::join!(asking, passing);

        let body = if kind == "rest" {
            r#"{"message":null}"#
        } else {
            r#"{"message":"Internal Server Error"}"#
        };
        assert_eq!((answer.status, answer.body.as_str()), (500, body), "{kind}");
    }
}

/// A guarded path beside one that takes everything: no spelling of the first is the second.
#[tokio::test(flavor = "multi_thread")]
async fn no_spelling_of_a_guarded_path_is_taken_by_an_open_one() {
    let stage = Stage::set().await;
    for kind in ["rest", "http"] {
        let integration = if kind == "rest" { echo() } else { echo_http() };
        let scheme = if kind == "rest" {
            json!({"type": "apiKey", "name": "Authorization", "in": "header", "x-amazon-apigateway-authorizer": {
                "type": "cognito_user_pools", "providerARNs": [POOL],
            }})
        } else {
            json!({"type": "oauth2", "x-amazon-apigateway-authorizer": {
                "type": "jwt", "identitySource": "$request.header.Authorization",
                "jwtConfiguration": {"issuer": stage.issuer.url, "audience": ["client-1"]},
            }})
        };
        let any = "x-amazon-apigateway-any-method";
        let document = json!({
            "openapi": "3.0.1", "info": {"title": "t", "version": "1"},
            "paths": {
                "/admin": {any: {"security": [{"guard": []}], "x-amazon-apigateway-integration": integration}},
                "/admin/{id}": {any: {"security": [{"guard": []}], "x-amazon-apigateway-integration": integration}},
                "/{proxy+}": {any: {"x-amazon-apigateway-integration": integration}},
            },
            "components": {"securitySchemes": {"guard": scheme}},
        });
        let config = json!({
            "apiType": kind,
            "userPools": {POOL: {"issuer": stage.issuer.url, "jwksUri": format!("{}/jwks.json", stage.issuer.url)}},
        });
        let gateway = Gateway::builder()
            .openapi_text(document.to_string())
            .config_text(config.to_string())
            .spawn()
            .await
            .unwrap();

        assert_eq!(get(&gateway, "/open", "x").await.status, 200, "{kind}");
        assert_eq!(
            get(&gateway, "/admin", &stage.good()).await.status,
            200,
            "{kind}"
        );
        for path in [
            "/admin",
            "/admin?x",
            "/%61dmin",
            "/a%64min",
            "/%61%64%6D%69%6E",
            "/admin/7",
            "/%61dmin/7",
            "/admin/%37",
        ] {
            for method in ["GET", "POST", "OPTIONS", "HEAD", "FOO"] {
                let answer = send(&gateway, method, path, &[], b"").await;
                assert_ne!(
                    answer.status, 200,
                    "{kind} {method} {path}: {}",
                    answer.body
                );
            }
        }
    }
}
