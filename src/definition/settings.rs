//! `tollgate.yaml`: what AWS keeps outside of an API's document.
//!
//! Names are those of the AWS API, every key is optional, and an unknown key is
//! an error: a limit that is misspelt would otherwise not be there.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use indexmap::IndexMap;
use serde_json::Value as Json;

use super::function_life;
use super::rate_limits;
use super::user_pools;
use super::values::{self, get};
use crate::model::settings::{
    ApiKeySettings, AuthorizerSettings, Durability, FunctionLife, FunctionPlace, FunctionSettings,
    IamUserSettings, QuotaPeriod, QuotaSettings, Settings, UsagePlanSettings, VpcLinkSettings,
    WhenDown,
};
use crate::model::{AccessLog, Api, ApiKind, Canary, MethodSettings, Spanned, Stage, Throttle};
use crate::source::{Diagnostic, Diagnostics, FileId, Mapping, Node, Severity, Sources, Span};

/// Top-level keys, in the order of the documentation.
pub const KEYS: [&str; 21] = [
    "region",
    "accountId",
    "apiType",
    "apiId",
    "stage",
    "throttle",
    "functions",
    "layers",
    "authorizers",
    "userPools",
    "apiKeys",
    "usagePlans",
    "store",
    "iam",
    "trustedProxies",
    "rateLimits",
    "vpcLinks",
    "admin",
    "tls",
    "host",
    "port",
];

/// Keys whose names are fixed, and whose features come later.
const LATER: [(&str, &str); 1] = [("tls", "TLS (`tls`)")];

/// The folder that relative paths of a configuration start from: its own, absolute.
pub fn base_directory(path: &Path) -> PathBuf {
    let folder = path.parent().unwrap_or(Path::new(""));
    let current = || std::env::current_dir().unwrap_or_default();
    if folder.as_os_str().is_empty() {
        current()
    } else if folder.is_absolute() {
        folder.to_owned()
    } else {
        current().join(folder)
    }
}

/// Reads a configuration that was added to `sources` over the defaults.
///
/// What could not be read keeps its default and is named in the findings. An
/// empty file is a configuration without settings.
pub fn read(sources: &Sources, file: FileId, findings: &mut Diagnostics) -> Configuration {
    let mut configuration = Configuration {
        settings: Settings {
            base_directory: base_directory(sources.path(file)),
            ..Settings::default()
        },
        given: IndexMap::new(),
    };
    let mut found = Diagnostics::default();
    let root = sources.load(file, &mut found);
    let Some(root) = root else {
        found.0.retain(|one| one.code != "E0102");
        findings.extend(found);
        return configuration;
    };
    findings.extend(found);
    let mut reader = Reader {
        settings: &mut configuration.settings,
        findings,
    };
    reader.root(&root);
    configuration.given = given(&root);
    configuration
}

/// A configuration file that was read.
#[derive(Clone, Debug, Default)]
pub struct Configuration {
    /// The settings, over the defaults.
    pub settings: Settings,
    /// What the file itself says, by key (`region`, `stage.name`, `functions.hello`), secrets blanked.
    pub given: IndexMap<String, Spanned<Json>>,
}

/// The keys of a configuration, those of `stage`, `throttle` and `functions` one level deeper.
fn given(root: &Node) -> IndexMap<String, Spanned<Json>> {
    let mut given = IndexMap::new();
    for (key, span, node) in root.entries() {
        if matches!(key, "stage" | "throttle" | "functions") && node.as_mapping().is_some() {
            for (inner, span, node) in node.entries() {
                let value = node.to_json();
                given.insert(format!("{key}.{inner}"), Spanned { value, span });
            }
            continue;
        }
        let mut value = node.to_json();
        if key == "apiKeys" {
            for entry in value.as_array_mut().into_iter().flatten() {
                if let Some(secret) = entry.get_mut("value") {
                    *secret = "***".into();
                }
            }
        }
        if key == "iam" {
            let users = value.get_mut("users").and_then(Json::as_array_mut);
            for entry in users.into_iter().flatten() {
                for name in ["secretAccessKey", "sessionToken"] {
                    if let Some(secret) = entry.get_mut(name) {
                        *secret = "***".into();
                    }
                }
            }
        }
        if key == "userPools" {
            user_pools::blank_secrets(&mut value);
        }
        given.insert(key.to_owned(), Spanned { value, span });
    }
    given
}

struct Reader<'a> {
    settings: &'a mut Settings,
    findings: &'a mut Diagnostics,
}

