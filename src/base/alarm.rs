//! A deadline that is moved often and rarely reached.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// A deadline that costs next to nothing to put off.
///
/// The timer behind it is moved only when it would ring too late; when it rings
/// too early it is set again. So a connection that answers a thousand requests
/// a second sets its timer once in a while and not a thousand times.
#[derive(Default)]
pub struct Alarm {
    timer: Option<Pin<Box<Sleep>>>,
    deadline: Option<Instant>,
}

impl Alarm {
    /// Forgets the deadline: the next [`Self::poll_after`] starts anew.
    pub fn clear(&mut self) {
        self.deadline = None;
    }

    /// Ready once `wait` has passed since the first call after [`Self::clear`].
    pub fn poll_after(&mut self, wait: Duration, context: &mut Context<'_>) -> Poll<()> {
        let deadline = *self
            .deadline
            .get_or_insert_with(|| Instant::now().checked_add(wait).unwrap_or_else(far_future));
        self.poll_at(deadline, context)
    }

    /// Ready once `deadline` is there.
    pub fn poll_at(&mut self, deadline: Instant, context: &mut Context<'_>) -> Poll<()> {
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if timer.deadline() > deadline {
            timer.as_mut().reset(deadline);
        }
        loop {
            // Once reached it stays reached, until it is cleared.
            if timer.is_elapsed() && timer.deadline() >= deadline {
                return Poll::Ready(());
            }
            if timer.is_elapsed() {
                timer.as_mut().reset(deadline);
            }
            ready!(timer.as_mut().poll(context));
        }
    }
}

fn far_future() -> Instant {
    const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);
    Instant::now() + YEAR
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn rings_at_the_moved_deadline_and_not_at_the_old_one() {
        let mut alarm = Alarm::default();
        let begin = Instant::now();

        poll_fn(|context| {
            assert!(
                alarm
                    .poll_after(Duration::from_secs(5), context)
                    .is_pending()
            );
            Poll::Ready(())
        })
        .await;
        alarm.clear();
        poll_fn(|context| alarm.poll_after(Duration::from_secs(60), context)).await;

        assert_eq!(begin.elapsed().as_secs(), 60);
    }

    #[tokio::test(start_paused = true)]
    async fn rings_at_the_deadline_that_is_told_whatever_came_before() {
        let mut alarm = Alarm::default();
        let begin = Instant::now();
        let at = |seconds| begin + Duration::from_secs(seconds);

        for deadline in [at(30), at(40), at(20)] {
            poll_fn(|context| {
                assert!(alarm.poll_at(deadline, context).is_pending());
                Poll::Ready(())
            })
            .await;
        }
        poll_fn(|context| alarm.poll_at(at(35), context)).await;

        assert_eq!(begin.elapsed().as_secs(), 35);
    }

    #[tokio::test(start_paused = true)]
    async fn rings_earlier_when_the_new_wait_is_shorter() {
        let mut alarm = Alarm::default();
        let begin = Instant::now();

        poll_fn(|context| {
            assert!(
                alarm
                    .poll_after(Duration::from_secs(310), context)
                    .is_pending()
            );
            Poll::Ready(())
        })
        .await;
        alarm.clear();
        poll_fn(|context| alarm.poll_after(Duration::from_secs(10), context)).await;

        assert_eq!(begin.elapsed().as_secs(), 10);
    }
}
