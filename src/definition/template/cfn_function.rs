//! `AWS::Lambda::Function`, and what SAM makes of its own functions: how each runs here.
//!
//! Source: CloudFormation template reference, "AWS::Lambda::Function"; for `CodeUri`
//! and `InlineCode` the AWS SAM developer guide.

use std::path::{Path, PathBuf};
use std::time::Duration;

use indexmap::IndexMap;

use super::super::settings::base_directory;
use super::super::{function_life, values};
use super::parameters::Pseudo;
use super::{InlineCode, Resource, Stack, Template, tree};
use crate::base::FunctionArn;
use crate::model::Spanned;
use crate::model::settings::{
    EsbuildSettings, EventInvokeSettings, FunctionLife, FunctionPlace, FunctionSettings,
};
use crate::source::{Diagnostic, Diagnostics, Node, Severity, Sources, Span, Value};

/// Where inline code is written, beside the template.
const INLINE: &str = ".tollgate/inline";

pub(super) fn read(stack: &Stack<'_>, sources: &Sources, span: Span, template: &mut Template) {
    let folder = base_directory(sources.path(span.file));
    for (id, resource) in stack.of_kind("AWS::Lambda::Function") {
        let name = stack.function_name(id);
        template.function_ids.insert(name.clone(), id.to_owned());
        let mut function = Function {
            stack,
            id,
            resource,
            folder: &folder,
            template,
        };
        if let Some(settings) = function.settings() {
            template.functions.insert(name, settings);
        }
    }
    read_urls(stack, template);
    read_event_invoke(stack, template);
    read_qualifiers(stack, template);
}

/// The layers whose content is beside the template: logical id, ARN, and folder or zip file.
pub(super) fn layers(
    stack: &Stack<'_>,
    sources: &Sources,
    span: Span,
) -> Vec<(String, String, PathBuf)> {
    let folder = base_directory(sources.path(span.file));
    let mut layers = Vec::new();
    for (id, resource) in stack.of_kind("AWS::Lambda::LayerVersion") {
        let layer = Function {
            stack,
            id,
            resource,
            folder: &folder,
            template: &mut Template::default(),
        };
        if let (Ok(arn), Some(content)) =
            (stack.reference_of(id, resource.span), layer.layer_content())
        {
            layers.push((id.to_owned(), arn, content));
        }
    }
    layers
}

/// Gives functions what `AWS::Lambda::Alias` and `AWS::Lambda::Version` resources publish.
fn read_qualifiers(stack: &Stack<'_>, template: &mut Template) {
    for kind in ["AWS::Lambda::Version", "AWS::Lambda::Alias"] {
        for (id, resource) in stack.of_kind(kind) {
            let name = target(stack, &resource.properties, "FunctionName").map(|(name, _)| name);
            let function = name.and_then(|name| template.functions.get_mut(&name));
            // `Ref` is the ARN with the alias or version.
            let arn = stack.reference_of(id, resource.span).ok();
            let arn = arn.and_then(|arn| FunctionArn::parse(&arn));
            if let (Some(function), Some(qualifier)) = (function, arn.and_then(|arn| arn.qualifier))
                && !function.life.qualifiers.contains(&qualifier)
            {
                function.life.qualifiers.push(qualifier);
            }
        }
    }
}

/// Gives functions the URLs of `AWS::Lambda::Url` resources.
fn read_urls(stack: &Stack<'_>, template: &mut Template) {
    for (id, resource) in stack.of_kind("AWS::Lambda::Url") {
        let Some((name, qualifier)) = target(stack, &resource.properties, "TargetFunctionArn")
        else {
            continue;
        };
        let Some(properties) = stack.resolve(&resource.properties) else {
            continue;
        };
        let mut findings = Diagnostics::default();
        let what = format!("the function URL `{id}`");
        let mut url =
            function_life::function_url(&properties, &what, Severity::Warning, &mut findings);
        for finding in findings {
            stack.say(finding);
        }
        url.qualifier = url.qualifier.or(qualifier);
        match template.functions.get_mut(&name) {
            Some(function) => function.life.url = Some(url),
            None => stack.say(
                Diagnostic::warning(
                    "W1031",
                    format!("{what} is not served: its function `{name}` does not run here"),
                )
                .at(resource.span),
            ),
        }
    }
}

