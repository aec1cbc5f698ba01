//! How fast templates render, one thread.
//!
//! Goals, in renderings per CPU second: 750,000 of a small template, 155,000
//! of the console's method-request passthrough, 8,000 of a loop over 200 items.

#![allow(missing_docs, reason = "criterion's macros make undocumented items")]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use serde_json::json;
use tollgate::language::vtl::{Inputs, Overrides, Template};

const SMALL: &str = r#"{"id": "$input.params('id')", "stage": "$context.stage"}"#;

/// The template the console offers as "Method Request passthrough".
const PASSTHROUGH: &str = r##"##  See https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-mapping-template-reference.html
##  This template will pass through all parameters including path, querystring, header, stage variables, and context through to the integration endpoint via the body/payload
#set($allParams = $input.params())
{
"body-json" : $input.json('$'),
"params" : {
#foreach($type in $allParams.keySet())
    #set($params = $allParams.get($type))
"$type" : {
    #foreach($paramName in $params.keySet())
    "$paramName" : "$util.escapeJavaScript($params.get($paramName))"
        #if($foreach.hasNext),#end
    #end
}
    #if($foreach.hasNext),#end
#end
},
"stage-variables" : {
#foreach($key in $stageVariables.keySet())
"$key" : "$util.escapeJavaScript($stageVariables.get($key))"
    #if($foreach.hasNext),#end
#end
},
"context" : {
    "account-id" : "$context.identity.accountId",
    "api-id" : "$context.apiId",
    "api-key" : "$context.identity.apiKey",
    "authorizer-principal-id" : "$context.authorizer.principalId",
    "caller" : "$context.identity.caller",
    "cognito-authentication-provider" : "$context.identity.cognitoAuthenticationProvider",
    "cognito-authentication-type" : "$context.identity.cognitoAuthenticationType",
    "cognito-identity-id" : "$context.identity.cognitoIdentityId",
    "cognito-identity-pool-id" : "$context.identity.cognitoIdentityPoolId",
    "http-method" : "$context.httpMethod",
    "stage" : "$context.stage",
    "source-ip" : "$context.identity.sourceIp",
    "user" : "$context.identity.user",
    "user-agent" : "$context.identity.userAgent",
    "user-arn" : "$context.identity.userArn",
    "request-id" : "$context.requestId",
    "resource-id" : "$context.resourceId",
    "resource-path" : "$context.resourcePath"
    }
}
"##;

const LOOP: &str = r#"#set($root = $input.path('$'))
[
#foreach($item in $root.items)
  {"sku": "$item.sku", "qty": $item.qty, "total": #set($t = $item.qty * $item.price)$t}#if($foreach.hasNext),#end

#end
]"#;

fn benches(criterion: &mut Criterion) {
    let context = json!({
        "accountId": "123456789012", "apiId": "abc123", "stage": "prod", "httpMethod": "POST",
        "requestId": "11111111-2222-3333-4444-555555555555", "resourceId": "r1",
        "resourcePath": "/pets/{id}", "path": "/prod/pets/7",
        "identity": {"sourceIp": "192.0.2.1", "userAgent": "curl/8", "accountId": null, "caller": null},
        "authorizer": {"principalId": "user|1"},
    });
    let Some(context) = context.as_object() else {
        return;
    };
    let path = vec![("id", "42")];
    let query_string = vec![("page", "2"), ("q", "rust & go")];
    let header = vec![
        ("Accept", "*/*"),
        ("Content-Type", "application/json"),
        ("Host", "abc123.execute-api.local"),
        ("User-Agent", "curl/8"),
        ("X-Forwarded-For", "192.0.2.1"),
        ("X-Forwarded-Port", "443"),
        ("X-Forwarded-Proto", "https"),
    ];
    let stage_variables = vec![("env", "prod"), ("url", "http://b.local/x")];
    let items: Vec<_> = (0..200)
        .map(|number| json!({"sku": format!("s{number}"), "qty": number % 7, "price": 2.5}))
        .collect();
    let many = json!({ "items": items }).to_string();
    let inputs = |body| Inputs {
        body: Some(body),
        path: &path,
        query_string: &query_string,
        header: &header,
        stage_variables: &stage_variables,
        context,
        variables: None,
    };
    let body = r#"{"name": "Ada", "tags": ["a", "b"], "address": {"city": "Paris"}}"#;

    let mut group = criterion.benchmark_group("vtl");
    group.throughput(Throughput::Elements(1));
    for (name, text, inputs) in [
        ("small", SMALL, inputs(body)),
        ("passthrough", PASSTHROUGH, inputs(body)),
        ("foreach_200", LOOP, inputs(&many)),
    ] {
        let template = match Template::parse(text) {
            Ok(template) => template,
            Err(error) => panic!("{name}: {error}"),
        };
        group.bench_function(name, |bencher| {
            bencher.iter(|| template.render(black_box(&inputs), &mut Overrides::default()));
        });
    }
    group.bench_function("parse_passthrough", |bencher| {
        bencher.iter(|| Template::parse(black_box(PASSTHROUGH)));
    });
    group.finish();
}

criterion_group!(all, benches);
criterion_main!(all);
