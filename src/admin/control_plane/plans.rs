//! `/usageplans`.

use indexmap::IndexMap;
use serde_json::{Map, Value as Json, json};

use super::answer::{Answer, Refused};
use super::patch::{Op, Operation, operations};
use super::{Call, Decision, World, keys, pages, tags};
use crate::limit::quota::Period;
use crate::limit::usage_plan::{Change, PlanQuota, PlanStage, PlanThrottle, Records, UsagePlan};

/// "Usage plans per account per Region": 300.
const MOST_PLANS: usize = 300;

/// Looks a plan up.
pub(super) fn find<'r>(records: &'r Records, id: &str) -> Result<&'r UsagePlan, Refused> {
    records
        .plans
        .get(id)
        .ok_or_else(|| Refused::not_found("Invalid Usage Plan ID specified"))
}

/// The stages that a plan is for, those of a plan of the configuration spelt out.
pub(super) fn stages(plan: &UsagePlan, world: &World) -> Vec<PlanStage> {
    plan.stages.clone().unwrap_or_else(|| {
        let served = world.stages.iter();
        served
            .map(|(api_id, stage)| PlanStage {
                api_id: api_id.clone(),
                stage: stage.clone(),
                throttle: plan.method_throttles.clone(),
            })
            .collect()
    })
}

/// A plan as AWS writes it.
fn write(plan: &UsagePlan, world: &World) -> Json {
    let mut object = Map::new();
    let mut add = |name: &str, value: Json| object.insert(name.to_owned(), value);
    add("id", json!(plan.id));
    add("name", json!(plan.name));
    if let Some(description) = &plan.description {
        add("description", json!(description));
    }
    let stages = stages(plan, world);
    let stages = stages.iter().map(|stage| {
        let mut object = Map::new();
        object.insert("apiId".to_owned(), json!(stage.api_id));
        object.insert("stage".to_owned(), json!(stage.stage));
        if !stage.throttle.is_empty() {
            let throttles: Map<String, Json> = stage
                .throttle
                .iter()
                .map(|(method, throttle)| (method.clone(), write_throttle(*throttle)))
                .collect();
            object.insert("throttle".to_owned(), Json::Object(throttles));
        }
        Json::Object(object)
    });
    add("apiStages", stages.collect());
    if let Some(throttle) = plan.throttle {
        add("throttle", write_throttle(throttle));
    }
    if let Some(quota) = plan.quota {
        add("quota", json!(quota));
    }
    if let Some(product) = &plan.product_code {
        add("productCode", json!(product));
    }
    if !plan.tags.is_empty() {
        add("tags", json!(plan.tags));
    }
    Json::Object(object)
}

fn write_throttle(throttle: PlanThrottle) -> Json {
    let mut object = Map::new();
    if let Some(burst) = throttle.burst_limit {
        object.insert("burstLimit".to_owned(), json!(burst));
    }
    if let Some(rate) = throttle.rate_limit {
        object.insert("rateLimit".to_owned(), json!(rate));
    }
    Json::Object(object)
}

fn read_throttle(value: &Json) -> Result<PlanThrottle, Refused> {
    let throttle: PlanThrottle = serde_json::from_value(value.clone())
        .map_err(|_| Refused::bad("Invalid throttle specified"))?;
    if throttle.rate_limit.is_some_and(|rate| rate < 0.0) {
        return Err(Refused::bad(
            "Usage Plan throttle rate limit must be at least 0",
        ));
    }
    Ok(throttle)
}

fn check_quota(quota: PlanQuota) -> Result<(), Refused> {
    let (most, words) = match quota.period {
        Period::Day => (0, "must be zero in the DAY period"),
        Period::Week => (
            6,
            "must be between zero and six inclusively in the WEEK period",
        ),
        Period::Month => (
            27,
            "must be between zero and 27 inclusively in the MONTH period",
        ),
    };
    if quota.offset > most {
        return Err(Refused::bad(format!("Usage Plan quota offset {words}")));
    }
    Ok(())
}

