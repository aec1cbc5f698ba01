//! Definitions to the model: what AWS's import does with a document.

use insta::assert_snapshot;
use proptest::prelude::*;
use tollgate::definition::{openapi, settings};
use tollgate::model::settings::{FunctionPlace, Settings};
use tollgate::model::{Api, ApiKind, Authorization, AuthorizerKind};
use tollgate::source::{Diagnostics, Sources};

/// A document read, with what was found drawn as text.
fn read(text: &str) -> (Option<Api>, String) {
    let (api, _, drawn) = read_with(text, &Settings::default());
    (api, drawn)
}

fn read_with(text: &str, settings: &Settings) -> (Option<Api>, Vec<&'static str>, String) {
    let mut sources = Sources::new();
    let mut findings = Diagnostics::default();
    let file = sources.add_text("api.yaml", text);
    let api = openapi::read(&mut sources, file, settings, &mut findings);
    findings.sort();
    let codes = findings.iter().map(|one| one.code).collect();
    let drawn = findings.draw(&sources, false);
    (api, codes, drawn)
}

fn codes(text: &str) -> Vec<&'static str> {
    read_with(text, &Settings::default()).1
}

/// An API that has no errors.
fn good(text: &str) -> Api {
    let (api, codes, drawn) = read_with(text, &Settings::default());
    assert!(!codes.iter().any(|code| code.starts_with('E')), "{drawn}");
    api.unwrap()
}

/// A REST API with these lines in its one operation.
fn rest(paths: &str) -> String {
    format!(
        "openapi: 3.0.1\ninfo: {{title: t, version: '1'}}\nx-amazon-apigateway-binary-media-types: [image/png]\npaths:\n{paths}"
    )
}

const MOCK: &str = "{type: mock, requestTemplates: {application/json: '{}'}, responses: {default: {statusCode: '200'}}}";

const LAMBDA: &str = "arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/arn:aws:lambda:us-east-1:123456789012:function:f/invocations";

fn mock_at(path: &str) -> String {
    format!(
        "  {path}: {{get: {{responses: {{'200': {{}}}}, x-amazon-apigateway-integration: {MOCK}}}}}\n"
    )
}

#[test]
fn every_path_and_what_lies_between_is_a_resource() {
    let text = rest(&(mock_at("/a/b/{id}") + &mock_at("/a/{proxy+}") + &mock_at("/c/")));

    let api = good(&text);

    assert_eq!(
        api.resources,
        ["/", "/a", "/a/b", "/a/b/{id}", "/a/{proxy+}", "/c"]
    );
    assert_eq!(api.routes[2].path, "/c");
}

#[test]
fn paths_that_aws_refuses_are_errors() {
    for (path, code) in [
        ("pets", "E0301"),
        ("/a//b", "E0302"),
        ("/a b", "E0303"),
        ("/r{id}", "E0304"),
        ("/{a}{b}", "E0304"),
        ("/{}", "E0304"),
        ("/{id}/{id}", "E0304"),
        ("/{proxy+}/x", "E0305"),
    ] {
        let found = codes(&rest(&mock_at(&format!("'{path}'"))));
        assert_eq!(found, [code], "{path}");
    }
    let twins = mock_at("/a/{x}") + &mock_at("/a/{y}/z");
    assert_eq!(codes(&rest(&twins)), ["E0308"]);
    let greedy = mock_at("/a/{x}") + &mock_at("/a/{y+}");
    assert_eq!(codes(&rest(&greedy)), ["W0308"]);
    let same = mock_at("/a") + &mock_at("/a/");
    assert_eq!(codes(&rest(&same)), ["E0306"]);
}

#[test]
fn the_document_tells_the_kind_of_api() {
    let http = format!(
        "openapi: 3.0.1\ninfo: {{title: t}}\npaths:\n  /a:\n    get:\n      x-amazon-apigateway-integration: {{type: AWS_PROXY, uri: '{LAMBDA}', payloadFormatVersion: 2.0}}\n"
    );
    assert_eq!(good(&http).kind, ApiKind::Http);
    assert_eq!(good(&rest(&mock_at("/a"))).kind, ApiKind::Rest);

    let both = http.replace(
        "paths:",
        "x-amazon-apigateway-binary-media-types: [a/b]\npaths:",
    );
    assert!(codes(&both).contains(&"E0218"));
    let told = Settings {
        api_type: Some(ApiKind::Http),
        ..Settings::default()
    };
    assert_eq!(read_with(&both, &told).1, ["W0704"]);

    let none = http.replace(", payloadFormatVersion: 2.0", ", httpMethod: POST");
    assert_eq!(codes(&none), ["N0218"]);
    let swagger = "swagger: '2.0'\ninfo: {title: t}\npaths: {}\n";
    assert!(read_with(swagger, &told).1.contains(&"E0217"));
}

