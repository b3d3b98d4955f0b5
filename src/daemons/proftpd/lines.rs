//! Lines and words as ProFTPD 1.3.8 reads them: a port of `pr_fsio_gets`, `pr_fsio_getline`, `pr_parser_read_line` and
//! `pr_str_get_word` (SRC src/fsio.c, src/parser.c, src/str.c), quirks included.

use std::ops::Range;
use std::path::PathBuf;
use std::rc::Rc;

use crate::daemons::text;
use crate::findings::Location;

/// The buffer of the parser; a longer line is cut, and its tail is a line of its own (RUN).
pub(super) const PARSER_BUFFER: usize = 4096;
/// The smaller buffer that sections are skipped with (SRC) `PR_TUNABLE_BUFFER_SIZE`.
pub(super) const SKIP_BUFFER: usize = 1024;

/// A file that is being read.
#[derive(Clone, Debug)]
pub(super) struct Reader {
    /// Its path, as the daemon knows it.
    pub(super) path: PathBuf,
    /// The line that includes it.
    pub(super) included_from: Option<Location>,
    /// The number of the last line that was read.
    pub(super) line: u32,
    bytes: Rc<[u8]>,
    position: usize,
    line_start: usize,
}

impl Reader {
    pub(super) fn new(path: PathBuf, bytes: Vec<u8>, included_from: Option<Location>) -> Self {
        Self {
            path,
            included_from,
            line: 0,
            bytes: bytes.into(),
            position: 0,
            line_start: 0,
        }
    }

    /// The next line that is neither blank nor a comment, without leading blanks; continuations joined.
    pub(super) fn next_line(&mut self, buffer: usize) -> Option<Vec<u8>> {
        loop {
            let mut line = self.get_line(buffer)?;
            if line.last() == Some(&b'\n') {
                line.pop();
            }
            if line.last() == Some(&b'\r') {
                line.pop();
            }
            let trimmed = text::trim_start(&line);
            if !trimmed.is_empty() && trimmed[0] != b'#' {
                return Some(trimmed.to_vec());
            }
        }
    }

    /// `pr_fsio_getline`: a physical line or several that backslashes join, as far as the buffer reaches. A NUL ends
    /// what was read and loses the newline, so that the next line is glued on.
    fn get_line(&mut self, buffer: usize) -> Option<Vec<u8>> {
        let mut line: Vec<u8> = Vec::new();
        let mut room = buffer;
        let mut advanced = false;
        self.line_start = self.position;
        let bytes = Rc::clone(&self.bytes);
        while let Some(chunk) = self.gets(room) {
            let chunk = text::c_string(&bytes[chunk]);
            let mut length = chunk.len();
            if chunk.last() == Some(&b'\n') {
                self.line += 1;
                if length < 2 || chunk[length - 2] != b'\\' {
                    line.extend_from_slice(chunk);
                    return Some(line);
                }
                length -= 2;
                // A comment that ends in a backslash does not swallow the next line (RUN).
                if text::trim_start(chunk).first() == Some(&b'#') {
                    continue;
                }
            }
            line.extend_from_slice(&chunk[..length]);
            if length == room {
                return Some(line);
            }
            advanced |= length > 0;
            room -= length;
        }
        advanced.then_some(line)
    }

    /// `pr_fsio_gets`: up to `size` bytes, to the newline and with it.
    fn gets(&mut self, size: usize) -> Option<Range<usize>> {
        let rest = &self.bytes[self.position..];
        if rest.is_empty() {
            return None;
        }
        let window = &rest[..rest.len().min(size)];
        let length = window
            .iter()
            .position(|&byte| byte == b'\n')
            .map_or(window.len(), |at| at + 1);
        let start = self.position;
        self.position += length;
        Some(start..self.position)
    }

    /// Where the last line stands.
    pub(super) fn location(&self) -> Location {
        Location::line(self.path.clone(), self.line.max(1))
    }

    /// The last line as it stands in the file, continuations and all, up to a length that can be shown.
    pub(super) fn raw(&self) -> &[u8] {
        let line = &self.bytes[self.line_start..self.position];
        let physical = line.strip_suffix(b"\n").unwrap_or(line);
        let shown = physical
            .rsplit(|&byte| byte == b'\n')
            .next()
            .unwrap_or_default();
        &shown[..shown.len().min(240)]
    }

    /// How many lines with something in them are still unread.
    pub(super) fn remaining(&self) -> usize {
        let rest = self.bytes[self.position..].split(|&byte| byte == b'\n');
        rest.map(text::trim_start)
            .filter(|line| line.first().is_some_and(|&byte| byte != b'#'))
            .count()
    }
}

/// `pr_parser_parse_line`: the words of a line, `%{env:NAME}` replaced, `<Section arg>` taken apart.
pub(super) fn words(line: &[u8], variable: &mut dyn FnMut(&str) -> Option<String>) -> Vec<Vec<u8>> {
    let mut words = Vec::new();
    let mut rest = line;
    while let Some(word) = next_word(&mut rest) {
        let (word, replaced) = replace_variables(word, variable);
        if replaced && word.contains(&b' ') {
            let mut inner = word.as_slice();
            words.extend(std::iter::from_fn(|| next_word(&mut inner)));
        } else {
            words.push(word);
        }
    }
    close_section(&mut words);
    words
}

