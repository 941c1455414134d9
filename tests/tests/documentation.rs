//! Each public item of the driver is in an example that is compiled: rustdoc's own lint for it wants a nightly compiler.
#![allow(
    clippy::unwrap_used,
    reason = "in tests a panic is the point; clippy.toml covers only test functions"
)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// A public item and where it is.
struct Item {
    name: String,
    place: String,
    has_example: bool,
}

/// What the documentation of one file holds.
#[derive(Default)]
struct Documentation {
    items: Vec<Item>,
    // The words of all examples.
    words: BTreeSet<String>,
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => files.extend(sources(&path)),
            false if path.file_name().is_some_and(|name| name == "tests.rs") => {}
            false => files.push(path),
        }
    }
    files.sort();
    files
}

/// The name of the item that a line declares for everybody.
fn public_item(line: &str) -> Option<&str> {
    let declaration = line.strip_prefix("pub ")?;
    let declaration = ["const ", "async ", "unsafe "].into_iter().fold(declaration, |rest, word| {
        rest.strip_prefix(word).filter(|rest| rest.contains("fn ")).unwrap_or(rest)
    });
    let (kind, rest) = declaration.split_once(' ')?;
    ["fn", "struct", "enum", "trait", "type", "const", "static"].contains(&kind).then_some(())?;
    rest.split(|letter: char| !letter.is_alphanumeric() && letter != '_').next()
}

fn read(source: &str, place: &str, documentation: &mut Documentation) {
    let (mut is_example, mut has_example, mut is_hidden) = (false, false, false);
    // Where the tests begin the items end.
    let end = source
        .find("#[cfg(test)]\nmod tests")
        .or_else(|| source.find("#[cfg(all(test"))
        .unwrap_or(source.len());
    // What is in a private module is not seen, as what seals a trait.
    let mut is_private = false;
    for (number, line) in source[..end].lines().enumerate() {
        let trimmed = line.trim();
        if let Some(text) = trimmed.strip_prefix("///").or_else(|| trimmed.strip_prefix("//!")) {
            if let Some(fence) = text.trim().strip_prefix("```") {
                is_example = !is_example && !fence.contains("ignore") && !fence.contains("text");
                has_example |= is_example;
            } else if is_example {
                let code = text.split("//").next().unwrap_or_default();
                let words = code.split(|letter: char| !letter.is_alphanumeric() && letter != '_');
                documentation.words.extend(words.map(str::to_owned));
            }
            continue;
        }
        is_private |= line.starts_with("mod ") && line.ends_with('{');
        is_private &= line != "}";
        if trimmed.starts_with("#[") {
            is_hidden |= trimmed.contains("doc(hidden)");
            continue;
        }
        if let Some(name) = public_item(trimmed)
            && !is_hidden
            && !is_private
        {
            let place = format!("{place}:{}", number + 1);
            documentation.items.push(Item { name: name.to_owned(), place, has_example });
        }
        // An attribute of several lines ends with one of these.
        if !matches!(trimmed, ")]" | "))]") && !trimmed.starts_with("all(") {
            (has_example, is_hidden) = (false, false);
        }
    }
}

#[test]
fn each_public_item_of_the_driver_is_in_an_example() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut documentation = Documentation::default();
    for path in sources(&root.join("src")) {
        let place = path.strip_prefix(root).unwrap().display().to_string();
        read(&std::fs::read_to_string(&path).unwrap(), &place, &mut documentation);
    }
    let Documentation { items, words } = documentation;
    assert!(items.len() > 100, "only {} items were found", items.len());
    let missing: Vec<String> = items
        .iter()
        .filter(|item| !item.has_example && !words.contains(&item.name))
        .map(|item| format!("{} {}", item.place, item.name))
        .collect();
    assert!(missing.is_empty(), "no example shows\n  {}", missing.join("\n  "));
}

#[test]
fn an_item_without_an_example_is_found() {
    let source = "/// It does.\n///\n/// ```\n/// shown(1); // hidden\n/// ```\npub fn first() {}\n\n/// Nothing.\npub async fn \
        hidden() {}\n/// Used above.\npub const fn shown() {}\n#[doc(hidden)]\npub struct Secret;\npub(crate) fn own() {}\n";
    let mut documentation = Documentation::default();
    read(source, "a.rs", &mut documentation);
    let found: Vec<(&str, bool, bool)> = documentation
        .items
        .iter()
        .map(|item| (item.name.as_str(), item.has_example, documentation.words.contains(&item.name)))
        .collect();
    assert_eq!(found, [("first", true, false), ("hidden", false, false), ("shown", false, true)]);
}
