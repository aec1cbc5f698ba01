//! The connections to HTTP backends, under the name that integrations call them.

pub use crate::http_client::{Address, ClientError, HttpClient, Kept, Origin, Trust, Upstream};
