//! Whole exchanges with backends that are written out byte by byte.

use bytes::{Bytes, BytesMut};
use http::{Method, Request, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::decoder::{Decoded, Decoder};
use super::head::{Head, Kept, Malformed, read_head};
use super::*;
use crate::base::BodyError;

/// A listener and its address.
async fn backend() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    (listener, address)
}

/// Reads up to the end of a request's head.
async fn read_request(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    while !text.ends_with(b"\r\n\r\n") {
        let byte = stream.read_u8().await.unwrap();
        text.push(byte);
    }
    String::from_utf8(text).unwrap()
}

fn request(method: Method, uri: String, body: Body) -> Request<Body> {
    let mut request = Request::new(body);
    *request.method_mut() = method;
    *request.uri_mut() = uri.parse().unwrap();
    request
}

fn get(uri: &str) -> Request<Body> {
    request(Method::GET, format!("{uri}/x"), Body::Empty)
}

fn streamed(pieces: &[&'static str]) -> Body {
    let frames: Vec<Result<Frame<Bytes>, BodyError>> = pieces
        .iter()
        .map(|piece| Ok(Frame::data(Bytes::from_static(piece.as_bytes()))))
        .collect();
    Body::stream(StreamBody::new(futures_util::stream::iter(frames)))
}

async fn text(body: Body) -> Result<String, String> {
    let whole = body.collect().await.map_err(|error| error.to_string())?;
    Ok(String::from_utf8(whole.to_bytes().to_vec()).unwrap())
}

#[tokio::test]
async fn a_connection_is_used_again_after_an_answer_was_read() {
    let (listener, address) = backend().await;
    let client = HttpClient::default();
    let served = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut heads = Vec::new();
        for answer in [
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nab",
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 404 Gone Fishing\r\nX-A: 1\r\nx-a: 2\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nc\r\n2;x=y\r\nde\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n",
        ] {
            heads.push(read_request(&mut stream).await);
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
        heads
    });

    let first = client.send(get(&address), Trust::Host).await.unwrap();
    assert_eq!(text(first.into_body()).await.unwrap(), "ab");
    let second = client.send(get(&address), Trust::Host).await.unwrap();
    assert_eq!(second.status(), StatusCode::NOT_FOUND);
    let values: Vec<_> = second.headers().get_all("x-a").iter().collect();
    assert_eq!(values, ["1", "2"]);
    let reason = second
        .extensions()
        .get::<hyper::ext::ReasonPhrase>()
        .unwrap();
    assert_eq!(reason.as_bytes(), b"Gone Fishing");
    let third = client.send(get(&address), Trust::Host).await.unwrap();
    assert_eq!(text(third.into_body()).await.unwrap(), "cde");
    let head = request(Method::HEAD, format!("{address}/x"), Body::Empty);
    let fourth = client.send(head, Trust::Host).await.unwrap();
    assert_eq!(fourth.headers()["content-length"], "5");
    assert!(matches!(fourth.into_body(), Body::Empty));

    let heads = served.await.unwrap();
    let host = address.trim_start_matches("http://");
    assert_eq!(heads[0], format!("GET /x HTTP/1.1\r\nhost: {host}\r\n\r\n"));
    assert_eq!(
        heads[3],
        format!("HEAD /x HTTP/1.1\r\nhost: {host}\r\n\r\n")
    );
}

#[tokio::test]
async fn a_request_goes_again_when_the_kept_connection_was_closed() {
    let (listener, address) = backend().await;
    let client = HttpClient::default();
    let served = tokio::spawn(async move {
        let (mut first, _) = listener.accept().await.unwrap();
        read_request(&mut first).await;
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n1";
        first.write_all(answer).await.unwrap();
        // The second request is read and not answered.
        read_request(&mut first).await;
        drop(first);
        let (mut second, _) = listener.accept().await.unwrap();
        read_request(&mut second).await;
        let answer = b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n2";
        second.write_all(answer).await.unwrap();
        drop(second);
        let (mut third, _) = listener.accept().await.unwrap();
        read_request(&mut third).await;
        drop(third);
    });

    let first = client.send(get(&address), Trust::Host).await.unwrap();
    assert_eq!(text(first.into_body()).await.unwrap(), "1");
    let second = client.send(get(&address), Trust::Host).await.unwrap();
    assert_eq!(text(second.into_body()).await.unwrap(), "2");
    // A fresh connection is not tried again.
    let third = client.send(get(&address), Trust::Host).await;
    assert!(matches!(third, Err(ClientError::Exchange(_))));
    served.await.unwrap();
}

