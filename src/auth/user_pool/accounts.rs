//! Users, groups and clients of a local pool: how they come, change and go.
//!
//! Source: Cognito API reference, "SignUp", "ConfirmSignUp", "AdminCreateUser", …

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use super::kept::{Code, Group, User, UserStatus, stable_sub};
use super::keys::random;
use super::srp::Verifier;
use super::tokens::random_uuid;
use super::{PoolFault, UserPool};
use crate::model::user_pool::UserPoolClient;

/// "SignUp": a code holds for 24 hours; "ForgotPassword": one hour.
const SIGN_UP_CODE: u64 = 24 * 60 * 60 * 1000;
const PASSWORD_CODE: u64 = 60 * 60 * 1000;
/// Wrong answers after which a code is worth nothing.
const WRONG_ANSWERS: u32 = 5;
/// Users that a local pool keeps, far beyond what a machine's own pool has.
const MOST_USERS: usize = 10_000;

/// Who is to be made.
#[derive(Clone, Debug)]
pub struct NewUser {
    /// What he signs in with.
    pub name: String,
    /// His attributes.
    pub attributes: Vec<(String, String)>,
}

/// Where a code was sent to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confirmation {
    /// `email` or `phone_number`; none where the user has no address.
    pub attribute: Option<&'static str>,
    /// The address with most of it hidden.
    pub destination: String,
}

/// `Filter` of "ListUsers".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    attribute: String,
    value: String,
    prefix: bool,
}

impl Filter {
    /// Reads `ATTRIBUTE = "VALUE"` or `ATTRIBUTE ^= "VALUE"`.
    ///
    /// # Errors
    ///
    /// `InvalidParameterException` for anything else.
    pub fn read(text: &str) -> Result<Self, PoolFault> {
        let refused = || PoolFault::invalid("Error while parsing filter");
        let (left, right) = text.split_once('=').ok_or_else(refused)?;
        let (attribute, prefix) = match left.trim_end().strip_suffix('^') {
            Some(attribute) => (attribute, true),
            None => (left, false),
        };
        let value = right
            .trim()
            .strip_prefix('"')
            .and_then(|rest| rest.strip_suffix('"'));
        Ok(Self {
            attribute: attribute.trim().trim_matches('"').to_owned(),
            value: value.ok_or_else(refused)?.replace("\\\"", "\""),
            prefix,
        })
    }

    fn fits(&self, user: &User) -> bool {
        let own = match self.attribute.as_str() {
            "username" => Some(user.username.as_str()),
            "sub" => Some(user.sub.as_str()),
            "status" => Some(if user.enabled { "Enabled" } else { "Disabled" }),
            "cognito:user_status" => Some(user.status.as_str()),
            name => user.attributes.get(name).map(String::as_str),
        };
        own.is_some_and(|own| match self.prefix {
            true => own.starts_with(&self.value),
            false => own == self.value,
        })
    }
}

impl UserPool {
    /// Whether a password is one that the pool takes.
    ///
    /// # Errors
    ///
    /// `InvalidPasswordException` with the first thing that is missing.
    pub fn check_password(&self, password: &str) -> Result<(), PoolFault> {
        let policy = &self.settings.password_policy;
        let has = |test: fn(char) -> bool| password.chars().any(test);
        let missing = if password.chars().count() < policy.minimum_length {
            "Password not long enough"
        } else if password.chars().count() > 256 {
            "Password too long"
        } else if policy.require_uppercase && !has(|c| c.is_ascii_uppercase()) {
            "Password must have uppercase characters"
        } else if policy.require_lowercase && !has(|c| c.is_ascii_lowercase()) {
            "Password must have lowercase characters"
        } else if policy.require_numbers && !has(|c| c.is_ascii_digit()) {
            "Password must have numeric characters"
        } else if policy.require_symbols && !has(|c| c.is_ascii_punctuation() || c == ' ') {
            "Password must have symbol characters"
        } else {
            return Ok(());
        };
        Err(PoolFault::new(
            "InvalidPasswordException",
            format!("Password did not conform with policy: {missing}"),
        ))
    }

    /// The user whom `name` means.
    ///
    /// # Errors
    ///
    /// `UserNotFoundException`.
    pub fn user(&self, name: &str) -> Result<User, PoolFault> {
        self.find(name).ok_or_else(PoolFault::no_user)
    }

