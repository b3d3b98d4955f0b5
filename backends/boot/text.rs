//! A configuration file as lines, and the places in it where a line of ours might go.

use crate::model::ports::PortRange;
use crate::proof::place::MARK;

/// A file as lines, some of which may have come in or gone.
#[derive(Clone, Debug)]
pub(crate) struct Text {
    original: Vec<Vec<u8>>,
    /// The line, and the number it has in the original.
    lines: Vec<(Vec<u8>, Option<usize>)>,
}

/// A change of some bytes of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Splice {
    /// The line's number, from 1, where the change begins.
    pub(crate) line: usize,
    /// The first byte that changes.
    pub(crate) offset: usize,
    /// What goes.
    pub(crate) removed: Vec<u8>,
    /// What comes.
    pub(crate) inserted: Vec<u8>,
}

/// Places in a file where a line may go, in ascending order, and what the line looks like there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Group {
    pub(crate) boundaries: Vec<Boundary>,
    pub(crate) style: Style,
    pub(crate) rank: Rank,
}

/// How likely a person would look there, the likeliest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rank {
    /// The chain's own block or section.
    Chain,
    /// A file that may be the inside of the chain's block.
    Inside,
    /// Beside commands that add rules to the chain.
    Commands,
    /// Anywhere between commands.
    Anywhere,
}

/// A place before a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Boundary {
    /// The line's index; the number of lines for the end of the file.
    pub(crate) line: usize,
    /// Whether the line is, or may be, a rule of the chain.
    pub(crate) rule: bool,
}

/// How a line is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// Inside a chain's block: the bare rule.
    Block,
    /// A command of its own: `add rule ...`.
    Command,
    /// A line of iptables-save.
    Save,
}

impl Text {
    pub(crate) fn new(bytes: &[u8]) -> Self {
        let mut original: Vec<Vec<u8>> = bytes
            .split_inclusive(|byte| *byte == b'\n')
            .map(<[u8]>::to_vec)
            .collect();
        // Where lines of ours were put behind a last line without an end, that end came with them, and goes with them.
        let mut rest = original.as_mut_slice();
        while let [head @ .., last] = rest
            && let Some(before) = head.last_mut()
            && !last.ends_with(b"\n")
            && is_own_line(last)
        {
            before.pop();
            last.insert(0, b'\n');
            rest = head;
        }
        let lines = original.iter().cloned().zip((0..).map(Some)).collect();
        Self { original, lines }
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let lines = self.lines.iter();
        lines.flat_map(|(line, _)| line.iter().copied()).collect()
    }

    /// The line at an index; nothing behind the last.
    pub(crate) fn line(&self, index: usize) -> &[u8] {
        self.lines.get(index).map_or(&[], |(line, _)| line)
    }

    pub(crate) fn remove(&mut self, index: usize) {
        if index < self.lines.len() {
            self.lines.remove(index);
        }
    }

    /// Puts a line, given without its end, before the line at an index.
    pub(crate) fn insert(&mut self, index: usize, line: &str) {
        let index = index.min(self.lines.len());
        // Behind the last line, or between it and the line of ours that brought its end with it.
        let open_end = index > 0 && !self.line(index - 1).ends_with(b"\n");
        let bytes = if open_end {
            format!("\n{line}").into_bytes()
        } else {
            format!("{line}\n").into_bytes()
        };
        self.lines.insert(index, (bytes, None));
    }

    /// The lines that are ours, by index, and their ports.
    pub(crate) fn own_lines(&self) -> Vec<(usize, Option<PortRange>)> {
        let lines = self.lines.iter().enumerate();
        lines
            .filter(|(_, (line, _))| is_own_line(line))
            .map(|(index, (line, _))| (index, ports_of(line)))
            .collect()
    }

    /// The changes from the original.
    pub(crate) fn splices(&self) -> Vec<Splice> {
        let mut splices = Vec::new();
        let mut lines = self.lines.iter().peekable();
        let mut offset = 0;
        for (number, original) in self.original.iter().enumerate() {
            while let Some((line, None)) = lines.next_if(|(_, original)| original.is_none()) {
                splices.push(Splice::insertion(number, offset, line));
            }
            if lines.next_if(|(_, known)| *known == Some(number)).is_none() {
                splices.push(Splice {
                    line: number + 1,
                    offset,
                    removed: original.clone(),
                    inserted: Vec::new(),
                });
            }
            offset += original.len();
        }
        let number = self.original.len();
        splices.extend(lines.map(|(line, _)| Splice::insertion(number, offset, line)));
        splices
    }
}

impl Splice {
    fn insertion(index: usize, offset: usize, line: &[u8]) -> Self {
        Self {
            line: index + 1,
            offset,
            removed: Vec::new(),
            inserted: line.to_vec(),
        }
    }
}

/// Makes changes, given by ascending offset; `None` when the bytes are not those that they were made for.
pub(crate) fn splice(bytes: &[u8], splices: &[&Splice]) -> Option<Vec<u8>> {
    let mut result = Vec::with_capacity(bytes.len() + 256);
    let mut from = 0;
    for splice in splices {
        result.extend_from_slice(bytes.get(from..splice.offset)?);
        result.extend_from_slice(&splice.inserted);
        let behind = bytes.get(splice.offset..)?;
        if !behind.starts_with(&splice.removed) {
            return None;
        }
        from = splice.offset + splice.removed.len();
    }
    result.extend_from_slice(bytes.get(from..)?);
    Some(result)
}

