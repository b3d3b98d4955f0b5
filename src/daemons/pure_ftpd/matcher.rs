//! One rule of simpleconf against one line: `try_entry` of simpleconf.c, state by state (SRC 1.0.50).

use crate::daemons::text;

/// What one entry makes of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Attempt {
    /// Nothing to do: blank, a comment, a switch that is off.
    Ignore,
    /// Another property.
    NotThis,
    /// The property, with another value than it takes; the offset is where.
    Mismatch(usize),
    /// A syntax error: no other entry is tried.
    Syntax(usize),
    /// The entry's own rule breaks down; the daemon aborts.
    Bogus,
    /// A switch with its value.
    Take(Vec<u8>),
    /// An include.
    Include(Vec<u8>),
}

#[derive(Clone, Copy, Debug)]
enum State {
    Name,
    AfterName,
    AfterNameBlank,
    AfterSeparator,
    Rule,
    Run(fn(u8) -> bool),
    Any,
    AnyWithinQuotes,
    AnyAfterQuotes,
    Boolean,
}

/// `try_entry`: one rule against one line, state by state as in C.
pub(super) fn attempt(rule: &[u8], full: &[u8]) -> Attempt {
    let line = text::trim_start(full);
    let base = full.len() - line.len();
    if matches!(line.first(), None | Some(b'#')) {
        return Attempt::Ignore;
    }
    let mut matcher = Matcher {
        rule,
        line,
        at_rule: 0,
        at_line: 0,
        start: None,
        captures: Vec::new(),
        expecting: false,
        boolean: None,
        special: false,
        wildcard: None,
    };
    match matcher.run() {
        Ok(attempt) => attempt,
        Err(Failure::NotThis) => Attempt::NotThis,
        Err(Failure::Bogus) => Attempt::Bogus,
        Err(Failure::Mismatch(at)) => Attempt::Mismatch(base + at),
        Err(Failure::Syntax(at)) => Attempt::Syntax(base + at),
    }
}

enum Failure {
    NotThis,
    Bogus,
    Mismatch(usize),
    Syntax(usize),
}

struct Matcher<'a> {
    rule: &'a [u8],
    line: &'a [u8],
    at_rule: usize,
    at_line: usize,
    start: Option<usize>,
    captures: Vec<&'a [u8]>,
    expecting: bool,
    boolean: Option<bool>,
    special: bool,
    wildcard: Option<usize>,
}

