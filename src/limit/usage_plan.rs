//! API keys and usage plans: what they say, and who may pass by them.
//!
//! The configuration names some, the control plane makes and changes others
//! while serving. [`Records`] is what is in force now; the [`Directory`] is made
//! of it whenever it changes, for requests to look up.
//!
//! Source: API Gateway developer guide, "Usage plans and API keys for REST
//! APIs"; names and fields are those of the API reference.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use super::bucket::{Bucket, Buckets, Scope};
use super::quota::{Meter, Period, Quota};
use super::token_bucket::Pace;
use crate::base::id::stable_id;
use crate::event::ApiKeyFacts;
use crate::model::Throttle;
use crate::model::settings::{ApiKeySettings, Settings, UsagePlanSettings};
use crate::store::{Day, Record};

/// An API key.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ApiKey {
    /// Its id.
    pub id: String,
    /// Its name; the control plane takes keys without one.
    pub name: Option<String>,
    /// What it is for.
    pub description: Option<String>,
    /// The secret that clients send.
    pub value: String,
    /// A disabled key is refused.
    pub enabled: bool,
    /// An AWS Marketplace customer.
    pub customer_id: Option<String>,
    /// Seconds since 1970.
    pub created: u64,
    /// Seconds since 1970.
    pub updated: u64,
    /// `apiId/stage`, as older callers of AWS give them; no effect.
    #[serde(default)]
    pub stage_keys: Vec<String>,
    /// Tags.
    #[serde(default)]
    pub tags: IndexMap<String, String>,
}

impl std::fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ApiKey")
            .field("id", &self.id)
            .field("name", &self.name)
            .field("value", &"***")
            .field("enabled", &self.enabled)
            .finish_non_exhaustive()
    }
}

/// A usage plan, without its keys.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UsagePlan {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// For each key.
    pub throttle: Option<PlanThrottle>,
    /// For each key.
    pub quota: Option<PlanQuota>,
    /// The stages it is for; `None`: whatever this gateway serves, as a plan of the configuration.
    pub stages: Option<Vec<PlanStage>>,
    /// For each key and method, by `/path/METHOD`, in every stage of the plan.
    #[serde(default)]
    pub method_throttles: IndexMap<String, PlanThrottle>,
    /// An AWS Marketplace product.
    pub product_code: Option<String>,
    /// The day it was made: its first quota period.
    pub begin: Day,
    /// Tags.
    #[serde(default)]
    pub tags: IndexMap<String, String>,
}

/// A stage that a plan is for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlanStage {
    /// The API's id.
    pub api_id: String,
    /// The stage's name.
    pub stage: String,
    /// For each key and method, by `/path/METHOD`.
    #[serde(default)]
    pub throttle: IndexMap<String, PlanThrottle>,
}

/// `throttle`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlanThrottle {
    /// Tokens a second; absent: the account's.
    pub rate_limit: Option<f64>,
    /// The bucket's size; absent: the account's.
    pub burst_limit: Option<u32>,
}

impl PlanThrottle {
    fn of(throttle: Throttle) -> Option<Self> {
        let Throttle {
            rate_limit,
            burst_limit,
        } = throttle;
        (rate_limit.is_some() || burst_limit.is_some()).then_some(Self {
            rate_limit,
            burst_limit,
        })
    }

    fn pace(self, account: Pace) -> Pace {
        Pace::new(
            self.rate_limit.unwrap_or(account.rate()),
            self.burst_limit.unwrap_or(account.burst()),
        )
    }
}

/// `quota`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanQuota {
    /// Requests in a period.
    pub limit: u64,
    /// Requests taken off the first period.
    #[serde(default)]
    pub offset: u64,
    /// How long a period is.
    pub period: Period,
}

impl UsagePlan {
    /// The quota, with the plan's first day.
    pub fn quota(&self) -> Option<Quota> {
        self.quota.map(|quota| Quota {
            limit: quota.limit,
            period: quota.period,
            offset: quota.offset,
            begin: self.begin,
        })
    }
}

