//! A template's tree: reading it past intrinsic functions, and changing it in place.
//!
//! After [`normalize`] every intrinsic function stands in its long form, so that
//! nobody else has to know of tags.

use indexmap::map::Entry;

use crate::source::{Diagnostic, Mapping, Node, Span, Value};

/// Deepest nesting of a template with everything that was included in it.
const DEEPEST: usize = 300;

/// A text.
pub(super) fn text(value: impl Into<String>, span: Span) -> Node {
    Node {
        value: Value::Scalar {
            text: value.into(),
            plain: false,
        },
        span,
        tag: None,
    }
}

/// A number or a boolean.
pub(super) fn plain(value: impl ToString, span: Span) -> Node {
    Node {
        value: Value::Scalar {
            text: value.to_string(),
            plain: true,
        },
        span,
        tag: None,
    }
}

/// A list.
pub(super) fn list(items: Vec<Node>, span: Span) -> Node {
    Node {
        value: Value::Sequence(items),
        span,
        tag: None,
    }
}

/// A mapping of these entries.
pub(super) fn map<K: Into<String>>(
    entries: impl IntoIterator<Item = (K, Node)>,
    span: Span,
) -> Node {
    let mapping: Mapping = entries
        .into_iter()
        .map(|(key, node)| (key.into(), (node.span, node)))
        .collect();
    Node {
        value: Value::Mapping(mapping),
        span,
        tag: None,
    }
}

/// A mapping without entries.
pub(super) fn empty(span: Span) -> Node {
    map::<String>([], span)
}

/// `{Ref: NAME}`.
pub(super) fn reference(name: &str, span: Span) -> Node {
    map([("Ref", text(name, span))], span)
}

/// `{Fn::Sub: TEXT}`.
pub(super) fn sub(value: impl Into<String>, span: Span) -> Node {
    map([("Fn::Sub", text(value, span))], span)
}

/// `{Fn::If: [CONDITION, NODE, {Ref: AWS::NoValue}]}`.
pub(super) fn conditional(condition: &str, node: Node) -> Node {
    let span = node.span;
    let parts = vec![text(condition, span), node, reference("AWS::NoValue", span)];
    map([("Fn::If", list(parts, span))], span)
}

/// The intrinsic function that a node is, and its argument.
pub(super) fn intrinsic(node: &Node) -> Option<(&str, &Node)> {
    let mapping = node.as_mapping().filter(|mapping| mapping.len() == 1)?;
    let (key, (_, argument)) = mapping.first()?;
    let is_function = matches!(key.as_str(), "Ref" | "Condition") || key.starts_with("Fn::");
    is_function.then_some((key.as_str(), argument))
}

/// Whether a node is `{Ref: AWS::NoValue}`.
pub(super) fn is_no_value(node: &Node) -> bool {
    matches!(intrinsic(node), Some(("Ref", name)) if name.as_str() == Some("AWS::NoValue"))
}

/// The value of `key`; null counts as absent.
pub(super) fn get<'n>(node: &'n Node, key: &str) -> Option<&'n Node> {
    node.get(key).filter(|node| !node.is_null())
}

/// `true` or `false`, as text too: so a parameter gives it.
pub(super) fn flag(node: &Node) -> Option<bool> {
    node.as_bool().or_else(|| match node.as_str() {
        Some("true") => Some(true),
        Some("false") => Some(false),
        _ => None,
    })
}

/// The value of `key`.
pub(super) fn get_mut<'n>(node: &'n mut Node, key: &str) -> Option<&'n mut Node> {
    match &mut node.value {
        Value::Mapping(mapping) => mapping.get_mut(key).map(|(_, node)| node),
        _ => None,
    }
}

/// Sets `key` of a mapping. Null becomes a mapping; anything else stays as it is.
pub(super) fn set(node: &mut Node, key: &str, value: Node) {
    if node.is_null() {
        node.value = Value::Mapping(Mapping::new());
    }
    if let Value::Mapping(mapping) = &mut node.value {
        mapping.insert(key.to_owned(), (value.span, value));
    }
}

/// Takes `key` out of a mapping.
pub(super) fn remove(node: &mut Node, key: &str) -> Option<Node> {
    match &mut node.value {
        Value::Mapping(mapping) => mapping.shift_remove(key).map(|(_, node)| node),
        _ => None,
    }
}

/// The value of `key`, put there as `default` where there is none.
///
/// `None` where the node is no mapping.
pub(super) fn entry<'n>(node: &'n mut Node, key: &str, default: Node) -> Option<&'n mut Node> {
    if node.is_null() {
        node.value = Value::Mapping(Mapping::new());
    }
    let Value::Mapping(mapping) = &mut node.value else {
        return None;
    };
    let value = match mapping.entry(key.to_owned()) {
        Entry::Occupied(entry) => {
            let (_, node) = entry.into_mut();
            if node.is_null() {
                *node = default;
            }
            node
        }
        Entry::Vacant(entry) => &mut entry.insert((default.span, default)).1,
    };
    Some(value)
}

/// The node, or each branch of the `Fn::If` that it is, `AWS::NoValue` left out.
pub(super) fn contents(node: &Node) -> Vec<&Node> {
    match intrinsic(node) {
        Some(("Fn::If", argument)) => argument
            .as_sequence()
            .unwrap_or_default()
            .iter()
            .skip(1)
            .flat_map(contents)
            .collect(),
        Some(_) if is_no_value(node) => Vec::new(),
        _ => vec![node],
    }
}

