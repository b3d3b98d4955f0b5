//! What a terminal is shown: colours, bars, and of a foreign text only what cannot play tricks on it.

/// Whether to colour, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Words only.
    Plain,
    /// ANSI colours; they only repeat what the words say.
    Colored,
}

/// The characters that bars are drawn with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Glyphs {
    /// Those of any terminal.
    Ascii,
    /// Shades, where the locale has them.
    Unicode,
}

impl Glyphs {
    /// What the locale says: the first of these variables that is set counts (locale(7)).
    pub(crate) fn choose() -> Self {
        let values = ["LC_ALL", "LC_CTYPE", "LANG"].map(|name| std::env::var(name).ok());
        let set = values.into_iter().flatten().find(|value| !value.is_empty());
        let locale = set.unwrap_or_default().to_ascii_lowercase();
        if locale.contains("utf-8") || locale.contains("utf8") {
            Self::Unicode
        } else {
            Self::Ascii
        }
    }

    /// The character for a verdict.
    pub fn of(self, verdict: &str) -> char {
        match (self, verdict) {
            (Self::Ascii, "open") => '#',
            (Self::Ascii, "restricted") => '~',
            (Self::Ascii, "closed") => '.',
            (Self::Unicode, "open") => '█',
            (Self::Unicode, "restricted") => '▒',
            (Self::Unicode, "closed") => '·',
            _ => '?',
        }
    }
}

/// What a word means, for its colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// All is well.
    Good,
    /// Something may bite.
    Warning,
    /// Something is wrong.
    Bad,
    /// A heading.
    Strong,
}

impl Style {
    /// The text, coloured when colours are on.
    pub fn paint(self, tone: Tone, text: &str) -> String {
        if self == Self::Plain {
            return text.to_owned();
        }
        let code = match tone {
            Tone::Good => "32",
            Tone::Warning => "33",
            Tone::Bad => "31",
            Tone::Strong => "1",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}

/// What a terminal may see of a text: UTF-8, or Latin-1 where it is not; every control and direction character is a
/// blank, so that columns stay where they are.
pub fn clean(text: impl AsRef<[u8]>) -> String {
    let bytes = text.as_ref();
    let harmless = |c: char| if is_harmful(c) { ' ' } else { c };
    match std::str::from_utf8(bytes) {
        Ok(text) => text.chars().map(harmless).collect(),
        Err(_) => bytes
            .iter()
            .map(|&byte| harmless(char::from(byte)))
            .collect(),
    }
}

/// Characters that move the cursor, change colours or reorder what is shown.
fn is_harmful(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{2069}' | '\u{FEFF}')
}

#[cfg(test)]
mod tests {
    use super::clean;

    #[test]
    fn terminals_see_no_control_characters() {
        assert_eq!(clean(b"a\x1b[31mb\tc"), "a [31mb c");
        assert_eq!(clean(b"caf\xe9"), "caf\u{e9}");
        assert_eq!(clean("\u{202e}x\u{feff}".as_bytes()), " x ");
    }
}
