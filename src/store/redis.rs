//! The store that several gateways share: Redis or Valkey.
//!
//! All limits of a request are one script ([`SharedLimits::take`]), so one round
//! trip, and nothing is taken where one of them refuses. Time is the server's, so
//! gateways need not agree on theirs. Every key begins with `{tollgate}:`; the
//! braces keep them in one slot of a cluster, as a script wants it.
//!
//! | key | holds |
//! | --- | --- |
//! | `b:NAME` | when a bucket will be full, in microseconds; gone once it is |
//! | `q:PLAN:KEY:DATE` | `used` and `extra` of the quota's period that begins at the date |
//! | `u:PLAN:DATE` | requests of a day by key |
//! | `g` | grants beyond quotas |
//! | `records`, `revision` | keys and plans that were changed, and how often |

use std::time::Duration;

use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{AsyncCommands, Script};

use super::{Ask, Day, Grant, Record, SharedLimits, Store, StoreError, Used, Verdict, Waiting};

const NAME: &str = "redis";
const REVISION: &str = "{tollgate}:revision";
const RECORDS: &str = "{tollgate}:records";
const GRANTS: &str = "{tollgate}:g";
/// Usage is forgotten after 400 days: `GetUsage` reaches back 90.
const EXPIRY: i64 = 400 * 86_400;
/// Between the parts of a hash's field; no id has it.
const SEPARATOR: char = '\u{1f}';

/// A connection that comes back by itself.
#[derive(Clone)]
pub struct RedisStore {
    connection: ConnectionManager,
    script: Script,
}

impl std::fmt::Debug for RedisStore {
    /// The address may hold a password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisStore").finish_non_exhaustive()
    }
}

impl RedisStore {
    /// A store at `redis://HOST:PORT`. Nothing is connected before the first use.
    ///
    /// # Errors
    ///
    /// Where the address is none.
    pub fn open(url: &str, deadline: Duration) -> Result<Self, StoreError> {
        let client = redis::Client::open(url).map_err(failed)?;
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(deadline.max(Duration::from_millis(100))))
            .set_response_timeout(Some(deadline))
            .set_number_of_retries(1)
            .set_max_delay(Duration::from_millis(500));
        let connection = ConnectionManager::new_lazy_with_config(client, config).map_err(failed)?;
        Ok(Self {
            connection,
            script: Script::new(include_str!("redis.lua")),
        })
    }
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn failed(error: redis::RedisError) -> StoreError {
    StoreError::Failed {
        store: NAME,
        cause: error.to_string(),
    }
}

fn quota_key(plan: &str, key: &str, period: Day) -> String {
    format!("{{tollgate}}:q:{plan}:{key}:{period}")
}

fn usage_key(plan: &str, day: Day) -> String {
    format!("{{tollgate}}:u:{plan}:{day}")
}

fn day(text: &str) -> Option<Day> {
    text.parse().ok()
}

