//! Runs a program and lets one of its system calls fail, or the process die before it.
//!
//! strace counts the calls of every thread by itself, so a call of a later thread cannot be hit without one of the first
//! thread being hit before. Here they are counted per program, over all its threads and processes.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::calls::{CALLS, RETRIED};
use super::sites;
use crate::support::command::{memory, quiet, text};

/// No run takes nearly as long.
const LIMIT: Duration = Duration::from_secs(300);
/// `PTRACE_EVENT_EXEC`.
const EVENT_EXEC: i32 = 4;

/// A system call that a program makes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Point {
    /// The program's file name.
    pub(super) program: String,
    /// The call.
    pub(super) call: &'static str,
    /// Which of these calls of the program, from 1.
    pub(super) number: usize,
}

/// A system call that was met.
#[derive(Clone, Debug)]
pub(super) struct Met {
    /// Which it is.
    pub(super) point: Point,
    /// It may change something that outlives the process, or that others see.
    pub(super) acts: bool,
    /// Where in the program's code it was made, by all return addresses.
    pub(super) site: u64,
}

/// What happens there.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fault {
    /// The call is not made, and fails.
    Error(Errno),
    /// The call reads or writes only the half.
    Half,
    /// The process dies before it makes the call.
    Kill,
    /// Something else happens before it makes the call.
    Meanwhile(fn()),
}

impl Fault {
    /// Whether a program that does it right goes on as if nothing had happened.
    pub(super) fn is_passing(self) -> bool {
        matches!(self, Self::Half | Self::Error(Errno::EINTR))
    }
}

impl fmt::Display for Point {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {} #{}", self.program, self.call, self.number)
    }
}