fn check_stage(world: &World, api_id: &str, stage: &str) -> Result<(), Refused> {
    if world
        .stages
        .iter()
        .any(|(api, name)| api == api_id && name == stage)
    {
        return Ok(());
    }
    Err(Refused::not_found(format!(
        "API Stage not found: {api_id}:{stage}"
    )))
}

pub(super) fn create(call: &Call, records: &Records, world: &World) -> Decision {
    let object = call.object()?;
    let text = |name: &str| object.get(name).and_then(Json::as_str).map(str::to_owned);
    let name = text("name")
        .filter(|name| !name.is_empty())
        .ok_or_else(|| Refused::bad("Usage Plan name is required"))?;
    if records.plans.len() >= MOST_PLANS {
        return Err(Refused::limit(
            "Maximum number of Usage Plans in this account reached",
        ));
    }
    let mut stages = Vec::new();
    for stage in object
        .get("apiStages")
        .and_then(Json::as_array)
        .into_iter()
        .flatten()
    {
        let part = |name: &str| stage.get(name).and_then(Json::as_str).unwrap_or_default();
        let (api_id, name) = (part("apiId"), part("stage"));
        check_stage(world, api_id, name)?;
        let throttles = stage.get("throttle").and_then(Json::as_object);
        stages.push(PlanStage {
            api_id: api_id.to_owned(),
            stage: name.to_owned(),
            throttle: throttles
                .into_iter()
                .flatten()
                .map(|(method, throttle)| Ok((method.clone(), read_throttle(throttle)?)))
                .collect::<Result<IndexMap<_, _>, Refused>>()?,
        });
    }
    let quota = match object.get("quota").filter(|quota| !quota.is_null()) {
        None => None,
        Some(quota) => {
            let quota = serde_json::from_value(quota.clone()).map_err(|_| {
                Refused::bad("Invalid quota specified: limit and period are required")
            })?;
            check_quota(quota)?;
            Some(quota)
        }
    };
    let plan = UsagePlan {
        id: loop {
            let id = keys::random_id();
            if !records.plans.contains_key(&id) {
                break id;
            }
        },
        name,
        description: text("description"),
        throttle: object
            .get("throttle")
            .filter(|throttle| !throttle.is_null())
            .map(read_throttle)
            .transpose()?,
        quota,
        stages: Some(stages),
        method_throttles: IndexMap::new(),
        product_code: None,
        begin: world.today(),
        tags: tags::read(object.get("tags"))?,
    };
    let answer = Answer::created(write(&plan, world));
    Ok((answer, vec![Change::Plan(plan)]))
}

pub(super) fn list(call: &Call, records: &Records, world: &World) -> Decision {
    let entries = records
        .plans
        .values()
        .filter(|plan| {
            call.query("keyId").is_none_or(|key| {
                let member = (plan.id.clone(), key.to_owned());
                records.members.contains_key(&member)
            })
        })
        .map(|plan| (plan.id.clone(), write(plan, world)))
        .collect();
    Ok((Answer::ok(pages::items(call, entries)?), Vec::new()))
}

pub(super) fn get(records: &Records, world: &World, id: &str) -> Decision {
    Ok((Answer::ok(write(find(records, id)?, world)), Vec::new()))
}

pub(super) fn delete(records: &Records, id: &str) -> Decision {
    let plan = find(records, id)?;
    if plan
        .stages
        .as_ref()
        .is_some_and(|stages| !stages.is_empty())
    {
        return Err(Refused::bad(format!(
            "Cannot delete Usage Plan {id} because there are API Stages associated with it"
        )));
    }
    Ok((Answer::accepted(), vec![Change::DeletePlan(id.to_owned())]))
}

