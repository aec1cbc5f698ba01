//! Files that are watched while serving: what the definitions were read from, and
//! the code of local functions.
//!
//! Folders are watched, not files: editors write a new file and rename it over the
//! old one. Each folder of a function's code is watched by itself, so that those
//! that hold no code of the developer's (`node_modules`, `.git`, …) cost nothing;
//! of folders with dependencies only the direct entries count, which every
//! installation changes. A change is told once nothing has changed for [`QUIET`]:
//! a checkout of many files is one change.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ffi::OsStr;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use notify::event::{EventKind, MetadataKind, ModifyKind};
use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::Notify;
use tokio::time::Instant;

/// How long nothing may have changed before a change is told.
pub const QUIET: Duration = Duration::from_millis(50);
/// A change is told after so long, whatever else changes meanwhile.
const LONGEST_UNREST: Duration = Duration::from_millis(1_000);
/// How long a git command that holds its lock is waited for.
const LONGEST_CHECKOUT: Duration = Duration::from_secs(3);
/// Most folders that are watched for one function.
const MOST_FOLDERS: usize = 2_000;
/// How far up from the code dependencies are looked for.
const FOLDERS_UP: usize = 6;

/// Folders below a function's that hold none of its own code.
const IGNORED_FOLDERS: [&str; 20] = [
    "node_modules",
    ".git",
    ".hg",
    ".svn",
    "__pycache__",
    ".venv",
    "venv",
    ".tox",
    ".mypy_cache",
    ".pytest_cache",
    ".ruff_cache",
    ".idea",
    ".vscode",
    ".aws-sam",
    ".tollgate",
    ".serverless",
    ".terraform",
    ".gradle",
    ".cache",
    "cdk.out",
];

/// Ends of file names that editors, interpreters and programs leave beside code.
const IGNORED_ENDS: [&str; 15] = [
    "~", ".swp", ".swo", ".swx", ".tmp", ".bak", ".orig", ".pyc", ".log", ".pid", ".db", ".sqlite",
    ".sqlite3", "-journal", "-wal",
];

/// What is to be watched.
#[derive(Clone, Debug, Default)]
pub struct Watched {
    /// What definitions and configuration were read from, or would be if it were there.
    pub files: BTreeSet<PathBuf>,
    /// Folders of functions' code, by the functions' keys.
    pub code: Vec<(String, PathBuf)>,
}

/// What has changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// A file of the definitions or the configuration.
    pub files: BTreeSet<PathBuf>,
    /// By function: a file of its code.
    pub code: BTreeMap<String, PathBuf>,
}

impl Changes {
    /// Whether nothing has changed.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty() && self.code.is_empty()
    }
}

/// Watches. Its events come from a thread of the system's interface.
pub struct Watcher {
    system: RecommendedWatcher,
    shared: Arc<Shared>,
    /// What was asked for, to be looked for again when folders come and go.
    wanted: Watched,
    folders: HashSet<PathBuf>,
}

impl std::fmt::Debug for Watcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watcher")
            .field("folders", &self.folders.len())
            .finish_non_exhaustive()
    }
}

/// What the system's thread writes and [`Watcher::changed`] reads.
#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    wake: Notify,
}

#[derive(Default)]
struct State {
    rules: Rules,
    changes: Changes,
    /// A folder came or went: what is to be watched may be another.
    is_moved: bool,
    /// Of the changes not told yet.
    first: Option<Instant>,
    last: Option<Instant>,
}

/// Which path is whose.
#[derive(Debug, Default)]
struct Rules {
    files: HashSet<PathBuf>,
    code: Vec<(PathBuf, String)>,
    /// Folders with dependencies, and who uses them.
    installed: HashMap<PathBuf, Vec<String>>,
    git: BTreeSet<PathBuf>,
}

impl Watcher {
    /// Watches nothing yet.
    ///
    /// # Errors
    ///
    /// The system gives no watcher.
    pub fn new() -> Result<Self, notify::Error> {
        let shared = Arc::new(Shared::default());
        let told = Arc::clone(&shared);
        let system = notify::recommended_watcher(move |event| told.take(event))?;
        Ok(Self {
            system,
            shared,
            wanted: Watched::default(),
            folders: HashSet::new(),
        })
    }

