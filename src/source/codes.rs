//! Every code a finding can have, with what it means.
//!
//! `E` is an error, `W` a warning, `N` a note. The hundreds tell the subject:
//! 00 files, 01 YAML and JSON, 02 the document's shape, 03 paths and operations,
//! 04 integrations, 05 parameter mapping, 06 security, 07 other extensions,
//! 08 the configuration, 10 templates. Codes are stable: a meaning never moves to another code.

/// Codes in order, each with one line of explanation.
pub const CODES: &[(&str, &str)] = &[
    ("E0001", "the file is missing, a folder, or may not be read"),
    (
        "E0002",
        "AWS does it, and tollgate does not do it yet; `--lenient` makes it a warning",
    ),
    ("E0003", "the file is too large, or not UTF-8 text"),
    ("E0101", "not valid YAML or JSON"),
    ("E0102", "the document is empty"),
    ("E0103", "a key stands twice in one mapping"),
    ("E0104", "nested too deep"),
    ("E0105", "a second document in one file"),
    ("E0106", "an alias unfolds into itself, or into too much"),
    ("E0107", "a key is not text"),
    ("E0108", "`<<` with something that cannot be merged"),
    ("E0201", "a value of a wrong type"),
    ("E0202", "a number out of its range"),
    ("E0203", "a word that is none of those allowed"),
    (
        "E0204",
        "an unknown key in the configuration, or a method that is not in lower case",
    ),
    ("E0210", "not an OpenAPI document"),
    ("E0211", "a `$ref` to a file that cannot be read"),
    ("E0212", "a `$ref` that leads nowhere"),
    ("E0213", "a `$ref` that leads back to itself"),
    ("E0214", "a version of OpenAPI that AWS does not import"),
    (
        "E0216",
        "a CloudFormation function that cannot be resolved here",
    ),
    ("E0217", "OpenAPI 2.0 (Swagger) for an HTTP API"),
    (
        "E0218",
        "parts of a REST API and of an HTTP API in one document",
    ),
    ("E0301", "a path that does not begin with `/`"),
    ("E0302", "a path with an empty segment"),
    ("E0303", "a character that AWS does not take in a path"),
    (
        "E0304",
        "a path variable that is not a whole segment, has a bad name, or stands twice",
    ),
    ("E0305", "a greedy path variable that is not last"),
    ("E0306", "two routes for the same requests"),
    ("E0307", "a method on the default route"),
    (
        "E0308",
        "two path variables with different names in one place",
    ),
    (
        "E0312",
        "a parameter without a name, or in a place that does not exist",
    ),
    ("E0313", "a parameter or body declared twice"),
    ("E0401", "a method without an integration (REST)"),
    ("E0402", "an integration without a type"),
    ("E0403", "an integration type that HTTP APIs do not have"),
    ("E0404", "a VPC link without its id"),
    ("E0405", "an integration response without a valid status"),
    ("E0406", "an integration without `httpMethod` (REST)"),
    ("E0407", "streaming with an integration that cannot stream"),
    (
        "E0408",
        "an integration without `payloadFormatVersion` (HTTP)",
    ),
    ("E0409", "a service action without a required parameter"),
    ("E0410", "an integration without `uri`"),
    ("E0411", "a `uri` that does not fit the integration's type"),
    (
        "E0412",
        "a service action with a parameter that it does not have",
    ),
    (
        "E0501",
        "a mapping whose target or source AWS does not take",
    ),
    (
        "E0502",
        "a mapping or cache key of a parameter that is not declared (REST)",
    ),
    (
        "E0503",
        "a mapped response header that is not declared (REST)",
    ),
    ("E0504", "a cache key that AWS does not take"),
    ("E0505", "response parameters without a valid status (HTTP)"),
    ("E0601", "a security scheme that is not there"),
    ("E0602", "several authorizers for one method"),
    ("E0604", "`x-amazon-apigateway-auth` against `security`"),
    ("E0611", "an authorizer without a type"),
    (
        "E0612",
        "an authorizer without `authorizerPayloadFormatVersion` (HTTP)",
    ),
    (
        "E0613",
        "a caching authorizer without an identity source (REST)",
    ),
    ("E0614", "simple responses with payload format 1.0"),
    ("E0615", "a JWT authorizer without a valid issuer"),
    ("E0616", "a JWT authorizer without an audience"),
    ("E0617", "a Cognito authorizer without valid user pool ARNs"),
    ("E0618", "an authorizer without a valid `authorizerUri`"),
    ("E0619", "an identity source that AWS does not take"),
    ("E0701", "a request validator that is not there"),
    ("E0721", "a CORS origin that is none"),
    ("E0722", "CORS credentials together with a wildcard"),
    ("E0731", "a gateway response type that does not exist"),
    (
        "E0732",
        "a gateway response parameter that AWS does not take",
    ),
    ("E0741", "a binary media type that is none"),
    ("E0742", "a resource policy that is none"),
    ("E0801", "a key that is no setting but a flag"),
    (
        "E0802",
        "a region, account, id or stage name that cannot be one",
    ),
    ("E0803", "a stage variable that AWS does not take"),
    ("E0804", "a method key that names no method"),
    ("E0806", "an address that is no URL"),
    ("E0807", "a store that does not exist"),
    ("E0808", "a trusted proxy that is no network"),
    ("E0809", "a control plane that would listen beyond loopback"),
    (
        "E0811",
        "a function that says nowhere, or twice, how it runs",
    ),
    ("E0812", "a function without a handler"),
    ("E0813", "a function whose command is empty"),
    ("E0814", "a function URL that does not say who may call it"),
    (
        "E0815",
        "a destination of asynchronous invocations without its address",
    ),
    (
        "E0821",
        "an API key without a valid value, or without a name",
    ),
    ("E0822", "two API keys with one id or value"),
    ("E0823", "a usage plan without a name"),
    ("E0824", "a quota without limit or period"),
    ("E0825", "a usage plan with a key that is not there"),
    ("E0826", "a rate limit without key, limit or period"),
    ("E0827", "a rate limit by a key that does not exist"),
    ("E0831", "a VPC link without targets"),
    ("E0841", "an IAM user that is half one"),
    ("E0842", "two IAM users with one access key"),
    ("E0851", "a local user pool that cannot be one"),
    (
        "E0852",
        "a client, user, group or resource server of a local user pool that is half one, or there twice",
    ),
    ("E0853", "a local user pool whose keys cannot be kept"),
    ("E0901", "a gateway response with a status that is none"),
    ("E0902", "a mapped header that cannot be read"),
    ("E0903", "a route that is there twice"),
    ("E0904", "two APIs with one id"),
    ("E0906", "a selection pattern that is no regular expression"),
    ("E0908", "a mapping template that cannot be read"),
    ("E0909", "a model that is no JSON Schema, or leads nowhere"),
    ("E0910", "more rate limits than a route may have"),
    ("E0911", "a cache key that names no parameter"),
    ("E0912", "a policy that is not understood"),
    ("E0915", "an access log's format that AWS refuses"),
    (
        "E1001",
        "a template whose sections or resources have a wrong shape",
    ),
    ("E1002", "a parameter without a value"),
    (
        "E1003",
        "a parameter's value that its declaration does not allow",
    ),
    ("E1004", "SAM resources without the SAM transform"),
    ("E1005", "`--api` names no API of the template"),
    ("E1010", "a function names what the template does not have"),
    (
        "E1011",
        "an intrinsic function that is not written as CloudFormation takes it",
    ),
    ("E1012", "a value that another stack exports"),
    (
        "E1013",
        "conditions, resources or stacks that depend on themselves",
    ),
    ("E1014", "a template that stands for more than can be read"),
    ("E1016", "a resource whose condition does not hold is used"),
    ("E1017", "API Gateway resources that do not fit together"),
    ("E1020", "a property of a SAM resource that SAM refuses"),
    (
        "E1021",
        "`Globals` with a section or key that SAM does not take",
    ),
    ("E1022", "an event that SAM refuses"),
    ("E1023", "`Auth` that SAM refuses"),
    (
        "E1030",
        "a file that a template names and that cannot be had",
    ),
    ("E1032", "functions of two stacks that have one name"),
    (
        "E1033",
        "outputs of two stacks that are exported by one name",
    ),
    (
        "N0211",
        "a `$ref` to another file, which AWS does not follow",
    ),
    ("N0218", "no sign of the kind of API: taken for a REST API"),
    ("N0311", "`callbacks` have no effect"),
    ("N0312", "`servers` of an operation have no effect"),
    ("N0313", "`formData` parameters have no effect"),
    ("N0314", "`cookie` parameters have no effect"),
    ("N0315", "HTTP APIs do not validate requests"),
    (
        "N0601",
        "the scheme `NONE`, which is not there: the method is open",
    ),
    ("N0703", "`webhooks` have no effect"),
    ("N0911", "keywords of a model that AWS does not validate by"),
    (
        "N1042",
        "a function whose code is at AWS, and that is called there",
    ),
    ("W0204", "an unknown key that has no effect"),
    ("W0214", "OpenAPI 3.1, read as 3.0"),
    ("W0215", "a document without a title"),
    ("W0301", "a document without paths"),
    ("W0302", "a TRACE method, which AWS does not have"),
    ("W0303", "`isDefaultRoute` in a REST API"),
    ("W0308", "a greedy variable beside a plain one"),
    ("W0314", "a body without a schema"),
    ("W0315", "a response that is no status"),
    ("W0401", "a route without an integration (HTTP)"),
    (
        "W0402",
        "a field of an integration that this kind of API ignores",
    ),
    ("W0404", "a connection id without `VPC_LINK`"),
    (
        "W0405",
        "an integration response whose status is not declared",
    ),
    ("W0406", "a custom integration without responses"),
    ("W0407", "Lambda with another method than POST"),
    ("W0411", "a variable of the `uri` that nothing fills"),
    ("W0601", "a security scheme that protects nothing"),
    ("W0602", "`security` at the top, which protects nothing"),
    (
        "W0603",
        "an empty security requirement, which has no effect",
    ),
    (
        "W0604",
        "NONE together with an authorizer, which stays in force",
    ),
    ("W0619", "an authorizer whose scheme names no header"),
    ("W0701", "an extension in a place where it has no effect"),
    ("W0702", "an extension that REST APIs ignore"),
    ("W0703", "an unknown extension"),
    ("W0704", "an extension that HTTP APIs ignore"),
    (
        "W0705",
        "a version of the import algorithm that does not exist",
    ),
    ("W0711", "a model's name that AWS does not take"),
    (
        "W0732",
        "a gateway response parameter that is no header, and has no effect",
    ),
    ("W0905", "a route whose every request will get a 500"),
    ("W0910", "a function that cannot be started"),
    ("W0912", "a service integration without `credentials`"),
    ("W0914", "an authorizer that cannot be built"),
    ("W0915", "a variable that access logs do not have"),
    ("W0916", "an access log that goes elsewhere than at AWS"),
    (
        "W1002",
        "a value for a parameter that the template does not have",
    ),
    ("W1017", "two integration responses for one pattern"),
    (
        "W1022",
        "`Auth` of an event has no effect on a written document",
    ),
    ("W1030", "short forms in a file of AWS::Include"),
    ("W1031", "a resource that would matter and is not served"),
    (
        "W1040",
        "an environment variable that only a deployed stack has a value for",
    ),
    ("W1041", "a function that cannot be run here"),
    ("W1044", "a layer that is not there"),
    (
        "W1045",
        "a destination of asynchronous invocations that is no function here: records are logged",
    ),
    ("W1046", "build properties that are not followed here"),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    /// Codes in the text of the files of a folder.
    fn used(folder: &Path, codes: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                used(&path, codes);
            } else if !path.ends_with("codes.rs") {
                // Tests may make codes up.
                let text = std::fs::read_to_string(&path).unwrap();
                let text = text.split("mod tests {").next().unwrap();
                codes.extend(
                    text.split('"')
                        .filter(|word| {
                            word.len() == 5
                                && word.starts_with(['E', 'W', 'N'])
                                && word[1..].bytes().all(|byte| byte.is_ascii_digit())
                        })
                        .map(str::to_owned),
                );
            }
        }
    }

    #[test]
    fn every_code_is_listed_once_and_used() {
        let mut codes = BTreeSet::new();
        used(
            &Path::new(env!("CARGO_MANIFEST_DIR")).join("src"),
            &mut codes,
        );
        let listed: Vec<&str> = CODES.iter().map(|(code, _)| *code).collect();

        assert!(listed.is_sorted(), "in order");
        assert_eq!(codes.iter().map(String::as_str).collect::<Vec<_>>(), listed);
    }
}
