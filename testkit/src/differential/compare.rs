//! When two replies count as the same.

use super::Dialect;
use super::grammar::Compare;
use crate::resp::Value;

/// Whether the reply of the prefixed command is the one that the native command's reply calls for.
///
/// `slack_ms` is by how much two times that are relative to now may differ.
pub fn same(native: &Value, pm: &Value, how: Compare, slack_ms: i64, dialect: &Dialect) -> bool {
    let pm = &unprefixed(pm, dialect);
    if native.is_error() || pm.is_error() {
        return native == pm;
    }
    match how {
        Compare::Exact => native == pm,
        Compare::Unordered => sorted(native) == sorted(pm),
        Compare::Pairs => sorted_pairs(native) == sorted_pairs(pm),
        Compare::Shape => shape(native) == shape(pm),
        Compare::WholeScan => whole_scan(native) == whole_scan(pm),
        Compare::Page => is_page(native) && is_page(pm),
        Compare::Time(unit_ms) => same_time(native, pm, slack_ms, unit_ms),
    }
}

/// Both replies, for a report.
pub(super) fn differing(native: &Value, pm: &Value) -> String {
    format!("native: {native:?}\nPM:     {pm:?}")
}

/// The reply with the prefix taken from the command that an error names, quoted in lower case or as
/// the client has written it.
fn unprefixed(reply: &Value, dialect: &Dialect) -> Value {
    match reply {
        Value::Error(text) if !dialect.prefix.is_empty() => {
            let quoted = format!("'{}", dialect.prefix.to_lowercase());
            let written = format!(" for {}", dialect.prefix);
            let text = text.replacen(&quoted, "'", 1);
            Value::Error(text.replacen(&written, " for ", 1))
        }
        Value::Array(items) => {
            Value::Array(items.iter().map(|item| unprefixed(item, dialect)).collect())
        }
        other => other.clone(),
    }
}

/// Negative answers (no key, no expiry) are exact; times differ by the slack and by rounding. An
/// array has several.
fn same_time(native: &Value, pm: &Value, slack_ms: i64, unit_ms: i64) -> bool {
    if let (Value::Array(native), Value::Array(pm)) = (native, pm) {
        let mut both = native.iter().zip(pm);
        return native.len() == pm.len()
            && both.all(|(native, pm)| same_time(native, pm, slack_ms, unit_ms));
    }
    match (native.integer(), pm.integer()) {
        (Some(native), Some(pm)) if native >= 0 && pm >= 0 => {
            native.abs_diff(pm) <= (slack_ms / unit_ms + 1).unsigned_abs()
        }
        _ => native == pm,
    }
}

fn sorted(reply: &Value) -> Value {
    let in_order = |items: &Vec<Value>| {
        let mut items = items.clone();
        items.sort();
        items
    };
    match reply {
        Value::Array(items) => Value::Array(in_order(items)),
        Value::Set(items) => Value::Set(in_order(items)),
        other => other.clone(),
    }
}

/// Maps keep their form. Flat arrays become arrays of pairs, and an array of pairs stays one.
fn sorted_pairs(reply: &Value) -> Value {
    match reply {
        Value::Map(pairs) => {
            let mut pairs = pairs.clone();
            pairs.sort();
            Value::Map(pairs)
        }
        Value::Array(items) if items.iter().all(|item| item.elements().is_none()) => {
            let mut pairs: Vec<_> = items
                .chunks(2)
                .map(|pair| Value::Array(pair.to_vec()))
                .collect();
            pairs.sort();
            Value::Array(pairs)
        }
        other => sorted(other),
    }
}

/// The reply with its elements in order.
fn whole_scan(reply: &Value) -> Value {
    match reply {
        Value::Array(parts) => Value::Array(parts.iter().map(sorted).collect()),
        other => other.clone(),
    }
}

