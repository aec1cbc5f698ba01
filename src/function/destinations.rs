//! Which functions get the records of asynchronous invocations.
//!
//! A record goes to a function of the plan that is in force when it is sent, not of the
//! plan in which its own function was placed: processes outlive a reload, so what they
//! leave must find the functions of today. [`Destinations`] is shared by all plans and
//! holds the one in force weakly: nothing is kept alive by its own destination.
//!
//! A chain of records that leads back to a function it came from would never end. Each
//! record therefore carries, in the field `Lineage` of its trace header, how often every
//! function has had one of its chain; functions that call others with an AWS SDK pass that
//! header on. The seventeenth is dropped.
//!
//! Source: Lambda developer guide, "Use Lambda recursive loop detection to prevent
//! infinite loops"; X-Ray developer guide, "Tracing header", for the field's form.

use std::fmt::Write;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::{Invocation, InvokeError, Outcome};
use crate::base::{FunctionArn, id};

/// Records that one function may get of one chain. "Lambda stops the next invocation
/// after approximately 16."
pub(super) const LONGEST_CHAIN: u32 = 16;

/// A record on its way into a function's queue.
pub(super) type Delivery = Pin<Box<dyn Future<Output = Result<Outcome, InvokeError>> + Send>>;

/// The functions of one plan.
pub(super) trait Recipients: Send + Sync {
    /// Calls the function that `target` names; none, when the plan has no such function.
    fn call(&self, target: &FunctionArn, invocation: Invocation) -> Option<Delivery>;
}

/// Where local functions send the records of their asynchronous invocations. Cheap to clone.
#[derive(Clone, Default)]
pub struct Destinations(Arc<Mutex<Option<Weak<dyn Recipients>>>>);

impl Destinations {
    /// From now on records go to the functions of `recipients`, as long as somebody holds it.
    pub(super) fn lead_to<R: Recipients + 'static>(&self, recipients: &Arc<R>) {
        let weak = Arc::downgrade(recipients);
        let weak: Weak<dyn Recipients> = weak;
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(weak);
    }

    /// Calls the function that `target` names; none, when the plan in force has no such
    /// function, or no plan is in force any more.
    pub(super) fn call(&self, target: &FunctionArn, invocation: Invocation) -> Option<Delivery> {
        let recipients = {
            let guard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            guard.as_ref()?.upgrade()?
        };
        recipients.call(target, invocation)
    }
}

impl std::fmt::Debug for Destinations {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Destinations")
    }
}

/// The trace header of a record that goes to the function `target` because of an
/// invocation whose trace header was `before`; none, when that function has had
/// [`LONGEST_CHAIN`] records of this chain.
pub(super) fn next_of_chain(
    before: Option<&str>,
    target: &FunctionArn,
    epoch_seconds: u64,
) -> Option<String> {
    let label = id::stable_id(&target.name);
    let mut header = String::new();
    let mut lineage: Vec<(String, u32)> = Vec::new();
    for field in before.unwrap_or_default().split(';').map(str::trim) {
        match field.strip_prefix("Lineage=") {
            Some(counts) => lineage.extend(counts.split('|').filter_map(|entry| {
                let (label, count) = entry.rsplit_once(':')?;
                Some((label.to_owned(), count.parse().ok()?))
            })),
            None if field.is_empty() => {}
            None => {
                header.push_str(field);
                header.push(';');
            }
        }
    }
    match lineage.iter_mut().find(|(other, _)| *other == label) {
        Some((_, count)) if *count >= LONGEST_CHAIN => return None,
        Some((_, count)) => *count += 1,
        None => lineage.push((label, 1)),
    }
    if header.is_empty() {
        header = format!("{};Sampled=0;", id::trace_root(epoch_seconds));
    }
    header.push_str("Lineage=");
    for (index, (label, count)) in lineage.iter().enumerate() {
        let separator = if index == 0 { "" } else { "|" };
        // Writing to a string cannot fail.
        let _ = write!(header, "{separator}{label}:{count}");
    }
    Some(header)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn function(name: &str) -> FunctionArn {
        FunctionArn::parse(name).unwrap()
    }

    #[test]
    fn a_chain_counts_each_function_for_itself_and_ends() {
        let (a, b) = (function("a"), function("b"));
        let mut header = next_of_chain(Some("Root=1-0-1;Parent=2;Sampled=1"), &b, 0).unwrap();
        for _ in 0..LONGEST_CHAIN {
            header = next_of_chain(Some(&header), &a, 0).unwrap();
        }

        assert!(
            header.starts_with("Root=1-0-1;Parent=2;Sampled=1;Lineage="),
            "{header}"
        );
        assert_eq!(next_of_chain(Some(&header), &a, 0), None);
        let other = next_of_chain(Some(&header), &b, 0).unwrap();
        assert!(other.contains(":2|") && other.ends_with(":16"), "{other}");
    }

    #[test]
    fn an_invocation_without_a_trace_begins_one() {
        let header = next_of_chain(None, &function("a"), 1_700_000_000).unwrap();

        assert!(header.starts_with("Root=1-6553f100-"), "{header}");
        assert!(header.contains(";Sampled=0;Lineage="), "{header}");
    }

    #[test]
    fn without_a_plan_nothing_is_called() {
        let invocation = Invocation {
            payload: bytes::Bytes::new(),
            invocation_type: crate::function::InvocationType::Event,
            qualifier: None,
            trace_id: None,
            client_context: None,
        };
        assert!(
            Destinations::default()
                .call(&function("a"), invocation)
                .is_none()
        );
    }
}