#[tokio::test]
async fn a_request_that_may_have_run_is_not_sent_again() {
    let (listener, address) = backend().await;
    let client = HttpClient::default();
    let served = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        read_request(&mut stream).await;
        let answer = b"HTTP/1.1 204 No Content\r\n\r\n";
        stream.write_all(answer).await.unwrap();
        read_request(&mut stream).await;
        drop(stream);
        listener
    });

    client.send(get(&address), Trust::Host).await.unwrap();
    let post = request(Method::POST, format!("{address}/x"), Body::Empty);
    let error = client.send(post, Trust::Host).await.unwrap_err();

    assert!(matches!(error, ClientError::Exchange(_)), "{error}");
    let listener = served.await.unwrap();
    let none = std::future::poll_fn(|context| {
        std::task::Poll::Ready(listener.poll_accept(context).is_pending())
    });
    assert!(none.await);
}

#[tokio::test]
async fn a_connection_that_speaks_unasked_is_not_used_again() {
    let (listener, address) = backend().await;
    let client = HttpClient::default();
    let served = tokio::spawn(async move {
        let (mut first, _) = listener.accept().await.unwrap();
        read_request(&mut first).await;
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n1HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil";
        first.write_all(answer).await.unwrap();
        let (mut second, _) = listener.accept().await.unwrap();
        read_request(&mut second).await;
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ngood";
        second.write_all(answer).await.unwrap();
    });

    let first = client.send(get(&address), Trust::Host).await.unwrap();
    assert_eq!(text(first.into_body()).await.unwrap(), "1");
    let second = client.send(get(&address), Trust::Host).await.unwrap();
    assert_eq!(text(second.into_body()).await.unwrap(), "good");
    served.await.unwrap();
}

#[tokio::test]
async fn a_body_that_is_dropped_early_closes_its_connection() {
    let (listener, address) = backend().await;
    let client = HttpClient::default();
    let served = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        read_request(&mut stream).await;
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc";
        stream.write_all(answer).await.unwrap();
        stream.read(&mut [0; 8]).await.unwrap()
    });

    let mut body = client
        .send(get(&address), Trust::Host)
        .await
        .unwrap()
        .into_body();
    let frame = body.frame().await.unwrap().unwrap();
    assert_eq!(frame.into_data().unwrap(), "abc");
    drop(body);

    assert_eq!(served.await.unwrap(), 0);
}

