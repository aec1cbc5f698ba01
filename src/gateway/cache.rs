//! The response cache of stages that have one.
//!
//! One cache for the whole gateway, bounded in bytes; entries carry their API,
//! stage and namespace in the key, so a reload keeps them. The least recently
//! used entry goes first. Time is handed in.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};

use super::rejection::Rejection;
use crate::base::Body;
use crate::event::Exchange;
use crate::integration::bounded_body::{PAYLOAD_LIMIT, read_whole};
use crate::integration::{Answer, Integration, IntegrationError, RequestBody};
use crate::plan::caching::{Caching, Invalidation};

/// The largest response that is cached ("Cache settings for REST APIs in API Gateway").
const LARGEST: usize = 1_048_576;
/// What the whole cache may hold, keys and headers included.
const CAPACITY: usize = 128 * 1024 * 1024;

/// A cache of responses.
#[derive(Debug)]
pub(super) struct ResponseCache {
    capacity: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    entries: HashMap<String, Entry>,
    /// Keys by when they were last used.
    by_use: BTreeMap<u64, String>,
    uses: u64,
    bytes: usize,
}

#[derive(Debug)]
struct Entry {
    cached: Cached,
    expires: Duration,
    used: u64,
    bytes: usize,
}

/// A response as it was before the gateway put its own headers on.
#[derive(Clone, Debug)]
struct Cached {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
    with_trace_id: bool,
}

impl Default for ResponseCache {
    fn default() -> Self {
        Self {
            capacity: CAPACITY,
            state: Mutex::default(),
        }
    }
}

impl ResponseCache {
    fn get(&self, key: &str, now: Duration) -> Option<Cached> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let state = &mut *state;
        let entry = state.entries.get_mut(key)?;
        if entry.expires <= now {
            state.remove(key);
            return None;
        }
        state.uses += 1;
        state.by_use.remove(&entry.used);
        entry.used = state.uses;
        state.by_use.insert(entry.used, key.to_owned());
        Some(entry.cached.clone())
    }

    fn put(&self, key: String, cached: Cached, expires: Duration) {
        let headers: usize = cached
            .headers
            .iter()
            .map(|(name, value)| name.as_str().len() + value.len() + 64)
            .sum();
        // The key stands twice; 256 for the maps.
        let bytes = 2 * key.len() + headers + cached.body.len() + 256;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.remove(&key);
        if bytes > self.capacity {
            return;
        }
        while state.bytes + bytes > self.capacity {
            let Some((_, oldest)) = state.by_use.pop_first() else {
                break;
            };
            state.remove(&oldest);
        }
        state.uses += 1;
        let used = state.uses;
        state.by_use.insert(used, key.clone());
        state.bytes += bytes;
        let entry = Entry {
            cached,
            expires,
            used,
            bytes,
        };
        state.entries.insert(key, entry);
    }
}

impl State {
    fn remove(&mut self, key: &str) {
        if let Some(entry) = self.entries.remove(key) {
            self.by_use.remove(&entry.used);
            self.bytes -= entry.bytes;
        }
    }
}

/// The key of a request: values are written with their length, so that no two
/// requests share a key by accident.
fn key(caching: &Caching, exchange: &Exchange<'_>, body: &RequestBody) -> String {
    use std::fmt::Write;

    let api = exchange.api;
    let own_cache = api
        .canary
        .as_ref()
        .is_some_and(|canary| canary.requested && !canary.use_stage_cache);
    let mut key = format!(
        "{}\0{}\0{own_cache}\0{}",
        api.api_id, api.stage, caching.namespace
    );
    if !caching.only_get {
        let _ = write!(key, "\0{}", exchange.request.method);
    }
    let whole = match body {
        RequestBody::Whole(bytes) => Some(bytes),
        RequestBody::Streaming(_) => None,
    };
    for source in &caching.key {
        key.push('\0');
        for value in source.values(exchange, whole) {
            let _ = write!(key, "{}:{value}", value.len());
        }
    }
    key
}

/// Whether a request's response may come from the cache, and go there.
pub(super) fn applies(caching: &Caching, method: &Method) -> bool {
    !caching.only_get || method == Method::GET
}

/// Whether the client wants a fresh response: `Cache-Control: max-age=0`.
fn invalidates(exchange: &Exchange<'_>) -> bool {
    exchange.headers().all("cache-control").any(|value| {
        value.split(',').any(|directive| {
            directive
                .trim()
                .replace(' ', "")
                .eq_ignore_ascii_case("max-age=0")
        })
    })
}

