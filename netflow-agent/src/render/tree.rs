//! A document with comments, and its two spellings. In: maps in the order they shall stand, lists, scalars.
//! Out: YAML that kubectl reads back unchanged, or JSON. Every string that is not a plain word is quoted.

use std::io::{self, Write};

/// A part of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tree {
    Map(Vec<(String, Tree)>),
    List(Vec<Item>),
    Text(String),
    Number(u32),
}

/// A list's item and what is said above it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    pub comments: Vec<String>,
    pub tree: Tree,
}

impl Tree {
    pub fn map<const N: usize>(entries: [(&str, Self); N]) -> Self {
        Self::Map(entries.into_iter().map(|(key, tree)| (key.to_owned(), tree)).collect())
    }

    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    pub fn list(items: impl IntoIterator<Item = Self>) -> Self {
        Self::List(items.into_iter().map(|tree| Item { comments: Vec::new(), tree }).collect())
    }

    fn is_empty(&self) -> bool {
        match self {
            Self::Map(entries) => entries.is_empty(),
            Self::List(items) => items.is_empty(),
            Self::Text(_) | Self::Number(_) => false,
        }
    }
}

/// One YAML document, without `---`.
pub fn yaml(tree: &Tree, out: &mut dyn Write) -> io::Result<()> {
    match tree {
        Tree::Map(entries) if !entries.is_empty() => block_map(entries, 0, false, out),
        Tree::List(items) if !items.is_empty() => block_list(items, 0, out),
        _ => {
            inline(tree, out)?;
            out.write_all(b"\n")
        }
    }
}

fn indent(depth: usize, out: &mut dyn Write) -> io::Result<()> {
    (0..depth).try_for_each(|_| out.write_all(b"  "))
}

/// `started`: the first line's indentation is there already (after `- `).
fn block_map(entries: &[(String, Tree)], depth: usize, started: bool, out: &mut dyn Write) -> io::Result<()> {
    for (at, (key, tree)) in entries.iter().enumerate() {
        if at > 0 || !started {
            indent(depth, out)?;
        }
        scalar(key, out)?;
        out.write_all(b":")?;
        match tree {
            Tree::Map(inner) if !inner.is_empty() => {
                out.write_all(b"\n")?;
                block_map(inner, depth + 1, false, out)?;
            }
            Tree::List(items) if !items.is_empty() => {
                out.write_all(b"\n")?;
                block_list(items, depth, out)?;
            }
            _ => {
                out.write_all(b" ")?;
                inline(tree, out)?;
                out.write_all(b"\n")?;
            }
        }
    }
    Ok(())
}

fn block_list(items: &[Item], depth: usize, out: &mut dyn Write) -> io::Result<()> {
    for item in items {
        for line in &item.comments {
            indent(depth, out)?;
            comment(line, out)?;
        }
        indent(depth, out)?;
        out.write_all(b"- ")?;
        match &item.tree {
            Tree::Map(entries) if !entries.is_empty() => block_map(entries, depth + 1, true, out)?,
            tree => {
                inline(tree, out)?;
                out.write_all(b"\n")?;
            }
        }
    }
    Ok(())
}

/// Scalars, empty collections, and lists within lists.
fn inline(tree: &Tree, out: &mut dyn Write) -> io::Result<()> {
    match tree {
        Tree::Text(text) => scalar(text, out),
        Tree::Number(number) => write!(out, "{number}"),
        Tree::Map(_) if tree.is_empty() => out.write_all(b"{}"),
        Tree::Map(_) | Tree::List(_) => json(tree, out),
    }
}

/// One comment line, whatever the text holds.
pub fn comment(text: &str, out: &mut dyn Write) -> io::Result<()> {
    let clean: String = text.chars().map(|letter| if breaks_a_line(letter) { ' ' } else { letter }).collect();
    writeln!(out, "# {clean}")
}

/// Ends a line or a comment for some YAML reader, or is not printable at all.
fn breaks_a_line(letter: char) -> bool {
    letter.is_control() || matches!(letter, '\u{85}' | '\u{2028}' | '\u{2029}' | '\u{feff}')
}

fn scalar(text: &str, out: &mut dyn Write) -> io::Result<()> {
    if is_plain(text) { out.write_all(text.as_bytes()) } else { quoted(text, out) }
}

/// Words that some YAML reader takes for something else than text.
const NOT_TEXT: [&str; 11] = ["y", "yes", "n", "no", "on", "off", "true", "false", "null", "nan", "inf"];

