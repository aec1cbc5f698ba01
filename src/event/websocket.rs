//! The Lambda proxy events of a WebSocket API.
//!
//! Source: API Gateway developer guide, "Set up a WebSocket API integration request
//! in API Gateway"; which keys each event has was recorded at AWS.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use super::exchange::Exchange;
use super::json::{Object, write_list, write_string};
use super::rest::event_headers;
use crate::base::id;

/// What happened on the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WebSocketEvent {
    /// A client connects: the request is its handshake.
    Connect,
    /// A client sends a message.
    Message(Bytes),
    /// The connection ended.
    Disconnect {
        /// The close frame's status, 1005 without one.
        status: u16,
        /// The close frame's reason.
        reason: String,
    },
}

/// The connection.
#[derive(Clone, Debug)]
pub struct Connection {
    /// Its id: 16 characters, the last one `=`.
    pub id: String,
    /// When it was opened, since 1970.
    pub connected_at: Duration,
}

/// A connection's or message's id, as AWS makes them.
pub fn connection_id() -> String {
    let bytes: [u8; 11] = std::array::from_fn(|_| fastrand::u8(..));
    STANDARD.encode(bytes).replace(['+', '/'], "-")
}

/// Builds the event. The exchange's route key is `$connect`, `$disconnect` or the
/// message's.
pub fn event(exchange: &Exchange<'_>, connection: &Connection, what: &WebSocketEvent) -> Vec<u8> {
    let mut out = Vec::with_capacity(1024);
    let mut event = Object::begin(&mut out);
    match what {
        WebSocketEvent::Connect => {
            let headers = event_headers(exchange);
            let headers: Vec<(&str, Vec<&str>)> = headers
                .iter()
                .map(|(name, values)| (&**name, values.iter().map(|value| &**value).collect()))
                .collect();
            write_both(&mut event, "headers", "multiValueHeaders", &headers);
            if !exchange.query().is_empty() {
                let query: Vec<(&str, Vec<&str>)> =
                    exchange.query().grouped().into_iter().collect();
                write_both(
                    &mut event,
                    "queryStringParameters",
                    "multiValueQueryStringParameters",
                    &query,
                );
            }
        }
        WebSocketEvent::Disconnect { .. } => {
            let host = exchange.request.host.as_str();
            let headers = [
                ("Host", vec![host]),
                ("x-api-key", vec![""]),
                ("X-Forwarded-For", vec![""]),
                ("x-restapi", vec![""]),
            ];
            write_both(&mut event, "headers", "multiValueHeaders", &headers);
        }
        WebSocketEvent::Message(_) => {}
    }
    write_context(&mut event, exchange, connection, what);
    if !exchange.api.stage_variables.is_empty() {
        let variables = exchange.api.stage_variables.iter();
        event.texts(
            "stageVariables",
            variables.map(|(name, value)| (name.as_str(), value.as_str())),
        );
    }
    let mut is_base64 = false;
    if let WebSocketEvent::Message(body) = what {
        match std::str::from_utf8(body) {
            Ok(text) => event.text("body", text),
            Err(_) => {
                is_base64 = true;
                event.text("body", &STANDARD.encode(body))
            }
        };
    }
    event.raw("isBase64Encoded", if is_base64 { "true" } else { "false" });
    event.end();
    out
}

/// Names with their last value, and with all of them.
fn write_both(event: &mut Object<'_>, single: &str, multi: &str, members: &[(&str, Vec<&str>)]) {
    event.texts(
        single,
        members
            .iter()
            .map(|(name, values)| (*name, values.last().copied().unwrap_or_default())),
    );
    let out = event.key(multi);
    out.push(b'{');
    for (index, (name, values)) in members.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write_string(out, name);
        out.push(b':');
        write_list(out, values.iter().copied());
    }
    out.push(b'}');
}

fn write_context(
    event: &mut Object<'_>,
    exchange: &Exchange<'_>,
    connection: &Connection,
    what: &WebSocketEvent,
) {
    event.key("requestContext");
    let mut out = Vec::with_capacity(512);
    let mut context = Object::begin(&mut out);
    let route_key = exchange.route.map_or("", |route| route.route_key.as_str());
    context.text("routeKey", route_key);
    match what {
        WebSocketEvent::Connect => {}
        WebSocketEvent::Message(_) => {
            context.text("messageId", &connection_id());
        }
        WebSocketEvent::Disconnect { status, reason } => {
            context.raw("disconnectStatusCode", &status.to_string());
            context.text("disconnectReason", reason);
        }
    }
    context.text(
        "eventType",
        match what {
            WebSocketEvent::Connect => "CONNECT",
            WebSocketEvent::Message(_) => "MESSAGE",
            WebSocketEvent::Disconnect { .. } => "DISCONNECT",
        },
    );
    let request_id = id::extended_request_id();
    context.text("extendedRequestId", &request_id);
    context.text("requestTime", &exchange.request_time());
    context.text("messageDirection", "IN");
    context.text("stage", &exchange.api.stage);
    context.raw(
        "connectedAt",
        &connection.connected_at.as_millis().to_string(),
    );
    context.raw(
        "requestTimeEpoch",
        &exchange.request_time_epoch().to_string(),
    );
    context.key("identity");
    let mut identity_out = Vec::with_capacity(96);
    let mut identity = Object::begin(&mut identity_out);
    if let Some(agent) = exchange.user_agent() {
        identity.text("userAgent", &agent);
    }
    identity.text("sourceIp", &exchange.source_ip());
    identity.end();
    context.append(&identity_out);
    context.text("requestId", &request_id);
    context.text("domainName", exchange.domain_name());
    context.text("connectionId", &connection.id);
    context.text("apiId", &exchange.api.api_id);
    context.end();
    event.append(&out);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_look_like_those_of_aws() {
        let one = connection_id();

        assert_eq!(one.len(), 16);
        assert!(one.ends_with('='), "{one}");
        assert_ne!(one, connection_id());
    }
}
