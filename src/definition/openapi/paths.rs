//! Paths: their syntax, the resources they make, and what stands beside what.

use std::collections::HashMap;

use super::super::values::{self, get, unknown_key};
use super::Reader;
use crate::model::{Api, Route};
use crate::source::{Diagnostic, Node, Severity, Span};

const METHODS: [&str; 7] = ["get", "put", "post", "delete", "options", "head", "patch"];
const ANY: &str = "x-amazon-apigateway-any-method";

const PATH_ITEM_KEYS: [&str; 14] = [
    "get",
    "put",
    "post",
    "delete",
    "options",
    "head",
    "patch",
    ANY,
    "parameters",
    "summary",
    "description",
    "servers",
    "$ref",
    "trace",
];

impl<'a> Reader<'a, '_> {
    pub(super) fn read_paths(&mut self, api: &mut Api) {
        let mut resources = Resources::default();
        resources.add("/", Span::default());
        let Some(paths) = get(self.root, "paths") else {
            let finding =
                Diagnostic::warning("W0301", "the document has no `paths`: nothing is served");
            self.findings.push(match self.root.first() {
                Some((_, (span, _))) => finding.at(*span),
                None => finding,
            });
            api.resources = resources.list;
            return;
        };
        let Some(paths) = self.follow(paths) else {
            return;
        };
        let Some(entries) = values::mapping(paths, "`paths`", self.findings) else {
            return;
        };
        if entries.is_empty() {
            self.warn("W0301", paths.span, "`paths` is empty: nothing is served");
        }
        api.routes.reserve(entries.len());
        for (path, (span, item)) in entries {
            if path.starts_with("x-") {
                continue;
            }
            let Some(item) = self.follow(item) else {
                continue;
            };
            self.read_path_item(api, &mut resources, path, *span, item);
        }
        if self.is_rest() {
            api.resources = resources.list;
        }
        self.find_doubles(&api.routes);
    }

    fn read_path_item(
        &mut self,
        api: &mut Api,
        resources: &mut Resources,
        written: &str,
        span: Span,
        item: &'a Node,
    ) {
        let Some(entries) = values::mapping(item, &format!("the path `{written}`"), self.findings)
        else {
            return;
        };
        let is_default = get(entries, ANY)
            .and_then(|any| any.get("isDefaultRoute"))
            .is_some_and(|flag| flag.as_bool() == Some(true) || flag.as_str() == Some("true"));
        let path = if !self.is_rest() && (is_default || matches!(written, "$default" | "/$default"))
        {
            Some("$default".to_owned())
        } else {
            self.check_path(written, span)
        };
        if let (Some(path), true) = (&path, self.is_rest()) {
            for finding in resources.add(path, span) {
                self.findings.push(finding);
            }
        }
        let shared = self.read_parameters(entries);
        for (key, (key_span, node)) in entries {
            let method = match key.as_str() {
                ANY => None,
                method if METHODS.contains(&method) => Some(method.to_ascii_uppercase()),
                "trace" => {
                    self.warn(
                        "W0302",
                        *key_span,
                        "AWS has no TRACE methods and ignores this one",
                    );
                    continue;
                }
                key => {
                    self.unknown_in_path_item(key, *key_span);
                    continue;
                }
            };
            if path.as_deref() == Some("$default") && method.is_some() {
                self.error(
                    "E0307",
                    *key_span,
                    "the default route takes every method: write `x-amazon-apigateway-any-method`",
                );
                continue;
            }
            let Some(node) = self.follow(node) else {
                continue;
            };
            let what = format!(
                "the operation {} {written}",
                method.as_deref().unwrap_or("ANY")
            );
            let Some(operation) = values::mapping(node, &what, self.findings) else {
                continue;
            };
            if let (true, Some((flag, _))) = (self.is_rest(), operation.get("isDefaultRoute")) {
                self.warn("W0303", *flag, "`isDefaultRoute` works in HTTP APIs only");
            }
            // A route is read even where its path is wrong, to find what else is.
            let route = self.read_operation(
                method,
                path.as_deref().unwrap_or(written),
                *key_span,
                operation,
                &shared,
            );
            if path.is_some() {
                api.routes.push(route);
            }
        }
    }

    fn unknown_in_path_item(&mut self, key: &str, span: Span) {
        if PATH_ITEM_KEYS.contains(&key) {
            return;
        }
        if key.starts_with("x-") && !key.starts_with("x-amazon-apigateway") {
            return;
        }
        let lower = key.to_ascii_lowercase();
        let finding = if METHODS.contains(&lower.as_str()) {
            unknown_key(key, span, &PATH_ITEM_KEYS, "a path", Severity::Error)
                .help(format!("methods are written in lower case: `{lower}`"))
        } else {
            unknown_key(key, span, &PATH_ITEM_KEYS, "a path", Severity::Warning)
        };
        self.findings.push(finding);
    }

    /// The path without a trailing slash, if it is one that AWS takes.
    fn check_path(&mut self, written: &str, span: Span) -> Option<String> {
        let Some(inner) = written.strip_prefix('/') else {
            let finding =
                Diagnostic::error("E0301", format!("the path `{written}` must begin with `/`"))
                    .at(span);
            self.findings.push(finding);
            return None;
        };
        let inner = inner.strip_suffix('/').unwrap_or(inner);
        if inner.is_empty() {
            return Some("/".to_owned());
        }
        let count = inner.split('/').count();
        let mut names: Vec<&str> = Vec::new();
        let mut good = true;
        for (index, segment) in inner.split('/').enumerate() {
            let problem = match variable(segment) {
                Segment::Empty => Some(("E0302", "has an empty segment".to_owned())),
                Segment::Fixed(text) => text.chars().find(|c| !self.path_character(*c)).map(|c| {
                    (
                        "E0303",
                        format!(
                            "has {c:?} in a segment; AWS takes letters, digits and `_ - . , :`"
                        ),
                    )
                }),
                Segment::Mixed => Some((
                    "E0304",
                    format!(
                        "has the segment `{segment}`, but a variable is a whole segment: `/{{name}}`"
                    ),
                )),
                Segment::Variable { name, greedy } => {
                    let valid = !name.is_empty()
                        && name
                            .bytes()
                            .all(|byte| byte.is_ascii_alphanumeric() || b"._-:".contains(&byte));
                    if !valid {
                        Some((
                            "E0304",
                            format!(
                                "has the variable `{segment}`, whose name must be letters, digits and `. _ - :`"
                            ),
                        ))
                    } else if greedy && index + 1 < count {
                        Some((
                            "E0305",
                            format!(
                                "goes on behind `{segment}`, but a greedy variable must be last"
                            ),
                        ))
                    } else if names.contains(&name) {
                        Some(("E0304", format!("has the variable `{name}` twice")))
                    } else {
                        names.push(name);
                        None
                    }
                }
            };
            if let Some((code, problem)) = problem {
                self.error(code, span, format!("the path `{written}` {problem}"));
                good = false;
            }
        }
        good.then(|| format!("/{inner}"))
    }

    fn path_character(&self, c: char) -> bool {
        // "Amazon API Gateway important notes": letters, digits, underscores, hyphens, periods,
        // commas, colons (and curly braces). HTTP APIs have no such list.
        c.is_ascii_alphanumeric()
            || "_-.,:".contains(c)
            || (!self.is_rest() && (c.is_ascii_graphic() || !c.is_ascii()))
    }

    /// Two routes for the same requests.
    fn find_doubles(&mut self, routes: &[Route]) {
        let mut seen: HashMap<(Option<&str>, String), &Route> =
            HashMap::with_capacity(routes.len());
        let mut found = Vec::new();
        for route in routes {
            let shape: String = route
                .path
                .split('/')
                .map(|segment| match variable(segment) {
                    Segment::Variable { greedy: true, .. } => "{+}",
                    Segment::Variable { greedy: false, .. } => "{}",
                    _ => segment,
                })
                .collect::<Vec<_>>()
                .join("/");
            let method = route.method.as_deref();
            if let Some(first) = seen.get(&(method, shape.clone())) {
                found.push(
                    Diagnostic::error(
                        "E0306",
                        format!(
                            "{} {} takes the same requests as {}",
                            method.unwrap_or("ANY"),
                            route.path,
                            first.path
                        ),
                    )
                    .at(route.span)
                    .related(first.span, "the first one"),
                );
            } else {
                seen.insert((method, shape), route);
            }
        }
        self.findings.extend(found);
    }
}