/// Gives functions what `AWS::Lambda::EventInvokeConfig` resources say.
fn read_event_invoke(stack: &Stack<'_>, template: &mut Template) {
    for (id, resource) in stack.of_kind("AWS::Lambda::EventInvokeConfig") {
        let name = target(stack, &resource.properties, "FunctionName").map(|(name, _)| name);
        let function = name.and_then(|name| template.functions.get_mut(&name));
        let (Some(function), Some(node)) = (function, stack.resolve(&resource.properties)) else {
            continue;
        };
        function.life.event_invoke = event_invoke(stack, id, &node, &format!("`{id}`"));
    }
}

fn event_invoke(stack: &Stack<'_>, id: &str, node: &Node, what: &str) -> EventInvokeSettings {
    let mut findings = Diagnostics::default();
    // SAM makes a queue or topic where the template names none.
    let made_up = |condition: &str, kind: &str| {
        let (service, suffix) = match kind {
            "SQS" => ("sqs", "Queue"),
            "SNS" => ("sns", "Topic"),
            _ => return None,
        };
        let condition = if condition == "onSuccess" {
            "OnSuccess"
        } else {
            "OnFailure"
        };
        let Pseudo {
            region, account_id, ..
        } = &stack.pseudo;
        Some(format!(
            "arn:aws:{service}:{region}:{account_id}:{id}EventInvokeConfig{condition}{suffix}"
        ))
    };
    let settings =
        function_life::event_invoke(node, what, Severity::Warning, &mut findings, made_up);
    for finding in findings {
        stack.say(finding);
    }
    settings
}

/// The function, and its qualifier, that a property names by name or ARN.
pub(super) fn target(
    stack: &Stack<'_>,
    properties: &Node,
    key: &str,
) -> Option<(String, Option<String>)> {
    let node = stack.resolve(tree::get(properties, key)?)?;
    let text = node.as_str()?;
    Some(match FunctionArn::parse(text) {
        Some(arn) => (arn.name, arn.qualifier),
        None => match text.split_once(':') {
            Some((name, qualifier)) => (name.to_owned(), Some(qualifier.to_owned())),
            None => (text.to_owned(), None),
        },
    })
}

/// Where a function's code is.
enum Code {
    Folder(PathBuf),
    Inline(String),
    /// Not on this machine.
    Elsewhere,
}

struct Function<'a, 's> {
    stack: &'a Stack<'s>,
    id: &'a str,
    resource: &'a Resource,
    /// The template's.
    folder: &'a Path,
    template: &'a mut Template,
}

impl Function<'_, '_> {
    fn property(&self, name: &str) -> Option<&Node> {
        tree::get(&self.resource.properties, name)
    }

    fn text(&self, name: &str) -> Option<String> {
        self.stack.text(self.property(name)?, &format!("`{name}`"))
    }

    fn warn(&self, code: &'static str, message: String, help: Option<&str>) {
        let finding = Diagnostic::warning(code, message).at(self.resource.span);
        self.stack.say(match help {
            Some(help) => finding.help(help),
            None => finding,
        });
    }

