//! Keys and plans that are in force: what the configuration says, under what was
//! changed while serving.
//!
//! Changes come one after the other, also while the store writes them. Each makes
//! a whole new [`Directory`], which requests find from then on; buckets and meters
//! carry over by their names.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Limits;
use super::quota::Quota;
use super::token_bucket::Pace;
use super::usage_plan::{Change, Directory, Keeper, Records, UsagePlan};
use crate::model::settings::Settings;
use crate::store::{Day, Grant, Record, StoreError, Used};

/// Keys and plans: what the file says, and what is in force.
#[derive(Debug)]
pub(super) struct Live {
    configured: Records,
    /// As last read from the store.
    kept: Vec<Record>,
    records: Records,
    account: Pace,
    /// A configuration was put in force before.
    begun: bool,
}

impl Default for Live {
    fn default() -> Self {
        Self {
            configured: Records::default(),
            kept: Vec::new(),
            records: Records::default(),
            account: account(&Settings::default()),
            begun: false,
        }
    }
}

/// What a plan says of keys, plans and the account: put in force together with it.
#[derive(Clone, Debug)]
pub struct Configured {
    records: Records,
    account: Pace,
}

impl Configured {
    /// Of the configuration.
    pub fn new(settings: &Settings) -> Self {
        Self {
            records: Records::of_settings(settings, Day(0)),
            account: account(settings),
        }
    }
}

impl Default for Configured {
    fn default() -> Self {
        Self::new(&Settings::default())
    }
}

/// The account's rate and burst.
pub(super) fn account(settings: &Settings) -> Pace {
    let defaults = Settings::default().throttle;
    let throttle = settings.throttle;
    Pace::new(
        throttle
            .rate_limit
            .or(defaults.rate_limit)
            .unwrap_or(f64::MAX),
        throttle
            .burst_limit
            .or(defaults.burst_limit)
            .unwrap_or(u32::MAX),
    )
}

/// Whether what was used has to be counted anew: in other periods, or of keys that join a plan.
fn counts_anew(before: &Records, after: &Records) -> bool {
    let period = |records: &Records, plan: &String| {
        let plan = records.plans.get(plan)?;
        plan.quota.map(|quota| quota.period)
    };
    after.members.keys().any(|member| {
        let (plan, _) = member;
        !before.members.contains_key(member) || period(before, plan) != period(after, plan)
    })
}

/// How much a change of the records takes, for callers that check first.
pub type Decide<'d, T, E> = &'d (dyn Fn(&Records) -> Result<(T, Vec<Change>), E> + Send + Sync);

