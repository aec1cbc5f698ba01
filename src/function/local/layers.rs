//! Layers: what Lambda unpacks to `/opt`, as one folder here.
//!
//! A single folder is used where it lies, so that its files are live. Several, or
//! zip files, are put together in the gateway's own folder, later ones over
//! earlier ones, once for each state that they are in.
//!
//! Source: Lambda developer guide, "Managing Lambda dependencies with layers" and
//! "Packaging your layer content".

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use super::unpack;

/// What a layer may have at its top; one without any of it was not built yet, and
/// holds the packages themselves.
const TOP: [&str; 9] = [
    "python",
    "nodejs",
    "ruby",
    "java",
    "dotnet",
    "bin",
    "lib",
    "extensions",
    "bootstrap",
];

/// Deepest folder of a layer.
const DEEPEST: usize = 64;

/// The folder that stands for `/opt`; none without layers.
///
/// # Errors
///
/// Which layer is missing or cannot be read.
pub(super) fn merge(layers: &[PathBuf], cache: &Path) -> Result<Option<PathBuf>, String> {
    let mut folders = Vec::with_capacity(layers.len());
    for layer in layers {
        if layer.is_dir() {
            folders.push(layer.clone());
        } else if layer.is_file() {
            let folder =
                unpack::unpack(layer, cache).map_err(|error| format!("the layer {error}"))?;
            folders.push(folder);
        } else {
            return Err(format!(
                "the layer {} does not exist: `sam build` makes it, or name its folder or zip file",
                layer.display()
            ));
        }
    }
    match folders.as_slice() {
        [] => Ok(None),
        [one] => Ok(Some(one.clone())),
        several => together(several, cache).map(Some),
    }
}

/// Whether `opt` is laid out as Lambda wants a layer.
pub(super) fn is_built(opt: &Path) -> bool {
    TOP.iter().any(|name| opt.join(name).exists())
}

/// The external extensions in `opt`: executables in its folder `extensions`, by name.
pub(super) fn extensions(opt: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(opt.join("extensions"))
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| super::interpreter::is_executable(path))
        .collect();
    found.sort();
    found
}

fn together(folders: &[PathBuf], cache: &Path) -> Result<PathBuf, String> {
    let mut hasher = DefaultHasher::new();
    for folder in folders {
        folder.hash(&mut hasher);
        fingerprint(folder, 0, &mut hasher).map_err(|error| told(folder, &error))?;
    }
    let target = cache.join("opt").join(format!("{:016x}", hasher.finish()));
    if target.is_dir() {
        return Ok(target);
    }
    let partial = unpack::partial_of(&target);
    let made = || -> std::io::Result<()> {
        unpack::make_cache(cache)?;
        fs::create_dir_all(&partial)?;
        for folder in folders {
            copy(folder, &partial, 0)?;
        }
        unpack::settle(&partial, &target)
    };
    made().map_err(|error| {
        let _ = fs::remove_dir_all(&partial);
        format!(
            "layers cannot be put together in {}: {error}",
            target.display()
        )
    })?;
    Ok(target)
}

fn told(folder: &Path, error: &std::io::Error) -> String {
    format!("the layer {}: {error}", folder.display())
}

fn fingerprint(folder: &Path, depth: usize, hasher: &mut DefaultHasher) -> std::io::Result<()> {
    let mut entries: Vec<_> = fs::read_dir(folder)?.collect::<Result<_, _>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        entry.file_name().hash(hasher);
        let metadata = entry.metadata()?;
        metadata.len().hash(hasher);
        metadata.modified().ok().hash(hasher);
        if metadata.is_dir() {
            deeper(depth)?;
            fingerprint(&entry.path(), depth + 1, hasher)?;
        }
    }
    Ok(())
}