    /// Watches this from now on.
    ///
    /// # Errors
    ///
    /// The system watches no more folders; those before are watched.
    pub fn watch(&mut self, wanted: Watched) -> Result<(), notify::Error> {
        self.wanted = wanted;
        self.arm(false)
    }

    /// Waits for changes.
    pub async fn changed(&mut self) -> Changes {
        loop {
            self.shared.quiet().await;
            if self.shared.checkout().await {
                self.shared.unrest();
                continue;
            }
            let (changes, is_moved) = {
                let mut state = self.shared.lock();
                state.first = None;
                state.last = None;
                let is_moved = std::mem::take(&mut state.is_moved);
                (std::mem::take(&mut state.changes), is_moved)
            };
            if is_moved && let Err(error) = self.arm(true) {
                tracing::warn!("{}", cannot_watch(&error));
            }
            if !changes.is_empty() {
                return changes;
            }
        }
    }

    /// Tells the system which folders to watch; `again` also those that it knows
    /// already, since another folder of the same name may have taken the place.
    fn arm(&mut self, again: bool) -> Result<(), notify::Error> {
        let (rules, folders) = Rules::of(&self.wanted);
        self.shared.lock().rules = rules;
        let mut failed = None;
        let mut paths = self.system.paths_mut();
        for gone in self.folders.difference(&folders) {
            // It may be gone from the disk as well.
            let _ = paths.remove(gone);
        }
        for folder in &folders {
            if !again && self.folders.contains(folder) {
                continue;
            }
            match paths.add(folder, RecursiveMode::NonRecursive) {
                Ok(()) => {}
                // Gone meanwhile: its parent tells when it comes back.
                Err(error) if matches!(error.kind, notify::ErrorKind::PathNotFound) => {}
                Err(error) => failed = Some(error),
            }
        }
        let committed = paths.commit();
        self.folders = folders;
        failed.map_or(committed, Err)
    }
}

/// What to do about a system that does not watch.
pub fn cannot_watch(error: &notify::Error) -> String {
    match error.kind {
        notify::ErrorKind::MaxFilesWatch => {
            "changes of some files are not seen, since the system watches no more folders: raise fs.inotify.max_user_watches, or serve with --no-watch".to_owned()
        }
        _ => format!("changes of some files are not seen: {error}"),
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // The state is whole at every point that could panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes an event of the system's, in its own thread.
    fn take(&self, event: notify::Result<notify::Event>) {
        let mut state = self.lock();
        let state = &mut *state;
        let mut is_one = false;
        match event {
            Ok(event) if event.need_rescan() => {
                state.rules.everything(&mut state.changes);
                state.is_moved = true;
                is_one = true;
            }
            Ok(event) => {
                if !matters(event.kind) {
                    return;
                }
                for path in &event.paths {
                    let is_folder = path.is_dir();
                    // Its rights or times, not its content.
                    if is_folder && matches!(event.kind, EventKind::Modify(ModifyKind::Metadata(_)))
                    {
                        continue;
                    }
                    let is_move = !matches!(
                        event.kind,
                        EventKind::Modify(ModifyKind::Data(_) | ModifyKind::Metadata(_))
                    );
                    is_one |= state.rules.classify(path, &mut state.changes);
                    if is_move && (is_folder || !path.exists()) {
                        state.is_moved = true;
                        is_one = true;
                    }
                }
            }
            Err(error) => {
                tracing::debug!(%error, "watching failed");
                return;
            }
        }
        if is_one {
            let now = Instant::now();
            state.first.get_or_insert(now);
            state.last = Some(now);
            self.wake.notify_one();
        }
    }

    /// Waits for an event, and until none has come for [`QUIET`].
    async fn quiet(&self) {
        loop {
            let until = {
                let state = self.lock();
                match (state.first, state.last) {
                    (Some(first), Some(last)) => Some((last + QUIET).min(first + LONGEST_UNREST)),
                    _ => None,
                }
            };
            match until {
                None => self.wake.notified().await,
                Some(until) if until <= Instant::now() => return,
                Some(until) => tokio::time::sleep_until(until).await,
            }
        }
    }

    /// Begins to wait for quiet anew.
    fn unrest(&self) {
        let now = Instant::now();
        let mut state = self.lock();
        state.first = Some(now);
        state.last = Some(now);
    }

    /// Waits while git changes files, since what stands there now may belong to two
    /// commits; whether it had to.
    async fn checkout(&self) -> bool {
        const STEP: Duration = Duration::from_millis(20);
        let locks: Vec<PathBuf> = {
            let state = self.lock();
            let folders = state.rules.git.iter();
            folders.map(|folder| folder.join("index.lock")).collect()
        };
        let begun = Instant::now();
        // One that a crash has left behind is old.
        let is_held = |lock: &PathBuf| {
            let age = lock.metadata().and_then(|meta| meta.modified());
            age.is_ok_and(|at| at.elapsed().is_ok_and(|age| age < LONGEST_CHECKOUT))
        };
        let mut has_waited = false;
        while locks.iter().any(is_held) && begun.elapsed() < LONGEST_CHECKOUT {
            has_waited = true;
            tokio::time::sleep(STEP).await;
        }
        has_waited
    }
}

/// Whether an event may mean another content.
fn matters(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(_) => false,
        EventKind::Modify(ModifyKind::Metadata(kind)) => kind != MetadataKind::AccessTime,
        _ => true,
    }
}