    /// Users in the order of their names that fit `filter`, from behind `after`, and
    /// whether there are more.
    pub fn users(
        &self,
        filter: Option<&Filter>,
        group: Option<&str>,
        after: Option<&str>,
        most: usize,
    ) -> (Vec<User>, bool) {
        self.kept.read(|state| {
            let mut fitting = state
                .users
                .values()
                .filter(|user| after.is_none_or(|after| user.username.as_str() > after))
                .filter(|user| group.is_none_or(|group| user.groups.contains(group)))
                .filter(|user| filter.is_none_or(|filter| filter.fits(user)));
            let page: Vec<User> = fitting.by_ref().take(most).cloned().collect();
            (page, fitting.next().is_some())
        })
    }

    /// How many there are.
    pub fn number_of_users(&self) -> usize {
        self.kept.read(|state| state.users.len())
    }

    /// Changes one user and notes when.
    fn change_user<T>(
        &self,
        name: &str,
        change: impl FnOnce(&mut User) -> Result<T, PoolFault>,
    ) -> Result<T, PoolFault> {
        let username = self.user(name)?.username;
        let now = self.now();
        self.kept.change(|state| {
            let user = state
                .users
                .get_mut(&username)
                .ok_or_else(PoolFault::no_user)?;
            let value = change(user)?;
            user.modified = now.max(user.modified + 1);
            Ok(value)
        })
    }

    /// Makes a user; `taken` is what is said where there is one of that name.
    fn make(
        &self,
        new: &NewUser,
        password: &str,
        status: UserStatus,
        taken: &str,
    ) -> Result<User, PoolFault> {
        let name_fits = |c: char| !c.is_whitespace() && !c.is_control();
        if new.name.is_empty() || new.name.chars().count() > 128 || !new.name.chars().all(name_fits)
        {
            return Err(PoolFault::invalid(
                r"1 validation error detected: Value at 'username' failed to satisfy constraint: Member must satisfy regular expression pattern: [\p{L}\p{M}\p{S}\p{N}\p{P}]+",
            ));
        }
        let exists = || PoolFault::new("UsernameExistsException", taken);
        if self.find(&new.name).is_some() {
            return Err(exists());
        }
        let mut attributes = attributes(&new.attributes)?;
        // An address becomes an alias once it is verified, this one at once.
        let preferred = "preferred_username";
        let alias = self
            .settings
            .alias_attributes
            .iter()
            .any(|one| one == preferred);
        if alias
            && attributes
                .get(preferred)
                .is_some_and(|own| self.find(own).is_some())
        {
            return Err(PoolFault::new(
                "AliasExistsException",
                format!("An account with the given {preferred} already exists."),
            ));
        }
        let sub = random_uuid()?;
        let username = match self.settings.username_attributes.as_slice() {
            [] => {
                // An address as a name would be mistaken for another user's alias.
                if new.name.contains('@')
                    && self
                        .settings
                        .alias_attributes
                        .iter()
                        .any(|one| one == "email")
                {
                    return Err(PoolFault::invalid(
                        "Username cannot be of email format, since user pool is configured for email alias.",
                    ));
                }
                new.name.clone()
            }
            addresses => {
                let attribute = if new.name.contains('@') {
                    "email"
                } else {
                    "phone_number"
                };
                if !addresses.iter().any(|one| one == attribute) {
                    return Err(PoolFault::invalid("Username should be an email."));
                }
                attributes.insert(attribute.to_owned(), new.name.clone());
                sub.clone()
            }
        };
        let salt = random().map_err(|_| PoolFault::internal())?;
        let verifier = Verifier::new(self.short_id(), &username, password, &salt);
        let now = self.now();
        let user = User {
            username,
            sub,
            attributes,
            groups: BTreeSet::new(),
            status,
            enabled: true,
            created: now,
            modified: now,
            signed_out: 0,
            salt: verifier.salt,
            verifier: verifier.value,
            code: None,
            configured: None,
        };
        self.kept.change(|state| {
            if state.users.contains_key(&user.username) {
                return Err(exists());
            }
            if state.users.len() >= MOST_USERS {
                return Err(PoolFault::new(
                    "LimitExceededException",
                    format!("a local user pool keeps {MOST_USERS} users"),
                ));
            }
            state.users.insert(user.username.clone(), user.clone());
            Ok(())
        })?;
        Ok(user)
    }