/// Why a change was not made.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError<E> {
    /// The caller's own reason.
    #[error("refused")]
    Refused(E),
    /// It could not be kept.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Limits {
    /// Puts what a plan's configuration says in force, under what was changed while serving.
    ///
    /// Changes that are on their way to the store finish first, and where a reload changes
    /// a quota's period or who is in a plan, the store is asked what was used: meanwhile
    /// the configuration before stays in force.
    pub fn configure(self: &Arc<Self>, configured: &Configured) {
        if let Ok(mut live) = self.live.try_lock() {
            let records = self.records_of(&live, configured);
            let runtime = tokio::runtime::Handle::try_current();
            if !live.begun || !counts_anew(&live.records, &records) || runtime.is_err() {
                self.configure_now(&mut live, configured);
                return;
            }
        }
        let (this, configured) = (Arc::clone(self), configured.clone());
        tokio::spawn(async move {
            let mut live = this.live.lock().await;
            let records = this.records_of(&live, &configured);
            if counts_anew(&live.records, &records)
                && let Err(error) = this.restore_meters(&records).await
            {
                tracing::error!(%error, "what was used of changed quotas could not be read");
            }
            this.configure_now(&mut live, &configured);
        });
    }

    /// What will be in force: plans that are there already keep their first day.
    fn records_of(&self, live: &Live, configured: &Configured) -> Records {
        let mut records = self.dated(live, configured);
        // What cannot be read is told when it is put in force.
        records.overlay(&live.kept);
        records
    }

    fn dated(&self, live: &Live, configured: &Configured) -> Records {
        let today = Day::of(self.clock.since_epoch());
        let mut records = configured.records.clone();
        for (id, plan) in &mut records.plans {
            plan.begin = live
                .configured
                .plans
                .get(id)
                .map_or(today, |before| before.begin);
        }
        records
    }

    fn configure_now(&self, live: &mut Live, configured: &Configured) {
        live.configured = self.dated(live, configured);
        live.account = configured.account;
        live.begun = true;
        self.rebuild(live);
    }

    /// Makes the directory of what is configured and kept.
    fn rebuild(&self, live: &mut Live) {
        live.records = live.configured.clone();
        for problem in live.records.overlay(&live.kept) {
            tracing::error!("a record of the store cannot be read: {problem}");
        }
        self.publish(live);
    }

    fn publish(&self, live: &Live) {
        let directory = Directory::build(&live.records, self, live.account);
        self.directory.store(Arc::new(directory));
        let mut names = self.names();
        names.buckets.retain(|_, bucket| bucket.strong_count() > 0);
        names.rules.retain(|_, rule| rule.strong_count() > 0);
    }

    /// Reads what the store keeps: records, usage of the periods that run, grants.
    ///
    /// # Errors
    ///
    /// Where the store does not give it.
    pub async fn restore(&self) -> Result<(), StoreError> {
        let mut live = self.live.lock().await;
        self.restore_records(&mut live).await?;
        self.restore_meters(&live.records).await
    }

    async fn restore_records(&self, live: &mut Live) -> Result<(), StoreError> {
        if let Some(shared) = self.store.shared() {
            // Before the records: a change in between is seen as one more.
            self.revision
                .store(shared.revision().await?, Ordering::Release);
        }
        let mut kept = self.store.records().await?;
        let begins = live.configured.begins(&kept);
        if !begins.is_empty() {
            self.store.write(begins.clone()).await?;
            kept.extend(begins);
        }
        live.kept = kept;
        self.rebuild(live);
        Ok(())
    }

    /// Sets the meters to what the store knows and what has not reached it yet.
    async fn restore_meters(&self, records: &Records) -> Result<(), StoreError> {
        let now = self.clock.since_epoch();
        let today = Day::of(now);
        // The longest period is a month.
        let since = Day(today.0 - 31);
        let _saving = self.saver.exclusive().await;
        self.save_locked().await?;
        let used = self.store.used(None, since, Day(today.0 + 1)).await?;
        let grants = self.store.grants(since).await?;
        let mut by_key: HashMap<(&str, &str), Vec<(Day, u64)>> = HashMap::new();
        for used in &used {
            by_key
                .entry((&used.plan, &used.key))
                .or_default()
                .push((used.day, used.count));
        }
        for (plan, key) in records.members.keys() {
            let Some(quota) = records.plans.get(plan).and_then(|plan| plan.quota()) else {
                continue;
            };
            let period = quota.period.start(today);
            let used = by_key
                .get(&(plan.as_str(), key.as_str()))
                .into_iter()
                .flatten()
                .filter(|(day, _)| *day >= period)
                .map(|(_, count)| count)
                .sum();
            let extra = grants
                .iter()
                .find(|grant| grant.plan == *plan && grant.key == *key && grant.period == period)
                .map_or(0, |grant| grant.extra);
            self.meter(plan, key).restore(quota, period, used, extra);
        }
        Ok(())
    }

    /// What is in force.
    pub async fn records(&self) -> Records {
        self.live.lock().await.records.clone()
    }

    /// Asks `decide` what to change, keeps that in the store, and puts it in force:
    /// the next request sees it.
    ///
    /// # Errors
    ///
    /// `decide`'s own, or the store's; nothing is changed then.
    pub async fn change<T, E>(&self, decide: Decide<'_, T, E>) -> Result<T, ChangeError<E>> {
        let mut live = self.live.lock().await;
        let (value, changes) = decide(&live.records).map_err(ChangeError::Refused)?;
        if changes.is_empty() {
            return Ok(value);
        }
        let mut records = live.records.clone();
        let mut written = Vec::new();
        for change in changes {
            written.extend(records.record(&change, &live.configured));
            records.apply(change);
        }
        self.store.write(written.clone()).await?;
        for record in written {
            live.kept
                .retain(|kept| kept.kind != record.kind || kept.id != record.id);
            if record.body.is_some() {
                live.kept.push(record);
            }
        }
        let recounted = match counts_anew(&live.records, &records) {
            true => self.restore_meters(&records).await,
            false => Ok(()),
        };
        // It is kept, so it is in force, too.
        live.records = records;
        self.publish(&live);
        recounted?;
        Ok(value)
    }

    /// Grants requests beyond a quota: `remaining` are left then in the period that runs.
    ///
    /// # Errors
    ///
    /// Where the store does not keep it.
    pub async fn grant(
        &self,
        plan: &UsagePlan,
        key: &str,
        remaining: u64,
    ) -> Result<(), StoreError> {
        let Some(quota) = plan.quota() else {
            return Ok(());
        };
        let _one_at_a_time = self.live.lock().await;
        let now = self.clock.since_epoch();
        let today = Day::of(now);
        let period = quota.period.start(today);
        let meter = self.meter(&plan.id, key);
        self.save().await?;
        let used = match self.store.shared() {
            // Another gateway may have counted, too.
            Some(_) => self.used_since(&plan.id, key, period, today).await?,
            None => meter.used(now).0,
        };
        let signed = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let extra = signed(remaining).saturating_add(signed(used)) - signed(quota.limit_of(today));
        self.store
            .grant(Grant {
                plan: plan.id.clone(),
                key: key.to_owned(),
                period,
                extra,
            })
            .await?;
        meter.grant(now, extra);
        Ok(())
    }

    async fn used_since(
        &self,
        plan: &str,
        key: &str,
        since: Day,
        today: Day,
    ) -> Result<u64, StoreError> {
        let used = self.store.used(Some(plan), since, today).await?;
        Ok(used
            .iter()
            .filter(|used| used.key == key)
            .map(|used| used.count)
            .sum())
    }

    /// Usage of a plan by day, up to this moment.
    ///
    /// # Errors
    ///
    /// Where the store does not tell.
    pub async fn usage(&self, plan: &str, from: Day, to: Day) -> Result<Usage, StoreError> {
        self.save().await?;
        Ok(Usage {
            used: self.store.used(Some(plan), from, to).await?,
            grants: self.store.grants(from).await?,
        })
    }
}

