//! A signed token in its compact form, taken apart before anything in it is believed.
//!
//! Source of the form: RFC 7515, 7.1. Stricter than that RFC where a legitimate
//! issuer never goes: no repeated names, no `crit`, no unencoded payload.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;

use super::strict_json::read_object;
use crate::event::caller::Claims;

/// The longest token that is looked at. All headers of a request are 10,240
/// bytes at most ("Amazon API Gateway quotas").
const TOKEN_LIMIT: usize = 16 * 1024;
/// The longest `kid` that is looked up.
const KID_LIMIT: usize = 512;

/// A token that nobody vouches for yet.
#[derive(Debug)]
pub struct UnverifiedToken<'t> {
    /// What was signed: the first two segments with the dot between them.
    pub signing_input: &'t str,
    /// The third segment.
    pub signature: &'t str,
    /// How it says it was signed.
    pub algorithm: Algorithm,
    /// Which key it says was used.
    pub kid: String,
    /// What it claims.
    pub claims: Claims,
}

/// Why a token cannot be read. `Display` is for the operator: it repeats
/// nothing of the token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// Longer than any real one.
    #[error("the token is longer than {TOKEN_LIMIT} bytes")]
    TooLong,
    /// Not three segments.
    #[error("the token has not three segments")]
    Segments,
    /// A segment is no base64url without padding.
    #[error("a segment of the token is not base64url")]
    Base64,
    /// The first segment is no header.
    #[error("the token's header cannot be read: {0}")]
    Header(String),
    /// The second segment holds no claims.
    #[error("the token's claims cannot be read: {0}")]
    Claims(String),
    /// An algorithm that is not one of the public-key algorithms that API Gateway takes.
    #[error("the token's algorithm is not accepted")]
    Algorithm(Option<&'static str>),
    /// The header names no key.
    #[error("the token's header has no usable `kid`")]
    Kid,
}

impl<'t> UnverifiedToken<'t> {
    /// Takes a token apart.
    ///
    /// # Errors
    ///
    /// See [`TokenError`].
    pub fn parse(token: &'t str) -> Result<Self, TokenError> {
        if token.len() > TOKEN_LIMIT {
            return Err(TokenError::TooLong);
        }
        let mut segments = token.split('.');
        let (Some(header), Some(payload), Some(signature), None) = (
            segments.next(),
            segments.next(),
            segments.next(),
            segments.next(),
        ) else {
            return Err(TokenError::Segments);
        };
        let (header, kid) = read_header(&decode(header)?)?;
        let claims = read_object(&decode(payload)?).map_err(TokenError::Claims)?;
        if signature.is_empty() {
            return Err(TokenError::Base64);
        }
        decode(signature)?;
        let signing_input = &token[..token.len() - signature.len() - 1];
        Ok(Self {
            signing_input,
            signature,
            algorithm: header,
            kid,
            claims,
        })
    }
}

fn decode(segment: &str) -> Result<Vec<u8>, TokenError> {
    // Refuses padding, line breaks, the other alphabet and stray bits at the end.
    URL_SAFE_NO_PAD
        .decode(segment)
        .map_err(|_| TokenError::Base64)
}

