//! Limits: how often a caller may come, and who counts that.
//!
//! [`Limits::admit`] asks everything that limits a request, in the order that AWS
//! names: the key's usage plan (its quota, then its bucket for the method, then its
//! bucket), rate limits beyond AWS's, the stage's method or route, the account. The
//! first that refuses ends it, and then nothing was taken or counted anywhere.
//!
//! In memory that is a handful of atomic numbers: nothing is allocated and, apart from
//! a look into the key's own meter once in a while, nothing locked. With a store
//! that several gateways share ([`SharedLimits`]) it is
//! one round trip.
//!
//! Buckets have names, and are found again by them when a plan is compiled anew:
//! a reload gives nobody fresh tokens.
//!
//! Source: API Gateway developer guide, "Throttle requests to your REST APIs for
//! better throughput in API Gateway" and "Throttle requests to your HTTP APIs".

pub mod bucket;
mod counters;
mod health;
mod in_force;
pub mod quota;
pub mod rate_limit;
mod refusal;
mod saver;
pub mod token_bucket;
pub mod usage_plan;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;

use self::bucket::{Bucket, Scope};
use self::counters::{Tally, raise};
use self::health::Health;
use self::in_force::{Live, account};
use self::quota::{Meter, UsedUp};
use self::rate_limit::{KeyedTaken, Rule};
use self::saver::{Count, Saver};
use self::token_bucket::{Pace, Taken};
use self::usage_plan::{Directory, Keeper, Membership};
use crate::base::Clock;
use crate::event::{ApiKeyFacts, Exchange};
use crate::model::RateLimit;
use crate::model::settings::{Settings, StoreOptions, WhenDown};
use crate::observe::metrics::StoreMetrics;
use crate::store::memory::MemoryStore;
use crate::store::{Ask, Day, SharedLimits, Store, StoreError};

pub use counters::Counters;
pub use in_force::{ChangeError, Configured, Decide, Usage};
pub use refusal::{Policy, Refusal, Why};

/// Most rules of one request: what was taken stands in a list of fixed size.
pub const MOST_RULES: usize = 8;

/// Everything that is counted, for all APIs of a gateway. It outlives plans.
#[derive(Debug)]
pub struct Limits {
    clock: Clock,
    options: StoreOptions,
    store: Box<dyn Store>,
    saver: Saver,
    directory: ArcSwap<Directory>,
    names: Mutex<Names>,
    /// Keys and plans.
    live: tokio::sync::Mutex<Live>,
    /// The shared store's records as this gateway knows them; [`UNREAD`] before it knows any.
    revision: AtomicU64,
    health: Health,
    tally: Tally,
    /// Counts what the store is asked.
    metrics: Arc<StoreMetrics>,
}

/// A revision that no store gets to.
const UNREAD: u64 = u64::MAX;

/// Buckets, rules and meters by name. Looked into when plans are compiled, never by a request.
#[derive(Debug, Default)]
struct Names {
    buckets: HashMap<Box<str>, Weak<Bucket>>,
    rules: HashMap<Box<str>, Weak<Rule>>,
    meters: HashMap<(Box<str>, Box<str>), Arc<Meter>>,
}

/// What limits the requests of one route, apart from who sends them.
#[derive(Debug)]
pub struct RouteTolls {
    /// The API's id.
    pub api_id: String,
    /// The stage's name.
    pub stage: String,
    /// The method as plans and stages name it: `/pets/GET`.
    pub method: String,
    /// Tells the route from all others: the key of `endpoint` rules.
    pub endpoint: String,
    /// A usage plan applies.
    pub api_key_required: bool,
    /// The rules beyond AWS's.
    pub rules: Vec<Arc<Rule>>,
    /// The stage's bucket for the method or route.
    pub stage_bucket: Option<Arc<Bucket>>,
    /// The account's bucket.
    pub account: Arc<Bucket>,
}

