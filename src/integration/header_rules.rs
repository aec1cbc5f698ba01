//! Which headers pass, are dropped or are renamed, by kind of backend.
//!
//! Source: API Gateway developer guide, "Amazon API Gateway important notes",
//! the table of header restrictions; refined by what was recorded at AWS.

use http::header::{HeaderMap, HeaderName, HeaderValue};

pub use crate::base::header_lines::{is_hop_header, is_one_of};

/// Changes the method of a REST API's request; a backend sees it only where it is mapped.
pub const METHOD_OVERRIDE: &str = "x-http-method-override";

/// The backend's kind, as the table distinguishes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// `http`.
    Http,
    /// `http_proxy`.
    HttpProxy,
    /// `aws`, `aws_proxy` with a function.
    Lambda,
    /// `aws` with another service.
    Service,
    /// `mock`.
    Mock,
}

/// What becomes of a response header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Sent as it is.
    Pass,
    /// Not sent.
    Drop,
    /// Sent as `x-amzn-remapped-NAME`.
    Rename,
}

/// What becomes of a header that the backend (or, with `mapped`, a response
/// parameter) sets.
pub fn response_fate(name: &str, backend: Backend, mapped: bool) -> Fate {
    match name {
        "transfer-encoding" => Fate::Drop,
        // A mapping may name these; recorded for mapped response headers.
        "expect" | "host" | "proxy-authenticate" | "trailer" | "upgrade" if mapped => Fate::Rename,
        "te" | "accept" if mapped => Fate::Pass,
        "expect" | "host" | "proxy-authenticate" | "te" | "trailer" | "upgrade" => Fate::Drop,
        "keep-alive" | "proxy-connection" => Fate::Drop,
        "accept" if backend == Backend::Http => Fate::Drop,
        "via" if backend != Backend::Http => Fate::Drop,
        "authorization" | "connection" | "content-md5" | "max-forwards" | "www-authenticate"
        | "user-agent" | "date" | "server" | "x-amzn-requestid" => Fate::Rename,
        // The gateway frames its own answer; what the backend said stays visible.
        "content-length" if mapped || backend == Backend::HttpProxy => Fate::Rename,
        "content-length" => Fate::Drop,
        _ => Fate::Pass,
    }
}

/// Puts a response header into `headers` as the rules say.
pub fn add_response_header(
    headers: &mut HeaderMap,
    name: HeaderName,
    value: HeaderValue,
    backend: Backend,
    mapped: bool,
) {
    match response_fate(name.as_str(), backend, mapped) {
        Fate::Drop => {}
        Fate::Pass => {
            headers.append(name, value);
        }
        Fate::Rename => {
            if let Ok(renamed) =
                HeaderName::from_bytes(format!("x-amzn-remapped-{name}").as_bytes())
            {
                headers.append(renamed, value);
            }
        }
    }
}

/// Whether a REST API's HTTP integration keeps a request header from the backend.
///
/// `Host` is the backend's own, framing is the connection's.
pub fn is_dropped_request_header(name: &str, backend: Backend) -> bool {
    const ALWAYS: [&str; 15] = [
        "connection",
        "content-length",
        "content-md5",
        "expect",
        "host",
        "keep-alive",
        "max-forwards",
        "proxy-authenticate",
        "proxy-connection",
        "server",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "www-authenticate",
    ];
    is_one_of(&ALWAYS, name)
        || backend == Backend::HttpProxy && is_one_of(&["content-encoding", "via"], name)
}

