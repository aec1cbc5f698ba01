//! Payloads between text and bytes.
//!
//! Source: API Gateway developer guide, "Content type conversions in API
//! Gateway".

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use super::IntegrationError;
use crate::model::ContentHandling;

/// What becomes of a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Conversion {
    /// As text: what is not UTF-8 becomes U+FFFD (recorded at AWS).
    Text,
    /// As it is.
    Bytes,
    /// Bytes to base64 text.
    Encode,
    /// Base64 text to bytes.
    Decode,
}

impl Conversion {
    fn apply(self, payload: Bytes) -> Result<Bytes, IntegrationError> {
        match self {
            Self::Bytes => Ok(payload),
            Self::Text => Ok(match String::from_utf8_lossy(&payload) {
                Cow::Borrowed(_) => payload,
                Cow::Owned(text) => text.into(),
            }),
            Self::Encode => Ok(STANDARD.encode(&payload).into()),
            Self::Decode => STANDARD.decode(&payload).map(Bytes::from).map_err(|_| {
                IntegrationError::Configuration(
                    "a payload that was to be decoded is not base64".to_owned(),
                )
            }),
        }
    }
}

/// Whether a payload whose type is binary on both sides passes byte by byte, so
/// that nobody has to hold all of it.
pub fn passes(binary: bool, accepts_binary: bool) -> bool {
    binary && accepts_binary
}

/// Converts a request's payload towards the backend. `binary`: its type is a
/// binary media type of the API.
///
/// # Errors
///
/// Text that should become bytes and is not base64: AWS's 500.
pub fn convert_request(
    payload: Bytes,
    binary: bool,
    handling: Option<ContentHandling>,
) -> Result<Bytes, IntegrationError> {
    let conversion = match (binary, handling) {
        (false, None | Some(ContentHandling::ConvertToText)) => Conversion::Text,
        (false, Some(ContentHandling::ConvertToBinary)) => Conversion::Decode,
        (true, None | Some(ContentHandling::ConvertToBinary)) => Conversion::Bytes,
        (true, Some(ContentHandling::ConvertToText)) => Conversion::Encode,
    };
    if payload.is_empty() {
        Ok(payload)
    } else {
        conversion.apply(payload)
    }
}

/// Converts a response's payload towards the client. `binary`: the backend's
/// type is binary; `accepts_binary`: the first type of `Accept` is.
///
/// # Errors
///
/// As for [`convert_request`].
pub fn convert_response(
    payload: Bytes,
    binary: bool,
    accepts_binary: bool,
    handling: Option<ContentHandling>,
) -> Result<Bytes, IntegrationError> {
    use ContentHandling::{ConvertToBinary, ConvertToText};

    let conversion = match (binary, accepts_binary, handling) {
        (false, false, None | Some(ConvertToText)) | (false, true, Some(ConvertToText)) => {
            Conversion::Text
        }
        (false, false, Some(ConvertToBinary)) | (false, true, None | Some(ConvertToBinary)) => {
            Conversion::Decode
        }
        (true, false, None | Some(ConvertToText)) | (true, true, Some(ConvertToText)) => {
            Conversion::Encode
        }
        (true, _, Some(ConvertToBinary)) | (true, true, None) => Conversion::Bytes,
    };
    if payload.is_empty() {
        Ok(payload)
    } else {
        conversion.apply(payload)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RAW: &[u8] = b"\x8btolls\xff!";

    #[test]
    fn text_that_is_not_utf_8_is_replaced() {
        let converted = convert_request(Bytes::from_static(RAW), false, None).unwrap();

        assert_eq!(converted, "\u{fffd}tolls\u{fffd}!".as_bytes());
    }

    #[test]
    fn the_table_of_responses() {
        let raw = || Bytes::from_static(RAW);
        let encoded = || Bytes::from(STANDARD.encode(RAW));

        assert_eq!(convert_response(encoded(), false, true, None).unwrap(), RAW);
        assert!(convert_response(raw(), false, true, None).is_err());
        assert_eq!(convert_response(raw(), true, true, None).unwrap(), RAW);
        assert_eq!(
            convert_response(raw(), true, false, None).unwrap(),
            encoded()
        );
        assert_eq!(
            convert_response(encoded(), false, false, None).unwrap(),
            encoded()
        );
        let to_binary = Some(ContentHandling::ConvertToBinary);
        assert_eq!(
            convert_response(raw(), true, false, to_binary).unwrap(),
            RAW
        );
    }
}