/// What a plan's keys used, and what they were granted.
#[derive(Clone, Debug, Default)]
pub struct Usage {
    /// By key and day.
    pub used: Vec<Used>,
    /// By key and period.
    pub grants: Vec<Grant>,
}

impl Usage {
    /// For each day from `from` to `to` what a key used and what remained of its
    /// quota in the evening. `self` reaches back to the begin of `from`'s period.
    /// Without a quota nothing is said of what remains.
    pub fn daily(
        &self,
        plan: &UsagePlan,
        key: &str,
        from: Day,
        to: Day,
    ) -> Vec<(u64, Option<u64>)> {
        let quota = plan.quota();
        let of_day = |day: Day| -> u64 {
            self.used
                .iter()
                .filter(|used| used.key == key && used.day == day && used.plan == plan.id)
                .map(|used| used.count)
                .sum()
        };
        let remaining = |quota: &Quota, day: Day| {
            let period = quota.period.start(day);
            let extra = self
                .grants
                .iter()
                .find(|grant| grant.key == key && grant.plan == plan.id && grant.period == period)
                .map_or(0, |grant| grant.extra);
            let used: u64 = (period.0..=day.0).map(|day| of_day(Day(day))).sum();
            quota
                .limit_of(day)
                .saturating_add_signed(extra)
                .saturating_sub(used)
        };
        (from.0..=to.0)
            .map(|day| {
                let day = Day(day);
                (
                    of_day(day),
                    quota.as_ref().map(|quota| remaining(quota, day)),
                )
            })
            .collect()
    }
}
