//! What mapping templates see of a request: `$context`, and the maps behind `$input.params()`.

use std::borrow::Cow;

use super::context_variables;
use super::exchange::Exchange;
use super::rest::event_headers;
use crate::language::vtl::{ContextVariables, NameValues, Value};

/// The names of `$context` at the top level, but the two overrides.
const NAMES: [&str; 16] = [
    "resourceId",
    "resourcePath",
    "httpMethod",
    "extendedRequestId",
    "requestTime",
    "path",
    "accountId",
    "protocol",
    "stage",
    "domainPrefix",
    "requestTimeEpoch",
    "requestId",
    "identity",
    "domainName",
    "deploymentId",
    "apiId",
];

/// The fields of `$context.identity`.
const IDENTITY: [&str; 13] = [
    "accountId",
    "apiKey",
    "apiKeyId",
    "accessKey",
    "caller",
    "cognitoAuthenticationProvider",
    "cognitoAuthenticationType",
    "cognitoIdentityId",
    "cognitoIdentityPoolId",
    "sourceIp",
    "user",
    "userAgent",
    "userArn",
];

impl ContextVariables for Exchange<'_> {
    fn get(&self, name: &str) -> Option<Value<'_>> {
        match name {
            "requestTimeEpoch" => i64::try_from(self.request_time_epoch())
                .ok()
                .map(Value::long),
            "identity" => {
                let fields = IDENTITY.iter().filter_map(|field| {
                    let value = context_variables::lookup(self, &format!("identity.{field}"))?;
                    Some((Value::text(field), value_of(value)))
                });
                Some(Value::opaque_map(fields.collect()))
            }
            name => context_variables::lookup(self, name).map(value_of),
        }
    }

    fn for_each_name<'s>(&'s self, visit: &mut dyn FnMut(&'s str)) {
        for name in NAMES {
            visit(name);
        }
        if self.api.canary.is_some() {
            visit("isCanaryRequest");
        }
    }
}

fn value_of(text: Cow<'_, str>) -> Value<'_> {
    match text {
        Cow::Borrowed(text) => Value::text(text),
        Cow::Owned(text) => Value::owned(&text),
    }
}

/// The maps behind `$input.params()`, one value a name: the last.
#[derive(Debug)]
pub struct RequestInputs<'e> {
    /// Path parameters.
    pub path: Vec<(&'e str, &'e str)>,
    /// Query string parameters, decoded.
    pub query: Vec<(&'e str, &'e str)>,
    /// Headers, less those that never reach a backend.
    pub headers: HeaderInputs<'e>,
}

/// Headers, gathered when a template first asks for one.
#[derive(Debug)]
pub struct HeaderInputs<'e> {
    exchange: &'e Exchange<'e>,
    gathered: std::sync::OnceLock<Vec<(Cow<'e, str>, Cow<'e, str>)>>,
}

impl<'e> RequestInputs<'e> {
    /// Borrows everything from the exchange.
    pub fn new(exchange: &'e Exchange<'_>) -> Self {
        let path = exchange
            .path_parameters
            .iter()
            .map(|one| (one.name, one.value.as_str()))
            .collect();
        let query = if exchange.query().is_empty() {
            Vec::new()
        } else {
            let grouped = exchange.query().grouped();
            grouped
                .into_iter()
                .map(|(name, values)| (name, values.last().copied().unwrap_or_default()))
                .collect()
        };
        Self {
            path,
            query,
            headers: HeaderInputs {
                exchange,
                gathered: std::sync::OnceLock::new(),
            },
        }
    }
}

impl<'e> HeaderInputs<'e> {
    fn gathered(&self) -> &[(Cow<'e, str>, Cow<'e, str>)] {
        self.gathered.get_or_init(|| {
            event_headers(self.exchange)
                .into_iter()
                .map(|(name, mut values)| (name, values.pop().unwrap_or_default()))
                .collect()
        })
    }
}

impl NameValues for HeaderInputs<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        let exact = self.gathered().iter().find(|(own, _)| own == name);
        // HTTP/2 has lower-case names only, so the spelling cannot count there.
        let lower = self.exchange.request.version == ::http::Version::HTTP_2;
        exact
            .or_else(|| {
                self.gathered()
                    .iter()
                    .find(|(own, _)| lower && own.eq_ignore_ascii_case(name))
            })
            .map(|(_, value)| &**value)
    }

    fn for_each<'s>(&'s self, visit: &mut dyn FnMut(&'s str, &'s str)) {
        for (name, value) in self.gathered() {
            visit(name, value);
        }
    }
}
