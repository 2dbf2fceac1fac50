//! The workspace's Rust files, with comments, literals and test modules blanked out so that the
//! other checks can look for words and count braces. Not a parser: rustfmt's output is assumed.

use std::fs;
use std::path::{Path, PathBuf};

/// One source file: its path inside the repository, its text, and its text with everything that
/// is not production code replaced by spaces (line numbers stay).
pub struct Source {
    pub path: String,
    pub text: String,
    pub code: String,
}

/// The folder which holds the workspace.
pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the tests crate has a parent")
        .into()
}

/// Every `.rs` file that git would track, except build output.
pub fn all() -> Vec<Source> {
    let root = workspace();
    let mut found = Vec::new();
    walk(&root, &mut found);
    assert!(
        found.len() > 20,
        "only {} sources found below {}",
        found.len(),
        root.display()
    );
    found.sort();
    found.iter().map(|path| read(&root, path)).collect()
}

/// True for files that only tests compile: integration tests, `tests.rs` modules, benchmarks.
pub fn is_test_file(path: &str) -> bool {
    path.starts_with("tests/") || path.contains("/tests/") || path.ends_with("/tests.rs")
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a readable folder") {
        let entry = entry.expect("a readable entry");
        let (path, name) = (entry.path(), entry.file_name());
        let hidden = name.to_string_lossy().starts_with('.') || name == "target";
        if path.is_dir() && !hidden && !path.is_symlink() {
            walk(&path, found);
        } else if path.extension().is_some_and(|ext| ext == "rs") {
            found.push(path);
        }
    }
}

fn read(root: &Path, path: &Path) -> Source {
    let text = fs::read_to_string(path).expect("a UTF-8 source");
    let path = path
        .strip_prefix(root)
        .expect("below the root")
        .to_string_lossy()
        .into_owned();
    let code = without_tests(&blank(&text));
    Source { path, text, code }
}

/// Replaces comments and the insides of string and character literals by spaces.
pub fn blank(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = literal_end(bytes, at);
        if end > at {
            for byte in &mut out[at..end] {
                if *byte != b'\n' {
                    *byte = b' ';
                }
            }
            at = end;
        } else {
            at += 1;
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Where the comment or literal that begins at `at` ends, or `at` when none does.
fn literal_end(bytes: &[u8], at: usize) -> usize {
    let rest = &bytes[at..];
    let word_before = at > 0 && (bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_');
    if rest.starts_with(b"//") {
        return at + find(rest, b"\n").unwrap_or(rest.len());
    }
    if rest.starts_with(b"/*") {
        return at + find(rest, b"*/").map_or(rest.len(), |end| end + 2);
    }
    if rest[0] == b'"' {
        return at + quoted(rest);
    }
    if rest[0] == b'r' && !word_before {
        let hashes = rest[1..].iter().take_while(|byte| **byte == b'#').count();
        if rest.get(1 + hashes) == Some(&b'"') {
            let close = format!("\"{}", "#".repeat(hashes));
            let body = &rest[2 + hashes..];
            return at
                + find(body, close.as_bytes())
                    .map_or(rest.len(), |end| 2 + hashes + end + close.len());
        }
    }
    if rest[0] == b'\'' {
        return at + character(rest);
    }
    at
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack
        .windows(needle.len())
        .position(|window| window == needle)
}

fn quoted(rest: &[u8]) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// The length of a character literal, or 0 for a lifetime.
fn character(rest: &[u8]) -> usize {
    if rest.get(1) == Some(&b'\\') {
        return rest[3..]
            .iter()
            .position(|byte| *byte == b'\'')
            .map_or(0, |end| end + 4);
    }
    let width = rest.iter().skip(1).take(5).position(|byte| *byte == b'\'');
    match width {
        Some(width) if width >= 1 && (width == 1 || !rest[1].is_ascii()) => width + 2,
        _ => 0,
    }
}

/// Blanks every item that follows `#[cfg(test)]`.
fn without_tests(code: &str) -> String {
    let mut out = code.to_owned();
    while let Some(start) = out.find("#[cfg(test)]") {
        let rest = &out[start..];
        let semicolon = rest.find(';').unwrap_or(rest.len());
        let end = match rest.find('{') {
            Some(open) if open < semicolon => start + open + block_len(&rest[open..]),
            _ => start + (semicolon + 1).min(rest.len()),
        };
        let blanked: String = out[start..end]
            .chars()
            .map(|c| if c == '\n' { '\n' } else { ' ' })
            .collect();
        out.replace_range(start..end, &blanked);
    }
    out
}

/// The length of the braced block that `code` begins with.
pub fn block_len(code: &str) -> usize {
    let mut depth = 0usize;
    for (at, byte) in code.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at + 1;
        }
    }
    code.len()
}

/// The line number of a byte offset, from 1.
pub fn line_of(code: &str, at: usize) -> usize {
    code[..at].matches('\n').count() + 1
}

#[test]
fn comments_literals_and_tests_are_blanked() {
    let text = "fn a<'x>() { \"} // no\"; '{'; '\\''; r#\"\"}\"#; } // }\n#[cfg(test)]\nmod t { }\nfn b() {}";
    let code = without_tests(&blank(text));
    assert_eq!(code.matches('{').count(), 2, "{code}");
    assert_eq!(code.matches('}').count(), 2, "{code}");
    assert_eq!(code.matches('\n').count(), text.matches('\n').count());
    assert!(!code.contains("mod t"), "{code}");
}
