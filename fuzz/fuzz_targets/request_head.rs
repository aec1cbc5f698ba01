//! HTTP/1 heads: no bytes panic, and it does not matter how they are split.
#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use tollgate::server::head::HeadReader;

/// What a reader makes of bytes that come in these pieces.
fn read<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<String> {
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

fuzz_target!(|input: &[u8]| {
    let Some((step, bytes)) = input.split_first() else {
        return;
    };
    let step = usize::from(*step).max(1);
    assert_eq!(read([bytes]), read(bytes.chunks(step)));
});
