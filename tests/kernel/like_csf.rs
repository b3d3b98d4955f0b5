//! Chains and a csf.conf like csf's, written by hand: csf itself is not involved. `real_csf` has the real one.

use std::os::unix::fs::MetadataExt;

use super::story::{FIRST, SECOND, Story, inside};
use crate::support::program::FAMILIES;
use crate::support::ready;
use crate::support::world::{BANNED, CLIENT, World};

const TOOLS: [&str; 6] = [
    "nft",
    "ip",
    "nsenter",
    "strace",
    "iptables-nft-restore",
    "iptables-legacy-restore",
];
pub(crate) const CONF: &str = include_str!("csf/csf.conf");
const RULES: &str = include_str!("csf/rules.v4");

/// A host with chains and files like csf's.
pub(super) fn host(conf: &str) -> Option<World> {
    if !ready(&TOOLS) {
        return None;
    }
    let world = World::with_files(
        "mkdir -m 0600 /etc/csf /var/lib/csf; mkdir -m 0600 /var/lib/csf/backup; rm -rf /var/lib/pasvsync",
    )?;
    write(&world, conf);
    Some(world)
}

pub(super) fn write(world: &World, conf: &str) {
    let path = world.file("/etc/csf/csf.conf");
    fs_err::write(&path, conf).unwrap();
    fs_err::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
}

pub(super) fn conf(world: &World) -> String {
    fs_err::read_to_string(world.file("/etc/csf/csf.conf")).unwrap()
}

/// The rules of both families.
pub(crate) fn rules() -> [String; 2] {
    let v6 = RULES
        .replace("-p icmp ", "-p ipv6-icmp ")
        .replace("icmp-port-unreachable", "icmp6-port-unreachable")
        .replace("203.0.113.66/32", "2001:db8::66/128");
    [RULES.to_owned(), v6]
}

pub(super) fn load(world: &World) {
    let [v4, v6] = rules();
    world.load_iptables(&v4, &v6);
}

/// csf.conf with the range in all four lists, as csf's users write it.
fn edited((first, last): (u16, u16)) -> String {
    let item = format!("{first}:{last}");
    CONF.replace("TCP_IN = \"21,22\"", &format!("TCP_IN = \"21,22,{item}\""))
        .replace(
            "TCP_OUT = \"21, 22\"",
            &format!("TCP_OUT = \"21, 22,{item}\""),
        )
        .replace(
            "TCP6_IN = \"21,22\"",
            &format!("TCP6_IN = \"21,22,{item}\""),
        )
        .replace(
            "TCP6_OUT = \"21,22,\"",
            &format!("TCP6_OUT = \"21,22,{item},\""),
        )
}

/// The rules with the range where csf would put it: behind the last port of TCP, before those of UDP.
fn opened(saved: &str, (first, last): (u16, u16)) -> String {
    let lines = saved.lines().flat_map(|line| {
        let rule = line.ends_with("-m conntrack --ctstate NEW -m tcp --dport 22 -j ACCEPT");
        let new = line.replace("--dport 22", &format!("--dport {first}:{last}"));
        [Some(line.to_owned()), rule.then_some(new)]
    });
    lines.flatten().map(|line| line + "\n").collect()
}

fn saved(world: &World) -> String {
    world.saved() + &world.legacy()
}

