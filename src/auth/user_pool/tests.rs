//! What a pool refuses.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value as Json, json};

use super::*;
use crate::base::clock::HandClock;
use crate::model::user_pool::UserPoolUser;

const PASSWORD: &str = "Wonder-1and";

struct Stage {
    pool: UserPool,
    clock: HandClock,
    _folder: tempfile::TempDir,
}

impl Stage {
    fn set() -> Self {
        Self::with(UserPoolSettings::default())
    }

    fn with(settings: UserPoolSettings) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = HandClock::at(Duration::from_secs(1_800_000_000));
        let client = |id: &str| UserPoolClient {
            client_id: id.to_owned(),
            ..UserPoolClient::default()
        };
        let settings = UserPoolSettings {
            clients: vec![
                client("web"),
                client("other"),
                UserPoolClient {
                    prevent_user_existence_errors: true,
                    ..client("quiet")
                },
            ],
            users: vec![UserPoolUser {
                username: "alice".to_owned(),
                password: Some(PASSWORD.to_owned()),
                groups: Vec::new(),
                attributes: [("email".to_owned(), "alice@example.com".to_owned())].into(),
                temporary: false,
            }],
            ..settings
        };
        let wanted = Wanted {
            id: "us-east-1_Example1".to_owned(),
            arn: "arn:aws:cognito-idp:us-east-1:123456789012:userpool/us-east-1_Example1"
                .to_owned(),
            issuer: "https://cognito-idp.us-east-1.amazonaws.com/us-east-1_Example1".to_owned(),
            settings,
            scopes: Vec::new(),
        };
        let pool = UserPool::open(wanted, folder.path(), Clock::Hand(clock.clone())).unwrap();
        Self {
            pool,
            clock,
            _folder: folder,
        }
    }

    fn client(&self, id: &str) -> UserPoolClient {
        self.pool.client(id).unwrap()
    }

    fn begin(&self, client: &str, flow: Flow, told: Json) -> Result<Outcome, PoolFault> {
        self.pool
            .initiate(&self.client(client), flow, told.as_object().unwrap())
    }

    /// The words with which a password is refused; none where it is taken.
    fn password(&self, client: &str, name: &str, password: &str) -> Option<String> {
        let told = json!({"USERNAME": name, "PASSWORD": password});
        match self.begin(client, Flow::Password, told) {
            Ok(_) => None,
            Err(fault) => Some(fault.message),
        }
    }

    fn signed_in(&self) -> Tokens {
        let told = json!({"USERNAME": "alice", "PASSWORD": PASSWORD});
        match self.begin("web", Flow::Password, told) {
            Ok(Outcome::Tokens(tokens)) => tokens,
            other => panic!("{other:?}"),
        }
    }

    /// The challenge of a sign-in by proof.
    fn challenge(&self, client: &str, name: &str) -> Json {
        let told = json!({"USERNAME": name, "SRP_A": "2"});
        match self.begin(client, Flow::Srp, told) {
            Ok(Outcome::Challenge { parameters, .. }) => parameters,
            other => panic!("{other:?}"),
        }
    }

    fn answer(&self, client: &str, name: &str, block: &str) -> String {
        let told = json!({
            "USERNAME": name,
            "PASSWORD_CLAIM_SECRET_BLOCK": block,
            "PASSWORD_CLAIM_SIGNATURE": STANDARD.encode([0; 32]),
            "TIMESTAMP": "Fri Jan 15 08:00:00 UTC 2027",
        });
        let told = told.as_object().unwrap();
        self.pool
            .respond(&self.client(client), "PASSWORD_VERIFIER", None, told)
            .unwrap_err()
            .message
    }
}

const WRONG: &str = "Incorrect username or password.";
const LOCKED: &str = "Password attempts exceeded";

