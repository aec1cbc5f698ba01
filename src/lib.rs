//! tollgate: a local, serverless-style gateway that answers as AWS API Gateway does.

pub mod cli;
pub mod language;