/// Calls `visit` with the node, or with each branch of the `Fn::If` that it is.
pub(super) fn contents_mut(node: &mut Node, visit: &mut dyn FnMut(&mut Node)) {
    if is_no_value(node) {
        return;
    }
    if matches!(intrinsic(node), Some(("Fn::If", _))) {
        let branches = get_mut(node, "Fn::If").map(|node| &mut node.value);
        if let Some(Value::Sequence(items)) = branches {
            for branch in items.iter_mut().skip(1) {
                contents_mut(branch, visit);
            }
        }
        return;
    }
    visit(node);
}

/// Turns short forms (`!Sub x`) into long ones, and plain scalars of YAML 1.1,
/// which CloudFormation reads, into those of YAML 1.2, which the readers take:
/// `yes` is `true` and `012` is ten.
///
/// # Errors
///
/// Where the tree is too deep to be walked.
pub(super) fn normalize(node: &mut Node) -> Result<(), Box<Diagnostic>> {
    normalize_within(node, 0)
}

fn normalize_within(node: &mut Node, depth: usize) -> Result<(), Box<Diagnostic>> {
    if depth > DEEPEST {
        let message = format!("the template is nested more than {DEEPEST} levels deep");
        return Err(Box::new(Diagnostic::error("E1001", message).at(node.span)));
    }
    match &mut node.value {
        Value::Scalar { text, plain: true } => {
            if let Some(other) = of_yaml_1_1(text) {
                *text = other;
            }
        }
        Value::Scalar { .. } => {}
        Value::Sequence(items) => {
            for item in items {
                normalize_within(item, depth + 1)?;
            }
        }
        Value::Mapping(mapping) => {
            for (_, (_, value)) in mapping.iter_mut() {
                normalize_within(value, depth + 1)?;
            }
        }
    }
    let Some(tag) = node.tag.take() else {
        return Ok(());
    };
    let span = node.span;
    let mut argument = Node {
        value: std::mem::replace(&mut node.value, Value::Mapping(Mapping::new())),
        span,
        tag: None,
    };
    let key = match &*tag {
        "Ref" | "Condition" => tag.to_string(),
        "GetAtt" => {
            if let Some((name, inner)) = argument.as_str().and_then(|text| text.split_once('.')) {
                let parts = vec![text(name, span), text(inner, span)];
                argument = list(parts, span);
            }
            "Fn::GetAtt".to_owned()
        }
        tag => format!("Fn::{tag}"),
    };
    set(node, &key, argument);
    Ok(())
}

/// What a plain scalar of YAML 1.1 is in YAML 1.2, where that differs.
fn of_yaml_1_1(text: &str) -> Option<String> {
    match text {
        "yes" | "Yes" | "YES" | "on" | "On" | "ON" | "True" | "TRUE" => Some("true".to_owned()),
        "no" | "No" | "NO" | "off" | "Off" | "OFF" | "False" | "FALSE" => Some("false".to_owned()),
        _ => {
            let octal = text.strip_prefix('0').filter(|digits| {
                !digits.is_empty() && digits.bytes().all(|b| (b'0'..=b'7').contains(&b))
            })?;
            u64::from_str_radix(octal, 8).ok().map(|n| n.to_string())
        }
    }
}

/// Gives every `$ref` within a document the document's own place: parts that
/// were included from other files mean the document they are now in.
pub(super) fn adopt_references(node: &mut Node, home: Span) {
    let is_local = node
        .get("$ref")
        .and_then(Node::as_str)
        .is_some_and(|text| text.starts_with('#'));
    if is_local && node.span.file != home.file {
        node.span = home;
        if let Some(reference) = get_mut(node, "$ref") {
            reference.span = home;
        }
    }
    match &mut node.value {
        Value::Scalar { .. } => {}
        Value::Sequence(items) => {
            for item in items {
                adopt_references(item, home);
            }
        }
        Value::Mapping(mapping) => {
            for (_, (_, value)) in mapping.iter_mut() {
                adopt_references(value, home);
            }
        }
    }
}

/// Whether two trees say the same, wherever they stand.
pub(super) fn same(a: &Node, b: &Node) -> bool {
    a.to_json() == b.to_json()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::{Diagnostics, Sources};

    fn read(yaml: &str) -> Node {
        let mut sources = Sources::new();
        let file = sources.add_text("t.yaml", yaml);
        let mut node = sources.load(file, &mut Diagnostics::default()).unwrap();
        normalize(&mut node).unwrap();
        node
    }

    #[test]
    fn short_forms_become_long_ones() {
        let node = read(
            "a: !Sub '${X}'\nb: !GetAtt A.Outputs.X\nc: !If [C, !Ref D, !Ref AWS::NoValue]\nd: !Not [!Condition E]\n",
        );

        assert_eq!(
            node.to_json(),
            serde_json::json!({
                "a": {"Fn::Sub": "${X}"},
                "b": {"Fn::GetAtt": ["A", "Outputs.X"]},
                "c": {"Fn::If": ["C", {"Ref": "D"}, {"Ref": "AWS::NoValue"}]},
                "d": {"Fn::Not": [{"Condition": "E"}]},
            })
        );
    }

    #[test]
    fn scalars_are_those_of_yaml_1_1() {
        let node = read("[yes, Off, 'on', 012, '012', 089, 1.50, true]");

        let texts: Vec<&str> = node
            .as_sequence()
            .unwrap()
            .iter()
            .filter_map(Node::as_str)
            .collect();
        assert_eq!(
            texts,
            ["true", "false", "on", "10", "012", "089", "1.50", "true"]
        );
    }

    #[test]
    fn contents_are_the_branches_of_an_if() {
        let node = read("{Fn::If: [A, {x: 1}, {Fn::If: [B, {x: 2}, {Ref: AWS::NoValue}]}]}");

        assert_eq!(contents(&node).len(), 2);
    }
}
