//! Signatures that are none, and keys that verify nothing.

use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use num_bigint::BigUint;
use serde_json::{Value as Json, json};

use super::super::issuer::b64;
use super::super::tokens::{Stage, header};

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn signatures() {
    let stage = Stage::set().await;
    let mut forged = Forged::default();
    let key = &stage.key;
    let good = stage.good();
    let (message, signature) = good.rsplit_once('.').unwrap();
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    let other = key.token(&header(json!({})), &stage.claims(json!({"sub": "bob"})));
    let other = URL_SAFE_NO_PAD
        .decode(other.rsplit('.').next().unwrap())
        .unwrap();
    let mut say = |name: &str, signature: &[u8]| {
        forged.add(name, format!("{message}.{}", b64(signature)), SIGNATURE);
    };

    for length in [1, 2, 3, 32, 64, 128, 254, 255] {
        say("cut at the end", &signature[..length]);
        say("cut in front", &signature[signature.len() - length..]);
        say("zeros", &vec![0; length]);
    }
    for length in [1, 2, 3, 256] {
        say(
            "zeros behind",
            &[signature.as_slice(), &vec![0; length]].concat(),
        );
        say(
            "zeros in front",
            &[vec![0; length].as_slice(), &signature].concat(),
        );
        say(
            "itself behind",
            &[signature.as_slice(), &signature[..length]].concat(),
        );
    }
    for byte in [0, 1, 127, 128, 254, 255] {
        for bit in [0x01, 0x80] {
            let mut flipped = signature.clone();
            flipped[byte] ^= bit;
            say("a flipped bit", &flipped);
        }
    }
    say("zeros", &[0; 256]);
    say("ones", &[0xff; 256]);
    say("one", &[vec![0; 255], vec![1]].concat());
    say(
        "reversed",
        &signature.iter().rev().copied().collect::<Vec<u8>>(),
    );
    say("another token's", &other);
    say("another key's", &stage.stranger.sign(message, "RS256"));
    say(
        "of the header alone",
        &key.sign(message.split('.').next().unwrap(), "RS256"),
    );
    say(
        "of the claims alone",
        &key.sign(message.split('.').nth(1).unwrap(), "RS256"),
    );
    say(
        "of the bytes that were encoded",
        &key.sign(&format!("{PLAIN}{}", stage.claims(json!({}))), "RS256"),
    );
    say(
        "of the message with a dot behind",
        &key.sign(&format!("{message}."), "RS256"),
    );
    say(
        "of the message in capitals",
        &key.sign(&message.to_uppercase(), "RS256"),
    );
    say("of nothing", &key.sign("", "RS256"));
    say(
        "the hash alone",
        digest::digest(&digest::SHA256, message.as_bytes()).as_ref(),
    );
    say("the message itself", message.as_bytes());

    // What only whoever holds the key can make, so that the padding is judged and nothing else.
    let [modulus, _, private] = key.numbers();
    let raw = |encoded: &[u8]| {
        let power = BigUint::from_bytes_be(encoded).modpow(&private, &modulus);
        let bytes = power.to_bytes_be();
        [vec![0; 256 - bytes.len()], bytes].concat()
    };
    let hash = digest::digest(&digest::SHA256, message.as_bytes());
    // RFC 8017, 9.2, note 1: DigestInfo for SHA-256.
    let info = [
        &[
            0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02,
            0x01, 0x05, 0x00, 0x04, 0x20,
        ],
        hash.as_ref(),
    ]
    .concat();
    let padded = |kind: u8, filler: u8, content: &[u8]| {
        [
            &[0, kind],
            vec![filler; 253 - content.len()].as_slice(),
            &[0],
            content,
        ]
        .concat()
    };
    assert_eq!(
        raw(&padded(1, 0xff, &info)),
        signature,
        "the encoding is RFC 8017's"
    );
    let changed = |at: usize, to: u8| {
        let mut info = info.clone();
        info[at] = to;
        info
    };
    let without_null = [
        &[
            0x30, 0x2f, 0x30, 0x0b, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02,
            0x01, 0x04, 0x20,
        ],
        hash.as_ref(),
    ]
    .concat();
    let behind = [info.as_slice(), &[0; 32]].concat();
    let short = [
        &[0, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0],
        info.as_slice(),
        vec![0x5a; 256 - 11 - info.len()].as_slice(),
    ]
    .concat();
    let long_form = [&[0x30, 0x81, 0x31], &info[2..]].concat();
    for (name, encoded) in [
        (
            "SHA-384's name over the hash",
            padded(1, 0xff, &changed(14, 0x02)),
        ),
        (
            "SHA-512's name over the hash",
            padded(1, 0xff, &changed(14, 0x03)),
        ),
        ("no NULL in the parameters", padded(1, 0xff, &without_null)),
        ("lengths in the long form", padded(1, 0xff, &long_form)),
        ("no name of the hash", padded(1, 0xff, hash.as_ref())),
        ("zeros behind the hash", padded(1, 0xff, &behind)),
        ("little padding and rubbish behind", short),
        ("padding of zeros", padded(1, 0, &info)),
        ("padding of block type 0", padded(0, 0, &info)),
        ("padding for encryption", padded(2, 0xff, &info)),
        ("one byte of the padding is another", {
            let mut encoded = padded(1, 0xff, &info);
            encoded[20] = 0xfe;
            encoded
        }),
        ("nothing between padding and hash", {
            let mut encoded = padded(1, 0xff, &info);
            encoded[256 - info.len() - 1] = 0xff;
            encoded
        }),
        ("the hash of another message", {
            let other = digest::digest(&digest::SHA256, b"other");
            padded(1, 0xff, &[&info[..19], other.as_ref()].concat())
        }),
    ] {
        assert_eq!(encoded.len(), 256, "{name}");
        say(name, &raw(&encoded));
    }
    // The same number and once the modulus more.
    let more = (BigUint::from_bytes_be(&signature) + &modulus).to_bytes_be();
    say("beyond the modulus", &more);
    say("the modulus", &modulus.to_bytes_be());
    say(
        "the number below the modulus",
        &(&modulus - BigUint::from(1_u8)).to_bytes_be(),
    );
    forged.are_refused(&stage, 75).await;
}

