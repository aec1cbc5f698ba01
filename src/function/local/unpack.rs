//! Zip files of code and layers, unpacked once into the gateway's own folder.
//!
//! An archive may come from anywhere, so nothing in it is trusted: names that leave
//! the folder, links out of it and contents over Lambda's limits are refused, and a
//! folder only gets its name once everything in it is there.
//!
//! Source of the limit: "Lambda quotas", deployment package, unzipped.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{Read, Write};
use std::path::{Component, Path, PathBuf};

use zip::ZipArchive;

/// Largest contents of an archive in bytes: 250 MB unzipped, layers included.
const MOST_BYTES: u64 = 250 * 1024 * 1024;

/// Most entries of an archive; Lambda has no such limit, but 250 MB in empty files would be endless.
const MOST_ENTRIES: usize = 200_000;

/// Longest target of a link in bytes.
const LONGEST_LINK: u64 = 4096;

/// The file type in a Unix mode, and a symbolic link's.
const FILE_TYPE: u32 = 0o170_000;
const LINK: u32 = 0o120_000;

/// The folder with the contents of `archive`, somewhere in `cache`.
///
/// It is unpacked unless that was done already for this file as it is now.
///
/// # Errors
///
/// Why the archive cannot be used, beginning with its path.
pub(super) fn unpack(archive: &Path, cache: &Path) -> Result<PathBuf, String> {
    unpack_within(archive, cache, MOST_BYTES)
}

/// Makes `cache` and what keeps it out of version control.
///
/// # Errors
///
/// Where it cannot be written to.
pub(super) fn make_cache(cache: &Path) -> std::io::Result<()> {
    fs::create_dir_all(cache)?;
    let ignore = cache.join(".gitignore");
    if !ignore.exists() {
        fs::write(ignore, "*\n")?;
    }
    Ok(())
}

/// Moves what was made at `partial` to `target`; another process may have been faster.
///
/// # Errors
///
/// Where `target` is not there afterwards.
pub(super) fn settle(partial: &Path, target: &Path) -> std::io::Result<()> {
    let moved = fs::rename(partial, target);
    if moved.is_err() {
        let _ = fs::remove_dir_all(partial);
        if target.is_dir() {
            return Ok(());
        }
    }
    moved
}

/// A name for a folder that is still being made, which no other process takes.
pub(super) fn partial_of(target: &Path) -> PathBuf {
    target.with_extension(format!("partial-{:016x}", fastrand::u64(..)))
}

fn unpack_within(archive: &Path, cache: &Path, most_bytes: u64) -> Result<PathBuf, String> {
    let wrong = |why: String| format!("{}: {why}", archive.display());
    let metadata = fs::metadata(archive).map_err(|error| wrong(error.to_string()))?;
    let mut hasher = DefaultHasher::new();
    let place = archive.canonicalize();
    place.as_deref().unwrap_or(archive).hash(&mut hasher);
    metadata.len().hash(&mut hasher);
    metadata.modified().ok().hash(&mut hasher);
    let stem = archive.file_stem().unwrap_or_default().to_string_lossy();
    let target = cache
        .join("unpacked")
        .join(format!("{stem}-{:016x}", hasher.finish()));
    if target.is_dir() {
        return Ok(target);
    }
    let partial = partial_of(&target);
    let made = || -> Result<(), String> {
        make_cache(cache)
            .map_err(|error| format!("cannot write to {}: {error}", cache.display()))?;
        fs::create_dir_all(&partial)
            .map_err(|error| format!("cannot write to {}: {error}", partial.display()))?;
        let file = File::open(archive).map_err(|error| error.to_string())?;
        fill(file, &partial, most_bytes)?;
        settle(&partial, &target).map_err(|error| error.to_string())
    };
    made().map_err(|why| {
        let _ = fs::remove_dir_all(&partial);
        wrong(why)
    })?;
    Ok(target)
}