fn copy(from: &Path, to: &Path, depth: usize) -> std::io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type()?;
        if kind.is_dir() {
            deeper(depth)?;
            if fs::symlink_metadata(&target).is_ok_and(|there| !there.is_dir()) {
                fs::remove_file(&target)?;
            }
            fs::create_dir_all(&target)?;
            copy(&source, &target, depth + 1)?;
            continue;
        }
        // A later layer's entry stands in place of an earlier one's, whatever that was.
        match fs::symlink_metadata(&target) {
            Ok(there) if there.is_dir() => fs::remove_dir_all(&target)?,
            Ok(_) => fs::remove_file(&target)?,
            Err(_) => {}
        }
        if kind.is_symlink() {
            link(&fs::read_link(&source)?, &target)?;
        } else {
            fs::copy(&source, &target)?;
        }
    }
    Ok(())
}

fn deeper(depth: usize) -> std::io::Result<()> {
    if depth < DEEPEST {
        return Ok(());
    }
    Err(std::io::Error::other("its folders are nested too deep"))
}

#[cfg(unix)]
fn link(to: &Path, at: &Path) -> std::io::Result<()> {
    std::os::unix::fs::symlink(to, at)
}

#[cfg(not(unix))]
fn link(_to: &Path, _at: &Path) -> std::io::Result<()> {
    Err(std::io::Error::other("it has symbolic links"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        folder
    }

    #[test]
    fn one_folder_is_used_where_it_lies() {
        let only = layer(&[("python/a.py", "")]);

        let opt = merge(&[only.path().to_owned()], Path::new("/nowhere")).unwrap();

        assert_eq!(opt.as_deref(), Some(only.path()));
        assert!(is_built(only.path()));
        assert_eq!(merge(&[], Path::new("/nowhere")).unwrap(), None);
    }

    #[test]
    fn later_layers_stand_over_earlier_ones() {
        let first = layer(&[
            ("python/a.py", "1"),
            ("python/b.py", "1"),
            ("x/y", "1"),
            ("z", "1"),
        ]);
        let second = layer(&[("python/b.py", "2"), ("x", "2"), ("z/y", "2")]);
        let cache = tempfile::tempdir().unwrap();
        let layers = [first.path().to_owned(), second.path().to_owned()];

        let opt = merge(&layers, cache.path()).unwrap().unwrap();

        let read = |name: &str| fs::read_to_string(opt.join(name)).unwrap();
        assert_eq!(read("python/a.py"), "1");
        assert_eq!(read("python/b.py"), "2");
        assert_eq!(read("x"), "2");
        assert_eq!(read("z/y"), "2");
    }

    #[test]
    fn a_changed_layer_is_put_together_anew() {
        let (first, second) = (layer(&[("a", "1")]), layer(&[("b", "1")]));
        let cache = tempfile::tempdir().unwrap();
        let layers = [first.path().to_owned(), second.path().to_owned()];
        let before = merge(&layers, cache.path()).unwrap().unwrap();
        fs::write(first.path().join("a"), "changed").unwrap();

        let after = merge(&layers, cache.path()).unwrap().unwrap();

        assert_ne!(before, after);
        assert_eq!(fs::read_to_string(after.join("a")).unwrap(), "changed");
    }

    #[test]
    fn a_missing_layer_is_named_with_the_way_out() {
        let complaint = merge(&["/nowhere/layer".into()], Path::new("/nowhere")).unwrap_err();

        assert!(
            complaint.contains("/nowhere/layer does not exist"),
            "{complaint}"
        );
    }

    #[cfg(unix)]
    #[test]
    fn extensions_are_the_executables_of_their_folder() {
        use std::os::unix::fs::PermissionsExt;
        let opt = layer(&[
            ("extensions/b", ""),
            ("extensions/a", ""),
            ("extensions/note.txt", ""),
        ]);
        for name in ["a", "b"] {
            let path = opt.path().join("extensions").join(name);
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
        }

        let found = extensions(opt.path());

        let names: Vec<_> = found.iter().map(|path| path.file_name().unwrap()).collect();
        assert_eq!(names, ["a", "b"]);
    }
}
