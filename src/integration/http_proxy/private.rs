//! Private integrations: what a VPC link leads to at AWS are targets of the
//! configuration here.
//!
//! Source: API Gateway developer guide, "Create private integrations for HTTP
//! APIs" and "Set up a private integration" (REST). Which scheme is spoken is
//! the target's own business, so that a definition with `tlsConfig` can be run
//! against a plain local process.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use ::http::Uri;
use ::http::uri::PathAndQuery;

use crate::http_client::{Address, Origin, Upstream};

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
    origin: Arc<Origin>,
    /// Path of the target's own address, without a slash at the end.
    base: String,
    /// The connections to it, once they were asked for.
    upstream: OnceLock<Upstream>,
}

impl PrivateLink {
    /// Reads the targets' addresses.
    ///
    /// # Errors
    ///
    /// The first that is no `http://` or `https://` address or has a query, or none at all.
    pub fn new(targets: &[&str], keeps_host: bool) -> Result<Self, String> {
        let targets: Vec<Target> = targets
            .iter()
            .map(|text| {
                target(text).ok_or_else(|| {
                    format!("`{text}` is no address of a target: http://HOST:PORT/PATH")
                })
            })
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

    /// The address at the next target, and where the connections to it are kept. `None` where it
    /// would be none.
    pub fn direct(&self, asked: &PathAndQuery) -> Option<(Address, &OnceLock<Upstream>)> {
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        let target = self.targets.get(turn % self.targets.len())?;
        let address = Address {
            origin: Arc::clone(&target.origin),
            target: if target.base.is_empty() {
                asked.clone()
            } else {
                format!("{}{asked}", target.base).parse().ok()?
            },
        };
        Some((address, &target.upstream))
    }
}

fn target(text: &str) -> Option<Target> {
    let uri: Uri = text.parse().ok()?;
    // A request's own query goes on; there is no place for another.
    if uri.query().is_some() {
        return None;
    }
    Some(Target {
        origin: Arc::new(Origin::of(&uri)?),
        base: uri.path().trim_end_matches('/').to_owned(),
        upstream: OnceLock::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_take_turns_and_the_path_stays_as_it_is() {
        let link =
            PrivateLink::new(&["http://127.0.0.1:9001", "https://b.test/base/"], true).unwrap();
        let asked = PathAndQuery::from_static("/dev/a%2Fb?x=1");

        let sent: Vec<String> = (0..3)
            .map(|_| link.direct(&asked).unwrap().0.to_string())
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
        assert!(PrivateLink::new(&["http://x/base?y=1"], true).is_err());
        assert!(PrivateLink::new(&[], true).is_err());
    }
}
