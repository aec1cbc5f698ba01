//! Who may pass: forged tokens, issuers that rotate, flood and fail, Lambda
//! authorizers and what is kept of them, signatures, policies.

mod authorizers;
mod forgeries;
mod issuer;
mod policies;
mod signatures;
mod signed_wrongly;
mod together;
mod tokens;
mod vectors;

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use tollgate::Gateway;
use tollgate::server::Running;

/// What a gateway answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Lines of the head, names in lower case.
    headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(own, _)| own == name)
            .map(|(_, value)| value.as_str())
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {}", self.body))
    }
}

/// Sends a request byte for byte.
pub(crate) async fn send(
    gateway: &Running,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Answer {
    let url = gateway.url();
    let address = url.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let mut head =
        format!("{method} {target} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if !body.is_empty() {
        head.push_str(&format!("content-length: {}\r\n", body.len()));
    }
    head.push_str("\r\n");
    let mut bytes = head.into_bytes();
    bytes.extend_from_slice(body);
    stream.write_all(&bytes).await.unwrap();
    let mut read = Vec::new();
    tokio::time::timeout(Duration::from_secs(30), stream.read_to_end(&mut read))
        .await
        .expect("an answer in time")
        .unwrap();
    let text = String::from_utf8(read).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap();
    Answer {
        status: status.parse().unwrap(),
        headers: lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect(),
        body: body.to_owned(),
    }
}

/// GET with a header `authorization`.
pub(crate) async fn get(gateway: &Running, target: &str, token: &str) -> Answer {
    send(gateway, "GET", target, &[("authorization", token)], b"").await
}

/// A gateway for a document.
pub(crate) async fn serve(document: &serde_json::Value) -> Running {
    Gateway::builder()
        .openapi_text(document.to_string())
        .spawn()
        .await
        .unwrap()
}

/// The integration of a REST API that shows the event.
pub(crate) fn echo() -> serde_json::Value {
    serde_json::json!({"type": "aws_proxy", "httpMethod": "POST", "uri": "local:echo"})
}

/// The integration of an HTTP API that shows the event.
pub(crate) fn echo_http() -> serde_json::Value {
    serde_json::json!({"type": "aws_proxy", "httpMethod": "POST", "uri": "local:echo", "payloadFormatVersion": "2.0"})
}
