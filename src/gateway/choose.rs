//! Which API and stage a request is for.
//!
//! At the bare address the first API answers, its paths as they are; a named
//! stage of an HTTP API is part of every URL, as at AWS. By the host
//! `{apiId}.execute-api.localhost` any API answers in AWS's form, `/{stage}/…`.
//! By a custom domain name that API answers which the longest mapped path leads to.

use crate::event::ReceivedRequest;
use crate::model::ApiKind;
use crate::plan::{ApiPlan, HostChoice, MappingChoice, Plan};

/// An API and the path to match there.
#[derive(Debug)]
pub(super) struct Choice<'p> {
    pub(super) api: &'p ApiPlan,
    /// The path without the stage.
    pub(super) path: String,
    /// The path with the stage, as `requestContext.path` shows it.
    pub(super) path_with_stage: String,
    /// The request came by a custom domain name.
    pub(super) by_domain: bool,
}

/// Why no API was chosen.
#[derive(Debug)]
pub(super) enum NoChoice<'p> {
    /// The host names no API that is served.
    UnknownApi,
    /// The API has no such stage.
    UnknownStage(&'p ApiPlan),
}

/// Chooses by host and path.
pub(super) fn choose<'p>(
    plan: &'p Plan,
    request: &ReceivedRequest,
) -> Result<Choice<'p>, NoChoice<'p>> {
    let host = request.host.as_str();
    if let Some(mapped) = plan.mapping_of(host, &request.path) {
        return match mapped {
            MappingChoice::Nothing => Err(NoChoice::UnknownApi),
            MappingChoice::Api {
                api,
                rest,
                has_stage,
            } => by_domain(plan, request, api, rest, has_stage),
        };
    }
    let (api, aws_form) = match plan.api_of_host(host) {
        Some(HostChoice::Api(api)) => (api, true),
        Some(HostChoice::Unknown) => return Err(NoChoice::UnknownApi),
        None => (plan.apis.first().ok_or(NoChoice::UnknownApi)?, false),
    };
    let api = if aws_form || api.facts.kind == ApiKind::Http {
        plan.stage_of_path(api, &request.path)
    } else {
        api
    };
    let stage = api.facts.stage.as_str();
    let sent = request.path.as_str();
    let without_stage = || {
        let rest = sent.strip_prefix('/')?.strip_prefix(stage)?;
        match rest.as_bytes().first() {
            None => Some("/"),
            Some(b'/') => Some(rest),
            Some(_) => None,
        }
    };
    match api.facts.kind {
        ApiKind::Rest if aws_form => {
            let path = without_stage().ok_or(NoChoice::UnknownStage(api))?;
            Ok(Choice {
                api,
                path: one_slash(path),
                path_with_stage: sent.to_owned(),
                by_domain: false,
            })
        }
        ApiKind::Rest => Ok(Choice {
            api,
            path: one_slash(sent),
            path_with_stage: ["/", stage, sent].concat(),
            by_domain: false,
        }),
        ApiKind::Http if stage == "$default" => Ok(Choice {
            api,
            path: sent.to_owned(),
            path_with_stage: sent.to_owned(),
            by_domain: false,
        }),
        ApiKind::Http => {
            let path = without_stage().ok_or(NoChoice::UnknownStage(api))?;
            Ok(Choice {
                api,
                path: path.to_owned(),
                path_with_stage: sent.to_owned(),
                by_domain: false,
            })
        }
    }
}

/// By a custom domain name: events show the path as it was sent, mapping and all.
fn by_domain<'p>(
    plan: &'p Plan,
    request: &ReceivedRequest,
    api: &'p ApiPlan,
    rest: &str,
    has_stage: bool,
) -> Result<Choice<'p>, NoChoice<'p>> {
    let (api, path) = if has_stage {
        (api, rest)
    } else {
        let api = plan.stage_of_path(api, rest);
        let inner = rest
            .strip_prefix('/')
            .and_then(|path| path.strip_prefix(api.facts.stage.as_str()))
            .filter(|path| path.is_empty() || path.starts_with('/'))
            .ok_or(NoChoice::UnknownStage(api))?;
        (api, if inner.is_empty() { "/" } else { inner })
    };
    let path = match api.facts.kind {
        ApiKind::Rest => one_slash(path),
        ApiKind::Http => path.to_owned(),
    };
    Ok(Choice {
        api,
        path,
        path_with_stage: request.path.clone(),
        by_domain: true,
    })
}

/// A REST API sees doubled slashes at the front as one (recorded at AWS).
fn one_slash(path: &str) -> String {
    ["/", path.trim_start_matches('/')].concat()
}