impl Rules {
    /// Which path is whose, and the folders to watch for it.
    fn of(wanted: &Watched) -> (Self, HashSet<PathBuf>) {
        let mut rules = Self::default();
        let mut folders = HashSet::new();
        let mut plain = |path: &Path, folders: &mut HashSet<PathBuf>| {
            let path = absolute(path);
            if let Some(folder) = path.parent().and_then(existing) {
                rules.git.extend(git_folder(&folder));
                folders.insert(folder);
            }
            path
        };
        for file in &wanted.files {
            let path = plain(file, &mut folders);
            // What a link leads to is written elsewhere.
            if let Ok(real) = path.canonicalize()
                && real != path
            {
                let real = plain(&real, &mut folders);
                rules.files.insert(real);
            }
            rules.files.insert(path);
        }
        for (function, root) in &wanted.code {
            let root = absolute(root);
            // A build may remove the folder with all above it and make it again.
            let above = root.ancestors().skip(1).take(3);
            folders.extend(above.filter_map(existing));
            rules.git.extend(git_folder(&root));
            let mut count = 0;
            walk(&root, &mut count, &mut folders);
            if count >= MOST_FOLDERS {
                tracing::warn!(
                    function,
                    "its code has more than {MOST_FOLDERS} folders: changes in the others are not seen"
                );
            }
            for folder in dependencies(&root) {
                folders.insert(folder.clone());
                let users = rules.installed.entry(folder).or_default();
                users.push(function.clone());
            }
            rules.code.push((root, function.clone()));
        }
        (rules, folders)
    }

    /// Notes what a change of `path` means; false where nothing.
    fn classify(&self, path: &Path, changes: &mut Changes) -> bool {
        let mut is_ours = false;
        for file in &self.files {
            // Or a folder that it stands in was moved.
            if file == path || file.starts_with(path) {
                changes.files.insert(file.clone());
                is_ours = true;
            }
        }
        for (root, function) in &self.code {
            let is_its = match path.strip_prefix(root) {
                Ok(below) => !is_ignored(root, below),
                Err(_) => root.starts_with(path),
            };
            if is_its {
                changes.code.insert(function.clone(), path.to_owned());
                is_ours = true;
            }
        }
        let functions = path.parent().and_then(|folder| self.installed.get(folder));
        if let Some(functions) = functions
            && !is_leftover(path.file_name())
            && path.file_name() != Some(OsStr::new("__pycache__"))
        {
            for function in functions {
                changes.code.insert(function.clone(), path.to_owned());
            }
            is_ours = true;
        }
        is_ours
    }

    /// Events were lost: all may have changed.
    fn everything(&self, changes: &mut Changes) {
        changes.files.extend(self.files.iter().cloned());
        for (root, function) in &self.code {
            changes.code.insert(function.clone(), root.clone());
        }
    }
}

