//! OpenAPI 2.0, 3.0 and 3.1 documents with `x-amazon-apigateway-*` extensions.
//!
//! [`read`] follows what AWS's import does with a document: what that refuses
//! is an error, what it ignores a warning or a note. Rules and extensions are
//! those of the API Gateway developer guide, "Working with API Gateway
//! extensions to OpenAPI" and "Develop REST APIs using OpenAPI".

mod authorizers;
mod cors;
mod documents;
mod extensions;
mod gateway_responses;
mod integration;
mod kind;
mod mapping;
mod operation;
mod paths;
mod schema;
mod security;

use indexmap::IndexMap;

use self::documents::Documents;
use super::intrinsics::{Environment, Purpose};
use super::values;
use crate::base::id::stable_id;
use crate::model::settings::Settings;
use crate::model::{Api, ApiKeySource, ApiKind, RequestValidator, Spanned};
use crate::source::{Diagnostic, Diagnostics, FileId, Mapping, Node, Severity, Sources, Span};

/// Reads a file that was added to `sources`, and the files beside it that it names.
///
/// The API is whole only if no error was found; `None` where the file is no
/// OpenAPI document at all.
pub fn read(
    sources: &mut Sources,
    file: FileId,
    settings: &Settings,
    findings: &mut Diagnostics,
) -> Option<Api> {
    let root = sources.load(file, findings)?;
    read_node(sources, root, settings, findings)
}

/// Reads a document that is already a tree, as a template's `Body` is.
pub fn read_node(
    sources: &mut Sources,
    root: Node,
    settings: &Settings,
    findings: &mut Diagnostics,
) -> Option<Api> {
    let span = root.span;
    let environment = Environment::new(&settings.region, &settings.account_id);
    let prepare = |sources: &Sources, node: &mut Node| {
        // Looking once through the text is cheaper than through every node.
        if memchr::memmem::find(sources.text(node.span.file).as_bytes(), b"${AWS::").is_some() {
            environment.fill_variables(node);
        }
    };
    let documents = Documents::gather(root, sources, &prepare, findings);
    let Some(root) = documents.root().as_mapping() else {
        findings.push(
            Diagnostic::error(
                "E0210",
                format!(
                    "an OpenAPI document is a mapping, found {}",
                    documents.root().describe()
                ),
            )
            .at(span),
        );
        return None;
    };
    let version = Version::read(root, span, findings)?;
    let fallback = sources
        .path(span.file)
        .file_stem()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let kind = kind::decide(&documents, root, version, settings, findings);
    let mut reader = Reader {
        documents: &documents,
        environment: &environment,
        root,
        version,
        kind,
        title: fallback,
        findings,
        authorizers: IndexMap::new(),
        validators: IndexMap::new(),
        default_validator: None,
        consumes: Vec::new(),
        own_definitions: None,
        said: Vec::new(),
    };
    Some(reader.document(settings, span))
}

/// Which OpenAPI a document is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    /// `swagger: "2.0"`
    Two,
    /// `openapi: 3.…`
    Three,
}

impl Version {
    fn read(root: &Mapping, span: Span, findings: &mut Diagnostics) -> Option<Self> {
        let start = root.first().map_or(span, |(_, (span, _))| *span);
        if let Some(node) = values::get(root, "swagger") {
            let text = node.as_str().unwrap_or_default();
            if text == "2.0" || text == "2" {
                return Some(Self::Two);
            }
            findings.push(
                Diagnostic::error(
                    "E0214",
                    format!("`swagger` is {}, but must be \"2.0\"", node.describe()),
                )
                .at(node.span),
            );
            return None;
        }
        if let Some(node) = values::get(root, "openapi") {
            let text = node.as_str().unwrap_or_default();
            if text == "3" || text.starts_with("3.0") {
                return Some(Self::Three);
            }
            if text.starts_with("3.") {
                findings.push(
                    Diagnostic::warning(
                        "W0214",
                        format!(
                            "AWS imports OpenAPI 2.0 and 3.0; this is {text} and is read as 3.0"
                        ),
                    )
                    .at(node.span),
                );
                return Some(Self::Three);
            }
            findings.push(
                Diagnostic::error(
                    "E0214",
                    format!("`openapi` is {}, but must be \"3.0.x\"", node.describe()),
                )
                .at(node.span),
            );
            return None;
        }
        if root.contains_key("Resources") {
            findings.push(
                Diagnostic::unsupported("a CloudFormation or SAM template as definition")
                    .at(start)
                    .label("this is a template"),
            );
            return None;
        }
        let finding = Diagnostic::error(
            "E0210",
            "this is no OpenAPI document: it has neither `openapi` nor `swagger` at its top",
        )
        .at(start);
        let near = root.keys().find(|key| {
            ["openapi", "swagger"]
                .iter()
                .any(|word| crate::source::nearest(key, [*word]).is_some())
        });
        findings.push(match near {
            Some(key) => finding.help(format!("is `{key}` meant to be `openapi` or `swagger`?")),
            None => finding.help("its first line is `openapi: \"3.0.1\"` or `swagger: \"2.0\"`"),
        });
        None
    }
}