fn is_page(reply: &Value) -> bool {
    let is_bulk = |value: &Value| matches!(value, Value::Bulk(_));
    match reply {
        Value::Array(parts) => match parts.as_slice() {
            [cursor, Value::Array(page)] => is_bulk(cursor) && page.iter().all(is_bulk),
            _ => false,
        },
        _ => false,
    }
}

/// The reply with its content blanked.
fn shape(reply: &Value) -> Value {
    match reply {
        Value::Bulk(_) => Value::Bulk(Vec::new()),
        Value::Simple(_) => Value::Simple(String::new()),
        Value::Integer(_) => Value::Integer(0),
        Value::Double(_) => Value::Double(String::new()),
        Value::Array(items) => Value::Array(items.iter().map(shape).collect()),
        Value::Set(items) => Value::Set(items.iter().map(shape).collect()),
        Value::Map(pairs) => Value::Map(
            pairs
                .iter()
                .map(|(key, value)| (shape(key), shape(value)))
                .collect(),
        ),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bulks(texts: &[&str]) -> Vec<Value> {
        texts
            .iter()
            .map(|text| Value::Bulk(text.as_bytes().to_vec()))
            .collect()
    }

    fn agree(native: &Value, pm: &Value, how: Compare) -> bool {
        same(native, pm, how, 20, &Dialect::PM)
    }

    #[test]
    fn the_prefix_is_forgiven_in_an_errors_quote_and_nowhere_else() {
        let native = Value::Error("ERR wrong number of arguments for 'set' command".into());
        let pm = Value::Error("ERR wrong number of arguments for 'pm.set' command".into());
        assert!(agree(&native, &pm, Compare::Exact));
        assert!(!agree(&pm, &native, Compare::Exact));
        assert!(!same(&native, &pm, Compare::Exact, 0, &Dialect::NATIVE));
        let unquoted = Value::Error("ERR wrong number of arguments for pm.set command".into());
        assert!(!agree(&native, &unquoted, Compare::Exact));
    }

    #[test]
    fn forms_of_null_are_not_confused_by_any_comparison() {
        let forms = [
            Value::NullBulk,
            Value::NullArray,
            Value::Null,
            Value::Bulk(Vec::new()),
        ];
        use Compare::{Exact, Pairs, Shape, Time, Unordered};
        for how in [Exact, Unordered, Pairs, Shape, Time(1)] {
            for (i, one) in forms.iter().enumerate() {
                for (j, two) in forms.iter().enumerate() {
                    assert_eq!(agree(one, two, how), i == j, "{how:?}: {one:?} {two:?}");
                }
            }
        }
    }

    #[test]
    fn open_orders_are_compared_by_content() {
        let [one, two, other] = [
            &["a", "b", "c", "d"],
            &["c", "d", "a", "b"],
            &["a", "d", "c", "b"],
        ]
        .map(|texts| Value::Array(bulks(texts)));
        assert!(agree(&one, &two, Compare::Unordered) && agree(&one, &other, Compare::Unordered));
        assert!(agree(&one, &two, Compare::Pairs) && !agree(&one, &other, Compare::Pairs));
        assert!(!agree(&one, &two, Compare::Exact) && agree(&one, &other, Compare::Shape));
        let set = Value::Set(bulks(&["a", "b", "c", "d"]));
        assert!(!agree(&one, &set, Compare::Unordered), "an array is no set");
        assert!(!agree(&one, &Value::Array(bulks(&["a"])), Compare::Shape));
    }

    #[test]
    fn times_may_differ_by_the_slack_and_negative_answers_not_at_all() {
        let time = |native, pm| {
            agree(
                &Value::Integer(native),
                &Value::Integer(pm),
                Compare::Time(1),
            )
        };
        assert!(time(1000, 1021) && time(1000, 979));
        assert!(!time(1000, 1022) && !time(1000, 978));
        assert!(time(-1, -1) && !time(-1, -2) && !time(-1, 0) && !time(0, -2));
    }
}