/// Keys, plans and which key is in which plan: by id, in the order they were made.
#[derive(Clone, Debug, Default)]
pub struct Records {
    /// By id.
    pub keys: IndexMap<String, ApiKey>,
    /// By id.
    pub plans: IndexMap<String, UsagePlan>,
    /// `(plan, key)`, by ids.
    pub members: IndexMap<(String, String), ()>,
}

/// A change of the records.
#[derive(Clone, Debug)]
pub enum Change {
    /// A key is made or changed.
    Key(ApiKey),
    /// A key is deleted, also from its plans.
    DeleteKey(String),
    /// A plan is made or changed.
    Plan(UsagePlan),
    /// A plan is deleted.
    DeletePlan(String),
    /// A key joins a plan.
    Join {
        /// The plan's id.
        plan: String,
        /// The key's id.
        key: String,
    },
    /// A key leaves a plan.
    Leave {
        /// The plan's id.
        plan: String,
        /// The key's id.
        key: String,
    },
}

/// What a changed entry is kept as. `base` is the configuration's entry that it
/// changed: once somebody edits that, the file counts again.
#[derive(Serialize, Deserialize)]
struct Kept<T> {
    base: Option<String>,
    value: Option<T>,
}

/// The base of members: the configuration can say no more of one than that it is there.
const CONFIGURED: &str = "configured";

impl Records {
    /// What the configuration says. `day` is the first day of its plans' quotas.
    pub fn of_settings(settings: &Settings, day: Day) -> Self {
        let mut records = Self::default();
        for key in &settings.api_keys {
            let ApiKeySettings {
                id,
                name,
                value,
                enabled,
                span: _,
            } = key;
            let key = ApiKey {
                id: id.clone(),
                name: Some(name.clone()),
                description: None,
                value: value.clone(),
                enabled: *enabled,
                customer_id: None,
                created: 0,
                updated: 0,
                stage_keys: Vec::new(),
                tags: IndexMap::new(),
            };
            records.keys.insert(id.clone(), key);
        }
        for plan in &settings.usage_plans {
            let UsagePlanSettings {
                id,
                name,
                api_keys,
                throttle,
                quota,
                method_throttles,
                api_stages,
                span: _,
            } = plan;
            for wanted in api_keys {
                let key = settings
                    .api_keys
                    .iter()
                    .find(|key| key.id == wanted.value)
                    .or_else(|| {
                        settings
                            .api_keys
                            .iter()
                            .find(|key| key.name == wanted.value)
                    });
                // The reader has said so where there is none.
                if let Some(key) = key {
                    records.members.insert((id.clone(), key.id.clone()), ());
                }
            }
            let plan = UsagePlan {
                id: id.clone(),
                name: name.clone(),
                description: None,
                throttle: PlanThrottle::of(*throttle),
                quota: quota.as_ref().map(|quota| PlanQuota {
                    limit: quota.limit,
                    offset: quota.offset,
                    period: quota.period.into(),
                }),
                stages: api_stages.as_ref().map(|stages| {
                    let own = stages.iter().map(|stage| PlanStage {
                        api_id: stage.api_id.clone(),
                        stage: stage.stage.clone(),
                        throttle: plan_throttles(&stage.throttle),
                    });
                    own.collect()
                }),
                method_throttles: plan_throttles(method_throttles),
                product_code: None,
                begin: day,
                tags: IndexMap::new(),
            };
            records.plans.insert(id.clone(), plan);
        }
        records
    }

    /// Puts what a store keeps over what the configuration says.
    ///
    /// A record that cannot be read is left out, and named in the result.
    pub fn overlay(&mut self, kept: &[Record]) -> Vec<String> {
        let mut unread = Vec::new();
        for record in kept {
            let Some(body) = &record.body else { continue };
            let read = match record.kind.as_str() {
                "key" => overlay_one(&mut self.keys, &record.id, body),
                "plan" => overlay_one(&mut self.plans, &record.id, body),
                "begin" => serde_json::from_str(body).map(|day| {
                    if let Some(plan) = self.plans.get_mut(&record.id) {
                        plan.begin = day;
                    }
                }),
                "member" => self.overlay_member(&record.id, body),
                _ => continue,
            };
            if let Err(problem) = read {
                unread.push(format!("{} {}: {problem}", record.kind, record.id));
            }
        }
        let Self {
            keys,
            plans,
            members,
        } = self;
        members.retain(|(plan, key), ()| plans.contains_key(plan) && keys.contains_key(key));
        unread
    }