    fn settings(&mut self) -> Option<FunctionSettings> {
        let id = self.id;
        let is_image = self.text("PackageType").as_deref() == Some("Image")
            || self.property("ImageUri").is_some();
        if is_image {
            self.warn(
                "W1041",
                format!("the function `{id}` is a container image, which is not run here"),
                Some("place it in `functions` of tollgate.yaml, with `command` or `endpoint`"),
            );
            return None;
        }
        let code = match self.code() {
            Code::Folder(folder) => folder,
            Code::Inline(text) => self.inline(text)?,
            Code::Elsewhere => {
                self.stack.say(
                    Diagnostic::note(
                        "N1042",
                        format!("the code of `{id}` is at AWS, so it is called there"),
                    )
                    .at(self.resource.span),
                );
                return None;
            }
        };
        let Some(runtime) = self.text("Runtime") else {
            self.warn(
                "W1041",
                format!("the function `{id}` has no `Runtime`, so that it cannot be run"),
                Some(
                    "write one, `Runtime: python3.12`, or place it in `functions` of tollgate.yaml",
                ),
            );
            return None;
        };
        let handler = match self.text("Handler") {
            Some(handler) => handler,
            None if runtime.starts_with("provided") => "bootstrap".to_owned(),
            None => {
                self.warn(
                    "W1041",
                    format!("the function `{id}` has no `Handler`, so that it cannot be run"),
                    Some("write one, `Handler: FILE.FUNCTION`, or place it in `functions` of tollgate.yaml"),
                );
                return None;
            }
        };
        let environment = self.environment();
        let layers = self.layers();
        let esbuild = self.esbuild(&runtime);
        let mut findings = Diagnostics::default();
        let mut count = |name: &str, least: i64, most: i64| {
            let node = self.stack.resolve(self.property(name)?)?;
            let what = format!("`{name}` of `{id}`");
            values::integer(&node, &what, least, most, &mut findings)
        };
        let timeout = count("Timeout", 1, 900).unwrap_or(3);
        let memory = count("MemorySize", 128, 10_240).unwrap_or(128);
        let reserved = count("ReservedConcurrentExecutions", 0, i64::from(u32::MAX));
        for finding in findings {
            self.stack.say(finding);
        }
        let span = self.property("Runtime")?.span;
        Some(FunctionSettings {
            place: FunctionPlace::Runtime {
                runtime: Spanned {
                    value: runtime,
                    span,
                },
                handler,
                code_uri: code,
            },
            timeout: Duration::from_secs(u64::try_from(timeout).unwrap_or(3)),
            memory_size: u32::try_from(memory).unwrap_or(128),
            environment,
            reserved_concurrency: reserved.and_then(|count| u32::try_from(count).ok()),
            life: FunctionLife {
                layers,
                esbuild,
                event_invoke: self.event_invoke().unwrap_or_default(),
                dead_letter: self.dead_letter(),
                enforce_memory: false,
                url: None,
                qualifiers: Vec::new(),
            },
            span: self.resource.span,
        })
    }

    fn code(&self) -> Code {
        if let Some(path) = self.asset("Code") {
            return Code::Folder(path);
        }
        if let Some(node) = self.property("InlineCode") {
            return match self.stack.text(node, "`InlineCode`") {
                Some(text) => Code::Inline(text),
                None => Code::Elsewhere,
            };
        }
        let Some(node) = self.property("Code").or_else(|| self.property("CodeUri")) else {
            // SAM takes the folder of the template then.
            return Code::Folder(self.folder.to_owned());
        };
        if let Some(node) = tree::get(node, "ZipFile") {
            return match self.stack.text(node, "`ZipFile`") {
                Some(text) => Code::Inline(text),
                None => Code::Elsewhere,
            };
        }
        match self.stack.resolve(node) {
            Some(Node {
                value: Value::Scalar { text, .. },
                ..
            }) if !text.contains("://") => Code::Folder(self.folder.join(text)),
            _ => Code::Elsewhere,
        }
    }

    /// The folder or file that the CDK noted for a property.
    fn asset(&self, property: &str) -> Option<PathBuf> {
        let path = self.resource.asset(property)?;
        Some(self.folder.join(path))
    }

    fn inline(&mut self, text: String) -> Option<PathBuf> {
        let runtime = self.text("Runtime").unwrap_or_default();
        let file = if runtime.starts_with("python") {
            "index.py"
        } else if runtime.starts_with("nodejs") {
            "index.js"
        } else {
            self.warn(
                "W1041",
                format!(
                    "the code of `{}` stands in the template, which Lambda takes for Python and Node.js, not for `{runtime}`",
                    self.id
                ),
                None,
            );
            return None;
        };
        let folder = self.folder.join(INLINE).join(self.stack.physical(self.id));
        self.template.inline_code.push(InlineCode {
            path: folder.join(file),
            text,
        });
        Some(folder)
    }

