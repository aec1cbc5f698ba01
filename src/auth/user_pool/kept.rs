//! What a local pool keeps in its folder: keys, users, groups, clients that were made
//! at run time, and which sign-ins were revoked.
//!
//! Users of the configuration are kept as well, so that a changed password lasts. One whose
//! entry in the file was edited begins anew, and one whose entry is gone goes with it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError, Weak};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::attempts::Attempts;
use super::keys::{KeptFault, Keys, random};
use super::srp::Verifier;
use super::{PoolFault, file};
use crate::model::user_pool::{UserPoolClient, UserPoolSettings, UserPoolUser};

/// How far a user has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum UserStatus {
    /// He signed up, and has not told the code that was sent to him.
    Unconfirmed,
    /// He may sign in.
    Confirmed,
    /// His password is one that somebody else chose.
    ForceChangePassword,
    /// He must ask for a code to choose another password.
    ResetRequired,
}

impl UserStatus {
    /// As the Cognito API writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unconfirmed => "UNCONFIRMED",
            Self::Confirmed => "CONFIRMED",
            Self::ForceChangePassword => "FORCE_CHANGE_PASSWORD",
            Self::ResetRequired => "RESET_REQUIRED",
        }
    }
}

/// A user. Times are milliseconds since 1970.
#[derive(Clone, Serialize, Deserialize)]
pub struct User {
    /// His name: unique, and never another one.
    pub username: String,
    /// `sub` of his tokens.
    pub sub: String,
    /// All but `sub`.
    pub attributes: BTreeMap<String, String>,
    /// Groups he is in.
    pub groups: BTreeSet<String>,
    /// How far he has come.
    pub status: UserStatus,
    /// A disabled user cannot sign in.
    pub enabled: bool,
    /// When he was made.
    pub created: u64,
    /// When he was changed.
    pub modified: u64,
    /// Sign-ins up to then are over.
    pub(super) signed_out: u64,
    pub(super) salt: String,
    /// Empty: no password is his.
    pub(super) verifier: String,
    pub(super) code: Option<Code>,
    /// What the configuration said when he was taken from it, as a digest.
    pub(super) configured: Option<String>,
}

impl std::fmt::Debug for User {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("User")
            .field("username", &self.username)
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}

/// A code that was sent to a user.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Code {
    pub(super) digits: String,
    pub(super) expires: u64,
    /// Wrong answers so far.
    pub(super) wrong: u32,
}

impl User {
    pub(super) fn verifier(&self) -> Verifier {
        Verifier {
            salt: self.salt.clone(),
            value: self.verifier.clone(),
        }
    }

    /// Whether an address was shown to be his.
    pub(super) fn has_verified(&self, attribute: &str) -> bool {
        let verified = self.attributes.get(&format!("{attribute}_verified"));
        verified.is_some_and(|text| text == "true")
    }

    pub(super) fn set_verifier(&mut self, verifier: Verifier) {
        self.salt = verifier.salt;
        self.verifier = verifier.value;
    }
}

/// A group. Times are milliseconds since 1970.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Group {
    /// What it is for.
    pub description: Option<String>,
    /// Lower ones come first.
    pub precedence: Option<u32>,
    /// An IAM role.
    pub role_arn: Option<String>,
    /// When it was made.
    pub created: u64,
}

/// All that changes.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct State {
    pub(super) users: BTreeMap<String, User>,
    pub(super) groups: BTreeMap<String, Group>,
    pub(super) clients: BTreeMap<String, UserPoolClient>,
    /// Sign-ins that were revoked, and until when that matters.
    pub(super) revoked: BTreeMap<String, u64>,
}

/// How a file looked when it was read last.
type Look = Option<(SystemTime, u64)>;

/// A pool's folder, open.
pub(super) struct Kept {
    folder: PathBuf,
    pub(super) keys: Keys,
    state: Mutex<(State, Look)>,
    /// Challenges that were answered, until they would have run out.
    spent: Mutex<HashMap<String, u64>>,
    /// Passwords that were wrong.
    pub(super) attempts: Attempts,
    /// The same of names that nobody has.
    pub(super) made_up: Attempts,
}