/// `pr_str_get_word`: blanks separate; a quote groups only as the first character of a word, and then backslashes
/// escape; a word that starts with `#` ends the line.
fn next_word(rest: &mut &[u8]) -> Option<Vec<u8>> {
    let mut bytes = text::trim_start(rest);
    if matches!(bytes.first(), None | Some(b'#')) {
        *rest = &[];
        return None;
    }
    let quoted = bytes[0] == b'"';
    if quoted {
        bytes = &bytes[1..];
    }
    let mut word = Vec::new();
    while let [first, tail @ ..] = bytes {
        if if quoted {
            *first == b'"'
        } else {
            text::is_space(*first)
        } {
            bytes = tail;
            break;
        }
        match tail {
            [escaped, after @ ..] if quoted && *first == b'\\' => {
                word.push(*escaped);
                bytes = after;
            }
            _ => {
                word.push(*first);
                bytes = tail;
            }
        }
    }
    *rest = bytes;
    Some(word)
}

/// `get_config_word`: only words longer than 7 characters are looked at; an unset variable is empty. The number of
/// replacements is bounded, since a value may name its own variable.
fn replace_variables(
    word: Vec<u8>,
    variable: &mut dyn FnMut(&str) -> Option<String>,
) -> (Vec<u8>, bool) {
    const OPENING: &[u8] = b"%{env:";
    if word.len() <= 7 || !word.windows(OPENING.len()).any(|window| window == OPENING) {
        return (word, false);
    }
    let mut text = word;
    for _ in 0..16 {
        let Some(start) = text
            .windows(OPENING.len())
            .position(|window| window == OPENING)
        else {
            break;
        };
        let name_start = start + OPENING.len();
        let Some(length) = text[name_start..].iter().position(|&byte| byte == b'}') else {
            break;
        };
        let name = String::from_utf8_lossy(&text[name_start..name_start + length]).into_owned();
        let value = variable(&name).unwrap_or_default();
        text.splice(start..=name_start + length, value.bytes());
    }
    (text, true)
}

/// `<Name arg>` becomes `<Name>` and `arg`.
fn close_section(words: &mut Vec<Vec<u8>>) {
    if words.len() < 2 || words[0].first() != Some(&b'<') {
        return;
    }
    if let Some(last) = words.last_mut().filter(|last| last.last() == Some(&b'>')) {
        last.pop();
        if last.is_empty() {
            words.pop();
        }
        if words[0].last() != Some(&b'>') {
            words[0].push(b'>');
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::{PARSER_BUFFER, Reader, words};

    fn lines(text: &[u8]) -> Vec<String> {
        let mut reader = Reader::new(PathBuf::from("f"), text.to_vec(), None);
        std::iter::from_fn(|| reader.next_line(PARSER_BUFFER))
            .map(|line| String::from_utf8_lossy(&line).into_owned())
            .collect()
    }

    fn split(line: &str) -> Vec<String> {
        words(line.as_bytes(), &mut |name| {
            (name == "P").then(|| "50000 50009".to_owned())
        })
        .iter()
        .map(|word| String::from_utf8_lossy(word).into_owned())
        .collect()
    }

    #[test]
    fn lines_are_joined_and_cut_as_the_daemon_does() {
        assert_eq!(lines(b"Passive\\\nPorts 1 2\n"), ["PassivePorts 1 2"]);
        assert_eq!(lines(b"a\r\n  b\r\n"), ["a", "b"]);
        assert_eq!(lines(b"a \\ \nb\n"), ["a \\ ", "b"]);
        assert_eq!(lines(b"# c \\\nb\n"), ["b"]);
        assert_eq!(lines(b"a\\\n# c\n"), ["a# c"]);
        assert_eq!(lines(b"a\0lost\nb\n"), ["ab"]);
        assert_eq!(lines(b"a\rb\rc"), ["a\rb\rc"]);
        assert_eq!(lines(b"last"), ["last"]);
        let long = [b"#".as_slice(), &[b'x'; 4095], b"Port 1\n"].concat();
        assert_eq!(lines(&long), ["Port 1"]);
    }

    #[test]
    fn words_are_split_as_the_daemon_does() {
        assert_eq!(
            split("PassivePorts 50000 50009 # c"),
            ["PassivePorts", "50000", "50009"]
        );
        assert_eq!(
            split("PassivePorts 50000 50009#c"),
            ["PassivePorts", "50000", "50009#c"]
        );
        assert_eq!(
            split(r#"X "a \"b" 'c d' """#),
            ["X", "a \"b", "'c", "d'", ""]
        );
        assert_eq!(
            split("<VirtualHost 1.2.3.4 >"),
            ["<VirtualHost>", "1.2.3.4"]
        );
        assert_eq!(split("<IfModule mod_x.c>"), ["<IfModule>", "mod_x.c"]);
        assert_eq!(split("<Global>"), ["<Global>"]);
        assert_eq!(
            split("PassivePorts %{env:P}"),
            ["PassivePorts", "50000", "50009"]
        );
        assert_eq!(split("X %{env:UNSET}y"), ["X", "y"]);
    }
}
