//! The Secure Remote Password protocol as Cognito speaks it: SRP-6a with the
//! 3072-bit group, SHA-256 and a key of sixteen bytes.
//!
//! Neither side sends the password: the pool keeps a verifier, and both prove that
//! they came to the same key. Sources: RFC 5054 for the group, and the clients
//! (amazon-cognito-identity-js, pycognito) for how numbers are padded and what is signed.

use std::sync::LazyLock;

use aws_lc_rs::{constant_time, digest, hmac};
use num_bigint::BigUint;

/// RFC 3526, group 15 (3072 bits), which RFC 5054 takes over.
pub(super) const PRIME: &str = "\
FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74\
020BBEA63B139B22514A08798E3404DDEF9519B3CD3A431B302B0A6DF25F1437\
4FE1356D6D51C245E485B576625E7EC6F44C42E9A637ED6B0BFF5CB6F406B7ED\
EE386BFB5A899FA5AE9F24117C4B1FE649286651ECE45B3DC2007CB8A163BF05\
98DA48361C55D39A69163FA8FD24CF5F83655D23DCA3AD961C62F356208552BB\
9ED529077096966D670C354E4ABC9804F1746C08CA18217C32905E462E36CE3B\
E39E772C180E86039B2783A2EC07A28FB5C55DF06F4C52C9DE2BCBF695581718\
3995497CEA956AE515D2261898FA051015728E5A8AAAC42DAD33170D04507A33\
A85521ABDF1CBA64ECFB850458DBEF0A8AEA71575D060C7DB3970F85A6E1E4C7\
ABF5AE8CDB0933D71E8C94E04A25619DCEE3D2261AD2EE6BF12FFA06D98A0864\
D87602733EC86A64521F2B18177B200CBBE117577A615D6C770988C0BAD946E2\
08E24FA074E5AB3143DB5BFCE0FD108E4B82D120A93AD2CAFFFFFFFFFFFFFFFF";

static GROUP: LazyLock<Group> = LazyLock::new(|| {
    let prime = BigUint::parse_bytes(PRIME.as_bytes(), 16).unwrap_or_default();
    let generator = BigUint::from(2_u8);
    let multiplier = hash(&[&padded(&prime), &padded(&generator)]);
    Group {
        multiplier: BigUint::from_bytes_be(&multiplier),
        prime,
        generator,
    }
});

struct Group {
    prime: BigUint,
    generator: BigUint,
    multiplier: BigUint,
}

/// A number as the clients hash it: whole bytes, with a zero byte in front where
/// the first bit is set.
fn padded(number: &BigUint) -> Vec<u8> {
    let mut bytes = number.to_bytes_be();
    if bytes.first().is_some_and(|byte| byte & 0x80 != 0) {
        bytes.insert(0, 0);
    }
    bytes
}

fn hash(parts: &[&[u8]]) -> Vec<u8> {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(part);
    }
    context.finish().as_ref().to_vec()
}

/// A hexadecimal number of at most as many digits as the group's prime has, with some to spare.
fn number(text: &str) -> Option<BigUint> {
    let hexadecimal = text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if text.is_empty() || text.len() > PRIME.len() + 8 || !hexadecimal {
        return None;
    }
    BigUint::parse_bytes(text.as_bytes(), 16)
}

/// What is kept of a password. Numbers are hexadecimal.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Verifier {
    pub(super) salt: String,
    pub(super) value: String,
}

/// `pool` is the pool's id without its region.
fn exponent(pool: &str, username: &str, password: &str, salt: &BigUint) -> BigUint {
    let identity = hash(&[
        pool.as_bytes(),
        username.as_bytes(),
        b":",
        password.as_bytes(),
    ]);
    BigUint::from_bytes_be(&hash(&[&padded(salt), &identity]))
}

impl Verifier {
    /// Of a password; `salt` is sixteen random bytes.
    pub(super) fn new(pool: &str, username: &str, password: &str, salt: &[u8; 16]) -> Self {
        let salt = BigUint::from_bytes_be(salt);
        let exponent = exponent(pool, username, password, &salt);
        let value = GROUP.generator.modpow(&exponent, &GROUP.prime);
        Self {
            salt: format!("{salt:x}"),
            value: format!("{value:x}"),
        }
    }