/// The whole story, every step asked of real connections.
fn tell(world: &World) {
    let story = Story::begin(world);
    assert!(story.was_closed());
    let before = saved(world);
    let check = world.pasvsync(&["check"]).expect(3);
    for family in FAMILIES {
        assert_eq!(check.verdict(family, FIRST.0), "closed");
    }
    assert_eq!(check.report()["backends"][0]["backend"], "csf");
    story.assert_untouched();
    assert_eq!(conf(world), CONF);
    for range in [FIRST, SECOND] {
        world.want(range.0, range.1);
        let sync = world.pasvsync(&["sync"]).expect(0);
        assert!(sync.changed(), "{sync:?}");
        story.assert_reached(range);
        for from in BANNED {
            let reached = world.reached(from, &inside(range), |_| false);
            assert!(reached.is_empty(), "{from} is let in at {reached:?}");
        }
        assert_eq!(saved(world), opened(&before, range));
        assert_eq!(conf(world), edited(range));
        second_sync_changes_nothing(world);
    }
    let remove = world.pasvsync(&["remove"]).expect(0);
    assert!(remove.changed(), "{remove:?}");
    story.assert_restored();
    assert_eq!(conf(world), CONF);
    assert!(!world.file("/var/lib/pasvsync").exists());
}

/// Not a byte, not a rule, no other inode.
fn second_sync_changes_nothing(world: &World) {
    let metadata = || {
        let metadata = fs_err::metadata(world.file("/etc/csf/csf.conf")).unwrap();
        (
            metadata.ino(),
            metadata.mtime_nsec(),
            metadata.mode() & 0o7777,
        )
    };
    let (rules, file) = (world.exact(), metadata());
    let sync = world.pasvsync(&["sync"]).expect(0);
    assert!(!sync.changed(), "{sync:?}");
    world.pasvsync(&["check"]).expect(0);
    assert_eq!(world.exact(), rules);
    assert_eq!(metadata(), file);
    assert_eq!(file.2, 0o600);
}

#[test]
fn csf_not_involved_the_whole_story() {
    let Some(world) = host(CONF) else { return };
    load(&world);
    tell(&world);
    let backups = fs_err::read_dir(world.file("/var/lib/csf/backup")).unwrap();
    let mut backups: Vec<_> = backups.map(|entry| entry.unwrap().path()).collect();
    backups.sort();
    assert!(
        backups[0].to_string_lossy().ends_with("_pasvsync"),
        "{backups:?}"
    );
    assert_eq!(fs_err::read_to_string(&backups[0]).unwrap(), CONF);
}

#[test]
fn csf_not_involved_the_whole_story_in_iptables_legacy() {
    let Some(world) = host(CONF) else { return };
    let [v4, v6] = rules();
    if let Err(reason) = world.try_load_legacy([&v4, &v6]) {
        crate::support::skip(&reason);
        return;
    }
    tell(&world);
}

/// A no-op starts no program, and `check` none of csf's.
#[test]
fn csf_not_involved_a_no_op_starts_nothing() {
    let Some(world) = host(&edited(FIRST)) else {
        return;
    };
    let rules = rules().map(|text| opened(&text, FIRST));
    world.load_iptables(&rules[0], &rules[1]);
    world.want(FIRST.0, FIRST.1);
    let sync = world.pasvsync_alone(&["sync"]).expect(0);
    assert!(!sync.changed());
}

/// A wider range of the admin's is enough, and is never ours.
#[test]
fn csf_not_involved_coverage_counts_not_text() {
    let wide = CONF
        .replace("21,22\"", "21,22,40000:60000\"")
        .replace("21, 22\"", "20000:65000\"")
        .replace("21,22,\"", "40000:\"");
    let Some(world) = host(&wide) else { return };
    let rules = rules().map(|text| opened(&text, (40_000, 60_000)));
    world.load_iptables(&rules[0], &rules[1]);
    world.want(FIRST.0, FIRST.1);
    let sync = world.pasvsync(&["sync"]).expect(0);
    assert!(!sync.changed(), "{sync:?}");
    let remove = world.pasvsync(&["remove"]).expect(0);
    assert!(!remove.changed(), "{remove:?}");
    assert_eq!(conf(&world), wide);
}

