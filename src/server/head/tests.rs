use proptest::prelude::*;

use super::*;

/// Reads one head that comes at once.
fn read(bytes: impl AsRef<[u8]>) -> Result<Option<Head>, Malformed> {
    HeadReader::default()
        .read(&mut BytesMut::from(bytes.as_ref()))
        .map_err(|refused| refused.why)
}

fn good(bytes: impl AsRef<[u8]>) -> Head {
    read(bytes).unwrap().unwrap()
}

#[test]
fn takes_the_head_and_leaves_what_follows() {
    let mut buffer =
        BytesMut::from("POST /a?b HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabcGET");

    let head = HeadReader::default().read(&mut buffer).unwrap().unwrap();

    assert_eq!(&buffer[..], b"abcGET");
    assert_eq!(head.method, Method::POST);
    assert_eq!(
        (head.path.as_str(), head.query.as_deref()),
        ("/a", Some("b"))
    );
    assert_eq!(head.version, Version::HTTP_11);
    assert_eq!(head.host, "h");
    assert_eq!(head.framing, Framing::Length(3));
    assert_eq!(head.keep_alive, None);
    assert!(!head.expects_continue);
}

#[test]
fn headers_keep_spelling_order_and_repeats_and_lose_the_space_around() {
    let head = good("GET / HTTP/1.1\r\nB: 1\r\nhOsT:h\r\na: \t x  y \t\r\nB:\r\nc:\u{e9}\r\n\r\n");

    let fields: Vec<_> = head
        .headers
        .iter_text()
        .map(|(name, value)| (name, value.into_owned()))
        .collect();
    assert_eq!(
        fields,
        [
            ("B", "1"),
            ("hOsT", "h"),
            ("a", "x  y"),
            ("B", ""),
            ("c", "\u{e9}")
        ]
        .map(|(name, value)| (name, value.to_owned()))
    );
}

#[test]
fn connection_options_are_found_in_lists_and_lines() {
    let with = |lines: &str| good(format!("GET / HTTP/1.1\r\nHost: h\r\n{lines}\r\n")).keep_alive;

    assert_eq!(with(""), None);
    assert_eq!(with("Connection: Keep-Alive\r\n"), Some(true));
    assert_eq!(with("Connection: upgrade ,\tCLOSE\r\n"), Some(false));
    assert_eq!(
        with("Connection: keep-alive\r\nConnection: close\r\n"),
        Some(false)
    );
    assert_eq!(with("Connection: closed\r\n"), None);
}

#[test]
fn only_http_1_1_waits_for_100() {
    let with = |version: &str, value: &str| {
        good(format!(
            "POST / HTTP/{version}\r\nHost: h\r\nExpect: {value}\r\n\r\n"
        ))
        .expects_continue
    };

    assert!(with("1.1", "100-Continue"));
    assert!(!with("1.0", "100-continue"));
    assert!(!with("1.1", "something-else"));
}

#[test]
fn a_lone_head_is_awaited_and_a_bad_line_is_told_at_once() {
    assert!(read("").unwrap().is_none());
    assert!(read("GET / HTTP/1.1\r\nHost: h\r\n").unwrap().is_none());
    assert!(read("GET / HTTP/1.1\r\nHost: h\r\n\r").unwrap().is_none());
    assert_eq!(
        read("GET / HTTP/1.1\r\nHost: h\r\nX : y\r\n").unwrap_err(),
        Malformed::HeaderLine
    );
    assert_eq!(
        read("GET / HTTP/1.1\n").unwrap_err(),
        Malformed::RequestLine
    );
    assert_eq!(read("\x16").unwrap_err(), Malformed::RequestLine);
}

#[test]
fn each_fault_has_its_reason() {
    use Malformed as M;
    let with = |lines: &str| format!("POST / HTTP/1.1\r\nHost: h\r\n{lines}\r\n\r\n");
    for (head, why) in [
        (
            with("Content-Length: 1\r\nTransfer-Encoding: chunked"),
            M::Framing,
        ),
        (with("Content-Length: 1\r\nContent-Length: 1"), M::Framing),
        (with("Content-Length: 1, 1"), M::Framing),
        (with("Content-Length: +1"), M::Framing),
        (with("Content-Length: 1000000000000000000"), M::Framing),
        (
            with("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"),
            M::Framing,
        ),
        (with("Transfer-Encoding: x-chunked"), M::Framing),
        (with("Transfer-Encoding: gzip, chunked"), M::TransferCoding),
        (with("X: y\r\n z"), M::HeaderLine),
        (with("X : y"), M::HeaderLine),
        (with("X: \0"), M::HeaderLine),
        (with("X: a\rb"), M::HeaderLine),
        (with("Host: h"), M::Host),
        ("GET / HTTP/1.1\r\n\r\n".into(), M::Host),
        ("GET http://g/ HTTP/1.1\r\nHost: h\r\n\r\n".into(), M::Host),
        ("GET / HTTP/1.2\r\nHost: h\r\n\r\n".into(), M::Version),
        ("GET / HTTP/1.1x\r\nHost: h\r\n\r\n".into(), M::RequestLine),
        ("GET /\r\n\r\n".into(), M::RequestLine),
        ("CONNECT h:1 HTTP/1.1\r\nHost: h\r\n\r\n".into(), M::Connect),
        (
            format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", "a".repeat(10_240)),
            M::TargetTooLong,
        ),
        (
            with(&format!("X: {}", "y".repeat(20_480))),
            M::HeadersTooLarge,
        ),
        (with(&"a:\r\n".repeat(256)), M::HeadersTooLarge),
    ] {
        assert_eq!(read(&head).unwrap_err(), why, "{head:.100}");
    }
}