/// The changes that take these back, which are given by ascending offset.
pub(crate) fn inverse(splices: &[&Splice]) -> Vec<Splice> {
    let (mut removed, mut inserted) = (0, 0);
    let inverse = splices.iter().map(|splice| {
        let back = Splice {
            line: splice.line,
            offset: splice.offset + inserted - removed,
            removed: splice.inserted.clone(),
            inserted: splice.removed.clone(),
        };
        removed += splice.removed.len();
        inserted += splice.inserted.len();
        back
    });
    inverse.collect()
}

/// Whether a line carries our mark, as a comment in nft's or iptables' words, and is not itself a comment.
pub(crate) fn is_own_line(line: &[u8]) -> bool {
    let line = String::from_utf8_lossy(line);
    let line = line.trim();
    if line.starts_with('#') {
        return false;
    }
    let mut rest = line;
    while let Some(at) = rest.find("comment") {
        let (before, behind) = (&rest[..at], &rest[at + "comment".len()..]);
        let before = before.strip_suffix("--").unwrap_or(before);
        let is_word = before.is_empty() || before.ends_with(char::is_whitespace);
        let value = behind.trim_start();
        // What somebody else says of pasvsync begins with its name.
        let value = match value.chars().next() {
            Some(quote @ ('"' | '\'')) => value[1..].split(quote).next(),
            _ => value.split([' ', '\t', ';', '}']).next(),
        };
        if is_word && value == Some(MARK) {
            return true;
        }
        rest = behind;
    }
    false
}

/// The ports in a line of ours; `None` when they are written in a way that we do not write.
fn ports_of(line: &[u8]) -> Option<PortRange> {
    let line = String::from_utf8_lossy(line);
    let mut words = line.split_whitespace();
    words.find(|word| matches!(*word, "dport" | "--dport" | "--dports"))?;
    let ports = words.next()?;
    let (first, last) = ports.split_once(['-', ':']).unwrap_or((ports, ports));
    PortRange::new(first.parse().ok()?, last.parse().ok()?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const OWN: &str = "tcp dport 1-2 accept comment \"pasvsync\"";

    proptest! {
        /// Any lines in, any lines out: the changes make the new text from the old, and their inverse the old from the
        /// new. Taking out every line of ours leaves what was there before.
        #[test]
        fn changes_and_their_inverse(
            content in "([a-z #]{0,5}\n?){0,8}",
            steps in prop::collection::vec((any::<bool>(), 0_usize..12), 0..6),
        ) {
            let old = content.as_bytes();
            let mut text = Text::new(old);
            for (insert, index) in steps {
                if insert {
                    text.insert(index, OWN);
                } else {
                    text.remove(index);
                }
            }
            let splices = text.splices();
            let splices: Vec<&Splice> = splices.iter().collect();
            let new = splice(old, &splices).unwrap();
            prop_assert_eq!(&new, &text.bytes());
            let back = inverse(&splices);
            let back: Vec<&Splice> = back.iter().collect();
            prop_assert_eq!(splice(&new, &back).unwrap(), old);
        }

        #[test]
        fn lines_of_ours_stand_by_themselves(content in "([a-z #]{0,5}\n?){0,8}", places in prop::collection::vec(0_usize..12, 1..4)) {
            let mut text = Text::new(content.as_bytes());
            for (count, index) in places.into_iter().enumerate() {
                text.insert(index, OWN);
                // As it is read again from the file.
                text = Text::new(&text.bytes());
                prop_assert_eq!(text.own_lines().len(), count + 1, "{:?}", text);
            }
            let own: Vec<usize> = text.own_lines().into_iter().map(|(index, _)| index).collect();
            for index in own.into_iter().rev() {
                text.remove(index);
            }
            prop_assert_eq!(text.bytes(), content.as_bytes());
        }

        #[test]
        fn only_the_mark_alone_is_ours(spaces in " {1,3}") {
            for own in [
                format!("tcp dport 1 accept comment{spaces}\"pasvsync\""),
                format!("tcp dport 1 accept comment{spaces}pasvsync; tcp dport 2 drop }}"),
                format!("-A INPUT -m comment --comment{spaces}pasvsync -j ACCEPT"),
                format!("-A INPUT -m comment --comment{spaces}'pasvsync' -j ACCEPT"),
            ] {
                prop_assert!(is_own_line(own.as_bytes()), "{}", own);
            }
            for other in [
                format!("tcp dport 1 accept comment \"pasvsync{spaces}opens this\""),
                format!("tcp dport 1 accept comment \"for{spaces}pasvsync\""),
                format!("-A INPUT --mycomment{spaces}pasvsync -j ACCEPT"),
                format!("# tcp dport 1 accept comment{spaces}\"pasvsync\""),
            ] {
                prop_assert!(!is_own_line(other.as_bytes()), "{}", other);
            }
        }

        #[test]
        fn a_line_of_ours_goes_without_a_trace(content in "([a-z #]{0,5}\n?){0,8}", index in 0_usize..12) {
            let mut text = Text::new(content.as_bytes());
            text.insert(index, OWN);
            let mut later = Text::new(&text.bytes());
            let own = later.own_lines();
            prop_assert_eq!(own.len(), 1);
            later.remove(own[0].0);
            prop_assert_eq!(later.bytes(), content.as_bytes());
        }
    }
}
