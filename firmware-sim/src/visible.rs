//! What comes from elsewhere, made safe to print.
//!
//! Names of files, columns and classes, words of a parser about a hostile document, whatever a manifest
//! claims: printed as they are they could move the cursor, recolour or rename a line, or turn it round.
//! Every line that a program of ours prints goes through here, so that none is forgotten; data on standard output
//! does not.

use std::borrow::Cow;
use std::fmt::Write;

/// The text on one line, with what a terminal would obey or not show written as an escape: `\n`, `\u{1b}`.
pub fn visible(text: &str) -> Cow<'_, str> {
    escaped(text, |c, out| {
        out.extend(c.escape_default());
    })
}

/// The same in JSON text, where such a character can only be within a string: `\u001b`.
pub fn visible_json(json: &str) -> Cow<'_, str> {
    escaped(json, |c, out| match c {
        // Between the members; within a string JSON itself escapes it.
        '\n' => out.push(c),
        _ => {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // Writing to a string cannot fail.
                let _ = write!(out, "\\u{unit:04x}");
            }
        }
    })
}

fn escaped(text: &str, escape: impl Fn(char, &mut String)) -> Cow<'_, str> {
    if !text.contains(is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_hidden(c) {
            escape(c, &mut out);
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

/// Control characters (C0, DEL, C1), and what Unicode 16 calls format characters, separators of lines and
/// paragraphs, and other characters without a shape: bidirectional overrides and isolates, zero-width
/// spaces and joiners, fillers, tags, variation selectors.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}'
            | '\u{890}'..='\u{891}' | '\u{8e2}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
            | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{110bd}' | '\u{110cd}'
            | '\u{13430}'..='\u{1343f}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_obeys_is_shown_instead() {
        for (text, shown) in [
            ("a\u{1b}[31mb", r"a\u{1b}[31mb"),
            ("a\u{202e}b", r"a\u{202e}b"),
            ("a\u{9b}2Jb", r"a\u{9b}2Jb"),
            ("a\u{200b}\u{feff}b", r"a\u{200b}\u{feff}b"),
            ("a\r\n\tb\u{7f}", r"a\r\n\tb\u{7f}"),
            ("a\u{2066}b\u{2069}", r"a\u{2066}b\u{2069}"),
            ("a\u{e0041}b", r"a\u{e0041}b"),
        ] {
            assert_eq!(visible(text), shown);
        }
    }

    #[test]
    fn what_is_harmless_stays() {
        for text in [
            "",
            "plain, 'quoted' \"text\" \\ here",
            "größe 漢字 עברית 🙂",
        ] {
            assert!(matches!(visible(text), Cow::Borrowed(same) if same == text));
        }
    }

    #[test]
    fn json_says_the_same_afterwards() {
        let value = serde_json::json!({"name": "a\u{1b}\u{202e}\u{9b}\u{e0041}\nb"});
        let text = serde_json::to_string_pretty(&value).unwrap();
        let shown = visible_json(&text);
        assert!(shown.chars().all(|c| c == '\n' || !is_hidden(c)), "{shown}");
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&shown).unwrap(),
            value
        );
    }
}
