//! The program on good and bad input, as a shell sees it.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value as Json;
use tempfile::TempDir;

const GOOD: &str = r#"openapi: "3.0.1"
info: {title: pets, version: "1"}
paths:
  /pets/{id}:
    get:
      parameters: [{name: id, in: path, required: true}]
      x-amazon-apigateway-integration:
        type: aws_proxy
        httpMethod: POST
        uri: arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/arn:aws:lambda:us-east-1:123456789012:function:pets:live/invocations
"#;

/// A scratch folder with files, and the program run in it.
struct Scratch(TempDir);

impl Scratch {
    fn new(files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        Self(folder)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        self.run_with(arguments, &[])
    }

    fn run_with(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Ran {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tollgate"));
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("TOLLGATE_") {
                command.env_remove(name);
            }
        }
        let output = command
            .args(arguments)
            .envs(variables.iter().copied())
            .current_dir(self.path())
            .output()
            .unwrap();
        Ran(output)
    }
}

struct Ran(Output);

impl Ran {
    fn code(&self) -> Option<i32> {
        self.0.status.code()
    }

    fn out(&self) -> String {
        String::from_utf8(self.0.stdout.clone()).unwrap()
    }

    fn err(&self) -> String {
        String::from_utf8(self.0.stderr.clone()).unwrap()
    }

