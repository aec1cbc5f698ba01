//! `/apikeys`.

use indexmap::IndexMap;
use serde_json::{Map, Value as Json, json};

use super::answer::{Answer, Refused};
use super::patch::{Op, operations};
use super::{Call, Decision, World, pages, tags};
use crate::limit::usage_plan::{ApiKey, Change, Records};

/// "API keys per account per Region": 10,000.
const MOST_KEYS: usize = 10_000;
const MISSING: &str = "Invalid API Key identifier specified";

/// Looks a key up.
pub(super) fn find<'r>(records: &'r Records, id: &str) -> Result<&'r ApiKey, Refused> {
    records
        .keys
        .get(id)
        .ok_or_else(|| Refused::not_found(MISSING))
}

/// A key as AWS writes it.
fn write(key: &ApiKey, with_value: bool) -> Json {
    let mut object = Map::new();
    object.insert("id".to_owned(), json!(key.id));
    if with_value {
        object.insert("value".to_owned(), json!(key.value));
    }
    let texts = [
        ("name", &key.name),
        ("customerId", &key.customer_id),
        ("description", &key.description),
    ];
    for (name, text) in texts {
        if let Some(text) = text {
            object.insert(name.to_owned(), json!(text));
        }
    }
    object.insert("enabled".to_owned(), json!(key.enabled));
    object.insert("createdDate".to_owned(), json!(key.created));
    object.insert("lastUpdatedDate".to_owned(), json!(key.updated));
    object.insert("stageKeys".to_owned(), json!(key.stage_keys));
    if !key.tags.is_empty() {
        object.insert("tags".to_owned(), json!(key.tags));
    }
    Json::Object(object)
}

pub(super) fn create(call: &Call, records: &Records, world: &World) -> Decision {
    let object = call.object()?;
    let text = |name: &str| object.get(name).and_then(Json::as_str).map(str::to_owned);
    let stage_keys = object.get("stageKeys").and_then(Json::as_array);
    let key = ApiKey {
        id: new_id(records),
        name: text("name"),
        description: text("description"),
        value: match text("value").filter(|value| !value.is_empty()) {
            Some(value) => value,
            None => new_value()?,
        },
        enabled: object
            .get("enabled")
            .and_then(Json::as_bool)
            .unwrap_or(false),
        customer_id: text("customerId"),
        created: world.now.as_secs(),
        updated: world.now.as_secs(),
        stage_keys: stage_keys
            .into_iter()
            .flatten()
            .filter_map(|stage| {
                let part = |name: &str| stage.get(name).and_then(Json::as_str);
                Some(format!("{}/{}", part("restApiId")?, part("stageName")?))
            })
            .collect(),
        tags: tags::read(object.get("tags"))?,
    };
    check_new(&key, records, records.keys.len())?;
    let answer = Answer::created(write(&key, true));
    Ok((answer, vec![Change::Key(key)]))
}

fn check_new(key: &ApiKey, records: &Records, there: usize) -> Result<(), Refused> {
    let length = key.value.chars().count();
    if length < 20 {
        return Err(Refused::bad(
            "API Key value should be at least 20 characters",
        ));
    }
    if length > 128 {
        return Err(Refused::bad(
            "API Key value exceeds maximum size of 128 characters",
        ));
    }
    if records.keys.values().any(|other| other.value == key.value) {
        return Err(Refused::conflict("API Key already exists"));
    }
    if there >= MOST_KEYS {
        return Err(Refused::limit(
            "Maximum number of API Keys in this account reached",
        ));
    }
    Ok(())
}

/// Ten letters and digits, as AWS makes them.
fn new_id(records: &Records) -> String {
    loop {
        let id = random_id();
        if !records.keys.contains_key(&id) {
            return id;
        }
    }
}

/// Ten letters and digits.
pub(super) fn random_id() -> String {
    (0..10)
        .map(|index| match index {
            0 => fastrand::lowercase(),
            _ => fastrand::alphanumeric().to_ascii_lowercase(),
        })
        .collect()
}

/// Forty letters and digits from the system's random numbers: it is a secret.
fn new_value() -> Result<String, Refused> {
    const LETTERS: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let random = rustls::crypto::aws_lc_rs::default_provider().secure_random;
    let mut value = String::with_capacity(40);
    while value.len() < 40 {
        let mut bytes = [0_u8; 64];
        random
            .fill(&mut bytes)
            .map_err(|_| Refused::unavailable())?;
        // 248 is 4 times 62: what is above would favour some letters.
        let letters = bytes.iter().filter(|byte| **byte < 248);
        value.extend(letters.map(|byte| char::from(LETTERS[usize::from(byte % 62)])));
    }
    value.truncate(40);
    Ok(value)
}

pub(super) fn list(call: &Call, records: &Records) -> Decision {
    let with_values = call.flag("includeValues");
    let entries = records
        .keys
        .values()
        .filter(|key| {
            // "The name of queried API keys": a prefix, as AWS's console uses it.
            let name = key.name.as_deref().unwrap_or_default();
            call.query("name")
                .is_none_or(|wanted| name.starts_with(wanted))
        })
        .filter(|key| {
            call.query("customerId")
                .is_none_or(|wanted| key.customer_id.as_deref() == Some(wanted))
        })
        .map(|key| (key.id.clone(), write(key, with_values)))
        .collect();
    Ok((Answer::ok(pages::items(call, entries)?), Vec::new()))
}

pub(super) fn get(call: &Call, records: &Records, id: &str) -> Decision {
    let key = find(records, id)?;
    Ok((
        Answer::ok(write(key, call.flag("includeValue"))),
        Vec::new(),
    ))
}