/// A part of a path between two slashes.
enum Segment<'a> {
    Empty,
    Fixed(&'a str),
    Variable {
        name: &'a str,
        greedy: bool,
    },
    /// Braces that are not around the whole.
    Mixed,
}

fn variable(segment: &str) -> Segment<'_> {
    if segment.is_empty() {
        return Segment::Empty;
    }
    if !segment.contains(['{', '}']) {
        return Segment::Fixed(segment);
    }
    let inner = segment
        .strip_prefix('{')
        .and_then(|rest| rest.strip_suffix('}'));
    match inner {
        Some(inner) if !inner.contains(['{', '}']) => match inner.strip_suffix('+') {
            Some(name) => Segment::Variable { name, greedy: true },
            None => Segment::Variable {
                name: inner,
                greedy: false,
            },
        },
        _ => Segment::Mixed,
    }
}

/// Names of the variables in a path.
pub(super) fn variables(path: &str) -> Vec<&str> {
    path.split('/')
        .filter_map(|segment| match variable(segment) {
            Segment::Variable { name, .. } => Some(name),
            _ => None,
        })
        .collect()
}

/// Every resource that paths make, those between included, in the document's order.
#[derive(Default)]
struct Resources {
    list: Vec<String>,
    known: HashMap<String, ()>,
    /// Variable children of a resource: `(name with braces, place)`.
    variables: HashMap<String, Vec<(String, Span)>>,
}

