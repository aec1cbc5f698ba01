//! `/usageplans/{id}/keys`.

use serde_json::{Value as Json, json};

use super::answer::{Answer, Refused};
use super::{Call, Decision, keys, pages, plans};
use crate::limit::usage_plan::{ApiKey, Change, Records};

/// "Usage plans per API key": 10.
const MOST_PLANS_OF_A_KEY: usize = 10;

/// A key of a plan as AWS writes it.
fn write(key: &ApiKey) -> Json {
    json!({"id": key.id, "type": "API_KEY", "value": key.value, "name": key.name})
}

/// Looks a key of a plan up.
pub(super) fn find<'r>(records: &'r Records, plan: &str, key: &str) -> Result<&'r ApiKey, Refused> {
    plans::find(records, plan)?;
    let found = keys::find(records, key)?;
    if records
        .members
        .contains_key(&(plan.to_owned(), key.to_owned()))
    {
        Ok(found)
    } else {
        Err(Refused::not_found("Invalid API Key identifier specified"))
    }
}

pub(super) fn create(call: &Call, records: &Records, plan: &str) -> Decision {
    let object = call.object()?;
    let text = |name: &str| object.get(name).and_then(Json::as_str).unwrap_or_default();
    let found = plans::find(records, plan)?;
    if text("keyType") != "API_KEY" {
        return Err(Refused::bad(
            "Invalid key type specified. Must be one of: [API_KEY]",
        ));
    }
    let id = text("keyId");
    let key = keys::find(records, id)?;
    let of_key = records.members.keys().filter(|(_, member)| member == id);
    if of_key.clone().any(|(of, _)| of == plan) {
        return Err(Refused::conflict(format!(
            "API Key {id} is already part of the Usage Plan {plan}"
        )));
    }
    if of_key.count() >= MOST_PLANS_OF_A_KEY {
        return Err(Refused::limit(format!(
            "API Key {id} cannot be in more than {MOST_PLANS_OF_A_KEY} Usage Plans"
        )));
    }
    plans::check_key(found, id, records)?;
    let join = Change::Join {
        plan: plan.to_owned(),
        key: id.to_owned(),
    };
    Ok((Answer::created(write(key)), vec![join]))
}

pub(super) fn list(call: &Call, records: &Records, plan: &str) -> Decision {
    plans::find(records, plan)?;
    let entries = records
        .keys_of(plan)
        .filter(|key| {
            let name = key.name.as_deref().unwrap_or_default();
            call.query("name")
                .is_none_or(|wanted| name.starts_with(wanted))
        })
        .map(|key| (key.id.clone(), write(key)))
        .collect();
    Ok((Answer::ok(pages::items(call, entries)?), Vec::new()))
}

pub(super) fn get(records: &Records, plan: &str, key: &str) -> Decision {
    Ok((Answer::ok(write(find(records, plan, key)?)), Vec::new()))
}

pub(super) fn delete(records: &Records, plan: &str, key: &str) -> Decision {
    find(records, plan, key)?;
    let leave = Change::Leave {
        plan: plan.to_owned(),
        key: key.to_owned(),
    };
    Ok((Answer::accepted(), vec![leave]))
}