pub(super) fn update(call: &Call, records: &Records, world: &World, id: &str) -> Decision {
    const KNOWN: &str = "/name, /description, /enabled, /customerId, /stages";
    let mut key = find(records, id)?.clone();
    for operation in operations(call)? {
        let path: Vec<&str> = operation.path.iter().map(String::as_str).collect();
        let text = match operation.op {
            Op::Remove => None,
            Op::Add | Op::Replace => Some(operation.value()?.to_owned()),
        };
        match (operation.op, path.as_slice()) {
            (Op::Replace | Op::Remove, ["name"]) => key.name = text,
            (Op::Replace | Op::Remove, ["description"]) => key.description = text,
            (Op::Replace | Op::Remove, ["customerId"]) => key.customer_id = text,
            (Op::Replace, ["enabled"]) => {
                key.enabled = match operation.value()?.to_ascii_lowercase().as_str() {
                    "true" => true,
                    "false" => false,
                    other => {
                        return Err(Refused::bad(format!(
                            "Invalid value '{other}' for /enabled"
                        )));
                    }
                };
            }
            (Op::Add, ["stages"]) => key.stage_keys.extend(text),
            (Op::Remove, ["stages"]) => {
                let gone = operation.value.as_deref();
                key.stage_keys.retain(|stage| Some(stage.as_str()) != gone);
            }
            _ => return Err(operation.invalid(KNOWN)),
        }
    }
    key.updated = world.now.as_secs();
    Ok((Answer::ok(write(&key, false)), vec![Change::Key(key)]))
}

pub(super) fn delete(records: &Records, id: &str) -> Decision {
    find(records, id)?;
    Ok((Answer::accepted(), vec![Change::DeleteKey(id.to_owned())]))
}

/// A CSV file: `Name,key,description,Enabled,usageplanIds`, in any order and letter case
/// ("API Gateway API key file format").
pub(super) fn import(call: &Call, records: &Records, world: &World) -> Decision {
    if call.query("format").is_some_and(|format| format != "csv") {
        return Err(Refused::bad("Invalid format: csv is the only one"));
    }
    let text =
        std::str::from_utf8(&call.body).map_err(|_| Refused::bad("The file is not UTF-8 text"))?;
    let mut rows = csv(text).into_iter();
    let header = rows.next().unwrap_or_default();
    let column = |name: &str| {
        header
            .iter()
            .position(|column| column.trim().eq_ignore_ascii_case(name))
    };
    let (Some(name), Some(value)) = (column("name"), column("key")) else {
        return Err(Refused::bad("The file has no columns `name` and `key`"));
    };
    let (description, enabled, plans) = (
        column("description"),
        column("enabled"),
        column("usageplanIds"),
    );
    let strict = call.flag("failonwarnings");
    let (mut ids, mut warnings, mut changes) = (Vec::new(), Vec::new(), Vec::new());
    let mut records = records.clone();
    for row in rows {
        let cell = |column: Option<usize>| {
            let text = row.get(column?)?.trim();
            (!text.is_empty()).then(|| text.to_owned())
        };
        let key = ApiKey {
            id: new_id(&records),
            name: cell(Some(name)),
            description: cell(description),
            value: cell(Some(value)).unwrap_or_default(),
            enabled: cell(enabled).is_none_or(|text| text.eq_ignore_ascii_case("true")),
            customer_id: None,
            created: world.now.as_secs(),
            updated: world.now.as_secs(),
            stage_keys: Vec::new(),
            tags: IndexMap::new(),
        };
        check_new(&key, &records, records.keys.len())?;
        for plan in cell(plans).unwrap_or_default().split(',') {
            let plan = plan.trim();
            if plan.is_empty() {
                continue;
            }
            if !records.plans.contains_key(plan) {
                let warning = format!("Usage Plan {plan} of the key {} is not there", key.id);
                if strict {
                    return Err(Refused::bad(warning));
                }
                warnings.push(warning);
                continue;
            }
            changes.push(Change::Join {
                plan: plan.to_owned(),
                key: key.id.clone(),
            });
        }
        ids.push(key.id.clone());
        records.apply(Change::Key(key.clone()));
        changes.insert(ids.len() - 1, Change::Key(key));
    }
    let body = json!({"ids": ids, "warnings": warnings});
    Ok((Answer::created(body), changes))
}

/// Rows of cells; quoted cells may hold commas, line ends and doubled quotes (RFC 4180).
fn csv(text: &str) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    let (mut row, mut cell, mut quoted) = (Vec::new(), String::new(), false);
    let mut letters = text.trim_start_matches('\u{feff}').chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '"' if quoted && letters.peek() == Some(&'"') => {
                letters.next();
                cell.push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => row.push(std::mem::take(&mut cell)),
            '\n' if !quoted => {
                row.push(std::mem::take(&mut cell));
                rows.push(std::mem::take(&mut row));
            }
            '\r' if !quoted => {}
            letter => cell.push(letter),
        }
    }
    if !cell.is_empty() || !row.is_empty() {
        row.push(cell);
        rows.push(row);
    }
    rows.retain(|row| row.iter().any(|cell| !cell.trim().is_empty()));
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_and_ids_look_like_those_of_aws() {
        let value = new_value().unwrap();

        assert_eq!(value.len(), 40);
        assert!(value.bytes().all(|byte| byte.is_ascii_alphanumeric()));
        assert_ne!(value, new_value().unwrap());
        assert_eq!(random_id().len(), 10);
    }

    #[test]
    fn a_csv_file_may_quote_its_cells() {
        let rows = csv("Name,key\r\n\"a, \"\"b\"\"\",1\n\nc,\"2\n3\"");

        assert_eq!(
            rows,
            [
                vec!["Name", "key"],
                vec!["a, \"b\"", "1"],
                vec!["c", "2\n3"]
            ]
        );
    }
}
