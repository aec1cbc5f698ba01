//! tollgate: a local, serverless-style gateway that answers as AWS API Gateway does.

pub mod language;
