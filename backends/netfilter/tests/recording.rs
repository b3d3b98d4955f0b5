//! What the kernel says, recorded: read again it is the same ruleset. The recordings are where fuzzing starts.

use std::path::{Path, PathBuf};
use std::process::Command;

use netlink_sys::protocols;
use sha2::{Digest as _, Sha256};

use super::{in_namespace, load, ruleset, run};
use crate::model::ruleset::Ruleset;
use crate::netfilter::Scope;
use crate::netfilter::attributes::put_text;
use crate::netfilter::decode::objects::family_number;
use crate::netfilter::ipsets;
use crate::netfilter::netlink::{Channel, SUBSYSTEM, netfilter_header};
use crate::netfilter::replay::replay;

/// The kinds of `nf_tables` requests that need nothing more: tables, chains, rules, sets.
const LISTS: [u16; 4] = [1, 4, 7, 10];
const GET_ELEMENT: u16 = 13; // NFT_MSG_GETSETELEM
const GET_LINK: u16 = 18; // RTM_GETLINK
const GET_ADDRESS: u16 = 22; // RTM_GETADDR
const DUMP: u16 = 0x301; // NLM_F_REQUEST | NLM_F_DUMP

/// Everything that the kernel says of the interfaces in this namespace, and of a ruleset.
fn record(ruleset: &Ruleset) -> [Vec<u8>; 2] {
    let [mut links, mut rules] = [const { Vec::new() }; 2];
    let mut channel = Channel::open(protocols::NETLINK_ROUTE).unwrap();
    for (kind, header) in [(GET_LINK, 16), (GET_ADDRESS, 8)] {
        channel.request(kind, DUMP, &vec![0; header]).unwrap();
        append(&mut channel, &mut links);
    }
    let mut channel = Channel::open(protocols::NETLINK_NETFILTER).unwrap();
    let mut requests: Vec<(u16, Vec<u8>)> = LISTS
        .map(|kind| (kind, netfilter_header(0).to_vec()))
        .into();
    for table in &ruleset.tables {
        for set in &table.sets {
            let mut body = netfilter_header(family_number(table.family)).to_vec();
            put_text(&mut body, 1, &table.name);
            put_text(&mut body, 2, &set.name);
            requests.push((GET_ELEMENT, body));
        }
    }
    for (kind, body) in requests {
        channel.request(SUBSYSTEM | kind, DUMP, &body).unwrap();
        // A set that stands for a match of iptables is none of the kernel's.
        append(&mut channel, &mut rules);
    }
    [links, rules]
}

/// Appends the kernel's answers.
fn append(channel: &mut Channel, recording: &mut Vec<u8>) {
    let _ = channel.collect(usize::MAX, |message| {
        let length = 16 + u32::try_from(message.body.len()).unwrap();
        recording.extend(length.to_ne_bytes());
        recording.extend(message.kind.to_ne_bytes());
        recording.extend([0; 10]);
        recording.extend(message.body);
        recording.resize(recording.len().next_multiple_of(4), 0);
    });
}

/// What was read in this namespace is read alike from its recording; with UPDATE that of the rules is kept for fuzzing.
pub(super) fn reads_alike(ruleset: &Ruleset) {
    let [links, rules] = record(ruleset);
    let mut again = replay(&[links, rules.clone()].concat(), Scope::Everything).unwrap();
    // What is in an ipset is asked for by name, when the rules are read.
    ipsets::read(&mut again.tables).unwrap();
    assert_eq!(again.tables, ruleset.tables);
    assert_eq!(again.interfaces, ruleset.interfaces);
    if std::env::var_os("UPDATE").is_some() {
        let name = name(&rules);
        let path = root().join("fuzz/seeds/netlink").join(name);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, [b"0", rules.as_slice()].concat()).unwrap();
    }
}

/// A name of its own for each recording.
fn name(recording: &[u8]) -> String {
    let digest = Sha256::digest(recording);
    digest
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

#[test]
fn the_rulesets_of_many_hosts_read_alike() {
    let folder = root().join("tests/kernel/rulesets");
    let mut count = 0;
    for entry in fs_err::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        in_namespace(move || {
            for name in ["eth0", "eth1"] {
                let peer = format!("p{name}");
                let words = ["link", "add", name, "type", "veth", "peer", "name", &peer];
                run(Command::new("ip").args(words), "").unwrap();
            }
            let text = fs_err::read_to_string(&path).unwrap();
            match path.extension().and_then(|kind| kind.to_str()) {
                Some("v4") => drop(run(&mut Command::new("iptables-nft-restore"), &text).unwrap()),
                Some("v6") => drop(run(&mut Command::new("ip6tables-nft-restore"), &text).unwrap()),
                _ => load(&text),
            }
            reads_alike(&ruleset(Scope::Everything));
        });
        count += 1;
    }
    assert!(count > 40, "{count}");
}