/// Algorithm and key of a header. What it says of keys by `jwk`, `jku`, `x5u`
/// and `x5c` is not looked at: only the issuer's key set counts.
fn read_header(text: &[u8]) -> Result<(Algorithm, String), TokenError> {
    let members = read_object(text).map_err(TokenError::Header)?;
    // Whoever does not understand what `crit` names must refuse (RFC 7515,
    // 4.1.11), and API Gateway understands none. `b64` (RFC 7797), `zip` and
    // `enc` change what the payload is.
    for name in ["crit", "b64", "zip", "enc"] {
        if members.contains_key(name) {
            return Err(TokenError::Header(format!("it has `{name}`")));
        }
    }
    let algorithm = match members.get("alg").and_then(|alg| alg.as_str()) {
        Some("RS256") => Algorithm::RS256,
        Some("RS384") => Algorithm::RS384,
        Some("RS512") => Algorithm::RS512,
        Some("PS256") => Algorithm::PS256,
        Some("PS384") => Algorithm::PS384,
        Some("PS512") => Algorithm::PS512,
        other => {
            let known = ["none", "HS256", "HS384", "HS512", "ES256", "ES384", "ES512"];
            let named = known.into_iter().find(|known| Some(*known) == other);
            return Err(TokenError::Algorithm(named));
        }
    };
    match members.get("kid").and_then(|kid| kid.as_str()) {
        Some(kid) if !kid.is_empty() && kid.len() <= KID_LIMIT => Ok((algorithm, kid.to_owned())),
        _ => Err(TokenError::Kid),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn token(header: &str, claims: &str) -> String {
        let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
        format!("{}.{}.c2ln", encode(header), encode(claims))
    }

    #[test]
    fn a_token_is_taken_apart() {
        let text = token(r#"{"alg":"RS256","kid":"k"}"#, r#"{"sub":"a"}"#);
        let token = UnverifiedToken::parse(&text).unwrap();

        assert_eq!(token.kid, "k");
        assert_eq!(token.claims["sub"], "a");
        assert_eq!(token.signature, "c2ln");
        assert_eq!(format!("{}.c2ln", token.signing_input), text);
    }

    #[test]
    fn headers_that_nobody_honest_sends_are_refused() {
        for header in [
            r#"{"alg":"none","kid":"k"}"#,
            r#"{"alg":"None","kid":"k"}"#,
            r#"{"alg":"nOnE","kid":"k"}"#,
            r#"{"alg":"","kid":"k"}"#,
            r#"{"alg":null,"kid":"k"}"#,
            r#"{"alg":["RS256"],"kid":"k"}"#,
            r#"{"alg":"rs256","kid":"k"}"#,
            r#"{"alg":"RS256 ","kid":"k"}"#,
            r#"{"alg":"HS256","kid":"k"}"#,
            r#"{"alg":"ES256","kid":"k"}"#,
            r#"{"alg":"EdDSA","kid":"k"}"#,
            r#"{"kid":"k"}"#,
            r#"{"alg":"RS256"}"#,
            r#"{"alg":"RS256","kid":""}"#,
            r#"{"alg":"RS256","kid":7}"#,
            r#"{"alg":"RS256","kid":"k","crit":["exp"]}"#,
            r#"{"alg":"RS256","kid":"k","crit":[]}"#,
            r#"{"alg":"RS256","kid":"k","b64":false}"#,
            r#"{"alg":"RS256","kid":"k","enc":"A256GCM"}"#,
            r#"{"alg":"RS256","alg":"none","kid":"k"}"#,
            r#"["RS256"]"#,
            "RS256",
        ] {
            let text = token(header, "{}");
            assert!(UnverifiedToken::parse(&text).is_err(), "{header}");
        }
        let long = token(
            &format!(r#"{{"alg":"RS256","kid":"{}"}}"#, "k".repeat(513)),
            "{}",
        );
        assert_eq!(UnverifiedToken::parse(&long).err(), Some(TokenError::Kid));
    }

    #[test]
    fn other_forms_are_refused() {
        let good = token(r#"{"alg":"RS256","kid":"k"}"#, "{}");
        let parts: Vec<&str> = good.split('.').collect();
        let (header, claims) = (parts[0], parts[1]);
        for bad in [
            String::new(),
            ".".into(),
            "..".into(),
            "...".into(),
            format!("{header}.{claims}"),
            format!("{header}.{claims}."),
            format!("{header}.{claims}.c2ln.c2ln"),
            format!("{header}.{claims}.c2ln."),
            format!("{header}=.{claims}.c2ln"),
            format!("{header}.{claims}==.c2ln"),
            format!("{header}.{claims}.c2l+"),
            format!("{header}.{claims}.c2l/"),
            format!("{header}.{claims}.c2lu\n"),
            format!("{header}.{claims}. c2ln"),
            format!(" {good}"),
            format!("{good} "),
            // The last character has bits that stand for nothing.
            format!("{header}.{claims}.c2lnZB"),
            format!("{header}.{}.c2ln", URL_SAFE_NO_PAD.encode("[]")),
            format!("{header}.{}.c2ln", URL_SAFE_NO_PAD.encode("{\"a\":1}x")),
            format!("{header}.{}.c2ln", "e".repeat(20_000)),
        ] {
            assert!(UnverifiedToken::parse(&bad).is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,80}") {
            let _ = UnverifiedToken::parse(&text);
        }

        #[test]
        fn any_header_and_claims_are_read_or_refused(header in "\\PC{0,40}", claims in "[\\[\\]{}\":,a-z0-9.\\\\]{0,40}") {
            let _ = UnverifiedToken::parse(&token(&header, &claims));
        }
    }
}
