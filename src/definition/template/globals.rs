//! `Globals`: what a SAM template says once for all resources of a type.
//!
//! Maps are merged key by key, lists joined with the global items first, and of
//! everything else the resource's own value stands. An intrinsic function counts
//! as a simple value, since that is what it becomes.
//!
//! Source: AWS SAM developer guide, "Globals section of the AWS SAM template".

use super::{Stack, tree};
use crate::source::{Diagnostic, Mapping, Node, Value};

/// Sections with the keys that they take.
const SECTIONS: [(&str, &[&str]); 10] = [
    (
        "Function",
        &[
            "Handler",
            "Runtime",
            "CodeUri",
            "DeadLetterQueue",
            "Description",
            "MemorySize",
            "Timeout",
            "VpcConfig",
            "Environment",
            "Tags",
            "PropagateTags",
            "Tracing",
            "KmsKeyArn",
            "AutoPublishAlias",
            "AutoPublishAliasAllProperties",
            "Layers",
            "DeploymentPreference",
            "RolePath",
            "PermissionsBoundary",
            "ReservedConcurrentExecutions",
            "ProvisionedConcurrencyConfig",
            "AssumeRolePolicyDocument",
            "EventInvokeConfig",
            "FileSystemConfigs",
            "CodeSigningConfigArn",
            "Architectures",
            "SnapStart",
            "EphemeralStorage",
            "FunctionUrlConfig",
            "RuntimeManagementConfig",
            "LoggingConfig",
            "RecursiveLoop",
            "SourceKMSKeyArn",
            "TenancyConfig",
            "DurableConfig",
            "CapacityProviderConfig",
            "FunctionScalingConfig",
            "PublishToLatestPublished",
            "VersionDeletionPolicy",
        ],
    ),
    (
        "Api",
        &[
            "Auth",
            "Name",
            "DefinitionUri",
            "CacheClusterEnabled",
            "CacheClusterSize",
            "MergeDefinitions",
            "Variables",
            "EndpointConfiguration",
            "MethodSettings",
            "BinaryMediaTypes",
            "MinimumCompressionSize",
            "Cors",
            "GatewayResponses",
            "AccessLogSetting",
            "CanarySetting",
            "TracingEnabled",
            "OpenApiVersion",
            "Domain",
            "AlwaysDeploy",
            "PropagateTags",
            "SecurityPolicy",
            "EndpointAccessMode",
        ],
    ),
    (
        "HttpApi",
        &[
            "Auth",
            "AccessLogSettings",
            "StageVariables",
            "Tags",
            "CorsConfiguration",
            "DefaultRouteSettings",
            "Domain",
            "RouteSettings",
            "FailOnWarnings",
            "PropagateTags",
        ],
    ),
    ("SimpleTable", &["SSESpecification"]),
    ("StateMachine", &["PropagateTags"]),
    ("LayerVersion", &["PublishLambdaVersion"]),
    ("CapacityProvider", ANY),
    ("MicroVMImage", ANY),
    ("NetworkConnector", ANY),
    (
        "WebSocketApi",
        &[
            "AccessLogSettings",
            "ApiKeySelectionExpression",
            "DefaultRouteSettings",
            "DisableExecuteApiEndpoint",
            "DisableSchemaValidation",
            "Domain",
            "FailOnWarnings",
            "IpAddressType",
            "PropagateTags",
            "RouteSelectionExpression",
            "RouteSettings",
            "StageVariables",
            "Tags",
        ],
    ),
];

/// A section that has nothing to do with an API: its keys are not looked at.
const ANY: &[&str] = &[];