/// The path without `.` and links in its folder, as the system tells it.
fn absolute(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return path;
    };
    match folder.canonicalize() {
        Ok(folder) => folder.join(name),
        Err(_) => path,
    }
}

/// The folder, or the nearest one above it that is there.
fn existing(folder: &Path) -> Option<PathBuf> {
    folder
        .ancestors()
        .find(|folder| folder.is_dir())
        .map(Path::to_owned)
}

/// A function's folder and all below it that may hold its code.
fn walk(folder: &Path, count: &mut usize, folders: &mut HashSet<PathBuf>) {
    if *count >= MOST_FOLDERS {
        return;
    }
    let Ok(entries) = std::fs::read_dir(folder) else {
        return;
    };
    *count += 1;
    folders.insert(folder.to_owned());
    for entry in entries.flatten() {
        // Links are not followed: they may lead round in circles.
        if entry.file_type().is_ok_and(|kind| kind.is_dir())
            && !is_ignored_folder(folder, &entry.file_name())
        {
            walk(&entry.path(), count, folders);
        }
    }
}

/// Whether what stands at `below` in a function's folder is none of its code.
fn is_ignored(root: &Path, below: &Path) -> bool {
    let mut folder = root.to_owned();
    for part in below.components() {
        let Component::Normal(name) = part else {
            continue;
        };
        if is_ignored_folder(&folder, name) {
            return true;
        }
        folder.push(name);
    }
    is_leftover(below.file_name())
}

fn is_ignored_folder(parent: &Path, name: &OsStr) -> bool {
    if name == "target" {
        // Of Cargo, Maven; elsewhere it may be a folder like any other.
        return parent.join("Cargo.toml").exists() || parent.join("pom.xml").exists();
    }
    IGNORED_FOLDERS.iter().any(|known| name == *known)
}

/// Files that come and go beside code: of editors, of interpreters, and those that a
/// function writes itself.
fn is_leftover(name: Option<&OsStr>) -> bool {
    let Some(name) = name.and_then(OsStr::to_str) else {
        return false;
    };
    // vim tries with a file of this name whether it may write here.
    name == "4913"
        || name == ".DS_Store"
        || name.starts_with(".#")
        || name.starts_with(".goutputstream-")
        || name.starts_with("___jb_")
        || IGNORED_ENDS.iter().any(|end| name.ends_with(end))
}

/// Folders whose direct entries change when dependencies are installed.
fn dependencies(code: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for folder in code.ancestors().take(FOLDERS_UP + 1) {
        let modules = folder.join("node_modules");
        if modules.is_dir() {
            found.push(modules);
        }
        for name in [".venv", "venv"] {
            // lib/python3.12/site-packages
            let versions = std::fs::read_dir(folder.join(name).join("lib"));
            for version in versions.into_iter().flatten().flatten() {
                let packages = version.path().join("site-packages");
                if packages.is_dir() {
                    found.push(packages);
                }
            }
        }
        if folder.join(".git").exists() {
            break;
        }
    }
    found
}

