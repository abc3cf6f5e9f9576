//! `--sensitive`: a label selector as `kubectl -l` takes it. In: `app=db,tier in (a, b),!canary`. Out: the
//! selector, or what is wrong with the text.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};

/// An empty text would be every pod: it selects nothing in particular, and is refused.
pub fn parse(text: &str) -> Result<LabelSelector, String> {
    let mut requirements = Vec::new();
    for part in parts(text)? {
        requirements.push(requirement(part.trim())?);
    }
    Ok(LabelSelector { match_expressions: Some(requirements), ..LabelSelector::default() })
}

/// Split at commas that are not within parentheses.
fn parts(text: &str) -> Result<Vec<&str>, String> {
    let (mut parts, mut from, mut inside) = (Vec::new(), 0, false);
    for (at, c) in text.char_indices() {
        match c {
            '(' | ')' if inside == (c == '(') => return Err(format!("`{text}`: unmatched `{c}`")),
            '(' | ')' => inside = !inside,
            ',' if !inside => {
                parts.push(&text[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    if inside {
        return Err(format!("`{text}`: `(` without its `)`"));
    }
    parts.push(&text[from..]);
    Ok(parts)
}

fn requirement(text: &str) -> Result<LabelSelectorRequirement, String> {
    let no_selector = || {
        format!(
            "`{text}` is no selector: use key=value, key!=value, key in (a, b), key notin (a, b), key or !key"
        )
    };
    let made = |key: &str, operator: &str, values: Option<Vec<String>>| {
        let key = key.trim();
        let sound = !key.is_empty() && !key.contains(|c: char| c.is_whitespace() || "=!()".contains(c));
        let requirement =
            LabelSelectorRequirement { key: key.to_owned(), operator: operator.to_owned(), values };
        if sound { Ok(requirement) } else { Err(no_selector()) }
    };
    let value = |value: &str| {
        let value = value.trim();
        if value.contains(|c: char| c.is_whitespace() || "=!()".contains(c)) {
            Err(no_selector())
        } else {
            Ok(value.to_owned())
        }
    };
    if let Some(rest) = text.strip_suffix(')') {
        let (head, values) = rest.split_once('(').ok_or_else(no_selector)?;
        let values = values.split(',').map(value).collect::<Result<Vec<_>, _>>()?;
        let (key, operator) = match head.trim().rsplit_once(char::is_whitespace) {
            Some((key, "in")) => (key, "In"),
            Some((key, "notin")) => (key, "NotIn"),
            _ => return Err(no_selector()),
        };
        return made(key, operator, Some(values));
    }
    if let Some((key, right)) = text.split_once("!=") {
        return made(key, "NotIn", Some(vec![value(right)?]));
    }
    if let Some((key, right)) = text.split_once('=') {
        let right = right.strip_prefix('=').unwrap_or(right);
        return made(key, "In", Some(vec![value(right)?]));
    }
    match text.strip_prefix('!') {
        Some(key) => made(key, "DoesNotExist", None),
        None => made(text, "Exists", None),
    }
}

#[cfg(test)]
mod tests {
    use super::parse;
    use crate::audit::scene::words;

    #[test]
    fn a_selector_is_read_as_kubectl_reads_it() {
        for (text, expected) in [
            ("app=db", Ok("app in (db)")),
            ("app == db", Ok("app in (db)")),
            ("app=db,tier!=web", Ok("app in (db),tier notin (web)")),
            ("tier in (a, b),app", Ok("tier in (a,b),app")),
            ("tier notin (a),!canary", Ok("tier notin (a),!canary")),
            ("example.com/team=", Ok("example.com/team in ()")),
            ("", Err("`` is no selector")),
            ("app=db,", Err("`` is no selector")),
            ("=db", Err("`=db` is no selector")),
            ("app=a=b", Err("`app=a=b` is no selector")),
            ("app in a", Err("`app in a` is no selector")),
            ("app within (a)", Err("`app within (a)` is no selector")),
            ("app in (a", Err("`app in (a`: `(` without its `)`")),
            ("app in a)", Err("`app in a)`: unmatched `)`")),
        ] {
            let found = parse(text).map(|selector| words(&selector));
            match (found, expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{text:?}"),
                (Err(found), Err(expected)) => assert!(found.starts_with(expected), "{text:?}: {found}"),
                (found, expected) => panic!("{text:?}: {found:?}, not {expected:?}"),
            }
        }
    }
}
