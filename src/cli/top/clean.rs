//! What comes from another process is text, not instructions to the terminal.

use serde_json::{Map, Value};

/// Replaces in every string and key what would not show as itself.
pub(super) fn json(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(self::text(&text)),
        Value::Array(values) => Value::Array(values.into_iter().map(json).collect()),
        Value::Object(fields) => {
            let fields = fields.into_iter().map(|(key, value)| (text(&key), json(value)));
            Value::Object(fields.collect::<Map<_, _>>())
        }
        plain @ (Value::Null | Value::Bool(_) | Value::Number(_)) => plain,
    }
}

/// The text with `?` for every character that would not show as itself.
pub(super) fn text(text: &str) -> String {
    text.replace(|c| !shows(c), "?")
}

/// Whether a character is neither a control character (C0, DEL, C1) nor one that is not seen but
/// turns the direction of what follows, joins it or breaks the line (Unicode 16, category Cf of
/// U+2000 to U+206F, Zl, Zp, and the byte order mark).
fn shows(c: char) -> bool {
    let hidden = matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}');
    !(c.is_control() || hidden || matches!(c, '\u{ad}' | '\u{61c}' | '\u{feff}'))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    #[test]
    fn nothing_that_drives_a_terminal_is_left_in_keys_or_values() {
        let value = json!({
            "na\u{1b}me": "\u{1b}[2Jw\u{9b}b\r\n\t\u{7f}",
            "list": [{ "k": "a\u{202e}b\u{2028}c" }, null, true, 1.5],
            "fine": "grün – 日本 é",
        });
        let expected = json!({
            "na?me": "?[2Jw?b????",
            "list": [{ "k": "a?b?c" }, null, true, 1.5],
            "fine": "grün – 日本 é",
        });
        assert_eq!(super::json(value), expected);
    }
}