/// Writes the contents of `file` into the empty folder `root`.
fn fill(file: File, root: &Path, most_bytes: u64) -> Result<(), String> {
    let unreadable =
        |error: zip::result::ZipError| format!("it is no zip file that can be read: {error}");
    let mut archive = ZipArchive::new(file).map_err(unreadable)?;
    if archive.len() > MOST_ENTRIES {
        return Err(format!("it has more than {MOST_ENTRIES} entries"));
    }
    let mut left = most_bytes;
    // Links come last, so that nothing is ever written through one.
    let mut links = Vec::new();
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index).map_err(unreadable)?;
        let name = entry.name().map_err(unreadable)?.into_owned();
        let path = inside(&name).ok_or_else(|| format!("its entry {name:?} leaves its folder"))?;
        if path.as_os_str().is_empty() {
            continue;
        }
        let path = root.join(path);
        let failed = |error: std::io::Error| format!("its entry {name:?}: {error}");
        if entry.is_dir() {
            fs::create_dir_all(&path).map_err(failed)?;
            continue;
        }
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(failed)?;
        }
        let mode = entry.unix_mode();
        if mode.is_some_and(|mode| mode & FILE_TYPE == LINK) {
            let mut to = String::new();
            let read = (&mut entry).take(LONGEST_LINK).read_to_string(&mut to);
            read.map_err(failed)?;
            links.push((name, path, to));
            continue;
        }
        let mut out = File::create(&path).map_err(failed)?;
        let copied = std::io::copy(&mut (&mut entry).take(left + 1), &mut out).map_err(failed)?;
        out.flush().map_err(failed)?;
        left = left.checked_sub(copied).ok_or_else(|| {
            format!(
                "it has more than {} MB in it, which is over Lambda's limit",
                most_bytes / 1024 / 1024
            )
        })?;
        if let Some(mode) = mode {
            set_mode(&path, mode).map_err(failed)?;
        }
    }
    make_links(root, &links)
}

/// A name as a path below the archive's folder; `None` where it leads out of it.
fn inside(name: &str) -> Option<PathBuf> {
    if name.contains('\0') || name.contains('\\') {
        return None;
    }
    let mut path = PathBuf::new();
    for part in Path::new(name).components() {
        match part {
            Component::Normal(part) => path.push(part),
            Component::CurDir => {}
            Component::Prefix(_) | Component::RootDir | Component::ParentDir => return None,
        }
    }
    Some(path)
}

#[cfg(unix)]
fn set_mode(path: &Path, mode: u32) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    // Whatever packed it, its owner may read and replace it; no other rights than plain ones.
    fs::set_permissions(path, fs::Permissions::from_mode(mode & 0o755 | 0o600))
}

#[cfg(not(unix))]
fn set_mode(_path: &Path, _mode: u32) -> std::io::Result<()> {
    Ok(())
}

#[cfg(unix)]
fn make_links(root: &Path, links: &[(String, PathBuf, String)]) -> Result<(), String> {
    for (name, path, to) in links {
        if Path::new(to).is_absolute() {
            return Err(format!(
                "its link {name:?} leads to {to:?}, out of its folder"
            ));
        }
        let _ = fs::remove_file(path);
        std::os::unix::fs::symlink(to, path)
            .map_err(|error| format!("its link {name:?}: {error}"))?;
    }
    // Links may lead through links, so only the file system knows where they end.
    let root = root.canonicalize().map_err(|error| error.to_string())?;
    for (name, path, to) in links {
        let ends_inside = path.canonicalize().is_ok_and(|end| end.starts_with(&root));
        if !ends_inside {
            return Err(format!(
                "its link {name:?} leads to {to:?}, which is nothing in its folder"
            ));
        }
    }
    Ok(())
}

#[cfg(not(unix))]
fn make_links(_root: &Path, links: &[(String, PathBuf, String)]) -> Result<(), String> {
    match links.first() {
        None => Ok(()),
        Some((name, ..)) => Err(format!("its entry {name:?} is a symbolic link")),
    }
}

#[cfg(test)]
mod tests {
    use zip::ZipWriter;
    use zip::write::SimpleFileOptions;

    use super::*;