#[test]
fn a_password_is_not_guessed_by_trying() {
    let stage = Stage::set();
    for _ in 0..5 {
        assert_eq!(
            stage.password("web", "alice", "guess").as_deref(),
            Some(WRONG)
        );
    }

    // Not even the right one is taken now, by whatever client.
    for client in ["web", "other", "quiet"] {
        assert_eq!(
            stage.password(client, "alice", PASSWORD).as_deref(),
            Some(LOCKED)
        );
    }
    let admin = json!({"USERNAME": "alice", "PASSWORD": PASSWORD});
    let refused = stage.begin("web", Flow::AdminPassword, admin).unwrap_err();
    assert_eq!(refused, PoolFault::not_authorized(LOCKED));
    stage.clock.advance(Duration::from_secs(1));
    assert_eq!(
        stage.password("web", "alice", "guess").as_deref(),
        Some(WRONG)
    );
    stage.clock.advance(Duration::from_secs(1));
    assert_eq!(
        stage.password("web", "alice", PASSWORD).as_deref(),
        Some(LOCKED)
    );
    stage.clock.advance(Duration::from_secs(1));
    assert_eq!(stage.password("web", "alice", PASSWORD), None);

    // All is forgotten.
    for _ in 0..4 {
        assert_eq!(
            stage.password("web", "alice", "guess").as_deref(),
            Some(WRONG)
        );
    }
    assert_eq!(stage.password("web", "alice", PASSWORD), None);
}

#[test]
fn wrong_proofs_are_wrong_passwords() {
    let stage = Stage::set();
    let challenge = stage.challenge("web", "alice");
    let block = challenge["SECRET_BLOCK"].as_str().unwrap();

    // One challenge may be answered wrongly as often as a password may be guessed.
    for _ in 0..5 {
        assert_eq!(stage.answer("web", "alice", block), WRONG);
    }
    assert_eq!(stage.answer("web", "alice", block), LOCKED);
    assert_eq!(
        stage.password("web", "alice", PASSWORD).as_deref(),
        Some(LOCKED)
    );
    let another = stage.challenge("other", "alice");
    let block = another["SECRET_BLOCK"].as_str().unwrap();
    assert_eq!(stage.answer("other", "alice", block), LOCKED);
}

#[test]
fn nor_by_changing_it() {
    let stage = Stage::set();
    let user = stage.pool.user("alice").unwrap();
    let change = |old: &str| stage.pool.change_password(&user, old, "Other-Pa55word");
    for _ in 0..5 {
        assert_eq!(change("guess").unwrap_err().message, WRONG);
    }

    assert_eq!(change(PASSWORD).unwrap_err().message, LOCKED);
    stage.clock.advance(Duration::from_secs(1));
    assert_eq!(change(PASSWORD), Ok(()));
}

#[test]
fn who_is_not_there_looks_like_one_whose_password_is_wrong() {
    let stage = Stage::set();
    for _ in 0..5 {
        for name in ["alice", "nobody"] {
            assert_eq!(
                stage.password("quiet", name, "guess").as_deref(),
                Some(WRONG)
            );
        }
    }
    for name in ["alice", "nobody"] {
        assert_eq!(
            stage.password("quiet", name, "guess").as_deref(),
            Some(LOCKED)
        );
    }
    stage.clock.advance(Duration::from_secs(3600));

    let (one, other) = (
        stage.challenge("quiet", "alice"),
        stage.challenge("quiet", "nobody"),
    );
    for name in [
        "SALT",
        "SECRET_BLOCK",
        "SRP_B",
        "USERNAME",
        "USER_ID_FOR_SRP",
    ] {
        assert_eq!(one[name].is_string(), other[name].is_string(), "{name}");
    }
    assert_eq!(stage.challenge("quiet", "nobody")["SALT"], other["SALT"]);
    for (name, challenge) in [("alice", one), ("nobody", other)] {
        let block = challenge["SECRET_BLOCK"].as_str().unwrap();
        for _ in 0..5 {
            assert_eq!(stage.answer("quiet", name, block), WRONG);
        }
        assert_eq!(stage.answer("quiet", name, block), LOCKED);
    }
    // Where it need not be hidden, it is told.
    assert_eq!(
        stage.password("web", "nobody", "guess").as_deref(),
        Some("User does not exist.")
    );
}