/// The `.git` folder of the repository that `folder` is in.
fn git_folder(folder: &Path) -> Option<PathBuf> {
    folder
        .ancestors()
        .map(|folder| folder.join(".git"))
        .find(|git| git.is_dir())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(path: &Path, text: &str) {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// A project in a folder whose name is the system's own.
    fn project(files: &[&str]) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().canonicalize().unwrap();
        for file in files {
            write(&path.join(file), "");
        }
        (folder, path)
    }

    fn watched(path: &Path) -> Watched {
        Watched {
            files: BTreeSet::from([path.join("api.yaml"), path.join("gone/part.yaml")]),
            code: vec![("pets".to_owned(), path.join("pets"))],
        }
    }

    fn changes(rules: &Rules, path: &Path) -> Changes {
        let mut changes = Changes::default();
        rules.classify(path, &mut changes);
        changes
    }

    #[test]
    fn each_path_is_of_the_definition_of_a_functions_code_or_of_nobody() {
        let (_folder, path) = project(&[
            "api.yaml",
            "pets/app.py",
            "pets/Cargo.toml",
            "pets/node_modules/a/index.js",
        ]);
        let (rules, folders) = Rules::of(&watched(&path));
        let of = |name: &str| changes(&rules, &path.join(name));

        assert_eq!(of("api.yaml").files.len(), 1);
        assert_eq!(of("gone").files, of("gone/part.yaml").files);
        for code in [
            "pets/app.py",
            "pets/new/module.py",
            "pets",
            "pets/node_modules/.package-lock.json",
            "pets/node_modules/b",
        ] {
            assert_eq!(of(code).code.len(), 1, "{code}");
        }
        for nobodys in [
            "other.yaml",
            "pets/__pycache__/app.pyc",
            "pets/.app.py.swp",
            "pets/app.py~",
            "pets/4913",
            "pets/.git/index",
            "pets/target/debug/pets",
            "pets/node_modules/a/index.js",
            "pets/state.sqlite-journal",
        ] {
            assert!(of(nobodys).is_empty(), "{nobodys}");
        }
        assert!(folders.contains(&path.join("pets/node_modules")));
        assert!(!folders.contains(&path.join("pets/node_modules/a")));
    }

    #[test]
    fn a_folder_called_target_is_code_where_no_build_makes_it() {
        let (_folder, path) = project(&["pets/target/app.py"]);
        let (rules, _) = Rules::of(&watched(&path));

        assert_eq!(
            changes(&rules, &path.join("pets/target/app.py")).code.len(),
            1
        );
    }

    #[tokio::test]
    async fn a_rename_over_the_file_is_told_as_a_change_of_it() {
        let (_folder, path) = project(&["api.yaml", "pets/app.py"]);
        let mut watcher = Watcher::new().unwrap();
        watcher.watch(watched(&path)).unwrap();

        write(&path.join("api.yaml.tmp"), "new");
        std::fs::rename(path.join("api.yaml.tmp"), path.join("api.yaml")).unwrap();

        let changes = watcher.changed().await;
        assert_eq!(changes.files, BTreeSet::from([path.join("api.yaml")]));
        assert!(changes.code.is_empty());
    }

    #[tokio::test]
    async fn code_folders_may_come_go_and_come_back() {
        let (_folder, path) = project(&["api.yaml", "pets/app.py"]);
        let mut watcher = Watcher::new().unwrap();
        watcher.watch(watched(&path)).unwrap();

        // What a bundler does.
        std::fs::remove_dir_all(path.join("pets")).unwrap();
        assert!(watcher.changed().await.code.contains_key("pets"));
        write(&path.join("pets/lib/deep.py"), "");
        assert!(watcher.changed().await.code.contains_key("pets"));
        write(&path.join("pets/lib/deep.py"), "again");

        assert_eq!(
            watcher.changed().await.code["pets"],
            path.join("pets/lib/deep.py")
        );
    }

    #[tokio::test]
    async fn many_files_at_once_are_one_change() {
        let (_folder, path) = project(&["api.yaml", "pets/app.py"]);
        let mut watcher = Watcher::new().unwrap();
        watcher.watch(watched(&path)).unwrap();
        write(&path.join("api.yaml"), "new");
        for number in 0..300 {
            write(&path.join(format!("pets/module{number}.py")), "");
        }

        let changes = watcher.changed().await;

        assert_eq!((changes.files.len(), changes.code.len()), (1, 1));
    }

    #[tokio::test]
    async fn a_checkout_is_waited_for() {
        let (_folder, path) = project(&["api.yaml", "pets/app.py", ".git/index.lock"]);
        let mut watcher = Watcher::new().unwrap();
        watcher.watch(watched(&path)).unwrap();
        write(&path.join("api.yaml"), "of the one commit");

        let lock = path.join(".git/index.lock");
        let (changes, was_held) = tokio::join!(watcher.changed(), async {
            // Longer than it would take without the lock.
            tokio::time::sleep(QUIET * 4).await;
            let was_held = lock.exists();
            write(&path.join("pets/app.py"), "of the other");
            std::fs::remove_file(&lock).unwrap();
            was_held
        });

        assert!(was_held);
        assert_eq!((changes.files.len(), changes.code.len()), (1, 1));
    }
}
