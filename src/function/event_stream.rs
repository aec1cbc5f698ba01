//! `application/vnd.amazon.eventstream`, as InvokeWithResponseStream answers:
//! `PayloadChunk` events, then one `InvokeComplete`.
//!
//! Source: Lambda API reference, "InvokeWithResponseStream".

use aws_smithy_eventstream::frame::{DecodedFrame, MessageFrameDecoder};
use aws_smithy_types::event_stream::Message;
use bytes::{Buf, Bytes, BytesMut};
use serde_json::Value as Json;

use super::Outcome;

/// Largest message in bytes; Lambda's own pieces are far smaller.
const LONGEST_MESSAGE: usize = 8 * 1024 * 1024;

/// What the stream says.
#[derive(Debug)]
pub(super) enum Event {
    /// A piece of the result.
    Payload(Bytes),
    /// The result's end, or how it failed.
    Complete(Outcome),
}

/// Reads events from bytes as they come.
#[derive(Debug, Default)]
pub(super) struct EventReader {
    decoder: MessageFrameDecoder,
    waiting: BytesMut,
}

impl EventReader {
    /// Takes more bytes of the stream.
    pub(super) fn add(&mut self, bytes: &[u8]) {
        self.waiting.extend_from_slice(bytes);
    }

    /// The next event that is there whole.
    ///
    /// # Errors
    ///
    /// What is wrong with the stream, or the exception that it carries.
    pub(super) fn next(&mut self) -> Result<Option<Event>, String> {
        loop {
            // The decoder keeps what it has read of a message, so that the next bytes would
            // be taken for another one's length: it only gets whole messages.
            let Some(mut length) = self.waiting.get(..4) else {
                return Ok(None);
            };
            let announced = length.get_u32() as usize;
            if announced > LONGEST_MESSAGE {
                return Err("a message of the stream is too long".to_owned());
            }
            if self.waiting.len() < announced {
                return Ok(None);
            }
            let frame = self
                .decoder
                .decode_frame(&mut self.waiting)
                .map_err(|error| format!("the stream cannot be read: {error}"))?;
            match frame {
                DecodedFrame::Incomplete => return Ok(None),
                DecodedFrame::Complete(message) => {
                    if let Some(event) = event(&message)? {
                        return Ok(Some(event));
                    }
                }
            }
        }
    }
}

fn event(message: &Message) -> Result<Option<Event>, String> {
    let header = |name: &str| {
        let found = message
            .headers()
            .iter()
            .find(|header| header.name().as_str() == name);
        found
            .and_then(|header| header.value().as_string().ok())
            .map(|value| value.as_str().to_owned())
    };
    let payload = message.payload().clone();
    match header(":message-type").as_deref() {
        Some("event") => {}
        _ => {
            let kind = header(":exception-type").or_else(|| header(":error-code"));
            return Err(format!(
                "the stream broke off: {} {}",
                kind.unwrap_or_default(),
                String::from_utf8_lossy(&payload)
            ));
        }
    }
    Ok(match header(":event-type").as_deref() {
        Some("PayloadChunk") => Some(Event::Payload(payload)),
        Some("InvokeComplete") => {
            let end: Json = serde_json::from_slice(&payload).unwrap_or_default();
            let code = end["ErrorCode"].as_str();
            let details = end["ErrorDetails"].as_str().unwrap_or_default().to_owned();
            Some(Event::Complete(Outcome {
                status: 200,
                payload: if code.is_some() {
                    details.into()
                } else {
                    Bytes::new()
                },
                function_error: code.map(str::to_owned),
                time: None,
            }))
        }
        // What a later version of the API adds.
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use aws_smithy_eventstream::frame::write_message_to;
    use aws_smithy_types::event_stream::{Header, HeaderValue};

    use super::*;

    fn message(kind: &str, name: (&'static str, &str), payload: &'static str) -> Vec<u8> {
        let text = |text: &str| HeaderValue::String(text.to_owned().into());
        let message = Message::new(payload)
            .add_header(Header::new(":message-type", text(kind)))
            .add_header(Header::new(name.0, text(name.1)));
        let mut bytes = Vec::new();
        write_message_to(&message, &mut bytes).unwrap();
        bytes
    }

    fn stream(end: &'static str) -> Vec<u8> {
        let mut bytes = message("event", (":event-type", "PayloadChunk"), "one");
        bytes.extend(message("event", (":event-type", "Later"), ""));
        bytes.extend(message("event", (":event-type", "PayloadChunk"), "two"));
        bytes.extend(message("event", (":event-type", "InvokeComplete"), end));
        bytes
    }

    #[test]
    fn events_are_read_wherever_the_bytes_are_cut() {
        let bytes = stream("{}");
        for size in [1, 7, 64, bytes.len()] {
            let (mut reader, mut text, mut ends) = (EventReader::default(), String::new(), 0);
            for piece in bytes.chunks(size) {
                reader.add(piece);
                while let Some(event) = reader.next().unwrap() {
                    match event {
                        Event::Payload(piece) => {
                            text.push_str(std::str::from_utf8(&piece).unwrap())
                        }
                        Event::Complete(outcome) => {
                            assert_eq!(outcome.function_error, None);
                            ends += 1;
                        }
                    }
                }
            }
            assert_eq!((text.as_str(), ends), ("onetwo", 1));
        }
    }

    #[test]
    fn a_failure_in_the_midst_is_told_by_the_end() {
        let mut reader = EventReader::default();
        reader.add(&stream(
            r#"{"ErrorCode":"Unhandled","ErrorDetails":"{\"a\":1}"}"#,
        ));
        let mut last = None;
        while let Some(event) = reader.next().unwrap() {
            last = Some(event);
        }

        let Some(Event::Complete(outcome)) = last else {
            panic!("no end");
        };
        assert_eq!(outcome.function_error.as_deref(), Some("Unhandled"));
        assert_eq!(outcome.payload, r#"{"a":1}"#);
    }

    #[test]
    fn exceptions_and_nonsense_are_errors() {
        let mut reader = EventReader::default();
        reader.add(&message(
            "exception",
            (":exception-type", "ServiceException"),
            "no",
        ));
        assert!(reader.next().unwrap_err().contains("ServiceException"));

        let mut reader = EventReader::default();
        reader.add(&[0xff; 64]);
        assert!(reader.next().is_err());
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
            let mut reader = EventReader::default();
            reader.add(&bytes);
            while let Ok(Some(_)) = reader.next() {}
        }
    }
}