/// A word of letters, figures and `-._/` that begins with a letter, or is a CIDR, and is no word of YAML's own.
fn is_plain(text: &str) -> bool {
    let bytes = text.as_bytes();
    let safe = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'/');
    // A CIDR begins with a figure and is no number for any reader.
    let begins =
        |first: &u8| first.is_ascii_alphabetic() || (first.is_ascii_digit() && bytes.contains(&b'/'));
    bytes.first().is_some_and(begins)
        && bytes.iter().all(safe)
        && !NOT_TEXT.iter().any(|word| text.eq_ignore_ascii_case(word))
}

/// Double quotes with JSON's escapes, which YAML shares; anything unprintable as `\u`.
fn quoted(text: &str, out: &mut dyn Write) -> io::Result<()> {
    out.write_all(b"\"")?;
    for letter in text.chars() {
        match letter {
            '"' => out.write_all(b"\\\"")?,
            '\\' => out.write_all(b"\\\\")?,
            '\n' => out.write_all(b"\\n")?,
            '\t' => out.write_all(b"\\t")?,
            letter if breaks_a_line(letter) => write!(out, "\\u{:04x}", u32::from(letter))?,
            letter => write!(out, "{letter}")?,
        }
    }
    out.write_all(b"\"")
}

/// JSON on one line.
pub fn json(tree: &Tree, out: &mut dyn Write) -> io::Result<()> {
    let separator = |at: usize, out: &mut dyn Write| if at > 0 { out.write_all(b",") } else { Ok(()) };
    match tree {
        Tree::Text(text) => quoted(text, out),
        Tree::Number(number) => write!(out, "{number}"),
        Tree::Map(entries) => {
            out.write_all(b"{")?;
            for (at, (key, tree)) in entries.iter().enumerate() {
                separator(at, out)?;
                quoted(key, out)?;
                out.write_all(b":")?;
                json(tree, out)?;
            }
            out.write_all(b"}")
        }
        Tree::List(items) => {
            out.write_all(b"[")?;
            for (at, item) in items.iter().enumerate() {
                separator(at, out)?;
                json(&item.tree, out)?;
            }
            out.write_all(b"]")
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn written(tree: &Tree) -> String {
        let mut out = Vec::new();
        yaml(tree, &mut out).expect("a buffer takes all");
        String::from_utf8(out).expect("UTF-8")
    }

    /// Label values that other emitters write as something else, and worse.
    const HOSTILE: &[&str] = &[
        "",
        "yes",
        "No",
        "on",
        "OFF",
        "y",
        "n",
        "1e3",
        "0x10",
        "null",
        "~",
        "012",
        "1_000",
        "true",
        "1.5",
        ".inf",
        "-",
        "--- a",
        "a: b",
        "a #b",
        "{a}",
        "[a]",
        "*a",
        "&a",
        "!a",
        "'a'",
        "\"a\"",
        "a\nb",
        "a\\b",
        "é",
        "\u{85}",
        "\u{2028}",
        "\u{feff}",
        "NaN",
        "1:30",
        "2026-11-20",
        "=",
        "<<",
        "?",
        "@a",
        "`a`",
        "%a",
        " a ",
        "\u{0}",
        "e3",
        "1/2",
        "10.0.0.0/8",
    ];

    #[test]
    fn hostile_strings_come_back_unchanged() {
        let entries: Vec<(String, Tree)> =
            HOSTILE.iter().enumerate().map(|(at, text)| (format!("k{at}"), Tree::text(*text))).collect();
        let text = written(&Tree::Map(entries));
        let back: BTreeMap<String, serde_json::Value> = serde_saphyr::from_str(&text).expect("YAML");
        for (at, expected) in HOSTILE.iter().enumerate() {
            assert_eq!(back[&format!("k{at}")], serde_json::Value::from(*expected), "{text}");
        }
        let keys: Vec<(String, Tree)> =
            HOSTILE.iter().map(|text| ((*text).to_owned(), Tree::Number(1))).collect();
        let mut out = Vec::new();
        json(&Tree::Map(keys), &mut out).expect("a buffer takes all");
        let back: BTreeMap<String, u32> = serde_json::from_slice(&out).expect("JSON");
        assert_eq!(back.len(), HOSTILE.len());
    }

    #[test]
    fn the_block_style_is_kubectls() {
        let item = Item {
            comments: vec!["why\nnot".into()],
            tree: Tree::map([("port", Tree::Number(80)), ("to", Tree::list([Tree::text("a")]))]),
        };
        let tree = Tree::map([(
            "spec",
            Tree::map([("rules", Tree::List(vec![item])), ("none", Tree::Map(vec![]))]),
        )]);
        assert_eq!(
            written(&tree),
            "spec:\n  rules:\n  # why not\n  - port: 80\n    to:\n    - a\n  none: {}\n"
        );
    }
}
