//! Stages of a template's APIs: variables, settings of methods and routes, logs, canary.

use std::time::Duration;

use indexmap::IndexMap;

use super::super::values::{self, get};
use super::{Resource, Stack, tree};
use crate::model::{AccessLog, ApiKind, Canary, MethodSettings, Spanned, Stage, Throttle};
use crate::source::{Diagnostics, Mapping, Node};

impl Stack<'_> {
    /// The stages of an API in the template's order. A deployment's own stage counts
    /// where there is no other one.
    pub(super) fn stages(&self, kind: ApiKind, api: &str) -> Vec<Stage> {
        let (stage_kind, api_kind, link) = match kind {
            ApiKind::Rest => (
                "AWS::ApiGateway::Stage",
                "AWS::ApiGateway::RestApi",
                "RestApiId",
            ),
            ApiKind::Http => (
                "AWS::ApiGatewayV2::Stage",
                "AWS::ApiGatewayV2::Api",
                "ApiId",
            ),
        };
        let of_api = |resource: &Resource| {
            let id = tree::get(&resource.properties, link)?;
            let text = self.try_resolve(id).ok()??;
            self.find_by_reference(&[api_kind], text.as_str()?)
                .map(|id| id == api)
        };
        let mut stages: Vec<Stage> = Vec::new();
        for (_, resource) in self.of_kind(stage_kind) {
            if of_api(resource) != Some(true) {
                continue;
            }
            let Some(properties) = self.resolve(&resource.properties) else {
                continue;
            };
            stages.extend(self.stage(kind, &properties));
        }
        if kind == ApiKind::Rest && stages.is_empty() {
            for (_, resource) in self.of_kind("AWS::ApiGateway::Deployment") {
                let has_name = tree::get(&resource.properties, "StageName").is_some();
                if !has_name || of_api(resource) != Some(true) {
                    continue;
                }
                let Some(properties) = self.resolve(&resource.properties) else {
                    continue;
                };
                let mut described = tree::get(&properties, "StageDescription")
                    .cloned()
                    .unwrap_or_else(|| tree::empty(resource.span));
                if let Some(name) = tree::get(&properties, "StageName") {
                    tree::set(&mut described, "StageName", name.clone());
                }
                stages.extend(self.stage(kind, &described));
            }
        }
        let mut names: Vec<String> = Vec::new();
        stages.retain(|stage| {
            let is_new = !names.contains(&stage.name);
            names.push(stage.name.clone());
            is_new
        });
        stages
    }

    fn stage(&self, kind: ApiKind, properties: &Node) -> Option<Stage> {
        let mut findings = Diagnostics::default();
        let fields = properties.as_mapping()?;
        let name = match get(fields, "StageName") {
            Some(node) => values::text(node, "`StageName`", &mut findings)?.value,
            None if kind == ApiKind::Rest => {
                // Valid at AWS: the name is made up.
                "Stage".to_owned()
            }
            None => "$default".to_owned(),
        };
        let mut stage = Stage {
            name,
            ..Stage::default()
        };
        let variables = get(fields, "Variables").or_else(|| get(fields, "StageVariables"));
        if let Some(node) = variables {
            stage.variables =
                plain_texts(values::text_map(node, "the stage variables", &mut findings));
        }
        let log = get(fields, "AccessLogSetting").or_else(|| get(fields, "AccessLogSettings"));
        stage.access_log = log.map(|node| {
            let text = |key: &str| tree::get(node, key).and_then(Node::as_str);
            let destination = text("DestinationArn").unwrap_or("stdout");
            AccessLog {
                destination: destination.to_owned(),
                format: text("Format").map(str::to_owned),
                span: node.span,
            }
        });
        match kind {
            ApiKind::Rest => rest_settings(fields, &mut stage, &mut findings),
            ApiKind::Http => {
                if let Some(node) = get(fields, "DefaultRouteSettings") {
                    stage.default_route_settings = throttling(node, &mut findings);
                }
                for (route, _, node) in get(fields, "RouteSettings")
                    .into_iter()
                    .flat_map(Node::entries)
                {
                    // ANY goes without its word in SAM's own settings.
                    stage
                        .route_settings
                        .insert(route.to_owned(), throttling(node, &mut findings));
                }
            }
        }
        for finding in findings {
            self.say(finding);
        }
        Some(stage)
    }
}