    /// Whether it is that password's.
    pub(super) fn fits(&self, pool: &str, username: &str, password: &str) -> bool {
        let Some(salt) = number(&self.salt) else {
            return false;
        };
        let exponent = exponent(pool, username, password, &salt);
        let value = GROUP.generator.modpow(&exponent, &GROUP.prime);
        constant_time::verify_slices_are_equal(
            format!("{value:x}").as_bytes(),
            self.value.as_bytes(),
        )
        .is_ok()
    }

    /// The pool's public number for a sign-in, `SRP_B`; `secret` is its private one.
    pub(super) fn challenge(&self, secret: &[u8; 32]) -> Option<String> {
        let public = &GROUP.multiplier * number(&self.value)?
            + GROUP
                .generator
                .modpow(&BigUint::from_bytes_be(secret), &GROUP.prime);
        Some(format!("{:x}", public % &GROUP.prime))
    }

    /// The key both sides come to. `None` where the client's number is none that
    /// the protocol allows: a multiple of the prime would make the key known.
    fn key(&self, client: &BigUint, secret: &[u8; 32]) -> Option<[u8; 16]> {
        let public = number(&self.challenge(secret)?)?;
        let scramble = hash(&[&padded(client), &padded(&public)]);
        let scramble = BigUint::from_bytes_be(&scramble);
        if scramble == BigUint::ZERO {
            return None;
        }
        let shared = (client * number(&self.value)?.modpow(&scramble, &GROUP.prime))
            .modpow(&BigUint::from_bytes_be(secret), &GROUP.prime);
        // HKDF of RFC 5869 with one block, cut to sixteen bytes.
        let salt = hmac::Key::new(hmac::HMAC_SHA256, &padded(&scramble));
        let extracted = hmac::sign(&salt, &padded(&shared));
        let expand = hmac::Key::new(hmac::HMAC_SHA256, extracted.as_ref());
        let expanded = hmac::sign(&expand, b"Caldera Derived Key\x01");
        expanded.as_ref().get(..16)?.try_into().ok()
    }

    /// Whether `signature` proves that its sender knows the password.
    pub(super) fn proves(&self, proof: &Proof<'_>) -> bool {
        let Some(client) = client_number(proof.client) else {
            return false;
        };
        let Some(key) = self.key(&client, proof.secret) else {
            return false;
        };
        let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, &key));
        for part in [
            proof.pool.as_bytes(),
            proof.username.as_bytes(),
            proof.secret_block,
            proof.timestamp.as_bytes(),
        ] {
            context.update(part);
        }
        let own = context.sign();
        constant_time::verify_slices_are_equal(own.as_ref(), proof.signature).is_ok()
    }
}

/// What a client sends to prove that it knows a password, and what it was told.
#[derive(Debug)]
pub(super) struct Proof<'p> {
    pub(super) pool: &'p str,
    pub(super) username: &'p str,
    /// `SRP_A`.
    pub(super) client: &'p str,
    /// The pool's private number.
    pub(super) secret: &'p [u8; 32],
    pub(super) secret_block: &'p [u8],
    pub(super) timestamp: &'p str,
    pub(super) signature: &'p [u8],
}