/// The headers that a message's `Connection` header names: they belong to that
/// connection and go no further.
pub fn connection_options<'v>(values: impl Iterator<Item = &'v [u8]>) -> Vec<String> {
    let names = values.flat_map(|value| value.split(|byte| *byte == b','));
    names
        .filter_map(|name| std::str::from_utf8(name.trim_ascii()).ok())
        .filter(|name| {
            !name.is_empty()
                && !name.eq_ignore_ascii_case("close")
                && !name.eq_ignore_ascii_case("keep-alive")
        })
        .map(str::to_ascii_lowercase)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_http_proxys_connection_headers_come_back_renamed() {
        let mut headers = HeaderMap::new();
        for name in ["date", "server", "content-length", "x-own", "expect"] {
            add_response_header(
                &mut headers,
                HeaderName::from_static(name),
                HeaderValue::from_static("1"),
                Backend::HttpProxy,
                false,
            );
        }

        let names: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        assert_eq!(
            names,
            [
                "x-amzn-remapped-date",
                "x-amzn-remapped-server",
                "x-amzn-remapped-content-length",
                "x-own"
            ]
        );
    }

    /// "Amazon API Gateway important notes": what a header of the backend becomes,
    /// for http, http_proxy and Lambda. P passes, D is dropped, R is renamed.
    #[test]
    fn the_table_of_response_headers() {
        let table = [
            ("age", "PPP"),
            ("accept-charset", "PPP"),
            ("accept-encoding", "PPP"),
            ("content-type", "PPP"),
            ("pragma", "PPP"),
            ("range", "PPP"),
            ("referer", "PPP"),
            ("warn", "PPP"),
            ("content-encoding", "PPP"),
            ("accept", "DPP"),
            ("authorization", "RRR"),
            ("connection", "RRR"),
            ("content-md5", "RRR"),
            ("max-forwards", "RRR"),
            ("www-authenticate", "RRR"),
            ("date", "RRR"),
            ("server", "RRR"),
            ("user-agent", "RRR"),
            ("expect", "DDD"),
            ("proxy-authenticate", "DDD"),
            ("te", "DDD"),
            ("trailer", "DDD"),
            ("upgrade", "DDD"),
            ("host", "DDD"),
            ("transfer-encoding", "DDD"),
            ("via", "PDD"),
        ];
        for (name, fates) in table {
            let found: String = [Backend::Http, Backend::HttpProxy, Backend::Lambda]
                .into_iter()
                .map(|backend| match response_fate(name, backend, false) {
                    Fate::Pass => 'P',
                    Fate::Drop => 'D',
                    Fate::Rename => 'R',
                })
                .collect();
            assert_eq!(found, fates, "{name}");
        }
    }

    /// The same page: which headers of a client reach the backend, for http_proxy and Lambda.
    /// An `http` backend gets mapped headers alone.
    #[test]
    fn the_table_of_request_headers() {
        let table = [
            ("Age", "PP"),
            ("Accept-Charset", "PP"),
            ("Accept-Encoding", "PP"),
            ("Content-Type", "PP"),
            ("Pragma", "PP"),
            ("Range", "PP"),
            ("Referer", "PP"),
            ("Warn", "PP"),
            ("Accept", "PP"),
            ("Authorization", "PP"),
            ("Date", "PP"),
            ("User-Agent", "PP"),
            ("Content-Encoding", "DP"),
            ("Content-MD5", "DD"),
            ("Max-Forwards", "DD"),
            ("WWW-Authenticate", "DD"),
            ("Server", "DD"),
            ("Expect", "DD"),
            ("Proxy-Authenticate", "DD"),
            ("TE", "DD"),
            ("Trailer", "DD"),
            ("Upgrade", "DD"),
            ("Transfer-Encoding", "DD"),
            ("Via", "DP"),
        ];
        for (name, fates) in table {
            let letter = |dropped| if dropped { 'D' } else { 'P' };
            let found: String = [
                letter(is_dropped_request_header(name, Backend::HttpProxy)),
                letter(crate::event::rest::is_dropped_request_header(name)),
            ]
            .into_iter()
            .collect();
            assert_eq!(found, fates, "{name}");
        }
    }

    #[test]
    fn what_connection_names_is_this_connections() {
        assert_eq!(
            connection_options([&b"close, X-Secret"[..], b"keep-alive"].into_iter()),
            ["x-secret"]
        );
    }
}