    /// A user signs up. He has to tell the code that he is sent.
    ///
    /// # Errors
    ///
    /// Cognito's exceptions.
    pub fn sign_up(
        &self,
        new: &NewUser,
        password: &str,
    ) -> Result<(User, Confirmation), PoolFault> {
        self.check_password(password)?;
        let user = self.make(
            new,
            password,
            UserStatus::Unconfirmed,
            "User already exists",
        )?;
        let confirmation = self.send_code(&user.username, "sign-up", SIGN_UP_CODE)?;
        Ok((user, confirmation))
    }

    /// Sends the code of a sign-up once more.
    ///
    /// # Errors
    ///
    /// Cognito's exceptions.
    pub fn resend_code(&self, name: &str) -> Result<Confirmation, PoolFault> {
        let user = self.user(name)?;
        if user.status != UserStatus::Unconfirmed {
            return Err(PoolFault::invalid("User is already confirmed."));
        }
        self.send_code(&user.username, "sign-up", SIGN_UP_CODE)
    }

    /// Sends a code with which a forgotten password is replaced.
    ///
    /// # Errors
    ///
    /// Cognito's exceptions.
    pub fn forgot_password(&self, name: &str) -> Result<Confirmation, PoolFault> {
        let user = self.user(name)?;
        if user.status == UserStatus::ForceChangePassword {
            return Err(PoolFault::not_authorized(
                "User password cannot be reset in the current state.",
            ));
        }
        self.send_code(&user.username, "password", PASSWORD_CODE)
    }

    fn send_code(
        &self,
        username: &str,
        subject: &str,
        holds: u64,
    ) -> Result<Confirmation, PoolFault> {
        let bytes: [u8; 4] = random().map_err(|_| PoolFault::internal())?;
        let digits = format!("{:06}", u32::from_be_bytes(bytes) % 1_000_000);
        let expires = self.now() + holds;
        let user = self.change_user(username, |user| {
            user.code = Some(Code {
                digits: digits.clone(),
                expires,
                wrong: 0,
            });
            Ok(user.clone())
        })?;
        let (confirmation, to) = address_of(&user);
        self.kept.deliver(&json!({
            "time": self.now() / 1000,
            "subject": subject,
            "username": user.username,
            "to": to,
            "code": digits,
        }))?;
        Ok(confirmation)
    }

    /// Checks a code; a right one is spent, a wrong one counts.
    fn check_code(&self, username: &str, told: &str) -> Result<(), PoolFault> {
        let now = self.now();
        let right = self.change_user(username, |user| {
            let Some(code) = &mut user.code else {
                return Ok(None);
            };
            if code.expires <= now || code.wrong >= WRONG_ANSWERS {
                return Ok(None);
            }
            let fits = aws_lc_rs::constant_time::verify_slices_are_equal(
                code.digits.as_bytes(),
                told.as_bytes(),
            )
            .is_ok();
            if fits {
                user.code = None;
            } else {
                code.wrong += 1;
            }
            Ok(Some(fits))
        })?;
        match right {
            Some(true) => Ok(()),
            Some(false) => Err(PoolFault::new(
                "CodeMismatchException",
                "Invalid verification code provided, please try again.",
            )),
            None => Err(PoolFault::new(
                "ExpiredCodeException",
                "Invalid code provided, please request a code again.",
            )),
        }
    }

    /// Ends a sign-up with the code that was sent, or without one where the operator says so.
    ///
    /// # Errors
    ///
    /// Cognito's exceptions.
    pub fn confirm_sign_up(&self, name: &str, code: Option<&str>) -> Result<(), PoolFault> {
        let user = self.user(name)?;
        if user.status != UserStatus::Unconfirmed {
            return Err(PoolFault::not_authorized(format!(
                "User cannot be confirmed. Current status is {}",
                user.status.as_str()
            )));
        }
        if let Some(code) = code {
            self.check_code(&user.username, code)?;
            // His address becomes an alias now; of two who have it the first keeps it.
            for alias in &self.settings.alias_attributes {
                let other = user.attributes.get(alias).and_then(|own| self.find(own));
                if other.is_some_and(|other| other.username != user.username) {
                    return Err(PoolFault::new(
                        "AliasExistsException",
                        format!("An account with the {alias} already exists."),
                    ));
                }
            }
        }
        self.change_user(&user.username, |user| {
            user.status = UserStatus::Confirmed;
            user.code = None;
            if code.is_some() {
                verify_address(user);
            }
            Ok(())
        })
    }