/// `SRP_A`; `None` for what is no number, or a multiple of the prime.
pub(super) fn client_number(text: &str) -> Option<BigUint> {
    let number = number(text)?;
    (&number % &GROUP.prime != BigUint::ZERO).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A client that follows amazon-cognito-identity-js.
    fn sign(verifier: &Verifier, password: &str, secret: &[u8; 32]) -> Vec<u8> {
        let private = BigUint::from(0x1234_5678_9abc_def0_u64);
        let client = GROUP.generator.modpow(&private, &GROUP.prime);
        let public = number(&verifier.challenge(secret).unwrap()).unwrap();
        let scramble = BigUint::from_bytes_be(&hash(&[&padded(&client), &padded(&public)]));
        let salt = number(&verifier.salt).unwrap();
        let exponent = exponent("example", "alice", password, &salt);
        let subtracted = &GROUP.multiplier * GROUP.generator.modpow(&exponent, &GROUP.prime);
        let base = (public + &GROUP.multiplier * &GROUP.prime - subtracted) % &GROUP.prime;
        let shared = base.modpow(&(private + scramble.clone() * exponent), &GROUP.prime);
        let salt = hmac::Key::new(hmac::HMAC_SHA256, &padded(&scramble));
        let extracted = hmac::sign(&salt, &padded(&shared));
        let expand = hmac::Key::new(hmac::HMAC_SHA256, extracted.as_ref());
        let key = hmac::sign(&expand, b"Caldera Derived Key\x01");
        let key = hmac::Key::new(hmac::HMAC_SHA256, &key.as_ref()[..16]);
        let message = [b"example".as_slice(), b"alice", b"block", b"now"].concat();
        hmac::sign(&key, &message).as_ref().to_vec()
    }

    #[test]
    fn the_clients_proof_fits_with_the_right_password_alone() {
        let verifier = Verifier::new("example", "alice", "Passw0rd!", &[0x9f; 16]);
        let secret = [7; 32];
        let private = BigUint::from(0x1234_5678_9abc_def0_u64);
        let client = format!("{:x}", GROUP.generator.modpow(&private, &GROUP.prime));
        let proves = |signature: &[u8]| {
            verifier.proves(&Proof {
                pool: "example",
                username: "alice",
                client: &client,
                secret: &secret,
                secret_block: b"block",
                timestamp: "now",
                signature,
            })
        };

        assert!(proves(&sign(&verifier, "Passw0rd!", &secret)));
        assert!(!proves(&sign(&verifier, "passw0rd!", &secret)));
        assert!(!proves(&[]));
        assert!(verifier.fits("example", "alice", "Passw0rd!"));
        assert!(!verifier.fits("example", "alice", "other"));
        assert!(!verifier.fits("example", "bob", "Passw0rd!"));
    }

    /// What pycognito computes of the same password, salt and private numbers.
    #[test]
    fn another_implementation_comes_to_the_same_numbers() {
        let verifier = Verifier::new("example", "alice", "Passw0rd!", &[0x9f; 16]);
        let secret = [7; 32];
        let public = verifier.challenge(&secret).unwrap();
        let hex =
            |bytes: &[u8]| -> String { bytes.iter().map(|byte| format!("{byte:02x}")).collect() };
        assert_eq!(
            hex(&hash(&[public.as_bytes()])),
            "2b92f9eb196a378ccd982868781dfecd96fb798e044c7caa6dfe813218130340"
        );

        let private = BigUint::from(0x1234_5678_9abc_def0_u64);
        let client = format!("{:x}", GROUP.generator.modpow(&private, &GROUP.prime));
        let signature = "5316f9ef10bfb2f9d2caea29aeff04e5b0e5da150478af1ebacf37cfff8da2cb";
        let proves = |signature: &str, timestamp: &str| {
            verifier.proves(&Proof {
                pool: "example",
                username: "alice",
                client: &client,
                secret: &secret,
                secret_block: b"block",
                timestamp,
                signature: &BigUint::parse_bytes(signature.as_bytes(), 16)
                    .unwrap()
                    .to_bytes_be(),
            })
        };
        assert!(proves(signature, "Tue Nov 24 13:00:00 UTC 2026"));
        assert!(!proves(signature, "Tue Nov 24 13:00:01 UTC 2026"));
        assert!(!proves(
            &signature.replace("5316", "5317"),
            "Tue Nov 24 13:00:00 UTC 2026"
        ));
    }

    #[test]
    fn a_number_that_would_make_the_key_known_is_refused() {
        for bad in ["", "0", "00", "xyz", "-1", "+5"] {
            assert!(client_number(bad).is_none(), "{bad}");
        }
        assert!(client_number(PRIME).is_none());
        let twice = &GROUP.prime + &GROUP.prime;
        assert!(client_number(&format!("{twice:x}")).is_none());
        assert!(client_number(&"f".repeat(PRIME.len() + 9)).is_none());
        assert!(client_number("2").is_some());
    }

    #[test]
    fn the_groups_prime_has_3072_bits_and_the_multiplier_is_the_clients() {
        assert_eq!(GROUP.prime.bits(), 3072);
        // From amazon-cognito-identity-js: SHA-256 of `00` N `02`.
        let expected = hash(&[&[0], &GROUP.prime.to_bytes_be(), &[2]]);
        assert_eq!(GROUP.multiplier, BigUint::from_bytes_be(&expected));
    }
}
