//! The rooms keep their one direction: each uses the ones above it in the list, none below.

use std::path::Path;

/// The rooms in the order of the plan in `lib.rs`.
const ROOMS: [&str; 18] = [
    "base",
    "source",
    "model",
    "language",
    "observe",
    "store",
    "definition",
    "event",
    "http_client",
    "function",
    "limit",
    "auth",
    "integration",
    "plan",
    "gateway",
    "admin",
    "server",
    "cli",
];

fn walk(folder: &Path, visit: &mut impl FnMut(&Path, &str)) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            walk(&path, visit);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            visit(&path, &std::fs::read_to_string(&path).unwrap());
        }
    }
}

/// The rooms that a file names by `crate::ROOM`, grouped imports included.
fn used_rooms(text: &str) -> Vec<String> {
    let mut used = Vec::new();
    for (at, _) in text.match_indices("crate::") {
        let rest = &text[at + "crate::".len()..];
        let first = rest.strip_prefix('{').unwrap_or(rest);
        let name: String = first
            .chars()
            .take_while(|c| c.is_alphanumeric() || *c == '_')
            .collect();
        assert!(
            !rest.starts_with('{'),
            "`use crate::{{…}}` hides the rooms it uses; write one `use` a room"
        );
        used.push(name);
    }
    used
}

#[test]
fn each_room_uses_only_rooms_above_it() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let place = |room: &str| ROOMS.iter().position(|known| *known == room);
    let mut wrong = Vec::new();
    let mut seen = 0;

    walk(&source, &mut |path, text| {
        let relative = path.strip_prefix(&source).unwrap();
        let room = relative
            .components()
            .next()
            .unwrap()
            .as_os_str()
            .to_str()
            .unwrap();
        let Some(own) = place(room) else { return };
        for used in used_rooms(text) {
            let Some(other) = place(&used) else { continue };
            seen += 1;
            if other > own {
                wrong.push(format!("{} uses {used}", relative.display()));
            }
        }
    });

    assert!(
        seen > 50,
        "only {seen} uses were found: the test reads the wrong thing"
    );
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_folder_of_the_source_is_a_room_of_the_list() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for entry in std::fs::read_dir(source).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            assert!(
                ROOMS.contains(&name.as_str()),
                "src/{name} is not in the list of rooms"
            );
        }
    }
}