#[tokio::test]
async fn a_body_of_unknown_length_goes_in_chunks_and_an_early_answer_is_taken() {
    let (listener, address) = backend().await;
    let client = HttpClient::default();
    let served = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let head = read_request(&mut stream).await;
        // Answered before the rest of the request has come, and ended after it.
        let answer = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n";
        stream.write_all(answer).await.unwrap();
        let mut body = Vec::new();
        while !body.ends_with(b"0\r\n\r\n") {
            body.push(stream.read_u8().await.unwrap());
        }
        stream.write_all(b"0\r\nx-t: 1\r\n\r\n").await.unwrap();
        (head, String::from_utf8(body).unwrap())
    });
    let (sender, receiver) = tokio::sync::mpsc::channel::<&'static str>(1);
    let pieces = futures_util::stream::unfold(receiver, async |mut receiver| {
        let piece = receiver.recv().await?;
        let frame: Result<_, BodyError> = Ok(Frame::data(Bytes::from_static(piece.as_bytes())));
        Some((frame, receiver))
    });
    let body = Body::stream(StreamBody::new(Box::pin(pieces)));

    let post = request(Method::POST, format!("{address}?a=%2e/../b"), body);
    let mut answer = client.send(post, Trust::Host).await.unwrap().into_body();
    let first = answer.frame().await.unwrap().unwrap();
    assert_eq!(first.into_data().unwrap(), "ok");
    for piece in ["abc", "0123456789abcdef"] {
        let (sent, ()) = tokio::join!(sender.send(piece), async {
            let more = std::future::poll_fn(|context| {
                let polled = std::pin::Pin::new(&mut answer).poll_frame(context);
                std::task::Poll::Ready(polled.is_pending())
            });
            assert!(more.await);
        });
        sent.unwrap();
    }
    drop(sender);
    let last = answer.frame().await.unwrap().unwrap();
    assert_eq!(last.into_trailers().unwrap()["x-t"], "1");

    let (head, body) = served.await.unwrap();
    assert!(head.starts_with("POST /?a=%2e/../b HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("transfer-encoding: chunked\r\n"), "{head}");
    assert_eq!(body, "3\r\nabc\r\n10\r\n0123456789abcdef\r\n0\r\n\r\n");
}

#[tokio::test]
async fn bodies_go_by_their_length_and_must_have_it() {
    let (listener, address) = backend().await;
    let client = HttpClient::default();
    let served = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let head = read_request(&mut stream).await;
        let mut body = [0; 5];
        stream.read_exact(&mut body).await.unwrap();
        stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\na")
            .await
            .unwrap();
        drop(stream);
        (head, body)
    });

    let put = request(Method::PUT, format!("{address}/"), Body::from("hello"));
    let answer = client.send(put, Trust::Host).await.unwrap();
    let error = text(answer.into_body()).await.unwrap_err();

    assert!(error.contains("before the end"), "{error}");
    let (head, body) = served.await.unwrap();
    assert!(head.ends_with("content-length: 5\r\n\r\n"), "{head}");
    assert_eq!(&body, b"hello");
}

#[tokio::test]
async fn a_body_that_breaks_off_is_the_requests_fault() {
    let (_listener, address) = backend().await;
    let fault = crate::base::BodyFault::Stalled;
    let frames = vec![
        Ok(Frame::data(Bytes::from_static(b"a"))),
        Err(BodyError::from(fault)),
    ];
    let body = Body::stream(StreamBody::new(futures_util::stream::iter(frames)));

    let post = request(Method::POST, address, body);
    let error = HttpClient::default()
        .send(post, Trust::Host)
        .await
        .unwrap_err();

    let error: BodyError = error.into();
    assert_eq!(crate::base::BodyFault::of(&error), Some(fault));
}

#[tokio::test]
async fn an_answer_that_comes_instead_of_reading_the_body_is_taken() {
    let (listener, address) = backend().await;
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        read_request(&mut stream).await;
        let answer = b"HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\n\r\n";
        stream.write_all(answer).await.unwrap();
        // Kept open and unread: the request never gets out whole.
        std::future::pending::<()>().await;
    });
    let large = Bytes::from(vec![b'x'; 32 << 20]);

    let post = request(Method::POST, address, Body::Full(large));
    let answer = HttpClient::default().send(post, Trust::Host).await.unwrap();

    assert_eq!(answer.status(), StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_closed_after_a_minute() {
    let (listener, address) = backend().await;
    let client = HttpClient::default();
    let served = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        read_request(&mut stream).await;
        let answer = b"HTTP/1.1 204 No Content\r\n\r\n";
        stream.write_all(answer).await.unwrap();
        stream.read(&mut [0; 8]).await.unwrap()
    });

    client.send(get(&address), Trust::Host).await.unwrap();

    assert_eq!(served.await.unwrap(), 0);
}

