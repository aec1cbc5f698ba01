//! `AWS::ApiGateway::UsagePlan`, `ApiKey` and `UsagePlanKey`.

use indexmap::IndexMap;

use super::super::values::{self, get};
use super::stages::limits;
use super::{Stack, Template, tree};
use crate::base::id::stable_id;
use crate::model::Spanned;
use crate::model::settings::{
    ApiKeySettings, ApiStage, QuotaPeriod, QuotaSettings, UsagePlanSettings,
};
use crate::source::{Diagnostics, Node};

pub(super) fn read(stack: &Stack<'_>, template: &mut Template) {
    let mut findings = Diagnostics::default();
    for (id, resource) in stack.of_kind("AWS::ApiGateway::ApiKey") {
        let Some(properties) = stack.resolve(&resource.properties) else {
            continue;
        };
        let text = |key: &str| {
            tree::get(&properties, key)
                .and_then(Node::as_str)
                .map(str::to_owned)
        };
        let name = text("Name").unwrap_or_else(|| stack.physical(id));
        let value = text("Value");
        if value.is_none() {
            template.made_up_keys.push(name.clone());
        }
        template.api_keys.push(ApiKeySettings {
            id: stable_id(&stack.path_of(id)),
            name,
            value: value.unwrap_or_else(|| made_up(&stack.path_of(id))),
            enabled: tree::get(&properties, "Enabled")
                .and_then(Node::as_bool)
                .unwrap_or(true),
            span: resource.span,
        });
    }
    let links: Vec<(String, Spanned<String>)> = stack
        .of_kind("AWS::ApiGateway::UsagePlanKey")
        .into_iter()
        .filter_map(|(_, resource)| {
            let properties = stack.resolve(&resource.properties)?;
            let plan = tree::get(&properties, "UsagePlanId")?.as_str()?.to_owned();
            let key = tree::get(&properties, "KeyId")?.as_str()?.to_owned();
            let span = resource.span;
            Some((plan, Spanned { value: key, span }))
        })
        .collect();
    for (id, resource) in stack.of_kind("AWS::ApiGateway::UsagePlan") {
        let Some(properties) = stack.resolve(&resource.properties) else {
            continue;
        };
        let Some(fields) = properties.as_mapping() else {
            continue;
        };
        let reference = stable_id(&stack.path_of(id));
        let mut stages = Vec::new();
        for entry in get(fields, "ApiStages")
            .and_then(Node::as_sequence)
            .unwrap_or_default()
        {
            let text = |key: &str| tree::get(entry, key).and_then(Node::as_str);
            let throttle = tree::get(entry, "Throttle")
                .into_iter()
                .flat_map(Node::entries)
                .map(|(method, _, node)| {
                    let throttle = limits(node, "RateLimit", "BurstLimit", &mut findings);
                    (method.to_owned(), throttle)
                })
                .collect();
            if let (Some(api), Some(stage)) = (text("ApiId"), text("Stage")) {
                stages.push(ApiStage {
                    api_id: api.to_owned(),
                    stage: stage.to_owned(),
                    throttle,
                });
            }
        }
        template.usage_plans.push(UsagePlanSettings {
            name: get(fields, "UsagePlanName")
                .and_then(Node::as_str)
                .map_or_else(|| stack.physical(id), str::to_owned),
            api_keys: links
                .iter()
                .filter(|(plan, _)| *plan == reference)
                .map(|(_, key)| key.clone())
                .collect(),
            throttle: get(fields, "Throttle")
                .map(|node| limits(node, "RateLimit", "BurstLimit", &mut findings))
                .unwrap_or_default(),
            quota: get(fields, "Quota").and_then(|node| quota(node, &mut findings)),
            method_throttles: IndexMap::new(),
            api_stages: Some(stages),
            span: resource.span,
            id: reference,
        });
    }
    for finding in findings {
        stack.say(finding);
    }
}

fn quota(node: &Node, findings: &mut Diagnostics) -> Option<QuotaSettings> {
    let count = |key: &str, findings: &mut Diagnostics| {
        tree::get(node, key)
            .and_then(|node| {
                values::integer(node, &format!("`{key}` of a quota"), 0, i64::MAX, findings)
            })
            .and_then(|count| u64::try_from(count).ok())
    };
    let period = tree::get(node, "Period").and_then(|node| {
        values::word(
            node,
            "`Period` of a quota",
            &["DAY", "WEEK", "MONTH"],
            findings,
        )
    });
    Some(QuotaSettings {
        limit: count("Limit", findings)?,
        period: match period? {
            0 => QuotaPeriod::Day,
            1 => QuotaPeriod::Week,
            _ => QuotaPeriod::Month,
        },
        offset: count("Offset", findings).unwrap_or(0),
    })
}

/// Forty letters and digits, as AWS makes them, the same from run to run.
fn made_up(id: &str) -> String {
    (0..4)
        .map(|part| stable_id(&format!("api key {id} {part}")))
        .collect()
}