fn rest_settings(fields: &Mapping, stage: &mut Stage, findings: &mut Diagnostics) {
    stage.cache_cluster_enabled = get(fields, "CacheClusterEnabled")
        .and_then(|node| values::flag(node, "`CacheClusterEnabled`", findings))
        .unwrap_or(false);
    for node in get(fields, "MethodSettings")
        .and_then(Node::as_sequence)
        .unwrap_or_default()
    {
        let text = |key: &str| tree::get(node, key).and_then(Node::as_str);
        let path = text("ResourcePath").unwrap_or("/*");
        let method = text("HttpMethod").unwrap_or("*");
        // `/~1pets~1{id}` is `/pets/{id}`; plain paths are common, too.
        let path = match path.strip_prefix("/~1") {
            Some(rest) => format!("/{}", rest.replace("~1", "/")),
            None => path.replace("~1", "/"),
        };
        let key = match (path.as_str(), method) {
            ("/*" | "*", "*") => "*/*".to_owned(),
            (path, method) => format!("{path}/{}", method.to_uppercase()),
        };
        let flag = |key: &str, findings: &mut Diagnostics| {
            tree::get(node, key).and_then(|node| values::flag(node, &format!("`{key}`"), findings))
        };
        let settings = MethodSettings {
            throttle: throttling(node, findings),
            caching_enabled: flag("CachingEnabled", findings),
            cache_ttl: tree::get(node, "CacheTtlInSeconds")
                .and_then(|node| values::integer(node, "`CacheTtlInSeconds`", 0, 3600, findings))
                .and_then(|seconds| u64::try_from(seconds).ok())
                .map(Duration::from_secs),
            logging_level: text("LoggingLevel").map(str::to_owned),
            data_trace_enabled: flag("DataTraceEnabled", findings),
            metrics_enabled: flag("MetricsEnabled", findings),
            require_authorization_for_cache_control: None,
            unauthorized_cache_control_header_strategy: None,
        };
        stage.method_settings.insert(key, settings);
    }
    let canary = get(fields, "CanarySetting").or_else(|| get(fields, "DeploymentCanarySettings"));
    if let Some(node) = canary {
        stage.canary = Some(Canary {
            percent_traffic: tree::get(node, "PercentTraffic")
                .and_then(|node| number(node, "`PercentTraffic`", findings))
                .unwrap_or(0.0),
            stage_variable_overrides: tree::get(node, "StageVariableOverrides")
                .map(|node| {
                    plain_texts(values::text_map(node, "`StageVariableOverrides`", findings))
                })
                .unwrap_or_default(),
            use_stage_cache: tree::get(node, "UseStageCache")
                .and_then(|node| values::flag(node, "`UseStageCache`", findings))
                .unwrap_or(false),
        });
    }
}

/// `ThrottlingRateLimit` and `ThrottlingBurstLimit`; below zero there is none.
fn throttling(node: &Node, findings: &mut Diagnostics) -> Throttle {
    limits(
        node,
        "ThrottlingRateLimit",
        "ThrottlingBurstLimit",
        findings,
    )
}

/// A rate and a burst under these names.
pub(super) fn limits(node: &Node, rate: &str, burst: &str, findings: &mut Diagnostics) -> Throttle {
    let number = |key: &str, findings: &mut Diagnostics| {
        tree::get(node, key)
            .and_then(|node| number(node, &format!("`{key}`"), findings))
            .filter(|value| *value >= 0.0)
    };
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a float to integer cast saturates"
    )]
    Throttle {
        rate_limit: number(rate, findings),
        burst_limit: number(burst, findings).map(|value| value as u32),
    }
}

/// A number, in quotes as well.
fn number(node: &Node, what: &str, findings: &mut Diagnostics) -> Option<f64> {
    let value = node
        .as_f64()
        .or_else(|| node.as_str()?.trim().parse().ok())
        .filter(|value: &f64| value.is_finite());
    if value.is_none() {
        findings.push(values::wrong_type(node, what, "a number"));
    }
    value
}

pub(super) fn plain_texts(map: IndexMap<String, Spanned<String>>) -> IndexMap<String, String> {
    map.into_iter()
        .map(|(name, text)| (name, text.value))
        .collect()
}