impl std::fmt::Debug for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Kept({})", self.folder.display())
    }
}

/// One for each folder of this process, however many plans use it: two that write
/// the same file would undo each other's changes.
static OPEN: LazyLock<Mutex<HashMap<PathBuf, Weak<Kept>>>> = LazyLock::new(Mutex::default);

impl Kept {
    /// Opens a folder; keys are made where there are none.
    pub(super) fn open(folder: &Path) -> Result<Arc<Self>, KeptFault> {
        let failed = |cause| KeptFault::File {
            path: folder.display().to_string(),
            cause,
        };
        file::make_folder(folder).map_err(failed)?;
        let folder = folder.canonicalize().map_err(failed)?;
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kept) = open.get(&folder).and_then(Weak::upgrade) {
            return Ok(kept);
        }
        let kept = Self {
            keys: Keys::open(&folder.join("keys.json"))?,
            state: Mutex::default(),
            spent: Mutex::default(),
            attempts: Attempts::default(),
            made_up: Attempts::default(),
            folder: folder.clone(),
        };
        let path = kept.path();
        let state = file::read(&path).map_err(|cause| KeptFault::File {
            path: path.display().to_string(),
            cause,
        })?;
        if let Some(text) = state {
            let state = serde_json::from_slice(&text).map_err(|_| KeptFault::Content {
                path: path.display().to_string(),
            })?;
            *kept.lock() = (state, look(&path));
        }
        let kept = Arc::new(kept);
        open.retain(|_, one| one.strong_count() > 0);
        open.insert(folder, Arc::downgrade(&kept));
        Ok(kept)
    }

    fn path(&self) -> PathBuf {
        self.folder.join("users.json")
    }

    fn lock(&self) -> MutexGuard<'_, (State, Look)> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state, read again where another process has written it.
    fn current(&self) -> MutexGuard<'_, (State, Look)> {
        let mut held = self.lock();
        let path = self.path();
        let now = look(&path);
        if now != held.1
            && let Ok(Some(text)) = file::read(&path)
            && let Ok(state) = serde_json::from_slice(&text)
        {
            *held = (state, now);
        }
        held
    }

    pub(super) fn read<T>(&self, read: impl FnOnce(&State) -> T) -> T {
        read(&self.current().0)
    }

    /// Changes the state: all of it and on disk, or nothing.
    pub(super) fn change<T>(
        &self,
        change: impl FnOnce(&mut State) -> Result<T, PoolFault>,
    ) -> Result<T, PoolFault> {
        let mut held = self.current();
        let mut next = held.0.clone();
        let value = change(&mut next)?;
        let path = self.path();
        let text = serde_json::to_vec_pretty(&next).map_err(|_| PoolFault::internal())?;
        if let Err(error) = file::replace(&path, &text) {
            tracing::error!(%error, file = %path.display(), "the user pool's users cannot be kept");
            return Err(PoolFault::internal());
        }
        *held = (next, look(&path));
        Ok(value)
    }

    /// Takes the configuration's users and groups over. `pool` is the id without its region.
    pub(super) fn configure(
        &self,
        pool: &str,
        settings: &UserPoolSettings,
        now: u64,
    ) -> Result<(), PoolFault> {
        let wanted: Vec<(String, &UserPoolUser)> = settings
            .users
            .iter()
            .map(|user| (self.fingerprint(user, settings), user))
            .collect();
        let as_wanted = |state: &State| {
            let users = wanted.iter().all(|(print, _)| {
                state
                    .users
                    .values()
                    .any(|own| own.configured.as_ref() == Some(print))
            });
            let gone = state.users.values().any(|own| {
                own.configured
                    .as_ref()
                    .is_some_and(|own| !wanted.iter().any(|(print, _)| print == own))
            });
            let groups = settings
                .groups
                .iter()
                .map(|group| &group.name)
                .chain(settings.users.iter().flat_map(|user| &user.groups))
                .all(|name| state.groups.contains_key(name));
            users && groups && !gone
        };
        if self.read(as_wanted) {
            return Ok(());
        }
        self.change(|state| {
            state.users.retain(|_, own| {
                own.configured
                    .as_ref()
                    .is_none_or(|own| wanted.iter().any(|(print, _)| print == own))
            });
            for (print, user) in &wanted {
                let kept = state
                    .users
                    .values()
                    .any(|own| own.configured.as_ref() == Some(print));
                if !kept {
                    let user = configured(pool, user, settings, print, now)?;
                    state.users.insert(user.username.clone(), user);
                }
            }
            for group in &settings.groups {
                let own = state.groups.entry(group.name.clone()).or_default();
                own.created = if own.created == 0 { now } else { own.created };
                own.description.clone_from(&group.description);
                own.precedence = group.precedence;
                own.role_arn.clone_from(&group.role_arn);
            }
            let named = settings.users.iter().flat_map(|user| &user.groups);
            for name in named {
                state.groups.entry(name.clone()).or_insert(Group {
                    created: now,
                    ..Group::default()
                });
            }
            Ok(())
        })
    }

    fn fingerprint(&self, user: &UserPoolUser, settings: &UserPoolSettings) -> String {
        let text = serde_json::json!([
            user.username,
            user.password,
            user.groups,
            user.attributes,
            user.temporary,
            settings.username_attributes.first(),
        ]);
        hexadecimal(&self.keys.digest(&text.to_string()))
    }

    /// Whether a challenge is answered for the first time; it runs out at `expires`.
    pub(super) fn spend(&self, id: &str, expires: u64, now: u64) -> bool {
        let mut spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        spent.retain(|_, until| *until > now);
        spent.insert(id.to_owned(), expires).is_none()
    }

    /// Delivers what Cognito would send by mail or text message: a line in a file
    /// that its owner alone may read. The log names the file, not the code.
    pub(super) fn deliver(&self, message: &serde_json::Value) -> Result<(), PoolFault> {
        let path = self.folder.join("messages.jsonl");
        file::append(&path, &message.to_string()).map_err(|error| {
            tracing::error!(%error, file = %path.display(), "a message cannot be delivered");
            PoolFault::internal()
        })?;
        tracing::info!(file = %path.display(), "a message to a user of the local user pool was delivered");
        Ok(())
    }
}

