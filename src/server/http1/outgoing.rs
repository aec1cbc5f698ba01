//! Bytes of an answer on their way out.

use std::io::IoSlice;

use bytes::{Buf, Bytes};

/// Pieces up to this size are copied behind the head: one system call, and one slice in it.
const SMALL: usize = 4 * 1024;
/// What is gathered before it is sent.
const ENOUGH: usize = 16 * 1024;

/// A head and small pieces in one buffer, then at most one large piece and what follows it.
#[derive(Default)]
pub(super) struct Outgoing {
    buffer: Vec<u8>,
    sent: usize,
    large: Bytes,
    /// Behind the large piece.
    end: &'static [u8],
}

impl Outgoing {
    /// Where heads and framing are written; not while a large piece waits.
    pub(super) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    /// Adds a piece of a body, and `end` behind it.
    pub(super) fn put(&mut self, piece: Bytes, end: &'static [u8]) {
        if piece.len() <= SMALL {
            self.buffer.extend_from_slice(&piece);
            self.buffer.extend_from_slice(end);
        } else {
            self.large = piece;
            self.end = end;
        }
    }

    /// Whether more may be added before it is sent.
    pub(super) fn has_room(&self) -> bool {
        self.large.is_empty() && self.end.is_empty() && self.buffer.len() < ENOUGH
    }

    /// Whether all of it was sent.
    pub(super) fn is_empty(&self) -> bool {
        !self.has_remaining()
    }

    fn pieces(&self) -> [&[u8]; 3] {
        [&self.buffer[self.sent..], &self.large, self.end]
    }
}

impl Buf for Outgoing {
    fn remaining(&self) -> usize {
        self.pieces().iter().map(|piece| piece.len()).sum()
    }

    fn chunk(&self) -> &[u8] {
        let pieces = self.pieces();
        let first = pieces.into_iter().find(|piece| !piece.is_empty());
        first.unwrap_or_default()
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let pieces = self.pieces();
        let pieces = pieces.into_iter().filter(|piece| !piece.is_empty());
        let mut count = 0;
        for (slice, piece) in slices.iter_mut().zip(pieces) {
            *slice = IoSlice::new(piece);
            count += 1;
        }
        count
    }

    fn advance(&mut self, mut count: usize) {
        let step = count.min(self.buffer.len() - self.sent);
        self.sent += step;
        count -= step;
        let step = count.min(self.large.len());
        self.large.advance(step);
        count -= step;
        self.end = &self.end[count..];
        if self.sent == self.buffer.len() {
            self.buffer.clear();
            self.sent = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes out when each write takes at most `step` bytes.
    fn drain(outgoing: &mut Outgoing, step: usize) -> Vec<u8> {
        let mut all = Vec::new();
        while !outgoing.is_empty() {
            let mut slices = [IoSlice::new(&[]); 4];
            let count = outgoing.chunks_vectored(&mut slices);
            let bytes: Vec<u8> = slices[..count]
                .iter()
                .flat_map(|slice| slice.to_vec())
                .collect();
            assert_eq!(bytes.len(), outgoing.remaining());
            assert!(bytes.starts_with(outgoing.chunk()));
            let step = step.min(bytes.len());
            all.extend_from_slice(&bytes[..step]);
            outgoing.advance(step);
        }
        all
    }

    #[test]
    fn pieces_go_out_in_order_however_much_a_write_takes() {
        let large = Bytes::from(vec![b'L'; SMALL + 1]);
        for step in [1, 2, 7, 4096, 4099, usize::MAX] {
            let mut outgoing = Outgoing::default();
            outgoing.buffer().extend_from_slice(b"head");
            outgoing.put(Bytes::from_static(b"small"), b"\r\n");
            assert!(outgoing.has_room());
            outgoing.put(large.clone(), b"\r\n");
            assert!(!outgoing.has_room());

            let expected = [b"headsmall\r\n", &large[..], b"\r\n"].concat();
            assert_eq!(drain(&mut outgoing, step), expected);
            assert!(outgoing.has_room());
        }
    }
}
