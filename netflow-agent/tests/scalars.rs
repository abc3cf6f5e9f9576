//! Label values that YAML readers take for something else. kubectl reads with go-yaml, which resolves plain
//! scalars by the rules of YAML 1.1: whatever these rules would make a bool, a null, a number or a time of is
//! written in quotes, and comes back as the text that it was.

use std::collections::BTreeSet;

use netflow_agent::render::tree::{Tree, yaml};

fn written(text: &str) -> String {
    let mut out = Vec::new();
    yaml(&Tree::text(text), &mut out).expect("a buffer takes all");
    String::from_utf8(out).expect("UTF-8").trim_end().to_owned()
}

/// What go-yaml v2 (under sigs.k8s.io/yaml) makes of a plain scalar, and what the YAML 1.1 types make of it:
/// `resolve.go`, and yaml.org/type.
fn is_more_than_text(plain: &str) -> bool {
    let words = ["y", "yes", "on", "true", "n", "no", "off", "false", "null"];
    let cased = |word: &str| {
        let mut first = word[..1].to_uppercase();
        first.push_str(&word[1..]);
        [word.to_owned(), first, word.to_uppercase()]
    };
    if ["", "~", "<<", "="].contains(&plain)
        || words.iter().any(|word| cased(word).contains(&plain.to_owned()))
    {
        return true;
    }
    let unsigned = plain.trim_start_matches(['+', '-']);
    if [".nan", ".NaN", ".NAN", ".inf", ".Inf", ".INF"].contains(&unsigned) {
        return true;
    }
    // Underscores are allowed in numbers; a colon makes one of base 60, dashes a date.
    let digits = unsigned.replace('_', "");
    let all = |text: &str, radix: u32| !text.is_empty() && text.chars().all(|letter| letter.is_digit(radix));
    let radix = [("0x", 16), ("0X", 16), ("0b", 2), ("0B", 2), ("0o", 8), ("0O", 8)];
    let integer =
        radix.iter().any(|(prefix, radix)| digits.strip_prefix(prefix).is_some_and(|rest| all(rest, *radix)));
    let parts = |by: char| digits.contains(by) && digits.split(by).all(|part| all(part, 10));
    integer || is_float(&digits) || parts(':') || (parts('-') && digits.split('-').count() == 3)
}

/// `[0-9]*\.?[0-9]*([eE][-+]?[0-9]+)?` with a figure in front of the exponent.
fn is_float(text: &str) -> bool {
    let (number, exponent) = match text.split_once(['e', 'E']) {
        Some((number, exponent)) => (number, Some(exponent.trim_start_matches(['+', '-']))),
        None => (text, None),
    };
    let figures = |text: &str| text.chars().all(|letter| letter.is_ascii_digit());
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    figures(whole)
        && figures(part)
        && !(whole.is_empty() && part.is_empty())
        && exponent.is_none_or(|exponent| !exponent.is_empty() && figures(exponent))
}

fn comes_back(text: &str) -> bool {
    let line = written(text);
    let quoted = line.starts_with('"') && line.ends_with('"') && line.len() >= 2;
    if !quoted && (line != text || is_more_than_text(text)) {
        return false;
    }
    serde_saphyr::from_str::<String>(&line).is_ok_and(|back| back == text)
}

#[test]
fn what_yaml_takes_for_something_else_is_quoted() {
    for (text, more) in [
        ("yes", true),
        ("on", true),
        ("off", true),
        ("1e3", true),
        ("012", true),
        ("null", true),
        ("~", true),
        ("", true),
        ("y", true),
        ("N", true),
        ("0x1F", true),
        ("1_000", true),
        ("0b11", true),
        ("0o7", true),
        ("1.", true),
        (".5", true),
        ("-1", true),
        ("+.inf", true),
        ("190:20:30", true),
        ("2026-11-20", true),
        ("web", false),
        ("v1.2", false),
        ("e3", false),
        ("1.2.3", false),
        ("0xg", false),
        ("1e", false),
        ("no1", false),
    ] {
        assert_eq!(is_more_than_text(text), more, "{text}");
        assert!(comes_back(text), "{text:?} is written {}", written(text));
    }
}

#[test]
fn every_short_text_comes_back() {
    let letters: Vec<char> = "0179aefinoyxNYE._-+~:".chars().collect();
    let mut texts = vec![String::new()];
    let (mut checked, mut ambiguous) = (0_usize, 0_usize);
    for _ in 0..=4 {
        for text in &texts {
            checked += 1;
            ambiguous += usize::from(is_more_than_text(text));
            assert!(comes_back(text), "{text:?} is written {}", written(text));
        }
        texts = texts
            .iter()
            .filter(|text| text.len() < 4)
            .flat_map(|text| letters.iter().map(move |letter| format!("{text}{letter}")))
            .collect();
    }
    println!("{checked} texts, {ambiguous} of them more than text to YAML");
    assert!(checked > 200_000 && ambiguous > 3_000, "{checked} {ambiguous}");
}

#[test]
fn every_spelling_of_a_word_comes_back() {
    let mut seen = BTreeSet::new();
    for word in ["y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf", "infinity"] {
        for case in 0..1_u32 << word.len() {
            let letters = word.chars().enumerate();
            let spelled: String = letters
                .map(|(at, letter)| if case >> at & 1 == 1 { letter.to_ascii_uppercase() } else { letter })
                .collect();
            assert!(comes_back(&spelled), "{spelled:?} is written {}", written(&spelled));
            seen.insert(spelled);
        }
    }
    assert!(seen.contains("yEs") && seen.len() > 350);
}