/// One document on its way to the model.
struct Reader<'a, 'f> {
    documents: &'a Documents,
    environment: &'a Environment,
    root: &'a Mapping,
    version: Version,
    kind: ApiKind,
    title: String,
    findings: &'f mut Diagnostics,
    /// What each security scheme means, by name.
    authorizers: IndexMap<String, security::Scheme>,
    validators: IndexMap<String, RequestValidator>,
    default_validator: Option<RequestValidator>,
    /// OpenAPI 2.0: media types of bodies, where an operation names none.
    consumes: Vec<String>,
    /// `definitions` inside the schema that is being read.
    own_definitions: Option<&'a Node>,
    /// Codes of the notes that are given once for a document.
    said: Vec<&'static str>,
}

impl<'a> Reader<'a, '_> {
    fn document(&mut self, settings: &Settings, span: Span) -> Api {
        self.check_root_keys();
        self.read_title();
        let title = self.title.clone();
        let mut api = Api {
            kind: self.kind,
            id: settings.api_id.clone().unwrap_or_else(|| stable_id(&title)),
            title,
            logical_id: None,
            stage: None,
            routes: Vec::new(),
            resources: Vec::new(),
            authorizers: IndexMap::new(),
            binary_media_types: Vec::new(),
            gateway_responses: IndexMap::new(),
            models: IndexMap::new(),
            api_key_source: ApiKeySource::Header,
            minimum_compression_size: None,
            policy: None,
            cors: None,
            disable_execute_api_endpoint: self.endpoint_is_disabled(),
            rate_limits: Vec::new(),
            path_rate_limits: IndexMap::new(),
            span,
        };
        self.read_security_schemes(&mut api);
        self.read_root_extensions(&mut api);
        self.read_models(&mut api);
        self.consumes = self.media_types(self.root);
        self.read_paths(&mut api);
        api
    }

    fn read_title(&mut self) {
        let title = values::get(self.root, "info")
            .and_then(|info| self.follow(info))
            .and_then(|info| {
                let info = values::mapping(info, "`info`", self.findings)?;
                let title = values::get(info, "title")?;
                values::text(title, "`info.title`", self.findings)
            });
        match title {
            Some(title) => self.title = title.value,
            None => {
                let at = self
                    .root
                    .get("info")
                    .or_else(|| self.root.first().map(|(_, value)| value));
                let finding = Diagnostic::warning(
                    "W0215",
                    format!(
                        "the document has no `info.title`; it is called `{}`",
                        self.title
                    ),
                );
                self.findings.push(match at {
                    Some((span, _)) => finding.at(*span),
                    None => finding,
                });
            }
        }
    }

    /// The media types that operations take where they do not say (OpenAPI 2.0).
    fn media_types(&mut self, mapping: &Mapping) -> Vec<String> {
        values::get(mapping, "consumes")
            .map(|node| values::texts(node, "`consumes`", self.findings))
            .unwrap_or_default()
            .into_iter()
            .map(|text| text.value)
            .collect()
    }

    fn follow(&mut self, node: &'a Node) -> Option<&'a Node> {
        self.documents.follow(node, self.findings)
    }

    fn is_rest(&self) -> bool {
        self.kind == ApiKind::Rest
    }

    /// A text in which CloudFormation's functions may stand.
    fn resolved(&mut self, node: &Node, what: &str, purpose: Purpose) -> Option<Spanned<String>> {
        match self.environment.text(node, purpose) {
            Ok(value) => Some(Spanned {
                value,
                span: node.span,
            }),
            Err(problem) => {
                let code = if problem.starts_with("must be") {
                    "E0201"
                } else {
                    "E0216"
                };
                self.findings
                    .push(Diagnostic::error(code, format!("{what} {problem}")).at(node.span));
                None
            }
        }
    }

    /// A note or warning that is given once, at the first place.
    fn once(&mut self, finding: Diagnostic) {
        if !self.said.contains(&finding.code) {
            self.said.push(finding.code);
            self.findings.push(finding);
        }
    }

    fn error(&mut self, code: &'static str, span: Span, message: impl Into<String>) {
        self.findings
            .push(Diagnostic::new(Severity::Error, code, message).at(span));
    }

    fn warn(&mut self, code: &'static str, span: Span, message: impl Into<String>) {
        self.findings
            .push(Diagnostic::new(Severity::Warning, code, message).at(span));
    }
}
