//! Whole templates: what is made of them, and that none makes the reader fail.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;
use crate::source::Severity;

/// A template that is ready for its functions, and its tree.
pub(super) fn stack(yaml: &str) -> (Stack<'static>, Node) {
    let mut sources = Sources::new();
    let file = sources.add_text("template.yaml", yaml);
    let mut findings = Diagnostics::default();
    let mut node = sources.load(file, &mut findings).unwrap();
    assert!(findings.is_empty(), "{findings:?}");
    tree::normalize(&mut node).unwrap();
    let settings: &'static Settings = Box::leak(Box::default());
    let given: &'static IndexMap<String, String> = Box::leak(Box::default());
    let mut stack = Stack {
        pseudo: Pseudo {
            region: settings.region.clone(),
            account_id: settings.account_id.clone(),
            path: String::new(),
        },
        parameters: Parameters::read(node.get("Parameters"), given, &mut findings),
        mappings: node.get("Mappings").cloned(),
        conditions: section(&node, "Conditions"),
        resources: IndexMap::new(),
        generated: HashMap::new(),
        outputs: HashMap::new(),
        settings,
        given,
        environment: None,
        imported: RefCell::default(),
        across: Box::leak(Box::default()),
        first_api: None,
        findings: RefCell::new(findings),
        budget: Cell::new(BUDGET),
        decided: RefCell::default(),
        naming: RefCell::default(),
        index: RefCell::default(),
    };
    let loops = node
        .get("Resources")
        .is_some_and(|node| node.entries().any(|(key, _, _)| key.starts_with("Fn::")));
    if !loops {
        stack.resources = resources::read(&node, &stack);
    }
    (stack, node)
}

fn read_text(yaml: &str) -> (Template, Diagnostics) {
    let mut sources = Sources::new();
    let file = sources.add_text("template.yaml", yaml);
    let mut findings = Diagnostics::default();
    let Some(root) = sources.load(file, &mut findings) else {
        return (Template::default(), findings);
    };
    let template = read(
        &mut sources,
        root,
        &Options::default(),
        &Settings::default(),
        &mut findings,
    );
    (template, findings)
}

/// `METHOD PATH` of every API.
fn routes(template: &Template) -> Vec<String> {
    let mut routes: Vec<String> = template
        .apis
        .iter()
        .flat_map(|api| {
            api.routes.iter().map(|route| {
                format!(
                    "{} {} {}",
                    api.logical_id.as_deref().unwrap_or("?"),
                    route.method.as_deref().unwrap_or("ANY"),
                    route.path
                )
            })
        })
        .collect();
    routes.sort();
    routes
}

fn codes(findings: &Diagnostics) -> Vec<&str> {
    findings
        .iter()
        .filter(|one| one.severity == Severity::Error)
        .map(|one| one.code)
        .collect()
}

const SAM: &str = "Transform: AWS::Serverless-2016-10-31\n";

#[test]
fn events_make_implicit_apis() {
    let (template, findings) = read_text(&format!(
        "{SAM}Globals: {{Function: {{Runtime: python3.12, Handler: a.b}}}}\nResources:\n  F:\n    Type: AWS::Serverless::Function\n    Properties:\n      Events:\n        A: {{Type: Api, Properties: {{Path: /a/, Method: GET}}}}\n        B: {{Type: HttpApi, Properties: {{Path: /b, Method: any}}}}\n        C: {{Type: HttpApi}}\n        D: {{Type: Schedule, Properties: {{Schedule: rate(1 day)}}}}\n"
    ));

    assert_eq!(codes(&findings), [""; 0]);
    assert_eq!(
        routes(&template),
        [
            "ServerlessHttpApi ANY $default",
            "ServerlessHttpApi ANY /b",
            "ServerlessRestApi GET /a"
        ]
    );
    let stages: Vec<&str> = template
        .apis
        .iter()
        .filter_map(|api| api.stage.as_ref().map(|stage| stage.name.as_str()))
        .collect();
    assert_eq!(stages, ["Prod", "$default"]);
    assert_eq!(template.functions.len(), 1);
}

#[test]
fn methods_go_with_the_conditions_of_their_functions() {
    let (template, findings) = read_text(&format!(
        "{SAM}Conditions: {{Never: !Equals [a, b]}}\nGlobals: {{Function: {{Runtime: python3.12, Handler: a.b}}, Api: {{Cors: \"'*'\"}}}}\nResources:\n  F:\n    Type: AWS::Serverless::Function\n    Properties:\n      Events:\n        A: {{Type: Api, Properties: {{Path: /a, Method: get}}}}\n  G:\n    Type: AWS::Serverless::Function\n    Condition: Never\n    Properties:\n      Events:\n        A: {{Type: Api, Properties: {{Path: /a, Method: post}}}}\n        B: {{Type: Api, Properties: {{Path: /b, Method: post}}}}\n"
    ));

    assert_eq!(codes(&findings), [""; 0]);
    assert_eq!(
        routes(&template),
        ["ServerlessRestApi GET /a", "ServerlessRestApi OPTIONS /a"]
    );
    let options = &template.apis[0].routes[1];
    let responses = &options.integration.as_ref().unwrap().responses;
    assert_eq!(
        responses[0].response_parameters["method.response.header.Access-Control-Allow-Methods"]
            .value,
        "'GET,OPTIONS,POST'"
    );
}