#[test]
fn findings_show_what_stands_there_and_how_to_mend_it() {
    let text = rest(
        "  /pets/{id}:
    get:
      responses: {'200': {}}
      x-amazon-apigateway-integration:
        type: http
        uri: pets.example.com/{id}
        httpMehtod: GET
        timeoutInMillis: 40
        requestParameters:
          integration.request.path.id: method.request.path.id
        responses: {default: {statusCode: 200}}
",
    );

    assert_snapshot!(read(&text).1.trim_end(), @r#"
error[E0406]: the integration has no `httpMethod`
 --> api.yaml:9:9
  |
9 |         type: http
  |         ^^^^^^^^^^

error[E0411]: the `uri` of an http integration must be a URL, found `pets.example.com/{id}`
  --> api.yaml:10:14
   |
10 |         uri: pets.example.com/{id}
   |              ^^^^^^^^^^^^^^^^^^^^^
   |
   = help: http://HOST/PATH or https://HOST/PATH

warning[W0204]: an integration has no key `httpMehtod`
  --> api.yaml:11:9
   |
11 |         httpMehtod: GET
   |         ^^^^^^^^^^
   |
   = help: did you mean `httpMethod`?

error[E0202]: `timeoutInMillis` is 40, but must be from 50 to 29000
  --> api.yaml:12:26
   |
12 |         timeoutInMillis: 40
   |                          ^^

error[E0502]: `method.request.path.id` reads a parameter that the operation does not declare
  --> api.yaml:14:40
   |
14 |           integration.request.path.id: method.request.path.id
   |                                        ^^^^^^^^^^^^^^^^^^^^^^
   |
   = help: add `{name: id, in: path}` to its `parameters`
"#);
}

#[test]
fn security_becomes_authorization() {
    let text = r#"openapi: 3.0.1
info: {title: t}
paths:
  /a:
    get: {security: [{key: []}], x-amazon-apigateway-integration: &m {type: mock, requestTemplates: {application/json: '{}'}, responses: {default: {statusCode: 200}}}, responses: {200: {}}}
    put: {security: [{pool: [a/read]}, {key: []}], x-amazon-apigateway-integration: *m, responses: {200: {}}}
    post: {security: [{iam: []}], x-amazon-apigateway-integration: *m, responses: {200: {}}}
    patch: {x-amazon-apigateway-auth: {type: aws_iam}, x-amazon-apigateway-integration: *m, responses: {200: {}}}
    delete: {security: [], x-amazon-apigateway-integration: *m, responses: {200: {}}}
components:
  securitySchemes:
    key: {type: apiKey, name: x-api-key, in: header}
    iam: {type: apiKey, name: Authorization, in: header, x-amazon-apigateway-authtype: awsSigv4}
    pool:
      type: apiKey
      name: Auth
      in: header
      x-amazon-apigateway-authtype: cognito_user_pools
      x-amazon-apigateway-authorizer: {type: COGNITO_USER_POOLS, providerARNs: [!GetAtt Pool.Arn]}
"#;

    let api = good(text);

    let [get, put, post, patch, delete] = api.routes.as_slice() else {
        panic!("{:?}", api.routes.len());
    };
    assert!(get.api_key_required && get.authorization == Authorization::None);
    assert!(put.api_key_required);
    assert!(
        matches!(&put.authorization, Authorization::Authorizer { name, scopes, .. } if name == "pool" && scopes == &["a/read"])
    );
    assert!(matches!(post.authorization, Authorization::Iam(_)));
    assert!(matches!(patch.authorization, Authorization::Iam(_)));
    assert!(!delete.api_key_required && delete.authorization == Authorization::None);
    let pool = &api.authorizers["pool"];
    assert_eq!(pool.identity_sources[0].value, "method.request.header.Auth");
    assert!(
        matches!(&pool.kind, AuthorizerKind::CognitoUserPools { provider_arns, .. } if provider_arns[0].value == "arn:aws:cognito-idp:us-east-1:123456789012:userpool/Pool")
    );
}

#[test]
fn security_that_protects_nothing_is_said() {
    let operation = |security: &str| {
        rest(&format!(
            "  /a: {{get: {{security: {security}, responses: {{'200': {{}}}}, x-amazon-apigateway-integration: {MOCK}}}}}\ncomponents:\n  securitySchemes:\n    bearer: {{type: http, scheme: bearer}}\n    one: {{type: apiKey, name: A, in: header, x-amazon-apigateway-authorizer: {{type: token, authorizerUri: '{LAMBDA}'}}}}\n    two: {{type: apiKey, name: A, in: header, x-amazon-apigateway-authtype: awsSigv4}}\n"
        ))
    };
    assert_eq!(codes(&operation("[{bearer: []}]")), ["W0601"]);
    assert_eq!(codes(&operation("[{beraer: []}]")), ["E0601"]);
    assert_eq!(codes(&operation("[{one: []}, {two: []}]")), ["E0602"]);
    assert_eq!(codes(&operation("5")), ["E0201"]);
    let root = operation("[]").replace("paths:", "security: [{one: []}]\npaths:");
    assert_eq!(codes(&root), ["W0602"]);
}

#[test]
fn references_lead_to_other_files_and_never_in_circles() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write(
        "api.yaml",
        &rest(
            "  /a: {$ref: 'parts/../paths.yaml#/~1a'}\n  /b: {$ref: '#/paths/~1c'}\n  /c: {$ref: '#/paths/~1b'}\n  /d: {$ref: 'missing.yaml'}\n  /e: {$ref: '#/nowhere'}\n",
        )
        .replace("parts/../", ""),
    );
    write(
        "paths.yaml",
        &format!(
            "/a:\n  get: {{responses: {{'200': {{}}}}, x-amazon-apigateway-integration: {MOCK}}}\n"
        ),
    );
    let mut sources = Sources::new();
    let mut findings = Diagnostics::default();
    let file = sources.add_path(&folder.path().join("api.yaml")).unwrap();

    let api = openapi::read(&mut sources, file, &Settings::default(), &mut findings).unwrap();

    assert_eq!(api.routes.len(), 1);
    let mut codes: Vec<&str> = findings.iter().map(|one| one.code).collect();
    codes.sort_unstable();
    assert_eq!(codes, ["E0211", "E0212", "E0213", "E0213", "N0211"]);
}

