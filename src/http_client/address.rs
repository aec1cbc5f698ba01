//! Where a request goes: the server, and what is asked of it.

use std::sync::Arc;

use http::Uri;
use http::uri::{Authority, PathAndQuery, Scheme};

/// A server: what connections are made to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    scheme: Scheme,
    authority: Authority,
    host_line: String,
}

impl Origin {
    /// `None` for another scheme than `http` and `https`, an empty host, and one with a user's name.
    pub fn new(scheme: Scheme, authority: Authority) -> Option<Self> {
        let usual = if scheme == Scheme::HTTP {
            80
        } else if scheme == Scheme::HTTPS {
            443
        } else {
            return None;
        };
        let host = authority.host();
        if host.is_empty() || authority.as_str().contains('@') {
            return None;
        }
        let port = authority.port_u16().filter(|port| *port != usual);
        let host_line = match port {
            Some(port) => format!("host: {host}:{port}\r\n"),
            None => format!("host: {host}\r\n"),
        };
        Some(Self {
            scheme,
            authority,
            host_line,
        })
    }

    /// Of an address's scheme and authority.
    pub fn of(uri: &Uri) -> Option<Self> {
        Self::new(uri.scheme()?.clone(), uri.authority()?.clone())
    }

    /// `http` or `https`.
    pub fn scheme(&self) -> &Scheme {
        &self.scheme
    }

    /// Host and port as they were written.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// The `Host` line of a request to it: the port where it is not the scheme's own.
    pub(super) fn host_line(&self) -> &str {
        &self.host_line
    }
}

/// A server and what is asked of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// The server. Addresses that share it share what is known of it.
    pub origin: Arc<Origin>,
    /// Path and query, sent as they are.
    pub target: PathAndQuery,
}

impl Address {
    /// The same as a URI.
    ///
    /// # Errors
    ///
    /// Where `http` takes scheme, authority and target, but not together.
    pub fn uri(&self) -> Result<Uri, http::Error> {
        Uri::builder()
            .scheme(self.origin.scheme.clone())
            .authority(self.origin.authority.clone())
            .path_and_query(self.target.clone())
            .build()
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Origin {
            scheme, authority, ..
        } = &*self.origin;
        write!(f, "{scheme}://{authority}{}", self.target)
    }
}
