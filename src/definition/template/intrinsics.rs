//! Intrinsic functions: what stands in a template for a value.
//!
//! Source: CloudFormation user guide, "Intrinsic function reference". Values that
//! only AWS has are made up so that they stay the same from run to run
//! (`attributes`); what cannot be had at all is an error at the place that needs it.

use base64::Engine;

use super::Stack;
use super::parameters::ParameterValue;
use super::tree;
use crate::source::{Diagnostic, Node, Span, Value};

/// A value, nothing (`AWS::NoValue`), or why there is none.
pub(super) type Resolved = Result<Option<Node>, Box<Diagnostic>>;

/// Deepest nesting of calls.
const DEEPEST: usize = 400;

impl Stack<'_> {
    /// The tree with every intrinsic function replaced by its value. What fails is
    /// said, and left out; `None` for nothing.
    pub(super) fn resolve(&self, node: &Node) -> Option<Node> {
        match self.resolve_within(node, 0) {
            Ok(value) => value,
            Err(problem) => {
                self.say(*problem);
                None
            }
        }
    }

    /// The text that a node stands for; what fails is said.
    pub(super) fn text(&self, node: &Node, what: &str) -> Option<String> {
        let value = self.resolve(node)?;
        match value.as_str() {
            Some(text) => Some(text.to_owned()),
            None if value.is_null() => None,
            None => {
                let message = format!("{what} must be text, found {}", value.describe());
                self.say(Diagnostic::error("E0201", message).at(node.span));
                None
            }
        }
    }

    /// Without a word where it fails.
    pub(super) fn try_resolve(&self, node: &Node) -> Resolved {
        self.resolve_within(node, 0)
    }

    /// Follows `Fn::If`, references to parameters and `Fn::FindInMap` in a tree, and
    /// leaves what tells of resources: enough to see what a SAM resource asks for.
    pub(super) fn settle(&self, node: &Node) -> Option<Node> {
        if let Some((name, argument)) = tree::intrinsic(node) {
            return match name {
                "Fn::If" => match self.branch(argument, node.span) {
                    Ok(branch) => self.settle(branch),
                    Err(problem) => {
                        self.say(*problem);
                        None
                    }
                },
                "Ref" => match argument.as_str() {
                    Some("AWS::NoValue") => None,
                    Some(name) if self.parameters.get(name).is_some() => {
                        // A parameter without a value is said where the value is used.
                        match self.try_resolve(node) {
                            Ok(value) => value,
                            Err(_) => Some(node.clone()),
                        }
                    }
                    _ => Some(node.clone()),
                },
                "Fn::FindInMap" => match self.try_resolve(node) {
                    Ok(value) => value,
                    Err(_) => Some(node.clone()),
                },
                _ => Some(node.clone()),
            };
        }
        let value = match &node.value {
            Value::Scalar { .. } => return Some(node.clone()),
            Value::Sequence(items) => {
                Value::Sequence(items.iter().filter_map(|item| self.settle(item)).collect())
            }
            Value::Mapping(mapping) => Value::Mapping(
                mapping
                    .iter()
                    .filter_map(|(key, (span, value))| {
                        Some((key.clone(), (*span, self.settle(value)?)))
                    })
                    .collect(),
            ),
        };
        Some(Node {
            value,
            span: node.span,
            tag: None,
        })
    }

    fn resolve_within(&self, node: &Node, depth: usize) -> Resolved {
        self.charge(1, node.span)?;
        if depth > DEEPEST {
            return Err(problem(
                "E1014",
                node.span,
                "functions are nested too deeply",
            ));
        }
        if let Some((name, argument)) = tree::intrinsic(node) {
            return self.call(name, argument, node.span, depth + 1);
        }
        let value = match &node.value {
            Value::Scalar { text, .. } => {
                self.charge(text.len() / 64, node.span)?;
                return Ok(Some(node.clone()));
            }
            // Each part fails by itself, so that all of them are said.
            Value::Sequence(items) => Value::Sequence(
                items
                    .iter()
                    .filter_map(|item| self.part(item, depth + 1))
                    .collect(),
            ),
            Value::Mapping(mapping) => Value::Mapping(
                mapping
                    .iter()
                    .filter_map(|(key, (span, value))| {
                        Some((key.clone(), (*span, self.part(value, depth + 1)?)))
                    })
                    .collect(),
            ),
        };
        Ok(Some(Node {
            value,
            span: node.span,
            tag: None,
        }))
    }

    fn part(&self, node: &Node, depth: usize) -> Option<Node> {
        match self.resolve_within(node, depth) {
            Ok(value) => value,
            Err(problem) => {
                self.say(*problem);
                None
            }
        }
    }

    fn call(&self, name: &str, argument: &Node, span: Span, depth: usize) -> Resolved {
        match name {
            "Ref" => match argument.as_str() {
                Some(target) => self.reference(target, span),
                None => Err(malformed(name, "the name of a parameter or resource", span)),
            },
            "Fn::GetAtt" => self.get_att(argument, span, depth),
            "Fn::Sub" => self.sub(argument, span, depth),
            "Fn::Join" => self.join(argument, span, depth),
            "Fn::Select" => self.select(argument, span, depth),
            "Fn::Split" => self.split(argument, span, depth),
            "Fn::If" => {
                let branch = self.branch(argument, span)?;
                self.resolve_within(branch, depth)
            }
            "Fn::FindInMap" => self.find_in_map(argument, span, depth),
            "Fn::ImportValue" => self.import(argument, span, depth),
            "Fn::Base64" => {
                let text = self.needed_text(argument, name, depth)?;
                self.charge(text.len() / 32, span)?;
                let encoded = base64::engine::general_purpose::STANDARD.encode(text);
                Ok(Some(tree::text(encoded, span)))
            }
            "Fn::Cidr" => self.cidr(argument, span, depth),
            "Fn::GetAZs" => {
                let region = match self.resolve_within(argument, depth)? {
                    Some(node) => node.as_str().unwrap_or_default().to_owned(),
                    None => String::new(),
                };
                let region = if region.is_empty() {
                    &self.pseudo.region
                } else {
                    &region
                };
                let zones = ["a", "b", "c"]
                    .iter()
                    .map(|zone| tree::text(format!("{region}{zone}"), span))
                    .collect();
                Ok(Some(tree::list(zones, span)))
            }
            "Fn::Length" => {
                let items = self.items(argument, name, span, depth)?;
                Ok(Some(tree::plain(items.len(), span)))
            }
            "Fn::ToJsonString" => {
                let value = self.resolve_within(argument, depth)?;
                let json = value.map_or(serde_json::Value::Null, |node| node.to_json());
                Ok(Some(tree::text(json.to_string(), span)))
            }
            "Fn::Transform" => Err(Box::new(
                Diagnostic::unsupported(format!(
                    "the macro `{}`",
                    argument
                        .get("Name")
                        .and_then(Node::as_str)
                        .unwrap_or("of Fn::Transform")
                ))
                .at(span),
            )),
            "Fn::Equals" | "Fn::And" | "Fn::Or" | "Fn::Not" | "Condition" => {
                let whole = tree::map([(name, argument.clone())], span);
                let value = self.evaluate(&whole)?;
                Ok(Some(tree::plain(value, span)))
            }
            other => {
                let known = [
                    "Ref",
                    "Fn::GetAtt",
                    "Fn::Sub",
                    "Fn::Join",
                    "Fn::Select",
                    "Fn::Split",
                    "Fn::If",
                    "Fn::FindInMap",
                    "Fn::ImportValue",
                    "Fn::Base64",
                    "Fn::Cidr",
                    "Fn::GetAZs",
                    "Fn::Length",
                    "Fn::ToJsonString",
                    "Fn::Transform",
                ];
                Err(Box::new(
                    Diagnostic::error("E1011", format!("there is no function `{other}`"))
                        .at(span)
                        .suggest(other, known),
                ))
            }
        }
    }

    /// `Ref` of a parameter, a pseudo parameter or a resource.
    fn reference(&self, name: &str, span: Span) -> Resolved {
        if name == "AWS::NoValue" {
            return Ok(None);
        }
        if let Some(value) = self.pseudo.get(name, span) {
            return Ok(Some(value));
        }
        match self.parameters.get(name) {
            Some(ParameterValue::Text(value)) => return Ok(Some(tree::text(value, span))),
            Some(ParameterValue::List(items)) => {
                self.charge(items.len(), span)?;
                let items = items.iter().map(|item| tree::text(item, span)).collect();
                return Ok(Some(tree::list(items, span)));
            }
            Some(ParameterValue::Missing(why)) => {
                return Err(Box::new(
                    Diagnostic::error(
                        "E1002",
                        format!("the parameter `{name}` has no value: {why}"),
                    )
                    .at(span)
                    .help(format!("give it: --parameter-overrides {name}=…")),
                ));
            }
            None => {}
        }
        let value = self.reference_of(name, span)?;
        Ok(Some(tree::text(value, span)))
    }

    fn get_att(&self, argument: &Node, span: Span, depth: usize) -> Resolved {
        const FORM: &str = "[RESOURCE, ATTRIBUTE]";
        let (resource, attribute) = match &argument.value {
            Value::Scalar { text, .. } => {
                let (resource, attribute) = text
                    .split_once('.')
                    .ok_or_else(|| malformed("Fn::GetAtt", FORM, span))?;
                (resource.to_owned(), attribute.to_owned())
            }
            Value::Sequence(items) if items.len() >= 2 => {
                let mut parts = Vec::new();
                for item in items {
                    parts.push(self.needed_text(item, "Fn::GetAtt", depth)?);
                }
                // `[Api.Stage, Name]` cannot be told from `[Api, Stage.Name]` by the dots alone.
                (parts[0].clone(), parts[1..].join("."))
            }
            _ => return Err(malformed("Fn::GetAtt", FORM, span)),
        };
        let value = self.attribute_of(&resource, &attribute, span)?;
        Ok(Some(tree::text(value, span)))
    }

    fn sub(&self, argument: &Node, span: Span, depth: usize) -> Resolved {
        const FORM: &str = "a text, or [TEXT, {NAME: VALUE}]";
        let (text, variables) = match &argument.value {
            Value::Scalar { text, .. } => (text.as_str(), None),
            Value::Sequence(items) => match items.as_slice() {
                [text, rest @ ..] if rest.len() < 2 => (
                    text.as_str()
                        .ok_or_else(|| malformed("Fn::Sub", FORM, span))?,
                    rest.first(),
                ),
                _ => return Err(malformed("Fn::Sub", FORM, span)),
            },
            Value::Mapping(_) => return Err(malformed("Fn::Sub", FORM, span)),
        };
        let mut filled = String::with_capacity(text.len() + 64);
        let mut rest = text;
        while let Some(start) = rest.find("${") {
            let (before, from) = rest.split_at(start);
            filled.push_str(before);
            let Some(end) = from.find('}') else {
                rest = from;
                break;
            };
            let name = from[2..end].trim();
            rest = &from[end + 1..];
            if let Some(literal) = name.strip_prefix('!') {
                filled.push_str("${");
                filled.push_str(literal);
                filled.push('}');
                continue;
            }
            let own = variables.and_then(|variables| variables.get(name));
            let value = match own {
                Some(node) => self.needed_text(node, "Fn::Sub", depth)?,
                None => self.named(name, span)?,
            };
            self.charge(value.len() / 16, span)?;
            filled.push_str(&value);
        }
        filled.push_str(rest);
        self.charge(filled.len() / 16, span)?;
        Ok(Some(tree::text(filled, span)))
    }

    /// What `${NAME}` in a text stands for.
    fn named(&self, name: &str, span: Span) -> Result<String, Box<Diagnostic>> {
        let node = match name.split_once('.') {
            Some((resource, attribute)) if !self.is_generated(name) => {
                let gateway_own = [
                    "stageVariables",
                    "context",
                    "request",
                    "integration",
                    "method",
                ];
                if gateway_own.contains(&resource) && !self.has_resource(resource) {
                    return Err(Box::new(
                        Diagnostic::error(
                            "E1010",
                            format!("`${{{name}}}` in Fn::Sub names no resource"),
                        )
                        .at(span)
                        .help(format!(
                            "for a variable of API Gateway write `${{!{name}}}`"
                        )),
                    ));
                }
                return self.attribute_of(resource, attribute, span);
            }
            _ => self.reference(name, span)?,
        };
        let node = node.unwrap_or_else(|| tree::text("", span));
        node.as_str().map(str::to_owned).map_or_else(
            || match &node.value {
                Value::Scalar { text, .. } => Ok(text.clone()),
                _ => Err(problem(
                    "E1011",
                    span,
                    format!("`${{{name}}}` in Fn::Sub is a list, and must be text"),
                )),
            },
            Ok,
        )
    }

    fn join(&self, argument: &Node, span: Span, depth: usize) -> Resolved {
        let Some([delimiter, parts]) = argument.as_sequence() else {
            return Err(malformed("Fn::Join", "[DELIMITER, LIST]", span));
        };
        let delimiter = self.scalar_text(delimiter, "Fn::Join", depth)?;
        let mut texts = Vec::new();
        for item in self.items(parts, "Fn::Join", span, depth)? {
            match &item.value {
                Value::Scalar { text, .. } => texts.push(text.clone()),
                _ => {
                    let message = format!("Fn::Join joins texts, found {}", item.describe());
                    return Err(problem("E1011", item.span, message));
                }
            }
        }
        let joined = texts.join(&delimiter);
        self.charge(joined.len() / 16, span)?;
        Ok(Some(tree::text(joined, span)))
    }

    fn select(&self, argument: &Node, span: Span, depth: usize) -> Resolved {
        let Some([index, items]) = argument.as_sequence() else {
            return Err(malformed("Fn::Select", "[INDEX, LIST]", span));
        };
        let index = self.needed_text(index, "Fn::Select", depth)?;
        let mut items = self.items(items, "Fn::Select", span, depth)?;
        match index.trim().parse::<usize>() {
            Ok(index) if index < items.len() => Ok(Some(items.swap_remove(index))),
            _ => Err(problem(
                "E1011",
                span,
                format!("Fn::Select takes item {index} of {}", items.len()),
            )),
        }
    }

    fn split(&self, argument: &Node, span: Span, depth: usize) -> Resolved {
        let Some([delimiter, text]) = argument.as_sequence() else {
            return Err(malformed("Fn::Split", "[DELIMITER, TEXT]", span));
        };
        let delimiter = self.scalar_text(delimiter, "Fn::Split", depth)?;
        if delimiter.is_empty() {
            return Err(malformed(
                "Fn::Split",
                "a delimiter that is not empty",
                span,
            ));
        }
        let text = self.scalar_text(text, "Fn::Split", depth)?;
        let parts: Vec<Node> = text
            .split(delimiter.as_str())
            .map(|part| tree::text(part, span))
            .collect();
        self.charge(parts.len(), span)?;
        Ok(Some(tree::list(parts, span)))
    }

    /// The branch that an `Fn::If` takes.
    pub(super) fn branch<'n>(
        &self,
        argument: &'n Node,
        span: Span,
    ) -> Result<&'n Node, Box<Diagnostic>> {
        let Some([condition, then, otherwise]) = argument.as_sequence() else {
            return Err(malformed("Fn::If", "[CONDITION, VALUE, VALUE]", span));
        };
        let name = condition
            .as_str()
            .ok_or_else(|| malformed("Fn::If", "the name of a condition", condition.span))?;
        Ok(if self.condition(name, condition.span)? {
            then
        } else {
            otherwise
        })
    }

    fn find_in_map(&self, argument: &Node, span: Span, depth: usize) -> Resolved {
        let (map, first, second, default) = match argument.as_sequence() {
            Some([map, first, second]) => (map, first, second, None),
            Some([map, first, second, options]) => {
                (map, first, second, options.get("DefaultValue"))
            }
            _ => return Err(malformed("Fn::FindInMap", "[MAP, KEY, KEY]", span)),
        };
        let found = (|| {
            let map = self.needed_text(map, "Fn::FindInMap", depth)?;
            let first = self.needed_text(first, "Fn::FindInMap", depth)?;
            let second = self.needed_text(second, "Fn::FindInMap", depth)?;
            let value = self
                .mappings
                .as_ref()
                .and_then(|mappings| mappings.get(&map)?.get(&first)?.get(&second));
            value.cloned().ok_or_else(|| {
                problem(
                    "E1010",
                    span,
                    format!("the mappings have no `{map}.{first}.{second}`"),
                )
            })
        })();
        match (found, default) {
            (Ok(value), _) => {
                self.charge(1, span)?;
                Ok(Some(value))
            }
            (Err(_), Some(default)) => self.resolve_within(default, depth),
            (Err(problem), None) => Err(problem),
        }
    }

    /// A value of another stack: given like a parameter, exported by a stack of this
    /// load, or not there.
    fn import(&self, argument: &Node, span: Span, depth: usize) -> Resolved {
        let name = self.needed_text(argument, "Fn::ImportValue", depth)?;
        self.imported.borrow_mut().insert(name.clone());
        if let Some(value) = self.given.get(&name) {
            return Ok(Some(tree::text(value, span)));
        }
        match self.across.import(&name) {
            Some(told) => Ok(Some(tree::text(told?, span))),
            None => Err(Box::new(
                Diagnostic::error(
                    "E1012",
                    format!("`{name}` is exported by another stack, whose values are at AWS"),
                )
                .at(span)
                .help(format!("give it: --parameter-overrides {name}=…")),
            )),
        }
    }

    fn cidr(&self, argument: &Node, span: Span, depth: usize) -> Resolved {
        let (block, count, bits) = match argument.as_sequence() {
            Some([block, count]) => (block, count, None),
            Some([block, count, bits]) => (block, count, Some(bits)),
            _ => return Err(malformed("Fn::Cidr", "[BLOCK, COUNT, BITS]", span)),
        };
        let block = self.needed_text(block, "Fn::Cidr", depth)?;
        let number = |node: &Node| -> Result<u32, Box<Diagnostic>> {
            self.needed_text(node, "Fn::Cidr", depth)?
                .parse()
                .map_err(|_| malformed("Fn::Cidr", "numbers for COUNT and BITS", span))
        };
        let count = number(count)?;
        let bits = bits.map(number).transpose()?;
        let blocks = subnets(&block, count, bits).ok_or_else(|| {
            let message = format!("`{block}` cannot be divided into {count} blocks of that size");
            problem("E1011", span, message)
        })?;
        self.charge(blocks.len(), span)?;
        let blocks = blocks.into_iter().map(|block| tree::text(block, span));
        Ok(Some(tree::list(blocks.collect(), span)))
    }

    /// The items of a list, or of what stands for one.
    fn items(
        &self,
        node: &Node,
        function: &str,
        span: Span,
        depth: usize,
    ) -> Result<Vec<Node>, Box<Diagnostic>> {
        if let (None, Some(items)) = (tree::intrinsic(node), node.as_sequence()) {
            let mut resolved = Vec::with_capacity(items.len());
            for item in items {
                resolved.extend(self.resolve_within(item, depth)?);
            }
            return Ok(resolved);
        }
        match self.resolve_within(node, depth)? {
            Some(Node {
                value: Value::Sequence(items),
                ..
            }) => Ok(items),
            // A parameter that holds `a,b` without being declared as a list.
            Some(other) => {
                let message = format!("{function} takes a list, found {}", other.describe());
                Err(problem("E1011", span, message))
            }
            None => Ok(Vec::new()),
        }
    }

    /// The text that a node stands for, the empty one included.
    fn scalar_text(
        &self,
        node: &Node,
        function: &str,
        depth: usize,
    ) -> Result<String, Box<Diagnostic>> {
        match self.resolve_within(node, depth)? {
            Some(Node {
                value: Value::Scalar { text, .. },
                ..
            }) => Ok(text),
            Some(other) => {
                let message = format!("{function} takes a text, found {}", other.describe());
                Err(problem("E1011", node.span, message))
            }
            None => Ok(String::new()),
        }
    }

    fn needed_text(
        &self,
        node: &Node,
        function: &str,
        depth: usize,
    ) -> Result<String, Box<Diagnostic>> {
        self.scalar_text(node, function, depth)
    }

    /// Counts what is made: a template of a few lines can stand for billions of nodes.
    pub(super) fn charge(&self, cost: usize, span: Span) -> Result<(), Box<Diagnostic>> {
        match self.budget.get().checked_sub(cost) {
            Some(left) => {
                self.budget.set(left);
                Ok(())
            }
            None => {
                self.budget.set(0);
                Err(problem(
                    "E1014",
                    span,
                    "the template's functions make more than can be read",
                ))
            }
        }
    }
}