#[test]
fn slips_of_sam_templates_are_named() {
    let function = |properties: &str, event: &str| {
        format!(
            "{SAM}Resources:\n  A: {{Type: AWS::Serverless::Api, Properties: {{StageName: x{properties}}}}}\n  F:\n    Type: AWS::Serverless::Function\n    Properties:\n      Runtime: python3.12\n      Handler: a.b\n      Events:\n        E: {{Type: Api, Properties: {{RestApiId: !Ref A, Path: /a, Method: get{event}}}}}\n"
        )
    };
    for (yaml, code) in [
        (function("", ", Auth: {Authorizer: NONE}"), "E1023"),
        (function("", ", Auth: {Authorizer: Nobody}"), "E1023"),
        (function("", ", Auth: {ApiKeyRequired: false}"), "E1023"),
        (function("", ", RequestModel: {Model: M}"), "E1022"),
        (function("", ", RequestParameters: [x]"), "E1020"),
        (
            function(
                "",
                "}}\n        X: {Type: Api, Properties: {RestApiId: !Ref A, Path: !Ref P, Method: get",
            ),
            "E1020",
        ),
        (
            function(
                "",
                "}}\n        X: {Type: Api, Properties: {RestApiId: !Ref A, Path: /a, Method: GET",
            ),
            "E1020",
        ),
        (
            function(
                "",
                "}}\n        X: {Type: HttpApi, Properties: {ApiId: !Ref A, Path: /b, Method: GET",
            ),
            "E1020",
        ),
        (
            function(
                "",
                "}}\n        X: {Type: Api, Properties: {RestApiId: !Ref Nobody, Path: /b, Method: GET",
            ),
            "E1022",
        ),
        (function(", Cors: {Origin: x}", ""), "E1020"),
        (function(", OpenApiVersion: 4.0", ""), "E1020"),
        (function(", DefinitionUri: nowhere.yaml", ""), "E1030"),
        (
            "Resources: {F: {Type: AWS::Serverless::Function}}".to_owned(),
            "E1004",
        ),
    ] {
        let (_, findings) = read_text(&yaml);
        assert!(
            codes(&findings).contains(&code),
            "{code}: {findings:?}\n{yaml}"
        );
    }
}

#[test]
fn a_resource_policy_allows_everybody_and_denies_some() {
    let (template, findings) = read_text(include_str!(
        "../../../tests/templates/own/resource-policy.yaml"
    ));

    assert_eq!(codes(&findings), [""; 0]);
    let policy = &template.apis[0].policy.as_ref().unwrap().value;
    let statements = policy["Statement"].as_array().unwrap();
    // As the translator writes it: the event's black list first, then the API's lists path by path.
    let effects: Vec<&str> = statements
        .iter()
        .map(|one| one["Effect"].as_str().unwrap())
        .collect();
    assert_eq!(
        effects,
        [
            "Allow", "Deny", "Deny", "Allow", "Deny", "Deny", "Deny", "Deny", "Deny", "Allow"
        ]
    );
    assert_eq!(
        statements[4],
        serde_json::json!({
            "Effect": "Deny",
            "Action": "execute-api:Invoke",
            "Resource": ["execute-api:/s/GET/a/*"],
            "Principal": "*",
            "Condition": {"NotIpAddress": {"aws:SourceIp": ["10.0.0.0/8"]}},
        })
    );
    assert!(template.apis[0].disable_execute_api_endpoint);
}

#[test]
fn keys_and_plans_of_several_apis_are_one() {
    let (template, findings) = read_text(include_str!(
        "../../../tests/templates/own/usage-plans.yaml"
    ));

    assert_eq!(codes(&findings), [""; 0]);
    let [plan] = template.usage_plans.as_slice() else {
        panic!("{:?}", template.usage_plans);
    };
    assert_eq!(plan.name, "all");
    assert_eq!(plan.api_stages.as_ref().map(Vec::len), Some(2));
    assert_eq!(plan.quota.as_ref().map(|quota| quota.limit), Some(10));
    assert_eq!(template.api_keys[0].id, plan.api_keys[0].value);
    assert_eq!(template.api_keys[0].value.len(), 40);
}

#[test]
fn plain_resources_make_an_api_for_each_stage() {
    let (template, findings) = read_text(
        "Resources:\n  Api: {Type: AWS::ApiGateway::RestApi, Properties: {Name: n}}\n  R: {Type: AWS::ApiGateway::Resource, Properties: {RestApiId: !Ref Api, ParentId: !GetAtt Api.RootResourceId, PathPart: r}}\n  S: {Type: AWS::ApiGateway::Resource, Properties: {RestApiId: !Ref Api, ParentId: !Ref R, PathPart: '{id}'}}\n  M:\n    Type: AWS::ApiGateway::Method\n    Properties: {RestApiId: !Ref Api, ResourceId: !Ref S, HttpMethod: GET, AuthorizationType: NONE, Integration: {Type: MOCK, RequestTemplates: {application/json: '{\"statusCode\": 200}'}, IntegrationResponses: [{StatusCode: 200}]}, MethodResponses: [{StatusCode: 200}]}\n  D: {Type: AWS::ApiGateway::Deployment, Properties: {RestApiId: !Ref Api, StageName: unused}}\n  One: {Type: AWS::ApiGateway::Stage, Properties: {RestApiId: !Ref Api, StageName: one, Variables: {a: b}}}\n  Two: {Type: AWS::ApiGateway::Stage, Properties: {RestApiId: !Ref Api, StageName: two}}\n",
    );

    assert_eq!(codes(&findings), [""; 0]);
    assert_eq!(routes(&template), ["Api GET /r/{id}", "Api GET /r/{id}"]);
    let stages: Vec<&str> = template
        .apis
        .iter()
        .map(|api| api.stage.as_ref().unwrap().name.as_str())
        .collect();
    assert_eq!(stages, ["one", "two"]);
    assert_eq!(template.apis[0].title, "n");
}