impl Reader<'_> {
    fn root(&mut self, root: &Node) {
        let Some(fields) = values::mapping(root, "a configuration", self.findings) else {
            return;
        };
        for (key, (span, node)) in fields {
            if node.is_null() && KEYS.contains(&key.as_str()) {
                continue;
            }
            if let Some((_, feature)) = LATER.iter().find(|(later, _)| later == key) {
                self.findings
                    .push(Diagnostic::unsupported(feature).at(*span));
                continue;
            }
            match key.as_str() {
                "region" => self.region(node),
                "accountId" => self.account_id(node),
                "apiType" => {
                    let words = ["rest", "http"];
                    let index = values::word(node, "`apiType`", &words, self.findings);
                    self.settings.api_type = index.map(|index| match index {
                        0 => ApiKind::Rest,
                        _ => ApiKind::Http,
                    });
                }
                "apiId" => self.api_id(node),
                "stage" => self.stage(node),
                "throttle" => {
                    let throttle = self.throttle(node, "`throttle`");
                    self.settings.throttle = Throttle {
                        rate_limit: throttle.rate_limit.or(self.settings.throttle.rate_limit),
                        burst_limit: throttle.burst_limit.or(self.settings.throttle.burst_limit),
                    };
                }
                "functions" => self.functions(node),
                "layers" => {
                    let folders = values::text_map(node, "`layers`", self.findings);
                    self.settings.layers = folders
                        .into_iter()
                        .map(|(arn, path)| (arn, self.settings.base_directory.join(path.value)))
                        .collect();
                }
                "authorizers" => {
                    self.settings.authorizers = self.authorizers(node, "`authorizers`");
                }
                "userPools" => {
                    let pools = values::mapping(node, "`userPools`", self.findings);
                    self.settings.local_user_pools =
                        user_pools::read_local(pools, self.findings);
                    let elsewhere = user_pools::elsewhere(node);
                    self.settings.user_pools = self.authorizers(&elsewhere, "`userPools`");
                }
                "apiKeys" => self.api_keys(node),
                "usagePlans" => self.usage_plans(node),
                "iam" => self.iam(node),
                "store" => self.store(node),
                "rateLimits" => {
                    self.settings.rate_limits =
                        rate_limits::read(node, "`rateLimits`", self.findings);
                }
                "trustedProxies" => self.trusted_proxies(node),
                "admin" => self.admin(node),
                "vpcLinks" => self.vpc_links(node),
                "host" | "port" => self.findings.push(
                    Diagnostic::error(
                        "E0801",
                        format!("`{key}` is no key of the configuration: the address is said with --{key}"),
                    )
                    .at(*span)
                    .help(format!("start with `tollgate serve --{key} …`, or set TOLLGATE_{}", key.to_uppercase())),
                ),
                key => self.findings.push(values::unknown_key(
                    key,
                    *span,
                    &KEYS,
                    "the configuration",
                    Severity::Error,
                )),
            }
        }
        self.known_keys_of_plans();
    }

    fn region(&mut self, node: &Node) {
        if let Some(region) = values::text(node, "`region`", self.findings) {
            match check_region(&region.value) {
                Ok(()) => self.settings.region = region.value,
                Err(problem) => self.error("E0802", region.span, problem),
            }
        }
    }

    fn account_id(&mut self, node: &Node) {
        if let Some(account) = values::text(node, "`accountId`", self.findings) {
            if account.value.len() == 12 && account.value.bytes().all(|b| b.is_ascii_digit()) {
                self.settings.account_id = account.value;
            } else {
                self.error(
                    "E0802",
                    account.span,
                    format!(
                        "`accountId` is `{}`, but must be twelve digits",
                        account.value
                    ),
                );
            }
        }
    }

    fn api_id(&mut self, node: &Node) {
        if let Some(id) = values::text(node, "`apiId`", self.findings) {
            let valid = (1..=63).contains(&id.value.len())
                && id
                    .value
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
            if valid {
                self.settings.api_id = Some(id.value);
            } else {
                self.error(
                    "E0802",
                    id.span,
                    format!(
                        "`apiId` is `{}`, but must be lower-case letters and digits: it is a part of the host name",
                        id.value
                    ),
                );
            }
        }
    }

    fn stage(&mut self, node: &Node) {
        const STAGE_KEYS: [&str; 8] = [
            "name",
            "variables",
            "methodSettings",
            "defaultRouteSettings",
            "routeSettings",
            "cacheClusterEnabled",
            "accessLogSettings",
            "canarySettings",
        ];
        let Some(fields) = values::mapping(node, "`stage`", self.findings) else {
            return;
        };
        for (key, (span, node)) in fields {
            if node.is_null() {
                continue;
            }
            match key.as_str() {
                "name" => {
                    if let Some(name) = values::text(node, "`name` of the stage", self.findings) {
                        match check_stage_name(&name.value) {
                            Ok(()) => self.settings.stage_name = Some(name.value),
                            Err(problem) => self.error("E0802", name.span, problem),
                        }
                    }
                }
                "variables" => {
                    self.settings.stage.variables =
                        self.variables(node, "`variables` of the stage");
                }
                "methodSettings" => self.method_settings(node),
                "defaultRouteSettings" => {
                    self.settings.stage.default_route_settings =
                        self.route_settings(node, "`defaultRouteSettings`");
                }
                "routeSettings" => {
                    let entries = values::mapping(node, "`routeSettings`", self.findings);
                    for (route, (_, node)) in entries.into_iter().flatten() {
                        let throttle =
                            self.route_settings(node, &format!("`routeSettings` of {route}"));
                        self.settings
                            .stage
                            .route_settings
                            .insert(route.clone(), throttle);
                    }
                }
                "cacheClusterEnabled" => {
                    self.settings.stage.cache_cluster_enabled =
                        values::flag(node, "`cacheClusterEnabled`", self.findings).unwrap_or(false);
                }
                "accessLogSettings" => {
                    self.settings.stage.access_log = self.access_log(node);
                }
                "canarySettings" => self.settings.stage.canary = self.canary(node),
                key => self.findings.push(values::unknown_key(
                    key,
                    *span,
                    &STAGE_KEYS,
                    "`stage`",
                    Severity::Error,
                )),
            }
        }
    }

    fn variables(&mut self, node: &Node, what: &str) -> IndexMap<String, String> {
        let mut variables = IndexMap::new();
        for (name, value) in values::text_map(node, what, self.findings) {
            match check_stage_variable(&name, &value.value) {
                Ok(()) => {
                    variables.insert(name, value.value);
                }
                Err(problem) => self.error("E0803", value.span, problem),
            }
        }
        variables
    }

    fn method_settings(&mut self, node: &Node) {
        const METHOD_KEYS: [&str; 9] = [
            "throttlingRateLimit",
            "throttlingBurstLimit",
            "cachingEnabled",
            "cacheTtlInSeconds",
            "loggingLevel",
            "dataTraceEnabled",
            "metricsEnabled",
            "requireAuthorizationForCacheControl",
            "unauthorizedCacheControlHeaderStrategy",
        ];
        let entries = values::mapping(node, "`methodSettings`", self.findings);
        for (method, (span, node)) in entries.into_iter().flatten() {
            let what = format!("`methodSettings` of {method}");
            let valid = method == "*/*"
                || method
                    .rsplit_once('/')
                    .is_some_and(|(path, verb)| !path.is_empty() && is_method(verb));
            if !valid {
                self.findings.push(
                    Diagnostic::error(
                        "E0804",
                        format!("`{method}` names no method: `/pets/GET`, `//GET` for the root, or `*/*`"),
                    )
                    .at(*span),
                );
            }
            let Some(fields) = values::mapping(node, &what, self.findings) else {
                continue;
            };
            let mut entry = MethodSettings {
                throttle: self.throttling(fields),
                ..MethodSettings::default()
            };
            for (key, (span, node)) in fields {
                let name = format!("`{key}`");
                match key.as_str() {
                    _ if node.is_null() => {}
                    "throttlingRateLimit" | "throttlingBurstLimit" => {}
                    "cachingEnabled" => {
                        entry.caching_enabled = values::flag(node, &name, self.findings);
                    }
                    "cacheTtlInSeconds" => {
                        entry.cache_ttl = seconds(node, &name, 0, 3600, self.findings);
                    }
                    "loggingLevel" => {
                        let words = ["OFF", "ERROR", "INFO"];
                        entry.logging_level = values::word(node, &name, &words, self.findings)
                            .map(|index| words[index].to_owned());
                    }
                    "dataTraceEnabled" => {
                        entry.data_trace_enabled = values::flag(node, &name, self.findings);
                    }
                    "metricsEnabled" => {
                        entry.metrics_enabled = values::flag(node, &name, self.findings);
                    }
                    "requireAuthorizationForCacheControl" => {
                        entry.require_authorization_for_cache_control =
                            values::flag(node, &name, self.findings);
                    }
                    "unauthorizedCacheControlHeaderStrategy" => {
                        let words = [
                            "FAIL_WITH_403",
                            "SUCCEED_WITH_RESPONSE_HEADER",
                            "SUCCEED_WITHOUT_RESPONSE_HEADER",
                        ];
                        entry.unauthorized_cache_control_header_strategy =
                            values::word(node, &name, &words, self.findings)
                                .map(|index| words[index].to_owned());
                    }
                    key => self.findings.push(values::unknown_key(
                        key,
                        *span,
                        &METHOD_KEYS,
                        &what,
                        Severity::Error,
                    )),
                }
            }
            self.settings
                .stage
                .method_settings
                .insert(method.clone(), entry);
        }
    }

    /// `throttlingRateLimit` and `throttlingBurstLimit`.
    fn throttling(&mut self, fields: &Mapping) -> Throttle {
        Throttle {
            rate_limit: get(fields, "throttlingRateLimit").and_then(|node| {
                values::number(node, "`throttlingRateLimit`", 0.0, f64::MAX, self.findings)
            }),
            burst_limit: get(fields, "throttlingBurstLimit")
                .and_then(|node| burst(node, "`throttlingBurstLimit`", self.findings)),
        }
    }

    fn route_settings(&mut self, node: &Node, what: &str) -> Throttle {
        let Some(fields) = values::mapping(node, what, self.findings) else {
            return Throttle::default();
        };
        values::unknown_keys(
            fields,
            &[
                "throttlingRateLimit",
                "throttlingBurstLimit",
                "detailedMetricsEnabled",
            ],
            what,
            Severity::Error,
            self.findings,
        );
        self.throttling(fields)
    }

    /// `rateLimit` and `burstLimit`.
    fn throttle(&mut self, node: &Node, what: &str) -> Throttle {
        let Some(fields) = values::mapping(node, what, self.findings) else {
            return Throttle::default();
        };
        values::unknown_keys(
            fields,
            &["rateLimit", "burstLimit"],
            what,
            Severity::Error,
            self.findings,
        );
        Throttle {
            rate_limit: get(fields, "rateLimit")
                .and_then(|node| values::number(node, "`rateLimit`", 0.0, f64::MAX, self.findings)),
            burst_limit: get(fields, "burstLimit")
                .and_then(|node| burst(node, "`burstLimit`", self.findings)),
        }
    }

    fn access_log(&mut self, node: &Node) -> Option<AccessLog> {
        let what = "`accessLogSettings`";
        let fields = values::mapping(node, what, self.findings)?;
        values::unknown_keys(
            fields,
            &["destination", "format"],
            what,
            Severity::Error,
            self.findings,
        );
        let destination = get(fields, "destination")
            .and_then(|node| values::text(node, "`destination`", self.findings))
            .map_or_else(|| "stdout".to_owned(), |text| text.value);
        let format = match get(fields, "format") {
            Some(format) => Some(values::text(format, "`format`", self.findings)?.value),
            None => None,
        };
        let destination = if destination == "stdout" || destination.starts_with("arn:") {
            destination
        } else {
            self.settings
                .base_directory
                .join(destination)
                .to_string_lossy()
                .into_owned()
        };
        Some(AccessLog {
            destination,
            format,
            span: node.span,
        })
    }

    fn canary(&mut self, node: &Node) -> Option<Canary> {
        let what = "`canarySettings`";
        let fields = values::mapping(node, what, self.findings)?;
        values::unknown_keys(
            fields,
            &[
                "percentTraffic",
                "stageVariableOverrides",
                "useStageCache",
                "deploymentId",
            ],
            what,
            Severity::Error,
            self.findings,
        );
        let percent_traffic = get(fields, "percentTraffic")
            .and_then(|node| values::number(node, "`percentTraffic`", 0.0, 100.0, self.findings))
            .unwrap_or(0.0);
        let stage_variable_overrides = get(fields, "stageVariableOverrides")
            .map(|node| self.variables(node, "`stageVariableOverrides`"))
            .unwrap_or_default();
        let use_stage_cache = get(fields, "useStageCache")
            .and_then(|node| values::flag(node, "`useStageCache`", self.findings))
            .unwrap_or(false);
        Some(Canary {
            percent_traffic,
            stage_variable_overrides,
            use_stage_cache,
        })
    }

    fn functions(&mut self, node: &Node) {
        let entries = values::mapping(node, "`functions`", self.findings);
        for (name, (span, node)) in entries.into_iter().flatten() {
            if let Some(function) = self.function(name, *span, node) {
                self.settings.functions.insert(name.clone(), function);
            }
        }
    }

    fn function(&mut self, name: &str, span: Span, node: &Node) -> Option<FunctionSettings> {
        const FUNCTION_KEYS: [&str; 15] = [
            "runtime",
            "handler",
            "codeUri",
            "command",
            "endpoint",
            "timeout",
            "memorySize",
            "environment",
            "reservedConcurrency",
            "layers",
            "enforceMemory",
            "eventInvokeConfig",
            "deadLetterConfig",
            "functionUrl",
            "qualifiers",
        ];
        let what = format!("the function `{name}`");
        let fields = values::mapping(node, &what, self.findings)?;
        values::unknown_keys(
            fields,
            &FUNCTION_KEYS,
            &what,
            Severity::Error,
            self.findings,
        );
        let place = self.function_place(&what, span, fields)?;
        let timeout = get(fields, "timeout")
            // Lambda: 1 to 900 s, 3 s by default.
            .and_then(|node| seconds(node, "`timeout`", 1, 900, self.findings))
            .unwrap_or(Duration::from_secs(3));
        let memory_size = get(fields, "memorySize")
            .and_then(|node| values::integer(node, "`memorySize`", 128, 10_240, self.findings))
            .and_then(|size| u32::try_from(size).ok())
            .unwrap_or(128);
        let environment = get(fields, "environment")
            .map(|node| values::text_map(node, "`environment`", self.findings))
            .unwrap_or_default()
            .into_iter()
            .map(|(name, value)| (name, value.value))
            .collect();
        let reserved_concurrency = get(fields, "reservedConcurrency")
            .and_then(|node| {
                values::integer(
                    node,
                    "`reservedConcurrency`",
                    0,
                    i64::from(u32::MAX),
                    self.findings,
                )
            })
            .and_then(|count| u32::try_from(count).ok());
        Some(FunctionSettings {
            place,
            timeout,
            memory_size,
            environment,
            reserved_concurrency,
            life: self.function_life(fields),
            span,
        })
    }

    fn function_life(&mut self, fields: &Mapping) -> FunctionLife {
        let severity = Severity::Error;
        let layers = get(fields, "layers")
            .map(|node| values::texts(node, "`layers`", self.findings))
            .unwrap_or_default();
        let event_invoke = get(fields, "eventInvokeConfig").map(|node| {
            let name = "`eventInvokeConfig`";
            function_life::event_invoke(node, name, severity, self.findings, |_, _| None)
        });
        let dead_letter = get(fields, "deadLetterConfig")
            .and_then(|node| function_life::dead_letter(node, severity, self.findings));
        FunctionLife {
            layers: layers
                .into_iter()
                .map(|text| match self.settings.layers.get(&text.value) {
                    Some(folder) => folder.clone(),
                    None => self.settings.base_directory.join(text.value),
                })
                .collect(),
            esbuild: None,
            event_invoke: event_invoke.unwrap_or_default(),
            dead_letter,
            enforce_memory: get(fields, "enforceMemory")
                .and_then(|node| values::flag(node, "`enforceMemory`", self.findings))
                .unwrap_or(false),
            url: get(fields, "functionUrl").map(|node| {
                function_life::function_url(node, "`functionUrl`", severity, self.findings)
            }),
            qualifiers: get(fields, "qualifiers")
                .map(|node| function_life::qualifiers(node, self.findings))
                .unwrap_or_default(),
        }
    }

    fn function_place(
        &mut self,
        what: &str,
        span: Span,
        fields: &Mapping,
    ) -> Option<FunctionPlace> {
        let handler =
            get(fields, "handler").and_then(|node| values::text(node, "`handler`", self.findings));
        let local = handler
            .as_ref()
            .and_then(|handler| handler.value.strip_prefix("local:"));
        let ways: Vec<&str> = ["runtime", "command", "endpoint"]
            .into_iter()
            .filter(|key| get(fields, key).is_some())
            .chain(local.map(|_| "handler"))
            .collect();
        let folder = |this: &mut Self| {
            get(fields, "codeUri")
                .and_then(|node| values::text(node, "`codeUri`", this.findings))
                .map_or_else(
                    || this.settings.base_directory.clone(),
                    |text| this.settings.base_directory.join(text.value),
                )
        };
        match ways.as_slice() {
            ["runtime"] => {
                let runtime = values::text(get(fields, "runtime")?, "`runtime`", self.findings)?;
                let handler = match handler {
                    Some(handler) => handler.value,
                    // A custom runtime may do without: its bootstrap knows.
                    None if runtime.value.starts_with("provided") => "bootstrap".to_owned(),
                    None => {
                        self.findings.push(
                            Diagnostic::error("E0812", format!("{what} has no `handler`"))
                                .at(span)
                                .help("for example `handler: app.handler`: file and function"),
                        );
                        return None;
                    }
                };
                Some(FunctionPlace::Runtime {
                    runtime,
                    handler,
                    code_uri: folder(self),
                })
            }
            ["command"] => {
                let node = get(fields, "command")?;
                let command: Vec<String> = match node.as_sequence() {
                    Some(_) => values::texts(node, "`command`", self.findings)
                        .into_iter()
                        .map(|text| text.value)
                        .collect(),
                    None => values::text(node, "`command`", self.findings)?
                        .value
                        .split_whitespace()
                        .map(str::to_owned)
                        .collect(),
                };
                let Some(program) = command.first().filter(|program| !program.is_empty()) else {
                    self.error("E0813", node.span, "`command` names no program");
                    return None;
                };
                let working_directory = folder(self);
                // A path is taken from the configuration's folder, a bare name from PATH.
                let program = if program.contains('/') {
                    self.settings
                        .base_directory
                        .join(program)
                        .to_string_lossy()
                        .into_owned()
                } else {
                    program.clone()
                };
                let command = std::iter::once(program)
                    .chain(command.iter().skip(1).cloned())
                    .collect();
                Some(FunctionPlace::Command {
                    command,
                    working_directory,
                })
            }
            ["endpoint"] => {
                let url = self.url(get(fields, "endpoint")?, "`endpoint`")?;
                Some(FunctionPlace::Endpoint { url })
            }
            ["handler"] => {
                let name = Spanned {
                    value: local?.to_owned(),
                    span: handler.as_ref()?.span,
                };
                if name.value.is_empty() {
                    self.error("E0812", name.span, "`local:` wants a name behind it");
                    return None;
                }
                Some(FunctionPlace::Handler { name })
            }
            [] => {
                self.findings.push(
                    Diagnostic::error("E0811", format!("{what} says nowhere how it runs"))
                        .at(span)
                        .help("give it `runtime` with `handler` and `codeUri`, or `command`, or `endpoint`, or `handler: \"local:NAME\"`"),
                );
                None
            }
            several => {
                let message = format!(
                    "{what} has {}, and must have one of them",
                    values::either(several).replace(" or ", " and ")
                );
                self.error("E0811", span, message);
                None
            }
        }
    }

    fn url(&mut self, node: &Node, what: &str) -> Option<Spanned<String>> {
        let url = values::text(node, what, self.findings)?;
        let host = url
            .value
            .strip_prefix("http://")
            .or_else(|| url.value.strip_prefix("https://"));
        if host.is_none_or(|host| host.is_empty() || host.starts_with('/')) {
            self.error(
                "E0806",
                url.span,
                format!(
                    "{what} is `{}`, but must be a URL: http://HOST:PORT",
                    url.value
                ),
            );
            return None;
        }
        let authority = host.and_then(|host| host.split(['/', '?', '#']).next());
        if authority.is_some_and(|authority| authority.contains('@')) {
            self.error(
                "E0806",
                url.span,
                format!(
                    "{what} has a user's name before its host, which no address may have: leave it out, and let \
                     the backend's own credentials stand in a header"
                ),
            );
            return None;
        }
        Some(url)
    }

    fn authorizers(&mut self, node: &Node, what: &str) -> IndexMap<String, AuthorizerSettings> {
        const AUTHORIZER_KEYS: [&str; 3] = ["issuer", "jwksUri", "audience"];
        let mut authorizers = IndexMap::new();
        let entries = values::mapping(node, what, self.findings);
        for (name, (span, node)) in entries.into_iter().flatten() {
            let what = format!("`{name}` in {what}");
            let Some(fields) = values::mapping(node, &what, self.findings) else {
                continue;
            };
            let mut authorizer = AuthorizerSettings {
                span: *span,
                ..AuthorizerSettings::default()
            };
            for (key, (span, node)) in fields {
                match key.as_str() {
                    _ if node.is_null() => {}
                    "issuer" => authorizer.issuer = self.url(node, "`issuer`"),
                    "jwksUri" => authorizer.jwks_uri = self.url(node, "`jwksUri`"),
                    "audience" => {
                        let audience = match node.as_sequence() {
                            Some(_) => values::texts(node, "`audience`", self.findings),
                            None => values::text(node, "`audience`", self.findings)
                                .into_iter()
                                .collect(),
                        };
                        authorizer.audience =
                            Some(audience.into_iter().map(|text| text.value).collect());
                    }
                    key => self.findings.push(values::unknown_key(
                        key,
                        *span,
                        &AUTHORIZER_KEYS,
                        &what,
                        Severity::Error,
                    )),
                }
            }
            authorizers.insert(name.clone(), authorizer);
        }
        authorizers
    }

    fn vpc_links(&mut self, node: &Node) {
        let entries = values::mapping(node, "`vpcLinks`", self.findings);
        for (id, (span, node)) in entries.into_iter().flatten() {
            let what = format!("`{id}` in `vpcLinks`");
            let Some(fields) = values::mapping(node, &what, self.findings) else {
                continue;
            };
            values::unknown_keys(fields, &["targets"], &what, Severity::Error, self.findings);
            let listed = get(fields, "targets")
                .and_then(|node| values::sequence(node, "`targets`", self.findings))
                .unwrap_or_default();
            let targets: Vec<_> = listed
                .iter()
                .filter_map(|node| self.url(node, "a target of a VPC link"))
                .collect();
            if listed.is_empty() {
                self.error("E0831", *span, format!("{what} has no `targets`"));
            }
            let link = VpcLinkSettings {
                targets,
                span: *span,
            };
            self.settings.vpc_links.insert(id.clone(), link);
        }
    }

    fn api_keys(&mut self, node: &Node) {
        const API_KEY_KEYS: [&str; 4] = ["id", "name", "value", "enabled"];
        for node in values::sequence(node, "`apiKeys`", self.findings).unwrap_or_default() {
            let Some(fields) = values::mapping(node, "an API key", self.findings) else {
                continue;
            };
            values::unknown_keys(
                fields,
                &API_KEY_KEYS,
                "an API key",
                Severity::Error,
                self.findings,
            );
            let mut text = |key: &str| {
                get(fields, key)
                    .and_then(|node| values::text(node, &format!("`{key}`"), self.findings))
            };
            let (id, name, value) = (text("id"), text("name"), text("value"));
            let enabled = get(fields, "enabled")
                .and_then(|node| values::flag(node, "`enabled`", self.findings))
                .unwrap_or(true);
            let Some(value) = value else {
                self.error("E0821", node.span, "an API key has a `value`");
                continue;
            };
            // "Usage plans and API keys for REST APIs": 20 to 128 characters. The value is a
            // secret and stays out of the message.
            let length = value.value.chars().count();
            if !(20..=128).contains(&length) {
                self.findings.push(
                    Diagnostic::error(
                        "E0821",
                        format!(
                            "the API key's `value` has {length} characters; AWS takes 20 to 128"
                        ),
                    )
                    .at(node.span),
                );
            }
            let Some(label) = name.as_ref().or(id.as_ref()).map(|text| text.value.clone()) else {
                self.error("E0821", node.span, "an API key has a `name` or an `id`");
                continue;
            };
            let key = ApiKeySettings {
                id: id.map_or_else(|| crate::base::id::stable_id(&label), |id| id.value),
                name: label,
                value: value.value,
                enabled,
                span: node.span,
            };
            let twin = self
                .settings
                .api_keys
                .iter()
                .find(|known| known.id == key.id || known.value == key.value);
            if let Some(twin) = twin {
                let finding = Diagnostic::error(
                    "E0822",
                    format!("`{}` has the id or the value of `{}`", key.name, twin.name),
                )
                .at(key.span)
                .related(twin.span, "the first one");
                self.findings.push(finding);
                continue;
            }
            self.settings.api_keys.push(key);
        }
    }

    fn iam(&mut self, node: &Node) {
        let Some(fields) = values::mapping(node, "`iam`", self.findings) else {
            return;
        };
        values::unknown_keys(fields, &["users"], "`iam`", Severity::Error, self.findings);
        let mut users = Vec::new();
        let list = get(fields, "users")
            .and_then(|node| values::sequence(node, "`users` of `iam`", self.findings));
        for node in list.unwrap_or_default() {
            let Some(user) = self.iam_user(node) else {
                continue;
            };
            let twin = users
                .iter()
                .find(|known: &&IamUserSettings| known.access_key_id == user.access_key_id);
            if let Some(twin) = twin {
                let finding = Diagnostic::error(
                    "E0842",
                    format!("two IAM users have the access key `{}`", user.access_key_id),
                )
                .at(user.span)
                .related(twin.span, "the first one");
                self.findings.push(finding);
                continue;
            }
            users.push(user);
        }
        self.settings.iam_users = Some(users);
    }

    fn iam_user(&mut self, node: &Node) -> Option<IamUserSettings> {
        const USER_KEYS: [&str; 6] = [
            "accessKeyId",
            "secretAccessKey",
            "sessionToken",
            "expiration",
            "userArn",
            "policies",
        ];
        let what = "an IAM user";
        let fields = values::mapping(node, what, self.findings)?;
        values::unknown_keys(fields, &USER_KEYS, what, Severity::Error, self.findings);
        let mut text = |key: &str| {
            get(fields, key).and_then(|node| values::text(node, &format!("`{key}`"), self.findings))
        };
        let (id, secret, token) = (
            text("accessKeyId"),
            text("secretAccessKey"),
            text("sessionToken"),
        );
        let (arn, expiration) = (text("userArn"), text("expiration"));
        let (Some(id), Some(secret)) = (id, secret) else {
            self.error(
                "E0841",
                node.span,
                "an IAM user has an `accessKeyId` and a `secretAccessKey`",
            );
            return None;
        };
        let user_arn = match arn {
            Some(arn) => {
                if !is_caller_arn(&arn.value) {
                    self.error(
                        "E0841",
                        arn.span,
                        format!(
                            "`{}` is no user's ARN: arn:aws:iam::ACCOUNT:user/NAME, or a role's session: arn:aws:sts::ACCOUNT:assumed-role/ROLE/SESSION",
                            arn.value
                        ),
                    );
                }
                arn.value
            }
            None => format!(
                "arn:aws:iam::{}:user/{}",
                self.settings.account_id, id.value
            ),
        };
        let expiration = expiration.map(|time| {
            let read = time.value.parse::<jiff::Timestamp>().ok();
            let seconds = read.and_then(|time| u64::try_from(time.as_second()).ok());
            if seconds.is_none() {
                self.error(
                    "E0841",
                    time.span,
                    format!("`{}` is no time: 2026-01-31T12:00:00Z", time.value),
                );
            }
            // A time that cannot be read is over.
            seconds.unwrap_or(0)
        });
        let policies = get(fields, "policies").map(|node| {
            values::sequence(node, "`policies` of an IAM user", self.findings)
                .unwrap_or_default()
                .iter()
                .map(|node| Spanned {
                    value: node.to_json(),
                    span: node.span,
                })
                .collect()
        });
        Some(IamUserSettings {
            access_key_id: id.value,
            secret_access_key: secret.value,
            session_token: token.map(|token| token.value),
            expiration,
            user_arn,
            policies,
            span: node.span,
        })
    }

    fn usage_plans(&mut self, node: &Node) {
        const PLAN_KEYS: [&str; 6] = [
            "id",
            "name",
            "apiKeys",
            "throttle",
            "quota",
            "methodThrottles",
        ];
        for node in values::sequence(node, "`usagePlans`", self.findings).unwrap_or_default() {
            let Some(fields) = values::mapping(node, "a usage plan", self.findings) else {
                continue;
            };
            values::unknown_keys(
                fields,
                &PLAN_KEYS,
                "a usage plan",
                Severity::Error,
                self.findings,
            );
            let mut text = |key: &str| {
                get(fields, key)
                    .and_then(|node| values::text(node, &format!("`{key}`"), self.findings))
                    .map(|text| text.value)
            };
            let (id, name) = (text("id"), text("name"));
            let Some(label) = name.or_else(|| id.clone()) else {
                self.error("E0823", node.span, "a usage plan has a `name` or an `id`");
                continue;
            };
            let api_keys = get(fields, "apiKeys")
                .map(|node| values::texts(node, "`apiKeys` of a plan", self.findings))
                .unwrap_or_default();
            let throttle = get(fields, "throttle")
                .map(|node| self.throttle(node, "`throttle` of a plan"))
                .unwrap_or_default();
            let quota = get(fields, "quota").and_then(|node| self.quota(node));
            let mut method_throttles = IndexMap::new();
            if let Some(node) = get(fields, "methodThrottles") {
                let entries = values::mapping(node, "`methodThrottles`", self.findings);
                for (method, (span, node)) in entries.into_iter().flatten() {
                    let valid = method
                        .rsplit_once('/')
                        .is_some_and(|(path, verb)| path.starts_with('/') && is_method(verb));
                    if !valid {
                        self.error(
                            "E0804",
                            *span,
                            format!(
                                "`{method}` names no method: `/pets/GET`, `//GET` for the root"
                            ),
                        );
                    }
                    let throttle = self.throttle(node, &format!("the throttle of {method}"));
                    method_throttles.insert(method.clone(), throttle);
                }
            }
            self.settings.usage_plans.push(UsagePlanSettings {
                id: id.unwrap_or_else(|| crate::base::id::stable_id(&label)),
                name: label,
                api_keys,
                throttle,
                quota,
                method_throttles,
                api_stages: None,
                span: node.span,
            });
        }
    }

    fn quota(&mut self, node: &Node) -> Option<QuotaSettings> {
        let fields = values::mapping(node, "`quota`", self.findings)?;
        values::unknown_keys(
            fields,
            &["limit", "period", "offset"],
            "`quota`",
            Severity::Error,
            self.findings,
        );
        let Some(limit) = get(fields, "limit") else {
            self.error("E0824", node.span, "a quota has a `limit`");
            return None;
        };
        let limit = values::integer(limit, "`limit`", 0, i64::MAX, self.findings)?;
        let words = ["DAY", "WEEK", "MONTH"];
        let Some(period) = get(fields, "period") else {
            self.error(
                "E0824",
                node.span,
                "a quota has a `period`: DAY, WEEK or MONTH",
            );
            return None;
        };
        let period = match values::word(period, "`period`", &words, self.findings)? {
            0 => QuotaPeriod::Day,
            1 => QuotaPeriod::Week,
            _ => QuotaPeriod::Month,
        };
        let offset = get(fields, "offset")
            .and_then(|node| values::integer(node, "`offset`", 0, i64::MAX, self.findings))
            .unwrap_or(0);
        Some(QuotaSettings {
            limit: u64::try_from(limit).ok()?,
            period,
            offset: u64::try_from(offset).ok()?,
        })
    }

    fn trusted_proxies(&mut self, node: &Node) {
        for entry in values::texts(node, "`trustedProxies`", self.findings) {
            let network = entry.value.parse::<ipnet::IpNet>();
            let network = network.or_else(|_| entry.value.parse::<IpAddr>().map(Into::into));
            match network {
                Ok(network) => self.settings.trusted_proxies.push(network),
                Err(_) => self.error(
                    "E0808",
                    entry.span,
                    format!(
                        "`{}` is no network: `10.0.0.0/8`, `192.0.2.7`, `2001:db8::/32`",
                        entry.value
                    ),
                ),
            }
        }
    }

    fn admin(&mut self, node: &Node) {
        let Some(fields) = values::mapping(node, "`admin`", self.findings) else {
            return;
        };
        let known = ["host", "port", "functionEndpoint"];
        values::unknown_keys(fields, &known, "`admin`", Severity::Error, self.findings);
        if let Some(node) = get(fields, "port") {
            self.settings.admin.port = values::integer(node, "`port`", 0, 65_535, self.findings)
                .and_then(|port| u16::try_from(port).ok());
        }
        if let Some(value) = get(fields, "functionEndpoint")
            .and_then(|node| values::flag(node, "`functionEndpoint`", self.findings))
        {
            self.settings.admin.function_endpoint = value;
        }
        let Some(host) =
            get(fields, "host").and_then(|node| values::text(node, "`host`", self.findings))
        else {
            return;
        };
        let address = match host.value.as_str() {
            "localhost" => Some(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST)),
            text => text.parse().ok(),
        };
        match address.filter(IpAddr::is_loopback) {
            Some(address) => self.settings.admin.host = Some(address),
            None => self.error(
                "E0809",
                host.span,
                format!(
                    "`host` of `admin` is `{}`, but must be a loopback address: 127.0.0.1, ::1",
                    host.value
                ),
            ),
        }
    }

    /// An address, or `{url, durability, deadline, whenDown}`.
    fn store(&mut self, node: &Node) {
        let Some(fields) = node.as_mapping() else {
            self.store_address(node);
            return;
        };
        let known = ["url", "durability", "deadline", "whenDown"];
        values::unknown_keys(fields, &known, "`store`", Severity::Error, self.findings);
        match get(fields, "url") {
            Some(node) => self.store_address(node),
            None => self.error("E0807", node.span, "`store` has a `url`: `sqlite:PATH`"),
        }
        let options = &mut self.settings.store_options;
        if let Some(node) = get(fields, "durability") {
            let words = ["batched", "strict"];
            match values::word(node, "`durability`", &words, self.findings) {
                Some(0) => options.durability = Durability::Batched,
                Some(_) => options.durability = Durability::Strict,
                None => {}
            }
        }
        if let Some(node) = get(fields, "deadline") {
            let read = values::number(node, "`deadline`", 0.001, 60.0, self.findings);
            if let Some(Ok(deadline)) = read.map(Duration::try_from_secs_f64) {
                options.deadline = deadline;
            }
        }
        if let Some(node) = get(fields, "whenDown") {
            let words = ["open", "closed"];
            match values::word(node, "`whenDown`", &words, self.findings) {
                Some(0) => options.when_down = WhenDown::Open,
                Some(_) => options.when_down = WhenDown::Closed,
                None => {}
            }
        }
    }

    fn store_address(&mut self, node: &Node) {
        let Some(store) = values::text(node, "`store`", self.findings) else {
            return;
        };
        let value = match store.value.split_once(':') {
            Some(("memory", _)) => "memory:".to_owned(),
            Some(("sqlite", path)) if !path.is_empty() => format!(
                "sqlite:{}",
                self.settings.base_directory.join(path).display()
            ),
            Some(("redis", rest)) if rest.starts_with("//") => store.value.clone(),
            Some(("rediss", rest)) if rest.starts_with("//") => {
                self.findings
                    .push(Diagnostic::unsupported("Redis over TLS (`rediss://`)").at(store.span));
                return;
            }
            None if store.value == "memory" => "memory:".to_owned(),
            _ => {
                self.error(
                    "E0807",
                    store.span,
                    format!(
                        "`store` is `{}`, but must be `memory:`, `sqlite:PATH` or `redis://HOST:PORT`",
                        store.value
                    ),
                );
                return;
            }
        };
        self.settings.store = Some(Spanned {
            value,
            span: store.span,
        });
    }

    /// Every key of a plan must be there.
    fn known_keys_of_plans(&mut self) {
        let keys = &self.settings.api_keys;
        for plan in &self.settings.usage_plans {
            for wanted in &plan.api_keys {
                let there = keys
                    .iter()
                    .any(|key| key.name == wanted.value || key.id == wanted.value);
                if !there {
                    let finding = Diagnostic::error(
                        "E0825",
                        format!(
                            "the plan `{}` names the API key `{}`, which is not there",
                            plan.name, wanted.value
                        ),
                    )
                    .at(wanted.span)
                    .help("keys stand in `apiKeys` of the configuration")
                    .suggest(&wanted.value, keys.iter().map(|key| key.name.as_str()));
                    self.findings.push(finding);
                }
            }
        }
    }

    fn error(&mut self, code: &'static str, span: Span, message: impl Into<String>) {
        self.findings
            .push(Diagnostic::error(code, message).at(span));
    }
}

