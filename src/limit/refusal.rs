//! Why a limit refused a request, and what the caller may be told of it.

use std::time::Duration;

use super::bucket::Scope;

/// A limit refused the request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.line())]
pub struct Refusal {
    /// What kind of limit.
    pub why: Why,
    /// Whose limit.
    pub scope: Scope,
    /// Until a retry can pass; [`Duration::MAX`] where none ever will.
    pub wait: Duration,
    /// The limit; none where the store did not answer.
    pub policy: Option<Policy>,
}

/// What kind of limit refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// A bucket was empty: THROTTLED.
    Throttled,
    /// A quota was used up: QUOTA_EXCEEDED.
    QuotaExceeded,
    /// The shared store did not answer, and the configuration says that nobody passes then.
    StoreDown,
}

/// A limit as the header `RateLimit-Policy` tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Requests in a window.
    pub quota: u64,
    /// The window; [`Duration::MAX`] for a bucket that never fills.
    pub window: Duration,
}

impl Refusal {
    pub(super) fn throttled(scope: Scope, quota: u64, window: Duration) -> Self {
        Self {
            why: Why::Throttled,
            scope,
            wait: Duration::MAX,
            policy: Some(Policy { quota, window }),
        }
    }

    pub(super) fn quota(limit: u64, window: Duration) -> Self {
        let policy = Policy {
            quota: limit,
            window,
        };
        Self {
            why: Why::QuotaExceeded,
            scope: Scope::Quota,
            wait: Duration::MAX,
            policy: Some(policy),
        }
    }

    pub(super) fn store_down() -> Self {
        Self {
            why: Why::StoreDown,
            scope: Scope::Store,
            wait: Duration::from_secs(1),
            policy: None,
        }
    }

    pub(super) fn after(self, wait: Duration) -> Self {
        Self { wait, ..self }
    }

    /// The wait that a shared store names. It knows nothing of quotas' periods, and
    /// not of buckets that never give a token.
    pub(super) fn told(self, wait: Duration) -> Self {
        let never = self
            .policy
            .is_some_and(|policy| policy.window == Duration::MAX || policy.quota == 0);
        match self.why {
            Why::Throttled if !never => self.after(wait),
            _ => self,
        }
    }

    /// `Retry-After`: whole seconds, one at least; none where no retry will ever pass.
    pub fn retry_after(&self) -> Option<u64> {
        whole_seconds(self.wait)
    }

    /// `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers-10).
    pub fn rate_limit_headers(&self) -> Option<(String, String)> {
        let policy = self.policy?;
        let name = self.scope.as_str();
        let window =
            whole_seconds(policy.window).map_or(String::new(), |seconds| format!(";w={seconds}"));
        let reset =
            whole_seconds(self.wait).map_or(String::new(), |seconds| format!(";t={seconds}"));
        Some((
            format!("\"{name}\";q={}{window}", policy.quota),
            format!("\"{name}\";r=0{reset}"),
        ))
    }

    fn line(&self) -> String {
        let scope = self.scope.as_str();
        match self.why {
            Why::Throttled => match self.retry_after() {
                Some(_) => format!("throttled by {scope}: next token in {:?}", self.wait),
                None => format!("throttled by {scope}: no token will ever be there"),
            },
            Why::QuotaExceeded => {
                format!("the quota is used up: the next begins in {:?}", self.wait)
            }
            Why::StoreDown => "the store of the limits does not answer".to_owned(),
        }
    }
}

/// Rounded up, one at least; none for [`Duration::MAX`].
fn whole_seconds(time: Duration) -> Option<u64> {
    if time == Duration::MAX {
        return None;
    }
    let up = u64::from(time.subsec_nanos() > 0);
    Some((time.as_secs() + up).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_told_in_whole_seconds_that_are_enough() {
        let refusal =
            |wait| Refusal::throttled(Scope::Plan, 5, Duration::from_millis(2500)).after(wait);

        assert_eq!(refusal(Duration::from_millis(20)).retry_after(), Some(1));
        assert_eq!(refusal(Duration::from_millis(2001)).retry_after(), Some(3));
        assert_eq!(refusal(Duration::MAX).retry_after(), None);
        assert_eq!(
            refusal(Duration::from_secs(2)).rate_limit_headers(),
            Some((
                "\"usage-plan\";q=5;w=3".to_owned(),
                "\"usage-plan\";r=0;t=2".to_owned()
            ))
        );
    }
}