#[test]
fn names_that_depend_on_each_other_end() {
    let (_, findings) = read_text(
        "Resources:\n  A: {Type: AWS::Lambda::Function, Properties: {FunctionName: !Ref B, Runtime: python3.12, Handler: a.b}}\n  B: {Type: AWS::Lambda::Function, Properties: {FunctionName: !Ref A, Runtime: python3.12, Handler: a.b}}\n  R: {Type: AWS::ApiGateway::Resource, Properties: {RestApiId: !Ref Api, ParentId: !Ref R, PathPart: r}}\n  Api: {Type: AWS::ApiGateway::RestApi}\n",
    );

    assert_eq!(codes(&findings), ["E1013"]);
}

/// A template with most of what there is.
const RICH: &str = include_str!("../../../fixtures/templates/rest-authorizers/template.yaml");
const CONDITIONS: &str =
    include_str!("../../../fixtures/templates/stages-and-conditions/template.yaml");
const PLAIN: &str = include_str!("../../../fixtures/templates/websocket-plain/template.yaml");

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Lines that are left out, doubled, swapped or given other words.
    #[test]
    fn no_change_of_a_template_makes_it_fail(
        which in 0..3_usize,
        changes in proptest::collection::vec((any::<u16>(), any::<u16>(), 0..6_u8), 1..6),
    ) {
        let text = [RICH, CONDITIONS, PLAIN][which];
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        for (at, other, how) in changes {
            let (at, other) = (usize::from(at) % lines.len(), usize::from(other) % lines.len());
            match how {
                0 => { lines.remove(at); if lines.is_empty() { lines.push(String::new()); } }
                1 => { let line = lines[other].clone(); lines.insert(at, line); }
                2 => lines.swap(at, other),
                3 => lines[at] = lines[at].replace("!Ref", "!GetAtt"),
                4 => lines[at] = lines[at].replace(": ", ": !If [IsProd, [], "),
                _ => lines[at] = lines[at].replace("!Sub", "!Join"),
            }
        }
        read_text(&lines.join("\n"));
    }

    /// Functions in each other, in any form.
    #[test]
    fn no_nesting_of_functions_makes_it_fail(names in proptest::collection::vec(0..12_usize, 0..40)) {
        let words = ["Sub", "Join", "Select", "Split", "If", "FindInMap", "GetAtt", "Ref", "Base64", "Cidr", "Equals", "Not"];
        let mut value = "x".to_owned();
        for name in names {
            value = format!("{{Fn::{}: [{value}, {value_short}, A]}}", words[name], value_short = "{Ref: A}");
        }
        read_text(&format!("{SAM}Resources:\n  A: {{Type: AWS::Serverless::Api, Properties: {{StageName: {value}, Cors: {value}, Auth: {value}, DefinitionBody: {value}}}}}\n"));
    }
}

