//! `/usageplans/{id}/usage`, and extensions of a quota.

use serde_json::{Map, Value as Json, json};

use super::answer::{Answer, Refused};
use super::patch::{Op, operations};
use super::{Call, World, broken, members, pages, plans};
use crate::limit::Limits;
use crate::limit::quota::Period;
use crate::limit::usage_plan::UsagePlan;
use crate::store::Day;

/// "You can request usage data for up to the last 90 days."
const MOST_DAYS: i32 = 90;

/// `GetUsage`: for each key and day `[used, remaining]`.
pub(super) async fn get(
    limits: &Limits,
    world: &World,
    call: &Call,
    plan: &str,
) -> Result<Answer, Refused> {
    let records = limits.records().await;
    let plan = plans::find(&records, plan)?;
    let date = |name: &str| -> Result<Day, Refused> {
        call.query(name)
            .ok_or_else(|| Refused::bad(format!("{name} is required")))?
            .parse()
            .map_err(|_| Refused::bad(format!("Invalid {name}: YYYY-MM-DD is expected")))
    };
    let (from, to) = (date("startDate")?, date("endDate")?);
    if to < from {
        return Err(Refused::bad("endDate is before startDate"));
    }
    if from.0 < world.today().0 - MOST_DAYS || to.0 - from.0 >= MOST_DAYS {
        return Err(Refused::bad(
            "Usage data is only available for the last 90 days",
        ));
    }
    if let Some(key) = call.query("keyId") {
        members::find(&records, &plan.id, key)?;
    }
    let keys = records
        .keys_of(&plan.id)
        .filter(|key| call.query("keyId").is_none_or(|wanted| key.id == wanted))
        .map(|key| (key.id.clone(), ()))
        .collect();
    let (keys, position) = pages::page(call, keys)?;
    let values = values(limits, plan, keys.into_iter().map(|(id, ())| id), from, to).await?;
    let mut body = write(plan, from, to, values);
    if let Some(position) = position {
        body.insert("position".to_owned(), json!(position));
    }
    Ok(Answer::ok(Json::Object(body)))
}

async fn values(
    limits: &Limits,
    plan: &UsagePlan,
    keys: impl Iterator<Item = String>,
    from: Day,
    to: Day,
) -> Result<Map<String, Json>, Refused> {
    // What remains on the first day depends on the days of its period before it.
    let since = plan.quota.map_or(from, |quota| quota.period.start(from));
    let usage = limits
        .usage(&plan.id, since, to)
        .await
        .map_err(|error| broken(&error))?;
    Ok(keys
        .map(|key| {
            let days = usage.daily(plan, &key, from, to);
            let days: Vec<Json> = days
                .into_iter()
                .map(|(used, remaining)| match remaining {
                    Some(remaining) => json!([used, remaining]),
                    // AWS does not say what a plan without a quota has here.
                    None => json!([used, -1]),
                })
                .collect();
            (key, Json::Array(days))
        })
        .collect())
}

fn write(plan: &UsagePlan, from: Day, to: Day, values: Map<String, Json>) -> Map<String, Json> {
    let mut body = Map::new();
    body.insert("usagePlanId".to_owned(), json!(plan.id));
    body.insert("startDate".to_owned(), json!(from.to_string()));
    body.insert("endDate".to_owned(), json!(to.to_string()));
    body.insert("values".to_owned(), Json::Object(values));
    body
}

/// `UpdateUsage`: "Grants a temporary extension to the remaining quota of a
/// usage plan associated with a specified API key."
pub(super) async fn update(
    limits: &Limits,
    world: &World,
    call: &Call,
    plan: &str,
    key: &str,
) -> Result<Answer, Refused> {
    let records = limits.records().await;
    let plan = plans::find(&records, plan)?;
    members::find(&records, &plan.id, key)?;
    if plan.quota.is_none() {
        return Err(Refused::bad(format!("Usage Plan {} has no quota", plan.id)));
    }
    for operation in operations(call)? {
        if operation.op != Op::Replace || operation.path != ["remaining"] {
            return Err(operation.invalid("/remaining"));
        }
        let remaining = operation.parsed()?;
        limits
            .grant(plan, key, remaining)
            .await
            .map_err(|error| broken(&error))?;
    }
    let today = world.today();
    let period = plan.quota.map_or(Period::Day, |quota| quota.period);
    let from = period.start(today);
    let values = values(limits, plan, std::iter::once(key.to_owned()), from, today).await?;
    Ok(Answer::ok(Json::Object(write(plan, from, today, values))))
}