pub(super) fn problem(
    code: &'static str,
    span: Span,
    message: impl Into<String>,
) -> Box<Diagnostic> {
    Box::new(Diagnostic::error(code, message).at(span))
}

pub(super) fn malformed(function: &str, form: &str, span: Span) -> Box<Diagnostic> {
    problem("E1011", span, format!("`{function}` takes {form}"))
}

/// The first `count` blocks of `block` that leave `bits` for hosts.
fn subnets(block: &str, count: u32, bits: Option<u32>) -> Option<Vec<String>> {
    let (address, prefix) = block.split_once('/')?;
    let prefix: u32 = prefix.parse().ok()?;
    let address: std::net::IpAddr = address.parse().ok()?;
    // "count: valid range is between 1 and 256".
    if !(1..=256).contains(&count) {
        return None;
    }
    let (width, start): (u32, u128) = match address {
        std::net::IpAddr::V4(address) => (32, u128::from(u32::from(address))),
        std::net::IpAddr::V6(address) => (128, u128::from(address)),
    };
    let bits = bits.unwrap_or(if width == 32 { 8 } else { 64 });
    let room = width.checked_sub(prefix)?;
    let fits = bits <= room && bits < 128 && {
        let most = room - bits;
        most >= 32 || (1_u64 << most) >= u64::from(count)
    };
    if !fits {
        return None;
    }
    let start = if prefix == 0 {
        0
    } else {
        start >> (width - prefix) << (width - prefix)
    };
    (0..u128::from(count))
        .map(|index| {
            let at = start.checked_add(index << bits)?;
            let length = width - bits;
            Some(if width == 32 {
                format!(
                    "{}/{length}",
                    std::net::Ipv4Addr::from(u32::try_from(at).ok()?)
                )
            } else {
                format!("{}/{length}", std::net::Ipv6Addr::from(at))
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::stack;

    /// The value of `Outputs.V` as JSON.
    fn value(yaml: &str) -> Result<serde_json::Value, String> {
        let text = format!(
            "Parameters:\n  P: {{Type: String, Default: hi}}\n  L: {{Type: CommaDelimitedList, Default: 'a,b'}}\n  N: {{Type: String}}\n\
             Mappings: {{M: {{x: {{y: 5, l: [1, 2]}}}}}}\n\
             Conditions: {{Is: !Equals [!Ref P, hi], Isnt: !Not [!Condition Is]}}\n\
             Resources:\n  F: {{Type: 'AWS::Lambda::Function', Properties: {{FunctionName: fun}}}}\n  G: {{Type: 'AWS::Lambda::Function', Condition: Isnt}}\n  Q: {{Type: 'AWS::SQS::Queue'}}\n\
             Outputs: {{V: {yaml}}}\n"
        );
        let (stack, node) = stack(&text);
        stack
            .try_resolve(node.get("Outputs").unwrap().get("V").unwrap())
            .map(|node| node.map_or(serde_json::Value::Null, |node| node.to_json()))
            .map_err(|problem| problem.message)
    }

    #[test]
    fn every_function_has_its_value() {
        for (yaml, expected) in [
            ("!Ref P", r#""hi""#),
            ("!Ref L", r#"["a","b"]"#),
            ("!Ref AWS::NoValue", "null"),
            (
                "!Sub '${P} ${!x} ${AWS::Region} ${F}'",
                r#""hi ${x} us-east-1 fun""#,
            ),
            ("!Sub ['${A}-${P}', {A: !Ref F}]", r#""fun-hi""#),
            (
                "!Sub '${F.Arn}'",
                r#""arn:aws:lambda:us-east-1:123456789012:function:fun""#,
            ),
            (
                "!GetAtt F.Arn",
                r#""arn:aws:lambda:us-east-1:123456789012:function:fun""#,
            ),
            (
                "!Join ['-', [a, !Ref P, 5, !Ref AWS::NoValue]]",
                r#""a-hi-5""#,
            ),
            ("!Join [',', !Ref L]", r#""a,b""#),
            ("!Select ['1', !Ref L]", r#""b""#),
            ("!Split ['|', 'x|y']", r#"["x","y"]"#),
            ("!If [Is, 1, 2]", "1"),
            ("!If [Isnt, 1, !Ref AWS::NoValue]", "null"),
            ("!FindInMap [M, x, y]", "5"),
            ("!FindInMap [M, !Sub x, l]", "[1,2]"),
            ("{Fn::FindInMap: [M, z, y, {DefaultValue: d}]}", r#""d""#),
            ("!Base64 hello", r#""aGVsbG8=""#),
            ("!Select [1, !Cidr [10.0.0.0/16, 3, 8]]", r#""10.0.1.0/24""#),
            ("!GetAZs ''", r#"["us-east-1a","us-east-1b","us-east-1c"]"#),
            ("{Fn::Length: !Ref L}", "2"),
            ("{Fn::ToJsonString: {a: !Ref P}}", r#""{\"a\":\"hi\"}""#),
            ("[1, !Ref AWS::NoValue, 2]", "[1,2]"),
            (
                "{a: !Ref AWS::NoValue, b: !If [Is, {c: !Ref P}, x]}",
                r#"{"b":{"c":"hi"}}"#,
            ),
            (
                "!Ref Q",
                r#""https://sqs.us-east-1.amazonaws.com/123456789012/Q""#,
            ),
        ] {
            assert_eq!(
                value(yaml).map(|json| json.to_string()),
                Ok(expected.to_owned()),
                "{yaml}"
            );
        }
    }

    #[test]
    fn what_has_no_value_is_said() {
        for (yaml, words) in [
            ("!Ref Nobody", "Nobody"),
            ("!Ref N", "has no value"),
            ("!Ref G", "condition"),
            ("!ImportValue x", "another stack"),
            ("!Sub '${stageVariables.a}'", "stageVariables.a"),
            ("!Sub {}", "takes"),
            ("!Join [a]", "takes"),
            ("!Select [7, !Ref L]", "item 7"),
            ("!FindInMap [M, z, y]", "M.z.y"),
            ("!If [Maybe, 1, 2]", "Maybe"),
            ("!Cidr [10.0.0.0/30, 9, 1]", "divided"),
            ("{Fn::Nonsense: 1}", "Fn::Nonsense"),
        ] {
            let message = value(yaml).unwrap_err();
            assert!(message.contains(words), "{yaml}: {message}");
        }
    }

    #[test]
    fn a_text_that_doubles_itself_ends() {
        let mut text = "Resources: {}\nParameters: {A: {Type: String, Default: xxxxxxxxxxxxxxxx}}\nOutputs:\n  V: ".to_owned();
        for _ in 0..60 {
            text.push_str("!Sub ['${a}${a}${a}${a}${a}${a}${a}${a}', {a: ");
        }
        text.push_str("!Ref A");
        text.push_str(&"}]".repeat(60));
        let (stack, node) = stack(&text);

        let value = stack.try_resolve(node.get("Outputs").unwrap().get("V").unwrap());

        assert_eq!(value.unwrap_err().code, "E1014");
    }
}
