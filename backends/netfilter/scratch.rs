//! A scratch network namespace: boot's own loaders fill it, and it is read back like the host's.
//!
//! Nothing of it can be seen from outside, and it is gone when its last process is. The loaders see the host's files,
//! save those that stand in for others: a mount namespace of their own lets an edited copy take a file's place, so that
//! every `include` finds it under its own name.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, unshare};
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_bind, mount_change};

use super::{Scope, Socket, read};
use crate::error::{Error, ErrorKind, Result};
use crate::model::ruleset::{Interface, Ruleset};

/// A hundred thousand rules load in four seconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where system programs are; cron's `PATH` lacks the half of them.
const SYSTEM_PATH: [&str; 5] = ["/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/bin", "/bin"];

/// As many characters, and lines, of a loader's complaint are shown.
const MOST_WORDS: usize = 1000;
const MOST_LINES: usize = 2;

/// The result's interfaces that no stand-in was needed for get numbers from here on: none that a rule could test.
const UNNAMED: u32 = 1 << 24;

/// What the scratch namespace is to look like to the loaders.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// The host's interfaces.
    pub interfaces: &'a [Interface],
    /// Those of them that the files to load name; `iif` and netdev chains load only when the interface is there.
    pub named: &'a [String],
    /// Its `etc` covers `/etc`.
    pub root: &'a Path,
    /// Files, and what stands in for each of them.
    pub replaced: &'a [(PathBuf, PathBuf)],
}

/// Runs `load` in a scratch network namespace and reads back everything that it loaded. The interfaces of the result
/// are the host's, numbered as in the namespace.
///
/// The stand-ins have the names alone. No loader looks at addresses or flags, and the evaluator asks the result.
///
/// # Errors
/// `Permission` without `CAP_SYS_ADMIN`; what `load` and reading say.
pub fn in_scratch(view: View<'_>, load: impl FnOnce() -> Result<()> + Send) -> Result<Ruleset> {
    // A namespace belongs to a thread, and ends with it.
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().spawn_scoped(scope, || {
            enter(view)?;
            stand_in(view)?;
            load()?;
            let mut ruleset = read(&mut Socket::open()?, Scope::Everything)?;
            ruleset.interfaces = renumbered(view.interfaces, &ruleset.interfaces);
            ruleset.generation = None;
            Ok(ruleset)
        })?;
        thread.join().unwrap_or_else(|_| {
            Err(Error::new(
                ErrorKind::Protocol,
                "the thread of the scratch namespace panicked",
            ))
        })
    })
}

/// Moves this thread into new namespaces.
fn enter(view: View<'_>) -> Result<()> {
    unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS).map_err(|errno| {
        Error::new(
            ErrorKind::Permission,
            "cannot make a scratch network namespace, in which the boot configuration is proved",
        )
        .with_source(errno.into())
        .with_hint("run as root; in a container, with the capability CAP_SYS_ADMIN")
    })?;
    let prepare = || -> rustix::io::Result<()> {
        // Else the mounts below would show on the host.
        mount_change(
            "/",
            MountPropagationFlags::PRIVATE | MountPropagationFlags::REC,
        )?;
        if view.root != Path::new("/") {
            cover_etc(view.root)?;
        }
        for (file, instead) in view.replaced {
            mount_bind(instead, file)?;
        }
        Ok(())
    };
    prepare().map_err(|errno| {
        Error::new(
            ErrorKind::Unsupported,
            "cannot put edited files in the place of the boot configuration's",
        )
        .with_source(errno.into())
    })
}

/// Lays the root's `etc` over `/etc`. Where it has no user list it is no whole system: then what it lacks (services,
/// users, alternatives) shines through from the host, but its own folders show only what is in them.
fn cover_etc(root: &Path) -> rustix::io::Result<()> {
    let etc = root.join("etc");
    if etc.join("passwd").exists() {
        return mount_bind(&etc, "/etc");
    }
    let mut options = b"lowerdir=".to_vec();
    for byte in etc.as_os_str().as_encoded_bytes() {
        // The kernel splits the list at colons and the options at commas.
        if matches!(byte, b':' | b',' | b'\\') {
            options.push(b'\\');
        }
        options.push(*byte);
    }
    options.extend_from_slice(b":/etc");
    let options = std::ffi::CString::new(options).map_err(|_| rustix::io::Errno::INVAL)?;
    if mount("overlay", "/etc", "overlay", MountFlags::RDONLY, &*options).is_err() {
        return mount_bind(&etc, "/etc");
    }
    let Ok(entries) = std::fs::read_dir(&etc) else {
        return Ok(());
    };
    for entry in entries.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            mount_bind(entry.path(), Path::new("/etc").join(entry.file_name()))?;
        }
    }
    Ok(())
}

