//! Signature version 4 on requests to AWS.

use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningError,
    SigningSettings, UriPathNormalizationMode, sign as instructions,
};
use aws_sigv4::sign::v4;
use bytes::Bytes;
use http::header::InvalidHeaderValue;
use http::{HeaderValue, Request};

use crate::base::Clock;

/// Why a request could not be signed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignatureError {
    /// Its parameters are incomplete.
    #[error("the signature's parameters are incomplete")]
    Parameters(#[from] v4::signing_params::BuildError),
    /// The request has something that cannot be signed.
    #[error("the request cannot be signed")]
    Request(#[from] SigningError),
    /// The signature is no header value.
    #[error("the signature is no header value")]
    Value(#[from] InvalidHeaderValue),
}

/// Adds the headers of a version 4 signature at the present time.
///
/// `service` is the name in signatures; `s3` signs paths its own way. All
/// headers are covered but those that proxies change, and `host`.
///
/// # Errors
///
/// See [`SignatureError`].
pub fn sign(
    request: &mut Request<Bytes>,
    service: &str,
    region: &str,
    credentials: Credentials,
) -> Result<(), SignatureError> {
    let mut settings = SigningSettings::default();
    if service == "s3" {
        settings.percent_encoding_mode = PercentEncodingMode::Single;
        settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
    }
    let identity = credentials.into();
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name(service)
        .time(now())
        .settings(settings)
        .build()?
        .into();
    let headers: Vec<_> = request
        .headers()
        .iter()
        .map(|(name, value)| {
            let value = crate::event::headers::text_of(value.as_bytes());
            (name.as_str(), value)
        })
        .collect();
    let signable = SignableRequest::new(
        request.method().as_str(),
        request.uri().to_string(),
        headers.iter().map(|(name, value)| (*name, value.as_ref())),
        SignableBody::Bytes(request.body()),
    )?;
    let (signed, _) = instructions(signable, &params)?.into_parts();
    let (signed, _) = signed.into_parts();
    for header in signed {
        let mut value = HeaderValue::from_str(header.value())?;
        value.set_sensitive(header.sensitive());
        request.headers_mut().insert(header.name(), value);
    }
    Ok(())
}

/// The time of signatures: a service refuses one that is minutes off.
fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Clock::System.since_epoch()
}

#[cfg(test)]
mod tests {
    use http::{Method, Uri};

    use super::*;

    #[test]
    fn a_signature_covers_the_headers_given() {
        let credentials =
            Credentials::new("AKIDEXAMPLE", "secret", Some("token".into()), None, "test");
        let mut request = Request::new(Bytes::from_static(b"{}"));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = Uri::from_static("http://127.0.0.1:5000/?a=b");
        request
            .headers_mut()
            .insert("x-amz-target", HeaderValue::from_static("A.B"));

        sign(&mut request, "events", "us-east-1", credentials).unwrap();

        let authorization = request.headers()["authorization"].to_str().unwrap();
        assert!(authorization.contains("/us-east-1/events/aws4_request"));
        assert!(
            authorization
                .contains("SignedHeaders=host;x-amz-date;x-amz-security-token;x-amz-target")
        );
        assert_eq!(request.headers()["x-amz-security-token"], "token");
    }
}
