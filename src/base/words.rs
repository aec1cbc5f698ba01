//! Eight bytes looked at together: most texts are too short for the compiler's own vectors.

const ONES: u64 = u64::MAX / 255;
const TOPS: u64 = ONES << 7;

/// Whether `is_fine` holds for all words of `bytes`; those of fewer than eight bytes are filled
/// up with spaces.
pub fn all_words(bytes: &[u8], is_fine: impl Fn(u64) -> bool) -> bool {
    let (eights, rest) = bytes.as_chunks::<8>();
    let word = |eight: &[u8; 8]| is_fine(u64::from_ne_bytes(*eight));
    match bytes.last_chunk::<8>() {
        // The last eight are seen twice, most of them.
        Some(last) => eights.iter().all(word) && word(last),
        None => {
            let mut eight = [b' '; 8];
            for (to, from) in eight.iter_mut().zip(rest) {
                *to = *from;
            }
            word(&eight)
        }
    }
}

/// Whether a byte of `word` is below `least`, which is at most 128.
pub fn has_below(word: u64, least: u8) -> bool {
    // What is below borrows: its top bit is set then and was not before.
    word.wrapping_sub(ONES * u64::from(least)) & !word & TOPS != 0
}

/// Whether a byte of `word` is `byte`.
pub fn has(word: u64, byte: u8) -> bool {
    has_below(word ^ (ONES * u64::from(byte)), 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_seen_at_every_place() {
        for byte in 0..=255_u8 {
            for length in 1..=25 {
                for place in 0..length {
                    let mut bytes = vec![b'v'; length];
                    bytes[place] = byte;
                    let is_low = !all_words(&bytes, |word| !has_below(word, b' '));
                    let is_quote = !all_words(&bytes, |word| !has(word, b'"'));
                    assert_eq!(
                        (is_low, is_quote),
                        (byte < b' ', byte == b'"'),
                        "{byte} at {place}"
                    );
                }
            }
        }
        assert!(all_words(b"", |word| !has_below(word, b' ')));
    }

    #[test]
    fn a_bytes_neighbours_do_not_matter() {
        for before in [0, 1, b' ', 0x7f, 0x80, 0xff] {
            for byte in 0..=255_u8 {
                let bytes = [before, byte, before, b'a', b'a', b'a', b'a', b'a'];
                let word = u64::from_ne_bytes(bytes);
                assert_eq!(has_below(word, b' '), before < b' ' || byte < b' ');
                assert_eq!(has(word, 0x7f), before == 0x7f || byte == 0x7f);
            }
        }
    }
}