/// Makes an interface of each name that the files ask for, of whichever type this kernel has, and with the host's number
/// where that is free. One process for all: of the lines for a name, the first that works makes the others fail.
fn stand_in(view: View<'_>) -> Result<()> {
    if view.named.is_empty() {
        return Ok(());
    }
    let mut lines = Vec::new();
    let wanted = |link: &&Interface| !link.loopback && view.named.contains(&link.name);
    for interface in view.interfaces.iter().filter(wanted) {
        let (name, index) = (&interface.name, interface.index);
        for kind in [
            format!("index {index} type bridge"),
            "type bridge".to_owned(),
            format!("type veth peer name peer{index}"),
            "type dummy".to_owned(),
        ] {
            lines.push(format!("link add name {name} {kind}\n"));
        }
    }
    if lines.is_empty() {
        return Ok(());
    }
    // It fails by design; what matters is what is there then, and the loader says what it misses.
    let arguments = ["-force", "-batch", "-"];
    match run("ip", &arguments, Some(input(lines.concat().as_bytes())?)) {
        Err(error) if error.kind() == ErrorKind::Unsupported => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// The host's interfaces with the numbers of their stand-ins, which the loaded rules refer to.
fn renumbered(host: &[Interface], scratch: &[Interface]) -> Vec<Interface> {
    let number = |(interface, unnamed): (&Interface, u32)| {
        let known = scratch.iter().find(|other| other.name == interface.name);
        Interface {
            index: known.map_or(unnamed, |other| other.index),
            ..interface.clone()
        }
    };
    host.iter().zip(UNNAMED..).map(number).collect()
}

/// Where a system program is; looked for in `PATH` and where system programs are.
pub fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(SYSTEM_PATH.iter().map(PathBuf::from));
    let mut files = folders
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join(name));
    files.find(|file| {
        std::fs::metadata(file)
            .is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
    })
}

/// A file without a name that holds these bytes, to be read from the start.
pub(crate) fn input(bytes: &[u8]) -> Result<File> {
    let mut file = tempfile::tempfile()?;
    file.write_all(bytes)?;
    file.rewind()?;
    Ok(file)
}

/// Runs a program in this thread's namespaces, as boot would: from the root folder, in the C locale.
///
/// # Errors
/// `Unsupported` when it is not installed; `Refused`, with its own words, when it fails or does not end; `Io` when it
/// cannot be started, a signal ends it, or it says that all is well and has not read all of its input.
pub(crate) fn run(program: &str, arguments: &[&str], stdin: Option<File>) -> Result<()> {
    let rest = stdin.as_ref().map(File::try_clone).transpose()?;
    let stdin = stdin.map_or_else(Stdio::null, Stdio::from);
    let (child, words) = start(program, arguments, stdin, Stdio::null())?;
    end(program, child, words)?;
    rest.map_or(Ok(()), |rest| is_at_end(program, rest))
}

/// The same without any input; what it prints.
///
/// # Errors
/// Those of [`run`]; `Io` when what it prints cannot be read.
pub(crate) fn output(program: &str) -> Result<Vec<u8>> {
    let (mut child, words) = start(program, &[], Stdio::null(), Stdio::piped())?;
    let mut printed = Vec::new();
    // Taken, so that it is closed then: a program that still prints would wait for ever.
    let outcome = child.stdout.take();
    let outcome = outcome.map(|mut pipe| pipe.read_to_end(&mut printed));
    let ended = end(program, child, words);
    if let Some(Err(source)) = outcome {
        let message = format!("cannot read what `{program}` prints");
        return Err(Error::new(ErrorKind::Io, message).with_source(source));
    }
    ended.map(|()| printed)
}

/// Starts a program; the file gets its complaints.
fn start(program: &str, arguments: &[&str], stdin: Stdio, stdout: Stdio) -> Result<(Child, File)> {
    let Some(path) = find_program(program) else {
        return Err(Error::new(
            ErrorKind::Unsupported,
            format!("`{program}` is not installed"),
        ));
    };
    // A file instead of a pipe: a long complaint can then never block the program.
    let words = tempfile::tempfile()?;
    let child = Command::new(path)
        .args(arguments)
        .current_dir("/")
        .env_clear()
        .env("PATH", SYSTEM_PATH.join(":"))
        .env("LC_ALL", "C")
        .stdin(stdin)
        .stdout(stdout)
        .stderr(words.try_clone()?)
        .spawn()
        .map_err(|source| {
            Error::new(ErrorKind::Io, format!("cannot start `{program}`")).with_source(source)
        })?;
    Ok((child, words))
}