#[test]
fn numbers_and_challenges_that_are_no_good() {
    let stage = Stage::set();
    // N, RFC 3526, group 15; its multiples make the key zero.
    let prime = srp::PRIME;
    let twice = {
        let number = num_bigint::BigUint::parse_bytes(prime.as_bytes(), 16).unwrap();
        format!("{:x}", number * 2_u8)
    };
    let long = "f".repeat(100_000);
    for public in [
        "0",
        "00",
        prime,
        twice.as_str(),
        "-1",
        "xyz",
        "+2",
        " 2",
        long.as_str(),
    ] {
        let told = json!({"USERNAME": "alice", "SRP_A": public});
        let refused = stage.begin("web", Flow::Srp, told).unwrap_err();
        assert_eq!(refused.kind, "NotAuthorizedException", "{public:.40}");
    }
    for told in [
        json!({"USERNAME": "alice"}),
        json!({"USERNAME": "alice", "SRP_A": ""}),
        json!({"USERNAME": "alice", "SRP_A": 2}),
        json!({"SRP_A": "2"}),
    ] {
        let refused = stage.begin("web", Flow::Srp, told).unwrap_err();
        assert_eq!(refused.kind, "InvalidParameterException");
    }

    let challenge = stage.challenge("web", "alice");
    let block = challenge["SECRET_BLOCK"].as_str().unwrap().to_owned();
    let bytes = STANDARD.decode(&block).unwrap();
    let mut flipped = bytes.clone();
    flipped[40] ^= 1;
    let refresh = stage.signed_in().refresh.unwrap();
    for (name, other) in [
        ("flipped", STANDARD.encode(flipped)),
        ("cut", STANDARD.encode(&bytes[..bytes.len() - 1])),
        ("no base64", format!("{block}!")),
        ("a refresh token", refresh),
        ("short", STANDARD.encode([0; 4])),
    ] {
        assert_eq!(stage.answer("web", "alice", &other), WRONG, "{name}");
    }
    // Another client's, another user's, and one that is too old.
    assert_eq!(
        stage.answer("other", "alice", &block),
        "Invalid session for the user."
    );
    assert_eq!(stage.answer("web", "bob", &block), WRONG);
    stage.clock.advance(Duration::from_secs(180));
    assert_eq!(
        stage.answer("web", "alice", &block),
        "Invalid session for the user."
    );
}

#[test]
fn a_refresh_token_is_its_clients_for_its_time() {
    let stage = Stage::set();
    let (web, other) = (stage.client("web"), stage.client("other"));
    let words = |client: &UserPoolClient, token: &str| match stage.pool.refresh_of(client, token) {
        Ok(_) => String::new(),
        Err(fault) => fault.message,
    };
    let tokens = stage.signed_in();
    let token = tokens.refresh.clone().unwrap();

    assert_eq!(words(&web, &token), "");
    assert_eq!(words(&other, &token), "Invalid Refresh Token");
    for bad in [
        "",
        "x",
        &token[1..],
        &format!("{token}A"),
        &format!("{token}="),
        &tokens.access,
        &tokens.id,
    ] {
        assert_eq!(words(&web, bad), "Invalid Refresh Token", "{bad:.20}");
    }
    // Only its client ends it.
    let refused = stage.pool.revoke(&token, &other).unwrap_err();
    assert_eq!(refused.kind, "UnauthorizedException");
    assert_eq!(words(&web, &token), "");
    stage.pool.revoke(&token, &web).unwrap();
    assert_eq!(words(&web, &token), "Refresh Token has been revoked");
    let refused = stage.pool.bearer(&tokens.access, ADMIN_SCOPE).unwrap_err();
    assert_eq!(refused.message, "Access Token has been revoked");

    let token = stage.signed_in().refresh.unwrap();
    stage.pool.set_enabled("alice", false).unwrap();
    assert_eq!(words(&web, &token), "User is disabled.");
    stage.pool.set_enabled("alice", true).unwrap();
    stage
        .clock
        .advance(web.refresh_token_validity - Duration::from_secs(1));
    assert_eq!(words(&web, &token), "");
    stage.clock.advance(Duration::from_secs(1));
    assert_eq!(words(&web, &token), "Refresh Token has expired");
    let token = stage.signed_in().refresh.unwrap();
    stage.pool.sign_out("alice").unwrap();
    assert_eq!(words(&web, &token), "Refresh Token has been revoked");
    let token = stage.signed_in().refresh.unwrap();
    stage.pool.delete_user("alice").unwrap();
    assert_eq!(words(&web, &token), "Invalid Refresh Token");
}

