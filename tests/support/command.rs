//! Child processes with a bounded run time.

use std::io::{Read, Seek, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// What a finished command left behind.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Output {
    /// The standard output; panics unless the command succeeded.
    #[track_caller]
    pub(crate) fn expect_success(self, what: &str) -> String {
        assert!(
            self.status.success(),
            "{what}: {}\n{}{}",
            self.status,
            self.stdout,
            self.stderr
        );
        self.stdout
    }
}

/// A child process that is ended, by its own id, when the value goes away.
#[derive(Debug)]
pub(crate) struct Running(pub(crate) Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// No command of the tests takes nearly as long, even on a busy machine.
const LIMIT: Duration = Duration::from_secs(300);

/// Runs a command to its end, with `input` on its standard input; panics when it does not end.
#[track_caller]
pub(crate) fn run(command: &mut Command, input: &str) -> Output {
    run_within(LIMIT, command, input)
}

/// The same for a command that has much to do.
#[track_caller]
pub(crate) fn run_within(limit: Duration, command: &mut Command, input: &str) -> Output {
    let mut stdin = memory();
    stdin.write_all(input.as_bytes()).expect("write the input");
    stdin.rewind().expect("rewind the input");
    let [mut stdout, mut stderr] = [memory(), memory()];
    let child = command
        .stdin(stdin)
        .stdout(stdout.try_clone().expect("share the file"))
        .stderr(stderr.try_clone().expect("share the file"))
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let status =
        finish(Running(child), limit).unwrap_or_else(|| panic!("{command:?} does not end"));
    Output {
        status,
        stdout: text(&mut stdout),
        stderr: text(&mut stderr),
    }
}

/// Waits for a child; `None` (and the child is ended) when `limit` passes.
pub(crate) fn finish(mut child: Running, limit: Duration) -> Option<ExitStatus> {
    let start = Instant::now();
    while start.elapsed() < limit {
        if let Some(status) = child.0.try_wait().expect("wait for the child") {
            return Some(status);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    None
}

/// A file in memory instead of a pipe: a large output can then never block the command, nor a full disk lose it.
pub(crate) fn memory() -> std::fs::File {
    let file = rustix::fs::memfd_create("output", rustix::fs::MemfdFlags::CLOEXEC);
    std::fs::File::from(file.expect("a file in memory"))
}

/// All that is in such a file.
pub(crate) fn text(file: &mut std::fs::File) -> String {
    let mut bytes = Vec::new();
    file.rewind().expect("rewind the output");
    file.read_to_end(&mut bytes).expect("read the output");
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A command whose input comes from nowhere.
pub(crate) fn quiet(program: &str) -> Command {
    let mut command = Command::new(program);
    // Not the host's lock of iptables-legacy: an ordinary user may not open it, and nobody should wait for these tests.
    let lock = format!(
        "pasvsync-tests-{}.xtables.lock",
        rustix::process::getuid().as_raw()
    );
    command
        .env("XTABLES_LOCKFILE", std::env::temp_dir().join(lock))
        .stdin(Stdio::null());
    command
}