/// A run that has ended.
#[derive(Debug)]
pub(super) struct Traced {
    /// The calls in their order, as far as no fault was to come.
    pub(super) calls: Vec<Met>,
    /// The exit status; `None` when a signal ended the run.
    pub(super) code: Option<i32>,
    /// The signal that ended it.
    pub(super) signal: Option<Signal>,
    /// What the kernel was asked when the fault was injected; `None` when the run never came to that point.
    pub(super) hit: Option<String>,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

/// Runs a program in the calling thread's namespaces, with a fault at a point.
pub(super) fn trace(program: &str, arguments: &[&str], inject: Option<(&Point, Fault)>) -> Traced {
    let [mut stdout, mut stderr] = [memory(), memory()];
    // It waits until it is traced.
    let mut command = quiet("sh");
    command.args(["-c", "read -r _ && exec \"$@\" </dev/null", "sh", program]);
    command.args(arguments);
    command
        .env_remove("TMPDIR")
        .env("NO_COLOR", "1")
        .current_dir("/");
    command.env_remove("XTABLES_LOCKFILE");
    command.stdin(Stdio::piped());
    command.stdout(stdout.try_clone().expect("share the file"));
    command.stderr(stderr.try_clone().expect("share the file"));
    let (root, mut gate) = start(&mut command);
    let mut tracer = Tracer {
        root,
        program: file_name(Path::new(program)),
        begun: false,
        tasks: BTreeMap::new(),
        counts: BTreeMap::new(),
        calls: Vec::new(),
        inject,
        hit: None,
        ended: None,
    };
    ptrace::seize(root, options()).expect("trace the program");
    ptrace::interrupt(root).expect("stop the program");
    gate.write_all(b"\n").expect("let the program run");
    tracer.follow();
    let (code, signal) = tracer.ended.expect("the program has ended");
    Traced {
        code,
        signal,
        hit: tracer.hit,
        calls: tracer.calls,
        stdout: text(&mut stdout),
        stderr: text(&mut stderr),
    }
}

#[expect(clippy::zombie_processes, reason = "the tracer waits for it")]
fn start(command: &mut Command) -> (Pid, std::process::ChildStdin) {
    let mut child = command.spawn().expect("a shell");
    let pid = i32::try_from(child.id()).expect("a process id");
    // Its end is waited for as that of everything it starts.
    (Pid::from_raw(pid), child.stdin.take().expect("its input"))
}

fn options() -> Options {
    Options::PTRACE_O_TRACESYSGOOD
        | Options::PTRACE_O_TRACEFORK
        | Options::PTRACE_O_TRACEVFORK
        | Options::PTRACE_O_TRACECLONE
        | Options::PTRACE_O_TRACEEXEC
        | Options::PTRACE_O_EXITKILL
}

fn file_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

/// A thread that is traced.
#[derive(Debug)]
struct Task {
    program: String,
    /// It is inside a system call.
    inside: bool,
    /// What the call that it is in returns instead.
    answer: Option<Errno>,
}

struct Tracer<'a> {
    root: Pid,
    program: String,
    /// The program's own code runs; what the loader does before is not its doing.
    begun: bool,
    tasks: BTreeMap<Pid, Task>,
    counts: BTreeMap<(String, &'static str), usize>,
    calls: Vec<Met>,
    inject: Option<(&'a Point, Fault)>,
    hit: Option<String>,
    /// Exit status or signal.
    ended: Option<(Option<i32>, Option<Signal>)>,
}

impl Tracer<'_> {
    /// Until everything that was started has ended.
    fn follow(&mut self) {
        let begin = Instant::now();
        // Only this thread's children: others trace theirs.
        let flags = WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD;
        loop {
            let status = match waitpid(None, Some(flags)) {
                Ok(status) => status,
                Err(Errno::ECHILD) => return,
                Err(Errno::EINTR) => continue,
                Err(error) => panic!("wait: {error}"),
            };
            assert!(begin.elapsed() < LIMIT, "does not end: {:?}", self.inject);
            self.handle(status);
        }
    }

    fn handle(&mut self, status: WaitStatus) {
        match status {
            WaitStatus::Exited(pid, code) if pid == self.root => {
                self.ended = Some((Some(code), None));
            }
            WaitStatus::Signaled(pid, signal, _) if pid == self.root => {
                self.ended = Some((None, Some(signal)));
            }
            WaitStatus::PtraceSyscall(pid) => {
                self.system_call(pid);
                self.go_on(pid, None);
            }
            WaitStatus::PtraceEvent(pid, _, event) => {
                if event == EVENT_EXEC {
                    self.tasks.remove(&pid);
                    self.task(pid).inside = true;
                }
                self.go_on(pid, None);
            }
            WaitStatus::Stopped(pid, signal) => self.go_on(pid, Some(signal)),
            _ => {}
        }
    }

    /// Lets a thread run to its next system call; once the fault has happened, to its end. It may be gone.
    fn go_on(&self, pid: Pid, signal: Option<Signal>) {
        let done = self.hit.is_some() && self.tasks.values().all(|task| task.answer.is_none());
        let _ = if done {
            ptrace::cont(pid, signal)
        } else {
            ptrace::syscall(pid, signal)
        };
    }

    fn task(&mut self, pid: Pid) -> &mut Task {
        self.tasks.entry(pid).or_insert_with(|| {
            let program = std::fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
            Task {
                program: file_name(&program),
                inside: false,
                answer: None,
            }
        })
    }

    /// A thread enters or leaves the kernel.
    fn system_call(&mut self, pid: Pid) {
        let task = self.task(pid);
        task.inside = !task.inside;
        let (entered, program) = (task.inside, task.program.clone());
        if let Some(errno) = task.answer.take_if(|_| !entered) {
            // It may have been killed meanwhile.
            if let Ok(mut registers) = ptrace::getregs(pid) {
                registers.rax = (-i64::from(errno as i32)).cast_unsigned();
                let _ = ptrace::setregs(pid, registers);
            }
        }
        if !entered {
            return;
        }
        let Ok(mut registers) = ptrace::getregs(pid) else {
            return;
        };
        let number = registers.orig_rax.cast_signed();
        // The first thing that Rust's runtime does is to look whether its standard files are open.
        self.begun |= program == self.program && number == nix::libc::SYS_poll;
        let known = CALLS.iter().find(|call| call.number == number);
        let (Some(call), true) = (known, self.begun) else {
            return;
        };
        let count = self.counts.entry((program.clone(), call.name)).or_default();
        *count += 1;
        let here = Point {
            number: *count,
            program,
            call: call.name,
        };
        let Some((point, fault)) = self.inject else {
            self.calls.push(Met {
                acts: sites::acts(pid, call, &registers, here.program == self.program),
                site: sites::site(pid, call, &registers),
                point: here,
            });
            return;
        };
        if here != *point {
            return;
        }
        let subject = sites::subject(pid, call, &registers);
        self.hit = Some(format!("{}({subject})", call.name));
        match fault {
            Fault::Meanwhile(work) => work(),
            Fault::Kill => {
                let _ = kill(leader(pid), Signal::SIGKILL);
            }
            Fault::Half => {
                registers.rdx = registers.rdx.div_ceil(2);
                let _ = ptrace::setregs(pid, registers);
            }
            Fault::Error(errno) => {
                // No call has this number.
                registers.orig_rax = u64::MAX;
                let _ = ptrace::setregs(pid, registers);
                self.task(pid).answer = Some(errno);
            }
        }
    }
}

/// The process that a thread belongs to.
fn leader(pid: Pid) -> Pid {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let field = status.lines().find_map(|line| line.strip_prefix("Tgid:"));
    let id = field.and_then(|value| value.trim().parse().ok());
    id.map_or(pid, Pid::from_raw)
}

/// Whether a call that a signal interrupts is to be made again by whoever makes it.
pub(super) fn retried(call: &str) -> bool {
    RETRIED.contains(&call)
}
