//! `AWS::Include`: parts of a template that stand in files of their own.
//!
//! The keys of the file join the keys beside `Fn::Transform`; written ones stay.
//! At AWS the file is in S3, where `sam package` puts a local one; here it is the
//! local one.
//!
//! Source: CloudFormation user guide, "AWS::Include transform".

use std::path::Path;

use super::{Stack, tree};
use crate::source::{Diagnostic, Mapping, Node, Sources, Span, Value};

/// Most files that are included, and deepest nesting of them.
const MOST_FILES: usize = 200;
const DEEPEST: usize = 8;

/// Replaces every `AWS::Include` of a tree, the deepest first.
pub(super) fn expand(node: &mut Node, stack: &Stack<'_>, sources: &mut Sources) {
    let mut includes = Includes {
        stack,
        sources,
        count: 0,
    };
    includes.expand(node, 0);
}

struct Includes<'a, 's> {
    stack: &'a Stack<'s>,
    sources: &'a mut Sources,
    count: usize,
}

impl Includes<'_, '_> {
    fn expand(&mut self, node: &mut Node, depth: usize) {
        match &mut node.value {
            Value::Scalar { .. } => return,
            Value::Sequence(items) => {
                for item in items {
                    self.expand(item, depth);
                }
                return;
            }
            Value::Mapping(mapping) => {
                for (_, (_, value)) in mapping.iter_mut() {
                    self.expand(value, depth);
                }
            }
        }
        let Some(location) = node.get("Fn::Transform").and_then(location) else {
            return;
        };
        let location = location.clone();
        let included = self.read(&location, depth);
        let Value::Mapping(mapping) = &mut node.value else {
            return;
        };
        let only = mapping.len() == 1;
        mapping.shift_remove("Fn::Transform");
        match included {
            // The place of the file's own document, for references within it.
            Some(file) if only => *node = file,
            Some(file) => join(mapping, file),
            None => {}
        }
    }

    fn read(&mut self, location: &Node, depth: usize) -> Option<Node> {
        let name = self.stack.text(location, "`Location` of AWS::Include")?;
        let span = location.span;
        if name.contains("://") {
            let message = format!("`{name}` of AWS::Include is at AWS, and only files are read");
            let finding = Diagnostic::error("E1030", message)
                .at(span)
                .help("name a file beside the template, as before `sam package`");
            self.stack.say(finding);
            return None;
        }
        if depth >= DEEPEST || self.count >= MOST_FILES {
            self.stack.say(
                Diagnostic::error("E1014", "too many files are included in each other").at(span),
            );
            return None;
        }
        self.count += 1;
        let mut node = read_file(self.stack, self.sources, &name, span, "AWS::Include")?;
        if has_tags(&node) {
            self.stack.say(
                Diagnostic::warning(
                    "W1030",
                    format!(
                        "`{name}` has short forms such as `!Sub`, which AWS::Include does not take"
                    ),
                )
                .at(span)
                .help("write the long form: `Fn::Sub: …`"),
            );
        }
        if let Err(problem) = tree::normalize(&mut node) {
            self.stack.say(*problem);
            return None;
        }
        self.expand(&mut node, depth + 1);
        Some(node)
    }
}

/// Reads a file that a template names, from the folder of the file that names it.
pub(super) fn read_file(
    stack: &Stack<'_>,
    sources: &mut Sources,
    name: &str,
    span: Span,
    what: &str,
) -> Option<Node> {
    let folder = sources
        .path(span.file)
        .parent()
        .map(Path::to_owned)
        .unwrap_or_default();
    let file = match sources.add_path(&folder.join(name)) {
        Ok(file) => file,
        Err(problem) => {
            let finding = Diagnostic::error("E1030", format!("{what}: {}", problem.message))
                .at(span)
                .help("paths are taken from the folder of the file they stand in");
            stack.say(finding);
            return None;
        }
    };
    let mut findings = crate::source::Diagnostics::default();
    let node = sources.load(file, &mut findings);
    for finding in findings {
        stack.say(finding);
    }
    node
}

fn location(transform: &Node) -> Option<&Node> {
    let name = transform.get("Name")?.as_str()?;
    (name == "AWS::Include").then_some(())?;
    transform.get("Parameters")?.get("Location")
}

/// Adds the keys that are not there yet.
fn join(mapping: &mut Mapping, file: Node) {
    if let Value::Mapping(entries) = file.value {
        for (key, entry) in entries {
            mapping.entry(key).or_insert(entry);
        }
    }
}

fn has_tags(node: &Node) -> bool {
    node.tag.is_some()
        || match &node.value {
            Value::Scalar { .. } => false,
            Value::Sequence(items) => items.iter().any(has_tags),
            Value::Mapping(mapping) => mapping.values().any(|(_, node)| has_tags(node)),
        }
}
