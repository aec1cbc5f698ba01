//! A moment as access logs and `requestTime` write it: `12/Mar/2020:19:03:58 +0000`.

use std::cell::Cell;

/// Its length, up to the year 9999.
const LENGTH: usize = "12/Mar/2020:19:03:58 +0000".len();

/// A moment's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogTime([u8; LENGTH]);

impl LogTime {
    /// Of seconds since 1970, in UTC; none after the year 9999.
    ///
    /// A thread keeps the last one: most requests come in the same second as the one before.
    pub fn of(seconds: u64) -> Option<Self> {
        thread_local! {
            static LAST: Cell<Option<(u64, LogTime)>> = const { Cell::new(None) };
        }
        match LAST.get() {
            Some((second, time)) if second == seconds => Some(time),
            _ => {
                let time = Self::written(seconds)?;
                LAST.set(Some((seconds, time)));
                Some(time)
            }
        }
    }

    fn written(seconds: u64) -> Option<Self> {
        let time = jiff::Timestamp::from_second(i64::try_from(seconds).ok()?).ok()?;
        let text = time.strftime("%d/%b/%Y:%H:%M:%S +0000").to_string();
        Some(Self(text.into_bytes().try_into().ok()?))
    }

    /// The text, in ASCII.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        // It was a string.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_second_has_its_own_text() {
        let text = |seconds| LogTime::of(seconds).map(|time| time.as_str().to_owned());

        let second = 1_584_039_838;
        for _ in 0..2 {
            assert_eq!(text(second).unwrap(), "12/Mar/2020:19:03:58 +0000");
            assert_eq!(text(second + 1).unwrap(), "12/Mar/2020:19:03:59 +0000");
        }
        assert_eq!(text(0).unwrap(), "01/Jan/1970:00:00:00 +0000");
        assert_eq!(text(u64::MAX), None);
    }
}
