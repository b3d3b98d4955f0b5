//! Running other programs: with a time limit, their words kept.

use std::fs::File;
use std::io::{Read as _, Seek as _};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rustix::fs::MemfdFlags;

/// How long between two looks at whether it has ended.
const PAUSE: Duration = Duration::from_millis(5);
/// No more of what a program says is kept.
const MOST_WORDS: u64 = 64 * 1024;

/// How a program ended.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Its exit status.
    pub status: ExitStatus,
    /// What it wrote to standard output and standard error.
    pub said: String,
}

impl Outcome {
    /// The last line that it wrote, which usually says why.
    pub fn last_words(&self) -> &str {
        let mut lines = self.said.lines().rev();
        lines
            .find(|line| !line.trim().is_empty())
            .unwrap_or("")
            .trim()
    }
}

/// Runs a program to its end.
///
/// # Errors
/// When it cannot be started, or does not end in time; then it has been killed.
pub fn run(
    words: &[String],
    environment: &[(String, String)],
    limit: Duration,
) -> anyhow::Result<Outcome> {
    let shown = words.join(" ");
    let (program, arguments) = words.split_first().context("no program to run")?;
    // A file, not a pipe: a daemon that it starts may keep its standard output open for good.
    let mut output = File::from(rustix::fs::memfd_create("output", MemfdFlags::CLOEXEC)?);
    let mut child = Command::new(program)
        .args(arguments)
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(Stdio::from(output.try_clone()?))
        .stderr(Stdio::from(output.try_clone()?))
        .spawn()
        .with_context(|| format!("cannot run `{shown}`"))?;
    let start = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if start.elapsed() > limit {
            child.kill()?;
            child.wait()?;
            anyhow::bail!("`{shown}` did not end within {} s", limit.as_secs());
        }
        std::thread::sleep(PAUSE);
    };
    let mut said = Vec::new();
    output.rewind()?;
    output.take(MOST_WORDS).read_to_end(&mut said)?;
    Ok(Outcome {
        status,
        said: String::from_utf8_lossy(&said).into_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn what_is_said_is_kept() {
        let script = words(&["sh", "-c", "echo $A; echo why >&2; exit 3"]);
        let environment = [("A".to_owned(), "x".to_owned())];
        let outcome = run(&script, &environment, Duration::from_secs(10)).unwrap();
        assert_eq!(outcome.status.code(), Some(3));
        assert_eq!(
            (outcome.said.as_str(), outcome.last_words()),
            ("x\nwhy\n", "why")
        );
    }

    #[test]
    fn nothing_runs_for_ever() {
        let error = run(&words(&["sleep", "60"]), &[], Duration::from_millis(30)).unwrap_err();
        assert_eq!(error.to_string(), "`sleep 60` did not end within 0 s");
    }
}
