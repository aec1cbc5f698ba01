//! Quotas: how many requests of a key a usage plan lets pass in a day, week or month.
//!
//! Periods begin at midnight UTC: a week's on Sunday, a month's on the first.
//! `offset` is what the API reference says: "the number of requests subtracted
//! from the given limit in the initial time period".
//!
//! A [`Meter`] counts the requests of one key under one plan, whether the plan
//! has a quota or not: `GetUsage` tells of both. What it counted waits here until
//! it is saved in the [`store`](crate::store).

use std::sync::atomic::{AtomicU64, Ordering};
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
///
/// Most requests pass by one atomic number, the lease: how many may still pass on a
/// day. Everything else takes it back first, under the lock, and then knows exactly
/// how many came by it.
#[derive(Debug)]
pub struct Meter {
    plan: Box<str>,
    key: Box<str>,
    /// The day above [`ROOM_BITS`], and below how many requests may pass on it.
    lease: AtomicU64,
    state: Mutex<State>,
}

/// Bits of a lease that say how many; AWS's quotas are below 2^31.
const ROOM_BITS: u32 = 40;
/// The most that a lease holds.
const MOST_ROOM: u64 = (1 << ROOM_BITS) - 1;

#[derive(Debug, Default)]
struct State {
    quota: Option<Quota>,
    /// The first day of the period that `used` is of.
    period: Day,
    /// Those that came by a lease that is out are not in it yet.
    used: u64,
    /// Requests more than the limit that an operator granted in this period; may be below 0.
    extra: i64,
    /// The lease that is out, as it was given.
    leased: u64,
    leased_day: Day,
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
    /// A meter at nought, without a quota.
    pub fn new(plan: &str, key: &str) -> Self {
        Self {
            plan: plan.into(),
            key: key.into(),
            lease: AtomicU64::new(0),
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

    /// Puts the plan's quota in force, or none. What was counted stays.
    pub fn set_quota(&self, quota: Option<Quota>) {
        self.lock().quota = quota;
    }

    /// Puts a quota in force, and counts on from what is known of its period that begins at
    /// `period`: no request is judged by the one without the other.
    pub fn restore(&self, quota: Quota, period: Day, used: u64, extra: i64) {
        let mut state = self.lock();
        state.quota = Some(quota);
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
    pub fn peek(&self, now: Duration) -> Result<(), UsedUp> {
        let day = Day::of(now);
        if has_room(self.lease.load(Ordering::Relaxed), tag(day)) {
            return Ok(());
        }
        let mut state = self.lock();
        state.turn(day);
        state.check(now)?;
        self.give_lease(&mut state, day);
        Ok(())
    }

    /// Counts a request, if it may pass at `now`.
    ///
    /// # Errors
    ///
    /// Where the quota is used up; nothing is counted then.
    pub fn count(&self, now: Duration) -> Result<(), UsedUp> {
        let day = Day::of(now);
        // Relaxed: the number stands for itself, nothing else is read by it.
        let mut lease = self.lease.load(Ordering::Relaxed);
        while has_room(lease, tag(day)) {
            match self.lease.compare_exchange_weak(
                lease,
                lease - 1,
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => return Ok(()),
                Err(moved) => lease = moved,
            }
        }
        let mut state = self.lock();
        state.turn(day);
        state.check(now)?;
        self.add(&mut state, day, 1);
        self.give_lease(&mut state, day);
        Ok(())
    }

    /// Notes what another gateway and this one used together, where a shared store counts.
    pub fn note(&self, now: Duration, used: u64) {
        let mut state = self.lock();
        state.turn(Day::of(now));
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
    pub fn used(&self, now: Duration) -> (u64, i64) {
        let mut state = self.lock();
        state.turn(Day::of(now));
        (state.used, state.extra)
    }

    /// Grants `extra` requests more (or fewer) in the period at `now`.
    pub fn grant(&self, now: Duration, extra: i64) {
        let mut state = self.lock();
        state.turn(Day::of(now));
        state.extra = extra;
    }

    /// The state, with the lease taken back and counted: nobody passes without the lock
    /// until another one is given.
    fn lock(&self) -> MutexGuard<'_, State> {
        // No code can panic between two changes that belong together.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let left = self.lease.swap(0, Ordering::Relaxed) & MOST_ROOM;
        let came = std::mem::take(&mut state.leased) - left;
        if came > 0 {
            let day = state.leased_day;
            self.add(&mut state, day, came);
        }
        state
    }

    /// Lets as many requests as may still pass on `day` do so without the lock.
    fn give_lease(&self, state: &mut State, day: Day) {
        let Some(tag) = tag(day) else { return };
        let room = match &state.quota {
            Some(quota) => state.limit(quota, day).saturating_sub(state.used),
            None => MOST_ROOM,
        };
        state.leased = room.min(MOST_ROOM);
        state.leased_day = day;
        self.lease
            .store((tag << ROOM_BITS) | state.leased, Ordering::Relaxed);
    }

    fn add(&self, state: &mut State, day: Day, count: u64) {
        state.used += count;
        let period = state.period;
        match state.unsaved.last_mut() {
            Some(last) if last.day == day && last.period == period => last.count += count,
            _ => state.unsaved.push(Used {
                plan: self.plan.to_string(),
                key: self.key.to_string(),
                day,
                period,
                count,
            }),
        }
    }
}

/// What tells a day's lease from another's; none for days that have no place in one,
/// before 1970 and after the year 47,000.
fn tag(day: Day) -> Option<u64> {
    let day = u64::try_from(day.0).ok()?;
    (day < 1 << (u64::BITS - ROOM_BITS)).then_some(day)
}

fn has_room(lease: u64, tag: Option<u64>) -> bool {
    Some(lease >> ROOM_BITS) == tag && lease & MOST_ROOM > 0
}

impl State {
    /// Begins a new period where `day` is in another one. A day before the
    /// period, after the clock was set back, still counts in it.
    fn turn(&mut self, day: Day) {
        let period = self.quota.map_or(Period::Day, |quota| quota.period);
        let start = period.start(day);
        if start > self.period {
            self.period = start;
            self.used = 0;
            self.extra = 0;
        }
    }

    /// With what was granted.
    fn limit(&self, quota: &Quota, day: Day) -> u64 {
        quota.limit_of(day).saturating_add_signed(self.extra)
    }

    fn check(&self, now: Duration) -> Result<(), UsedUp> {
        let Some(quota) = &self.quota else {
            return Ok(());
        };
        let limit = self.limit(quota, Day::of(now));
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
    use proptest::prelude::*;

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

    fn metered(quota: Quota) -> Meter {
        let meter = Meter::new("p", "k");
        meter.set_quota(Some(quota));
        meter
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
        let meter = metered(quota(2, Period::Day));
        let late = at("2026-11-24T23:59:58Z");
        for _ in 0..2 {
            assert_eq!(meter.count(late), Ok(()));
        }

        let refused = meter.count(late).unwrap_err();

        assert_eq!(refused.wait, Duration::from_secs(2));
        assert!(meter.peek(late + refused.wait).is_ok());
        assert!(meter.count(late + refused.wait).is_ok());
    }

    #[test]
    fn the_offset_is_taken_off_the_first_period_alone() {
        let meter = metered(Quota {
            offset: 1,
            begin: day("2026-11-03"),
            ..quota(3, Period::Month)
        });
        let passes = |now| (0..5).filter(|_| meter.count(now).is_ok()).count();

        assert_eq!(passes(at("2026-11-24T10:00:00Z")), 2);
        assert_eq!(passes(at("2026-12-01T00:00:00Z")), 3);
    }

    #[test]
    fn an_extension_ends_with_the_period() {
        let meter = metered(quota(1, Period::Day));
        let now = at("2026-11-24T10:00:00Z");
        meter.grant(now, 2);
        let passes = |now| (0..5).filter(|_| meter.count(now).is_ok()).count();

        assert_eq!(passes(now), 3);
        assert_eq!(passes(at("2026-11-25T10:00:00Z")), 1);
    }

    #[test]
    fn a_clock_that_was_set_back_opens_no_second_quota() {
        let meter = metered(quota(1, Period::Day));
        assert!(meter.count(at("2026-11-24T10:00:00Z")).is_ok());

        assert!(meter.count(at("2026-11-23T10:00:00Z")).is_err());
        assert!(meter.count(at("2026-11-24T11:00:00Z")).is_err());
    }

    #[test]
    fn what_is_taken_to_be_saved_is_given_once() {
        let meter = Meter::new("p", "k");
        for day in [
            "2026-11-24T10:00:00Z",
            "2026-11-24T11:00:00Z",
            "2026-11-25T00:00:00Z",
        ] {
            assert!(meter.count(at(day)).is_ok());
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
        let meter = metered(quota(777, Period::Month));
        let now = at("2026-11-24T10:00:00Z");

        let passed: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| (0..500).filter(|_| meter.count(now).is_ok()).count()))
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .sum()
        });

        assert_eq!(passed, 777);
    }

    #[test]
    fn no_request_is_lost_or_counted_twice_while_others_read_save_and_change() {
        const THREADS: usize = 4;
        const EACH: usize = 2_000;
        let meter = metered(quota(5_000, Period::Month));
        let now = at("2026-11-24T10:00:00Z");
        let running = AtomicU64::new(THREADS as u64);

        let (passed, saved) = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS)
                .map(|_| {
                    scope.spawn(|| {
                        let passed = (0..EACH)
                            .filter(|_| meter.peek(now).is_ok() && meter.count(now).is_ok())
                            .count();
                        running.fetch_sub(1, Ordering::Relaxed);
                        passed
                    })
                })
                .collect();
            let mut saved = Vec::new();
            while running.load(Ordering::Relaxed) > 0 {
                meter.take_unsaved(&mut saved);
                if let Some(back) = saved.pop() {
                    meter.bring_back(back);
                }
                meter.set_quota(Some(quota(5_000, Period::Month)));
                assert!(meter.used(now).0 <= 5_000);
            }
            let passed: usize = threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .sum();
            meter.take_unsaved(&mut saved);
            (passed, saved)
        });

        assert_eq!(passed, 5_000);
        assert_eq!(saved.iter().map(|used| used.count).sum::<u64>(), 5_000);
        assert_eq!(meter.used(now), (5_000, 0));
    }

    /// What may be done to a meter.
    #[derive(Clone, Debug)]
    enum Act {
        Peek,
        Count(u8),
        Later(u32),
        Earlier(u32),
        Grant(i64),
        Save,
        Quota(Option<(u64, Period)>),
    }

    fn act() -> impl Strategy<Value = Act> {
        let period = prop_oneof![Just(Period::Day), Just(Period::Week), Just(Period::Month)];
        prop_oneof![
            2 => Just(Act::Peek),
            6 => (1..9_u8).prop_map(Act::Count),
            3 => (0..200_000_u32).prop_map(Act::Later),
            1 => (0..100_000_u32).prop_map(Act::Earlier),
            1 => (-3..9_i64).prop_map(Act::Grant),
            1 => Just(Act::Save),
            1 => proptest::option::of((0..20_u64, period)).prop_map(Act::Quota),
        ]
    }

    proptest! {
        /// The rule itself, one number after the other, without a lease.
        #[test]
        fn a_meter_does_what_plain_counting_does(acts in proptest::collection::vec(act(), 0..80)) {
            let meter = Meter::new("p", "k");
            let mut now = at("2026-11-24T10:00:00Z");
            let (mut rule, mut begins, mut used, mut extra) = (None::<Quota>, Day(0), 0_u64, 0_i64);
            let (mut all, mut saved) = (0, Vec::new());
            for act in acts {
                let start = rule.map_or(Period::Day, |rule| rule.period).start(Day::of(now));
                if !matches!(act, Act::Save | Act::Quota(_) | Act::Later(_) | Act::Earlier(_)) && start > begins {
                    (begins, used, extra) = (start, 0, 0);
                }
                let limit = rule.map_or(u64::MAX, |rule| rule.limit.saturating_add_signed(extra));
                match act {
                    Act::Peek => prop_assert_eq!(meter.peek(now).is_ok(), used < limit),
                    Act::Count(times) => for _ in 0..times {
                        let passes = meter.count(now).is_ok();
                        prop_assert_eq!(passes, used < limit);
                        used += u64::from(passes);
                        all += u64::from(passes);
                    },
                    Act::Later(seconds) => now += Duration::from_secs(seconds.into()),
                    Act::Earlier(seconds) => now -= Duration::from_secs(seconds.into()),
                    Act::Grant(more) => {
                        meter.grant(now, more);
                        extra = more;
                    }
                    Act::Save => meter.take_unsaved(&mut saved),
                    Act::Quota(new) => {
                        rule = new.map(|(limit, period)| quota(limit, period));
                        meter.set_quota(rule);
                    }
                }
            }
            meter.take_unsaved(&mut saved);
            prop_assert_eq!(saved.iter().map(|used| used.count).sum::<u64>(), all);
        }
    }
}
