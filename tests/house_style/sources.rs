//! The repository's files, as the checks read them.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Directories that hold nothing of ours.
const FOREIGN: [&str; 3] = ["target", "node_modules", "data"];

/// A file of the repository.
pub struct Source {
    /// Relative to the repository's root, with `/`.
    pub path: String,
    /// All of it.
    pub text: String,
}

impl Source {
    /// Its lines, from 1.
    pub fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        (1..).zip(self.text.lines())
    }

    /// The crate that it belongs to: a folder, or `hissaback` for the root's.
    pub fn crate_name(&self) -> &str {
        match self.path.split_once('/') {
            Some(("src" | "tests" | "benches", _)) | None => "hissaback",
            Some((folder, _)) => folder,
        }
    }
}

/// The root of the repository.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every file whose name ends so, in the order of its path.
pub fn files(ending: &str) -> Vec<Source> {
    let mut paths = Vec::new();
    collect(root(), ending, &mut paths);
    paths.sort();
    assert!(
        paths.len() > 5,
        "only {} files end with {ending}",
        paths.len()
    );
    paths
        .into_iter()
        .map(|path| {
            let relative = path
                .strip_prefix(root())
                .expect("it was found under the root");
            Source {
                text: fs::read_to_string(&path).expect("a file of the repository is text"),
                path: relative
                    .to_str()
                    .expect("our paths are UTF-8")
                    .replace('\\', "/"),
            }
        })
        .collect()
}

fn collect(directory: &Path, ending: &str, paths: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("a directory of the repository") {
        let path = entry.expect("an entry").path();
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        if path.is_dir() {
            // A hidden directory is a tool's; so is one that says that it holds a cache.
            let foreign = name.starts_with('.')
                || FOREIGN.contains(&name)
                || path.join("CACHEDIR.TAG").exists();
            if !foreign {
                collect(&path, ending, paths);
            }
        } else if name.ends_with(ending) {
            paths.push(path);
        }
    }
}

/// A line without its comment, and with its text literals emptied.
pub fn code(line: &str) -> String {
    let mut code = String::with_capacity(line.len());
    let mut characters = line.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '/' if characters.peek() == Some(&'/') => break,
            // A quotation mark as a character isn't the beginning of a text.
            '\'' if characters.peek() == Some(&'"') => {
                characters.by_ref().take(2).for_each(drop);
                code.push_str("' '");
            }
            '"' => {
                code.push_str("\"\"");
                while let Some(inside) = characters.next() {
                    match inside {
                        '\\' => drop(characters.next()),
                        '"' => break,
                        _ => {}
                    }
                }
            }
            _ => code.push(character),
        }
    }
    code
}

/// Fails with every finding, if there are any.
pub fn expect_none(rule: &str, findings: &[String]) {
    assert!(findings.is_empty(), "{rule}:\n  {}", findings.join("\n  "));
}

#[test]
fn comments_and_literals_are_no_code() {
    assert_eq!(code(r#"let a = "b // c"; // d"#), r#"let a = ""; "#);
    assert_eq!(code(r#"f('"', "\"", x)"#), r#"f(' ', "", x)"#);
}