/// Waits for a program, which is to end well.
fn end(program: &str, mut child: Child, mut words: File) -> Result<()> {
    let status = finish(&mut child, PATIENCE)?;
    if status.is_some_and(|status| status.success()) {
        return Ok(());
    }
    let mut said = Vec::new();
    words.rewind()?;
    words.read_to_end(&mut said)?;
    let said = presentable(&said);
    // That says nothing of what it was to load.
    if let Some(signal) = status.and_then(|status| status.signal()) {
        let message = format!("`{program}` was ended by signal {signal}");
        return Err(Error::new(ErrorKind::Io, message));
    }
    let message = match status {
        None => format!("`{program}` did not end within {} s", PATIENCE.as_secs()),
        Some(_) if !said.is_empty() => format!("{program}: {said}"),
        Some(status) => format!("{program}: {status}"),
    };
    Err(Error::new(ErrorKind::Refused, message))
}

/// Whether a program has read its input to the end, which it shares with `rest`. iptables-restore (1.8.9) and ipset (7.17)
/// take a read that fails for the end, and ipset a kernel that does not answer: they load nothing and report success.
fn is_at_end(program: &str, mut rest: File) -> Result<()> {
    if rest.read(&mut [0])? == 0 {
        return Ok(());
    }
    let message = format!("`{program}` reports success, and has not read all that it was to load");
    Err(Error::new(ErrorKind::Io, message))
}

/// Waits for a child; `None`, and it is ended, when it takes too long.
fn finish(child: &mut Child, patience: Duration) -> Result<Option<ExitStatus>> {
    let start = Instant::now();
    let mut pause = Duration::from_micros(200);
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if start.elapsed() > patience {
            // By its own id; it may have ended just now.
            let _ = child.kill();
            let _ = child.wait();
            return Ok(None);
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(10));
    }
}

/// What a program complains of, in one line and without anything that a terminal would obey. nft repeats the text it
/// complains of below each error; iptables-restore ends with advice.
fn presentable(words: &[u8]) -> String {
    let text = String::from_utf8_lossy(words);
    let lines = || text.lines().map(str::trim).filter(|line| !line.is_empty());
    let errors: Vec<&str> = lines()
        .filter(|line| line.contains(": Error: "))
        .take(MOST_LINES)
        .collect();
    let chosen = if errors.is_empty() {
        lines().take(MOST_LINES).collect()
    } else {
        errors
    };
    let joined = chosen.join("; ");
    let clean = joined.chars().filter(|letter| !letter.is_control());
    clean.take(MOST_WORDS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complaints_become_one_line() {
        let nft = b"/etc/nftables.conf:2:13-17: Error: syntax error, unexpected string\n tcp dprot 22\n     ^^^^^\n";
        assert_eq!(
            presentable(nft),
            "/etc/nftables.conf:2:13-17: Error: syntax error, unexpected string"
        );
        let restore = b"iptables-restore v1.8.9 (nf_tables): unknown option \"--dprot\"\nError occurred at line: 9\nTry `iptables-restore -h' for more information.\n";
        assert_eq!(
            presentable(restore),
            "iptables-restore v1.8.9 (nf_tables): unknown option \"--dprot\"; Error occurred at line: 9"
        );
        assert_eq!(presentable(b"\x1b[31mred\n"), "[31mred");
    }

    #[test]
    fn a_program_that_fails_or_is_missing_is_said_so() {
        let error = run("false", &[], None).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Refused);
        assert!(
            error.to_string().contains("false: exit status: 1"),
            "{error}"
        );
        let error = run("no-such-program", &[], None).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        let error = run("sh", &["-c", "kill -9 $$"], None).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Io, "{error}");
        assert_eq!(output("pwd").unwrap(), b"/\n");
        assert_eq!(output("false").unwrap_err().kind(), ErrorKind::Refused);
    }

    #[test]
    fn a_program_reads_all_of_its_input() {
        let input = || Some(input(b"first\nsecond\n").unwrap());
        run("cat", &[], input()).unwrap();
        let error = run("sh", &["-c", "read -r line"], input()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Io, "{error}");
        assert!(
            error.to_string().contains("`sh` reports success"),
            "{error}"
        );
    }

    #[test]
    fn a_program_that_does_not_end_is_ended() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let start = Instant::now();
        assert!(
            finish(&mut child, Duration::from_millis(20))
                .unwrap()
                .is_none()
        );
        assert!(start.elapsed() < Duration::from_secs(10));
    }
}
