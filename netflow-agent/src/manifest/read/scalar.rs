//! Plain scalars as kubectl reads them: the YAML 1.1 of its Go library, where `yes` is a boolean, `012` is
//! ten and `1_000` is a thousand. Quoted scalars never come here.

use super::node::Value;

/// What a plain scalar means; None: its text.
pub(super) fn resolve(text: &str) -> Option<Value<'static>> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Some(Value::Null),
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            return Some(Value::Bool(true));
        }
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            return Some(Value::Bool(false));
        }
        ".nan" | ".NaN" | ".NAN" => return Some(Value::Float(f64::NAN)),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => return Some(Value::Float(f64::INFINITY)),
        "-.inf" | "-.Inf" | "-.INF" => return Some(Value::Float(f64::NEG_INFINITY)),
        _ => {}
    }
    if !text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.')) {
        return None;
    }
    if text.starts_with('.') {
        return is_float(text).then(|| float(text)).flatten();
    }
    let plain = text.replace('_', "");
    integer(&plain).or_else(|| is_float(&plain).then(|| float(&plain)).flatten())
}

/// Go's `ParseInt` with base 0: `0x`, `0o`, `0b`, and a leading 0 for octal.
fn integer(text: &str) -> Option<Value<'static>> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let (radix, digits) = match digits.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, &digits[2..]),
        [b'0', b'o' | b'O', ..] => (8, &digits[2..]),
        [b'0', b'b' | b'B', ..] => (2, &digits[2..]),
        [b'0', _, ..] => (8, &digits[1..]),
        _ => (10, digits),
    };
    // `from_str_radix` takes a sign of its own; Go does not.
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return None;
    }
    let magnitude = i128::from(u64::from_str_radix(digits, radix).ok()?);
    let value = if negative { -magnitude } else { magnitude };
    match i64::try_from(value) {
        Ok(value) => Some(Value::Integer(value)),
        Err(_) if negative => None,
        // No field of Kubernetes takes one; it only must not be mistaken for text.
        Err(_) => float(&magnitude.to_string()),
    }
}

/// `^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$`
fn is_float(text: &str) -> bool {
    let rest = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (mantissa, exponent) = match rest.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (rest, None),
    };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let whole = match mantissa.split_once('.') {
        Some(("", fraction)) => digits(fraction),
        Some((whole, fraction)) => digits(whole) && (fraction.is_empty() || digits(fraction)),
        None => digits(mantissa),
    };
    whole && exponent.is_none_or(|exponent| digits(exponent.strip_prefix(['-', '+']).unwrap_or(exponent)))
}

/// A whole number becomes an integer: JSON writes `80.0` as `80`.
fn float(text: &str) -> Option<Value<'static>> {
    text.parse().ok().map(number)
}

/// The value of a number that was read as a float.
pub(super) fn number(value: f64) -> Value<'static> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if value.fract() == 0.0 && value.abs() < EXACT {
        #[expect(clippy::cast_possible_truncation, reason = "whole and below 2^53")]
        return Value::Integer(value as i64);
    }
    Value::Float(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each row as `kubectl annotate --local -o json` 1.32 printed it.
    #[test]
    fn plain_scalars_mean_what_kubectl_reads() {
        for (text, expected) in [
            ("012", Some(Value::Integer(10))),
            ("08", Some(Value::Integer(8))),
            ("1_000", Some(Value::Integer(1000))),
            ("1e3", Some(Value::Integer(1000))),
            ("12e03", Some(Value::Integer(12_000))),
            ("0o17", Some(Value::Integer(15))),
            ("0b11", Some(Value::Integer(3))),
            ("-0b11", Some(Value::Integer(-3))),
            ("0x1F", Some(Value::Integer(31))),
            ("+5", Some(Value::Integer(5))),
            ("1.0", Some(Value::Integer(1))),
            (".5", Some(Value::Float(0.5))),
            ("yes", Some(Value::Bool(true))),
            ("y", Some(Value::Bool(true))),
            ("off", Some(Value::Bool(false))),
            ("~", Some(Value::Null)),
            ("", Some(Value::Null)),
            ("2001-01-01", None),
            ("1:30", None),
            ("190:20:30", None),
            ("=", None),
            ("yEs", None),
            ("nULL", None),
            ("10.0.0.0/8", None),
            ("1.2.3", None),
            ("0x", None),
            ("--1", None),
            ("+", None),
            ("-", None),
            (".", None),
            ("e3", None),
            ("99999999999999999999999999999999", Some(Value::Float(1e32))),
        ] {
            assert_eq!(resolve(text), expected, "{text:?}");
        }
    }
}
