//! `ResourcePolicy` in `Auth` of SAM REST APIs: who may call, by account, address or VPC.
//!
//! Source: AWS SAM developer guide, "ResourcePolicyStatement".

use super::document::{self, ANY};
use super::sam::Transform;
use super::tree::{self, contents, get};
use crate::source::{Node, Span, Value};

const KEY: &str = "x-amazon-apigateway-policy";

impl Transform<'_, '_> {
    /// Adds what the lists say of the methods of one path.
    pub(super) fn resource_policy(&self, body: &mut Node, policy: &Node, path: &str, stage: &Node) {
        let span = policy.span;
        if policy.as_mapping().is_none() || tree::intrinsic(policy).is_some() {
            return self.error(span, "`ResourcePolicy` must be a mapping");
        }
        let resources = resources(body, path, stage, span);
        for (key, effect) in [
            ("AwsAccountWhitelist", "Allow"),
            ("AwsAccountBlacklist", "Deny"),
        ] {
            if let Some(accounts) = get(policy, key) {
                let principal = tree::map([("AWS", listed(accounts))], span);
                let statement = statement(effect, principal, &resources, None, span);
                add(body, statement, false);
            }
        }
        for (key, operator) in [
            ("IpRangeWhitelist", "NotIpAddress"),
            ("IpRangeBlacklist", "IpAddress"),
        ] {
            if let Some(ranges) = get(policy, key) {
                let condition = tree::map([("aws:SourceIp", listed(ranges))], span);
                let condition = tree::map([(operator, condition)], span);
                restrict(body, &resources, condition, span);
            }
        }
        for (prefix, operator) in [
            ("Blacklist", "StringEquals"),
            ("Whitelist", "StringNotEquals"),
        ] {
            let mut vpcs = Vec::new();
            let mut endpoints = Vec::new();
            let sources = get(policy, &format!("SourceVpc{prefix}"));
            let is_plain = sources.is_none_or(|node| {
                node.as_sequence()
                    .is_some_and(|items| items.iter().all(|item| item.as_str().is_some()))
            });
            if !is_plain {
                self.error(
                    sources.map_or(span, |node| node.span),
                    format!("`SourceVpc{prefix}` must be a list of text; `IntrinsicVpc{prefix}` takes functions"),
                );
            }
            for node in sources.and_then(Node::as_sequence).unwrap_or_default() {
                match node.as_str() {
                    Some(name) if name.starts_with("vpce-") => endpoints.push(node.clone()),
                    Some(name) if name.starts_with("vpc-") => vpcs.push(node.clone()),
                    _ => {}
                }
            }
            for (key, list) in [
                (format!("IntrinsicVpc{prefix}"), &mut vpcs),
                (format!("IntrinsicVpce{prefix}"), &mut endpoints),
            ] {
                if let Some(items) = get(policy, &key).and_then(Node::as_sequence) {
                    list.extend(items.iter().cloned());
                }
            }
            let mut condition = tree::empty(span);
            if !vpcs.is_empty() {
                tree::set(&mut condition, "aws:SourceVpc", tree::list(vpcs, span));
            }
            if !endpoints.is_empty() {
                tree::set(
                    &mut condition,
                    "aws:SourceVpce",
                    tree::list(endpoints, span),
                );
            }
            if condition.entries().next().is_some() {
                restrict(
                    body,
                    &resources,
                    tree::map([(operator, condition)], span),
                    span,
                );
            }
        }
    }

    /// Adds `CustomStatements` as they stand.
    pub(super) fn custom_statements(&self, body: &mut Node, policy: &Node) {
        let Some(statements) = get(policy, "CustomStatements") else {
            return;
        };
        match statements.as_sequence() {
            Some(items) => {
                for item in items {
                    add(body, item.clone(), true);
                }
            }
            None => add(body, statements.clone(), true),
        }
    }
}

/// `execute-api:/STAGE/METHOD/path` of each method of a path.
fn resources(body: &Node, path: &str, stage: &Node, span: Span) -> Node {
    let item = body.get("paths").and_then(|paths| paths.get(path));
    let generic = wild(path);
    let made = item
        .into_iter()
        .flat_map(contents)
        .flat_map(Node::entries)
        .map(|(method, _, _)| {
            let method = match method {
                ANY | "any" => "*".to_owned(),
                other => other.to_uppercase(),
            };
            let text = format!("execute-api:/${{__Stage__}}/{method}{generic}");
            let variables = tree::map([("__Stage__", stage.clone())], span);
            let parts = vec![tree::text(text, span), variables];
            tree::map([("Fn::Sub", tree::list(parts, span))], span)
        })
        .collect();
    tree::list(made, span)
}

/// The path with a star for each variable.
fn wild(path: &str) -> String {
    path.split('/')
        .map(|segment| {
            if segment.starts_with('{') && segment.ends_with('}') {
                "*"
            } else {
                segment
            }
        })
        .collect::<Vec<_>>()
        .join("/")
}

fn listed(node: &Node) -> Node {
    match node.as_sequence() {
        Some(_) => node.clone(),
        None => tree::list(vec![node.clone()], node.span),
    }
}

fn statement(
    effect: &str,
    principal: Node,
    resources: &Node,
    condition: Option<Node>,
    span: Span,
) -> Node {
    let mut made = tree::map(
        [
            ("Effect", tree::text(effect, span)),
            ("Action", tree::text("execute-api:Invoke", span)),
            ("Resource", resources.clone()),
            ("Principal", principal),
        ],
        span,
    );
    if let Some(condition) = condition {
        tree::set(&mut made, "Condition", condition);
    }
    made
}

/// Allows everybody, but those that the condition is true of.
fn restrict(body: &mut Node, resources: &Node, condition: Node, span: Span) {
    let anybody = || tree::text("*", span);
    add(
        body,
        statement("Allow", anybody(), resources, None, span),
        true,
    );
    let deny = statement("Deny", anybody(), resources, Some(condition), span);
    add(body, deny, true);
}

fn add(body: &mut Node, statement: Node, once: bool) {
    let span = statement.span;
    if !document::is_valid(body) {
        return;
    }
    let Some(policy) = tree::entry(body, KEY, tree::empty(span)) else {
        return;
    };
    tree::set(policy, "Version", tree::text("2012-10-17", span));
    let Some(statements) = tree::entry(policy, "Statement", tree::list(Vec::new(), span)) else {
        return;
    };
    if statements.as_mapping().is_some() {
        let one = statements.clone();
        *statements = tree::list(vec![one], span);
    }
    if let Value::Sequence(items) = &mut statements.value
        && (!once || !items.iter().any(|known| tree::same(known, &statement)))
    {
        items.push(statement);
    }
}
