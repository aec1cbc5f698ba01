//! The ids that API Gateway puts on requests.
//!
//! Uniqueness is what they promise; they are no secrets.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// A request id: a random UUID in lower case, as in `x-amzn-RequestId`.
pub fn request_id() -> String {
    let bytes = fastrand::u128(..).to_be_bytes();
    uuid::Builder::from_random_bytes(bytes)
        .into_uuid()
        .to_string()
}

/// An extended request id: sixteen characters of base64 that end in `=`, as in
/// `x-amz-apigw-id` and `apigw-requestid`.
pub fn extended_request_id() -> String {
    let bytes = fastrand::u128(..).to_be_bytes();
    STANDARD.encode(&bytes[..11])
}

/// The `Root=` part of an X-Ray trace header for a request received at
/// `epoch_seconds`: `Root=1-` with eight and twenty-four hexadecimal digits.
pub fn trace_root(epoch_seconds: u64) -> String {
    let mut root = *b"Root=1-01234567-0123456789abcdef01234567";
    put_hex(&mut root[7..15], epoch_seconds);
    put_hex(&mut root[16..32], fastrand::u64(..));
    put_hex(&mut root[32..], fastrand::u64(..));
    // Digits are ASCII.
    String::from_utf8(root.to_vec()).unwrap_or_default()
}

/// Fills a text with the last hexadecimal digits of a number. Every request has one
/// such text, and `format!` takes ten times as long.
pub fn put_hex(text: &mut [u8], mut number: u64) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for place in text.iter_mut().rev() {
        *place = DIGITS[(number % 16) as usize];
        number /= 16;
    }
}

/// The first label of the host of a function's URL, derived from the function's name.
pub fn function_url_id(function: &str) -> String {
    // At AWS it is longer and says nothing, too.
    format!(
        "{}{}",
        stable_id(&format!("url of {function}")),
        stable_id(&format!("its url {function}"))
    )
}

/// Ten letters and digits derived from `text`: an API id that stays the same
/// from run to run.
pub fn stable_id(text: &str) -> String {
    const LETTERS: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
    // FNV-1a, 64 bits: stable by definition, unlike the standard hasher.
    let mut hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let mut id = String::with_capacity(10);
    for position in 0..10 {
        // The first character is a letter, since the id is a host label.
        let base = if position == 0 { 26 } else { 36 };
        id.push(LETTERS[(hash % base) as usize] as char);
        hash = (hash / base) ^ hash.rotate_left(23);
    }
    id
}

/// Whether `text` is a UUID in the usual hyphenated form, in any letter case.
pub fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(index, byte)| match index {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_ids_are_uuids_and_differ() {
        let (first, second) = (request_id(), request_id());

        assert!(is_uuid(&first), "{first}");
        assert_ne!(first, second);
    }

    #[test]
    fn extended_ids_have_the_form_that_aws_shows() {
        let id = extended_request_id();

        assert_eq!(id.len(), 16);
        assert!(id.ends_with('='), "{id}");
    }

    #[test]
    fn trace_roots_carry_the_time_and_96_random_bits() {
        let root = trace_root(0x5759_e988);

        assert!(root.starts_with("Root=1-5759e988-"), "{root}");
        assert_eq!(root.len(), "Root=1-5759e988-bd862e3fe1be46a994272793".len());
    }

    #[test]
    fn stable_ids_depend_on_the_text_alone() {
        assert_eq!(stable_id("pets"), stable_id("pets"));
        assert_ne!(stable_id("pets"), stable_id("orders"));
        assert!(stable_id("").starts_with(|c: char| c.is_ascii_lowercase()));
    }
}