#[test]
fn functions_have_their_urls_layers_builds_and_retries() {
    let (template, findings) = read_text(
        "Transform: AWS::Serverless-2016-10-31
Resources:
  Shared: {Type: AWS::Serverless::LayerVersion, Properties: {ContentUri: shared.zip}}
  Orders:
    Type: AWS::Serverless::Function
    Metadata:
      BuildMethod: esbuild
      BuildProperties: {EntryPoints: [src/app.ts], Minify: true, Target: es2022, External: ['@aws-sdk/*'], Plugins: x}
    Properties:
      Runtime: nodejs20.x
      Handler: app.handler
      CodeUri: orders/
      AutoPublishAlias: live
      Layers: [!Ref Shared, 'arn:aws:lambda:us-east-1:999999999999:layer:other:3']
      FunctionUrlConfig: {AuthType: NONE, InvokeMode: RESPONSE_STREAM, Cors: {AllowOrigins: ['*']}}
      EventInvokeConfig: {MaximumRetryAttempts: 1, DestinationConfig: {OnFailure: {Type: SQS}, OnSuccess: {Type: Lambda, Destination: !GetAtt Plain.Arn}}}
      DeadLetterQueue: {Type: SNS, TargetArn: !Ref Letters}
  Letters: {Type: AWS::SNS::Topic}
  Plain:
    Type: AWS::Lambda::Function
    Properties: {Runtime: python3.12, Handler: app.handler, Code: plain.zip}
  PlainUrl:
    Type: AWS::Lambda::Url
    Properties: {TargetFunctionArn: !GetAtt Plain.Arn, AuthType: AWS_IAM}
  PlainInvoke:
    Type: AWS::Lambda::EventInvokeConfig
    Properties: {FunctionName: !Ref Plain, Qualifier: $LATEST, MaximumEventAgeInSeconds: 60, DestinationConfig: {OnFailure: {Destination: !GetAtt Orders.Arn}, OnSucces: {}}}
",
    );

    let orders = &template.functions["Orders"].life;
    let url = orders.url.as_ref().unwrap();
    assert!(!url.needs_signature && url.streams);
    assert_eq!(url.qualifier.as_deref(), Some("live"));
    assert_eq!(orders.qualifiers, ["1", "live"]);
    assert_eq!(url.cors.as_ref().unwrap().allow_origins, ["*"]);
    assert!(orders.layers.len() == 1 && orders.layers[0].ends_with("shared.zip"));
    let build = orders.esbuild.as_ref().unwrap();
    assert_eq!(build.entry_points, ["src/app.ts"]);
    assert_eq!(
        build.options,
        ["--minify", "--target=es2022", "--external:@aws-sdk/*"]
    );
    assert_eq!(orders.event_invoke.maximum_retry_attempts, 1);
    let address = |target: &Option<crate::model::Spanned<String>>| {
        target.as_ref().map(|target| target.value.clone()).unwrap()
    };
    assert_eq!(
        [
            address(&orders.event_invoke.on_success),
            address(&orders.event_invoke.on_failure),
            address(&orders.dead_letter),
        ],
        [
            "arn:aws:lambda:us-east-1:123456789012:function:Plain",
            "arn:aws:sqs:us-east-1:123456789012:OrdersEventInvokeConfigOnFailureQueue",
            "arn:aws:sns:us-east-1:123456789012:Letters",
        ]
    );
    let plain = &template.functions["Plain"].life;
    assert!(plain.url.as_ref().unwrap().needs_signature);
    assert_eq!(plain.event_invoke.maximum_event_age.as_secs(), 60);
    let orders_arn = "arn:aws:lambda:us-east-1:123456789012:function:Orders";
    assert_eq!(address(&plain.event_invoke.on_failure), orders_arn);
    let mut codes: Vec<&str> = findings.iter().map(|finding| finding.code).collect();
    codes.sort_unstable();
    assert_eq!(codes, ["W0204", "W1044", "W1046"]);
}

#[test]
fn a_document_that_the_cdk_uploads_is_read_beside_its_template() {
    let folder = tempfile::tempdir().unwrap();
    let mock = r#"{"x-amazon-apigateway-integration": {"type": "mock"}}"#;
    let document = format!(
        r#"{{"openapi": "3.0.1", "info": {{"title": "t", "version": "1"}}, "paths": {{"/spec": {{"get": {mock}}}}}}}"#
    );
    std::fs::write(folder.path().join("asset.abc.json"), document).unwrap();
    let template = r#"{"Resources": {"Spec": {
        "Type": "AWS::ApiGateway::RestApi",
        "Properties": {"BodyS3Location": {"Bucket": {"Fn::Sub": "assets-${AWS::Region}"}, "Key": "abc.json"}},
        "Metadata": {"aws:asset:path": "asset.abc.json", "aws:asset:property": "BodyS3Location"}
    }}}"#;
    let path = folder.path().join("stack.template.json");
    std::fs::write(&path, template).unwrap();
    let mut sources = Sources::new();
    let mut findings = Diagnostics::default();
    let file = sources.add_path(&path).unwrap();
    let root = sources.load(file, &mut findings).unwrap();

    let read = read(
        &mut sources,
        root,
        &Options::default(),
        &Settings::default(),
        &mut findings,
    );

    assert_eq!(routes(&read), ["Spec GET /spec"]);
    assert!(!findings.has_errors(), "{findings:?}");
}

#[test]
fn a_prepended_base_path_is_that_of_the_document_alone() {
    let (template, _) = read_text(
        r"
Resources:
  Api:
    Type: AWS::ApiGateway::RestApi
    Properties:
      Parameters: {basepath: prepend}
      Body:
        swagger: '2.0'
        info: {title: t, version: '1'}
        basePath: /base
        paths: {/x: {get: {x-amazon-apigateway-integration: {type: mock}}}}
  Extra:
    Type: AWS::ApiGateway::Resource
    Properties: {RestApiId: !Ref Api, ParentId: !GetAtt Api.RootResourceId, PathPart: extra}
  ExtraGet:
    Type: AWS::ApiGateway::Method
    Properties:
      RestApiId: !Ref Api
      ResourceId: !Ref Extra
      HttpMethod: GET
      AuthorizationType: NONE
      Integration: {Type: MOCK}
",
    );

    let mut found = routes(&template);
    found.sort_unstable();
    assert_eq!(found, ["Api GET /base/x", "Api GET /extra"]);
}

#[test]
fn overrides_of_a_managed_api_are_named() {
    let (_, findings) = read_text(
        r"
Resources:
  Overrides:
    Type: AWS::ApiGatewayV2::ApiGatewayManagedOverrides
    Properties: {ApiId: a, Stage: {StageVariables: {q: r}}}
",
    );

    let named = findings.iter().find(|finding| finding.code == "W1031");
    assert!(named.unwrap().message.contains("`Overrides`"));
}