fn configured(
    pool: &str,
    user: &UserPoolUser,
    settings: &UserPoolSettings,
    print: &str,
    now: u64,
) -> Result<User, PoolFault> {
    let mut attributes = user.attributes.clone();
    let sub = attributes
        .remove("sub")
        .unwrap_or_else(|| stable_sub(pool, &user.username));
    // Where users sign up with an address, their name is one that the pool makes up.
    let username = match settings.username_attributes.first() {
        None => user.username.clone(),
        Some(attribute) => {
            attributes
                .entry(attribute.clone())
                .or_insert_with(|| user.username.clone());
            sub.clone()
        }
    };
    for (address, verified) in [
        ("email", "email_verified"),
        ("phone_number", "phone_number_verified"),
    ] {
        if attributes.contains_key(address) {
            attributes
                .entry(verified.to_owned())
                .or_insert_with(|| "true".to_owned());
        }
    }
    let verifier = match &user.password {
        None => Verifier {
            salt: String::new(),
            value: String::new(),
        },
        Some(password) => {
            let salt = random().map_err(|_| PoolFault::internal())?;
            Verifier::new(pool, &username, password, &salt)
        }
    };
    Ok(User {
        sub,
        attributes,
        groups: user.groups.iter().cloned().collect(),
        status: if user.temporary {
            UserStatus::ForceChangePassword
        } else {
            UserStatus::Confirmed
        },
        enabled: true,
        created: now,
        modified: now,
        signed_out: 0,
        salt: verifier.salt,
        verifier: verifier.value,
        code: None,
        configured: Some(print.to_owned()),
        username,
    })
}

/// A UUID that a user of that name has in that pool on every machine.
pub(super) fn stable_sub(pool: &str, username: &str) -> String {
    let digest = aws_lc_rs::digest::digest(
        &aws_lc_rs::digest::SHA256,
        format!("{pool}/{username}").as_bytes(),
    );
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest.as_ref()[..16]);
    uuid::Builder::from_random_bytes(bytes)
        .into_uuid()
        .to_string()
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn look(path: &Path) -> Look {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}
