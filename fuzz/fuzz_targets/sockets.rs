#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| pasvsync::fuzzing::sockets(bytes));
