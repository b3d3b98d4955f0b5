//! Every parser and decoder on the inputs that are kept in `fuzz/seeds`, and on many made from them: no panic, and what
//! has to hold of an answer holds. `PASVSYNC_FUZZ=N` makes so many of each.

use std::fs;
use std::path::Path;

use pasvsync::fuzzing::TARGETS;

use crate::kernel::generator::Random;

/// Longer inputs find nothing that shorter ones do not.
const LONGEST: usize = 16_384;

/// What nests deeply, includes itself, or is very long: targets, how an input starts, and what is repeated behind that.
const REPEATED: [(&str, &str, &str); 28] = [
    ("csf", "TCP_IN = \"", "1,"),
    ("daemons", PROFTPD, "<IfModule !x>\n"),
    ("daemons", PROFTPD, "<Global>\n"),
    ("daemons", PROFTPD, "Include /etc/proftpd/proftpd.conf\n"),
    ("daemons", PROFTPD, "Define A %{env:A}%{env:A}\n"),
    ("daemons", "a", "Include /etc/pure-ftpd/pure-ftpd.conf\n"),
    ("daemons", "d", "x=\\\n"),
    ("daemons", "e", "["),
    ("daemons", "e", "{\"a\":"),
    ("daemons", "fa=", "["),
    ("daemons", "fa=", "{a="),
    ("daemons", "f[a", ".a"),
    ("daemons", "g", "["),
    ("daemons", "g", "{a: "),
    ("daemons", "g", "- "),
    ("daemons", "h", "<a>"),
    ("daemons", "i", "["),
    (
        "daemons",
        "k[Service]\nEnvironment=A=$A\nExecStart=/usr/sbin/vsftpd ",
        "$A${A}",
    ),
    ("firewalld", "<", "<zone>"),
    ("firewalld", "<<zone ", "a=\"b\" "),
    ("firewalld", "<<zone>", "<service name=\"ftp\"/>"),
    ("iptables", "*filter\n", ":INPUT DROP [0:0]\n"),
    (
        "iptables",
        "*filter\n:INPUT DROP [0:0]\n",
        "-A INPUT --comment pasvsync\n",
    ),
    ("nftables", "", "{"),
    ("nftables", "", "table inet filter { chain input {"),
    ("nftables", "", "add rule inet filter input accept\n"),
    ("settings", "a=", "["),
    ("state", "pasvsync owns 1\n", "port a 1-2\n"),
];
/// The daemons' first file is chosen by this letter, the others by those behind it.
const PROFTPD: &str = "`";

/// The inputs that are kept for a target.
fn seeds(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds");
    let mut paths: Vec<_> = fs::read_dir(folder.join(target))
        .unwrap_or_else(|error| panic!("no seeds for {target}: {error}"))
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

/// An input made of another by a few changes, and of parts of others.
fn mutated(random: &mut Random, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = seeds[random.below(seeds.len())].clone();
    for _ in 0..=random.below(6) {
        let at = random.below(bytes.len() + 1);
        let end = bytes.len().min(at + random.below(24));
        match random.below(7) {
            0 => drop(bytes.drain(at..end)),
            1 => bytes.insert(at, random.below(256) as u8),
            2 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            3 => {
                let interesting = [0, 1, 0x7f, 0x80, 0xff, b'\n', b'"', b' '];
                let value = interesting[random.below(interesting.len())];
                bytes[at..end].fill(value);
            }
            4 => {
                let again = bytes[at..end].repeat(1 + random.below(4));
                bytes.splice(at..at, again);
            }
            5 => bytes.truncate(at),
            _ => {
                let other = &seeds[random.below(seeds.len())];
                let from = random.below(other.len() + 1);
                let to = other.len().min(from + random.below(64));
                bytes.splice(at..end, other[from..to].iter().copied());
            }
        }
    }
    bytes.truncate(LONGEST);
    bytes
}

/// Says which input it was when a target panics.
struct Input<'a>(&'static str, &'a [u8]);

impl Drop for Input<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{} panics on b\"{}\"", self.0, self.1.escape_ascii());
        }
    }
}

fn run(name: &'static str, target: fn(&[u8])) {
    let seeds = seeds(name);
    for seed in &seeds {
        let _input = Input(name, seed);
        target(seed);
    }
    for (_, start, piece) in REPEATED.iter().filter(|(known, ..)| *known == name) {
        let pieces = piece.repeat((LONGEST - start.len()) / piece.len());
        target([*start, &pieces].concat().as_bytes());
    }
    let count = std::env::var("PASVSYNC_FUZZ").map_or(300, |count| count.parse().unwrap());
    let mut random = Random::new(1);
    for _ in 0..count {
        let bytes = mutated(&mut random, &seeds);
        let _input = Input(name, &bytes);
        target(&bytes);
    }
}

#[test]
fn no_bytes_make_a_parser_panic() {
    let threads = TARGETS.map(|(name, target)| {
        let thread = std::thread::Builder::new().name(name.to_owned());
        thread.spawn(move || run(name, target)).unwrap()
    });
    for thread in threads {
        if let Err(panic) = thread.join() {
            std::panic::resume_unwind(panic);
        }
    }
}
