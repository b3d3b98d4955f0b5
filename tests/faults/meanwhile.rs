//! What others do at the worst moment, exactly then.

use super::prepared;
use super::scenarios::{NFTABLES_REMOVE, NFTABLES_SYNC, Scenario};
use super::tracer::{Fault, Point, Traced, trace};
use crate::support::command::run;
use crate::support::host::{Host, plain};
use crate::support::program::PROGRAM;

const BOOT_FILE: &str = "/etc/nftables.conf";

/// Has something happen right before the boot file is put in its place.
fn before_the_file_is_written(scenario: Scenario, work: fn()) -> Option<(Host, Traced)> {
    let host = prepared(scenario)?;
    let point = Point {
        program: "pasvsync".to_owned(),
        call: "renameat",
        number: 1,
    };
    let inject = (&point, Fault::Meanwhile(work));
    let run = host.run(|| trace(PROGRAM, scenario.command, Some(inject)));
    let hit = run.hit.as_deref().unwrap_or_default();
    assert!(hit.contains("nftables.conf"), "{hit}: {run:?}");
    Some((host, run))
}

/// `systemctl reload nftables`, which loads what the file says as yet.
fn reload() {
    let mut reload = plain("nft");
    run(reload.args(["-f", BOOT_FILE]), "").expect_success("reload");
}

#[test]
fn a_reload_between_the_two_edits() {
    let Some((host, run)) = before_the_file_is_written(NFTABLES_SYNC, reload) else {
        return;
    };
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(
        host.must("nft", &["list", "ruleset"])
            .contains("51000-51009"),
        "{run:?}"
    );
    assert!(host.read(BOOT_FILE).contains("51000-51009"), "{run:?}");

    let removed = before_the_file_is_written(NFTABLES_REMOVE, reload);
    let (host, run) = removed.expect("a second host");
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(
        !host.must("nft", &["list", "ruleset"]).contains("pasvsync"),
        "{run:?}"
    );
    assert!(
        !host.read(BOOT_FILE).contains("comment \"pasvsync\""),
        "{run:?}"
    );
}

/// Somebody saves the boot file from an editor: by then the new text is there, and theirs is the one that stays.
#[test]
fn an_edit_of_the_boot_file() {
    fn edit() {
        let text = fs_err::read_to_string(BOOT_FILE).expect("the boot file");
        fs_err::write(BOOT_FILE, text + "# by hand\n").expect("edit the boot file");
    }
    // The last look at the file comes before the rename; whoever writes in between could be lost on any system.
    let Some(host) = prepared(NFTABLES_SYNC) else {
        return;
    };
    for (call, number) in [("fsync", 1), ("fchmod", 1)] {
        let point = Point {
            program: "pasvsync".to_owned(),
            call,
            number,
        };
        let inject = (&point, Fault::Meanwhile(edit));
        let run = host.run(|| trace(PROGRAM, &["sync"], Some(inject)));
        if run
            .hit
            .as_deref()
            .is_some_and(|hit| hit.contains(".nftables.conf.pasvsync"))
        {
            assert_eq!(run.code, Some(0), "started over: {run:?}");
            let text = host.read(BOOT_FILE);
            assert!(
                text.contains("# by hand") && text.contains("51000-51009"),
                "{text}"
            );
            return;
        }
    }
    panic!("the boot file was not written");
}