    fn environment(&self) -> IndexMap<String, String> {
        let mut environment = IndexMap::new();
        let variables = self
            .property("Environment")
            .and_then(|node| self.stack.resolve_one_level(node))
            .and_then(|node| tree::get(&node, "Variables").cloned())
            .and_then(|node| self.stack.resolve_one_level(&node));
        let function = self.stack.function_name(self.id);
        let path = self.stack.path_of(self.id);
        for (name, span, node) in variables.iter().flat_map(Node::entries) {
            let file = self.stack.environment;
            if let Some(value) =
                file.and_then(|file| file.value(&[&path, self.id, &function], name))
            {
                environment.insert(name.to_owned(), value.to_owned());
                continue;
            }
            match self.stack.try_resolve(node) {
                Ok(None) => {}
                Ok(Some(Node {
                    value: Value::Scalar { text, .. },
                    ..
                })) => {
                    self.check_variable(name, &text, span);
                    environment.insert(name.to_owned(), text);
                }
                Ok(Some(other)) => {
                    let message = format!(
                        "the variable `{name}` of `{}` must be text, found {}",
                        self.id,
                        other.describe()
                    );
                    self.stack.say(Diagnostic::error("E0201", message).at(span));
                }
                Err(problem) => {
                    let message = format!(
                        "the function `{}` does not get its variable `{name}`: {}",
                        self.id, problem.message
                    );
                    let help = problem
                        .help
                        .unwrap_or_else(|| "--env-vars can give it".to_owned());
                    self.stack
                        .say(Diagnostic::warning("W1040", message).at(span).help(help));
                }
            }
        }
        environment
    }

    fn check_variable(&self, name: &str, text: &str, span: Span) {
        let why = if text.contains("{{resolve:") {
            "names a value that is at AWS"
        } else if self.stack.is_placeholder(text) {
            "is an attribute that only a deployed stack has"
        } else {
            return;
        };
        self.stack.say(
            Diagnostic::warning(
                "W1040",
                format!(
                    "the variable `{name}` of `{}` {why}: it is `{text}` here",
                    self.id
                ),
            )
            .at(span)
            .help("--env-vars can give another value"),
        );
    }

    /// Layers of this template and of stacks around it, and those at AWS for which the
    /// configuration names a folder.
    fn layers(&self) -> Vec<PathBuf> {
        let Some(list) = self.property("Layers") else {
            return Vec::new();
        };
        let list = self.stack.resolve_one_level(list);
        list.iter()
            .flat_map(|node| node.as_sequence().unwrap_or_default())
            .filter(|node| !tree::is_no_value(node))
            .filter_map(|node| self.layer(node))
            .collect()
    }

    fn layer(&self, node: &Node) -> Option<PathBuf> {
        let target = match tree::intrinsic(node) {
            Some(("Ref", name)) => name.as_str(),
            _ => None,
        };
        let own = target
            .and_then(|name| self.stack.resources.get_key_value(name))
            .filter(|(_, resource)| resource.kind == "AWS::Lambda::LayerVersion");
        if let Some((layer_id, layer)) = own {
            let content = Function {
                stack: self.stack,
                id: layer_id,
                resource: layer,
                folder: self.folder,
                template: &mut Template::default(),
            }
            .layer_content();
            if content.is_some() {
                return content;
            }
        }
        let arn = match self.stack.try_resolve(node) {
            Ok(None) => return None,
            Ok(Some(value)) => value.as_str().map(str::to_owned),
            Err(_) => None,
        };
        let Some(arn) = arn else {
            self.warn(
                "W1044",
                format!(
                    "a layer of `{}` is not in this template, so that it is not there",
                    self.id
                ),
                None,
            );
            return None;
        };
        let configured = &self.stack.settings.layers;
        let unversioned = arn.rsplit_once(':').map(|(name, _)| name);
        let folder = configured
            .get(&arn)
            .or_else(|| configured.get(unversioned?))
            .cloned()
            .or_else(|| self.stack.across.layer(&arn));
        if folder.is_none() {
            self.warn(
                "W1044",
                format!("the layer {arn} of `{}` is at AWS, so that it is not there", self.id),
                Some("`layers` of tollgate.yaml takes its ARN and a folder or zip file; `aws lambda get-layer-version-by-arn` names where its zip file is"),
            );
        }
        folder
    }

