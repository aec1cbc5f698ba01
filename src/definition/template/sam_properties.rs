//! Which properties SAM's resources and events have: a misspelt one is refused, not passed over.
//!
//! Source: AWS SAM developer guide, the page of each resource; the translator refuses
//! every other key, whatever its value.

use super::sam::{Caller, Transform};
use super::{Resource, Stack, tree};
use crate::source::{Diagnostic, Node};

/// By type, without `AWS::Serverless::`.
const RESOURCES: [(&str, &[&str]); 7] = [
    (
        "Function",
        &[
            "Architectures",
            "AssumeRolePolicyDocument",
            "AutoPublishAlias",
            "AutoPublishAliasAllProperties",
            "AutoPublishCodeSha256",
            "CapacityProviderConfig",
            "CodeSigningConfigArn",
            "CodeUri",
            "DeadLetterQueue",
            "DeploymentPreference",
            "Description",
            "DurableConfig",
            "Environment",
            "EphemeralStorage",
            "EventInvokeConfig",
            "Events",
            "FileSystemConfigs",
            "FunctionName",
            "FunctionScalingConfig",
            "FunctionUrlConfig",
            "Handler",
            "ImageConfig",
            "ImageUri",
            "InlineCode",
            "KmsKeyArn",
            "Layers",
            "LoggingConfig",
            "MemorySize",
            "PackageType",
            "PermissionsBoundary",
            "Policies",
            "PropagateTags",
            "ProvisionedConcurrencyConfig",
            "PublishToLatestPublished",
            "RecursiveLoop",
            "ReservedConcurrentExecutions",
            "Role",
            "RolePath",
            "Runtime",
            "RuntimeManagementConfig",
            "SnapStart",
            "SourceKMSKeyArn",
            "Tags",
            "TenancyConfig",
            "Timeout",
            "Tracing",
            "VersionDeletionPolicy",
            "VersionDescription",
            "VpcConfig",
        ],
    ),
    (
        "Api",
        &[
            "AccessLogSetting",
            "AlwaysDeploy",
            "ApiKeySourceType",
            "Auth",
            "BinaryMediaTypes",
            "CacheClusterEnabled",
            "CacheClusterSize",
            "CanarySetting",
            "Cors",
            "DefinitionBody",
            "DefinitionUri",
            "Description",
            "DisableExecuteApiEndpoint",
            "Domain",
            "EndpointAccessMode",
            "EndpointConfiguration",
            "FailOnWarnings",
            "GatewayResponses",
            "MergeDefinitions",
            "MethodSettings",
            "MinimumCompressionSize",
            "Mode",
            "Models",
            "Name",
            "OpenApiVersion",
            "Policy",
            "PropagateTags",
            "SecurityPolicy",
            "StageName",
            "Tags",
            "TracingEnabled",
            "Variables",
        ],
    ),
    (
        "HttpApi",
        &[
            "AccessLogSettings",
            "Auth",
            "CorsConfiguration",
            "DefaultRouteSettings",
            "DefinitionBody",
            "DefinitionUri",
            "Description",
            "DisableExecuteApiEndpoint",
            "Domain",
            "FailOnWarnings",
            "Name",
            "PropagateTags",
            "RouteSettings",
            "StageName",
            "StageVariables",
            "Tags",
        ],
    ),
    (
        "WebSocketApi",
        &[
            "AccessLogSettings",
            "ApiKeySelectionExpression",
            "Auth",
            "DefaultRouteSettings",
            "Description",
            "DisableExecuteApiEndpoint",
            "DisableSchemaValidation",
            "Domain",
            "FailOnWarnings",
            "IpAddressType",
            "Name",
            "PropagateTags",
            "RouteSelectionExpression",
            "RouteSettings",
            "Routes",
            "StageName",
            "StageVariables",
            "Tags",
        ],
    ),
    (
        "LayerVersion",
        &[
            "CompatibleArchitectures",
            "CompatibleRuntimes",
            "ContentUri",
            "Description",
            "LayerName",
            "LicenseInfo",
            "PublishLambdaVersion",
            "RetentionPolicy",
        ],
    ),
    (
        "StateMachine",
        &[
            "AutoPublishAlias",
            "Definition",
            "DefinitionSubstitutions",
            "DefinitionUri",
            "DeploymentPreference",
            "Events",
            "Logging",
            "Name",
            "PermissionsBoundary",
            "Policies",
            "PropagateTags",
            "Role",
            "RolePath",
            "Tags",
            "Tracing",
            "Type",
            "UseAliasAsEventTarget",
        ],
    ),
    (
        "SimpleTable",
        &[
            "PointInTimeRecoverySpecification",
            "PrimaryKey",
            "ProvisionedThroughput",
            "SSESpecification",
            "TableName",
            "Tags",
        ],
    ),
];

