//! `x-amazon-apigateway-integration`: the backend of an operation.
//!
//! Fields are those of the API Gateway developer guide,
//! "x-amazon-apigateway-integration object".

use std::time::Duration;

use indexmap::IndexMap;

use super::super::intrinsics::Purpose;
use super::super::values::{self, get};
use super::{Reader, mapping, paths};
use crate::base::FunctionArn;
use crate::model::{
    ContentHandling, Integration, IntegrationKind, IntegrationResponse, PassthroughBehavior, Route,
    Spanned, TlsConfig,
};
use crate::source::{Diagnostic, Mapping, Node, Severity, Span};

const EXTENSION: &str = "x-amazon-apigateway-integration";

const KEYS: [&str; 22] = [
    "$ref",
    "cacheKeyParameters",
    "cacheNamespace",
    "connectionId",
    "connectionType",
    "contentHandling",
    "credentials",
    "description",
    "httpMethod",
    "integrationSubtype",
    "integrationTarget",
    "passthroughBehavior",
    "payloadFormatVersion",
    "requestParameters",
    "requestTemplates",
    "responseParameters",
    "responseTransferMode",
    "responses",
    "timeoutInMillis",
    "tlsConfig",
    "type",
    "uri",
];

/// Keys that only the integrations of REST APIs have.
const REST_KEYS: [&str; 8] = [
    "cacheKeyParameters",
    "cacheNamespace",
    "contentHandling",
    "integrationTarget",
    "requestTemplates",
    "responseTransferMode",
    "responses",
    "insecureSkipVerification",
];

const HTTP_KEYS: [&str; 3] = [
    "integrationSubtype",
    "payloadFormatVersion",
    "responseParameters",
];

/// A service action: its name, the parameters it requires, those it also takes.
type Subtype = (
    &'static str,
    &'static [&'static str],
    &'static [&'static str],
);

/// "Integration subtype reference". All of them take `Region`, too.
const SUBTYPES: [Subtype; 10] = [
    (
        "EventBridge-PutEvents",
        &["Detail", "DetailType", "Source"],
        &["Time", "EventBusName", "Resources", "TraceHeader"],
    ),
    (
        "SQS-SendMessage",
        &["QueueUrl", "MessageBody"],
        &[
            "DelaySeconds",
            "MessageAttributes",
            "MessageDeduplicationId",
            "MessageGroupId",
            "MessageSystemAttributes",
        ],
    ),
    (
        "SQS-ReceiveMessage",
        &["QueueUrl"],
        &[
            "AttributeNames",
            "MaxNumberOfMessages",
            "MessageAttributeNames",
            "ReceiveRequestAttemptId",
            "VisibilityTimeout",
            "WaitTimeSeconds",
        ],
    ),
    ("SQS-DeleteMessage", &["QueueUrl", "ReceiptHandle"], &[]),
    ("SQS-PurgeQueue", &["QueueUrl"], &[]),
    (
        "AppConfig-GetConfiguration",
        &["Application", "Environment", "Configuration", "ClientId"],
        &["ClientConfigurationVersion"],
    ),
    (
        "Kinesis-PutRecord",
        &["StreamName", "Data", "PartitionKey"],
        &["SequenceNumberForOrdering", "ExplicitHashKey"],
    ),
    (
        "StepFunctions-StartExecution",
        &["StateMachineArn"],
        &["Name", "Input"],
    ),
    (
        "StepFunctions-StartSyncExecution",
        &["StateMachineArn"],
        &["Name", "Input", "TraceHeader"],
    ),
    (
        "StepFunctions-StopExecution",
        &["ExecutionArn"],
        &["Cause", "Error"],
    ),
];

const METHODS: [&str; 8] = [
    "GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "ANY",
];