#[test]
fn variables_of_aws_are_resolved_anywhere() {
    let text = rest(&mock_at("/a")).replace("title: t", "title: 'x-${AWS::Region}'");

    assert_eq!(good(&text).title, "x-us-east-1");
}

#[test]
fn the_configuration_reads_whole() {
    let mut sources = Sources::new();
    let mut findings = Diagnostics::default();
    let file = sources.add_text(
        "/etc/x/tollgate.yaml",
        r#"
region: eu-west-1
accountId: 111122223333
apiType: http
stage:
  name: test
  variables: {alias: live}
  methodSettings: {"*/*": {throttlingRateLimit: 0.5, cacheTtlInSeconds: 10}}
functions:
  hello: {runtime: python3.12, handler: app.handler, codeUri: code, timeout: 1.5}
  compiled: {command: [target/release/x, -v]}
  elsewhere: {endpoint: "http://127.0.0.1:9001"}
  local: {handler: "local:echo"}
apiKeys: [{name: alice, value: alice-0123456789abcdefghij}]
usagePlans: [{name: gold, apiKeys: [alice], quota: {limit: 10, period: day}}]
store: sqlite:state.db
"#,
    );

    let read = settings::read(&sources, file, &mut findings).settings;

    assert!(findings.is_empty(), "{}", findings.draw(&sources, false));
    assert_eq!(read.region, "eu-west-1");
    assert_eq!(read.api_type, Some(ApiKind::Http));
    assert_eq!(
        read.stage.method_settings["*/*"].throttle.rate_limit,
        Some(0.5)
    );
    assert!(
        matches!(&read.functions["hello"].place, FunctionPlace::Runtime { code_uri, .. } if code_uri.ends_with("x/code") && code_uri.is_absolute())
    );
    assert!(
        matches!(&read.functions["compiled"].place, FunctionPlace::Command { command, .. } if command[0] == "/etc/x/target/release/x")
    );
    assert_eq!(read.store.unwrap().value, "sqlite:/etc/x/state.db");
}