    fn overlay_member(&mut self, id: &str, body: &str) -> serde_json::Result<()> {
        let kept: Kept<bool> = serde_json::from_str(body)?;
        let Some((plan, key)) = id.split_once('/') else {
            return Ok(());
        };
        let member = (plan.to_owned(), key.to_owned());
        match (kept.value, kept.base) {
            (Some(_), _) => {
                self.members.insert(member, ());
            }
            (None, Some(_)) => {
                self.members.shift_remove(&member);
            }
            (None, None) => {}
        }
        Ok(())
    }

    /// Makes a change.
    pub fn apply(&mut self, change: Change) {
        match change {
            Change::Key(key) => {
                self.keys.insert(key.id.clone(), key);
            }
            Change::DeleteKey(id) => {
                self.keys.shift_remove(&id);
                self.members.retain(|(_, key), ()| *key != id);
            }
            Change::Plan(plan) => {
                self.plans.insert(plan.id.clone(), plan);
            }
            Change::DeletePlan(id) => {
                self.plans.shift_remove(&id);
                self.members.retain(|(plan, _), ()| *plan != id);
            }
            Change::Join { plan, key } => {
                self.members.insert((plan, key), ());
            }
            Change::Leave { plan, key } => {
                self.members.shift_remove(&(plan, key));
            }
        }
    }

    /// What a store keeps of a change that was made to `self`, over a configuration.
    pub fn record(&self, change: &Change, configured: &Self) -> Vec<Record> {
        let entry = |kind: &str, id: &str, body: Option<String>| Record {
            kind: kind.to_owned(),
            id: id.to_owned(),
            body,
        };
        let leave = |plan: &String, key: &String| {
            let configured = configured
                .members
                .contains_key(&(plan.clone(), key.clone()));
            let body = configured.then(|| keep::<bool>(Some(CONFIGURED.to_owned()), None));
            entry("member", &format!("{plan}/{key}"), body)
        };
        let leave_all = |filter: &dyn Fn(&(String, String)) -> bool| -> Vec<Record> {
            self.members
                .keys()
                .filter(|member| filter(member))
                .map(|(plan, key)| leave(plan, key))
                .collect()
        };
        match change {
            Change::Key(key) => {
                let base = configured.keys.get(&key.id).map(Fingerprint::fingerprint);
                vec![entry("key", &key.id, Some(keep(base, Some(key))))]
            }
            Change::DeleteKey(id) => {
                let body = configured
                    .keys
                    .get(id)
                    .map(|key| keep::<ApiKey>(Some(key.fingerprint()), None));
                let mut records = leave_all(&|(_, key)| key == id);
                records.push(entry("key", id, body));
                records
            }
            Change::Plan(plan) => {
                let base = configured.plans.get(&plan.id).map(Fingerprint::fingerprint);
                vec![entry("plan", &plan.id, Some(keep(base, Some(plan))))]
            }
            Change::DeletePlan(id) => {
                let body = configured
                    .plans
                    .get(id)
                    .map(|plan| keep::<UsagePlan>(Some(plan.fingerprint()), None));
                let mut records = leave_all(&|(plan, _)| plan == id);
                records.push(entry("plan", id, body));
                records
            }
            Change::Join { plan, key } => {
                vec![entry(
                    "member",
                    &format!("{plan}/{key}"),
                    Some(keep(None, Some(&true))),
                )]
            }
            Change::Leave { plan, key } => vec![leave(plan, key)],
        }
    }

