//! `pasvsync demo` tells a true story.

use std::process::Command;

use super::support::isolated;

#[test]
fn the_story_is_true() {
    // Only to know whether namespaces can be made here.
    if isolated(&["true"]).is_none() {
        return;
    }
    let output = Command::new(env!("CARGO_BIN_EXE_pasvsync"))
        .args(["demo", "--color", "never"])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(!text.contains("NOT TRUE"), "{text}");
    assert_eq!(output.status.code(), Some(0), "{text}\n{output:?}");
    assert!(text.contains("claims held"), "{text}");
}
