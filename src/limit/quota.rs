//! Quotas: how many requests of a key a usage plan lets pass in a day, week or month.
//!
//! Periods begin at midnight UTC: a week's on Sunday, a month's on the first.
//! `offset` is what the API reference says: "the number of requests subtracted
//! from the given limit in the initial time period".
//!
//! A [`Meter`] counts the requests of one key under one plan, whether the plan
//! has a quota or not: `GetUsage` tells of both. What it counted waits here until
//! it is saved in the [`store`](crate::store).

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::settings::QuotaPeriod;
use crate::store::{Day, Used};

/// A quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// Requests in a period.
    pub limit: u64,
    /// How long a period is.
    pub period: Period,
    /// Requests taken off the first period.
    pub offset: u64,
    /// A day of the first period: when the plan was made.
    pub begin: Day,
}

/// A quota's period, as AWS writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Period {
    /// From midnight.
    Day,
    /// From Sunday.
    Week,
    /// From the first.
    Month,
}

impl From<QuotaPeriod> for Period {
    fn from(period: QuotaPeriod) -> Self {
        match period {
            QuotaPeriod::Day => Self::Day,
            QuotaPeriod::Week => Self::Week,
            QuotaPeriod::Month => Self::Month,
        }
    }
}

impl Period {
    /// The first day of the period that `day` is in.
    pub fn start(self, day: Day) -> Day {
        match self {
            Self::Day => day,
            // Day 0, 1970-01-01, was a Thursday: four days after a Sunday.
            Self::Week => Day(day.0 - (day.0 + 4).rem_euclid(7)),
            Self::Month => Day(day.0 - i32::from(day.civil().day()) + 1),
        }
    }

    /// The first day after the period that `day` is in.
    pub fn end(self, day: Day) -> Day {
        let start = self.start(day);
        match self {
            Self::Day => Day(start.0 + 1),
            Self::Week => Day(start.0 + 7),
            Self::Month => Day(start.0 + i32::from(start.civil().days_in_month())),
        }
    }
}

impl Quota {
    /// Requests that may pass in the period that `day` is in.
    pub fn limit_of(&self, day: Day) -> u64 {
        if self.period.start(day) == self.period.start(self.begin) {
            self.limit.saturating_sub(self.offset)
        } else {
            self.limit
        }
    }

    /// How long until the next period begins.
    pub fn until_next(&self, now: Duration) -> Duration {
        self.period.end(Day::of(now)).begins().saturating_sub(now)
    }
}

/// Counts the requests of one key under one plan.
#[derive(Debug)]
pub struct Meter {
    plan: Box<str>,
    key: Box<str>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The first day of the period that `used` is of.
    period: Day,
    used: u64,
    /// Requests more than the limit that an operator granted in this period; may be below 0.
    extra: i64,
    /// Counted, but not in the store yet: one entry a day and period, so hardly ever more than one.
    unsaved: Vec<Used>,
}

/// Why a quota lets nobody pass: it is used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UsedUp {
    /// The limit, extensions counted.
    pub limit: u64,
    /// How long until the next period.
    pub wait: Duration,
}

impl Meter {
    /// A meter at nought.
    pub fn new(plan: &str, key: &str) -> Self {
        Self {
            plan: plan.into(),
            key: key.into(),
            state: Mutex::default(),
        }
    }

    /// The plan's id.
    pub fn plan(&self) -> &str {
        &self.plan
    }

    /// The key's id.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Counts on from what is known of the period that begins at `period`.
    pub fn restore(&self, period: Day, used: u64, extra: i64) {
        let mut state = self.lock();
        let unsaved: u64 = state
            .unsaved
            .iter()
            .filter(|unsaved| unsaved.day >= period)
            .map(|unsaved| unsaved.count)
            .sum();
        state.period = period;
        state.used = used + unsaved;
        state.extra = extra;
    }

