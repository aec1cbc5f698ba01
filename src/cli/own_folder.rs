//! `.tollgate/`: what the program keeps beside a definition. It is not for version control.

use std::io;
use std::path::{Path, PathBuf};

use super::Loaded;
use crate::base::Clock;
use crate::limit::Limits;
use crate::model::Spanned;
use crate::server::open_limits;
use crate::source::Span;
use crate::store::StoreError;

/// Makes a folder in a `.tollgate` folder, or that folder itself.
///
/// # Errors
///
/// Where the system does not let it.
pub(super) fn make(folder: &Path) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    if let Some(own) = folder.ancestors().find(|path| path.ends_with(".tollgate")) {
        let ignore = own.join(".gitignore");
        if !ignore.exists() {
            std::fs::write(ignore, "*\n")?;
        }
    }
    Ok(())
}

impl Loaded {
    /// Where keys, plans and counts are kept where the configuration does not say: in a
    /// file where there is something to count, so that quotas survive restarts.
    pub(super) fn default_store(&self) -> Option<PathBuf> {
        let settings = &self.settings;
        let metered = !settings.usage_plans.is_empty()
            || self
                .apis
                .iter()
                .any(|api| api.routes.iter().any(|route| route.api_key_required));
        (settings.store.is_none() && metered)
            .then(|| settings.base_directory.join(".tollgate/state.db"))
    }

    /// Limits with the store that the configuration names, or the default one. Where that
    /// one cannot be had, counts end with the process, and the log says so.
    ///
    /// # Errors
    ///
    /// Where the configured store cannot be opened.
    pub(super) fn open_limits(&mut self) -> Result<Limits, StoreError> {
        let Some(path) = self.default_store() else {
            return open_limits(&self.settings, Clock::System);
        };
        self.name_store(&path);
        let limits = self.open_default(&path);
        // What is configured stays as it was written: a reload compares it.
        self.settings.store = None;
        limits
    }

    fn open_default(&mut self, path: &Path) -> Result<Limits, StoreError> {
        let made = make(path.parent().unwrap_or(Path::new("")));
        let why = match made.map_err(|error| error.to_string()) {
            Ok(()) => match open_limits(&self.settings, Clock::System) {
                Ok(limits) => return Ok(limits),
                Err(error) => error.to_string(),
            },
            Err(why) => why,
        };
        tracing::warn!(
            "usage is counted in memory and forgotten at the end, since {} cannot be written ({why}); `store` says where else",
            path.display()
        );
        self.settings.store = None;
        open_limits(&self.settings, Clock::System)
    }

    /// Has counts kept in a file.
    pub(super) fn name_store(&mut self, path: &Path) {
        self.settings.store = Some(Spanned {
            value: format!("sqlite:{}", path.display()),
            span: Span::default(),
        });
    }
}