#[tokio::test]
async fn neither_tunnels_nor_other_schemes_are_sent() {
    let client = HttpClient::default();
    let tunnel = request(Method::CONNECT, "http://a.test/".to_owned(), Body::Empty);
    let other = request(Method::GET, "ftp://a.test/".to_owned(), Body::Empty);
    let chunks = streamed(&["a", "b"]);

    let tunnel = client.send(tunnel, Trust::Host).await.unwrap_err();
    let other = client.send(other, Trust::Host).await.unwrap_err();

    assert!(matches!(tunnel, ClientError::Tunnel));
    assert!(matches!(other, ClientError::Address(_)));
    assert_eq!(framing(&Method::GET, &chunks), None);
    assert_eq!(framing(&Method::POST, &chunks), Some(Framing::Chunked));
}

/// Status, headers, framing, and whether the connection is kept.
type Shown = (u16, Vec<(String, Vec<u8>)>, Framing, bool);

/// What a reader makes of an answer.
#[derive(Debug, PartialEq, Eq)]
struct Read {
    head: Option<Shown>,
    body: Vec<u8>,
    trailers: usize,
    end: Result<bool, Malformed>,
    left: usize,
}

/// Reads an answer that comes in these pieces and then ends.
fn read(pieces: &[&[u8]], method: &Method) -> Read {
    let mut input = BytesMut::new();
    let mut pieces = pieces.iter();
    let mut out = Read {
        head: None,
        body: Vec::new(),
        trailers: 0,
        end: Ok(false),
        left: 0,
    };
    let mut decoder: Option<Decoder> = None;
    loop {
        let more = match &mut decoder {
            None => match read_head(&mut input, method, Kept::All) {
                Err(error) => {
                    out.end = Err(error);
                    return out;
                }
                Ok(Some(head)) => {
                    decoder = Some(Decoder::new(head.framing));
                    out.head = Some(shown(head));
                    false
                }
                Ok(None) => true,
            },
            Some(decoder) => match decoder.decode(&mut input) {
                Err(error) => {
                    out.end = Err(error);
                    return out;
                }
                Ok(Decoded::Data(data)) => {
                    out.body.extend_from_slice(&data);
                    false
                }
                Ok(Decoded::Trailers(trailers)) => {
                    out.trailers = trailers.len();
                    false
                }
                Ok(Decoded::End) => {
                    out.end = Ok(true);
                    out.left = input.len() + pieces.map(|piece| piece.len()).sum::<usize>();
                    return out;
                }
                Ok(Decoded::More) => true,
            },
        };
        if more {
            let Some(piece) = pieces.next() else {
                out.end = Ok(decoder.is_some_and(|mut decoder| decoder.at_close()));
                return out;
            };
            input.extend_from_slice(piece);
        }
    }
}

fn shown(head: Head) -> Shown {
    let headers = head
        .headers
        .iter()
        .map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()))
        .collect();
    (head.status.as_u16(), headers, head.framing, head.keep_alive)
}

fn end_of(text: &str) -> Result<bool, Malformed> {
    read(&[text.as_bytes()], &Method::GET).end
}

#[test]
fn an_answer_with_two_readings_has_none() {
    let head = |lines: &str| end_of(&format!("HTTP/1.1 200 OK\r\n{lines}\r\n"));
    assert_eq!(
        head("content-length: 1\r\ntransfer-encoding: chunked\r\n"),
        Err(Malformed::Framing)
    );
    assert_eq!(
        head("content-length: 1\r\ncontent-length: 2\r\n"),
        Err(Malformed::Length)
    );
    assert_eq!(head("content-length: 1, 2\r\n"), Err(Malformed::Length));
    assert_eq!(head("content-length: +1\r\n"), Err(Malformed::Length));
    assert_eq!(head("content-length: \r\n"), Err(Malformed::Length));
    assert_eq!(
        head("content-length: 99999999999999999999\r\n"),
        Err(Malformed::Length)
    );
    assert_eq!(head("content-length: 0, 0\r\n"), Ok(true));
    assert!(matches!(head("a: b\r\n c\r\n"), Err(Malformed::Head(_))));
    assert!(matches!(head("a : b\r\n"), Err(Malformed::Head(_))));
    assert_eq!(
        end_of("HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"),
        Err(Malformed::Framing)
    );
    assert_eq!(
        end_of("HTTP/1.1 101 Switching Protocols\r\n\r\n"),
        Err(Malformed::Upgrade)
    );
    let many: String = (0..MANY).map(|n| format!("h{n}: v\r\n")).collect();
    assert!(matches!(head(&many), Err(Malformed::Head(_))));
}

