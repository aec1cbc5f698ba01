//! `/tags/{arn}`: of API keys and usage plans.

use indexmap::IndexMap;
use serde_json::{Value as Json, json};

use super::answer::{Answer, Refused};
use super::{Call, Decision, keys, plans};
use crate::limit::usage_plan::{ApiKey, Change, Records, UsagePlan};

type Tags = IndexMap<String, String>;

/// What an ARN names.
enum Tagged<'r> {
    Key(&'r ApiKey),
    Plan(&'r UsagePlan),
}

impl Tagged<'_> {
    fn tags(&self) -> &Tags {
        match self {
            Self::Key(key) => &key.tags,
            Self::Plan(plan) => &plan.tags,
        }
    }

    fn with(self, tags: Tags) -> Change {
        match self {
            Self::Key(key) => Change::Key(ApiKey {
                tags,
                ..key.clone()
            }),
            Self::Plan(plan) => Change::Plan(UsagePlan {
                tags,
                ..plan.clone()
            }),
        }
    }
}

/// `arn:aws:apigateway:us-east-1::/apikeys/id`.
fn find<'r>(records: &'r Records, arn: &str) -> Result<Tagged<'r>, Refused> {
    let path = arn
        .strip_prefix("arn:")
        .and_then(|rest| rest.split_once("::/"))
        .map(|(_, path)| path.split('/').collect::<Vec<_>>());
    match path.as_deref() {
        Some(["apikeys", id]) => Ok(Tagged::Key(keys::find(records, id)?)),
        Some(["usageplans", id]) => Ok(Tagged::Plan(plans::find(records, id)?)),
        _ => Err(Refused::bad("Invalid ARN specified in the request")),
    }
}

/// Tags as a call gives them ("Tag restrictions": 50 tags, keys of 128 and values of 256 characters).
pub(super) fn read(tags: Option<&Json>) -> Result<Tags, Refused> {
    let mut read = Tags::new();
    for (key, value) in tags.and_then(Json::as_object).into_iter().flatten() {
        let value = value
            .as_str()
            .ok_or_else(|| Refused::bad("Invalid tags specified"))?;
        if key.starts_with("aws:") {
            return Err(Refused::bad(
                "System tags are not allowed to be added or updated",
            ));
        }
        if key.is_empty() || key.chars().count() > 128 || value.chars().count() > 256 {
            return Err(Refused::bad(format!("Invalid tag '{key}' specified")));
        }
        read.insert(key.clone(), value.to_owned());
    }
    check_number(&read)?;
    Ok(read)
}

fn check_number(tags: &Tags) -> Result<(), Refused> {
    if tags.len() > 50 {
        return Err(Refused::bad("A resource can have up to 50 tags"));
    }
    Ok(())
}

pub(super) fn get(records: &Records, arn: &str) -> Decision {
    let tags = find(records, arn)?;
    Ok((Answer::ok(json!({"tags": tags.tags()})), Vec::new()))
}

pub(super) fn put(call: &Call, records: &Records, arn: &str) -> Decision {
    let tagged = find(records, arn)?;
    let mut tags = tagged.tags().clone();
    tags.extend(read(call.object()?.get("tags"))?);
    check_number(&tags)?;
    Ok((Answer::nothing(), vec![tagged.with(tags)]))
}

pub(super) fn delete(call: &Call, records: &Records, arn: &str) -> Decision {
    let tagged = find(records, arn)?;
    let mut tags = tagged.tags().clone();
    tags.retain(|key, _| !call.query.all("tagKeys").any(|gone| gone == key));
    Ok((Answer::nothing(), vec![tagged.with(tags)]))
}