#[test]
fn mappings_of_a_custom_domain_name_lead_to_apis_and_slips_are_named() {
    let (template, findings) = read_text(
        "Parameters: {Other: {Type: String, Default: abcdefghij}}
Resources:
  Api: {Type: AWS::ApiGatewayV2::Api, Properties: {Name: a, ProtocolType: HTTP, Target: 'https://example.com'}}
  Name: {Type: AWS::ApiGatewayV2::DomainName, Properties: {DomainName: Api.Example.com, MutualTlsAuthentication: {TruststoreUri: 's3://b/k'}}}
  Whole: {Type: AWS::ApiGatewayV2::ApiMapping, Properties: {DomainName: !Ref Name, ApiId: !Ref Api, Stage: $default}}
  Part: {Type: AWS::ApiGateway::BasePathMapping, Properties: {DomainName: api.example.com, RestApiId: !Ref Api, BasePath: v1/x}}
  Twice: {Type: AWS::ApiGatewayV2::ApiMapping, Properties: {DomainName: !Ref Name, ApiId: !Ref Api, ApiMappingKey: v1/x, Stage: b}}
  Elsewhere: {Type: AWS::ApiGatewayV2::ApiMapping, Properties: {DomainName: !Ref Name, ApiId: !Ref Other, Stage: b}}
",
    );

    let [domain] = template.domains.as_slice() else {
        panic!("{:?}", template.domains);
    };
    let mappings: Vec<_> = domain
        .mappings
        .iter()
        .map(|mapping| (mapping.path.as_str(), mapping.stage.as_deref()))
        .collect();
    assert_eq!(domain.name, "api.example.com");
    assert_eq!(mappings, [("v1/x", None), ("", Some("$default"))]);
    let codes: Vec<_> = findings.iter().map(|finding| finding.code).collect();
    assert_eq!(codes, ["W1031", "E1017", "W1031"], "{findings:?}");
}

