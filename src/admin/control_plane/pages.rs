//! Lists in pages: `limit` and `position`.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value as Json};

use super::Call;
use super::answer::Refused;

/// A page has 25 entries, 500 at most ("GetApiKeys": "The default value is 25
/// and the maximum value is 500").
const DEFAULT: usize = 25;
const MOST: usize = 500;

/// Entries by id, and the position of the next page.
type Page<T> = (Vec<(String, T)>, Option<String>);

/// The part of a list that a call asks for, and the position of the next.
pub(super) fn page<T>(call: &Call, entries: Vec<(String, T)>) -> Result<Page<T>, Refused> {
    let limit = match call.query("limit") {
        None => DEFAULT,
        Some(text) => text
            .parse()
            .ok()
            .filter(|limit| (1..=MOST).contains(limit))
            .ok_or_else(|| Refused::bad(format!("Limit must be between 1 and {MOST}")))?,
    };
    let start = match call.query("position").filter(|text| !text.is_empty()) {
        None => 0,
        Some(position) => {
            let after = URL_SAFE_NO_PAD
                .decode(position)
                .ok()
                .and_then(|bytes| String::from_utf8(bytes).ok());
            let after = after.and_then(|id| entries.iter().position(|(other, _)| *other == id));
            after.ok_or_else(|| Refused::bad("Invalid position specified"))? + 1
        }
    };
    let more = entries.len() > start + limit;
    let entries: Vec<(String, T)> = entries.into_iter().skip(start).take(limit).collect();
    let position = entries
        .last()
        .filter(|_| more)
        .map(|(id, _)| URL_SAFE_NO_PAD.encode(id));
    Ok((entries, position))
}

/// `{"item": […], "position": …}`.
pub(super) fn items(call: &Call, entries: Vec<(String, Json)>) -> Result<Json, Refused> {
    let (entries, position) = page(call, entries)?;
    let mut object = Map::new();
    let items = entries.into_iter().map(|(_, entry)| entry).collect();
    object.insert("item".to_owned(), Json::Array(items));
    if let Some(position) = position {
        object.insert("position".to_owned(), Json::String(position));
    }
    Ok(Json::Object(object))
}