#[test]
fn what_is_wrong_in_a_configuration_is_found() {
    for (text, code) in [
        ("regoin: x", "E0204"),
        ("region: 'a b'", "E0802"),
        ("accountId: 12", "E0802"),
        ("apiType: soap", "E0203"),
        ("stage: {name: 'a/b'}", "E0802"),
        ("stage: {variables: {a-b: c}}", "E0803"),
        ("stage: {methodSettings: {GET: {}}}", "E0804"),
        ("throttle: {rateLimit: fast}", "E0201"),
        ("throttle: {rateLimit: -1}", "E0202"),
        ("functions: {a: {}}", "E0811"),
        ("functions: {a: {runtime: python3.12}}", "E0812"),
        ("functions: {a: {endpoint: here}}", "E0806"),
        (
            "functions: {a: {endpoint: 'http://user:secret@here'}}",
            "E0806",
        ),
        (
            "vpcLinks: {a: {targets: ['https://user:secret@here/x']}}",
            "E0806",
        ),
        ("functions: {a: {command: []}}", "E0813"),
        (
            "functions: {a: {handler: 'local:x', timeout: 901}}",
            "E0202",
        ),
        ("apiKeys: [{name: a, value: short}]", "E0821"),
        ("usagePlans: [{name: a, apiKeys: [b]}]", "E0825"),
        ("store: mongodb://x", "E0807"),
        ("tls: {certificate: a}", "E0002"),
        ("[]", "E0201"),
        ("port: 1", "E0801"),
    ] {
        let mut sources = Sources::new();
        let mut findings = Diagnostics::default();
        let file = sources.add_text("tollgate.yaml", text);
        settings::read(&sources, file, &mut findings);
        let codes: Vec<&str> = findings.iter().map(|one| one.code).collect();
        assert_eq!(codes, [code], "{text}");
        assert!(findings.iter().all(|one| !one.message.contains("secret")));
    }
}

const DOCUMENT: &str = r##"openapi: 3.0.1
info: {title: t, version: "1"}
x-amazon-apigateway-request-validators: {all: {validateRequestBody: true, validateRequestParameters: true}}
x-amazon-apigateway-request-validator: all
x-amazon-apigateway-gateway-responses: {DEFAULT_4XX: {statusCode: 400, responseParameters: {gatewayresponse.header.a: "'*'"}}}
x-amazon-apigateway-policy: {Statement: []}
paths:
  /pets/{id}:
    parameters: [{$ref: "#/components/parameters/id"}]
    x-amazon-apigateway-any-method:
      security: [{auth: []}]
      requestBody: {content: {application/json: {schema: {$ref: "#/components/schemas/Pet"}}}}
      responses: {"200": {headers: {x: {schema: {type: string}}}}}
      x-amazon-apigateway-integration:
        type: http
        httpMethod: ANY
        uri: http://${stageVariables.host}/{id}
        requestParameters: {integration.request.path.id: method.request.path.id}
        cacheKeyParameters: [method.request.path.id]
        responses: {"2\\d\\d": {statusCode: "200", responseParameters: {method.response.header.x: "'y'"}}}
components:
  parameters: {id: {name: id, in: path, required: true}}
  schemas: {Pet: {type: object, properties: {self: {$ref: "#/components/schemas/Pet"}}}}
  securitySchemes:
    auth: {type: apiKey, name: A, in: header, x-amazon-apigateway-authorizer: {type: token, authorizerUri: !GetAtt F.Arn}}
"##;

#[test]
fn the_document_that_is_changed_below_is_good() {
    good(DOCUMENT);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_changed_document_makes_it_panic(
        at in 0..DOCUMENT.len(),
        length in 0usize..40,
        with in "([a-z]|: |\n|\n  |'|\"|\\{|\\}|\\[|\\]|,|&a|\\*a|\\$ref|#/|/|~|5|null|!Sub |x-amazon-apigateway-){0,4}",
        http in any::<bool>(),
    ) {
        let mut text = DOCUMENT.to_owned();
        text.replace_range(at..(at + length).min(DOCUMENT.len()), &with);
        let settings = Settings { api_type: http.then_some(ApiKind::Http), ..Settings::default() };
        read_with(&text, &settings);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
        let text = format!("openapi: 3.0.1\n{}", String::from_utf8_lossy(&bytes));
        read_with(&text, &Settings::default());
        let mut sources = Sources::new();
        let file = sources.add_text("tollgate.yaml", String::from_utf8_lossy(&bytes));
        settings::read(&sources, file, &mut Diagnostics::default());
    }
}