#[test]
fn a_value_for_no_parameter_is_named_and_one_for_an_import_is_not() {
    let mut sources = Sources::new();
    let file = sources.add_text(
        "template.yaml",
        "Parameters: {Word: {Type: String, Default: x}}
Resources:
  Api: {Type: AWS::ApiGatewayV2::Api, Properties: {Name: a, ProtocolType: HTTP, Target: !ImportValue shared-url}}
",
    );
    let mut findings = Diagnostics::default();
    let root = sources.load(file, &mut findings).unwrap();
    let options = Options {
        parameters: [("Wrod", "y"), ("shared-url", "https://example.com")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        ..Options::default()
    };

    read(
        &mut sources,
        root,
        &options,
        &Settings::default(),
        &mut findings,
    );

    let [finding] = findings.iter().collect::<Vec<_>>()[..] else {
        panic!("{findings:?}");
    };
    assert_eq!(finding.code, "W1002");
    assert_eq!(finding.help.as_deref(), Some("did you mean `Word`?"));
}

/// Reads `template.yaml` of a folder with these files.
fn read_folder(files: &[(&str, &str)]) -> (tempfile::TempDir, Template, Vec<Diagnostic>, Sources) {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let mut sources = Sources::new();
    let file = sources
        .add_path(&folder.path().join("template.yaml"))
        .unwrap();
    let mut findings = Diagnostics::default();
    let root = sources.load(file, &mut findings).unwrap();
    let (options, settings) = (Options::default(), Settings::default());
    let template = read(&mut sources, root, &options, &settings, &mut findings);
    (folder, template, findings.into_iter().collect(), sources)
}

const ORDERS: &str = "Transform: AWS::Serverless-2016-10-31
Parameters: {Table: {Type: String}, Upstream: {Type: String}, Words: {Type: CommaDelimitedList}}
Resources:
  Handler:
    Type: AWS::Serverless::Function
    Properties:
      Runtime: python3.12
      Handler: app.handler
      CodeUri: src/
      Environment: {Variables: {TABLE: !Ref Table, UPSTREAM: !Ref Upstream, WORD: !Select [1, !Ref Words], STACK: !Ref AWS::StackName}}
      Events: {Get: {Type: Api, Properties: {Path: /orders, Method: get}}}
Outputs:
  Name: {Value: !Ref Handler}
  Url: {Value: !Sub 'https://${ServerlessRestApi}.execute-api'}
  Hidden: {Condition: Never, Value: x}
Conditions: {Never: !Equals [a, b]}
";

const SHARED: &str = "Resources:
  Common:
    Type: AWS::Lambda::Function
    Properties: {Runtime: python3.12, Handler: app.handler, Code: src/}
  Deeper: {Type: AWS::CloudFormation::Stack, Properties: {TemplateURL: deeper.yaml}}
Outputs:
  Arn: {Value: !GetAtt Common.Arn}
  Deep: {Value: !GetAtt Deeper.Outputs.Deep}
";

const DEEPER: &str = "Resources:
  Function:
    Type: AWS::Lambda::Function
    Properties: {Runtime: python3.12, Handler: app.handler, Code: src/}
Outputs: {Deep: {Value: !Ref Function}}
";

#[test]
fn nested_stacks_are_read_with_their_parameters_and_give_their_outputs() {
    let template = "Transform: AWS::Serverless-2016-10-31
Resources:
  Table: {Type: AWS::DynamoDB::Table}
  Orders:
    Type: AWS::Serverless::Application
    Properties:
      Location: orders/template.yaml
      Parameters: {Table: !Ref Table, Upstream: !GetAtt Shared.Outputs.Arn, Words: [one, two]}
  Again:
    Type: AWS::Serverless::Application
    Properties:
      Location: ./orders/template.yaml
      Parameters: {Table: other, Upstream: !Sub '${Shared.Outputs.Deep}', Words: 'a,b'}
  Shared: {Type: AWS::CloudFormation::Stack, Properties: {TemplateURL: shared/shared.yaml}}
  Gone: {Type: AWS::Serverless::Application, Condition: Never, Properties: {Location: absent.yaml}}
  Main:
    Type: AWS::Serverless::Function
    Properties:
      Runtime: python3.12
      Handler: app.handler
      CodeUri: src/
      Environment: {Variables: {ORDERS: !GetAtt Orders.Outputs.Name, URL: !Sub '${Again.Outputs.Url}/x'}}
      EventInvokeConfig: {DestinationConfig: {OnFailure: {Type: Lambda, Destination: !GetAtt Shared.Outputs.Arn}}}
      Events: {Get: {Type: Api, Properties: {Path: /main, Method: get}}}
Conditions: {Never: !Equals [a, b]}
";
    let files = [
        ("template.yaml", template),
        ("orders/template.yaml", ORDERS),
        ("shared/shared.yaml", SHARED),
        ("shared/deeper.yaml", DEEPER),
    ];

    let (folder, template, findings, _) = read_folder(&files);

    assert!(findings.is_empty(), "{findings:#?}");
    let mut ids: Vec<(&str, &str)> = template
        .function_ids
        .iter()
        .map(|(name, id)| (name.as_str(), id.as_str()))
        .collect();
    ids.sort_unstable();
    assert_eq!(
        ids,
        [
            ("Again-Handler", "Again/Handler"),
            ("Main", "Main"),
            ("Orders-Handler", "Orders/Handler"),
            ("Shared-Common", "Shared/Common"),
            ("Shared-Deeper-Function", "Shared/Deeper/Function"),
        ]
    );
    assert_eq!(template.functions.len(), ids.len());
    let orders = &template.functions["Orders-Handler"];
    let common = "arn:aws:lambda:us-east-1:123456789012:function:Shared-Common";
    assert_eq!(orders.environment["TABLE"], "Table");
    assert_eq!(orders.environment["UPSTREAM"], common);
    assert_eq!(orders.environment["WORD"], "two");
    assert_eq!(orders.environment["STACK"], "tollgate-Orders");
    let again = &template.functions["Again-Handler"];
    assert_eq!(again.environment["UPSTREAM"], "Shared-Deeper-Function");
    let code = match &orders.place {
        crate::model::settings::FunctionPlace::Runtime { code_uri, .. } => code_uri,
        other => panic!("{other:?}"),
    };
    assert_eq!(*code, folder.path().join("orders/src/"));
    let apis: Vec<(&str, &str)> = template
        .apis
        .iter()
        .map(|api| (api.logical_id.as_deref().unwrap(), api.id.as_str()))
        .collect();
    let paths: Vec<&str> = apis.iter().map(|(path, _)| *path).collect();
    assert_eq!(
        paths,
        [
            "ServerlessRestApi",
            "Orders/ServerlessRestApi",
            "Again/ServerlessRestApi"
        ]
    );
    assert_ne!(apis[1].1, apis[2].1);
    let main = &template.functions["Main"];
    assert_eq!(main.environment["ORDERS"], "Orders-Handler");
    let url = format!("https://{}.execute-api/x", apis[2].1);
    assert_eq!(main.environment["URL"], url);
    let target = main.life.event_invoke.on_failure.as_ref().unwrap();
    assert_eq!(target.value, common);
    let route = &template.apis[1].routes[0];
    assert!(format!("{route:?}").contains("function:Orders-Handler"));
}

#[test]
fn what_is_wrong_with_nested_stacks_is_said_where_it_stands() {
    let template = "Transform: AWS::Serverless-2016-10-31
Resources:
  Self: {Type: AWS::Serverless::Application, Properties: {Location: sub/back.yaml}}
  Absent: {Type: AWS::Serverless::Application, Properties: {Location: absent.yaml}}
  Repository: {Type: AWS::Serverless::Application, Properties: {Location: {ApplicationId: 'arn:aws:x', SemanticVersion: 1.0.0}}}
  Far: {Type: AWS::CloudFormation::Stack, Properties: {TemplateURL: !Sub 'https://s3.${AWS::Region}.amazonaws.com/x.yaml'}}
  Empty: {Type: AWS::CloudFormation::Stack, Properties: {}}
  Words: {Type: AWS::CloudFormation::Stack, Properties: {TemplateURL: words.yaml}}
  First: {Type: AWS::CloudFormation::Stack, Properties: {TemplateURL: sub/one.yaml, Parameters: {A: !GetAtt Second.Outputs.B}}}
  Second: {Type: AWS::CloudFormation::Stack, Properties: {TemplateURL: sub/one.yaml, Parameters: {A: !Sub '${First.Outputs.B}'}}}
  Good: {Type: AWS::CloudFormation::Stack, Properties: {TemplateURL: sub/one.yaml, Parameters: {AA: x}}}
  Main:
    Type: AWS::Serverless::Function
    Properties: {Runtime: python3.12, Handler: app.handler, CodeUri: src/, Environment: {Variables: {B: !GetAtt Good.Outputs.Bb}}}
";
    let back = "Resources:
  Back: {Type: AWS::CloudFormation::Stack, Properties: {TemplateURL: ../template.yaml}}
  Wrong:
    Type: AWS::Lambda::Function
    Properties: {Runtime: python3.12, Handler: app.handler, Code: x, Timeout: !Ref Nobody}
";
    let one = "Parameters: {A: {Type: String, Default: d}}
Resources: {Topic: {Type: AWS::SNS::Topic}}
Outputs: {B: {Value: !Ref A}}
";
    let files = [
        ("template.yaml", template),
        ("sub/back.yaml", back),
        ("sub/one.yaml", one),
        ("words.yaml", "hello: world\n"),
    ];

    let (folder, _, findings, sources) = read_folder(&files);

    let said = |code: &str, words: &[&str], file: &str, line: usize| {
        let place = |finding: &Diagnostic| {
            let location = sources.location(finding.span.unwrap());
            (location.path.to_owned(), location.line)
        };
        let expected = (folder.path().join(file), line);
        let is_it = |finding: &&Diagnostic| {
            let text = format!("{} {:?}", finding.message, finding.help);
            finding.code == code
                && words.iter().all(|word| text.contains(word))
                && place(finding) == expected
        };
        assert!(
            findings.iter().any(|finding| is_it(&finding)),
            "{code} {words:?} {expected:?} in {findings:#?}"
        );
    };
    said("E1013", &["nests itself"], "sub/back.yaml", 2);
    said("E1010", &["Nobody"], "sub/back.yaml", 5);
    said("W1031", &["`Absent`", "absent.yaml"], "template.yaml", 4);
    said(
        "W1031",
        &["`Repository`", "Repository are not read"],
        "template.yaml",
        5,
    );
    said("W1031", &["`Far`", "no file"], "template.yaml", 6);
    said("E1001", &["`Empty`", "`TemplateURL`"], "template.yaml", 7);
    said("E1001", &["words.yaml", "no template"], "template.yaml", 8);
    said("E1013", &["First", "Second", "outputs"], "template.yaml", 9);
    said("E1003", &["no parameter `AA`", "`A`"], "template.yaml", 11);
    said("W1040", &["no output `Bb`", "`B`"], "template.yaml", 14);
    assert_eq!(findings.len(), 10, "{findings:#?}");
}

#[test]
fn functions_of_two_stacks_cannot_have_one_name() {
    let one = "Resources:
  F:
    Type: AWS::Lambda::Function
    Properties: {FunctionName: same, Runtime: python3.12, Handler: app.handler, Code: src/}
";
    let template = "Resources:
  A: {Type: AWS::CloudFormation::Stack, Properties: {TemplateURL: one.yaml}}
  B: {Type: AWS::CloudFormation::Stack, Properties: {TemplateURL: one.yaml}}
";

    let (_folder, _, findings, _) = read_folder(&[("template.yaml", template), ("one.yaml", one)]);

    let codes: Vec<&str> = findings.iter().map(|finding| finding.code).collect();
    assert_eq!(codes, ["E1032"]);
}

#[test]
fn the_nested_stacks_of_the_cdk_are_named_by_its_assets() {
    let template = "Resources:
  Nested:
    Type: AWS::CloudFormation::Stack
    Properties: {TemplateURL: {'Fn::Join': ['', ['https://s3.', {Ref: 'AWS::URLSuffix'}, '/x.json']]}}
    Metadata: {'aws:asset:path': one.nested.template.json, 'aws:asset:property': TemplateURL}
";
    let nested = r#"{"Resources": {"F": {"Type": "AWS::Lambda::Function", "Properties": {"Runtime": "python3.12", "Handler": "app.handler", "Code": {"ZipFile": "x"}}}}}"#;

    let (_folder, template, findings, _) = read_folder(&[
        ("template.yaml", template),
        ("one.nested.template.json", nested),
    ]);

    assert!(findings.is_empty(), "{findings:#?}");
    assert_eq!(template.function_ids["Nested-F"], "Nested/F");
    assert!(
        template.inline_code[0]
            .path
            .ends_with(".tollgate/inline/Nested-F/index.py")
    );
}

/// A variable of a function.
fn variable<'t>(template: &'t Template, function: &str, name: &str) -> &'t str {
    &template.functions[function].environment[name]
}