/// What a request took, to be given back if a later limit refuses it.
enum Held<'t> {
    Bucket(&'t Bucket, Taken),
    Rule(&'t Rule, KeyedTaken),
}

impl Limits {
    /// Limits with `clock`, that end with the process.
    pub fn new(clock: Clock) -> Self {
        Self::with_store(
            clock,
            Box::new(MemoryStore::default()),
            StoreOptions::default(),
        )
    }

    /// Limits with a store.
    pub fn with_store(clock: Clock, store: Box<dyn Store>, options: StoreOptions) -> Self {
        let metrics = Arc::new(StoreMetrics::default());
        // It is new: nothing was set before.
        let _ = metrics.kind.set(store.name());
        Self {
            metrics,
            clock,
            options,
            store,
            saver: Saver::default(),
            directory: ArcSwap::default(),
            names: Mutex::default(),
            live: tokio::sync::Mutex::default(),
            revision: AtomicU64::new(UNREAD),
            health: Health::default(),
            tally: Tally::default(),
        }
    }

    /// The bucket of that name: the one that is there, with its tokens, or a full one.
    pub fn bucket(&self, name: String, scope: Scope, pace: Pace) -> Arc<Bucket> {
        let mut names = self.names();
        let there = names.buckets.get(name.as_str()).and_then(Weak::upgrade);
        let bucket = match there {
            Some(there) if there.tokens.pace() == pace => return there,
            Some(there) => Bucket {
                tokens: there.tokens.with_pace(pace, self.clock.steady()),
                name: name.as_str().into(),
                scope,
            },
            None => Bucket::full(name.as_str(), scope, pace),
        };
        let bucket = Arc::new(bucket);
        names.buckets.insert(name.into(), Arc::downgrade(&bucket));
        bucket
    }

    /// The rule of that name: the one that is there if it says the same, or a new one
    /// with its buckets' tokens.
    pub fn rule(&self, name: &str, limit: &RateLimit) -> Arc<Rule> {
        let name = format!("rule/{name}/{}", limit.key);
        let mut names = self.names();
        let there = names.rules.get(name.as_str()).and_then(Weak::upgrade);
        let rule = match there {
            Some(there) if there.says(limit) => return there,
            Some(there) => there.changed(limit, self.clock.steady()),
            None => Rule::new(name.as_str(), limit),
        };
        let rule = Arc::new(rule);
        names.rules.insert(name.into(), Arc::downgrade(&rule));
        rule
    }

    /// The account's bucket.
    pub fn account_bucket(&self, settings: &Settings) -> Arc<Bucket> {
        self.bucket("account".to_owned(), Scope::Account, account(settings))
    }

    /// Keys and plans, for requests to look up.
    pub fn directory(&self) -> Arc<Directory> {
        self.directory.load_full()
    }

    /// The key that a request may use in a stage, by the value that it sent:
    /// enabled, and in a usage plan for the stage.
    pub fn accepted_key(&self, value: &str, api_id: &str, stage: &str) -> Option<Arc<ApiKeyFacts>> {
        self.directory
            .load()
            .accepted(value, api_id, stage)
            .map(|holder| Arc::clone(&holder.key))
    }

    /// The clock that counts.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Whether requests are refused because the store does not answer.
    pub fn refuses_all(&self) -> bool {
        self.options.when_down == WhenDown::Closed && self.metrics.down.load(Ordering::Relaxed)
    }

    /// How the store fares.
    pub fn metrics(&self) -> &Arc<StoreMetrics> {
        &self.metrics
    }

    /// Where changes and usage are kept.
    pub fn store(&self) -> &dyn Store {
        &*self.store
    }

    /// What was refused and how the store fared, for metrics.
    pub fn counters(&self) -> Counters {
        let (saved, unsaved) = self.saver.standing();
        Counters {
            refused: self.tally.refusals(),
            decided_alone: self.tally.decided_alone.load(Ordering::Relaxed),
            store_failures: self.tally.store_failures.load(Ordering::Relaxed),
            saved,
            unsaved,
            store_answers: self.health.answers(),
            store: self.store.name(),
        }
    }

    /// Lets a request pass, or not.
    ///
    /// The request's key is [`Exchange::api_key`]; a route without `api_key_required`
    /// has no plan, whatever key was sent.
    ///
    /// # Errors
    ///
    /// The first limit that refuses it. Nothing is taken or counted then, but where the
    /// store did not answer in time: such a request may have been counted.
    pub async fn admit(&self, tolls: &RouteTolls, exchange: &Exchange<'_>) -> Result<(), Refusal> {
        let admitted = match self.store.shared() {
            Some(shared) => self.admit_shared(shared, tolls, exchange).await,
            None => match self.admit_here(tolls, exchange) {
                Ok(Some(count)) => self.settle(count).await,
                admitted => admitted.map(drop),
            },
        };
        if let Err(refusal) = &admitted {
            self.tally.refused(refusal.scope);
        }
        admitted
    }

    /// Decides by this process's counters. The result is the count, where something was
    /// counted that has to reach a store.
    fn admit_here(
        &self,
        tolls: &RouteTolls,
        exchange: &Exchange<'_>,
    ) -> Result<Option<Count>, Refusal> {
        let (now, wall) = (self.clock.steady(), exchange.received);
        let directory = self.directory.load();
        let membership = membership(&directory, tolls, exchange);
        if let Some(membership) = membership {
            membership
                .meter
                .peek(wall)
                .map_err(|used_up| quota_refusal(membership, used_up))?;
        }
        // Two buckets of the plan, the rules, the stage, the account.
        let mut held: [Option<Held<'_>>; MOST_RULES + 4] = [const { None }; MOST_RULES + 4];
        let mut count = 0;
        let taken = take_all(tolls, membership, &directory, exchange, now, |one| {
            held[count] = Some(one);
            count += 1;
        })
        .and_then(|()| match membership {
            Some(membership) => membership
                .meter
                .count(wall)
                .map_err(|used_up| quota_refusal(membership, used_up)),
            None => Ok(()),
        });
        if let Err(refusal) = taken {
            for one in held.into_iter().flatten() {
                match one {
                    Held::Bucket(bucket, taken) => bucket.tokens.refund(taken),
                    Held::Rule(rule, taken) => rule.refund(taken),
                }
            }
            return Err(refusal);
        }
        // In memory the meters keep their counts until somebody asks for them.
        Ok(membership
            .filter(|_| self.store.outlives())
            .map(|membership| self.saver.counted(membership.quota.is_some())))
    }

    /// Decides by counters that several gateways share.
    async fn admit_shared(
        &self,
        shared: &dyn SharedLimits,
        tolls: &RouteTolls,
        exchange: &Exchange<'_>,
    ) -> Result<(), Refusal> {
        if !self.health.may_ask(self.clock.steady()) {
            return self.without_store(tolls, exchange);
        }
        let directory = self.directory.load_full();
        let membership = membership(&directory, tolls, exchange);
        let (asks, refusals) = questions(tolls, membership, &directory, exchange);
        let asked = std::time::Instant::now();
        let answer = tokio::time::timeout(self.options.deadline, shared.take(asks)).await;
        let answer = answer.unwrap_or_else(|_| Err(self.too_slow()));
        self.metrics.asked(answer.is_ok(), asked.elapsed());
        let verdict = match answer {
            Ok(verdict) => verdict,
            Err(error) => {
                self.store_failed(&error);
                return self.without_store(tolls, exchange);
            }
        };
        self.store_answered();
        if verdict.revision != self.revision.load(Ordering::Acquire) {
            self.saver.wake_reload();
        }
        if let Some(membership) = membership.filter(|membership| membership.quota.is_some()) {
            membership.meter.note(exchange.received, verdict.used);
        }
        match verdict.refused {
            None => Ok(()),
            Some((index, wait)) => Err(refusals
                .into_iter()
                .nth(index)
                .map_or_else(Refusal::store_down, |refusal| refusal.told(wait))),
        }
    }

    /// Decides on a request while a shared store does not answer.
    fn without_store(&self, tolls: &RouteTolls, exchange: &Exchange<'_>) -> Result<(), Refusal> {
        let directory = self.directory.load();
        let against_quota = membership(&directory, tolls, exchange)
            .is_some_and(|membership| membership.quota.is_some());
        if self.options.when_down == WhenDown::Closed || self.is_strict(against_quota) {
            return Err(Refusal::store_down());
        }
        raise(&self.tally.decided_alone);
        self.admit_here(tolls, exchange).map(drop)
    }

    fn store_failed(&self, error: &StoreError) {
        self.health.failed(
            self.clock.steady(),
            self.store.name(),
            error,
            self.options.when_down,
            &self.tally.store_failures,
        );
    }

    fn store_answered(&self) {
        self.health.answered(self.store.name());
    }

    fn too_slow(&self) -> StoreError {
        StoreError::Slow {
            store: self.store.name(),
            limit: self.options.deadline,
        }
    }

    fn names(&self) -> MutexGuard<'_, Names> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Keeper for Limits {
    fn bucket(&self, name: String, scope: Scope, pace: Pace) -> Arc<Bucket> {
        Limits::bucket(self, name, scope, pace)
    }

    fn meter(&self, plan: &str, key: &str) -> Arc<Meter> {
        let mut names = self.names();
        let meter = names
            .meters
            .entry((plan.into(), key.into()))
            .or_insert_with(|| Arc::new(Meter::new(plan, key)));
        Arc::clone(meter)
    }
}

// === asking

/// The plan that counts for a request.
fn membership<'d>(
    directory: &'d Directory,
    tolls: &RouteTolls,
    exchange: &Exchange<'_>,
) -> Option<&'d Membership> {
    if !tolls.api_key_required {
        return None;
    }
    let key = exchange.api_key.as_ref()?;
    directory
        .by_id(&key.id)?
        .membership(&tolls.api_id, &tolls.stage)
}

