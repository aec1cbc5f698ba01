//! What Lambda tells of a function: its configuration, and where its code is.

use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;
use serde_json::{Map, Value as Json, json};

use super::refused::Refused;
use super::{VERSION, invoke};
use crate::base::id;
use crate::event::query::Query;
use crate::function::{FunctionRef, Functions};
use crate::model::settings::FunctionPlace;

/// "Lambda API reference", ListFunctions: at most 50 a page, whatever is asked for.
const PAGE: usize = 50;

fn answer(body: &Json) -> Response {
    let headers = [
        (CONTENT_TYPE.as_str(), "application/json".to_owned()),
        ("x-amzn-requestid", id::request_id()),
    ];
    (headers, body.to_string()).into_response()
}

/// ListFunctions.
pub(super) fn list(functions: &Functions, query: &Query) -> Result<Response, Refused> {
    let size = match query.last("MaxItems") {
        None => PAGE,
        Some(text) => match text.parse::<usize>() {
            Ok(size @ 1..=10_000) => size.min(PAGE),
            _ => {
                return Err(Refused::validation(&format!(
                    "Value '{text}' at 'maxItems' failed to satisfy constraint: Member must have value between 1 and 10000"
                )));
            }
        },
    };
    let mut all = functions.all().peekable();
    if let Some(marker) = query.last("Marker") {
        while all.peek().is_some_and(|(key, _)| *key != marker) {
            all.next();
        }
        if all.peek().is_none() {
            return Err(Refused::parameter("Invalid Marker"));
        }
    }
    let page: Vec<Json> = all
        .by_ref()
        .take(size)
        .map(|(_, function)| described(functions, &function))
        .collect();
    let next = all.next().map(|(key, _)| key);
    Ok(answer(&json!({"Functions": page, "NextMarker": next})))
}

/// GetFunction.
pub(super) fn function(functions: &Functions, function: &FunctionRef) -> Result<Response, Refused> {
    let mut body = json!({
        "Configuration": described(functions, function),
        "Code": code(function),
        "Tags": {},
    });
    let reserved = function
        .settings()
        .and_then(|settings| settings.reserved_concurrency);
    if let Some(reserved) = reserved {
        body["Concurrency"] = json!({"ReservedConcurrentExecutions": reserved});
    }
    Ok(answer(&body))
}

/// GetFunctionConfiguration.
pub(super) fn configuration(
    functions: &Functions,
    function: &FunctionRef,
) -> Result<Response, Refused> {
    Ok(answer(&described(functions, function)))
}

/// Where the code is: on this machine, not in Lambda's bucket.
fn code(function: &FunctionRef) -> Json {
    let location = function.settings().map(|settings| match &settings.place {
        FunctionPlace::Runtime { code_uri, .. } => {
            format!("file://{}", code_uri.display())
        }
        FunctionPlace::Command {
            working_directory, ..
        } => format!("file://{}", working_directory.display()),
        FunctionPlace::Endpoint { url } => url.value.clone(),
        FunctionPlace::Handler { name } => format!("local:{}", name.value),
    });
    json!({"RepositoryType": "Local", "Location": location})
}

/// `FunctionConfiguration`. What only AWS knows, such as the code's hash, is left out.
fn described(functions: &Functions, function: &FunctionRef) -> Json {
    let name = function.name();
    let (_, account) = functions.home();
    let mut all = Map::new();
    let mut set = |name: &str, value: Json| {
        all.insert(name.to_owned(), value);
    };
    set("FunctionName", json!(name));
    set(
        "FunctionArn",
        json!(invoke::qualified_arn(functions, function)),
    );
    set("Role", json!(format!("arn:aws:iam::{account}:role/local")));
    set("Version", json!(VERSION));
    set("PackageType", json!("Zip"));
    let architecture = match std::env::consts::ARCH {
        "aarch64" => "arm64",
        _ => "x86_64",
    };
    set("Architectures", json!([architecture]));
    set("State", json!("Active"));
    set("LastUpdateStatus", json!("Successful"));
    set("TracingConfig", json!({"Mode": "PassThrough"}));
    set("EphemeralStorage", json!({"Size": 512}));
    let group = format!("/aws/lambda/{name}");
    set(
        "LoggingConfig",
        json!({"LogFormat": "Text", "LogGroup": group}),
    );
    if let Some(settings) = function.settings() {
        set("Timeout", json!(settings.timeout.as_secs()));
        set("MemorySize", json!(settings.memory_size));
        if !settings.environment.is_empty() {
            set("Environment", json!({"Variables": settings.environment}));
        }
        match &settings.place {
            FunctionPlace::Runtime {
                runtime,
                handler,
                code_uri,
            } => {
                set("Runtime", json!(runtime.value));
                set("Handler", json!(handler));
                let changed = code_uri.metadata().and_then(|meta| meta.modified());
                if let Ok(changed) = changed
                    && let Ok(since) = changed.duration_since(std::time::UNIX_EPOCH)
                    && let Ok(at) =
                        jiff::Timestamp::from_second(i64::try_from(since.as_secs()).unwrap_or(0))
                {
                    let at = at.strftime("%Y-%m-%dT%H:%M:%S.000+0000").to_string();
                    set("LastModified", json!(at));
                }
            }
            FunctionPlace::Command { .. } => {
                set("Runtime", json!("provided.al2023"));
                set("Handler", json!("bootstrap"));
            }
            FunctionPlace::Endpoint { .. } | FunctionPlace::Handler { .. } => {}
        }
    }
    Json::Object(all)
}