impl Store for RedisStore {
    fn name(&self) -> &'static str {
        NAME
    }

    fn records(&self) -> Waiting<'_, Vec<Record>> {
        let mut connection = self.connection.clone();
        Box::pin(async move {
            let mut found: Vec<(String, String)> =
                connection.hgetall(RECORDS).await.map_err(failed)?;
            found.sort();
            Ok(found
                .into_iter()
                .filter_map(|(field, body)| {
                    let (kind, id) = field.split_once(SEPARATOR)?;
                    Some(Record {
                        kind: kind.to_owned(),
                        id: id.to_owned(),
                        body: Some(body),
                    })
                })
                .collect())
        })
    }

    fn write(&self, records: Vec<Record>) -> Waiting<'_, ()> {
        let mut connection = self.connection.clone();
        Box::pin(async move {
            let mut together = redis::pipe();
            together.atomic();
            for Record { kind, id, body } in records {
                let field = format!("{kind}{SEPARATOR}{id}");
                match body {
                    Some(body) => together.hset(RECORDS, field, body).ignore(),
                    None => together.hdel(RECORDS, field).ignore(),
                };
            }
            together.incr(REVISION, 1).ignore();
            together
                .query_async::<()>(&mut connection)
                .await
                .map_err(failed)
        })
    }

    fn add(&self, used: Vec<Used>) -> Waiting<'_, ()> {
        let mut connection = self.connection.clone();
        Box::pin(async move {
            let mut together = redis::pipe();
            together.atomic();
            for used in used {
                let of_period = quota_key(&used.plan, &used.key, used.period);
                let of_day = usage_key(&used.plan, used.day);
                together
                    .hincr(&of_period, "used", used.count)
                    .ignore()
                    .expire(&of_period, EXPIRY)
                    .ignore()
                    .hincr(&of_day, used.key, used.count)
                    .ignore()
                    .expire(&of_day, EXPIRY)
                    .ignore();
            }
            together
                .query_async::<()>(&mut connection)
                .await
                .map_err(failed)
        })
    }

    fn used<'s>(&'s self, plan: Option<&'s str>, from: Day, to: Day) -> Waiting<'s, Vec<Used>> {
        let mut connection = self.connection.clone();
        Box::pin(async move {
            let mut days: Vec<(String, Day)> = Vec::new();
            match plan {
                Some(plan) => {
                    days.extend((from.0..=to.0).map(|day| (plan.to_owned(), Day(day))));
                }
                None => {
                    let pattern = "{tollgate}:u:*";
                    let mut keys = connection
                        .scan_match::<_, String>(pattern)
                        .await
                        .map_err(failed)?;
                    while let Some(key) = keys.next_item().await {
                        let key = key.map_err(failed)?;
                        let found = key
                            .strip_prefix("{tollgate}:u:")
                            .and_then(|rest| rest.rsplit_once(':'))
                            .and_then(|(plan, of)| Some((plan.to_owned(), day(of)?)));
                        days.extend(found.filter(|(_, day)| (from..=to).contains(day)));
                    }
                }
            }
            if days.is_empty() {
                return Ok(Vec::new());
            }
            let mut together = redis::pipe();
            for (plan, day) in &days {
                together.hgetall(usage_key(plan, *day));
            }
            let found: Vec<Vec<(String, u64)>> = together
                .query_async(&mut connection)
                .await
                .map_err(failed)?;
            Ok(days
                .into_iter()
                .zip(found)
                .flat_map(|((plan, day), counts)| {
                    counts.into_iter().map(move |(key, count)| Used {
                        plan: plan.clone(),
                        key,
                        day,
                        // Which quota a day counted against is told by the plan.
                        period: day,
                        count,
                    })
                })
                .collect())
        })
    }

    fn grant(&self, grant: Grant) -> Waiting<'_, ()> {
        let mut connection = self.connection.clone();
        Box::pin(async move {
            let Grant {
                plan,
                key,
                period,
                extra,
            } = grant;
            let of_period = quota_key(&plan, &key, period);
            let field = format!("{period}{SEPARATOR}{plan}{SEPARATOR}{key}");
            redis::pipe()
                .atomic()
                .hset(&of_period, "extra", extra)
                .ignore()
                .expire(&of_period, EXPIRY)
                .ignore()
                .hset(GRANTS, field, extra)
                .ignore()
                .query_async::<()>(&mut connection)
                .await
                .map_err(failed)
        })
    }

    fn grants(&self, since: Day) -> Waiting<'_, Vec<Grant>> {
        let mut connection = self.connection.clone();
        Box::pin(async move {
            let found: Vec<(String, i64)> = connection.hgetall(GRANTS).await.map_err(failed)?;
            Ok(found
                .into_iter()
                .filter_map(|(field, extra)| {
                    let mut parts = field.split(SEPARATOR);
                    let period = day(parts.next()?)?;
                    let (plan, key) = (parts.next()?.to_owned(), parts.next()?.to_owned());
                    (period >= since).then_some(Grant {
                        plan,
                        key,
                        period,
                        extra,
                    })
                })
                .collect())
        })
    }

    fn close(&self) -> Waiting<'_, ()> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn shared(&self) -> Option<&dyn SharedLimits> {
        Some(self)
    }
}

impl SharedLimits for RedisStore {
    fn take(&self, asks: Vec<Ask>) -> Waiting<'_, Verdict> {
        let mut connection = self.connection.clone();
        Box::pin(async move {
            let mut invocation = self.script.prepare_invoke();
            invocation.key(REVISION);
            for ask in asks {
                match ask {
                    Ask::Bucket {
                        name,
                        interval,
                        burst,
                    } => {
                        let microseconds = interval.as_nanos() as f64 / 1000.0;
                        invocation
                            .key(format!("{{tollgate}}:b:{name}"))
                            .arg("b")
                            .arg(microseconds)
                            .arg(burst);
                    }
                    Ask::Quota {
                        plan,
                        key,
                        day,
                        period,
                        limit,
                    } => {
                        invocation
                            .key(quota_key(&plan, &key, period))
                            .key(usage_key(&plan, day))
                            .arg("q")
                            .arg(limit.map(|limit| limit.to_string()).unwrap_or_default())
                            .arg(day.to_string())
                            .arg(key)
                            .arg(EXPIRY);
                    }
                }
            }
            let (index, wait, used, revision): (usize, u64, u64, u64) = invocation
                .invoke_async(&mut connection)
                .await
                .map_err(failed)?;
            Ok(Verdict {
                refused: index
                    .checked_sub(1)
                    .map(|index| (index, Duration::from_micros(wait))),
                used,
                revision,
            })
        })
    }

    fn revision(&self) -> Waiting<'_, u64> {
        let mut connection = self.connection.clone();
        Box::pin(async move {
            let revision: Option<u64> = connection.get(REVISION).await.map_err(failed)?;
            Ok(revision.unwrap_or(0))
        })
    }
}