/// A token under an RSA key of any size, made with the bare numbers.
fn token_of_numbers(kid: &str, claims: &Json, modulus: &BigUint, private: &BigUint) -> String {
    let message = format!(
        "{}.{}",
        b64(header(json!({ "kid": kid })).to_string()),
        b64(claims.to_string())
    );
    let hash = digest::digest(&digest::SHA256, message.as_bytes());
    let info = [
        &[
            0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02,
            0x01, 0x05, 0x00, 0x04, 0x20,
        ],
        hash.as_ref(),
    ]
    .concat();
    let length = modulus.bits().div_ceil(8) as usize;
    let encoded = [
        &[0, 1],
        vec![0xff; length - 3 - info.len()].as_slice(),
        &[0],
        &info,
    ]
    .concat();
    let bytes = BigUint::from_bytes_be(&encoded)
        .modpow(private, modulus)
        .to_bytes_be();
    format!(
        "{message}.{}",
        b64([vec![0; length - bytes.len()], bytes].concat())
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_are_no_good() {
    let number = |text: &str| BigUint::parse_bytes(text.as_bytes(), 16).unwrap();
    let small = [
        number(
            "cf18ba944a5479152290da6b93d7a04f56426b3c4afae110bd7b655e0b0247bd4ef447bd7796819e45b47cbb1896c86f49e65b942492901cca5adeb4ec7979d7",
        ),
        number(
            "ab44c130d813ea1b0f7e0a14c3aca49858370fa64a401697988c8f356a1755a97de440a219f8035f821c5d12ce1b7f6639d96a3a501545a6f116ac1ed00380f1",
        ),
    ];
    let middling = [
        number(
            "d06c9387016f99f8bbb77dd122e2cb211e20f5062c0ce6d8a30a98bba3db2457ae8336f7535896c64562b53b858098cb5bfb28c369e0d216cc5d0c9e77e6027a9988ef3b791c7f09ae3302a5516d2f0bc612bde73000bdc45eba8b942a4de200bb2bb410d59dc56822be293ecc6f6c6e8b3f195cd060840ad75d861776612819",
        ),
        number(
            "a5de82d9e26eaa9ea4e5b69f859ff0007f35c34a122c825ace0654de9fdc7ae3bce2781004a86ff582aab788930a708f06b8af0c356ad2478a8452d29aa0d63ec2e5b9716d6e122eebe4a507defe5207b6c387d118ceeea402badb0cd6bac71caf6376ec7c16b43d35d0a46f15f29e4c57599f22ce07b2dcd609ae7a59629271",
        ),
    ];
    let stage = Stage::set().await;
    let mut forged = Forged::default();
    let claims = stage.claims(json!({}));
    let weak = |kid: &str, modulus: &BigUint| json!({"kty": "RSA", "use": "sig", "alg": "RS256", "kid": kid, "n": b64(modulus.to_bytes_be()), "e": "AQAB"});
    let mut keys = vec![weak("512", &small[0]), weak("1024", &middling[0])];
    forged.add(
        "512 bits",
        token_of_numbers("512", &claims, &small[0], &small[1]),
        KID,
    );
    forged.add(
        "1024 bits",
        token_of_numbers("1024", &claims, &middling[0], &middling[1]),
        KID,
    );

    // The right key's own numbers, but published as something that verifies nothing.
    let [modulus, _, private] = stage.key.numbers();
    let secret = b64(private.to_bytes_be());
    let changes = [
        json!({"use": "enc"}),
        json!({"use": "SIG"}),
        json!({"use": ""}),
        json!({"use": null}),
        json!({"use": ["sig"]}),
        json!({"key_ops": []}),
        json!({"key_ops": ["encrypt"]}),
        json!({"key_ops": ["sign"]}),
        json!({"key_ops": "verify"}),
        json!({"key_ops": ["Verify"]}),
        json!({"key_ops": null}),
        json!({"key_ops": {"verify": true}}),
        json!({"alg": "RS512"}),
        json!({"alg": "PS256"}),
        json!({"alg": "HS256"}),
        json!({"alg": "none"}),
        json!({"alg": "RSA-OAEP"}),
        json!({"alg": "rs256"}),
        json!({"alg": null}),
        json!({"alg": ["RS256"]}),
        json!({"alg": ""}),
        json!({"kty": "oct", "k": secret}),
        json!({"kty": "EC"}),
        json!({"kty": "OKP"}),
        json!({"kty": "rsa"}),
        json!({"kty": null}),
        json!({"kty": ["RSA"]}),
        json!({"kty": "(none)"}),
        json!({"n": "(none)"}),
        json!({"n": ""}),
        json!({"n": null}),
        json!({"n": "AQAB"}),
        json!({"n": "!"}),
        json!({"n": [1]}),
        json!({"n": format!("{}==", b64(modulus.to_bytes_be()))}),
        json!({"n": STANDARD.encode(modulus.to_bytes_be())}),
        json!({"e": "(none)"}),
        json!({"e": ""}),
        json!({"e": "AQ"}),
        json!({"e": "Ag"}),
        json!({"e": "AA"}),
        json!({"e": 65537}),
        json!({"e": "65537"}),
        json!({"e": b64([1; 9])}),
        json!({"d": secret}),
        json!({"d": ""}),
        json!({"d": null}),
        json!({"p": secret}),
        json!({"q": secret}),
        json!({"dp": secret}),
        json!({"dq": secret}),
        json!({"qi": secret}),
        json!({"oth": []}),
        json!({"k": secret}),
        json!({"priv": null, "d": 1}),
        json!({"kid": "(none)"}),
        json!({"kid": null}),
        json!({"kid": 7}),
        json!({"kid": ["x"]}),
        json!({"kid": ""}),
    ];
    for (at, change) in changes.iter().enumerate() {
        let kid = format!("bad-{at}");
        let mut jwk = stage.key.jwk(&kid);
        for (name, value) in change.as_object().unwrap() {
            match value.as_str() {
                Some("(none)") => {
                    jwk.as_object_mut().unwrap().remove(name);
                }
                _ => jwk[name] = value.clone(),
            }
        }
        keys.push(jwk);
        let words = match change["alg"].as_str() {
            Some("RS512" | "PS256") => SIGNATURE,
            _ => KID,
        };
        let token = stage.key.token(&header(json!({ "kid": kid })), &claims);
        forged.add(format!("{change:.60}"), token, words);
    }
    keys.extend([
        json!(null),
        json!([]),
        json!("k1"),
        json!(7),
        json!({}),
        json!({"keys": [stage.stranger.jwk("k1")]}),
    ]);

    // An exponent of three makes cube roots signatures, for a reader that does not
    // look behind the hash (Bleichenbacher, 2006).
    let mut cubes = stage.key.jwk("three");
    cubes["e"] = json!("Aw");
    keys.push(cubes);
    let message = format!(
        "{}.{}",
        b64(header(json!({"kid": "three"})).to_string()),
        b64(claims.to_string())
    );
    let hash = digest::digest(&digest::SHA256, message.as_bytes());
    let prefix = [
        &[0, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0][..],
        &[
            0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02,
            0x01, 0x05, 0x00, 0x04, 0x20,
        ],
        hash.as_ref(),
    ]
    .concat();
    let most = [prefix.as_slice(), &vec![0xff; 256 - prefix.len()]].concat();
    let root = BigUint::from_bytes_be(&most).cbrt();
    let cube = root.pow(3).to_bytes_be();
    assert_eq!(
        &cube[..prefix.len() - 1],
        &prefix[1..],
        "the cube begins as a signature does"
    );
    let bytes = root.to_bytes_be();
    let bytes = [vec![0; 256 - bytes.len()], bytes].concat();
    forged.add(
        "a cube root",
        format!("{message}.{}", b64(bytes)),
        SIGNATURE,
    );

    // The good one stands among them, and last.
    keys.push(stage.key.jwk("k1"));
    stage.issuer.publish(keys);
    forged.are_refused(&stage, 60).await;
}
