//! Every code a finding can have, with what it means.

/// Codes in order, each with one line of explanation.
pub const CODES: &[(&str, &str)] = &[];