    /// Whether a request may pass at `now`; counts nothing.
    ///
    /// # Errors
    ///
    /// Where the quota is used up.
    pub fn peek(&self, quota: Option<&Quota>, now: Duration) -> Result<(), UsedUp> {
        let Some(quota) = quota else { return Ok(()) };
        let mut state = self.lock();
        state.turn(quota.period, Day::of(now));
        state.check(quota, now)
    }

    /// Counts a request, if it may pass at `now`.
    ///
    /// # Errors
    ///
    /// Where the quota is used up; nothing is counted then.
    pub fn count(&self, quota: Option<&Quota>, now: Duration) -> Result<(), UsedUp> {
        let day = Day::of(now);
        let period = quota.map_or(Period::Day, |quota| quota.period);
        let mut state = self.lock();
        state.turn(period, day);
        if let Some(quota) = quota {
            state.check(quota, now)?;
        }
        state.used += 1;
        let period = state.period;
        match state.unsaved.last_mut() {
            Some(last) if last.day == day && last.period == period => last.count += 1,
            _ => state.unsaved.push(Used {
                plan: self.plan.to_string(),
                key: self.key.to_string(),
                day,
                period,
                count: 1,
            }),
        }
        Ok(())
    }

    /// Notes what another gateway and this one used together, where a shared store counts.
    pub fn note(&self, quota: &Quota, now: Duration, used: u64) {
        let mut state = self.lock();
        state.turn(quota.period, Day::of(now));
        state.used = state.used.max(used);
    }

    /// What was counted and is not saved yet. The caller saves it, or brings it back.
    pub fn take_unsaved(&self, into: &mut Vec<Used>) {
        let mut state = self.lock();
        // The entry of today keeps its place, so that counting on allocates nothing.
        into.extend(state.unsaved.iter().filter(|used| used.count > 0).cloned());
        if state.unsaved.len() > 1 {
            let last = state.unsaved.len() - 1;
            state.unsaved.drain(..last);
        }
        if let Some(last) = state.unsaved.last_mut() {
            last.count = 0;
        }
    }

    /// Brings back what could not be saved.
    pub fn bring_back(&self, unsaved: Used) {
        let mut state = self.lock();
        let entry = state
            .unsaved
            .iter_mut()
            .find(|entry| entry.day == unsaved.day && entry.period == unsaved.period);
        match entry {
            Some(entry) => entry.count += unsaved.count,
            None => state.unsaved.insert(0, unsaved),
        }
    }

    /// Requests counted in the period at `now`, and the extension that was granted.
    pub fn used(&self, period: Period, now: Duration) -> (u64, i64) {
        let mut state = self.lock();
        state.turn(period, Day::of(now));
        (state.used, state.extra)
    }