    /// Sets a password with the code that was sent.
    ///
    /// # Errors
    ///
    /// Cognito's exceptions.
    pub fn confirm_password(
        &self,
        name: &str,
        code: &str,
        password: &str,
    ) -> Result<(), PoolFault> {
        let user = self.user(name)?;
        self.check_password(password)?;
        self.check_code(&user.username, code)?;
        self.set_password(&user.username, password, UserStatus::Confirmed)?;
        self.change_user(&user.username, |user| {
            verify_address(user);
            Ok(())
        })
    }

    /// The operator makes a user, whose first password somebody else chose.
    ///
    /// # Errors
    ///
    /// Cognito's exceptions.
    pub fn create_user(
        &self,
        new: &NewUser,
        temporary_password: Option<&str>,
        send: bool,
    ) -> Result<User, PoolFault> {
        let password = match temporary_password {
            Some(password) => {
                self.check_password(password)?;
                password.to_owned()
            }
            None => {
                let bytes: [u8; 8] = random().map_err(|_| PoolFault::internal())?;
                // One of each kind, whatever the policy asks for.
                format!("Aa1-{:016x}", u64::from_be_bytes(bytes))
            }
        };
        let status = UserStatus::ForceChangePassword;
        let user = self.make(new, &password, status, "User account already exists")?;
        if send {
            self.send_password(&user, &password)?;
        }
        Ok(user)
    }

    /// Sends a new first password once more.
    ///
    /// # Errors
    ///
    /// Cognito's exceptions.
    pub fn resend_password(&self, name: &str, password: Option<&str>) -> Result<User, PoolFault> {
        let user = self.user(name)?;
        if user.status != UserStatus::ForceChangePassword {
            return Err(PoolFault::new(
                "UnsupportedUserStateException",
                format!(
                    "Resend not possible. {} is not in the FORCE_CHANGE_PASSWORD state.",
                    user.username
                ),
            ));
        }
        let bytes: [u8; 8] = random().map_err(|_| PoolFault::internal())?;
        let made = format!("Aa1-{:016x}", u64::from_be_bytes(bytes));
        let password = password.unwrap_or(&made);
        let user = self.set_password(&user.username, password, UserStatus::ForceChangePassword)?;
        self.send_password(&user, password)?;
        Ok(user)
    }

    fn send_password(&self, user: &User, password: &str) -> Result<(), PoolFault> {
        let (_, to) = address_of(user);
        self.kept.deliver(&json!({
            "time": self.now() / 1000,
            "subject": "temporary password",
            "username": user.username,
            "to": to,
            "password": password,
        }))
    }

    /// Sets a password that was checked.
    ///
    /// # Errors
    ///
    /// `UserNotFoundException`.
    pub fn set_password(
        &self,
        name: &str,
        password: &str,
        status: UserStatus,
    ) -> Result<User, PoolFault> {
        let username = self.user(name)?.username;
        let salt = random().map_err(|_| PoolFault::internal())?;
        let verifier = Verifier::new(self.short_id(), &username, password, &salt);
        self.change_user(&username, |user| {
            user.set_verifier(verifier);
            user.status = status;
            Ok(())
        })?;
        self.user(&username)
    }

    /// A user who is signed in chooses another password.
    ///
    /// # Errors
    ///
    /// `NotAuthorizedException` where the old one is wrong.
    pub fn change_password(&self, user: &User, old: &str, new: &str) -> Result<(), PoolFault> {
        let attempts = &self.kept.attempts;
        attempts.allow(&user.username, self.now())?;
        if !user.verifier().fits(self.short_id(), &user.username, old) {
            attempts.failed(&user.username, self.now());
            return Err(PoolFault::wrong_password());
        }
        attempts.succeeded(&user.username);
        self.check_password(new)?;
        self.set_password(&user.username, new, user.status)
            .map(drop)
    }

    /// Sets attributes. `operator` may say that an address is verified.
    ///
    /// # Errors
    ///
    /// Cognito's exceptions.
    pub fn set_attributes(
        &self,
        name: &str,
        told: &[(String, String)],
        operator: bool,
    ) -> Result<(), PoolFault> {
        if told.is_empty() {
            return self.user(name).map(drop);
        }
        let told = attributes(told)?;
        let own = |name: &String| name.ends_with("_verified");
        if !operator && told.keys().any(own) {
            return Err(PoolFault::not_authorized(
                "A client attempted to write unauthorized attribute",
            ));
        }
        let user = self.user(name)?;
        let names = self.settings.username_attributes.iter();
        for alias in names.chain(&self.settings.alias_attributes) {
            let other = told.get(alias).and_then(|value| self.find(value));
            if other.is_some_and(|other| other.username != user.username) {
                return Err(PoolFault::new(
                    "AliasExistsException",
                    format!("An account with the given {alias} already exists."),
                ));
            }
        }
        self.change_user(name, |user| {
            for (name, value) in told {
                let verified = format!("{name}_verified");
                if user.attributes.get(&name) != Some(&value) {
                    user.attributes.remove(&verified);
                }
                user.attributes.insert(name, value);
            }
            Ok(())
        })
    }