/// The stage that an API is served in: the one its template gives it, else the settings'
/// own, with the default name of the kind where none is given (`dev` for REST, `$default` for HTTP).
pub fn stage_of(settings: &Settings, api: &Api) -> Stage {
    if let Some(stage) = &api.stage {
        return stage.clone();
    }
    let default = match api.kind {
        ApiKind::Rest => "dev",
        ApiKind::Http => "$default",
    };
    Stage {
        name: settings
            .stage_name
            .clone()
            .unwrap_or_else(|| default.to_owned()),
        ..settings.stage.clone()
    }
}

fn is_method(verb: &str) -> bool {
    [
        "*", "ANY", "GET", "PUT", "POST", "DELETE", "OPTIONS", "HEAD", "PATCH",
    ]
    .contains(&verb)
}

fn burst(node: &Node, what: &str, findings: &mut Diagnostics) -> Option<u32> {
    let burst = values::integer(node, what, 0, i64::from(u32::MAX), findings)?;
    u32::try_from(burst).ok()
}

/// Seconds, fractions allowed.
fn seconds(
    node: &Node,
    what: &str,
    least: u32,
    most: u32,
    findings: &mut Diagnostics,
) -> Option<Duration> {
    let seconds = values::number(node, what, least.into(), most.into(), findings)?;
    Duration::try_from_secs_f64(seconds).ok()
}

