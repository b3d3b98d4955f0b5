//! Any bytes in the settings file: an error with a place, or settings.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Err(error) = pasvsync::settings::parse(Path::new("/etc/pasvsync.toml"), text) {
        assert!(!error.message.is_empty());
    }
});