#[test]
fn a_refusal_tells_what_was_read() {
    let mut buffer = BytesMut::from("PUT /a?b HTTP/1.0\r\nX : y\r\n");

    let refused = HeadReader::default().read(&mut buffer).unwrap_err();

    assert_eq!(refused.method, Method::PUT);
    assert_eq!(refused.version, Version::HTTP_10);
    assert_eq!(
        (refused.path.as_str(), refused.query.as_deref()),
        ("/a", Some("b"))
    );
}

/// What a reader makes of bytes that come in these pieces.
fn read_pieces<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<String> {
    let mut reader = HeadReader::default();
    let mut buffer = BytesMut::new();
    let mut found = Vec::new();
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            match reader.read(&mut buffer) {
                Ok(Some(head)) => found.push(format!("{head:?}")),
                Ok(None) => break,
                Err(refused) => {
                    found.push(format!("{refused:?}"));
                    return found;
                }
            }
        }
    }
    found
}

/// Heads, some whole, some with something odd in them.
pub(in crate::server) fn head_text() -> impl Strategy<Value = Vec<u8>> {
    let line = prop_oneof![
        Just("Content-Length: 3\r\n"),
        Just("content-length: 3\r\n"),
        Just("Transfer-Encoding: chunked\r\n"),
        Just("Transfer-Encoding: gzip, chunked\r\n"),
        Just("Host: b\r\n"),
        Just("Connection: close\r\n"),
        Just("Connection: keep-alive\r\n"),
        Just("Expect: 100-continue\r\n"),
        Just("X-Y: z\r\n"),
        Just("x:\t\r\n"),
        Just(" folded\r\n"),
        Just("odd : z\r\n"),
        Just("bare: lf\n"),
    ];
    let first = prop_oneof![
        Just("GET / HTTP/1.1\r\n"),
        Just("POST /a?b HTTP/1.1\r\n"),
        Just("POST /%2e/.. HTTP/1.0\r\n"),
        Just("GET http://a/x HTTP/1.1\r\n"),
        Just("\r\nGET / HTTP/1.1\r\n"),
    ];
    let host = prop_oneof![6 => Just("Host: a\r\n"), 1 => Just("")];
    let text = (first, host, prop::collection::vec(line, 0..4));
    let odd = prop_oneof![
        Just(b"\r\n".to_vec()),
        Just(b"\n".to_vec()),
        Just(b"\r".to_vec()),
        Just(b" ".to_vec()),
        Just(b"\t".to_vec()),
        Just(b":".to_vec()),
        Just(b"\0".to_vec()),
        prop::collection::vec(any::<u8>(), 1..3),
    ];
    let change = prop::option::weighted(0.4, (any::<prop::sample::Index>(), 0..2_usize, odd));
    (text, change).prop_map(|((first, host, lines), change)| {
        let mut text = [first, host, &lines.concat(), "\r\n"].concat().into_bytes();
        if let Some((at, removed, inserted)) = change {
            let at = at.index(text.len());
            text.splice(at..(at + removed).min(text.len()), inserted);
        }
        text
    })
}

proptest! {
    #[test]
    fn how_bytes_are_split_does_not_matter(
        heads in prop::collection::vec(head_text(), 1..4),
        noise in prop::collection::vec(any::<u8>(), 0..20),
        mut cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let bytes = [heads.concat(), noise].concat();
        let mut places: Vec<usize> = cuts.drain(..).map(|cut| cut.index(bytes.len())).collect();
        places.extend([0, bytes.len()]);
        places.sort_unstable();
        let pieces = places.windows(2).map(|ends| &bytes[ends[0]..ends[1]]);

        let whole = read_pieces([&bytes[..]]);

        prop_assert_eq!(&read_pieces(pieces), &whole);
        prop_assert_eq!(read_pieces(bytes.chunks(1)), whole);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        read_pieces([&bytes[..]]);
    }

    #[test]
    fn long_lines_are_refused_alike_however_they_are_split(
        lengths in prop::collection::vec(0..30_000_usize, 1..4),
        step in 1..9000_usize,
    ) {
        let mut bytes = b"GET / HTTP/1.1\r\nHost: a\r\n".to_vec();
        for length in lengths {
            bytes.extend_from_slice(b"X: ");
            bytes.resize(bytes.len() + length, b'y');
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(b"\r\n");

        prop_assert_eq!(read_pieces(bytes.chunks(step)), read_pieces([&bytes[..]]));
    }
}
