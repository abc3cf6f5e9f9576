//! Names, label keys and values, and port names, as the API server spells its rules.

use crate::manifest::convert::clip;

const NAME: &str = "lower-case letters, digits, `-` and `.`, beginning and ending with a letter or digit";

fn is_alphanumeric(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit()
}

/// Letters, digits and hyphens, none at an edge.
fn is_label(text: &str) -> bool {
    let bytes = text.as_bytes();
    let edges = bytes.first().zip(bytes.last());
    edges.is_some_and(|(&first, &last)| is_alphanumeric(first) && is_alphanumeric(last))
        && bytes.iter().all(|&byte| is_alphanumeric(byte) || byte == b'-')
}

/// A DNS subdomain of at most 253 characters.
pub(super) fn subdomain(text: &str) -> Result<(), String> {
    match text {
        "" => Err("empty: a name is needed".to_owned()),
        _ if text.len() > 253 => Err(format!("{} characters: at most 253", text.len())),
        _ if text.split('.').all(is_label) => Ok(()),
        _ => Err(format!("`{}` is no name: {NAME}", clip(text))),
    }
}

/// Absent, where the server makes one up.
pub(super) fn subdomain_or_none(text: &str) -> Result<(), String> {
    if text.is_empty() { Ok(()) } else { subdomain(text) }
}

/// A DNS label of at most 63 characters.
pub(super) fn label(text: &str) -> Result<(), String> {
    match text {
        "" => Err("empty: a name is needed".to_owned()),
        _ if text.len() > 63 => Err(format!("{} characters: at most 63", text.len())),
        _ if is_label(text) => Ok(()),
        _ => Err(format!(
            "`{}` is no name: lower-case letters, digits and `-`, beginning and ending with a letter or digit",
            clip(text)
        )),
    }
}

/// Letters of both cases, digits, `-`, `_` and `.`, none of the three at an edge.
fn is_qualified(text: &str) -> bool {
    let bytes = text.as_bytes();
    let edges = bytes.first().zip(bytes.last());
    edges.is_some_and(|(first, last)| first.is_ascii_alphanumeric() && last.is_ascii_alphanumeric())
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}

/// A label key: an optional DNS prefix and a slash, then at most 63 characters.
pub(super) fn key(text: &str) -> Result<(), String> {
    let (prefix, name) = match text.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, text),
    };
    if prefix.is_some_and(|prefix| subdomain(prefix).is_err()) {
        return Err(format!("`{}` is no label key: what stands before `/` is a DNS name", clip(text)));
    }
    if name.len() > 63 {
        return Err(format!("the key `{}` has {} characters: at most 63", clip(name), name.len()));
    }
    if is_qualified(name) {
        return Ok(());
    }
    Err(format!(
        "`{}` is no label key: letters, digits, `-`, `_` and `.`, beginning and ending with a letter or digit",
        clip(text)
    ))
}

/// A label value: at most 63 characters, or empty.
pub(super) fn value(text: &str) -> Result<(), String> {
    match text {
        "" => Ok(()),
        _ if text.len() > 63 => Err(format!("{} characters: a label's value has at most 63", text.len())),
        _ if is_qualified(text) => Ok(()),
        _ => Err(format!(
            "`{}` is no label value: letters, digits, `-`, `_` and `.`, beginning and ending with a letter or \
             digit",
            clip(text)
        )),
    }
}

/// An IANA service name.
pub(super) fn port(text: &str) -> Result<(), String> {
    let reason = if text.len() > 15 {
        "at most 15 characters"
    } else if !is_label(text) {
        "lower-case letters, digits and `-`, beginning and ending with a letter or digit"
    } else if text.contains("--") {
        "no two `-` in a row"
    } else if !text.bytes().any(|byte| byte.is_ascii_lowercase()) {
        "at least one letter; a number is written without quotes"
    } else {
        return Ok(());
    };
    Err(format!("`{}` is no port name: {reason}", clip(text)))
}
