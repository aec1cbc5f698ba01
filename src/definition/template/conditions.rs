//! Conditions: what of a template is there.
//!
//! Source: CloudFormation user guide, "Condition functions".

use super::intrinsics::{malformed, problem};
use super::{Resource, Stack, tree};
use crate::source::{Diagnostic, Node, Span};

/// Longest chain of conditions that name each other.
const LONGEST_CHAIN: usize = 64;

impl Stack<'_> {
    /// Whether the condition of this name holds.
    pub(super) fn condition(&self, name: &str, span: Span) -> Result<bool, Box<Diagnostic>> {
        let decided = self.decided.borrow().get(name).copied();
        match decided {
            Some(Some(value)) => return Ok(value),
            Some(None) => {
                let message = format!("the condition `{name}` depends on itself");
                return Err(problem("E1013", span, message));
            }
            None => {}
        }
        let Some(node) = self.conditions.get(name) else {
            let names: Vec<&str> = self.conditions.keys().map(String::as_str).collect();
            return Err(Box::new(
                Diagnostic::error("E1010", format!("there is no condition `{name}`"))
                    .at(span)
                    .suggest(name, names),
            ));
        };
        let open = self
            .decided
            .borrow()
            .values()
            .filter(|value| value.is_none())
            .count();
        if open > LONGEST_CHAIN {
            return Err(problem("E1014", span, "conditions are nested too deeply"));
        }
        self.decided.borrow_mut().insert(name.to_owned(), None);
        let value = self.evaluate(node);
        match &value {
            Ok(value) => self
                .decided
                .borrow_mut()
                .insert(name.to_owned(), Some(*value)),
            Err(_) => self.decided.borrow_mut().shift_remove(name),
        };
        value
    }

    /// Whether an expression of conditions holds.
    pub(super) fn evaluate(&self, node: &Node) -> Result<bool, Box<Diagnostic>> {
        if let Some(value) = node.as_bool() {
            return Ok(value);
        }
        let Some((name, argument)) = tree::intrinsic(node) else {
            return match node.as_str() {
                Some("true") => Ok(true),
                Some("false") => Ok(false),
                _ => {
                    let message = format!("a condition is a function, found {}", node.describe());
                    Err(problem("E1011", node.span, message))
                }
            };
        };
        let items = argument.as_sequence().unwrap_or_default();
        match name {
            "Condition" => {
                let name = argument
                    .as_str()
                    .ok_or_else(|| malformed(name, "the name of a condition", node.span))?;
                self.condition(name, argument.span)
            }
            "Fn::Equals" => {
                let [left, right] = items else {
                    return Err(malformed(name, "two values", node.span));
                };
                let left = self.try_resolve(left)?;
                let right = self.try_resolve(right)?;
                Ok(comparable(left.as_ref()) == comparable(right.as_ref()))
            }
            "Fn::Not" => {
                let [inner] = items else {
                    return Err(malformed(name, "a list of one condition", node.span));
                };
                Ok(!self.evaluate(inner)?)
            }
            "Fn::And" | "Fn::Or" => {
                if items.is_empty() {
                    return Err(malformed(name, "a list of conditions", node.span));
                }
                let mut all = true;
                let mut any = false;
                for item in items {
                    let value = self.evaluate(item)?;
                    all &= value;
                    any |= value;
                }
                Ok(if name == "Fn::And" { all } else { any })
            }
            _ => {
                let value = self.try_resolve(node)?;
                match value.as_ref().and_then(Node::as_str) {
                    Some("true") => Ok(true),
                    Some("false") => Ok(false),
                    _ => Err(problem(
                        "E1011",
                        node.span,
                        format!("`{name}` gives neither true nor false"),
                    )),
                }
            }
        }
    }

    /// Whether a resource is there; a condition that cannot be told is said, and holds.
    pub(super) fn is_live(&self, resource: &Resource) -> bool {
        let Some(condition) = &resource.condition else {
            return true;
        };
        self.condition(condition, resource.span)
            .unwrap_or_else(|problem| {
                self.say(*problem);
                true
            })
    }
}

/// Texts and numbers are compared as text.
fn comparable(node: Option<&Node>) -> serde_json::Value {
    match node {
        None => serde_json::Value::Null,
        Some(node) => match node.as_str() {
            Some(text) => text.into(),
            None => node.to_json(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::stack;
    use super::*;

    fn holds(condition: &str) -> Result<bool, String> {
        let (stack, _) = stack(&format!(
            "Parameters: {{E: {{Type: String, Default: prod}}, N: {{Type: Number, Default: 1}}}}\n\
             Conditions:\n  Prod: !Equals [!Ref E, prod]\n  A: {{Condition: B}}\n  B: !Not [!Condition A]\n  X: {condition}\nResources: {{}}\n"
        ));
        stack
            .condition("X", Span::default())
            .map_err(|problem| problem.message)
    }

    #[test]
    fn conditions_hold_or_not() {
        for (condition, expected) in [
            ("!Condition Prod", true),
            ("!Not [!Condition Prod]", false),
            ("!And [!Condition Prod, !Equals [!Ref N, '1']]", true),
            (
                "!Or [!Equals [a, b], !Equals [!Ref AWS::Region, us-east-1]]",
                true,
            ),
            ("!Equals [!Select [0, [x, y]], y]", false),
        ] {
            assert_eq!(holds(condition), Ok(expected), "{condition}");
        }
    }

    #[test]
    fn a_circle_and_an_unknown_name_are_said() {
        assert!(holds("!Condition A").unwrap_err().contains("itself"));
        assert!(holds("!Condition Nobody").unwrap_err().contains("Nobody"));
    }
}
