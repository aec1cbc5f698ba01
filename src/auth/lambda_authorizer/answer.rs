//! What an authorizer's function answers.
//!
//! Source: API Gateway developer guide, "Output from an API Gateway Lambda
//! authorizer" and "Control access to HTTP APIs with AWS Lambda authorizers".

use bytes::Bytes;
use serde_json::{Map as JsonMap, Value as Json};
use std::sync::Arc;

use super::super::iam::{Attached, Policy};
use super::super::jwt::read_object;
use crate::event::caller::LambdaCaller;

/// The largest answer that is read; real ones are a few hundred bytes.
const ANSWER_LIMIT: usize = 256 * 1024;
/// A context may have 8 KB ("Output from an API Gateway Lambda authorizer").
const CONTEXT_LIMIT: usize = 8 * 1024;

/// How an answer is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// A policy, and a context of plain values.
    Rest,
    /// A policy, and a context of any values.
    HttpPolicy,
    /// Yes or no.
    HttpSimple,
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// As the function wrote it: for the log.
    pub text: Bytes,
    /// Whom the function named.
    pub caller: Arc<LambdaCaller>,
    /// What it decided.
    pub verdict: Verdict,
    /// `usageIdentifierKey`: the API key of a REST API with the key source AUTHORIZER.
    pub usage_identifier_key: Option<String>,
    /// Roughly its bytes.
    pub(super) size: usize,
}

/// What an authorizer decided.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// A policy, to be asked for each request.
    Policy(Policy),
    /// Yes or no, to all.
    Simple(bool),
}

/// Reads an answer.
///
/// An answer without `principalId` is taken (recorded at AWS, though the guide
/// wants one).
pub(super) fn read(payload: &Bytes, reading: Reading) -> Result<Answer, String> {
    if payload.len() > ANSWER_LIMIT {
        return Err(format!("it is larger than {ANSWER_LIMIT} bytes"));
    }
    // A name that stands twice says two things of who may pass.
    let mut members = read_object(payload)?;
    let context = match members.remove("context") {
        None | Some(Json::Null) => None,
        Some(Json::Object(context)) => Some(context),
        Some(_) => return Err("`context` is no object".to_owned()),
    };
    if let Some(context) = &context {
        check_context(context, reading)?;
    }
    if reading == Reading::HttpSimple {
        let Some(Json::Bool(authorized)) = members.get("isAuthorized") else {
            return Err("`isAuthorized` is no boolean".to_owned());
        };
        return Ok(Answer {
            text: payload.clone(),
            caller: Arc::new(LambdaCaller {
                principal_id: None,
                context,
            }),
            verdict: Verdict::Simple(*authorized),
            usage_identifier_key: None,
            size: payload.len() * 4 + 256,
        });
    }
    let document = members
        .get("policyDocument")
        .ok_or("there is no `policyDocument`")?;
    let policy = Policy::read(document, Attached::ToCaller)?;
    let principal_id = match members.get("principalId") {
        None | Some(Json::Null) => None,
        Some(Json::String(text)) => Some(text.clone()),
        Some(Json::Number(number)) => Some(number.to_string()),
        Some(_) => return Err("`principalId` is no text".to_owned()),
    };
    let usage_identifier_key = match members.get("usageIdentifierKey") {
        None | Some(Json::Null) => None,
        Some(Json::String(text)) => Some(text.clone()),
        Some(_) => return Err("`usageIdentifierKey` is no text".to_owned()),
    };
    Ok(Answer {
        text: payload.clone(),
        caller: Arc::new(LambdaCaller {
            principal_id,
            context,
        }),
        verdict: Verdict::Policy(policy),
        usage_identifier_key,
        // A policy as patterns weighs more than its text.
        size: payload.len() * 25 + 256,
    })
}