#[test]
fn somebody_elses_address_is_no_name_of_ones_own() {
    let stage = Stage::with(UserPoolSettings {
        alias_attributes: vec!["email".to_owned(), "preferred_username".to_owned()],
        ..UserPoolSettings::default()
    });
    assert_eq!(stage.password("web", "alice@example.com", PASSWORD), None);

    // His name comes before hers in every list.
    let mallory = NewUser {
        name: "aaron".to_owned(),
        attributes: vec![("email".to_owned(), "alice@example.com".to_owned())],
    };
    stage.pool.sign_up(&mallory, "Mallory-0ne").unwrap();
    assert_eq!(
        stage.pool.user("alice@example.com").unwrap().username,
        "alice"
    );
    assert_eq!(stage.password("web", "alice@example.com", PASSWORD), None);
    // Nor does he get it with the code, should he see that.
    let code = stage.pool.user("aaron").unwrap().code.unwrap().digits;
    let refused = stage
        .pool
        .confirm_sign_up("aaron", Some(&code))
        .unwrap_err();
    assert_eq!(refused.kind, "AliasExistsException");
    stage.pool.confirm_sign_up("aaron", None).unwrap();
    let told = [("email".to_owned(), "alice@example.com".to_owned())];
    let refused = stage
        .pool
        .set_attributes("aaron", &told, false)
        .unwrap_err();
    assert_eq!(refused.kind, "AliasExistsException");
    assert_eq!(stage.password("web", "alice@example.com", PASSWORD), None);
    let told = [("preferred_username".to_owned(), "ally".to_owned())];
    stage.pool.set_attributes("alice", &told, false).unwrap();
    for taken in ["ally", "alice", "alice@example.com"] {
        let new = NewUser {
            name: "abel".to_owned(),
            attributes: vec![("preferred_username".to_owned(), taken.to_owned())],
        };
        let refused = stage.pool.sign_up(&new, "Mallory-0ne").unwrap_err();
        assert_eq!(refused.kind, "AliasExistsException", "{taken}");
    }
    assert_eq!(stage.password("web", "ally", PASSWORD), None);
    // Nobody writes down that an address was verified.
    for name in ["email_verified", "phone_number_verified"] {
        let told = [(name.to_owned(), "true".to_owned())];
        let refused = stage
            .pool
            .set_attributes("aaron", &told, false)
            .unwrap_err();
        assert_eq!(refused.kind, "NotAuthorizedException", "{name}");
    }
}

#[test]
fn attributes_are_no_claims_of_the_pools() {
    let stage = Stage::set();
    for name in [
        "sub",
        "iss",
        "aud",
        "exp",
        "token_use",
        "cognito:groups",
        "cognito:username",
        "scope",
        "client_id",
        "custom",
        "Email",
    ] {
        let told = [(name.to_owned(), "x".to_owned())];
        let refused = stage
            .pool
            .set_attributes("alice", &told, false)
            .unwrap_err();
        assert_eq!(refused.kind, "InvalidParameterException", "{name}");
        let new = NewUser {
            name: "bob".to_owned(),
            attributes: told.to_vec(),
        };
        assert_eq!(
            stage.pool.sign_up(&new, "Wonder-1and").unwrap_err().kind,
            "InvalidParameterException",
            "{name}"
        );
    }
}

#[test]
fn only_access_tokens_of_the_pool_are_bearers() {
    let (stage, elsewhere) = (Stage::set(), Stage::set());
    let tokens = stage.signed_in();
    let words = |token: &str, scope: &str| match stage.pool.bearer(token, scope) {
        Ok(_) => String::new(),
        Err(fault) => fault.message,
    };

    assert_eq!(words(&tokens.access, ADMIN_SCOPE), "");
    assert_eq!(
        words(&tokens.access, "openid"),
        "Access Token does not have required scopes"
    );
    for bad in [
        &tokens.id,
        &elsewhere.signed_in().access,
        &tokens.refresh.clone().unwrap(),
        &String::new(),
        &format!("{}A", tokens.access),
    ] {
        assert_eq!(words(bad, ADMIN_SCOPE), "Invalid Access Token");
    }
    stage.clock.advance(Duration::from_secs(3600));
    assert_eq!(
        words(&tokens.access, ADMIN_SCOPE),
        "Access Token has expired"
    );
}
