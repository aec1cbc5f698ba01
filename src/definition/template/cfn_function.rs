//! `AWS::Lambda::Function`, and what SAM makes of its own functions: how each runs here.
//!
//! Source: CloudFormation template reference, "AWS::Lambda::Function"; for `CodeUri`
//! and `InlineCode` the AWS SAM developer guide.

use std::path::{Path, PathBuf};
use std::time::Duration;

use indexmap::IndexMap;

use super::super::settings::base_directory;
use super::super::values;
use super::{InlineCode, Resource, Stack, Template, tree};
use crate::model::Spanned;
use crate::model::settings::{FunctionPlace, FunctionSettings};
use crate::source::{Diagnostic, Diagnostics, Node, Sources, Span, Value};

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
        if self.property("FunctionUrlConfig").is_some() {
            self.warn(
                "W1031",
                format!(
                    "the function `{id}` has a URL of its own: function URLs are not served yet"
                ),
                None,
            );
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
                None,
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
                    None,
                );
                return None;
            }
        };
        let mut environment = self.layers(&runtime);
        environment.extend(self.environment());
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
        let metadata = self.resource.metadata.as_ref()?;
        let path = metadata.get("aws:asset:path")?.as_str()?;
        let of = metadata.get("aws:asset:property").and_then(Node::as_str);
        (of == Some(property)).then(|| self.folder.join(path))
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
        let folder = self.folder.join(INLINE).join(self.id);
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
        for (name, span, node) in variables.iter().flat_map(Node::entries) {
            let file = self.stack.environment;
            if let Some(value) = file.and_then(|file| file.value(&[self.id, &function], name)) {
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

    /// Layers of this template, as what puts them on the runtime's search path.
    fn layers(&self, runtime: &str) -> IndexMap<String, String> {
        let mut variables: IndexMap<String, String> = IndexMap::new();
        let Some(list) = self.property("Layers") else {
            return variables;
        };
        let mut folders = Vec::new();
        for node in self
            .stack
            .resolve_one_level(list)
            .iter()
            .flat_map(|node| node.as_sequence().unwrap_or_default())
        {
            let target = match tree::intrinsic(node) {
                Some(("Ref", name)) => name.as_str(),
                _ => None,
            };
            let layer = target
                .and_then(|name| self.stack.resources.get_key_value(name))
                .filter(|(_, resource)| resource.kind == "AWS::Lambda::LayerVersion");
            let Some((layer_id, layer)) = layer else {
                if !tree::is_no_value(node) {
                    self.warn(
                        "W1044",
                        format!(
                            "a layer of `{}` is not in this template, so that it is not there",
                            self.id
                        ),
                        None,
                    );
                }
                continue;
            };
            let content = Function {
                stack: self.stack,
                id: layer_id,
                resource: layer,
                folder: self.folder,
                template: &mut Template::default(),
            }
            .layer_content();
            match content {
                Some(folder) => folders.push(folder),
                None => self.warn(
                    "W1044",
                    format!("the content of the layer `{layer_id}` is no folder here, so that it is not there"),
                    None,
                ),
            }
        }
        // A layer may hold what is at the top of /opt, or, where `sam build` has not made
        // that of it yet, the packages themselves.
        let mut paths = Vec::new();
        let (name, places): (&str, &[&str]) = if runtime.starts_with("python") {
            ("PYTHONPATH", &["python"])
        } else if runtime.starts_with("nodejs") {
            ("NODE_PATH", &["nodejs/node_modules", "nodejs"])
        } else {
            ("LD_LIBRARY_PATH", &["lib"])
        };
        for folder in &folders {
            paths.extend(places.iter().map(|place| folder.join(place)));
            if name == "PYTHONPATH" {
                paths.push(folder.join(format!("python/lib/{runtime}/site-packages")));
            }
        }
        if !paths.is_empty() {
            let texts: Vec<String> = paths
                .iter()
                .map(|path| path.to_string_lossy().into_owned())
                .collect();
            variables.insert(name.to_owned(), texts.join(":"));
        }
        variables
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
        let path = self.folder.join(text);
        let is_archive = path
            .extension()
            .is_some_and(|ending| ending.eq_ignore_ascii_case("zip"));
        (!is_archive).then_some(path)
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
