//! Templates from the command line: found, given values, listed.

use std::process::{Command, Output};

use serde_json::Value as Json;
use tempfile::TempDir;

const TEMPLATE: &str = "Transform: AWS::Serverless-2016-10-31
Parameters: {Stage: {Type: String, Default: dev}, Word: {Type: String, Default: none}}
Resources:
  Api: {Type: AWS::Serverless::Api, Properties: {StageName: !Ref Stage, Variables: {word: !Ref Word, kept: yes}}}
  Other: {Type: AWS::ApiGatewayV2::Api, Properties: {Name: other, ProtocolType: HTTP, Target: 'https://example.com'}}
  Main:
    Type: AWS::Serverless::Function
    Properties:
      FunctionName: !Sub '${AWS::StackName}-main'
      Runtime: python3.12
      Handler: index.handler
      InlineCode: 'def handler(event, context): return {}'
      Events:
        A: {Type: Api, Properties: {RestApiId: !Ref Api, Path: /a, Method: get}}
";

fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in [&[("template.yaml", TEMPLATE)], files].concat() {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

fn run(folder: &TempDir, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tollgate"))
        .args(arguments)
        .current_dir(folder.path())
        .env_remove("TOLLGATE_DEFINITION")
        .output()
        .unwrap()
}

fn routes(folder: &TempDir, arguments: &[&str]) -> Vec<Json> {
    let output = run(folder, &[&["routes", "--json"], arguments].concat());
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn a_template_is_looked_for_first_and_its_functions_have_their_logical_ids() {
    let folder = folder(&[("openapi.yaml", "openapi: 3.0.1\n")]);

    let routes = routes(&folder, &[]);

    assert_eq!(routes[0]["api"], "Api");
    assert_eq!(routes[0]["integration"]["function"], "Main");
    assert_eq!(routes[1]["integration"]["uri"], "https://example.com");
}

#[test]
fn parameters_come_from_the_command_line_and_samconfig_where_it_is_asked_for() {
    let samconfig =
        "[default.global.parameters]\nparameter_overrides = \"Stage=sam Word=\\\"two words\\\"\"\n";
    let folder = folder(&[("samconfig.toml", samconfig)]);
    let stage_and_word = |arguments: &[&str]| {
        let routes = routes(&folder, arguments);
        let word = routes[0]["stageVariables"]["word"]
            .as_str()
            .unwrap()
            .to_owned();
        (routes[0]["stage"].as_str().unwrap().to_owned(), word)
    };
    let pair = |stage: &str, word: &str| (stage.to_owned(), word.to_owned());

    assert_eq!(stage_and_word(&[]), pair("dev", "none"));
    assert_eq!(
        stage_and_word(&["--parameter-overrides", "Stage=a", "Word=b c"]),
        pair("a", "b c")
    );
    assert_eq!(
        stage_and_word(&["--config-env", "default"]),
        pair("sam", "two words")
    );
    assert_eq!(
        stage_and_word(&[
            "--config-env",
            "default",
            "--parameter-overrides",
            "ParameterKey=Stage,ParameterValue=mine"
        ]),
        pair("mine", "two words")
    );
}

#[test]
fn the_configuration_goes_over_the_template_variable_by_variable() {
    let folder = folder(&[("tollgate.yaml", "stage: {variables: {word: mine}}\n")]);

    let routes = routes(&folder, &["--stage-variable", "new=1"]);

    assert_eq!(
        routes[0]["stageVariables"],
        serde_json::json!({"word": "mine", "kept": "true", "new": "1"})
    );
}

#[test]
fn an_api_that_is_not_there_is_named_with_those_that_are() {
    let folder = folder(&[]);

    let output = run(&folder, &["check", "--api", "Aip"]);

    let words = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        words.contains("E1005") && words.contains("did you mean `Api`?"),
        "{words}"
    );
}

#[test]
fn inline_code_is_written_beside_the_template_and_kept_from_version_control() {
    let folder = folder(&[]);

    let output = run(&folder, &["check"]);

    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let own = folder.path().join(".tollgate");
    let code = std::fs::read_to_string(own.join("inline/Main/index.py")).unwrap();
    assert!(code.starts_with("def handler"));
    assert_eq!(
        std::fs::read_to_string(own.join(".gitignore")).unwrap(),
        "*\n"
    );
}

#[test]
fn destinations_that_are_no_functions_here_are_named_and_the_others_are_not() {
    let folder = folder(&[(
        "tollgate.yaml",
        "functions:
  Main:
    runtime: python3.12
    handler: index.handler
    codeUri: .
    eventInvokeConfig: {destinationConfig: {onSuccess: {destination: other}, onFailure: {destination: othr}}}
    deadLetterConfig: {targetArn: 'arn:aws:sqs:us-east-1:123456789012:letters'}
  other:
    endpoint: http://127.0.0.1:9
    eventInvokeConfig: {destinationConfig: {onFailure: {destination: Main}}}
  broken:
    endpoint: http://127.0.0.1:9
    eventInvokeConfig: {destinationConfig: {onFailure: {}}}
",
    )]);

    let output = run(&folder, &["check", "--json"]);

    let findings: Vec<Json> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let of = |code: &str| -> Vec<String> {
        let of = findings.iter().filter(|finding| finding["code"] == code);
        of.map(|finding| finding.to_string()).collect()
    };
    let named = of("W1045");
    assert_eq!(named.len(), 3, "{findings:#?}");
    let says = |words: &[&str]| {
        assert!(
            named
                .iter()
                .any(|finding| words.iter().all(|word| finding.contains(word))),
            "{words:?} in {findings:#?}"
        );
    };
    says(&["on-failure destination `othr`", "`other`"]);
    says(&["dead-letter target `arn:aws:sqs:us-east-1:123456789012:letters`"]);
    says(&["on-failure destination of `other` has no effect"]);
    assert_eq!(of("E0815").len(), 1, "{findings:#?}");
}

#[test]
fn functions_and_apis_of_nested_stacks_are_served_by_their_paths() {
    let orders = "Transform: AWS::Serverless-2016-10-31
Parameters: {Word: {Type: String}}
Resources:
  Handler:
    Type: AWS::Serverless::Function
    Properties:
      Runtime: python3.12
      Handler: index.handler
      InlineCode: |
        import os
        def handler(event, context): return [os.environ['WORD'], context.function_name]
      Environment: {Variables: {WORD: !Ref Word}}
      Events:
        Get: {Type: HttpApi, Properties: {Path: /orders, Method: get}}
";
    let folder = folder(&[
        (
            "outer.yaml",
            "Resources:
  Orders: {Type: AWS::CloudFormation::Stack, Properties: {TemplateURL: orders.yaml, Parameters: {Word: told}}}
  Others: {Type: AWS::CloudFormation::Stack, Properties: {TemplateURL: orders.yaml, Parameters: {Word: other}}}
",
        ),
        ("orders.yaml", orders),
        ("values.json", r#"{"Others/Handler": {"WORD": "given"}}"#),
    ]);

    let listed = routes(&folder, &["outer.yaml"]);
    let invoke = |function: &str| {
        let output = run(
            &folder,
            &[
                "invoke",
                function,
                "outer.yaml",
                "--env-vars",
                "values.json",
            ],
        );
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{words}");
        serde_json::from_slice::<Json>(&output.stdout).unwrap()
    };

    let seen: Vec<(&str, &str)> = listed
        .iter()
        .map(|route| {
            let function = route["integration"]["function"].as_str().unwrap();
            (route["api"].as_str().unwrap(), function)
        })
        .collect();
    assert_eq!(
        seen,
        [
            ("Orders/ServerlessHttpApi", "Orders/Handler"),
            ("Others/ServerlessHttpApi", "Others/Handler"),
        ]
    );
    assert_eq!(
        invoke("Orders/Handler"),
        serde_json::json!(["told", "Orders-Handler"])
    );
    assert_eq!(
        invoke("Others/Handler"),
        serde_json::json!(["given", "Others-Handler"])
    );
    let chosen = run(
        &folder,
        &["check", "outer.yaml", "--api", "Others/ServerlessHttpApi"],
    );
    assert!(chosen.status.success(), "{chosen:?}");
    let unknown = run(&folder, &["check", "outer.yaml", "--api", "Others/Nobody"]);
    let words = String::from_utf8_lossy(&unknown.stderr).into_owned()
        + &String::from_utf8_lossy(&unknown.stdout);
    assert!(words.contains("E1005"), "{words}");
}

#[cfg(target_os = "linux")]
#[test]
fn the_memory_of_a_templates_functions_can_be_made_a_limit() {
    let template = "Transform: AWS::Serverless-2016-10-31
Resources:
  Fill:
    Type: AWS::Serverless::Function
    Properties:
      Runtime: python3.12
      Handler: index.handler
      Timeout: 60
      InlineCode: 'def handler(event, context): return len(bytearray(600 * 1024 * 1024))'
";
    let folder = folder(&[("fill.yaml", template)]);
    let invoke = |more: &[&str]| run(&folder, &[&["invoke", "Fill", "fill.yaml"], more].concat());

    let unlimited = invoke(&[]);
    let limited = invoke(&["--enforce-memory"]);

    assert_eq!(unlimited.stdout, b"629145600\n");
    let error: Json = serde_json::from_slice(&limited.stdout).unwrap();
    assert_eq!(error["errorType"], "MemoryError");
}