/// Answers from the cache, or calls the integration and keeps what it gives.
///
/// # Errors
///
/// What the integration says, and 403 for a client that may not invalidate.
pub(super) async fn through(
    cache: &ResponseCache,
    caching: &Caching,
    integration: &Integration,
    exchange: &Exchange<'_>,
    body: RequestBody,
    now: Duration,
) -> Result<Answer, Rejection> {
    let key = key(caching, exchange, &body);
    let fresh = invalidates(exchange);
    let warned = match caching.invalidation {
        _ if !fresh => false,
        Invalidation::Free => false,
        Invalidation::FailWith403 => return Err(Rejection::CacheInvalidation),
        Invalidation::Warn => true,
        Invalidation::Ignore => false,
    };
    let bypass = fresh && caching.invalidation == Invalidation::Free;
    let found = if bypass { None } else { find(cache, &key, now) };
    exchange.watch.cached(found.is_some());
    let mut answer = match found {
        Some(answer) => answer,
        None => {
            let answer = integration.call(exchange, body).await?;
            keep(cache, key, answer, now + caching.ttl).await?
        }
    };
    if warned {
        let text = "199 Cache-control headers were ignored because the caller was unauthorized.";
        let headers = answer.response.headers_mut();
        headers.insert(http::header::WARNING, HeaderValue::from_static(text));
    }
    Ok(answer)
}

/// A response from the cache.
fn find(cache: &ResponseCache, key: &str, now: Duration) -> Option<Answer> {
    let cached = cache.get(key, now)?;
    let mut response = Response::new(Body::from(cached.body));
    *response.status_mut() = cached.status;
    *response.headers_mut() = cached.headers;
    Some(Answer {
        response,
        with_trace_id: cached.with_trace_id,
        streams: false,
    })
}

/// Keeps a response; one that is an error or too large is handed on only.
///
/// # Errors
///
/// What goes wrong while the backend's answer is read.
async fn keep(
    cache: &ResponseCache,
    key: String,
    answer: Answer,
    expires: Duration,
) -> Result<Answer, IntegrationError> {
    use http_body::Body as _;

    let status = answer.response.status();
    let error = status.is_client_error() || status.is_server_error();
    let large = answer.response.body().size_hint().lower() > LARGEST as u64;
    if error || large || answer.streams {
        return Ok(answer);
    }
    let with_trace_id = answer.with_trace_id;
    let (parts, body) = answer.response.into_parts();
    let body = read_whole(body, PAYLOAD_LIMIT)
        .await
        .map_err(|error| IntegrationError::BrokenAnswer(error.to_string()))?;
    if body.len() <= LARGEST {
        let cached = Cached {
            status: parts.status,
            headers: parts.headers.clone(),
            body: body.clone(),
            with_trace_id,
        };
        cache.put(key, cached, expires);
    }
    Ok(Answer {
        response: Response::from_parts(parts, body.into()),
        with_trace_id,
        streams: false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cached(bytes: usize) -> Cached {
        Cached {
            status: StatusCode::OK,
            headers: HeaderMap::new(),
            body: Bytes::from(vec![0; bytes]),
            with_trace_id: false,
        }
    }

    const NOW: Duration = Duration::from_secs(1000);

    #[test]
    fn an_entry_ends_with_its_time() {
        let cache = ResponseCache::default();
        cache.put("a".into(), cached(1), NOW + Duration::from_secs(5));

        assert!(cache.get("a", NOW + Duration::from_millis(4999)).is_some());
        assert!(cache.get("a", NOW + Duration::from_secs(5)).is_none());
        assert_eq!(cache.state.lock().unwrap().bytes, 0);
    }

    #[test]
    fn the_least_recently_used_makes_room() {
        let cache = ResponseCache {
            capacity: 3000,
            ..ResponseCache::default()
        };
        let later = NOW + Duration::from_secs(60);
        cache.put("a".into(), cached(1000), later);
        cache.put("b".into(), cached(1000), later);
        assert!(cache.get("a", NOW).is_some());

        cache.put("c".into(), cached(1000), later);

        assert!(cache.get("b", NOW).is_none());
        assert!(cache.get("a", NOW).is_some());
        assert!(cache.get("c", NOW).is_some());
        let state = cache.state.lock().unwrap();
        assert!(state.bytes <= 3000);
        assert_eq!(state.by_use.len(), state.entries.len());
    }

    #[test]
    fn what_is_put_again_replaces_itself() {
        let cache = ResponseCache::default();
        for bytes in [1, 2, 3] {
            cache.put("a".into(), cached(bytes), NOW + Duration::from_secs(1));
        }

        assert_eq!(cache.get("a", NOW).unwrap().body.len(), 3);
        assert_eq!(cache.state.lock().unwrap().by_use.len(), 1);
    }
}
