//! `UsagePlan` in `Auth` of SAM REST APIs: a plan with a key, for one API or all.
//!
//! Source: AWS SAM developer guide, "ApiUsagePlan".

use super::sam::{Draft, Transform};
use super::tree::{self, get};
use crate::source::{Diagnostic, Node, Span};

const KEYS: [&str; 6] = [
    "CreateUsagePlan",
    "UsagePlanName",
    "Description",
    "Quota",
    "Throttle",
    "Tags",
];

/// The plan of all APIs that say `SHARED`; the last one's settings count.
pub(super) struct SharedPlan {
    stages: Vec<Node>,
    properties: Node,
    condition: Option<String>,
    span: Span,
}

impl Transform<'_, '_> {
    pub(super) fn usage_plan(
        &mut self,
        id: &str,
        draft: &Draft,
        stage_id: &str,
        condition: Option<&str>,
    ) {
        let Some(plan) = draft.auth("UsagePlan") else {
            return;
        };
        let span = plan.span;
        for (key, span, _) in plan.entries() {
            if !KEYS.contains(&key) {
                let message = format!("`UsagePlan` of `{id}` has no key `{key}`");
                let finding = Diagnostic::error("E1023", message);
                self.stack.say(finding.at(span).suggest(key, KEYS));
            }
        }
        let stage = tree::map(
            [
                ("ApiId", tree::reference(id, span)),
                ("Stage", tree::reference(stage_id, span)),
            ],
            span,
        );
        let mut properties = tree::empty(span);
        for key in ["UsagePlanName", "Description", "Quota", "Throttle"] {
            if let Some(node) = get(plan, key) {
                tree::set(&mut properties, key, node.clone());
            }
        }
        match get(plan, "CreateUsagePlan").and_then(Node::as_str) {
            Some("NONE") => {}
            Some("PER_API") => {
                tree::set(&mut properties, "ApiStages", tree::list(vec![stage], span));
                let names = [
                    format!("{id}UsagePlan"),
                    format!("{id}ApiKey"),
                    format!("{id}UsagePlanKey"),
                ];
                self.make_plan(&names, properties, condition, span);
                self.name_plan(id, names);
            }
            Some("SHARED") => {
                let shared = self.shared_plan.get_or_insert_with(|| SharedPlan {
                    stages: Vec::new(),
                    properties: tree::empty(span),
                    condition: condition.map(str::to_owned),
                    span,
                });
                shared.stages.push(stage);
                for (key, _, node) in properties.entries() {
                    tree::set(&mut shared.properties, key, node.clone());
                }
                if shared.condition.as_deref() != condition {
                    // One of the APIs is there, and so is the plan.
                    shared.condition = None;
                }
                self.name_plan(id, shared_names());
            }
            _ => self.error(
                span,
                format!("`UsagePlan` of `{id}` has no `CreateUsagePlan`: PER_API, SHARED or NONE"),
            ),
        }
    }

    pub(super) fn finish_shared_plan(&mut self) {
        let Some(SharedPlan {
            stages,
            mut properties,
            condition,
            span,
        }) = self.shared_plan.take()
        else {
            return;
        };
        tree::set(&mut properties, "ApiStages", tree::list(stages, span));
        self.make_plan(&shared_names(), properties, condition.as_deref(), span);
    }

    fn name_plan(&mut self, id: &str, names: [String; 3]) {
        for (suffix, name) in ["UsagePlan", "ApiKey", "UsagePlanKey"].iter().zip(names) {
            self.generated.insert(format!("{id}.{suffix}"), name);
        }
    }

    fn make_plan(
        &mut self,
        [plan, key, plan_key]: &[String; 3],
        properties: Node,
        condition: Option<&str>,
        span: Span,
    ) {
        self.make(
            plan,
            "AWS::ApiGateway::UsagePlan",
            properties,
            condition,
            span,
        );
        let enabled = tree::map([("Enabled", tree::plain(true, span))], span);
        self.make(key, "AWS::ApiGateway::ApiKey", enabled, condition, span);
        let link = tree::map(
            [
                ("KeyId", tree::reference(key, span)),
                ("KeyType", tree::text("API_KEY", span)),
                ("UsagePlanId", tree::reference(plan, span)),
            ],
            span,
        );
        self.make(
            plan_key,
            "AWS::ApiGateway::UsagePlanKey",
            link,
            condition,
            span,
        );
    }
}

fn shared_names() -> [String; 3] {
    [
        "ServerlessUsagePlan".to_owned(),
        "ServerlessApiKey".to_owned(),
        "ServerlessUsagePlanKey".to_owned(),
    ]
}
