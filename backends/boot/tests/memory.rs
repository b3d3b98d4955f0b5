//! The remembered proof.

use std::time::Instant;

use super::*;

const TEXT: &str = "include \"/etc/nftables.d/*.nft\"
table inet f {
\tchain c {
\t\ttype filter hook input priority 0; policy drop
\t\ttcp dport 50000-50100 accept
\t}
}
";

fn judged(layer: &mut BootLayer, desired: &Desired) -> Proof {
    let ruleset = layer.ruleset().unwrap();
    let reach = Family::BOTH.map(|family| proof::trace(&ruleset, family, &desired.ports));
    Proof {
        reach: reach.to_vec(),
        filters: true,
    }
}

#[test]
fn a_proof_is_remembered_until_anything_changes() {
    in_namespace(|| {
        let system = System::new();
        system.enable("nftables").file("etc/nftables.conf", TEXT);
        let desired = desired("50000-50100");
        let mut layer = system.layer();
        assert_eq!(layer.remembered(&desired), None);
        let start = Instant::now();
        let proof = judged(&mut layer, &desired);
        let fresh = start.elapsed();
        layer.remember(&desired, &proof);
        let start = Instant::now();
        let remembered = system.layer().remembered(&desired);
        eprintln!("fresh {fresh:?}, remembered {:?}", start.elapsed());
        assert_eq!(remembered, Some(proof));
        let folder = fs_err::metadata(system.path("var/lib/pasvsync")).unwrap();
        assert_eq!(folder.mode() & 0o7777, 0o700);

        let forgotten = |why: &str| assert_eq!(system.layer().remembered(&desired), None, "{why}");
        let known = || assert!(system.layer().remembered(&desired).is_some());
        assert_eq!(
            BootLayer::open(system.folder.path(), true).remembered(&desired),
            None
        );
        assert_eq!(system.layer().remembered(&super::desired("50000")), None);
        system.file("etc/nftables.d/new.nft", "");
        forgotten("a new drop-in");
        fs_err::remove_file(system.path("etc/nftables.d/new.nft")).unwrap();
        known();
        system.file("etc/nftables.conf", &TEXT.replace("drop", "accept"));
        forgotten("another text");
        system.file("etc/nftables.conf", TEXT);
        known();
        system
            .enable("iptables")
            .file("etc/sysconfig/iptables", "*filter\nCOMMIT\n");
        forgotten("another loader");
        fs_err::remove_file(
            system.path("etc/systemd/system/multi-user.target.wants/iptables.service"),
        )
        .unwrap();
        known();
        ip("link add eth9 type bridge");
        forgotten("another interface");
        ip("link del eth9");
        known();
        let proof = system.path("var/lib/pasvsync/boot.proof");
        let content = fs_err::read(&proof).unwrap();
        fs_err::write(&proof, &content[..content.len() - 1]).unwrap();
        forgotten("damage");
        fs_err::write(&proof, content).unwrap();
        known();
        fs_err::set_permissions(
            system.path("var/lib/pasvsync"),
            PermissionsExt::from_mode(0o755),
        )
        .unwrap();
        forgotten("a folder that others can enter");
        layer.remember(
            &super::desired(""),
            &Proof {
                reach: Vec::new(),
                filters: true,
            },
        );
        assert!(!system.path("var/lib/pasvsync").exists());
    });
}

#[test]
fn what_is_not_open_is_not_remembered() {
    in_namespace(|| {
        let system = System::new();
        system.enable("nftables").file("etc/nftables.conf", TEXT);
        let desired = desired("60000");
        let mut layer = system.layer();
        let proof = judged(&mut layer, &desired);
        layer.remember(&desired, &proof);
        assert!(!system.path("var/lib/pasvsync").exists());
    });
}