/// What reads alike is not covered: `15000:51000` contains the text `5000:51000`.
#[test]
fn csf_not_involved_a_part_of_a_range_is_not_enough() {
    let narrow = CONF.replace("21,22\"", "21,22,50000:50050,15000:16000\"");
    let Some(world) = host(&narrow) else { return };
    load(&world);
    world.want(FIRST.0, FIRST.1);
    world.pasvsync(&["sync"]).expect(0);
    assert!(conf(&world).contains("TCP_IN = \"21,22,50000:50050,15000:16000,50000:50100\""));
    world.want(5000, 5100);
    world.pasvsync(&["sync"]).expect(0);
    assert!(conf(&world).contains("TCP_IN = \"21,22,50000:50050,15000:16000,5000:5100\""));
    world.pasvsync(&["remove"]).expect(0);
    assert_eq!(conf(&world), narrow);
}

/// An admin's own item of the same text is not ours, and stays.
#[test]
fn csf_not_involved_what_the_admin_wrote_stays() {
    let mine = edited(FIRST);
    let Some(world) = host(&mine) else { return };
    let [v4, v6] = rules().map(|text| opened(&text, FIRST));
    world.load_iptables(&v4, &v6);
    world.want(FIRST.0, FIRST.1);
    let before = world.exact();
    world.pasvsync(&["sync"]).expect(0);
    world.want(SECOND.0, SECOND.1);
    world.pasvsync(&["sync"]).expect(0);
    assert!(conf(&world).contains(&format!(
        "{}:{},{}:{}",
        FIRST.0, FIRST.1, SECOND.0, SECOND.1
    )));
    world.pasvsync(&["remove"]).expect(0);
    assert_eq!(conf(&world), mine);
    assert_eq!(world.exact().text, before.text);
}

/// What an unfinished run listed as ours and never made is no longer ours when an admin makes it.
#[test]
fn csf_not_involved_what_is_listed_and_not_there_is_forgotten() {
    let Some(world) = host(CONF) else { return };
    load(&world);
    world.want(FIRST.0, FIRST.1);
    world.pasvsync(&["sync"]).expect(0);
    let list = world.file("/var/lib/pasvsync/csf.owned");
    let listed = || fs_err::read_to_string(&list).unwrap();
    let before = listed();
    let unfinished = "TCP_IN 40000:40100 1700000000\nINPUT 40000:40100 1700000000\n";
    fs_err::write(&list, before.clone() + unfinished).unwrap();
    let sync = world.pasvsync(&["sync"]).expect(0);
    assert!(!sync.changed(), "{sync:?}");
    assert_eq!(listed(), before);
    let with_mine = |text: &str| text.replace("TCP_IN = \"21,22", "TCP_IN = \"21,22,40000:40100");
    write(&world, &with_mine(&edited(FIRST)));
    world.pasvsync(&["remove"]).expect(0);
    assert_eq!(conf(&world), with_mine(CONF));
}

#[test]
fn csf_not_involved_outbound_ports_can_be_left_out() {
    let Some(world) = host(CONF) else { return };
    load(&world);
    fs_err::write(world.file("/etc/pasvsync.toml"), "csf.tcp_out = false\n").unwrap();
    world.want(FIRST.0, FIRST.1);
    world.pasvsync(&["sync"]).expect(0);
    assert!(world.connects(CLIENT[0], FIRST.0) && world.connects(CLIENT[1], FIRST.1));
    let now = conf(&world);
    assert!(
        now.contains("TCP_OUT = \"21, 22\"") && now.contains("TCP6_OUT = \"21,22,\""),
        "{now}"
    );
    assert!(
        !saved(&world)
            .contains("-A OUTPUT ! -o lo -p tcp -m conntrack --ctstate NEW -m tcp --dport 50000")
    );
    // Switched on again, they come; switched off, they go.
    fs_err::write(world.file("/etc/pasvsync.toml"), "csf.tcp_out = true\n").unwrap();
    world.pasvsync(&["sync"]).expect(0);
    assert_eq!(conf(&world), edited(FIRST));
    fs_err::write(world.file("/etc/pasvsync.toml"), "csf.tcp_out = false\n").unwrap();
    world.pasvsync(&["sync"]).expect(0);
    assert_eq!(conf(&world), now);
}