    /// Takes attributes off.
    ///
    /// # Errors
    ///
    /// `UserNotFoundException`.
    pub fn remove_attributes(&self, name: &str, names: &[String]) -> Result<(), PoolFault> {
        self.change_user(name, |user| {
            user.attributes.retain(|own, _| !names.contains(own));
            Ok(())
        })
    }

    /// Lets a user in or not.
    ///
    /// # Errors
    ///
    /// `UserNotFoundException`.
    pub fn set_enabled(&self, name: &str, enabled: bool) -> Result<(), PoolFault> {
        self.change_user(name, |user| {
            user.enabled = enabled;
            Ok(())
        })
    }

    /// Ends all of a user's sign-ins.
    ///
    /// # Errors
    ///
    /// `UserNotFoundException`.
    pub fn sign_out(&self, name: &str) -> Result<(), PoolFault> {
        let now = self.now();
        self.change_user(name, |user| {
            // A sign-in of this very millisecond is one of them.
            user.signed_out = now.max(user.signed_out + 1);
            Ok(())
        })
    }

    /// Removes a user.
    ///
    /// # Errors
    ///
    /// `UserNotFoundException`.
    pub fn delete_user(&self, name: &str) -> Result<(), PoolFault> {
        let username = self.user(name)?.username;
        self.kept.change(|state| {
            state.users.remove(&username);
            Ok(())
        })
    }

    /// All groups, by name.
    pub fn groups(&self) -> BTreeMap<String, Group> {
        self.kept.read(|state| state.groups.clone())
    }

    /// A group.
    ///
    /// # Errors
    ///
    /// `ResourceNotFoundException`.
    pub fn group(&self, name: &str) -> Result<Group, PoolFault> {
        self.kept
            .read(|state| state.groups.get(name).cloned())
            .ok_or_else(|| PoolFault::not_found("Group not found."))
    }

    /// Makes a group.
    ///
    /// # Errors
    ///
    /// `GroupExistsException`.
    pub fn create_group(&self, name: &str, group: Group) -> Result<Group, PoolFault> {
        let group = Group {
            created: self.now(),
            ..group
        };
        self.kept.change(|state| {
            if state.groups.contains_key(name) {
                return Err(PoolFault::new(
                    "GroupExistsException",
                    "A group with the name already exists.",
                ));
            }
            state.groups.insert(name.to_owned(), group.clone());
            Ok(group)
        })
    }

    /// Removes a group; its users stay.
    ///
    /// # Errors
    ///
    /// `ResourceNotFoundException`.
    pub fn delete_group(&self, name: &str) -> Result<(), PoolFault> {
        self.group(name)?;
        self.kept.change(|state| {
            state.groups.remove(name);
            for user in state.users.values_mut() {
                user.groups.remove(name);
            }
            Ok(())
        })
    }

    /// Puts a user into a group, or takes him out.
    ///
    /// # Errors
    ///
    /// Where one of them is not there.
    pub fn set_member(&self, name: &str, group: &str, member: bool) -> Result<(), PoolFault> {
        self.group(group)?;
        self.change_user(name, |user| {
            if member {
                user.groups.insert(group.to_owned());
            } else {
                user.groups.remove(group);
            }
            Ok(())
        })
    }

    /// Keeps a client that was made at run time; id and secret are made up here.
    ///
    /// # Errors
    ///
    /// Where the system gives no random numbers.
    pub fn create_client(
        &self,
        client: UserPoolClient,
        with_secret: bool,
    ) -> Result<UserPoolClient, PoolFault> {
        let client = UserPoolClient {
            client_id: letters(26)?,
            client_secret: if with_secret {
                Some(letters(52)?)
            } else {
                None
            },
            ..client
        };
        self.kept.change(|state| {
            if state.clients.len() >= 1000 {
                return Err(PoolFault::new("LimitExceededException", "Too many clients"));
            }
            state
                .clients
                .insert(client.client_id.clone(), client.clone());
            Ok(client)
        })
    }

