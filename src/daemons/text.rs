//! Bytes and lines as C programs take them; shared by the parsers.

/// How many lines end in `bytes`.
pub(super) fn newlines(bytes: &[u8]) -> u32 {
    let newlines = bytes.split(|&byte| byte == b'\n').count() - 1;
    u32::try_from(newlines).unwrap_or(u32::MAX)
}

/// C's `isspace` in the C locale.
pub(super) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | 0x0B | 0x0C | b'\r')
}

/// Without leading blanks.
pub(super) fn trim_start(mut bytes: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = bytes
        && is_space(*first)
    {
        bytes = rest;
    }
    bytes
}

/// Without trailing blanks.
pub(super) fn trim_end(mut bytes: &[u8]) -> &[u8] {
    while let [rest @ .., last] = bytes
        && is_space(*last)
    {
        bytes = rest;
    }
    bytes
}

/// Without blanks on either side.
pub(super) fn trim(bytes: &[u8]) -> &[u8] {
    trim_start(trim_end(bytes))
}

/// The bytes before the first NUL: what a C string holds.
pub(super) fn c_string(bytes: &[u8]) -> &[u8] {
    bytes.split(|&byte| byte == 0).next().unwrap_or_default()
}

/// glibc's `atoi`: `strtol` (saturating at 64 bits) cut to 32 bits.
pub(super) fn atoi(bytes: &[u8]) -> i32 {
    let bytes = trim_start(bytes);
    let (negative, digits) = match bytes {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, bytes),
    };
    let limit = (1_u128 << 63) - u128::from(!negative);
    let magnitude = decimal(digits).min(limit) as u64 as u32;
    let value = if negative {
        magnitude.wrapping_neg()
    } else {
        magnitude
    };
    value.cast_signed()
}

/// A number as its author reads it, where [`atoi`] takes what it can of it: in decimal, and as large as it is written.
/// `None` when it is none, or letters follow at once.
pub(super) fn as_written(bytes: &[u8]) -> Option<u32> {
    let bytes = trim_start(bytes);
    let bytes = bytes.strip_prefix(b"+").unwrap_or(bytes);
    let digits = bytes.iter().take_while(|byte| byte.is_ascii_digit());
    let (digits, rest) = bytes.split_at(digits.count());
    let goes_on = rest.first().is_some_and(u8::is_ascii_alphabetic);
    let number = u32::try_from(decimal(digits)).unwrap_or(u32::MAX);
    (!digits.is_empty() && !goes_on).then_some(number)
}

/// glibc's `%u`: `strtoul` (saturating at 64 bits) cut to 32 bits; digits only.
pub(super) fn unsigned(digits: &[u8]) -> u32 {
    decimal(digits).min(u128::from(u64::MAX)) as u64 as u32
}

/// The number that the leading digits write, saturating far above 64 bits.
fn decimal(digits: &[u8]) -> u128 {
    digits
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .fold(0_u128, |value, digit| {
            value
                .saturating_mul(10)
                .saturating_add(u128::from(digit - b'0'))
        })
}

/// The words of a line, as shells and unit files write them: blanks separate, quotes of both kinds group.
pub(super) fn shell_words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = None::<String>;
    let mut quote = None::<char>;
    let mut characters = line.chars();
    while let Some(c) = characters.next() {
        match (quote, c) {
            (Some(open), _) if c == open => quote = None,
            (None, '"' | '\'') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None | Some('"'), '\\') => word.get_or_insert_default().extend(characters.next()),
            (None, _) if c.is_whitespace() => words.extend(word.take()),
            _ => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

/// fnmatch(3) with `FNM_PERIOD`, on one path component: `*`, `?`, `[...]`, `\`; a leading dot must be written out.
pub(super) fn matches_wildcard(pattern: &[u8], name: &[u8]) -> bool {
    if name.first() == Some(&b'.') && pattern.first() != Some(&b'.') {
        return false;
    }
    let (mut at_pattern, mut at_name) = (0, 0);
    let mut retry = None::<(usize, usize)>;
    while at_name < name.len() {
        if pattern.get(at_pattern) == Some(&b'*') {
            retry = Some((at_pattern + 1, at_name));
            at_pattern += 1;
        } else if let Some(next) = match_one(pattern, at_pattern, name[at_name]) {
            at_pattern = next;
            at_name += 1;
        } else if let Some((after_star, from)) = retry {
            retry = Some((after_star, from + 1));
            at_pattern = after_star;
            at_name = from + 1;
        } else {
            return false;
        }
    }
    pattern[at_pattern..].iter().all(|&byte| byte == b'*')
}

/// Where the pattern goes on after its part at `at` has matched `byte`.
fn match_one(pattern: &[u8], at: usize, byte: u8) -> Option<usize> {
    match *pattern.get(at)? {
        b'?' => Some(at + 1),
        b'[' => match_set(pattern, at, byte),
        b'\\' => (pattern.get(at + 1) == Some(&byte)).then_some(at + 2),
        literal => (literal == byte).then_some(at + 1),
    }
}

/// The same for a bracket; one without its end is an ordinary character.
fn match_set(pattern: &[u8], at: usize, byte: u8) -> Option<usize> {
    let negated = matches!(pattern.get(at + 1), Some(b'!' | b'^'));
    let first = at + 1 + usize::from(negated);
    let Some(end) = (first + 1..pattern.len()).find(|&index| pattern[index] == b']') else {
        return (byte == b'[').then_some(at + 1);
    };
    let set = &pattern[first..end];
    let mut inside = false;
    let mut index = 0;
    while index < set.len() {
        if set.get(index + 1) == Some(&b'-') && index + 2 < set.len() {
            inside |= (set[index]..=set[index + 2]).contains(&byte);
            index += 3;
        } else {
            inside |= set[index] == byte;
            index += 1;
        }
    }
    (inside != negated).then_some(end + 1)
}

#[cfg(test)]
mod tests {
    use super::{atoi, matches_wildcard, shell_words, unsigned};

    #[test]
    fn numbers_wrap_as_glibc_does() {
        assert_eq!(atoi(b" +0050000abc"), 50_000);
        assert_eq!(atoi(b"4295017296"), 50_000);
        assert_eq!(atoi(b"-1"), -1);
        assert_eq!(atoi(b"0xC350"), 0);
        assert_eq!(atoi(b"99999999999999999999"), -1);
        assert_eq!(unsigned(b"4295017296"), 50_000);
        assert_eq!(
            unsigned(b"99999999999999999999999999999999999999999999"),
            u32::MAX
        );
    }

    #[test]
    fn wildcards_are_those_of_fnmatch() {
        for (pattern, name, expected) in [
            ("*.conf", "a.conf", true),
            ("*.conf", ".a.conf", false),
            (".*", ".a", true),
            ("[0-9]*", "10.conf", true),
            ("[!a]?", "bc", true),
            ("[!a]?", "ac", false),
            ("a*b*c", "aXbYbc", true),
            ("a*b*c", "aXbYb", false),
            ("[", "[", true),
            ("\\*", "*", true),
        ] {
            assert_eq!(
                matches_wildcard(pattern.as_bytes(), name.as_bytes()),
                expected,
                "{pattern} {name}"
            );
        }
    }

    #[test]
    fn words_are_split_as_in_unit_files() {
        assert_eq!(shell_words(r#"a "b c" d\ e '' "#), ["a", "b c", "d e", ""]);
    }
}
