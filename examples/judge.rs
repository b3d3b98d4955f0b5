//! The library without FTP: what becomes of new connections to some ports of this host.
//!
//! `cargo run --example judge -- 21 50000-50100` (as root, or under `unshare -rn`).

use firewall::backend::{Backend as _, Layer, Scope};
use firewall::kernel::Kernel;
use firewall::model::ports::{PortRange, PortSet};
use firewall::model::reach::Family;
use firewall::proof;

#[expect(clippy::print_stdout, reason = "an example")]
fn main() -> firewall::Result<()> {
    let ports: PortSet = std::env::args()
        .skip(1)
        .filter_map(|word| range(&word))
        .collect();
    let ruleset = Kernel::open()?.ruleset(Layer::Runtime, Scope::InputPath)?;
    for family in Family::BOTH {
        let judgement = proof::judge(&ruleset, family, &ports);
        for (range, entry) in judgement.map.intervals() {
            println!(
                "{family} {range}: {} by {}",
                entry.reach.as_str(),
                entry.because
            );
        }
        for exception in judgement.exceptions(&ruleset) {
            println!("{family}: but some sources are turned away by {exception}");
        }
    }
    Ok(())
}

fn range(word: &str) -> Option<PortRange> {
    let (first, last) = word.split_once('-').unwrap_or((word, word));
    PortRange::new(first.parse().ok()?, last.parse().ok()?)
}