impl<'a> Reader<'a, '_> {
    pub(super) fn read_integration(&mut self, operation: &'a Mapping, route: &mut Route) {
        let Some(node) = get(operation, EXTENSION) else {
            let name = format!(
                "{} {}",
                route.method.as_deref().unwrap_or("ANY"),
                route.path
            );
            let finding = if self.is_rest() {
                Diagnostic::error("E0401", format!("no integration defined for method {name}"))
            } else {
                Diagnostic::warning(
                    "W0401",
                    format!("the route {name} has no integration and answers with an error"),
                )
            };
            self.findings.push(
                finding
                    .at(route.span)
                    .help(format!("add `{EXTENSION}` to the operation")),
            );
            return;
        };
        let Some(node) = self.follow(node) else {
            return;
        };
        let Some(fields) = values::mapping(node, &format!("`{EXTENSION}`"), self.findings) else {
            return;
        };
        route.integration = self.integration(fields, node.span, route);
    }

    fn integration(
        &mut self,
        fields: &'a Mapping,
        span: Span,
        route: &Route,
    ) -> Option<Integration> {
        self.check_integration_keys(fields);
        let Some(node) = get(fields, "type") else {
            self.error("E0402", span, "the integration has no `type`");
            return None;
        };
        const KINDS: [(&str, IntegrationKind); 5] = [
            ("aws_proxy", IntegrationKind::AwsProxy),
            ("http_proxy", IntegrationKind::HttpProxy),
            ("aws", IntegrationKind::Aws),
            ("http", IntegrationKind::Http),
            ("mock", IntegrationKind::Mock),
        ];
        let words = KINDS.map(|(word, _)| word);
        let index = values::word(node, "`type` of the integration", &words, self.findings)?;
        let kind = KINDS[index].1;
        if !self.is_rest()
            && !matches!(kind, IntegrationKind::AwsProxy | IntegrationKind::HttpProxy)
        {
            self.error(
                "E0403",
                node.span,
                format!(
                    "HTTP APIs have integrations of type aws_proxy and http_proxy, not {}",
                    kind.as_str()
                ),
            );
        }
        let mut integration = Integration {
            kind,
            uri: self.field(fields, "uri", Purpose::Function),
            http_method: self.http_method(fields),
            credentials: self.field(fields, "credentials", Purpose::Role),
            payload_format_version: get(fields, "payloadFormatVersion")
                .and_then(|node| self.payload_version(node, "`payloadFormatVersion`")),
            subtype: self.subtype(fields),
            vpc_link: self.vpc_link(fields, span),
            request_parameters: self.text_fields(fields, "requestParameters"),
            request_templates: self.text_fields(fields, "requestTemplates"),
            passthrough_behavior: self.passthrough_behavior(fields),
            content_handling: self.content_handling(fields),
            timeout: None,
            cache_namespace: get(fields, "cacheNamespace")
                .and_then(|node| values::text(node, "`cacheNamespace`", self.findings))
                .map(|text| text.value),
            cache_key_parameters: get(fields, "cacheKeyParameters")
                .map(|node| values::texts(node, "`cacheKeyParameters`", self.findings))
                .unwrap_or_default(),
            responses: Vec::new(),
            response_parameters: IndexMap::new(),
            stream: self.streams(fields),
            tls: self.tls(fields),
            span,
        };
        integration.timeout = self.timeout(fields, integration.stream);
        if self.is_rest() {
            integration.responses = self.integration_responses(fields, kind, route);
            self.check_rest(&integration, route);
        } else {
            integration.response_parameters = self.http_response_parameters(fields);
            self.check_http(&integration, route);
        }
        self.check_uri(&integration, route);
        Some(integration)
    }

    fn check_integration_keys(&mut self, fields: &Mapping) {
        for (key, (span, _)) in fields {
            let key = key.as_str();
            if !KEYS.contains(&key) {
                if !key.starts_with("x-") {
                    self.findings.push(values::unknown_key(
                        key,
                        *span,
                        &KEYS,
                        "an integration",
                        Severity::Warning,
                    ));
                }
            } else if self.is_rest() && HTTP_KEYS.contains(&key) {
                self.warn(
                    "W0402",
                    *span,
                    format!("REST APIs ignore `{key}` of an integration: it is for HTTP APIs"),
                );
            } else if !self.is_rest() && REST_KEYS.contains(&key) {
                self.warn(
                    "W0402",
                    *span,
                    format!("HTTP APIs ignore `{key}` of an integration: it is for REST APIs"),
                );
            }
        }
    }

    fn field(
        &mut self,
        fields: &'a Mapping,
        key: &str,
        purpose: Purpose,
    ) -> Option<Spanned<String>> {
        let node = get(fields, key)?;
        self.resolved(node, &format!("`{key}`"), purpose)
    }

    fn text_fields(&mut self, fields: &'a Mapping, key: &str) -> IndexMap<String, Spanned<String>> {
        get(fields, key)
            .map(|node| values::text_map(node, &format!("`{key}`"), self.findings))
            .unwrap_or_default()
    }

    fn http_method(&mut self, fields: &'a Mapping) -> Option<Spanned<String>> {
        let node = get(fields, "httpMethod")?;
        let index = values::word(node, "`httpMethod`", &METHODS, self.findings)?;
        Some(Spanned {
            value: METHODS[index].to_owned(),
            span: node.span,
        })
    }

    fn subtype(&mut self, fields: &'a Mapping) -> Option<Spanned<String>> {
        let node = get(fields, "integrationSubtype")?;
        let words = SUBTYPES.map(|(word, ..)| word);
        let index = values::word(node, "`integrationSubtype`", &words, self.findings)?;
        Some(Spanned {
            value: SUBTYPES[index].0.to_owned(),
            span: node.span,
        })
    }

    fn vpc_link(&mut self, fields: &'a Mapping, span: Span) -> Option<Spanned<String>> {
        let words = ["INTERNET", "VPC_LINK"];
        let kind = get(fields, "connectionType")
            .and_then(|node| values::word(node, "`connectionType`", &words, self.findings));
        let id = self.field(fields, "connectionId", Purpose::Other);
        match (kind, id) {
            (Some(1), None) => {
                self.error(
                    "E0404",
                    span,
                    "`connectionType: VPC_LINK` needs a `connectionId`",
                );
                None
            }
            (Some(1), id) => id,
            (_, Some(id)) => {
                self.warn(
                    "W0404",
                    id.span,
                    "`connectionId` counts only with `connectionType: VPC_LINK`",
                );
                None
            }
            (_, None) => None,
        }
    }

    fn passthrough_behavior(&mut self, fields: &'a Mapping) -> PassthroughBehavior {
        let words = ["when_no_match", "when_no_templates", "never"];
        let index = get(fields, "passthroughBehavior")
            .and_then(|node| values::word(node, "`passthroughBehavior`", &words, self.findings));
        match index {
            Some(1) => PassthroughBehavior::WhenNoTemplates,
            Some(2) => PassthroughBehavior::Never,
            _ => PassthroughBehavior::WhenNoMatch,
        }
    }

    fn content_handling(&mut self, fields: &'a Mapping) -> Option<ContentHandling> {
        let words = ["CONVERT_TO_TEXT", "CONVERT_TO_BINARY"];
        let node = get(fields, "contentHandling")?;
        match values::word(node, "`contentHandling`", &words, self.findings)? {
            0 => Some(ContentHandling::ConvertToText),
            _ => Some(ContentHandling::ConvertToBinary),
        }
    }

    fn streams(&mut self, fields: &'a Mapping) -> bool {
        let words = ["BUFFERED", "STREAM"];
        get(fields, "responseTransferMode").is_some_and(|node| {
            values::word(node, "`responseTransferMode`", &words, self.findings) == Some(1)
        })
    }

    fn tls(&mut self, fields: &'a Mapping) -> TlsConfig {
        let mut tls = TlsConfig::default();
        let config = get(fields, "tlsConfig")
            .and_then(|node| values::mapping(node, "`tlsConfig`", self.findings));
        let Some(config) = config else { return tls };
        values::unknown_keys(
            config,
            &["insecureSkipVerification", "serverNameToVerify"],
            "`tlsConfig`",
            Severity::Warning,
            self.findings,
        );
        if let Some(node) = get(config, "insecureSkipVerification") {
            tls.insecure_skip_verification =
                values::flag(node, "`insecureSkipVerification`", self.findings).unwrap_or(false);
        }
        if let Some(node) = get(config, "serverNameToVerify") {
            tls.server_name_to_verify =
                values::text(node, "`serverNameToVerify`", self.findings).map(|text| text.value);
        }
        tls
    }

    fn timeout(&mut self, fields: &'a Mapping, stream: bool) -> Option<Duration> {
        let node = get(fields, "timeoutInMillis")?;
        // "Amazon API Gateway quotas": 29 s (REST), 15 minutes with streaming, 30 s (HTTP).
        let most = match (self.is_rest(), stream) {
            (true, false) => 29_000,
            (true, true) => 900_000,
            (false, _) => 30_000,
        };
        let millis = values::integer(node, "`timeoutInMillis`", 50, most, self.findings)?;
        u64::try_from(millis).ok().map(Duration::from_millis)
    }

    fn integration_responses(
        &mut self,
        fields: &'a Mapping,
        kind: IntegrationKind,
        route: &Route,
    ) -> Vec<IntegrationResponse> {
        let proxy = matches!(kind, IntegrationKind::AwsProxy | IntegrationKind::HttpProxy);
        let mut responses = Vec::new();
        let Some(node) = get(fields, "responses") else {
            return responses;
        };
        for (pattern, (span, entry)) in values::mapping(node, "`responses`", self.findings)
            .into_iter()
            .flatten()
        {
            let what = format!("the integration response `{pattern}`");
            let Some(fields) = values::mapping(entry, &what, self.findings) else {
                continue;
            };
            values::unknown_keys(
                fields,
                &[
                    "statusCode",
                    "responseParameters",
                    "responseTemplates",
                    "contentHandling",
                ],
                &what,
                Severity::Warning,
                self.findings,
            );
            let Some(status) = get(fields, "statusCode") else {
                self.error("E0405", entry.span, format!("{what} has no `statusCode`"));
                continue;
            };
            let Some(status_code) = values::text(status, "`statusCode`", self.findings) else {
                continue;
            };
            let valid = status_code.value.len() == 3
                && status_code.value.bytes().all(|byte| byte.is_ascii_digit())
                && ('1'..='5').contains(&status_code.value.chars().next().unwrap_or_default());
            if !valid {
                self.error(
                    "E0405",
                    status_code.span,
                    format!(
                        "`statusCode` is `{}`, but must be three digits",
                        status_code.value
                    ),
                );
                continue;
            }
            let response_parameters = get(fields, "responseParameters")
                .map(|node| values::text_map(node, "`responseParameters`", self.findings))
                .unwrap_or_default();
            if !proxy {
                self.check_integration_response(&status_code, &response_parameters, route);
            }
            let response_templates = get(fields, "responseTemplates")
                .map(|node| values::text_map(node, "`responseTemplates`", self.findings))
                .unwrap_or_default();
            responses.push(IntegrationResponse {
                selection_pattern: (pattern != "default").then(|| Spanned {
                    value: pattern.clone(),
                    span: *span,
                }),
                status_code,
                response_parameters,
                response_templates,
                content_handling: self.content_handling(fields),
            });
        }
        responses
    }

    fn check_integration_response(
        &mut self,
        status: &Spanned<String>,
        parameters: &IndexMap<String, Spanned<String>>,
        route: &Route,
    ) {
        let headers = route.responses.get(&status.value);
        if headers.is_none() {
            self.warn(
                "W0405",
                status.span,
                format!(
                    "the operation's `responses` do not declare {}: AWS answers 500 instead",
                    status.value
                ),
            );
        }
        for (target, source) in parameters {
            match mapping::rest_response(target, &source.value) {
                Err(problem) => self.findings.push(
                    Diagnostic::error("E0501", problem)
                        .at(source.span)
                        .help(mapping::quoting(&source.value)),
                ),
                Ok(name) => {
                    let Some(headers) = headers else { continue };
                    if !headers.iter().any(|known| known.eq_ignore_ascii_case(name)) {
                        let finding = Diagnostic::error(
                            "E0503",
                            format!(
                                "the header `{name}` is mapped, but the response {} does not declare it",
                                status.value
                            ),
                        )
                        .at(source.span)
                        .help(format!(
                            "add it to `headers` of the operation's response {}",
                            status.value
                        ))
                        .suggest(name, headers.iter().map(String::as_str));
                        self.findings.push(finding);
                    }
                }
            }
        }
    }

    fn check_rest(&mut self, integration: &Integration, route: &Route) {
        let kind = integration.kind;
        if integration.http_method.is_none()
            && kind != IntegrationKind::Mock
            && !is_local(integration)
        {
            self.error(
                "E0406",
                integration.span,
                format!(
                    "the integration has no `httpMethod`{}",
                    if kind == IntegrationKind::AwsProxy {
                        "; Lambda is called with POST"
                    } else {
                        ""
                    }
                ),
            );
        }
        for (target, source) in &integration.request_parameters {
            match mapping::rest_request(target, &source.value) {
                Err(problem) => self
                    .findings
                    .push(Diagnostic::error("E0501", problem).at(source.span)),
                Ok(None) => {}
                Ok(Some(parameter)) => self.check_declared(parameter, source, route),
            }
        }
        for key in &integration.cache_key_parameters {
            match mapping::cache_key(&key.value) {
                Err(problem) => self
                    .findings
                    .push(Diagnostic::error("E0504", problem).at(key.span)),
                Ok(None) => {}
                Ok(Some(parameter)) => self.check_declared(parameter, key, route),
            }
        }
        let custom = matches!(
            kind,
            IntegrationKind::Aws | IntegrationKind::Http | IntegrationKind::Mock
        );
        if custom && integration.responses.is_empty() {
            self.warn(
                "W0406",
                integration.span,
                "the integration has no `responses`: AWS answers 500 whatever the backend says",
            );
        }
        if integration.stream && custom {
            self.error(
                "E0407",
                integration.span,
                "`responseTransferMode: STREAM` works with aws_proxy and http_proxy",
            );
        }
    }

    fn check_declared(
        &mut self,
        parameter: mapping::MethodParameter<'_>,
        source: &Spanned<String>,
        route: &Route,
    ) {
        if parameter.is_declared(&route.parameters) {
            return;
        }
        let location = match parameter.location {
            crate::model::ParameterLocation::Path => "path",
            crate::model::ParameterLocation::QueryString => "query",
            crate::model::ParameterLocation::Header => "header",
        };
        let names = route
            .parameters
            .iter()
            .filter(|known| known.location == parameter.location)
            .map(|known| known.name.as_str());
        let finding = Diagnostic::error(
            "E0502",
            format!(
                "`{}` reads a parameter that the operation does not declare",
                source.value
            ),
        )
        .at(source.span)
        .help(format!(
            "add `{{name: {}, in: {location}}}` to its `parameters`",
            parameter.name
        ))
        .suggest(parameter.name, names);
        self.findings.push(finding);
    }

    fn check_http(&mut self, integration: &Integration, _route: &Route) {
        if integration.payload_format_version.is_none()
            && integration.kind == IntegrationKind::AwsProxy
        {
            self.findings.push(
                Diagnostic::error("E0408", "the integration has no `payloadFormatVersion`")
                    .at(integration.span)
                    .help("HTTP APIs require it: \"2.0\", or \"1.0\" for the event of REST APIs"),
            );
        }
        if let Some(subtype) = &integration.subtype {
            self.check_service_action(integration, subtype);
            return;
        }
        for (target, source) in &integration.request_parameters {
            if let Err(problem) = mapping::http_request(target, &source.value) {
                self.findings
                    .push(Diagnostic::error("E0501", problem).at(source.span));
            }
        }
    }

    fn check_service_action(&mut self, integration: &Integration, subtype: &Spanned<String>) {
        let (_, required, optional) = SUBTYPES
            .iter()
            .find(|(name, ..)| *name == subtype.value)
            .unwrap_or(&("", &[], &[]));
        for name in *required {
            if !integration.request_parameters.contains_key(*name) {
                self.error(
                    "E0409",
                    subtype.span,
                    format!("{} needs `{name}` in `requestParameters`", subtype.value),
                );
            }
        }
        for (name, source) in &integration.request_parameters {
            let known = || required.iter().chain(*optional).copied().chain(["Region"]);
            if !known().any(|other| other == name) {
                self.findings.push(
                    Diagnostic::error(
                        "E0412",
                        format!("{} has no parameter `{name}`", subtype.value),
                    )
                    .at(source.span)
                    .suggest(name, known()),
                );
            } else if let Err(problem) = mapping::http_value(&source.value) {
                self.findings
                    .push(Diagnostic::error("E0501", problem).at(source.span));
            }
        }
    }

    /// `responseParameters` by status code, as a map or in CloudFormation's form.
    fn http_response_parameters(
        &mut self,
        fields: &'a Mapping,
    ) -> IndexMap<String, IndexMap<String, Spanned<String>>> {
        let mut by_status = IndexMap::new();
        let Some(node) = get(fields, "responseParameters") else {
            return by_status;
        };
        let what = "`responseParameters`";
        for (status, (span, entry)) in values::mapping(node, what, self.findings)
            .into_iter()
            .flatten()
        {
            // "a status code from 200 to 599".
            let valid = status
                .parse::<u16>()
                .is_ok_and(|status| (200..=599).contains(&status));
            if !valid {
                self.error(
                    "E0505",
                    *span,
                    format!("{what} stand by status, 200 to 599, and this is `{status}`"),
                );
                continue;
            }
            let mut mappings = IndexMap::new();
            let list = entry.get("ResponseParameters").and_then(Node::as_sequence);
            match list {
                Some(items) => {
                    for item in items {
                        let (Some(target), Some(source)) = (
                            item.get("Destination").and_then(Node::as_str),
                            item.get("Source"),
                        ) else {
                            self.error(
                                "E0505",
                                item.span,
                                "an entry has `Destination` and `Source`",
                            );
                            continue;
                        };
                        if let Some(source) = values::text(source, "`Source`", self.findings) {
                            mappings.insert(target.to_owned(), source);
                        }
                    }
                }
                None => mappings = values::text_map(entry, what, self.findings),
            }
            for (target, source) in &mappings {
                if let Err(problem) = mapping::http_response(target, &source.value) {
                    self.findings
                        .push(Diagnostic::error("E0501", problem).at(source.span));
                }
            }
            by_status.insert(status.clone(), mappings);
        }
        by_status
    }

    fn check_uri(&mut self, integration: &Integration, route: &Route) {
        let kind = integration.kind;
        if kind == IntegrationKind::Mock || integration.subtype.is_some() {
            return;
        }
        let Some(uri) = &integration.uri else {
            // One that could not be resolved was named already.
            self.missing_uri(integration);
            return;
        };
        let text = uri.value.as_str();
        if is_local(integration) || text.contains("${stageVariables") {
            return;
        }
        match kind {
            IntegrationKind::AwsProxy => {
                if FunctionArn::from_uri(text).is_none() {
                    self.findings.push(
                        Diagnostic::error(
                            "E0411",
                            "the `uri` of an aws_proxy integration names no Lambda function",
                        )
                        .at(uri.span)
                        .help("arn:aws:apigateway:REGION:lambda:path/2015-03-31/functions/FUNCTION_ARN/invocations"),
                    );
                } else if self.is_rest() {
                    self.warn_unless_post(integration);
                }
            }
            IntegrationKind::Aws => {
                let service = text
                    .strip_prefix("arn:")
                    .and_then(|rest| rest.split(':').nth(1));
                if service != Some("apigateway") {
                    self.findings.push(
                        Diagnostic::error(
                            "E0411",
                            "the `uri` of an aws integration names no service",
                        )
                        .at(uri.span)
                        .help("arn:aws:apigateway:REGION:SERVICE:path/… or …:action/ACTION"),
                    );
                } else if FunctionArn::from_uri(text).is_some() {
                    self.warn_unless_post(integration);
                }
            }
            IntegrationKind::Http | IntegrationKind::HttpProxy => {
                self.check_http_uri(integration, uri, route);
            }
            IntegrationKind::Mock => {}
        }
    }

    fn missing_uri(&mut self, integration: &Integration) {
        let unresolved = self.findings.iter().any(|one| {
            one.span.is_some_and(|span| {
                span.file == integration.span.file
                    && span.start >= integration.span.start
                    && span.end <= integration.span.end
            }) && one.message.starts_with("`uri`")
        });
        if !unresolved {
            self.error(
                "E0410",
                integration.span,
                format!("the {} integration has no `uri`", integration.kind.as_str()),
            );
        }
    }

    fn check_http_uri(&mut self, integration: &Integration, uri: &Spanned<String>, route: &Route) {
        let text = uri.value.as_str();
        if integration.vpc_link.is_some() && text.starts_with("arn:") {
            return;
        }
        let rest = text
            .strip_prefix("http://")
            .or_else(|| text.strip_prefix("https://"));
        let host_is_there =
            rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with(['/', '?']));
        if !host_is_there {
            self.findings.push(
                Diagnostic::error(
                    "E0411",
                    format!(
                        "the `uri` of an {} integration must be a URL, found `{text}`",
                        integration.kind.as_str()
                    ),
                )
                .at(uri.span)
                .help("http://HOST/PATH or https://HOST/PATH"),
            );
            return;
        }
        // A variable of the uri that nothing fills is sent as it stands.
        let mut rest = text;
        while let Some(start) = rest.find('{') {
            let from = &rest[start + 1..];
            let Some(end) = from.find('}') else { break };
            let name = from[..end].trim_end_matches('+');
            let stands_for_itself = rest[..start].ends_with('$');
            rest = &from[end + 1..];
            let filled = if self.is_rest() {
                integration
                    .request_parameters
                    .contains_key(&format!("integration.request.path.{name}"))
            } else {
                paths::variables(&route.path).contains(&name)
            };
            if !filled && !stands_for_itself {
                let how = if self.is_rest() {
                    format!("map `integration.request.path.{name}` in `requestParameters`")
                } else {
                    format!("the route's path has no variable `{name}`")
                };
                self.findings.push(
                    Diagnostic::warning(
                        "W0411",
                        format!("nothing fills `{{{name}}}` of the `uri`"),
                    )
                    .at(uri.span)
                    .help(how),
                );
            }
        }
    }

    fn warn_unless_post(&mut self, integration: &Integration) {
        if let Some(method) = &integration.http_method
            && method.value != "POST"
        {
            self.warn(
                "W0407",
                method.span,
                format!(
                    "Lambda is called with POST: with `httpMethod: {}` AWS answers 500",
                    method.value
                ),
            );
        }
    }
}

/// Whether the integration is a handler of the gateway itself.
fn is_local(integration: &Integration) -> bool {
    integration
        .uri
        .as_ref()
        .is_some_and(|uri| uri.value.starts_with("local:"))
}
