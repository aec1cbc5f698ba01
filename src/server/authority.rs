//! Which bytes may name a host.

use std::net::Ipv6Addr;
use std::str::from_utf8;

/// Whether `authority` is a host with an optional port.
///
/// Names are letters, digits, `-`, `.`, `_` and `~`. RFC 3986 would allow
/// percent-encoding and `!$&'()*+,;=` as well; no domain of an API has them, and
/// a list such as `a,b` is what one reader takes whole and another splits.
/// Userinfo is refused, as RFC 9110 (4.2.4) advises.
pub(super) fn is_valid(authority: &[u8]) -> bool {
    let Some((host, port)) = split(authority) else {
        return false;
    };
    is_valid_host(host) && port.is_none_or(is_valid_port)
}

/// Whether two authorities name the same place for requests of `scheme`.
pub(super) fn agree(a: &[u8], b: &[u8], default_port: &[u8]) -> bool {
    let (Some((host_a, port_a)), Some((host_b, port_b))) = (split(a), split(b)) else {
        return false;
    };
    let port = |port: Option<&'_ [u8]>| {
        let digits = match port {
            None | Some(b"") => default_port,
            Some(digits) => digits,
        };
        from_utf8(digits)
            .ok()
            .and_then(|text| text.parse::<u16>().ok())
    };
    host_a.eq_ignore_ascii_case(host_b) && port(port_a) == port(port_b)
}

/// Host (with its brackets) and what follows the colon.
fn split(authority: &[u8]) -> Option<(&[u8], Option<&[u8]>)> {
    let host_end = if authority.first() == Some(&b'[') {
        memchr::memchr(b']', authority)? + 1
    } else {
        memchr::memchr(b':', authority).unwrap_or(authority.len())
    };
    let (host, rest) = authority.split_at(host_end);
    match rest.split_first() {
        None => Some((host, None)),
        Some((b':', port)) => Some((host, Some(port))),
        Some(_) => None,
    }
}

fn is_valid_host(host: &[u8]) -> bool {
    const LONGEST_NAME: usize = 255;
    if let Some(address) = host.strip_prefix(b"[") {
        return address
            .strip_suffix(b"]")
            .and_then(|address| from_utf8(address).ok())
            .is_some_and(|address| address.parse::<Ipv6Addr>().is_ok());
    }
    !host.is_empty()
        && host.len() <= LONGEST_NAME
        && host
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~'))
}

/// Nothing (RFC 3986 allows `host:`), or a number that fits.
fn is_valid_port(port: &[u8]) -> bool {
    port.is_empty()
        || (port.len() <= 5
            && port.iter().all(u8::is_ascii_digit)
            && port
                .iter()
                .fold(0, |sum, digit| sum * 10 + u32::from(digit - b'0'))
                <= u32::from(u16::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_names_addresses_and_ports() {
        for good in [
            "a",
            "a.b-c_d~",
            "localhost:3000",
            "127.0.0.1",
            "127.0.0.1:0",
            "[::1]",
            "[::1]:80",
            "a:",
            "A.EXAMPLE:65535",
        ] {
            assert!(is_valid(good.as_bytes()), "{good}");
        }
        for bad in [
            "",
            ":80",
            "a b",
            "a/b",
            "user@a",
            "user:pw@a",
            "a:b",
            "a:80:80",
            "a:65536",
            "a:+80",
            "a:-1",
            "a:000080",
            "[::1",
            "::1",
            "[::1]x",
            "[a]",
            "[]",
            "a,b",
            "a%2eb",
            "a?b",
            "a#b",
            "a\\b",
            "a\0",
            "\u{e9}",
            "[fe80::1%25eth0]",
        ] {
            assert!(!is_valid(bad.as_bytes()), "{bad}");
        }
    }

    #[test]
    fn authorities_agree_whatever_their_case_and_default_port() {
        assert!(agree(b"A.example", b"a.EXAMPLE:80", b"80"));
        assert!(agree(b"[::1]:", b"[::1]", b"80"));
        assert!(!agree(b"a.example:8080", b"a.example", b"80"));
        assert!(!agree(b"a.example", b"b.example", b"80"));
    }
}