/// Names sections and keys that SAM does not take.
pub(super) fn check(globals: &Node, stack: &Stack<'_>) {
    let Some(sections) = globals.as_mapping() else {
        stack.say(
            Diagnostic::error(
                "E1021",
                format!("`Globals` must be a mapping, found {}", globals.describe()),
            )
            .at(globals.span),
        );
        return;
    };
    for (name, (span, section)) in sections {
        let Some((_, keys)) = SECTIONS.iter().find(|(known, _)| known == name) else {
            let finding =
                Diagnostic::error("E1021", format!("`Globals` has no section `{name}`")).at(*span);
            stack.say(finding.suggest(name, SECTIONS.map(|(known, _)| known)));
            continue;
        };
        for (key, span, _) in section.entries() {
            if !keys.is_empty() && !keys.contains(&key) {
                let finding =
                    Diagnostic::error("E1021", format!("`{key}` cannot stand in `Globals.{name}`"))
                        .at(span);
                stack.say(finding.suggest(key, keys.iter().copied()));
            }
        }
    }
}

/// The properties of a resource of `kind` (`Function`), global ones included.
pub(super) fn merged(
    globals: Option<&Node>,
    kind: &str,
    ignored: Option<&Node>,
    own: &Node,
) -> Node {
    let Some(section) = globals.and_then(|globals| tree::get(globals, kind)) else {
        return own.clone();
    };
    let mut section = section.clone();
    match ignored.map(|node| (node.as_str(), node.as_sequence())) {
        Some((Some("*"), _)) => return own.clone(),
        Some((_, Some(keys))) => {
            for key in keys.iter().filter_map(Node::as_str) {
                tree::remove(&mut section, key);
            }
        }
        _ => {}
    }
    if own.is_null() {
        return section;
    }
    merge(&section, own, kind)
}

fn merge(global: &Node, own: &Node, path: &str) -> Node {
    let simple = tree::intrinsic(global).is_some() || tree::intrinsic(own).is_some();
    match (&global.value, &own.value) {
        _ if simple => own.clone(),
        // SAM has this one rule of its own.
        _ if path == "Function.Architectures" => own.clone(),
        (Value::Mapping(global), Value::Mapping(entries)) => {
            let mut mapping: Mapping = global.clone();
            for (key, (span, value)) in entries {
                let value = match global.get(key) {
                    Some((_, inner)) => merge(inner, value, &format!("{path}.{key}")),
                    None => value.clone(),
                };
                mapping.insert(key.clone(), (*span, value));
            }
            Node {
                value: Value::Mapping(mapping),
                ..own.clone()
            }
        }
        (Value::Sequence(global), Value::Sequence(items)) => {
            tree::list(global.iter().chain(items).cloned().collect(), own.span)
        }
        _ => own.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::stack;
    use super::*;
    use crate::source::Severity;

    #[test]
    fn maps_merge_lists_join_and_the_rest_is_the_resources_own() {
        let (_, node) = stack(
            "Resources: {}\nGlobals: {Function: {Timeout: 3, Layers: [a], Architectures: [x86_64], Environment: {Variables: {A: 1, B: 2, C: !Ref X}}, CodeUri: {Bucket: b}}}\nOwn: {Timeout: 5, Layers: [b], Architectures: [arm64], Environment: {Variables: {B: 3, C: {D: 4}}}, CodeUri: src}\n",
        );

        let merged = merged(
            node.get("Globals"),
            "Function",
            None,
            node.get("Own").unwrap(),
        );

        assert_eq!(
            merged.to_json(),
            serde_json::json!({
                "Timeout": 5,
                "Layers": ["a", "b"],
                "Architectures": ["arm64"],
                "Environment": {"Variables": {"A": 1, "B": 3, "C": {"D": 4}}},
                "CodeUri": "src",
            })
        );
    }

    #[test]
    fn what_sam_does_not_take_is_named() {
        let (stack, node) = stack(
            "Resources: {}\nGlobals: {Function: {FunctionName: x, Timeout: 3}, Api: {StageName: y}, Functions: {}}\n",
        );

        check(node.get("Globals").unwrap(), &stack);

        assert_eq!(stack.findings.borrow().count(Severity::Error), 3);
    }
}
