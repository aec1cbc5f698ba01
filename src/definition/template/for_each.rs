//! `Fn::ForEach` of `AWS::LanguageExtensions`: parts of a template once for each item of a list.
//!
//! Source: CloudFormation user guide, "Fn::ForEach".

use super::{Stack, tree};
use crate::source::{Diagnostic, Mapping, Node, Value};

const PREFIX: &str = "Fn::ForEach::";

/// Unrolls every loop of a tree, the outermost first.
pub(super) fn expand(node: &mut Node, stack: &Stack<'_>) {
    match &mut node.value {
        Value::Scalar { .. } => {}
        Value::Sequence(items) => {
            for item in items {
                expand(item, stack);
            }
        }
        Value::Mapping(mapping) => {
            if mapping.keys().any(|key| key.starts_with(PREFIX)) {
                let mut unrolled = Mapping::new();
                for (key, (span, value)) in std::mem::take(mapping) {
                    if key.starts_with(PREFIX) {
                        unroll(&value, &mut unrolled, stack);
                    } else {
                        unrolled.insert(key, (span, value));
                    }
                }
                *mapping = unrolled;
            }
            for (_, (_, value)) in mapping.iter_mut() {
                expand(value, stack);
            }
        }
    }
}

/// Adds what a loop stands for.
fn unroll(argument: &Node, entries: &mut Mapping, stack: &Stack<'_>) {
    let Some([identifier, collection, template]) = argument.as_sequence() else {
        stack.say(
            Diagnostic::error(
                "E1011",
                "`Fn::ForEach` takes [IDENTIFIER, LIST, {KEY: VALUE}]",
            )
            .at(argument.span),
        );
        return;
    };
    let Some(identifier) = identifier.as_str() else {
        return;
    };
    let items = stack.resolve(collection);
    for item in items
        .iter()
        .flat_map(|node| node.as_sequence().unwrap_or_default())
    {
        let Some(value) = item.as_str() else { continue };
        let replace = Replace { identifier, value };
        for (key, (span, node)) in template.as_mapping().into_iter().flatten() {
            if let Err(problem) = stack.charge(size(node), argument.span) {
                stack.say(*problem);
                return;
            }
            let key = replace.text(key);
            let mut node = node.clone();
            replace.tree(&mut node);
            if key.starts_with(PREFIX) {
                unroll(&node, entries, stack);
            } else {
                entries.insert(key, (*span, node));
            }
        }
    }
}

struct Replace<'a> {
    identifier: &'a str,
    value: &'a str,
}

impl Replace<'_> {
    fn text(&self, text: &str) -> String {
        if !text.contains('{') {
            return text.to_owned();
        }
        let bare: String = self
            .value
            .chars()
            .filter(|c| c.is_ascii_alphanumeric())
            .collect();
        text.replace(&format!("${{{}}}", self.identifier), self.value)
            .replace(&format!("&{{{}}}", self.identifier), &bare)
    }

    fn tree(&self, node: &mut Node) {
        if let Some(("Ref", name)) = tree::intrinsic(node)
            && name.as_str() == Some(self.identifier)
        {
            *node = tree::text(self.value, node.span);
            return;
        }
        match &mut node.value {
            Value::Scalar { text, .. } => *text = self.text(text),
            Value::Sequence(items) => items.iter_mut().for_each(|item| self.tree(item)),
            Value::Mapping(mapping) => {
                for (key, (span, mut value)) in std::mem::take(mapping) {
                    self.tree(&mut value);
                    mapping.insert(self.text(&key), (span, value));
                }
            }
        }
        // The transform leaves no function that has nothing to fill: an event's path may be one.
        let whole = match tree::intrinsic(node) {
            Some(("Fn::Sub", text)) => text.as_str().filter(|text| !text.contains("${")),
            _ => None,
        };
        if let Some(whole) = whole {
            *node = tree::text(whole, node.span);
        }
    }
}

fn size(node: &Node) -> usize {
    match &node.value {
        Value::Scalar { text, .. } => 1 + text.len() / 64,
        Value::Sequence(items) => 1 + items.iter().map(size).sum::<usize>(),
        Value::Mapping(mapping) => 1 + mapping.values().map(|(_, node)| size(node)).sum::<usize>(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::stack;
    use super::*;

    #[test]
    fn loops_are_unrolled_inside_out() {
        let (stack, mut node) = stack(
            "Parameters: {L: {Type: CommaDelimitedList, Default: 'a-1,b'}}\nResources:\n  Fn::ForEach::X:\n    - Id\n    - !Ref L\n    - 'R&{Id}':\n        Type: AWS::SNS::Topic\n        Properties: {TopicName: !Sub 't-${Id}', Name: !Ref Id}\n  Fn::ForEach::Y: [A, [p], {'Fn::ForEach::Z': [B, [q], {'${A}${B}': {Type: T}}]}]\n",
        );

        expand(&mut node, &stack);

        assert_eq!(
            node.get("Resources").unwrap().to_json(),
            serde_json::json!({
                "Ra1": {"Type": "AWS::SNS::Topic", "Properties": {"TopicName": "t-a-1", "Name": "a-1"}},
                "Rb": {"Type": "AWS::SNS::Topic", "Properties": {"TopicName": "t-b", "Name": "b"}},
                "pq": {"Type": "T"},
            })
        );
    }
}
