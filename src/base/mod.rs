//! What every room stands on: the clock, deadlines, times as text, ids, ARNs, header lines and
//! bodies. No I/O.

pub mod alarm;
pub mod arn;
pub mod body;
pub mod clock;
pub mod header_lines;
pub mod id;
pub mod log_time;
pub mod words;

pub use arn::FunctionArn;
pub use body::{Body, BodyError, BodyFault};
pub use clock::{Clock, HandClock};
pub use header_lines::{ChangeHeaders, HeaderLines, PassedLines};
pub use log_time::LogTime;
