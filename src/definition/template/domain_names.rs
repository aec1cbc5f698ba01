//! Custom domain names and where their paths lead.
//!
//! Source: CloudFormation template reference, "AWS::ApiGateway::DomainName",
//! "AWS::ApiGateway::BasePathMapping", "AWS::ApiGatewayV2::DomainName" and
//! "AWS::ApiGatewayV2::ApiMapping".

use super::cfn_rest::text;
use super::{Stack, Template, cfn_v2, tree};
use crate::model::settings::{DomainMapping, DomainSettings};
use crate::source::{Diagnostic, Node};

const REST_API: &str = "AWS::ApiGateway::RestApi";

/// A type of mapping, and the keys of its API and path.
const MAPPINGS: [(&str, &str, &str); 2] = [
    ("AWS::ApiGateway::BasePathMapping", "RestApiId", "BasePath"),
    ("AWS::ApiGatewayV2::ApiMapping", "ApiId", "ApiMappingKey"),
];

pub(super) fn read(stack: &Stack<'_>, template: &mut Template) {
    for kind in [
        "AWS::ApiGateway::DomainName",
        "AWS::ApiGatewayV2::DomainName",
    ] {
        for (id, resource) in stack.of_kind(kind) {
            let name = tree::get(&resource.properties, "DomainName")
                .and_then(|node| stack.text(node, "`DomainName`"));
            if let Some(name) = name {
                domain(template, &name);
            }
            if let Some(node) = tree::get(&resource.properties, "MutualTlsAuthentication") {
                stack.say(
                    Diagnostic::warning(
                        "W1031",
                        format!("`{id}` ({kind}): clients are not asked for a certificate"),
                    )
                    .at(node.span),
                );
            }
        }
    }
    for (kind, api_key, path_key) in MAPPINGS {
        for (id, resource) in stack.of_kind(kind) {
            let Some(properties) = stack.resolve(&resource.properties) else {
                continue;
            };
            let Some(name) = text(&properties, "DomainName") else {
                let message = format!("`{id}` has no `DomainName`");
                stack.say(Diagnostic::error("E1017", message).at(resource.span));
                continue;
            };
            let Some(api) = stack.linked(&[REST_API, cfn_v2::API], &properties, api_key) else {
                let message = format!(
                    "`{id}` ({kind}): the API that it maps a path to is not in this template"
                );
                stack.say(Diagnostic::warning("W1031", message).at(resource.span));
                continue;
            };
            let path = text(&properties, path_key).filter(|path| *path != "(none)");
            let mapping = DomainMapping {
                path: path.unwrap_or_default().trim_matches('/').to_owned(),
                api_id: stack.api_id(api),
                stage: text(&properties, "Stage").map(str::to_owned),
                span: resource.span,
            };
            let mappings = &mut domain(template, name).mappings;
            if mappings.iter().any(|other| other.path == mapping.path) {
                let message = format!("`{id}`: another mapping of {name} has the same path");
                stack.say(Diagnostic::error("E1017", message).at(resource.span));
                continue;
            }
            mappings.push(mapping);
        }
    }
}

/// The custom domain name of that name, which there is from now on.
pub(super) fn domain<'t>(template: &'t mut Template, name: &str) -> &'t mut DomainSettings {
    let name = name.to_ascii_lowercase();
    let known = template.domains.iter().position(|one| one.name == name);
    let index = known.unwrap_or_else(|| {
        template.domains.push(DomainSettings {
            name,
            mappings: Vec::new(),
        });
        template.domains.len() - 1
    });
    &mut template.domains[index]
}

/// The paths of `Domain` of a SAM API: without `NormalizeBasePath: false` they keep
/// letters and digits only. One empty path where none is named.
pub(super) fn base_paths(domain: &Node) -> Vec<String> {
    let keeps = tree::get(domain, "NormalizeBasePath").and_then(tree::flag) == Some(false);
    let written: Vec<&str> = match tree::get(domain, "BasePath") {
        Some(node) => match node.as_sequence() {
            Some(items) => items.iter().filter_map(Node::as_str).collect(),
            None => node.as_str().into_iter().collect(),
        },
        None => Vec::new(),
    };
    if written.is_empty() {
        return vec![String::new()];
    }
    written
        .into_iter()
        .map(|path| match keeps {
            true => path.to_owned(),
            false => path.chars().filter(|c| c.is_alphanumeric()).collect(),
        })
        .collect()
}