pub(super) fn update(call: &Call, records: &Records, world: &World, id: &str) -> Decision {
    let mut plan = find(records, id)?.clone();
    let mut throttle = plan.throttle;
    // A quota is whole only after all operations: period and limit come one by one.
    let mut quota = QuotaParts::of(plan.quota);
    for operation in operations(call)? {
        let path: Vec<&str> = operation.path.iter().map(String::as_str).collect();
        match (operation.op, path.as_slice()) {
            (Op::Replace, ["name"]) => plan.name = operation.value()?.to_owned(),
            (Op::Replace, ["description"]) => {
                plan.description = Some(operation.value()?.to_owned());
            }
            (Op::Remove, ["description"]) => plan.description = None,
            (Op::Replace | Op::Add, ["productCode"]) => {
                plan.product_code = Some(operation.value()?.to_owned());
            }
            (Op::Remove, ["productCode"]) => plan.product_code = None,
            (Op::Remove, ["throttle"]) => throttle = None,
            (Op::Replace | Op::Add, ["throttle", field]) => {
                set_throttle(&operation, &mut throttle, field)?;
            }
            (Op::Remove, ["quota"]) => quota = QuotaParts::default(),
            (Op::Replace | Op::Add, ["quota", "limit"]) => {
                quota.limit = Some(operation.parsed()?);
            }
            (Op::Replace | Op::Add, ["quota", "offset"]) => quota.offset = operation.parsed()?,
            (Op::Replace | Op::Add, ["quota", "period"]) => {
                let period = json!(operation.value()?);
                quota.period = Some(
                    serde_json::from_value(period)
                        .map_err(|_| Refused::bad("Quota period must be DAY, WEEK or MONTH"))?,
                );
            }
            (_, ["apiStages", ..]) => {
                let mut stages = stages(&plan, world);
                update_stages(&operation, &path[1..], &mut stages, world)?;
                plan.stages = Some(stages);
                plan.method_throttles = IndexMap::new();
            }
            _ => return Err(invalid(&operation)),
        }
    }
    plan.throttle = throttle;
    plan.quota = quota.whole()?;
    check_one_plan_a_stage(&plan, records)?;
    let answer = Answer::ok(write(&plan, world));
    Ok((answer, vec![Change::Plan(plan)]))
}

fn invalid(operation: &Operation) -> Refused {
    operation.invalid(
        "/name, /description, /productCode, /quota, /quota/limit, /quota/offset, /quota/period, \
         /throttle, /throttle/rateLimit, /throttle/burstLimit, /apiStages, \
         /apiStages/{apiId:stage}/throttle/{resourcePath}/{httpMethod}",
    )
}

#[derive(Default)]
struct QuotaParts {
    limit: Option<u64>,
    offset: u64,
    period: Option<Period>,
}

impl QuotaParts {
    fn of(quota: Option<PlanQuota>) -> Self {
        quota.map_or_else(Self::default, |quota| Self {
            limit: Some(quota.limit),
            offset: quota.offset,
            period: Some(quota.period),
        })
    }

    fn whole(self) -> Result<Option<PlanQuota>, Refused> {
        match (self.limit, self.period) {
            (None, None) => Ok(None),
            (Some(limit), Some(period)) => {
                let quota = PlanQuota {
                    limit,
                    offset: self.offset,
                    period,
                };
                check_quota(quota)?;
                Ok(Some(quota))
            }
            _ => Err(Refused::bad("Usage Plan quota needs both limit and period")),
        }
    }
}

fn set_throttle(
    operation: &Operation,
    throttle: &mut Option<PlanThrottle>,
    field: &str,
) -> Result<(), Refused> {
    let throttle = throttle.get_or_insert(PlanThrottle {
        rate_limit: None,
        burst_limit: None,
    });
    match field {
        "rateLimit" => {
            let rate: f64 = operation.parsed()?;
            if !rate.is_finite() || rate < 0.0 {
                return Err(Refused::bad(
                    "Usage Plan throttle rate limit must be at least 0",
                ));
            }
            throttle.rate_limit = Some(rate);
        }
        "burstLimit" => throttle.burst_limit = Some(operation.parsed()?),
        _ => return Err(invalid(operation)),
    }
    Ok(())
}