    /// Removes a client that was made at run time.
    ///
    /// # Errors
    ///
    /// `ResourceNotFoundException`; `InvalidParameterException` for one of the configuration.
    pub fn delete_client(&self, id: &str) -> Result<(), PoolFault> {
        if self.settings.clients.iter().any(|one| one.client_id == id) {
            return Err(PoolFault::invalid(
                "the client stands in the gateway's configuration, and is removed there",
            ));
        }
        self.kept.change(|state| match state.clients.remove(id) {
            Some(_) => Ok(()),
            None => Err(PoolFault::not_found(format!(
                "User pool client {id} does not exist."
            ))),
        })
    }

    /// A user by name, or one of that name who is nowhere kept: for tokens that are
    /// made by hand.
    pub fn user_or_stranger(&self, name: &str) -> User {
        self.find(name).unwrap_or_else(|| User {
            username: name.to_owned(),
            sub: stable_sub(self.short_id(), name),
            attributes: BTreeMap::new(),
            groups: BTreeSet::new(),
            status: UserStatus::Confirmed,
            enabled: true,
            created: 0,
            modified: 0,
            signed_out: 0,
            salt: String::new(),
            verifier: String::new(),
            code: None,
            configured: None,
        })
    }
}

/// Lower-case letters and digits from the system's random numbers, as Cognito makes ids of.
fn letters(number: usize) -> Result<String, PoolFault> {
    const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let bytes: [u8; 64] = random().map_err(|_| PoolFault::internal())?;
    let letters = bytes
        .iter()
        .map(|byte| char::from(LETTERS[usize::from(byte % 32)]));
    Ok(letters.take(number).collect())
}

/// Attributes as they are kept.
fn attributes(told: &[(String, String)]) -> Result<BTreeMap<String, String>, PoolFault> {
    // "Working with user attributes": the standard ones; the others begin with `custom:`.
    const STANDARD: [&str; 19] = [
        "address",
        "birthdate",
        "email",
        "email_verified",
        "family_name",
        "gender",
        "given_name",
        "locale",
        "middle_name",
        "name",
        "nickname",
        "phone_number",
        "phone_number_verified",
        "picture",
        "preferred_username",
        "profile",
        "updated_at",
        "website",
        "zoneinfo",
    ];
    let mut attributes = BTreeMap::new();
    for (name, value) in told {
        let known = STANDARD.contains(&name.as_str())
            || name.starts_with("custom:")
            || name.starts_with("dev:custom:");
        if !known {
            return Err(PoolFault::invalid(format!(
                "Attributes did not conform to the schema: {name}: Attribute does not exist in the schema.\n"
            )));
        }
        if value.chars().count() > 2048 {
            return Err(PoolFault::invalid(format!(
                "Attributes did not conform to the schema: {name}: String must be no longer than 2048 characters\n"
            )));
        }
        if name == "email"
            && !value
                .split_once('@')
                .is_some_and(|(a, b)| !a.is_empty() && !b.is_empty())
        {
            return Err(PoolFault::invalid("Invalid email address format."));
        }
        if name == "phone_number"
            && !(value.starts_with('+') && value[1..].bytes().all(|b| b.is_ascii_digit()))
        {
            return Err(PoolFault::invalid("Invalid phone number format."));
        }
        attributes.insert(name.clone(), value.clone());
    }
    Ok(attributes)
}

/// Where a user is written to, hidden and as it is.
fn address_of(user: &User) -> (Confirmation, Option<String>) {
    if let Some(email) = user.attributes.get("email") {
        let first = |text: &str| text.chars().next().map(String::from).unwrap_or_default();
        let (name, host) = email.split_once('@').unwrap_or((email, ""));
        let confirmation = Confirmation {
            attribute: Some("email"),
            destination: format!("{}***@{}***", first(name), first(host)),
        };
        return (confirmation, Some(email.clone()));
    }
    if let Some(number) = user.attributes.get("phone_number") {
        let shown: String = number.chars().rev().take(4).collect();
        let shown: String = shown.chars().rev().collect();
        let confirmation = Confirmation {
            attribute: Some("phone_number"),
            destination: format!("+*******{shown}"),
        };
        return (confirmation, Some(number.clone()));
    }
    let nowhere = Confirmation {
        attribute: None,
        destination: String::new(),
    };
    (nowhere, None)
}

fn verify_address(user: &mut User) {
    for address in ["email", "phone_number"] {
        if user.attributes.contains_key(address) {
            user.attributes
                .insert(format!("{address}_verified"), "true".to_owned());
            return;
        }
    }
}
