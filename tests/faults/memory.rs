//! The memory in /var/lib/pasvsync, damaged in every way: it is only a memory, and a run never trusts it blindly.

use super::prepared;
use super::scenarios::NFTABLES_SYNC;
use super::state::State;
use super::tracer::trace;
use crate::support::command::Output;
use crate::support::host::Host;
use crate::support::program::PROGRAM;

const FOLDER: &str = "/var/lib/pasvsync";
const PROOF: &str = "/var/lib/pasvsync/boot.proof";

/// A host in sync, whose proof is remembered.
struct Settled {
    host: Host,
    proof: Vec<u8>,
    state: State,
}

impl Settled {
    fn new() -> Option<Self> {
        let host = prepared(NFTABLES_SYNC)?;
        let run = host.pasvsync(&["sync"]);
        assert!(run.status.success(), "{run:?}");
        let proof = host.run(|| fs_err::read(PROOF)).expect("the proof");
        let state = State::of(&host).essence();
        Some(Self { host, proof, state })
    }

    /// A run says that all is well, and changes nothing.
    #[track_caller]
    fn holds(&self) -> Output {
        let run = self.host.pasvsync(&["sync"]);
        assert!(
            run.status.success() && run.stdout.starts_with("in sync"),
            "{run:?}"
        );
        assert_eq!(State::of(&self.host).essence(), self.state);
        run
    }

    /// The same, and the proof is remembered again: the next run starts no loader.
    #[track_caller]
    fn recovers(&self) -> Output {
        let run = self.holds();
        let now = self.host.run(|| fs_err::read(PROOF)).expect("the proof");
        assert_eq!(now, self.proof, "{run:?}");
        run
    }

    fn shell(&self, script: &str) {
        self.host.must("sh", &["-ec", script]);
    }

    fn starts_a_loader(&self) -> bool {
        let run = self.host.run(|| trace(PROGRAM, &["sync"], None));
        assert_eq!(run.code, Some(0), "{run:?}");
        run.calls.iter().any(|call| call.point.program == "nft")
    }
}

#[test]
fn damage_at_any_byte_is_noticed() {
    let Some(settled) = Settled::new() else {
        return;
    };
    let all = std::env::var("PASVSYNC_FAULTS").is_ok_and(|value| value == "all");
    let step = if all { 1 } else { 37 };
    let mut tried = 0;
    for index in (0..settled.proof.len()).step_by(step) {
        let mut flipped = settled.proof.clone();
        flipped[index] ^= 1;
        for bytes in [&flipped[..], &settled.proof[..index]] {
            settled
                .host
                .run(|| fs_err::write(PROOF, bytes))
                .expect("damage it");
            let run = settled.recovers();
            assert!(run.stderr.contains("is damaged"), "{index}: {run:?}");
            tried += 1;
        }
    }
    crate::support::say(&format!("{tried} damaged proofs were noticed, and mended"));
    assert!(!settled.starts_a_loader(), "the proof is remembered");
}

#[test]
fn another_version_and_loss_are_no_damage() {
    let Some(settled) = Settled::new() else {
        return;
    };
    // With the sum that such a version would have written.
    settled.shell(&format!(
        "text=$(sed '1s/1$/2/;$d' {PROOF}); printf '%s\\n' \"$text\" >/tmp/new; \
         echo \"sum $(sha256sum </tmp/new | cut -d' ' -f1)\" >>/tmp/new; cat /tmp/new >{PROOF}; rm /tmp/new"
    ));
    assert_eq!(settled.recovers().stderr, "");
    settled.shell(&format!("rm {PROOF}"));
    assert_eq!(settled.recovers().stderr, "");
    settled.shell(&format!("rm -r {FOLDER}"));
    assert_eq!(settled.recovers().stderr, "");
    assert!(!settled.starts_a_loader(), "the proof is remembered");
}

/// What is no plain file of root's is neither read nor followed; a name is taken back where that takes nothing away.
#[test]
fn what_stands_in_the_place_of_the_proof() {
    let Some(settled) = Settled::new() else {
        return;
    };
    settled.shell("echo precious >/etc/precious");
    for script in [
        "ln -s /etc/precious boot.proof",
        "ln -s /nowhere boot.proof",
        "ln -s boot.proof boot.proof",
        "mkfifo boot.proof",
        "mknod boot.proof c 1 5",
        "cp /etc/precious boot.proof; chown 1000 boot.proof",
        "cp /etc/precious boot.proof; chmod 666 boot.proof",
    ] {
        settled.shell(&format!("cd {FOLDER}; rm -rf boot.proof; {script}"));
        settled.recovers_beside_precious(script);
    }
    for script in [
        "ln -s /etc/precious .boot.proof.pasvsync",
        "mkfifo .boot.proof.pasvsync",
    ] {
        settled.shell(&format!(
            "cd {FOLDER}; rm -rf .*.pasvsync boot.proof; {script}"
        ));
        settled.recovers_beside_precious(script);
    }
    settled.shell(&format!("cd {FOLDER}; rm boot.proof; mkdir boot.proof"));
    settled.holds_beside_precious("a folder");
    settled.shell(&format!(
        "cd {FOLDER}; rmdir boot.proof; mkdir .boot.proof.pasvsync"
    ));
    settled.holds_beside_precious("a folder with the temporary name");
}

impl Settled {
    fn recovers_beside_precious(&self, what: &str) {
        self.holds_beside_precious(what);
        let now = self.host.run(|| fs_err::read(PROOF)).expect("the proof");
        assert_eq!(now, self.proof, "{what}");
    }

    fn holds_beside_precious(&self, what: &str) {
        let run = self.host.pasvsync(&["sync"]);
        assert!(
            run.status.success() && run.stdout.starts_with("in sync"),
            "{what}: {run:?}"
        );
        assert_eq!(self.host.read("/etc/precious"), "precious\n", "{what}");
    }
}

/// The folder itself must be root's alone. Nothing is written through it otherwise, and the run says why.
#[test]
fn a_folder_that_is_not_roots_alone() {
    let Some(settled) = Settled::new() else {
        return;
    };
    for (script, words) in [
        (
            format!("ln -s /etc/elsewhere {FOLDER}"),
            "is no folder that only root can enter",
        ),
        (
            format!("touch {FOLDER}"),
            "is no folder that only root can enter",
        ),
        (
            format!("mkdir -m 770 {FOLDER}"),
            "is no folder that only root can enter",
        ),
        (
            format!("mkdir -m 755 {FOLDER}"),
            "is no folder that only root can enter",
        ),
        (
            format!("mkdir -m 700 {FOLDER}; chown 1000 {FOLDER}"),
            "belongs to user 1000",
        ),
    ] {
        settled.shell(&format!(
            "rm -rf {FOLDER} /etc/elsewhere; mkdir -m 777 /etc/elsewhere; {script}"
        ));
        let run = settled.host.pasvsync(&["sync"]);
        assert!(
            run.status.success() && run.stdout.starts_with("in sync"),
            "{script}: {run:?}"
        );
        assert!(run.stderr.contains(words), "{script}: {run:?}");
        let script = format!("cd {FOLDER} 2>/dev/null || exit 0; ls -A");
        assert_eq!(settled.host.must("sh", &["-c", &script]), "", "{script}");
        assert!(settled.starts_a_loader(), "nothing of it is trusted");
    }
}