/// The plan's buckets of a request, the method's first.
fn plan_buckets<'d>(
    tolls: &RouteTolls,
    membership: Option<&'d Membership>,
) -> impl Iterator<Item = &'d Arc<Bucket>> {
    membership.into_iter().flat_map(|membership| {
        membership
            .method_bucket(&tolls.api_id, &tolls.stage, &tolls.method)
            .into_iter()
            .chain(&membership.bucket)
    })
}

fn take_all<'t>(
    tolls: &'t RouteTolls,
    membership: Option<&'t Membership>,
    keys: &Directory,
    exchange: &Exchange<'_>,
    now: Duration,
    mut hold: impl FnMut(Held<'t>),
) -> Result<(), Refusal> {
    let bucket = |bucket: &'t Arc<Bucket>, hold: &mut dyn FnMut(Held<'t>)| {
        let taken = bucket
            .tokens
            .take(now)
            .map_err(|wait| bucket_refusal(bucket).after(wait))?;
        hold(Held::Bucket(bucket, taken));
        Ok(())
    };
    for one in plan_buckets(tolls, membership) {
        bucket(one, &mut hold)?;
    }
    for rule in &tolls.rules {
        let taken = rule
            .take(exchange, &tolls.endpoint, keys, now)
            .map_err(|wait| rule_refusal(rule).after(wait))?;
        hold(Held::Rule(rule, taken));
    }
    for one in tolls.stage_bucket.iter().chain([&tolls.account]) {
        bucket(one, &mut hold)?;
    }
    Ok(())
}