#[test]
fn values_are_imported_from_any_stack_of_the_load() {
    let template = "Transform: AWS::Serverless-2016-10-31
Resources:
  Early: {Type: AWS::CloudFormation::Stack, Properties: {TemplateURL: early.yaml}}
  Late: {Type: AWS::Serverless::Application, Properties: {Location: late.yaml, Parameters: {Word: passed}}}
  Main:
    Type: AWS::Serverless::Function
    Properties:
      Runtime: python3.12
      Handler: app.handler
      CodeUri: src/
      Environment: {Variables: {TABLE: !ImportValue shared-table, WORD: !ImportValue {'Fn::Sub': '${AWS::StackName}-Early-word'}}}
Outputs:
  Own: {Value: !GetAtt Main.Arn, Export: {Name: main-arn}}
  Never: {Condition: No, Value: x, Export: {Name: never}}
Conditions: {No: !Equals [a, b]}
";
    // It asks for what the next stack exports, and for the outer one's, too.
    let early = "Transform: AWS::Serverless-2016-10-31
Resources:
  F:
    Type: AWS::Serverless::Function
    Properties:
      Runtime: python3.12
      Handler: app.handler
      CodeUri: src/
      Environment: {Variables: {TABLE: !ImportValue shared-table, MAIN: !ImportValue main-arn}}
Outputs:
  Word: {Value: !Sub ['${Late} again', {Late: !ImportValue late-word}], Export: {Name: !Sub '${AWS::StackName}-word'}}
";
    let late = "Parameters: {Word: {Type: String}}
Resources:
  Table: {Type: AWS::DynamoDB::Table}
Outputs:
  Table: {Value: !Ref Table, Export: {Name: shared-table}}
  Word: {Value: !Ref Word, Export: {Name: late-word}}
";
    let files = [
        ("template.yaml", template),
        ("early.yaml", early),
        ("late.yaml", late),
    ];

    let (_folder, template, findings, _) = read_folder(&files);

    assert!(findings.is_empty(), "{findings:#?}");
    assert_eq!(variable(&template, "Main", "TABLE"), "Late-Table");
    assert_eq!(variable(&template, "Main", "WORD"), "passed again");
    assert_eq!(variable(&template, "Early-F", "TABLE"), "Late-Table");
    assert_eq!(
        variable(&template, "Early-F", "MAIN"),
        "arn:aws:lambda:us-east-1:123456789012:function:Main"
    );
}

