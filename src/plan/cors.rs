//! `x-amazon-apigateway-cors`, compiled: which origins are allowed, and the
//! headers that tell browsers so.
//!
//! Source: API Gateway developer guide, "Configure CORS for HTTP APIs in API
//! Gateway".

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, HeaderName, HeaderValue,
};

use crate::model::Cors;

/// What an HTTP API with CORS answers browsers.
#[derive(Clone, Debug, Default)]
pub struct CorsPlan {
    any_origin: bool,
    /// `https://`, `http://`: any origin of the scheme.
    any_host_of: Vec<String>,
    origins: Vec<String>,
    /// Headers of a preflight's answer.
    pub preflight: Vec<(HeaderName, HeaderValue)>,
    /// Headers of any other answer.
    pub actual: Vec<(HeaderName, HeaderValue)>,
}

/// How an origin is named in the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AllowedOrigin {
    /// `*`.
    Any,
    /// The origin itself.
    Itself,
}

impl CorsPlan {
    /// Compiles a configuration.
    ///
    /// A value that no header may have is left out.
    pub fn compile(cors: &Cors) -> Self {
        let Cors {
            allow_origins,
            allow_methods,
            allow_headers,
            expose_headers,
            max_age,
            allow_credentials,
        } = cors;
        let mut plan = Self::default();
        for origin in allow_origins {
            match origin.strip_suffix('*') {
                Some("") => plan.any_origin = true,
                Some(scheme) => plan.any_host_of.push(scheme.to_ascii_lowercase()),
                None => plan.origins.push(origin.clone()),
            }
        }
        let joined = |list: &[String]| {
            let list: Vec<&str> = list.iter().map(|item| item.trim()).collect();
            (!list.is_empty()).then(|| list.join(","))
        };
        let put = |headers: &mut Vec<_>, name, value: Option<String>| {
            if let Some(value) = value.and_then(|value| HeaderValue::from_str(&value).ok()) {
                headers.push((name, value));
            }
        };
        put(
            &mut plan.preflight,
            ACCESS_CONTROL_ALLOW_METHODS,
            joined(allow_methods),
        );
        put(
            &mut plan.preflight,
            ACCESS_CONTROL_ALLOW_HEADERS,
            joined(allow_headers),
        );
        put(
            &mut plan.preflight,
            ACCESS_CONTROL_MAX_AGE,
            max_age.map(|seconds| seconds.to_string()),
        );
        put(
            &mut plan.actual,
            ACCESS_CONTROL_EXPOSE_HEADERS,
            joined(expose_headers),
        );
        for headers in [&mut plan.preflight, &mut plan.actual] {
            let credentials = allow_credentials.then(|| "true".to_owned());
            put(headers, ACCESS_CONTROL_ALLOW_CREDENTIALS, credentials);
        }
        plan
    }

    /// Whether a request's `Origin` is allowed, and how the answer names it.
    pub fn allowed(&self, origin: &str) -> Option<AllowedOrigin> {
        if self.any_origin {
            return Some(AllowedOrigin::Any);
        }
        let of_scheme = |scheme: &String| {
            origin.len() > scheme.len()
                && origin
                    .get(..scheme.len())
                    .is_some_and(|start| start.eq_ignore_ascii_case(scheme))
        };
        let allowed = self
            .origins
            .iter()
            .any(|allowed| allowed.eq_ignore_ascii_case(origin))
            || self.any_host_of.iter().any(of_scheme);
        allowed.then_some(AllowedOrigin::Itself)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(origins: &[&str]) -> CorsPlan {
        CorsPlan::compile(&Cors {
            allow_origins: origins.iter().map(|origin| (*origin).to_owned()).collect(),
            ..Cors::default()
        })
    }

    #[test]
    fn an_origin_is_allowed_by_name_scheme_or_star() {
        let named = plan(&["https://www.example.com", "http://*"]);

        assert_eq!(
            named.allowed("https://www.example.com"),
            Some(AllowedOrigin::Itself)
        );
        assert_eq!(
            named.allowed("http://anything.test:8080"),
            Some(AllowedOrigin::Itself)
        );
        for other in [
            "https://example.com",
            "https://www.example.com.evil.test",
            "https://www.example.com:8443",
            "http://",
            "null",
            "",
        ] {
            assert_eq!(named.allowed(other), None, "{other}");
        }
        assert_eq!(plan(&["*"]).allowed("null"), Some(AllowedOrigin::Any));
        assert_eq!(plan(&[]).allowed("https://a.test"), None);
    }
}