/// What a shared store is asked, and what each refusal would mean.
fn questions(
    tolls: &RouteTolls,
    membership: Option<&Membership>,
    keys: &Directory,
    exchange: &Exchange<'_>,
) -> (Vec<Ask>, Vec<Refusal>) {
    let (mut asks, mut refusals) = (Vec::new(), Vec::new());
    if let Some(membership) = membership {
        let day = Day::of(exchange.received);
        let quota = membership.quota.as_ref();
        let limit = quota.map(|quota| quota.limit_of(day));
        asks.push(Ask::Quota {
            plan: membership.meter.plan().to_owned(),
            key: membership.meter.key().to_owned(),
            day,
            period: quota.map_or(day, |quota| quota.period.start(day)),
            limit,
        });
        let wait = quota.map_or(Duration::MAX, |quota| quota.until_next(exchange.received));
        let limit = limit.unwrap_or(u64::MAX);
        refusals.push(quota_refusal(membership, UsedUp { limit, wait }));
    }
    for bucket in plan_buckets(tolls, membership) {
        asks.push(bucket.ask());
        refusals.push(bucket_refusal(bucket));
    }
    for rule in &tolls.rules {
        asks.push(rule.ask(exchange, &tolls.endpoint, keys));
        refusals.push(rule_refusal(rule));
    }
    for bucket in tolls.stage_bucket.iter().chain([&tolls.account]) {
        asks.push(bucket.ask());
        refusals.push(bucket_refusal(bucket));
    }
    (asks, refusals)
}

fn bucket_refusal(bucket: &Bucket) -> Refusal {
    let pace = bucket.tokens.pace();
    Refusal::throttled(bucket.scope, u64::from(pace.burst()), pace.window())
}

fn rule_refusal(rule: &Rule) -> Refusal {
    Refusal::throttled(Scope::Rule, u64::from(rule.limit), rule.period)
}

fn quota_refusal(membership: &Membership, used_up: UsedUp) -> Refusal {
    let days = membership.quota.map_or(1, |quota| {
        let today = Day(0);
        quota.period.end(today).0 - quota.period.start(today).0
    });
    let window = Duration::from_secs(u64::from(days.unsigned_abs()) * 86_400);
    Refusal::quota(used_up.limit, window).after(used_up.wait)
}