impl Matcher<'_> {
    fn byte(&self) -> u8 {
        self.line.get(self.at_line).copied().unwrap_or(0)
    }

    fn rule_byte(&self) -> u8 {
        self.rule.get(self.at_rule).copied().unwrap_or(0)
    }

    /// The place that an error names: the line's start when its end was reached.
    fn place(&self) -> usize {
        if self.at_line < self.line.len() {
            self.at_line
        } else {
            0
        }
    }

    fn syntax(&self) -> Failure {
        Failure::Syntax(self.place())
    }

    fn mismatch(&self) -> Failure {
        Failure::Mismatch(self.place())
    }

    fn run(&mut self) -> Result<Attempt, Failure> {
        let mut state = State::Name;
        while self.at_rule < self.rule.len() || self.at_line < self.line.len() {
            state = self.step(state)?;
        }
        if matches!(
            state,
            State::Name
                | State::AfterName
                | State::AfterNameBlank
                | State::AfterSeparator
                | State::AnyWithinQuotes
        ) || self.expecting
        {
            return Err(self.mismatch());
        }
        if self.boolean == Some(false) {
            return Ok(Attempt::Ignore);
        }
        if self.special {
            let from = self.wildcard.unwrap_or(self.at_line);
            return Ok(Attempt::Include(self.line[from..self.at_line].to_vec()));
        }
        Ok(Attempt::Take(self.captures.join(&b':')))
    }

    fn step(&mut self, state: State) -> Result<State, Failure> {
        let byte = self.byte();
        match state {
            State::Name => self.name(byte),
            State::AfterName => match byte {
                b'=' | b':' => Ok(self.advance(State::AfterSeparator)),
                _ if text::is_space(byte) => Ok(self.advance(State::AfterNameBlank)),
                _ => Err(self.syntax()),
            },
            State::AfterNameBlank => match byte {
                b'=' | b':' => Ok(self.advance(State::AfterSeparator)),
                _ if text::is_space(byte) => Ok(self.advance(State::AfterNameBlank)),
                _ => Ok(State::AfterSeparator),
            },
            State::AfterSeparator => match byte {
                b'=' | b':' => Err(self.syntax()),
                _ if text::is_space(byte) => Ok(self.advance(State::AfterSeparator)),
                _ if self.at_rule >= self.rule.len() => Err(self.syntax()),
                _ => {
                    self.wildcard = Some(self.at_line);
                    Ok(State::Rule)
                }
            },
            State::Rule => self.rule_step(byte),
            State::Run(accepts) if accepts(byte) => {
                self.expecting = false;
                Ok(self.advance(state))
            }
            State::Run(_) => Ok(State::Rule),
            State::Any => self.any(byte),
            State::AnyWithinQuotes => match byte {
                b'"' => Ok(State::AnyAfterQuotes),
                _ if is_print(byte) => {
                    self.expecting = false;
                    Ok(self.advance(state))
                }
                _ => Err(self.syntax()),
            },
            State::AnyAfterQuotes => {
                if self.rule_byte() == b')' {
                    self.capture()?;
                    self.at_line += 1;
                    self.at_rule += 1;
                }
                Ok(State::Rule)
            }
            State::Boolean => self.truth(),
        }
    }

    fn advance(&mut self, state: State) -> State {
        self.at_line += 1;
        state
    }

    fn name(&mut self, byte: u8) -> Result<State, Failure> {
        let wanted = self.rule_byte();
        match wanted {
            b' ' => {
                self.at_rule += 1;
                return Ok(State::AfterName);
            }
            b'?' if self.boolean.is_none() => self.boolean = Some(false),
            b'!' if !self.special => self.special = true,
            _ if byte != 0 && byte.eq_ignore_ascii_case(&wanted) => self.at_line += 1,
            _ => return Err(Failure::NotThis),
        }
        self.at_rule += 1;
        Ok(State::Name)
    }

    fn rule_step(&mut self, byte: u8) -> Result<State, Failure> {
        let wanted = self.rule_byte();
        match wanted {
            0 => return Err(self.mismatch()),
            b'(' => self.start = Some(self.at_line),
            b')' => self.capture()?,
            b'<' => return self.placeholder(),
            b' ' => {
                self.at_rule += 1;
                self.expecting = true;
                return Ok(State::Run(text::is_space));
            }
            _ if byte == wanted => self.at_line += 1,
            _ => return Err(self.mismatch()),
        }
        self.at_rule += 1;
        Ok(State::Rule)
    }

    fn placeholder(&mut self) -> Result<State, Failure> {
        let rest = &self.rule[self.at_rule..];
        let known: [(&[u8], State); 6] = [
            (b"<alnum>", State::Run(|byte| byte.is_ascii_alphanumeric())),
            (b"<digits>", State::Run(|byte| byte.is_ascii_digit())),
            (b"<nospace>", State::Run(|byte| byte.is_ascii_graphic())),
            (b"<any>", State::Any),
            (b"<any*>", State::Run(is_print)),
            (b"<bool>", State::Boolean),
        ];
        let found = known.iter().find(|(name, _)| rest.starts_with(name));
        let Some(&(name, state)) = found else {
            return Err(Failure::Bogus);
        };
        self.at_rule += name.len();
        if !matches!(state, State::Boolean) {
            self.expecting = true;
        }
        Ok(state)
    }

    /// `<any>`: quotes group when they open the value; in the middle of one the daemon aborts.
    fn any(&mut self, byte: u8) -> Result<State, Failure> {
        if byte == b'"' {
            match self.start {
                Some(start) if start == self.at_line => self.start = Some(start + 1),
                Some(_) => return Err(Failure::Bogus),
                None => {}
            }
            return Ok(self.advance(State::AnyWithinQuotes));
        }
        if byte.is_ascii_graphic() {
            self.expecting = false;
            return Ok(self.advance(State::Run(|byte| byte.is_ascii_graphic())));
        }
        Ok(State::Rule)
    }

    fn truth(&mut self) -> Result<State, Failure> {
        let rest = &self.line[self.at_line..];
        let starts = |word: &&[u8]| {
            rest.get(..word.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(word))
        };
        let yes: [&[u8]; 4] = [b"yes", b"on", b"true", b"1"];
        let no: [&[u8]; 4] = [b"no", b"off", b"false", b"0"];
        let (word, value) = match (
            yes.iter().copied().find(starts),
            no.iter().copied().find(starts),
        ) {
            (Some(word), _) => (word, true),
            (None, Some(word)) => (word, false),
            (None, None) => return Err(self.syntax()),
        };
        self.at_line += word.len();
        self.boolean = Some(value);
        Ok(State::Rule)
    }

    fn capture(&mut self) -> Result<(), Failure> {
        let Some(start) = self.start.take() else {
            return Err(Failure::Mismatch(0));
        };
        let rest = self.line.get(start..).unwrap_or_default();
        let from = start + rest.len() - text::trim_start(rest).len();
        // In C the length wraps when the blanks reach beyond the end, and something is captured.
        let captured = text::trim(self.line.get(start..self.at_line).unwrap_or_default());
        if captured.is_empty() && from <= self.at_line {
            return Err(Failure::Mismatch(0));
        }
        self.captures.push(captured);
        Ok(())
    }
}

/// C's `isprint` in the C locale.
fn is_print(byte: u8) -> bool {
    byte.is_ascii_graphic() || byte == b' '
}