/// More lines than a head may have.
const MANY: usize = super::head::MAX_HEADERS + 1;

#[test]
fn chunks_are_held_to_their_form() {
    let chunked = |body: &str| {
        end_of(&format!(
            "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n{body}"
        ))
    };
    for good in ["0\r\n\r\n", "1 ;a=\"b\"\r\nx\r\n000\r\na: b\r\n\r\n"] {
        assert_eq!(chunked(good), Ok(true), "{good:?}");
    }
    for bad in [
        "\r\n",
        "x\r\n",
        "1\nx\r\n0\r\n\r\n",
        "1\r\nxx\r\n",
        "-1\r\n",
        "+1\r\nx\r\n",
        "0x1\r\nx\r\n",
        "1 1\r\nx\r\n",
        "1\r\r\nx\r\n",
        "1\r\nx\n0\r\n\r\n",
        "11111111111111111\r\n",
        "0\r\n\n",
        "0\r\na b: c\r\n\r\n",
    ] {
        assert_eq!(chunked(bad), Err(Malformed::Chunk), "{bad:?}");
    }
    for cut in [
        "",
        "1",
        "1\r\n",
        "1\r\nx",
        "1\r\nx\r\n",
        "0\r\n",
        "0\r\na: b\r\n",
    ] {
        assert_eq!(chunked(cut), Ok(false), "{cut:?}");
    }
    let long = format!("1;{}\r\nx\r\n0\r\n\r\n", "e".repeat(20_000));
    assert_eq!(chunked(&long), Err(Malformed::Chunk));
}

#[test]
fn connections_are_kept_by_version_and_option() {
    let kept = |head: &str| {
        let read = read(&[head.as_bytes()], &Method::GET);
        read.head.unwrap().3
    };
    assert!(kept("HTTP/1.1 204 No\r\n\r\n"));
    assert!(!kept(
        "HTTP/1.1 204 No\r\nconnection: x, Close\r\nconnection: keep-alive\r\n\r\n"
    ));
    assert!(!kept("HTTP/1.0 204 No\r\n\r\n"));
    assert!(kept("HTTP/1.0 204 No\r\nconnection: Keep-Alive\r\n\r\n"));
}

/// An answer from parts that are mostly right.
fn answers() -> impl Strategy<Value = Vec<u8>> {
    let line = prop_oneof![
        Just("HTTP/1.1 200 OK\r\n"),
        Just("HTTP/1.1 204 \r\n"),
        Just("HTTP/1.0 200 OK\r\n"),
        Just("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n"),
        Just("HTTP/1.1 99 X\r\n"),
    ];
    let field = prop_oneof![
        Just("content-length: 3\r\n"),
        Just("Content-Length: 12\r\n"),
        Just("transfer-encoding: chunked\r\n"),
        Just("Transfer-Encoding: gzip\r\n"),
        Just("connection: close\r\n"),
        Just("x-a: b\r\n"),
        Just("x-a:\t\u{e9} \r\n"),
        Just("x-n: v\n"),
        Just(" folded\r\n"),
    ];
    let body = prop_oneof![
        "[a-z]{0,20}".prop_map(String::into_bytes),
        Just(b"3\r\nabc\r\n0\r\n\r\n".to_vec()),
        Just(b"a;e=1\r\n0123456789\r\n1\r\nx\r\n0\r\nt: 1\r\n\r\nmore".to_vec()),
        Just(b"3\r\nabcd".to_vec()),
        Just(b"3\nabc\r\n".to_vec()),
        proptest::collection::vec(any::<u8>(), 0..20),
    ];
    (line, proptest::collection::vec(field, 0..4), body).prop_map(|(line, fields, body)| {
        let mut text = line.as_bytes().to_vec();
        text.extend(fields.concat().bytes());
        text.extend(b"\r\n");
        text.extend(body);
        text
    })
}