#[test]
fn what_no_stack_exports_is_asked_for_and_what_two_export_is_an_error() {
    let importer = |name: &str| {
        format!(
            "Resources:
  F:
    Type: AWS::Lambda::Function
    Properties: {{Runtime: python3.12, Handler: app.handler, Code: src/, Environment: {{Variables: {{A: !ImportValue {name}}}}}}}
  One: {{Type: AWS::CloudFormation::Stack, Properties: {{TemplateURL: one.yaml}}}}
  Two: {{Type: AWS::CloudFormation::Stack, Properties: {{TemplateURL: two.yaml}}}}
"
        )
    };
    let exporter = |name: &str, value: &str| {
        format!(
            "Resources: {{T: {{Type: AWS::SNS::Topic}}}}\nOutputs: {{O: {{Value: {value}, Export: {{Name: {name}}}}}}}\n"
        )
    };
    let codes = |asked: &str, one: (&str, &str), two: (&str, &str)| {
        let (main, one, two) = (
            importer(asked),
            exporter(one.0, one.1),
            exporter(two.0, two.1),
        );
        let files = [
            ("template.yaml", main.as_str()),
            ("one.yaml", &one),
            ("two.yaml", &two),
        ];
        let (_folder, template, findings, _) = read_folder(&files);
        let codes: Vec<&str> = findings.iter().map(|finding| finding.code).collect();
        let value = template.functions["F"].environment.get("A").cloned();
        (codes, value)
    };

    assert_eq!(
        codes("nobodys", ("a", "x"), ("b", "y")),
        (vec!["W1040"], None)
    );
    assert_eq!(
        codes("a", ("a", "x"), ("a", "y")),
        (vec!["E1033"], Some("x".to_owned()))
    );
    // Each waits for the other's: there is an end to that.
    assert_eq!(
        codes("a", ("a", "!ImportValue b"), ("b", "!ImportValue a")),
        (vec!["W1040"], None)
    );
}

#[test]
fn a_layer_goes_from_stack_to_stack_by_its_arn() {
    let template = "Transform: AWS::Serverless-2016-10-31
Resources:
  Shared: {Type: AWS::Serverless::LayerVersion, Properties: {ContentUri: layers/shared}}
  Inner:
    Type: AWS::Serverless::Application
    Properties:
      Location: inner/template.yaml
      Parameters: {Layer: !Ref Shared, Layers: [!GetAtt Shared.LayerVersionArn, 'arn:aws:lambda:us-east-1:999999999999:layer:far:3']}
  Outer:
    Type: AWS::Serverless::Function
    Properties:
      Runtime: python3.12
      Handler: app.handler
      CodeUri: src/
      Layers: [!GetAtt Inner.Outputs.Layer, !ImportValue inner-layer]
";
    let inner = "Transform: AWS::Serverless-2016-10-31
Parameters: {Layer: {Type: String}, Layers: {Type: CommaDelimitedList}}
Resources:
  Own: {Type: AWS::Serverless::LayerVersion, Properties: {LayerName: own, ContentUri: own.zip}}
  One: {Type: AWS::Serverless::Function, Properties: {Runtime: python3.12, Handler: a.b, CodeUri: src/, Layers: [!Ref Layer, !Ref Own]}}
  Many: {Type: AWS::Serverless::Function, Properties: {Runtime: python3.12, Handler: a.b, CodeUri: src/, Layers: !Ref Layers}}
Outputs:
  Layer: {Value: !Ref Own, Export: {Name: inner-layer}}
";
    let files = [("template.yaml", template), ("inner/template.yaml", inner)];

    let (folder, template, findings, _) = read_folder(&files);

    let at = |path: &str| folder.path().join(path);
    let layers = |function: &str| template.functions[function].life.layers.clone();
    let (shared, own) = (at("layers/shared"), at("inner/own.zip"));
    assert_eq!(layers("Inner-One"), [shared.clone(), own.clone()]);
    assert_eq!(layers("Inner-Many"), [shared]);
    assert_eq!(layers("Outer"), [own.clone(), own]);
    // The one that is at AWS.
    let codes: Vec<&str> = findings.iter().map(|finding| finding.code).collect();
    assert_eq!(codes, ["W1044"]);
    assert!(findings[0].message.contains("layer:far:3"), "{findings:?}");
}