impl Resources {
    fn add(&mut self, path: &str, span: Span) -> Vec<Diagnostic> {
        let mut findings = Vec::new();
        let mut resource = String::with_capacity(path.len());
        if path == "/" {
            resource.push('/');
            self.remember(resource);
            return findings;
        }
        for segment in path.split('/').skip(1) {
            let parent_length = resource.len();
            resource.push('/');
            resource.push_str(segment);
            if self.known.contains_key(&resource) {
                continue;
            }
            if segment.starts_with('{') {
                let parent = resource[..parent_length].to_owned();
                let siblings = self.variables.entry(parent).or_default();
                if let Some((other, place)) = siblings.first() {
                    let greedy = |name: &str| name.ends_with("+}");
                    // The guide shows `{child}` beside `{proxy+}`, others report a refusal.
                    let finding = if greedy(segment) == greedy(other) {
                        Diagnostic::error(
                            "E0308",
                            format!(
                                "the path `{path}` has the variable `{segment}` where another path has `{other}`"
                            ),
                        )
                        .help("AWS: \"A sibling of this resource already has a variable path part -- only one is allowed\"; use one name for both")
                    } else {
                        Diagnostic::warning(
                            "W0308",
                            format!(
                                "`{segment}` stands beside `{other}`: the guide shows this, but AWS is reported to refuse it"
                            ),
                        )
                    };
                    findings.push(
                        finding
                            .at(span)
                            .related(*place, format!("`{other}` stands here")),
                    );
                }
                siblings.push((segment.to_owned(), span));
            }
            self.remember(resource.clone());
        }
        findings
    }

    fn remember(&mut self, resource: String) {
        if self.known.insert(resource.clone(), ()).is_none() {
            self.list.push(resource);
        }
    }
}