    /// The first days of plans of the configuration, for those that a store has none of.
    pub fn begins(&self, kept: &[Record]) -> Vec<Record> {
        self.plans
            .values()
            .filter(|plan| {
                !kept
                    .iter()
                    .any(|record| record.kind == "begin" && record.id == plan.id)
            })
            .map(|plan| Record {
                kind: "begin".to_owned(),
                id: plan.id.clone(),
                body: serde_json::to_string(&plan.begin).ok(),
            })
            .collect()
    }

    /// The keys of a plan, in the order they joined.
    pub fn keys_of<'r>(&'r self, plan: &'r str) -> impl Iterator<Item = &'r ApiKey> {
        self.members
            .keys()
            .filter(move |(of, _)| of == plan)
            .filter_map(|(_, key)| self.keys.get(key))
    }
}

/// By `/path/METHOD`; one that says nothing is none.
fn plan_throttles(throttles: &IndexMap<String, Throttle>) -> IndexMap<String, PlanThrottle> {
    throttles
        .iter()
        .filter_map(|(method, throttle)| Some((method.clone(), PlanThrottle::of(*throttle)?)))
        .collect()
}

/// Something of the configuration that can be recognised again.
trait Fingerprint: Serialize {
    fn fingerprint(&self) -> String;
}

impl Fingerprint for ApiKey {
    fn fingerprint(&self) -> String {
        fingerprint(self)
    }
}

impl Fingerprint for UsagePlan {
    /// The day it was made is no part of what the file says.
    fn fingerprint(&self) -> String {
        fingerprint(&Self {
            begin: Day(0),
            ..self.clone()
        })
    }
}

fn fingerprint<T: Serialize>(value: &T) -> String {
    stable_id(&serde_json::to_string(value).unwrap_or_default())
}

fn keep<T: Serialize>(base: Option<String>, value: Option<&T>) -> String {
    serde_json::to_string(&Kept { base, value }).unwrap_or_default()
}

fn overlay_one<T>(entries: &mut IndexMap<String, T>, id: &str, body: &str) -> serde_json::Result<()>
where
    T: Fingerprint + for<'de> Deserialize<'de>,
{
    let kept: Kept<T> = serde_json::from_str(body)?;
    let there = entries.get(id).map(Fingerprint::fingerprint);
    // Made while serving, or a change of what the file still says.
    if kept.base != there {
        return Ok(());
    }
    match kept.value {
        Some(value) => {
            entries.insert(id.to_owned(), value);
        }
        None => {
            entries.shift_remove(id);
        }
    }
    Ok(())
}

/// Keys and their plans, for requests to look up.
#[derive(Debug, Default)]
pub struct Directory {
    // Clients only look up, what is in here the operator chose: nobody can fill it with collisions.
    by_value: HashMap<Box<str>, Arc<Holder>, RandomState>,
    by_id: HashMap<Box<str>, Arc<Holder>, RandomState>,
}

/// A key and what it may.
#[derive(Debug)]
pub struct Holder {
    /// Its id and value.
    pub key: Arc<ApiKeyFacts>,
    /// Whether it may be used.
    pub enabled: bool,
    /// Its plans.
    plans: Vec<Membership>,
}

/// A key in a plan.
#[derive(Debug)]
pub struct Membership {
    /// The plan.
    pub plan: Arc<UsagePlan>,
    /// Its quota.
    pub quota: Option<Quota>,
    /// The key's bucket over all methods.
    pub bucket: Option<Arc<Bucket>>,
    /// The key's buckets by method, in all stages.
    methods: Buckets,
    /// The key's buckets by method, by API and stage.
    stages: Vec<(Box<str>, Box<str>, Buckets)>,
    /// Counts the key's requests.
    pub meter: Arc<Meter>,
}

impl Membership {
    /// The buckets for a method of a stage: the plan's own for it, if it has one.
    pub fn method_bucket(&self, api_id: &str, stage: &str, method: &str) -> Option<&Arc<Bucket>> {
        self.stages
            .iter()
            .find(|(api, name, _)| **api == *api_id && **name == *stage)
            .and_then(|(_, _, buckets)| buckets.get(method))
            .or_else(|| self.methods.get(method))
    }

