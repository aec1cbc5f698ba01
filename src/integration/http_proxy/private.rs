//! Private integrations: what a VPC link leads to at AWS are targets of the
//! configuration here.
//!
//! Source: API Gateway developer guide, "Create private integrations for HTTP
//! APIs" and "Set up a private integration" (REST). Which scheme is spoken is
//! the target's own business, so that a definition with `tlsConfig` can be run
//! against a plain local process.

use std::sync::atomic::{AtomicUsize, Ordering};

use ::http::Uri;
use ::http::uri::{Authority, PathAndQuery, Scheme};

/// The targets behind an integration's VPC link, taken in turn.
#[derive(Debug)]
pub struct PrivateLink {
    targets: Vec<Target>,
    next: AtomicUsize,
    /// The backend is told the host of the integration's uri; a listener's ARN names none.
    pub keeps_host: bool,
}

#[derive(Debug)]
struct Target {
    scheme: Scheme,
    authority: Authority,
    /// Path of the target's own address, without a slash at the end.
    base: String,
}

impl PrivateLink {
    /// Reads the targets' addresses.
    ///
    /// # Errors
    ///
    /// The first that is no `http://` or `https://` address, or none at all.
    pub fn new(targets: &[&str], keeps_host: bool) -> Result<Self, String> {
        let targets: Vec<Target> = targets
            .iter()
            .map(|text| target(text).ok_or_else(|| format!("`{text}` is no address of a target")))
            .collect::<Result<_, _>>()?;
        if targets.is_empty() {
            return Err("the VPC link has no targets".to_owned());
        }
        Ok(Self {
            targets,
            next: AtomicUsize::new(0),
            keeps_host,
        })
    }

    /// The address at the next target. `None` where it would be none.
    pub fn direct(&self, uri: &Uri) -> Option<Uri> {
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        let target = self.targets.get(turn % self.targets.len())?;
        let asked = uri.path_and_query().map_or("/", PathAndQuery::as_str);
        let mut parts = ::http::uri::Parts::default();
        parts.scheme = Some(target.scheme.clone());
        parts.authority = Some(target.authority.clone());
        parts.path_and_query = Some(format!("{}{asked}", target.base).parse().ok()?);
        Uri::from_parts(parts).ok()
    }
}

fn target(text: &str) -> Option<Target> {
    let uri: Uri = text.parse().ok()?;
    let scheme = uri.scheme()?.clone();
    let known = scheme == Scheme::HTTP || scheme == Scheme::HTTPS;
    known.then_some(())?;
    Some(Target {
        scheme,
        authority: uri.authority()?.clone(),
        base: uri.path().trim_end_matches('/').to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_take_turns_and_the_path_stays_as_it_is() {
        let link =
            PrivateLink::new(&["http://127.0.0.1:9001", "https://b.test/base/"], true).unwrap();
        let uri = Uri::from_static("http://orders.internal/dev/a%2Fb?x=1");

        let sent: Vec<String> = (0..3)
            .map(|_| link.direct(&uri).unwrap().to_string())
            .collect();

        assert_eq!(
            sent,
            [
                "http://127.0.0.1:9001/dev/a%2Fb?x=1",
                "https://b.test/base/dev/a%2Fb?x=1",
                "http://127.0.0.1:9001/dev/a%2Fb?x=1"
            ]
        );
        assert!(PrivateLink::new(&["ftp://x"], true).is_err());
        assert!(PrivateLink::new(&[], true).is_err());
    }
}
