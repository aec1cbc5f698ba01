//! What a function sees and answers, to and from HTTP.

pub mod headers;
pub mod request;

pub use headers::HeaderList;
pub use request::{Malformed, ReceivedRequest, Scheme};