proptest! {
    #[test]
    fn an_answer_reads_the_same_however_it_is_cut(
        text in answers(),
        cuts in proptest::collection::vec(any::<proptest::sample::Index>(), 0..6),
        head in any::<bool>(),
    ) {
        let method = if head { Method::HEAD } else { Method::GET };
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
        cuts.sort_unstable();
        let mut pieces = Vec::new();
        let mut from = 0;
        for cut in cuts {
            pieces.push(&text[from..cut]);
            from = cut;
        }
        pieces.push(&text[from..]);
        let bytes: Vec<&[u8]> = text.chunks(1).collect();

        let whole = read(&[&text], &method);

        prop_assert_eq!(&read(&pieces, &method), &whole);
        prop_assert_eq!(&read(&bytes, &method), &whole);
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(text in proptest::collection::vec(any::<u8>(), 0..200)) {
        let prefixed = [b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", &text[..]].concat();
        read(&[&text], &Method::GET);
        read(&[&prefixed], &Method::GET);
    }
}

#[test]
fn an_answer_that_is_passed_on_loses_what_was_its_connections() {
    let text =
        b"HTTP/1.1 200 OK\r\nConnection: close, X-Foo\r\nx-foo: 1\r\nKeep-Alive: timeout=5\r\n\
        Content-Length: 2\r\nX-Kept: 1\r\n\r\nab";
    let read = |kept| {
        let mut input = BytesMut::from(&text[..]);
        let head = read_head(&mut input, &Method::GET, kept).unwrap().unwrap();
        assert_eq!(&input[..], b"ab");
        assert_eq!(head.framing, Framing::Length(2));
        assert!(!head.keep_alive);
        let names: Vec<String> = head.headers.keys().map(ToString::to_string).collect();
        (names, head.lines.unwrap_or_default())
    };

    let (names, lines) = read(Kept::Lines);
    assert_eq!(lines.as_bytes(), b"x-kept: 1\r\n");
    assert!(names.is_empty());
    assert_eq!(read(Kept::EndToEnd).0, ["x-kept"]);
    assert_eq!(
        read(Kept::All).0,
        [
            "connection",
            "x-foo",
            "keep-alive",
            "content-length",
            "x-kept"
        ]
    );
}

#[tokio::test]
async fn an_answers_head_is_waited_for_up_to_the_deadline_also_on_a_kept_connection() {
    let (listener, address) = backend().await;
    let served = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        read_request(&mut stream).await;
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
        stream.write_all(answer).await.unwrap();
        let second = read_request(&mut stream).await;
        // The exchange is given up, and its connection with it.
        assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
        second
    });
    let origin = Arc::new(Origin::of(&address.parse().unwrap()).unwrap());
    let upstream = HttpClient::default()
        .upstream(&origin, Trust::Host)
        .unwrap();
    let target = PathAndQuery::from_static("/x");
    let headers = HeaderLines::default();
    let send = |wait: Duration| {
        let deadline = Some(Instant::now() + wait);
        upstream.send(
            &Method::GET,
            &target,
            &headers,
            Body::Empty,
            Kept::All,
            deadline,
        )
    };

    let first = send(Duration::from_secs(3600)).await.unwrap();
    // With nothing else to do the clock goes on to the next deadline.
    tokio::time::pause();
    let begin = Instant::now();
    let second = send(Duration::from_secs(5)).await.unwrap_err();

    assert_eq!(first.status(), StatusCode::OK);
    assert!(matches!(second, ClientError::TimedOut), "{second:?}");
    assert_eq!(begin.elapsed().as_secs(), 5);
    assert!(served.await.unwrap().starts_with("GET /x HTTP/1.1\r\n"));
}

#[tokio::test]
async fn a_users_name_in_an_address_is_refused_and_not_told() {
    let client = HttpClient::default();
    let error = client
        .send(get("http://user:secret@127.0.0.1:1"), Trust::Host)
        .await
        .unwrap_err();

    assert_eq!(
        error.to_string(),
        "`http://***@127.0.0.1:1/x` is no address of a backend"
    );
}