/// Every type of resource that SAM has.
const TYPES: [&str; 13] = [
    "Api",
    "Application",
    "CapacityProvider",
    "Connector",
    "Function",
    "GraphQLApi",
    "HttpApi",
    "LayerVersion",
    "MicroVMImage",
    "NetworkConnector",
    "SimpleTable",
    "StateMachine",
    "WebSocketApi",
];

const FUNCTION_EVENTS: [&str; 19] = [
    "AlexaSkill",
    "Api",
    "CloudWatchEvent",
    "CloudWatchLogs",
    "Cognito",
    "DocumentDB",
    "DynamoDB",
    "EventBridgeRule",
    "HttpApi",
    "IoTRule",
    "Kinesis",
    "MQ",
    "MSK",
    "S3",
    "SNS",
    "SQS",
    "Schedule",
    "ScheduleV2",
    "SelfManagedKafka",
];

const STATE_MACHINE_EVENTS: [&str; 5] = [
    "Api",
    "CloudWatchEvent",
    "EventBridgeRule",
    "Schedule",
    "ScheduleV2",
];

const API_EVENT: [&str; 8] = [
    "Auth",
    "Method",
    "Path",
    "RequestModel",
    "RequestParameters",
    "ResponseTransferMode",
    "RestApiId",
    "TimeoutInMillis",
];

const HTTP_API_EVENT: [&str; 7] = [
    "ApiId",
    "Auth",
    "Method",
    "Path",
    "PayloadFormatVersion",
    "RouteSettings",
    "TimeoutInMillis",
];

const STATE_MACHINE_API_EVENT: [&str; 5] = [
    "Auth",
    "Method",
    "Path",
    "RestApiId",
    "UnescapeMappingTemplate",
];

/// Names what a SAM resource says and SAM does not know: its type, or a property.
pub(super) fn check(id: &str, kind: &str, resource: &Resource, stack: &Stack<'_>) {
    if !TYPES.contains(&kind) {
        let finding = Diagnostic::error(
            "E1020",
            format!("`{id}` has the type AWS::Serverless::{kind}, which SAM does not have"),
        )
        .at(resource.span);
        return stack.say(finding.suggest(kind, TYPES));
    }
    let Some((_, known)) = RESOURCES.iter().find(|(name, _)| *name == kind) else {
        return;
    };
    for (key, span, _) in resource.properties.entries() {
        if !known.contains(&key) {
            let finding = Diagnostic::error(
                "E1020",
                format!("`{id}` (AWS::Serverless::{kind}) has no property `{key}`"),
            )
            .at(span);
            stack.say(finding.suggest(key, known.iter().copied()));
        }
    }
}

impl Transform<'_, '_> {
    /// The type of an event that SAM knows; what is wrong with another one is said.
    pub(super) fn event_type<'n>(
        &self,
        caller: &Caller,
        what: &str,
        node: &'n Node,
    ) -> Option<&'n str> {
        let known: &[&str] = if caller.is_state_machine {
            &STATE_MACHINE_EVENTS
        } else {
            &FUNCTION_EVENTS
        };
        let Some(kind) = tree::get(node, "Type").and_then(Node::as_str) else {
            let finding = Diagnostic::error("E1022", format!("{what} has no `Type`"))
                .at(node.span)
                .help("`Type: Api` for a REST API, `Type: HttpApi` for an HTTP API");
            self.stack.say(finding);
            return None;
        };
        if !known.contains(&kind) {
            let finding = Diagnostic::error(
                "E1022",
                format!("{what} has the type `{kind}`, which SAM does not have there"),
            )
            .at(tree::get(node, "Type").map_or(node.span, |node| node.span));
            // `API` and `Http` are further from the right word than a typing error.
            let finding = match kind.to_ascii_lowercase().as_str() {
                "api" | "restapi" | "rest" => finding.help("did you mean `Api`?"),
                "http" | "httpapi" => finding.help("did you mean `HttpApi`?"),
                _ => finding.suggest(kind, known.iter().copied()),
            };
            self.stack.say(finding);
            return None;
        }
        Some(kind)
    }

    /// Names the properties of an API's event that SAM does not know. Whether it has any.
    pub(super) fn event_properties(
        &self,
        caller: &Caller,
        what: &str,
        kind: &str,
        properties: &Node,
    ) -> bool {
        if properties.as_mapping().is_none() {
            let message = format!(
                "`Properties` of {what} must be a mapping, found {}",
                properties.describe()
            );
            self.stack
                .say(Diagnostic::error("E1022", message).at(properties.span));
            return false;
        }
        let known: &[&str] = match kind {
            "HttpApi" => &HTTP_API_EVENT,
            _ if caller.is_state_machine => &STATE_MACHINE_API_EVENT,
            _ => &API_EVENT,
        };
        for (key, span, _) in properties.entries() {
            if !known.contains(&key) {
                let finding = Diagnostic::error("E1022", format!("{what} has no property `{key}`"))
                    .at(span)
                    .suggest(key, known.iter().copied());
                self.stack.say(finding);
            }
        }
        true
    }
}
