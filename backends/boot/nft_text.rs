//! nft's language, as far as it takes to find the block of a chain: words, braces, strings, comments.
//!
//! Nothing here decides where a rule goes; it only keeps the places few that are tried.

use super::shape::OwnRule;
use super::text::{Boundary, Group, Rank, Style};
use crate::model::ports::PortRange;
use crate::model::ruleset::TableFamily;
use crate::proof::place::MARK;

/// The rule that we write.
pub(crate) fn rule(ports: PortRange, local_only: bool) -> String {
    let local = if local_only {
        "fib daddr type local "
    } else {
        ""
    };
    format!("{local}tcp dport {ports} accept comment \"{MARK}\"")
}

/// The patterns of the `include` statements.
pub(crate) fn includes(bytes: &[u8]) -> Vec<String> {
    let outline = Outline::of(bytes);
    outline.includes
}

/// The places for a rule of a chain.
pub(crate) fn groups(bytes: &[u8], rule: &OwnRule, included: bool) -> Vec<Group> {
    let outline = Outline::of(bytes);
    let of_chain = |block: &&Block| {
        block.chain == rule.chain
            && (block.table.as_ref()).map_or(included, |(family, table)| {
                *family == rule.family && *table == rule.table
            })
    };
    let blocks = outline.blocks.iter().rev().filter(of_chain);
    let mut groups: Vec<Group> = blocks
        .map(|block| Group {
            boundaries: block.boundaries.clone(),
            style: Style::Block,
            rank: Rank::Chain,
        })
        .collect();
    if included && outline.blocks.is_empty() {
        // The file may be the inside of a chain's block.
        groups.push(Group {
            boundaries: outline.top.clone(),
            style: Style::Block,
            rank: Rank::Inside,
        });
    }
    groups.extend(commands(bytes, &outline.top, rule));
    groups.retain(|group| !group.boundaries.is_empty());
    groups
}

/// The places between the commands that add rules to the chain; then those between any commands.
fn commands(bytes: &[u8], top: &[Boundary], rule: &OwnRule) -> [Group; 2] {
    let lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
    let places = top.iter().map(|boundary| {
        let line = lines.get(boundary.line).copied().unwrap_or_default();
        Boundary {
            line: boundary.line,
            rule: boundary.rule && is_command(line, rule),
        }
    });
    let all: Vec<Boundary> = places.collect();
    let last = all.iter().rposition(|boundary| boundary.rule);
    let near = all
        .iter()
        .enumerate()
        .filter(|(index, boundary)| boundary.rule || last.is_some_and(|last| *index == last + 1));
    let group = |boundaries, rank| Group {
        boundaries,
        style: Style::Command,
        rank,
    };
    let near = near.map(|(_, boundary)| *boundary).collect();
    [group(near, Rank::Commands), group(all, Rank::Anywhere)]
}

/// Whether a line is a command that adds a rule to the same chain.
fn is_command(line: &[u8], rule: &OwnRule) -> bool {
    let line = String::from_utf8_lossy(line);
    let words: Vec<&str> = line.split_whitespace().collect();
    let (["add" | "insert", "rule", place @ ..] | ["rule", place @ ..]) = words.as_slice() else {
        return false;
    };
    match place {
        [word, table, chain, ..] if family(word) == Some(rule.family) => {
            *table == rule.table && *chain == rule.chain
        }
        [table, chain, ..] => {
            rule.family == TableFamily::Ip && *table == rule.table && *chain == rule.chain
        }
        _ => false,
    }
}

/// A chain's block.
#[derive(Debug)]
struct Block {
    /// `None` where the table's header is not in this file.
    table: Option<(TableFamily, String)>,
    chain: String,
    boundaries: Vec<Boundary>,
}

/// What of a file matters here.
#[derive(Debug, Default)]
struct Outline {
    blocks: Vec<Block>,
    /// The places outside of any brace.
    top: Vec<Boundary>,
    includes: Vec<String>,
}

/// What an open brace belongs to.
#[derive(Clone, Debug)]
enum Frame {
    Table(TableFamily, String),
    /// The index of the block.
    Chain(usize),
    Other,
}

/// A word or a mark of the language.
#[derive(Debug, PartialEq, Eq)]
enum Token {
    Word(String),
    Text(String),
    Open,
    Close,
    /// A semicolon.
    End,
    /// The end of a line, and whether the statement goes on behind it.
    Line {
        continued: bool,
    },
}