    /// An archive of files (name, contents, mode) and links (name, target).
    fn archive(folder: &Path, files: &[(&str, &[u8], u32)], links: &[(&str, &str)]) -> PathBuf {
        let path = folder.join("code.zip");
        let mut writer = ZipWriter::new(File::create(&path).unwrap());
        for (name, contents, mode) in files {
            let options = SimpleFileOptions::default().unix_permissions(*mode);
            writer.start_file(*name, options).unwrap();
            writer.write_all(contents).unwrap();
        }
        for (name, target) in links {
            writer
                .add_symlink(*name, *target, SimpleFileOptions::default())
                .unwrap();
        }
        writer.finish().unwrap();
        path
    }

    fn complaint(files: &[(&str, &[u8], u32)], links: &[(&str, &str)]) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = archive(folder.path(), files, links);
        let cache = folder.path().join("cache");
        let complaint = unpack_within(&path, &cache, 1000).unwrap_err();
        let left = fs::read_dir(cache.join("unpacked")).unwrap().count();
        assert_eq!(left, 0, "something is left of what was refused");
        assert!(!folder.path().join("evil").exists());
        complaint
    }

    #[test]
    fn files_come_out_as_they_went_in_and_are_unpacked_once() {
        let folder = tempfile::tempdir().unwrap();
        let files: &[(&str, &[u8], u32)] = &[("app.py", b"text", 0o644), ("bin/run", b"#!", 0o755)];
        let path = archive(folder.path(), files, &[("bin/again", "../bin/run")]);
        let cache = folder.path().join("cache");

        let unpacked = unpack(&path, &cache).unwrap();

        assert_eq!(fs::read(unpacked.join("app.py")).unwrap(), b"text");
        assert_eq!(fs::read(unpacked.join("bin/again")).unwrap(), b"#!");
        assert_eq!(fs::read_to_string(cache.join(".gitignore")).unwrap(), "*\n");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = fs::metadata(unpacked.join("bin/run"))
                .unwrap()
                .permissions();
            assert_eq!(mode.mode() & 0o777, 0o755);
        }
        fs::write(unpacked.join("app.py"), "kept").unwrap();
        assert_eq!(unpack(&path, &cache).unwrap(), unpacked);
        assert_eq!(fs::read(unpacked.join("app.py")).unwrap(), b"kept");
    }

    #[test]
    fn what_would_leave_the_folder_is_refused() {
        for name in ["../evil", "a/../../evil", "/evil", "..\\evil"] {
            let complaint = complaint(&[(name, b"x", 0o644)], &[]);
            assert!(
                complaint.contains("leaves its folder"),
                "{name}: {complaint}"
            );
        }
    }

    #[test]
    fn links_out_of_the_folder_are_refused_however_they_get_there() {
        let deep: &[(&str, &[u8], u32)] = &[("p/q/r/file", b"x", 0o644)];
        for links in [
            &[("out", "/etc/passwd")][..],
            &[("out", "../../..")],
            &[("p/q/r/up", "../../.."), ("out", "p/q/r/up/..")],
            &[("nowhere", "missing")],
        ] {
            let complaint = complaint(deep, links);
            assert!(complaint.contains("its link"), "{complaint}");
        }
    }

    #[test]
    fn a_file_cannot_be_written_through_a_link() {
        let complaint = complaint(&[("d/evil", b"x", 0o644)], &[("d", "..")]);

        assert!(complaint.contains("its link"), "{complaint}");
    }

    #[test]
    fn more_than_the_limit_is_refused_though_it_packs_well() {
        let complaint = complaint(&[("a", &[0; 600], 0o644), ("b", &[0; 600], 0o644)], &[]);

        assert!(complaint.contains("over Lambda's limit"), "{complaint}");
    }

    #[test]
    fn what_is_no_archive_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("code.zip");
        fs::write(&path, "text").unwrap();

        let complaint = unpack(&path, &folder.path().join("cache")).unwrap_err();

        assert!(complaint.contains("no zip file"), "{complaint}");
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300)) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("code.zip");
            fs::write(&path, &bytes).unwrap();
            let _ = unpack(&path, &folder.path().join("cache"));
        }

        #[test]
        fn a_name_stays_inside_or_is_refused(name in "[./a\\\\]{0,12}") {
            if let Some(path) = inside(&name) {
                proptest::prop_assert!(path.is_relative());
                proptest::prop_assert!(path.components().all(|part| matches!(part, Component::Normal(_))));
            }
        }
    }
}