fn check_context(context: &JsonMap<String, Json>, reading: Reading) -> Result<(), String> {
    if reading == Reading::Rest {
        let nested = context
            .iter()
            .find(|(_, value)| value.is_object() || value.is_array());
        if let Some((name, _)) = nested {
            return Err(format!(
                "`context.{name}` is a list or an object; only text, numbers and booleans are taken"
            ));
        }
    }
    if context.contains_key("claims") {
        return Err("`claims` is reserved and no key of `context`".to_owned());
    }
    let size: usize = Json::Object(context.clone()).to_string().len();
    if size > CONTEXT_LIMIT {
        return Err(format!("`context` is larger than {CONTEXT_LIMIT} bytes"));
    }
    Ok(())
}

/// The message of a function's error.
pub(super) fn error_message(payload: &[u8]) -> Option<String> {
    let json: Json = serde_json::from_slice(payload).ok()?;
    json.get("errorMessage")?.as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn policy() -> Json {
        json!({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "execute-api:Invoke", "Resource": "*"}]})
    }

    fn reads(json: &Json, reading: Reading) -> bool {
        read(&json.to_string().into(), reading).is_ok()
    }

    #[test]
    fn a_rest_answer_has_a_policy_and_a_plain_context() {
        let answer = json!({"principalId": "u", "policyDocument": policy(), "context": {"a": "x", "b": 1, "c": true, "d": null}, "usageIdentifierKey": "k"});
        let read = read(&answer.to_string().into(), Reading::Rest).unwrap();

        assert_eq!(read.caller.principal_id.as_deref(), Some("u"));
        assert_eq!(read.usage_identifier_key.as_deref(), Some("k"));
        assert!(reads(&json!({"policyDocument": policy()}), Reading::Rest));
    }

    #[test]
    fn what_is_no_answer_is_an_error() {
        for answer in [
            json!(null),
            json!("allow"),
            json!({"principalId": "u"}),
            json!({"principalId": {}, "policyDocument": policy()}),
            json!({"principalId": "u", "policyDocument": {}}),
            json!({"principalId": "u", "policyDocument": policy(), "context": {"a": [1]}}),
            json!({"principalId": "u", "policyDocument": policy(), "context": {"a": {}}}),
            json!({"principalId": "u", "policyDocument": policy(), "context": "a"}),
            json!({"principalId": "u", "policyDocument": policy(), "context": {"a": "x".repeat(9000)}}),
            json!({"principalId": "u", "policyDocument": policy(), "usageIdentifierKey": 1}),
        ] {
            assert!(!reads(&answer, Reading::Rest), "{answer}");
        }
        let text = json!({"principalId": "u", "policyDocument": policy()}).to_string();
        for twice in [
            text.replacen('{', r#"{"policyDocument":{},"#, 1),
            text.replacen("\"Effect\"", r#""Effect":"Deny","Effect""#, 1),
            text.replacen("\"Effect\"", r#""\u0045ffect":"Deny","Effect""#, 1),
        ] {
            assert_ne!(twice, text);
            assert!(
                read(&twice.clone().into(), Reading::Rest).is_err(),
                "{twice}"
            );
        }
    }

    #[test]
    fn a_simple_answer_is_a_boolean() {
        assert!(reads(
            &json!({"isAuthorized": true, "context": {"a": [1, {}]}}),
            Reading::HttpSimple
        ));
        for answer in [
            json!({"isAuthorized": "true"}),
            json!({"isAuthorized": 1}),
            json!({}),
            json!({"isAuthorized": true, "context": {"claims": "x"}}),
            json!({"principalId": "u", "policyDocument": policy()}),
        ] {
            assert!(!reads(&answer, Reading::HttpSimple), "{answer}");
        }
        assert!(!reads(&json!({"isAuthorized": true}), Reading::HttpPolicy));
        assert!(reads(
            &json!({"policyDocument": policy(), "context": {"a": [1]}}),
            Reading::HttpPolicy
        ));
    }

    proptest! {
        #[test]
        fn no_answer_breaks_the_reader(text in "\\PC{0,60}") {
            let _ = read(&Bytes::copy_from_slice(text.as_bytes()), Reading::Rest);
        }
    }
}
