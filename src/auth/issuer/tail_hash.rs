//! Finds a token in a table by its signature's end, without hashing all of it.
//!
//! Only the place in the table follows from the end: what is found there is compared
//! whole. Tokens are kept once their signatures are verified, and two with one
//! signature's end would have to be made by the issuer, so that nobody else can fill
//! one place of the table.

use std::hash::{BuildHasher, DefaultHasher, Hasher, RandomState};

/// As many bytes are hashed: 256 bits of a signature in base64url.
const TAIL: usize = 43;

/// Hashes the ends of texts, under a key of its own.
#[derive(Clone, Debug, Default)]
pub(super) struct TailHash(RandomState);

impl BuildHasher for TailHash {
    type Hasher = TailHasher;

    fn build_hasher(&self) -> TailHasher {
        TailHasher(self.0.build_hasher())
    }
}

/// See [`TailHash`].
pub(super) struct TailHasher(DefaultHasher);

impl Hasher for TailHasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0.write(&bytes[bytes.len().saturating_sub(TAIL)..]);
    }

    fn write_u8(&mut self, byte: u8) {
        self.0.write_u8(byte);
    }

    fn finish(&self) -> u64 {
        self.0.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_text_decides_its_place() {
        let hash = TailHash::default();
        let end = "s".repeat(TAIL);

        assert_eq!(
            hash.hash_one(format!("a.b.{end}")),
            hash.hash_one(format!("a.c.{end}"))
        );
        assert_ne!(
            hash.hash_one(format!("a.b.{end}")),
            hash.hash_one(format!("a.b.{end}t"))
        );
        assert_eq!(hash.hash_one("short"), hash.hash_one("short"));
        assert_ne!(hash.hash_one("short"), hash.hash_one("shorn"));
    }
}