impl Outline {
    fn of(bytes: &[u8]) -> Self {
        let mut outline = Self::default();
        let mut stack: Vec<Frame> = Vec::new();
        let mut words: Vec<String> = Vec::new();
        let mut line = 0;
        let mut first = true;
        outline.boundary(&stack, 0);
        for token in tokens(bytes) {
            match token {
                Token::Word(word) => {
                    if first && !matches!(word.as_str(), "type" | "policy" | "device" | "devices") {
                        outline.mark_rule(&stack, line);
                    }
                    first = false;
                    words.push(word);
                }
                Token::Text(text) => {
                    if words.last().is_some_and(|word| word == "include") {
                        outline.includes.push(text.clone());
                    }
                    first = false;
                    words.push(text);
                }
                Token::Open => {
                    let frame = outline.open(&stack, &words);
                    stack.push(frame);
                    words.clear();
                }
                Token::Close => {
                    stack.pop();
                    words.clear();
                    first = false;
                }
                Token::End => words.clear(),
                Token::Line { continued } => {
                    line += 1;
                    first = true;
                    if !continued {
                        words.clear();
                        outline.boundary(&stack, line);
                    }
                }
            }
        }
        if bytes.last().is_some_and(|last| *last != b'\n') {
            outline.boundary(&stack, line + 1);
        }
        outline
    }

    /// What a brace opens, told by the words before it.
    fn open(&mut self, stack: &[Frame], words: &[String]) -> Frame {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let words = match words.as_slice() {
            ["add" | "create", rest @ ..] => rest,
            all => all,
        };
        // A table stands in nothing else. Not looking further keeps very many braces from taking very long.
        let table = stack.first().and_then(|frame| match frame {
            Frame::Table(family, name) => Some((*family, name.clone())),
            _ => None,
        });
        let (table, chain) = match (words, stack.last()) {
            (["table", name], None) => return Frame::Table(TableFamily::Ip, (*name).to_owned()),
            (["table", word, name], None) => {
                return match family(word) {
                    Some(family) => Frame::Table(family, (*name).to_owned()),
                    None => Frame::Other,
                };
            }
            (["chain", chain], None | Some(Frame::Table(..))) => (table, chain),
            (["chain", table, chain], None) => {
                (Some((TableFamily::Ip, (*table).to_owned())), chain)
            }
            (["chain", word, table, chain], None) => match family(word) {
                Some(family) => (Some((family, (*table).to_owned())), chain),
                None => return Frame::Other,
            },
            _ => return Frame::Other,
        };
        self.blocks.push(Block {
            table,
            chain: (*chain).to_owned(),
            boundaries: Vec::new(),
        });
        Frame::Chain(self.blocks.len() - 1)
    }

    /// The places of the innermost open block.
    fn boundaries(&mut self, stack: &[Frame]) -> Option<&mut Vec<Boundary>> {
        match stack.last() {
            None => Some(&mut self.top),
            Some(Frame::Chain(index)) => self
                .blocks
                .get_mut(*index)
                .map(|block| &mut block.boundaries),
            Some(Frame::Table(..) | Frame::Other) => None,
        }
    }

    fn boundary(&mut self, stack: &[Frame], line: usize) {
        if let Some(boundaries) = self.boundaries(stack) {
            boundaries.push(Boundary { line, rule: false });
        }
    }

    /// The line that begins here may be a rule.
    fn mark_rule(&mut self, stack: &[Frame], line: usize) {
        if let Some(last) = self.boundaries(stack).and_then(|all| all.last_mut())
            && last.line == line
        {
            last.rule = true;
        }
    }
}

fn family(word: &str) -> Option<TableFamily> {
    match word {
        "ip" => Some(TableFamily::Ip),
        "ip6" => Some(TableFamily::Ip6),
        "inet" => Some(TableFamily::Inet),
        "netdev" => Some(TableFamily::Netdev),
        _ => None,
    }
}

/// Splits text into words and marks. Strings end with their line at the latest.
fn tokens(bytes: &[u8]) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = bytes;
    let mut continued = false;
    while let Some((byte, behind)) = rest.split_first() {
        let length_of = |ends: fn(u8) -> bool| {
            behind
                .iter()
                .position(|byte| ends(*byte))
                .unwrap_or(behind.len())
        };
        let word = |length: usize| {
            String::from_utf8_lossy(rest.get(..=length).unwrap_or_default()).into_owned()
        };
        let mut skip = 0;
        match byte {
            b'\n' => {
                tokens.push(Token::Line { continued });
                continued = false;
            }
            b'#' => skip = length_of(|byte| byte == b'\n'),
            b'"' => {
                skip = length_of(|byte| byte == b'"' || byte == b'\n');
                let text = behind.get(..skip).unwrap_or_default();
                tokens.push(Token::Text(String::from_utf8_lossy(text).into_owned()));
                skip += usize::from(behind.get(skip) == Some(&b'"'));
            }
            b'{' => tokens.push(Token::Open),
            b'}' => tokens.push(Token::Close),
            b';' => tokens.push(Token::End),
            b'\\' => continued = behind.first() == Some(&b'\n'),
            byte if byte.is_ascii_whitespace() => {}
            _ => {
                skip = length_of(ends_word);
                tokens.push(Token::Word(word(skip)));
            }
        }
        rest = behind.get(skip..).unwrap_or_default();
    }
    tokens
}

