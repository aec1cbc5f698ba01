//! The store that ends with the process.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{Day, Grant, Record, Store, Used, Waiting};

/// Usage that is older than this, in days, is forgotten: `GetUsage` reaches back 90 days.
pub(super) const KEPT_DAYS: i32 = 400;

/// Everything in maps. Requests do not come here: what they count is added in batches.
#[derive(Debug, Default)]
pub struct MemoryStore {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    records: BTreeMap<(String, String), String>,
    /// By day, plan and key: the period and the count.
    used: BTreeMap<(Day, String, String), (Day, u64)>,
    grants: BTreeMap<(Day, String, String), i64>,
}

impl MemoryStore {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An answer that is there already.
fn ready<'s, T: Send + 's>(value: T) -> Waiting<'s, T> {
    Box::pin(std::future::ready(Ok(value)))
}

impl Store for MemoryStore {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn outlives(&self) -> bool {
        false
    }

    fn records(&self) -> Waiting<'_, Vec<Record>> {
        let records = self
            .lock()
            .records
            .iter()
            .map(|((kind, id), body)| Record {
                kind: kind.clone(),
                id: id.clone(),
                body: Some(body.clone()),
            })
            .collect();
        ready(records)
    }

    fn write(&self, records: Vec<Record>) -> Waiting<'_, ()> {
        let mut state = self.lock();
        for record in records {
            match record.body {
                Some(body) => state.records.insert((record.kind, record.id), body),
                None => state.records.remove(&(record.kind, record.id)),
            };
        }
        ready(())
    }

    fn add(&self, used: Vec<Used>) -> Waiting<'_, ()> {
        let mut state = self.lock();
        for used in used {
            let entry = state
                .used
                .entry((used.day, used.plan, used.key))
                .or_insert((used.period, 0));
            entry.1 += used.count;
        }
        if let Some(newest) = state.used.keys().next_back().map(|(day, ..)| *day) {
            let oldest = Day(newest.0 - KEPT_DAYS);
            state.used = state
                .used
                .split_off(&(oldest, String::new(), String::new()));
        }
        ready(())
    }

    fn used<'s>(&'s self, plan: Option<&'s str>, from: Day, to: Day) -> Waiting<'s, Vec<Used>> {
        let used = self
            .lock()
            .used
            .range((from, String::new(), String::new())..)
            .take_while(|((day, ..), _)| *day <= to)
            .filter(|((_, of, _), _)| plan.is_none_or(|plan| plan == of))
            .map(|((day, plan, key), (period, count))| Used {
                plan: plan.clone(),
                key: key.clone(),
                day: *day,
                period: *period,
                count: *count,
            })
            .collect();
        ready(used)
    }

    fn grant(&self, grant: Grant) -> Waiting<'_, ()> {
        self.lock()
            .grants
            .insert((grant.period, grant.plan, grant.key), grant.extra);
        ready(())
    }

    fn grants(&self, since: Day) -> Waiting<'_, Vec<Grant>> {
        let grants = self
            .lock()
            .grants
            .range((since, String::new(), String::new())..)
            .map(|((period, plan, key), extra)| Grant {
                plan: plan.clone(),
                key: key.clone(),
                period: *period,
                extra: *extra,
            })
            .collect();
        ready(grants)
    }

    fn close(&self) -> Waiting<'_, ()> {
        ready(())
    }
}