    fn findings(&self) -> Vec<Json> {
        self.out()
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

#[test]
fn a_missing_file_is_one_line_and_status_2() {
    let ran = Scratch::new(&[]).run(&["check", "nothing.yaml"]);

    assert_eq!(ran.code(), Some(2));
    assert_eq!(
        ran.err(),
        "error: cannot read nothing.yaml: there is no such file; check the path; it is taken from the current folder\n"
    );
}

#[test]
fn a_folder_is_no_definition() {
    let ran = Scratch::new(&[("api/openapi.yaml", GOOD)]).run(&["check", "api"]);

    assert_eq!(ran.code(), Some(2));
    assert!(ran.err().contains("it is a folder"), "{}", ran.err());
}

#[test]
fn nothing_to_read_says_what_was_looked_for() {
    let ran = Scratch::new(&[]).run(&["routes"]);

    assert_eq!(ran.code(), Some(2));
    assert!(ran.err().contains("openapi.yaml"), "{}", ran.err());
}

#[test]
fn broken_definitions_give_line_and_excerpt_and_status_1() {
    for (text, code) in [
        ("", "E0102"),
        ("# nothing\n", "E0102"),
        ("openapi: [1\n", "E0101"),
        ("{\"openapi\": \"3.0.1\",}", "E0215"),
        ("just words", "E0210"),
        ("[1, 2]", "E0210"),
        ("a: 1\n", "E0210"),
        ("openapi: 4.0.0\n", "E0214"),
        ("swagger: 1.2\n", "E0214"),
        ("openapi: 3.0.1\nopenapi: 3.0.1\n", "E0103"),
        ("openapi: 3.0.1\npaths: 5\n", "E0201"),
        ("openapi: 3.0.1\npaths: {/a: {get: [1]}}\n", "E0201"),
        ("openapi: 3.0.1\npaths: {/a: {get: {}}}\n", "E0401"),
        ("openapi: 3.0.1\npaths: {a: {}}\n", "E0301"),
    ] {
        let scratch = Scratch::new(&[("api.yaml", text)]);
        let ran = scratch.run(&["check", "--json", "api.yaml"]);

        if code == "E0215" {
            // Trailing commas are fine in YAML's flow mappings.
            assert_eq!(ran.code(), Some(0), "{text}: {}", ran.out());
            continue;
        }
        assert_eq!(ran.code(), Some(1), "{text}: {}", ran.out());
        let findings = ran.findings();
        let error = findings
            .iter()
            .find(|one| one["code"] == code)
            .unwrap_or_else(|| panic!("{text}: {findings:?}"));
        assert_eq!(error["severity"], "error");
        assert_eq!(error["file"], "api.yaml");
        assert!(error["line"].as_u64().unwrap() >= 1);
    }
}

#[test]
fn text_that_is_not_utf8_is_a_finding() {
    let scratch = Scratch::new(&[]);
    std::fs::write(scratch.path().join("api.yaml"), b"openapi: \xff\xfe").unwrap();

    let ran = scratch.run(&["check", "api.yaml"]);

    assert_eq!(ran.code(), Some(1));
    assert!(ran.out().contains("not UTF-8"), "{}", ran.out());
}

#[test]
fn json_files_get_json_errors() {
    let ran = Scratch::new(&[("api.json", "{\"openapi\": \"3.0.1\", \"paths\": {]}")])
        .run(&["check", "api.json", "--json"]);

    assert_eq!(ran.code(), Some(1));
    let findings = ran.findings();
    assert_eq!(
        findings[0]["message"],
        "not valid JSON: expected a key in double quotes, found ']'"
    );
    assert_eq!(
        (&findings[0]["line"], &findings[0]["column"]),
        (&1.into(), &32.into())
    );
}

#[test]
fn a_good_definition_is_fine() {
    let scratch = Scratch::new(&[("openapi.yaml", GOOD)]);

    let ran = scratch.run(&["check"]);

    assert_eq!(ran.code(), Some(0), "{}{}", ran.out(), ran.err());
    assert!(
        ran.err().contains("definition: openapi.yaml"),
        "{}",
        ran.err()
    );
}

#[test]
fn strict_counts_warnings() {
    let scratch = Scratch::new(&[(
        "api.yaml",
        &GOOD.replace("type:", "colour: red\n        type:"),
    )]);

    assert_eq!(scratch.run(&["check", "api.yaml"]).code(), Some(0));
    let strict = scratch.run(&["check", "api.yaml", "--strict"]);
    assert_eq!(strict.code(), Some(1));
    assert!(strict.out().contains("W0204"), "{}", strict.out());
}

#[test]
fn routes_print_a_table() {
    let ran = Scratch::new(&[("api.yaml", GOOD)]).run(&["routes", "api.yaml"]);

    assert_eq!(ran.code(), Some(0));
    assert_eq!(
        ran.out(),
        "METHOD  PATH        INTEGRATION          AUTHORIZER\n\
         GET     /pets/{id}  aws_proxy pets:live  -\n"
    );
}

#[test]
fn routes_as_json_leave_out_what_does_not_apply() {
    let scratch = Scratch::new(&[("api.yaml", GOOD)]);

    let ran = scratch.run(&["routes", "api.yaml", "--json", "--stage-variable", "a=b"]);

    let json: Json = serde_json::from_str(&ran.out()).unwrap();
    assert_eq!(
        json,
        serde_json::json!([{
            "api": "pets",
            "type": "REST",
            "stage": "dev",
            "stageVariables": {"a": "b"},
            "method": "GET",
            "path": "/pets/{id}",
            "integration": {"type": "aws_proxy", "function": "pets", "qualifier": "live"},
        }])
    );
}

#[test]
fn flags_beat_variables_beat_the_file_beats_defaults() {
    let scratch = Scratch::new(&[
        ("openapi.yaml", GOOD),
        (
            "tollgate.yaml",
            "region: eu-west-1\naccountId: \"111122223333\"\nstage: {name: test}\napiKeys: [{name: a, value: secret-0123456789abcdef}]\n",
        ),
    ]);

    let ran = scratch.run_with(
        &["config", "--json", "--stage", "prod"],
        &[
            ("TOLLGATE_REGION", "us-west-2"),
            ("TOLLGATE_STAGE", "other"),
        ],
    );

    assert_eq!(ran.code(), Some(0), "{}", ran.err());
    let config: Json = serde_json::from_str(&ran.out()).unwrap();
    let of = |key: &str| {
        (
            config[key]["value"].clone(),
            config[key]["origin"].as_str().unwrap().to_owned(),
        )
    };
    assert_eq!(of("stage.name"), ("prod".into(), "flag --stage".to_owned()));
    assert_eq!(
        of("region"),
        ("us-west-2".into(), "environment TOLLGATE_REGION".to_owned())
    );
    assert_eq!(
        of("accountId"),
        ("111122223333".into(), "file tollgate.yaml:2".to_owned())
    );
    assert_eq!(of("port"), (3000.into(), "default".to_owned()));
    assert!(!ran.out().contains("secret-0123456789"), "{}", ran.out());
}

#[test]
fn an_unknown_key_of_the_configuration_names_the_nearest() {
    let scratch = Scratch::new(&[
        ("openapi.yaml", GOOD),
        ("tollgate.yaml", "region: us-east-1\nfuncitons: {}\n"),
    ]);

    let ran = scratch.run(&["check", "--json"]);

    assert_eq!(ran.code(), Some(1));
    let findings = ran.findings();
    assert_eq!(findings[0]["file"], "tollgate.yaml");
    assert_eq!(findings[0]["line"], 2);
    assert_eq!(findings[0]["help"], "did you mean `functions`?");
}

#[test]
fn wrong_flags_are_wrong_usage() {
    let scratch = Scratch::new(&[("api.yaml", GOOD)]);

    for arguments in [
        &["check", "api.yaml", "--api-type", "soap"][..],
        &["check", "api.yaml", "--stage", "a b"],
        &["check", "api.yaml", "--stage-variable", "x"],
        &["nonsense"],
    ] {
        assert_eq!(scratch.run(arguments).code(), Some(2), "{arguments:?}");
    }
}

const GUARDED: &str = r#"openapi: "3.0.1"
info: {title: pets, version: "1"}
x-amazon-apigateway-api-key-source: AUTHORIZER
components:
  securitySchemes:
    door:
      type: apiKey
      name: Authorization
      in: header
      x-amazon-apigateway-authtype: custom
      x-amazon-apigateway-authorizer:
        type: token
        authorizerUri: arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/arn:aws:lambda:us-east-1:123456789012:function:door/invocations
    key: {type: apiKey, name: x-api-key, in: header}
paths:
  /pets/{id}:
    get:
      parameters: [{name: id, in: path, required: true}]
      security: [{door: [], key: []}]
      responses: {"200": {description: ok}}
      x-amazon-apigateway-integration:
        type: mock
        requestTemplates: {application/json: '{"statusCode": 200}'}
        responses: {default: {statusCode: "200", responseTemplates: {application/json: '{"id": "$input.params("id")"}'}}}
"#;

const DOOR: &str = r#"
def handler(event, context):
    if event["authorizationToken"] != "Bearer let-me-in-please":
        raise Exception("Unauthorized")
    allow = {"Effect": "Allow", "Action": "execute-api:Invoke", "Resource": "*"}
    return {
        "principalId": "ada",
        "policyDocument": {"Version": "2012-10-17", "Statement": [allow]},
        "usageIdentifierKey": "ada-key-0123456789abcdef",
    }
"#;

const GUARDED_SETTINGS: &str = r"
functions: {door: {runtime: python3.13, handler: door.handler, codeUri: .}}
apiKeys: [{name: ada, value: ada-key-0123456789abcdef}]
usagePlans: [{name: gold, apiKeys: [ada], quota: {limit: 10, period: DAY}}]
";

/// What a test printed: the log's lines without their times, and the rest.
fn log_lines(out: &str) -> Vec<&str> {
    out.lines()
        .map(|line| line.split_once(" UTC ").map_or(line, |(_, rest)| rest))
        .map(|line| line.split_once(" : ").map_or(line, |(_, text)| text))
        .collect()
}

#[test]
fn a_test_shows_each_step_and_no_secret() {
    let scratch = Scratch::new(&[
        ("openapi.yaml", GUARDED),
        ("door.py", DOOR),
        ("tollgate.yaml", GUARDED_SETTINGS),
    ]);

    let ran = scratch.run(&[
        "test-invoke",
        "openapi.yaml",
        "GET",
        "/pets/7?x=1",
        "--header",
        "Authorization: Bearer let-me-in-please",
    ]);

    assert_eq!(ran.code(), Some(0), "{}", ran.err());
    let out = ran.out();
    let steps = [
        "Starting authorizer: door for request: ",
        "Authorizer result body before parsing: {\"principalId\": \"ada\"",
        "Using valid authorizer policy for principal: ada",
        "Successfully completed authorizer execution",
        "Verifying Usage Plan for request: ",
        "Usage Plan check succeeded for API Key ******************abcdef and API Stage ",
        "Starting execution for request: ",
        "HTTP Method: GET, Resource Path: /pets/7",
        "Method request path: {id=7}",
        "Method request query string: {x=1}",
        "Method request headers: {Authorization=******************lease}",
        "Method request body before transformations: ",
        "Method response body after transformations: {\"id\": \"7\"}",
        "Successfully completed execution",
        "Method completed with status: 200",
    ];
    let mut lines = log_lines(&out).into_iter();
    for step in steps {
        assert!(lines.any(|line| line.starts_with(step)), "{step}\n{out}");
    }
    for secret in ["let-me-in", "ada-key"] {
        assert!(!out.contains(secret), "{out}");
    }
}

#[test]
fn a_test_shows_who_refused() {
    let keyless = DOOR.replace("ada-key", "bob-key");
    let scratch = Scratch::new(&[
        ("openapi.yaml", GUARDED),
        ("door.py", &keyless),
        ("tollgate.yaml", GUARDED_SETTINGS),
    ]);
    let last_step = |header: &str| {
        let ran = scratch.run(&[
            "test-invoke",
            "openapi.yaml",
            "GET",
            "/pets/7",
            "-H",
            header,
        ]);
        assert_eq!(ran.code(), Some(0), "{}", ran.err());
        let out = ran.out();
        let lines = log_lines(&out);
        let refused = lines
            .iter()
            .position(|line| line.starts_with("Gateway response type"));
        let at = refused.unwrap_or_else(|| panic!("{out}"));
        assert!(!out.contains("Starting execution"), "{out}");
        format!("{}\n{}", lines[at - 2], lines[at])
    };

    let unauthorized = last_step("Authorization: Bearer nonsense");
    assert!(
        unauthorized.starts_with("Unauthorized request: "),
        "{unauthorized}"
    );
    assert!(
        unauthorized.ends_with("UNAUTHORIZED with status code: 401"),
        "{unauthorized}"
    );

    let no_key = last_step("Authorization: Bearer let-me-in-please");
    assert!(
        no_key.contains("not authorized because method 'GET /pets/{id}' requires API Key"),
        "{no_key}"
    );
    assert!(
        no_key.ends_with("INVALID_API_KEY with status code: 403"),
        "{no_key}"
    );
}
