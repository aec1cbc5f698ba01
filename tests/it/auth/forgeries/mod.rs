//! Forged tokens, made systematically: every part of a token is bent in every way that
//! has opened a door somewhere, and each is refused by HTTP and REST APIs alike with the
//! very words of a refusal. A good token passes before and after.

mod algorithms;
mod claims;
mod encodings;
mod headers;
mod signatures;

use serde_json::json;

use super::issuer::{Key, b64};
use super::tokens::Stage;
use super::{Answer, get};

const PLAIN: &str = r#"{"alg":"RS256","kid":"k1"}"#;

/// `error_description` of a refusal.
const SEGMENTS: &str = "token contains an invalid number of segments";
const MALFORMED: &str = "the token is malformed";
const METHOD: &str = "signing method is invalid";
const KID: &str = "the token does not have a valid key id";
const SIGNATURE: &str = "the token has an invalid signature";
const CLAIMS: &str = "the token has invalid claims";
const ISSUER: &str = "issuer does not match";
const AUDIENCE: &str = "the token does not have a valid audience";
const EXPIRED: &str = "the token has expired";
const NOT_YET: &str = "the token is not valid yet";

/// Forged tokens, and how an HTTP API words their refusal.
#[derive(Default)]
struct Forged {
    tokens: Vec<(String, String, &'static str)>,
}

impl Forged {
    fn add(&mut self, name: impl Into<String>, token: impl Into<String>, words: &'static str) {
        self.tokens.push((name.into(), token.into(), words));
    }

    /// Each is refused by both kinds of API, and the good token passes before and after.
    async fn are_refused(self, stage: &Stage, at_least: usize) {
        passes(stage, &stage.good()).await;
        assert!(self.tokens.len() >= at_least, "{}", self.tokens.len());
        for (name, token, words) in &self.tokens {
            let answer = get(&stage.http, "/plain", token).await;
            http_refusal(name, &answer, words);
            let answer = get(&stage.rest, "/plain", token).await;
            rest_refusal(name, &answer, words);
        }
        passes(stage, &stage.good()).await;
    }
}

async fn passes(stage: &Stage, token: &str) {
    for gateway in [&stage.http, &stage.rest] {
        let answer = get(gateway, "/plain", token).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
    }
}

fn http_refusal(name: &str, answer: &Answer, words: &str) {
    let challenge = format!(r#"Bearer scope="" error="invalid_token" error_description="{words}""#);
    assert_eq!(answer.status, 401, "HTTP, {name}: {}", answer.body);
    assert_eq!(answer.body, r#"{"message":"Unauthorized"}"#, "HTTP, {name}");
    assert_eq!(
        answer.header("www-authenticate"),
        Some(challenge.as_str()),
        "HTTP, {name}"
    );
}

fn rest_refusal(name: &str, answer: &Answer, words: &str) {
    let message = if words == EXPIRED {
        "The incoming token has expired"
    } else {
        "Unauthorized"
    };
    assert_eq!(answer.status, 401, "REST, {name}: {}", answer.body);
    assert_eq!(answer.json(), json!({ "message": message }), "REST, {name}");
    assert_eq!(
        answer.header("x-amzn-errortype"),
        Some("UnauthorizedException"),
        "REST, {name}"
    );
    assert_eq!(answer.header("www-authenticate"), None, "REST, {name}");
}

/// A token of any bytes, signed by RS256 whatever its header says.
fn signed(key: &Key, header: impl AsRef<[u8]>, payload: impl AsRef<[u8]>) -> String {
    let message = format!("{}.{}", b64(header), b64(payload));
    over(key, &message)
}

/// The signature of `key` behind a message.
fn over(key: &Key, message: &str) -> String {
    format!("{message}.{}", b64(key.sign(message, "RS256")))
}
