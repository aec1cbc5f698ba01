//! The OpenAPI document of an API while SAM writes in it.
//!
//! Paths and methods may stand in `Fn::If`: what is said of a method is then said
//! of each branch.

use super::tree::{self, contents, contents_mut, get, get_mut};
use crate::source::{Node, Span};

pub(super) const ANY: &str = "x-amazon-apigateway-any-method";
pub(super) const INTEGRATION: &str = "x-amazon-apigateway-integration";

/// Keys of a path item that are no methods.
const NO_METHODS: [&str; 5] = ["parameters", "summary", "description", "servers", "$ref"];

/// A document without paths: OpenAPI 3 where a version of it is given.
pub(super) fn skeleton(openapi: Option<&str>, span: Span) -> Node {
    let info = tree::map(
        [
            ("version", tree::text("1.0", span)),
            ("title", tree::reference("AWS::StackName", span)),
        ],
        span,
    );
    let version = match openapi {
        Some(version) => ("openapi", tree::text(version, span)),
        None => ("swagger", tree::text("2.0", span)),
    };
    tree::map(
        [version, ("info", info), ("paths", tree::empty(span))],
        span,
    )
}

/// Whether SAM can write in the document: it has paths and a version that SAM knows.
pub(super) fn is_valid(body: &Node) -> bool {
    let has_paths = body
        .get("paths")
        .is_some_and(|paths| paths.as_mapping().is_some());
    has_paths && (get(body, "swagger").is_some() || is_openapi_3(body))
}

/// Whether the document is OpenAPI 3, in which definitions stand in `components`.
pub(super) fn is_openapi_3(body: &Node) -> bool {
    get(body, "swagger").is_none()
        && get(body, "openapi")
            .and_then(Node::as_str)
            .is_some_and(|version| version.starts_with('3'))
}

/// A method's key in a path item.
pub(super) fn method_key(method: &str) -> String {
    match method.to_ascii_lowercase().as_str() {
        "any" => ANY.to_owned(),
        other => other.to_owned(),
    }
}

pub(super) fn paths(body: &Node) -> Vec<String> {
    body.get("paths")
        .into_iter()
        .flat_map(Node::entries)
        .filter(|(path, _, _)| !path.starts_with("x-"))
        .map(|(path, _, _)| path.to_owned())
        .collect()
}

/// Whether the method has an integration, in every branch.
pub(super) fn has_integration(body: &Node, path: &str, method: &str) -> bool {
    let Some(item) = body.get("paths").and_then(|paths| get(paths, path)) else {
        return false;
    };
    let items = contents(item);
    !items.is_empty()
        && items.iter().all(|item| {
            get(item, method).is_some_and(|operation| {
                contents(operation)
                    .iter()
                    .any(|operation| get(operation, INTEGRATION).is_some())
            })
        })
}

/// Calls `visit` with the operation in each branch of the path, made where it is missing.
pub(super) fn with_operation(
    body: &mut Node,
    path: &str,
    method: &str,
    span: Span,
    visit: &mut dyn FnMut(&mut Node),
) {
    let Some(paths) = tree::entry(body, "paths", tree::empty(span)) else {
        return;
    };
    let Some(item) = tree::entry(paths, path, tree::empty(span)) else {
        return;
    };
    contents_mut(item, &mut |item| {
        if let Some(operation) = tree::entry(item, method, tree::empty(span)) {
            visit(operation);
        }
    });
}

/// Calls `visit` with the operation in each branch, where it has an integration.
pub(super) fn for_operation(
    body: &mut Node,
    path: &str,
    method: &str,
    visit: &mut dyn FnMut(&mut Node),
) {
    for_operations(body, path, &mut |key, operation| {
        if key == method {
            visit(operation);
        }
    });
}

/// Calls `visit` with every operation of a path that has an integration, and its method's key.
pub(super) fn for_operations(body: &mut Node, path: &str, visit: &mut dyn FnMut(&str, &mut Node)) {
    let Some(item) = get_mut(body, "paths").and_then(|paths| get_mut(paths, path)) else {
        return;
    };
    contents_mut(item, &mut |item| {
        let keys: Vec<String> = item.entries().map(|(key, _, _)| key.to_owned()).collect();
        for key in keys {
            if NO_METHODS.contains(&key.as_str()) {
                continue;
            }
            let Some(operation) = get_mut(item, &key) else {
                continue;
            };
            let normal = method_key(&key);
            contents_mut(operation, &mut |operation| {
                if get(operation, INTEGRATION).is_some() {
                    visit(&normal, operation);
                }
            });
        }
    });
}

/// The document's security schemes, made where there are none.
pub(super) fn schemes(body: &mut Node) -> Option<&mut Node> {
    definitions(body, "securityDefinitions", "securitySchemes")
}

/// The document's schemas, made where there are none.
pub(super) fn schemas(body: &mut Node) -> Option<&mut Node> {
    definitions(body, "definitions", "schemas")
}

fn definitions<'n>(body: &'n mut Node, two: &str, three: &str) -> Option<&'n mut Node> {
    let span = body.span;
    if !is_openapi_3(body) {
        return tree::entry(body, two, tree::empty(span));
    }
    let components = tree::entry(body, "components", tree::empty(span))?;
    tree::entry(components, three, tree::empty(span))
}

/// The entries of an operation's `security`.
pub(super) fn security(operation: &Node) -> Vec<Node> {
    get(operation, "security")
        .and_then(Node::as_sequence)
        .map(<[Node]>::to_vec)
        .unwrap_or_default()
}

/// Adds an entry to an operation's `security`.
pub(super) fn add_security(operation: &mut Node, scheme: &str, scopes: Node) {
    let span = operation.span;
    let mut entries = security(operation);
    entries.push(tree::map([(scheme, scopes)], span));
    tree::set(operation, "security", tree::list(entries, span));
}

/// Puts a method of a path under a condition.
pub(super) fn make_method_conditional(body: &mut Node, path: &str, method: &str, condition: &str) {
    let Some(item) = get_mut(body, "paths").and_then(|paths| get_mut(paths, path)) else {
        return;
    };
    contents_mut(item, &mut |item| {
        if let Some(operation) = get_mut(item, method) {
            let inner = std::mem::replace(operation, tree::empty(operation.span));
            *operation = tree::conditional(condition, inner);
        }
    });
}

/// Puts a whole path under a condition.
pub(super) fn make_path_conditional(body: &mut Node, path: &str, condition: &str) {
    if let Some(item) = get_mut(body, "paths").and_then(|paths| get_mut(paths, path)) {
        let inner = std::mem::replace(item, tree::empty(item.span));
        *item = tree::conditional(condition, inner);
    }
}