fn ends_word(byte: u8) -> bool {
    byte.is_ascii_whitespace() || matches!(byte, b'{' | b'}' | b';' | b'"' | b'#' | b'\\')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(family: TableFamily, table: &str, chain: &str) -> OwnRule {
        OwnRule {
            family,
            table: table.to_owned(),
            chain: chain.to_owned(),
            index: 0,
            ports: PortRange::new(50000, 50100),
            local_only: false,
        }
    }

    fn lines(group: &Group) -> Vec<(usize, bool)> {
        let boundaries = group.boundaries.iter();
        boundaries
            .map(|boundary| (boundary.line, boundary.rule))
            .collect()
    }

    const TEXT: &str = r#"#!/usr/sbin/nft -f
flush ruleset
define open = { 22,
    80 } # table inet x {
table inet filter {
    set banned { type ipv4_addr; }
    chain input {
        type filter hook input priority 0; policy drop;
        tcp dport {
            22, 80
        } accept
        # last } words
        ip saddr @banned log prefix "in { # " \
            drop
    }
    chain one { accept; }
}
include "/etc/nft.d/*.nft"
include "more.nft"
add rule inet filter input drop
"#;

    #[test]
    fn the_places_are_inside_the_block_and_between_statements() {
        let rule = chain(TableFamily::Inet, "filter", "input");
        let groups = groups(TEXT.as_bytes(), &rule, false);
        assert_eq!(
            lines(&groups[0]),
            [(7, false), (8, true), (11, false), (12, true), (14, false)]
        );
        assert_eq!(groups[1].style, Style::Command);
        assert_eq!(lines(&groups[1]), [(19, true), (20, false)]);
        let top = lines(&groups[2]);
        assert_eq!(top.last(), Some(&(20, false)));
        assert!(top.contains(&(19, true)) && top.contains(&(17, false)));
        assert!(!top.contains(&(3, false)) && !top.contains(&(5, false)));
    }

    #[test]
    fn other_tables_chains_and_one_line_blocks_have_no_place() {
        let other = chain(TableFamily::Ip, "filter", "input");
        assert_eq!(groups(TEXT.as_bytes(), &other, false).len(), 1);
        let one = chain(TableFamily::Inet, "filter", "one");
        assert_eq!(
            groups(TEXT.as_bytes(), &one, false)[0].style,
            Style::Command
        );
        assert_eq!(includes(TEXT.as_bytes()), ["/etc/nft.d/*.nft", "more.nft"]);
    }

    #[test]
    fn pieces_in_drop_ins_are_found() {
        let rule = chain(TableFamily::Inet, "filter", "input");
        let chain_only = groups(b"chain input {\n drop\n}\n", &rule, true);
        assert_eq!(lines(&chain_only[0]), [(1, true), (2, false)]);
        assert!(groups(b"chain input {\n drop\n}\n", &rule, false)[0].style == Style::Command);
        let bare = groups(b"# web\ntcp dport 80 accept\n", &rule, true);
        assert_eq!(lines(&bare[0]), [(0, false), (1, true), (2, false)]);
        let plain = chain(TableFamily::Ip, "filter", "input");
        let default_family = groups(b"table filter {\nchain input {\n}\n}", &plain, false);
        assert_eq!(lines(&default_family[0]), [(2, false)]);
        assert_eq!(lines(&default_family[1]), [(0, false), (4, false)]);
        let command = groups(b"add chain ip filter input {\n}\n", &plain, false);
        assert_eq!(lines(&command[0]), [(1, false)]);
    }

    #[test]
    fn nothing_makes_the_lexer_panic() {
        for text in [
            "",
            "\"",
            "{",
            "}}}",
            "\\",
            "include",
            "include \"",
            "a\\\n{",
            "\u{fffd}#",
        ] {
            let _ = Outline::of(text.as_bytes());
        }
        let _ = Outline::of(&[0xff, b'{', 0, b'"', 0xfe]);
    }
}