    /// Grants `extra` requests more (or fewer) in the period at `now`.
    pub fn grant(&self, period: Period, now: Duration, extra: i64) {
        let mut state = self.lock();
        state.turn(period, Day::of(now));
        state.extra = extra;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code can panic between two changes that belong together.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Begins a new period where `day` is in another one. A day before the
    /// period, after the clock was set back, still counts in it.
    fn turn(&mut self, period: Period, day: Day) {
        let start = period.start(day);
        if start > self.period {
            self.period = start;
            self.used = 0;
            self.extra = 0;
        }
    }

    fn check(&self, quota: &Quota, now: Duration) -> Result<(), UsedUp> {
        let limit = quota
            .limit_of(Day::of(now))
            .saturating_add_signed(self.extra);
        if self.used < limit {
            return Ok(());
        }
        Err(UsedUp {
            limit,
            wait: quota.until_next(now),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Duration {
        let time: jiff::Timestamp = text.parse().unwrap();
        Duration::try_from(time.as_duration()).unwrap()
    }

    fn day(text: &str) -> Day {
        text.parse().unwrap()
    }

    fn quota(limit: u64, period: Period) -> Quota {
        Quota {
            limit,
            period,
            offset: 0,
            begin: day("2020-01-01"),
        }
    }

    #[test]
    fn weeks_begin_on_sunday_and_months_on_the_first() {
        // 2026-11-24 is a Tuesday.
        assert_eq!(Period::Week.start(day("2026-11-24")), day("2026-11-22"));
        assert_eq!(Period::Week.end(day("2026-11-22")), day("2026-11-29"));
        assert_eq!(Period::Month.start(day("2024-02-29")), day("2024-02-01"));
        assert_eq!(Period::Month.end(day("2024-02-10")), day("2024-03-01"));
        assert_eq!(Period::Day.end(day("2026-12-31")), day("2027-01-01"));
    }

    #[test]
    fn a_quota_is_there_again_at_midnight_utc() {
        let meter = Meter::new("p", "k");
        let quota = quota(2, Period::Day);
        let late = at("2026-11-24T23:59:58Z");
        for _ in 0..2 {
            assert_eq!(meter.count(Some(&quota), late), Ok(()));
        }

        let refused = meter.count(Some(&quota), late).unwrap_err();

        assert_eq!(refused.wait, Duration::from_secs(2));
        assert!(meter.peek(Some(&quota), late + refused.wait).is_ok());
        assert!(meter.count(Some(&quota), late + refused.wait).is_ok());
    }

    #[test]
    fn the_offset_is_taken_off_the_first_period_alone() {
        let meter = Meter::new("p", "k");
        let quota = Quota {
            offset: 1,
            begin: day("2026-11-03"),
            ..quota(3, Period::Month)
        };
        let passes = |now| {
            (0..5)
                .filter(|_| meter.count(Some(&quota), now).is_ok())
                .count()
        };

        assert_eq!(passes(at("2026-11-24T10:00:00Z")), 2);
        assert_eq!(passes(at("2026-12-01T00:00:00Z")), 3);
    }

    #[test]
    fn an_extension_ends_with_the_period() {
        let meter = Meter::new("p", "k");
        let quota = quota(1, Period::Day);
        let now = at("2026-11-24T10:00:00Z");
        meter.grant(Period::Day, now, 2);
        let passes = |now| {
            (0..5)
                .filter(|_| meter.count(Some(&quota), now).is_ok())
                .count()
        };

        assert_eq!(passes(now), 3);
        assert_eq!(passes(at("2026-11-25T10:00:00Z")), 1);
    }

    #[test]
    fn a_clock_that_was_set_back_opens_no_second_quota() {
        let meter = Meter::new("p", "k");
        let quota = quota(1, Period::Day);
        assert!(
            meter
                .count(Some(&quota), at("2026-11-24T10:00:00Z"))
                .is_ok()
        );

        assert!(
            meter
                .count(Some(&quota), at("2026-11-23T10:00:00Z"))
                .is_err()
        );
        assert!(
            meter
                .count(Some(&quota), at("2026-11-24T11:00:00Z"))
                .is_err()
        );
    }

    #[test]
    fn what_is_taken_to_be_saved_is_given_once() {
        let meter = Meter::new("p", "k");
        for day in [
            "2026-11-24T10:00:00Z",
            "2026-11-24T11:00:00Z",
            "2026-11-25T00:00:00Z",
        ] {
            assert!(meter.count(None, at(day)).is_ok());
        }

        let (mut first, mut second) = (Vec::new(), Vec::new());
        meter.take_unsaved(&mut first);
        meter.take_unsaved(&mut second);

        let counts: Vec<(Day, u64)> = first.iter().map(|used| (used.day, used.count)).collect();
        assert_eq!(counts, [(day("2026-11-24"), 2), (day("2026-11-25"), 1)]);
        assert!(second.is_empty());
        meter.bring_back(first[0].clone());
        meter.take_unsaved(&mut second);
        assert_eq!(second, [first[0].clone()]);
    }

    #[test]
    fn of_many_simultaneous_requests_exactly_the_quota_passes() {
        let meter = Meter::new("p", "k");
        let quota = quota(777, Period::Month);
        let now = at("2026-11-24T10:00:00Z");

        let passed: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|_| {
                    scope.spawn(|| {
                        (0..500)
                            .filter(|_| meter.count(Some(&quota), now).is_ok())
                            .count()
                    })
                })
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .sum()
        });

        assert_eq!(passed, 777);
    }
}
