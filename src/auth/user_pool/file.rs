//! Files that only their owner may read, in a folder that only he may enter.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

/// Makes a folder, and those above it.
pub(super) fn make_folder(path: &Path) -> io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt;
        if let Some(above) = path.parent() {
            fs::create_dir_all(above)?;
        }
        let made = fs::DirBuilder::new().mode(0o700).create(path);
        match made {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            other => other,
        }
    }
    #[cfg(not(unix))]
    fs::create_dir_all(path)
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    options
}

/// A file beside `path` with its content, written out.
fn beside(path: &Path, content: &[u8]) -> io::Result<std::path::PathBuf> {
    let ending = format!("{}-{:08x}.new", std::process::id(), fastrand::u32(..));
    let name = path.with_extension(ending);
    let mut file: File = private().write(true).create_new(true).open(&name)?;
    let written = file.write_all(content).and_then(|()| file.sync_all());
    if let Err(error) = written {
        let _ = fs::remove_file(&name);
        return Err(error);
    }
    Ok(name)
}

/// Puts `content` in the place of what is there: readers see the old or the new, whole.
pub(super) fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let name = beside(path, content)?;
    fs::rename(&name, path).inspect_err(|_| {
        let _ = fs::remove_file(&name);
    })
}

/// Makes a file where there is none. Of two that try at once the first wins, and
/// both go on with what is there.
pub(super) fn create(path: &Path, content: &[u8]) -> io::Result<()> {
    let name = beside(path, content)?;
    let linked = fs::hard_link(&name, path);
    let _ = fs::remove_file(&name);
    match linked {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// What is in a file; `None` where there is none. One that others may read is
/// made private.
pub(super) fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
        Ok(content) => {
            #[cfg(unix)]
            {
                use std::os::unix::fs::PermissionsExt;
                if fs::metadata(path)?.permissions().mode() & 0o077 != 0 {
                    tracing::warn!(file = %path.display(), "others could read the file; it is private now");
                    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
                }
            }
            Ok(Some(content))
        }
    }
}

/// Adds a line to a file.
pub(super) fn append(path: &Path, line: &str) -> io::Result<()> {
    let mut file = private().append(true).create(true).open(path)?;
    file.write_all(format!("{line}\n").as_bytes())
}