/// `/apiStages` with the value `apiId:stage`, or `/apiStages/apiId:stage/throttle…`.
fn update_stages(
    operation: &Operation,
    path: &[&str],
    stages: &mut Vec<PlanStage>,
    world: &World,
) -> Result<(), Refused> {
    let split = |text: &str| {
        text.split_once(':')
            .map(|(api, stage)| (api.to_owned(), stage.to_owned()))
            .ok_or_else(|| Refused::bad(format!("Invalid API Stage '{text}': apiId:stage")))
    };
    let of = |stages: &[PlanStage], (api_id, stage): &(String, String)| {
        stages
            .iter()
            .position(|one| one.api_id == *api_id && one.stage == *stage)
    };
    match (operation.op, path) {
        (Op::Add, []) => {
            let name = split(operation.value()?)?;
            check_stage(world, &name.0, &name.1)?;
            if of(stages, &name).is_none() {
                let (api_id, stage) = name;
                stages.push(PlanStage {
                    api_id,
                    stage,
                    throttle: IndexMap::new(),
                });
            }
            return Ok(());
        }
        (Op::Remove, []) => {
            let name = split(operation.value()?)?;
            match of(stages, &name) {
                Some(index) => stages.remove(index),
                None => {
                    return Err(Refused::not_found(format!(
                        "API Stage not found: {}:{}",
                        name.0, name.1
                    )));
                }
            };
            return Ok(());
        }
        _ => {}
    }
    let [stage, "throttle", method @ ..] = path else {
        return Err(invalid(operation));
    };
    let index = of(stages, &split(stage)?)
        .ok_or_else(|| Refused::not_found(format!("API Stage not found: {stage}")))?;
    let throttles = &mut stages[index].throttle;
    match (operation.op, method) {
        (Op::Remove, []) => throttles.clear(),
        (Op::Replace | Op::Add, []) => {
            let read: Map<String, Json> = serde_json::from_str(operation.value()?)
                .map_err(|_| Refused::bad("Invalid throttle specified"))?;
            *throttles = read
                .iter()
                .map(|(method, throttle)| Ok((method.clone(), read_throttle(throttle)?)))
                .collect::<Result<_, Refused>>()?;
        }
        (Op::Remove, [path, method]) => {
            throttles.shift_remove(&format!("{path}/{method}"));
        }
        (Op::Replace | Op::Add, [path, method]) => {
            let read: Json = serde_json::from_str(operation.value()?)
                .map_err(|_| Refused::bad("Invalid throttle specified"))?;
            throttles.insert(format!("{path}/{method}"), read_throttle(&read)?);
        }
        (Op::Replace | Op::Add, [path, method, field]) => {
            let key = format!("{path}/{method}");
            let mut throttle = throttles.get(&key).copied();
            set_throttle(operation, &mut throttle, field)?;
            throttles.extend(throttle.map(|throttle| (key, throttle)));
        }
        _ => return Err(invalid(operation)),
    }
    Ok(())
}

/// "One API key cannot be in several usage plans of one stage."
pub(super) fn check_one_plan_a_stage(plan: &UsagePlan, records: &Records) -> Result<(), Refused> {
    for key in records.keys_of(&plan.id) {
        check_key(plan, &key.id, records)?;
    }
    Ok(())
}

/// Whether a key may be in `plan` beside its other plans.
pub(super) fn check_key(plan: &UsagePlan, key: &str, records: &Records) -> Result<(), Refused> {
    let Some(stages) = &plan.stages else {
        return Ok(());
    };
    let others = records
        .members
        .keys()
        .filter(|(of, member)| member == key && *of != plan.id)
        .filter_map(|(of, _)| records.plans.get(of));
    for other in others {
        let shared = other.stages.iter().flatten().find(|theirs| {
            stages
                .iter()
                .any(|ours| ours.api_id == theirs.api_id && ours.stage == theirs.stage)
        });
        if let Some(shared) = shared {
            return Err(Refused::conflict(format!(
                "Usage Plan {} cannot be added because API Key {key} cannot reference multiple Usage Plans with the same API stage: {}:{}",
                plan.id, shared.api_id, shared.stage
            )));
        }
    }
    Ok(())
}