/// Whether a text can be a region: it becomes part of host names and ARNs.
///
/// # Errors
///
/// Words on what is wrong with it.
pub fn check_region(region: &str) -> Result<(), String> {
    let valid = !region.is_empty()
        && region.len() <= 32
        && region
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    if valid {
        Ok(())
    } else {
        Err(format!("`{region}` is no region: `us-east-1`"))
    }
}

/// Whether a text can be a stage's name ("CreateStage": letters, digits, hyphens and underscores).
///
/// # Errors
///
/// Words on what is wrong with it.
pub fn check_stage_name(name: &str) -> Result<(), String> {
    let valid = !name.is_empty()
        && name.len() <= 128
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
    if valid || name == "$default" {
        Ok(())
    } else {
        Err(format!(
            "`{name}` is no stage name: letters, digits, `-` and `_`, at most 128, or `$default`"
        ))
    }
}

/// Whether a stage variable is one that AWS takes ("Amazon API Gateway quotas").
///
/// # Errors
///
/// Words on what is wrong with it.
pub fn check_stage_variable(name: &str, value: &str) -> Result<(), String> {
    let valid = !name.is_empty()
        && name.len() <= 64
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if !valid {
        return Err(format!(
            "`{name}` is no stage variable's name: letters, digits and `_`, at most 64"
        ));
    }
    if value.len() > 512 {
        return Err(format!(
            "the stage variable `{name}` has {} characters; AWS takes 512",
            value.len()
        ));
    }
    if let Some(character) = value.chars().find(|c| c.is_control()) {
        return Err(format!(
            "the stage variable `{name}` has the character {character:?}, which it may not"
        ));
    }
    Ok(())
}
/// Whether an ARN is a user's, a role's session or an account's root.
fn is_caller_arn(arn: &str) -> bool {
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    let [arn, _, service, "", account, who] = parts.as_slice() else {
        return false;
    };
    *arn == "arn"
        && account.len() == 12
        && account.bytes().all(|byte| byte.is_ascii_digit())
        && match *service {
            "iam" => *who == "root" || who.starts_with("user/"),
            "sts" => who.starts_with("assumed-role/") || who.starts_with("federated-user/"),
            _ => false,
        }
}