    /// What `sam build` would give esbuild.
    ///
    /// Source: AWS SAM developer guide, "Building Node.js Lambda functions with esbuild".
    fn esbuild(&self, runtime: &str) -> Option<EsbuildSettings> {
        let metadata = self.resource.metadata.as_ref()?;
        let method = metadata.get("BuildMethod").and_then(Node::as_str);
        if method != Some("esbuild") || !runtime.starts_with("nodejs") {
            return None;
        }
        let properties = metadata.get("BuildProperties");
        let properties = properties.and_then(|node| self.stack.resolve(node));
        let mut settings = EsbuildSettings::default();
        for (key, span, node) in properties.iter().flat_map(Node::entries) {
            let items: Vec<&str> = match node.as_sequence() {
                Some(items) => items.iter().filter_map(Node::as_str).collect(),
                None => node.as_str().into_iter().collect(),
            };
            let is_on = items.first() == Some(&"true");
            match key {
                "EntryPoints" => {
                    settings.entry_points = items.iter().map(|&item| item.to_owned()).collect();
                }
                "Minify" if is_on => settings.options.push("--minify".to_owned()),
                "Sourcemap" if is_on => settings.options.push("--sourcemap".to_owned()),
                "KeepNames" if is_on => settings.options.push("--keep-names".to_owned()),
                "Minify" | "Sourcemap" | "KeepNames" | "UseNpmCi" => {}
                "Target" | "Format" | "LogLevel" | "LogLimit" | "SourcesContent" => {
                    let value = items.first().copied().unwrap_or_default();
                    let option = match key {
                        "Target" => "target",
                        "Format" => "format",
                        "LogLevel" => "log-level",
                        "LogLimit" => "log-limit",
                        _ => "sources-content",
                    };
                    settings.options.push(format!("--{option}={value}"));
                }
                "MainFields" => settings
                    .options
                    .push(format!("--main-fields={}", items.join(","))),
                "External" => {
                    let options = items.iter().map(|item| format!("--external:{item}"));
                    settings.options.extend(options);
                }
                "Loader" => {
                    let options = items.iter().map(|item| format!("--loader:{item}"));
                    settings.options.extend(options);
                }
                "OutExtension" => {
                    let options = items.iter().map(|item| format!("--out-extension:{item}"));
                    settings.options.extend(options);
                }
                "Banner" | "Footer" => {
                    for (kind, _, text) in node.entries() {
                        let text = text.as_str().unwrap_or_default();
                        let option = key.to_lowercase();
                        settings.options.push(format!("--{option}:{kind}={text}"));
                    }
                }
                other => self.stack.say(
                    Diagnostic::warning(
                        "W1046",
                        format!("`{other}` of `{}`'s build is not followed here", self.id),
                    )
                    .at(span),
                ),
            }
        }
        Some(settings)
    }

    /// `EventInvokeConfig` of SAM.
    fn event_invoke(&self) -> Option<EventInvokeSettings> {
        let node = self.stack.resolve(self.property("EventInvokeConfig")?)?;
        Some(event_invoke(
            self.stack,
            self.id,
            &node,
            &format!("`EventInvokeConfig` of `{}`", self.id),
        ))
    }

    /// `DeadLetterConfig`, or `DeadLetterQueue` of SAM.
    fn dead_letter(&self) -> Option<Spanned<String>> {
        let node = self
            .property("DeadLetterConfig")
            .or_else(|| self.property("DeadLetterQueue"))?;
        let node = self.stack.resolve(node)?;
        let mut findings = Diagnostics::default();
        let target = function_life::dead_letter(&node, Severity::Warning, &mut findings);
        for finding in findings {
            self.stack.say(finding);
        }
        target
    }

    fn layer_content(&self) -> Option<PathBuf> {
        if let Some(path) = self.asset("Content") {
            return Some(path);
        }
        let node = self
            .property("ContentUri")
            .or_else(|| self.property("Content"))?;
        let value = self.stack.try_resolve(node).ok()??;
        let text = value.as_str().filter(|text| !text.contains("://"))?;
        Some(self.folder.join(text))
    }
}

impl Stack<'_> {
    /// Follows an `Fn::If` or a reference at the top of a node, not within it.
    fn resolve_one_level(&self, node: &Node) -> Option<Node> {
        if tree::is_no_value(node) {
            return None;
        }
        match tree::intrinsic(node) {
            Some(("Fn::If", argument)) => match self.branch(argument, node.span) {
                Ok(branch) => self.resolve_one_level(branch),
                Err(problem) => {
                    self.say(*problem);
                    None
                }
            },
            Some(_) => self.resolve(node),
            None => Some(node.clone()),
        }
    }
}