    fn is_for(&self, api_id: &str, stage: &str) -> bool {
        match &self.plan.stages {
            None => true,
            Some(stages) => stages
                .iter()
                .any(|one| one.api_id == api_id && one.stage == stage),
        }
    }
}

impl Holder {
    /// The key's plan for a stage. "An API key can be associated with more than
    /// one usage plan", but with one for each stage; of several the first counts.
    pub fn membership(&self, api_id: &str, stage: &str) -> Option<&Membership> {
        self.plans
            .iter()
            .find(|membership| membership.is_for(api_id, stage))
    }
}

/// Finds and keeps buckets and meters by name, so that they carry over.
pub(super) trait Keeper {
    fn bucket(&self, name: String, scope: Scope, pace: Pace) -> Arc<Bucket>;
    fn meter(&self, plan: &str, key: &str) -> Arc<Meter>;
}

impl Directory {
    /// Builds it; `account` fills in what a throttle leaves open.
    pub(super) fn build(records: &Records, keeper: &impl Keeper, account: Pace) -> Self {
        let mut of_key: HashMap<&str, Vec<Membership>> = HashMap::new();
        let plans: HashMap<&str, Arc<UsagePlan>> = records
            .plans
            .iter()
            .map(|(id, plan)| (id.as_str(), Arc::new(plan.clone())))
            .collect();
        for (plan_id, key_id) in records.members.keys() {
            let Some(plan) = plans.get(plan_id.as_str()) else {
                continue;
            };
            let begin = format!("plan/{plan_id}/{key_id}");
            let method_buckets = |of: &str, throttles: &IndexMap<String, PlanThrottle>| {
                throttles
                    .iter()
                    .map(|(method, throttle)| {
                        let name = format!("{begin}{of}{method}");
                        let pace = throttle.pace(account);
                        let bucket = keeper.bucket(name, Scope::PlanMethod, pace);
                        (method.as_str().into(), bucket)
                    })
                    .collect::<Buckets>()
            };
            let stages = plan.stages.iter().flatten();
            let meter = keeper.meter(plan_id, key_id);
            meter.set_quota(plan.quota());
            let membership = Membership {
                quota: plan.quota(),
                bucket: plan.throttle.map(|throttle| {
                    keeper.bucket(begin.clone(), Scope::Plan, throttle.pace(account))
                }),
                methods: method_buckets("", &plan.method_throttles),
                stages: stages
                    .map(|one| {
                        let of = format!("/{}/{}", one.api_id, one.stage);
                        let buckets = method_buckets(&of, &one.throttle);
                        (
                            one.api_id.as_str().into(),
                            one.stage.as_str().into(),
                            buckets,
                        )
                    })
                    .collect(),
                meter,
                plan: Arc::clone(plan),
            };
            of_key.entry(key_id).or_default().push(membership);
        }
        let mut directory = Self::default();
        for (id, key) in &records.keys {
            let holder = Arc::new(Holder {
                key: Arc::new(ApiKeyFacts {
                    id: id.as_str().into(),
                    value: key.value.as_str().into(),
                }),
                enabled: key.enabled,
                plans: of_key.remove(id.as_str()).unwrap_or_default(),
            });
            directory
                .by_value
                .insert(key.value.as_str().into(), Arc::clone(&holder));
            directory.by_id.insert(id.as_str().into(), holder);
        }
        directory
    }

    /// The key that a request may use in a stage: enabled, and in a plan for it.
    pub fn accepted(&self, value: &str, api_id: &str, stage: &str) -> Option<&Arc<Holder>> {
        self.enabled(value)
            .filter(|holder| holder.membership(api_id, stage).is_some())
    }

    /// The key of that value, if it is enabled.
    pub fn enabled(&self, value: &str) -> Option<&Arc<Holder>> {
        self.by_value.get(value).filter(|holder| holder.enabled)
    }

    /// A key by its value, whether or not it may be used.
    pub fn by_value(&self, value: &str) -> Option<&Arc<Holder>> {
        self.by_value.get(value)
    }

    /// A key by its id.
    pub fn by_id(&self, id: &str) -> Option<&Arc<Holder>> {
        self.by_id.get(id)
    }
}
