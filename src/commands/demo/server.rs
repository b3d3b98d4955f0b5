//! The FTP server's side of the demo: sets up host, firewall and daemon, and tells the story. Every sentence that is
//! marked `ok` has been tried out.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Instant;

use anyhow::Context as _;

use super::client::{Attempt, Contact, GREETING, Order};
use super::{must, output, own_program};
use crate::exit::ExitStatus;
use crate::printer::Printer;
use crate::terminal::{Tone, clean};

const RULESET: &str = include_str!("../../../examples/default-deny.nft");
const CONFIGURATION: &str = include_str!("../../../examples/proftpd.conf");

/// The folder that stands for `/` to the daemon; on a file system that only the demo sees.
const ROOT: &str = "/run/demo";

const SERVER: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)),
];
const VISITOR: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2)),
];
const BANNED: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, 66)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x66)),
];

/// Something listens here, so that only the firewall can keep a client out.
const LISTENING: [u16; 6] = [21, 50000, 50009, 50010, 51000, 51009];

/// Tells the story.
pub(super) fn run(printer: Printer) -> anyhow::Result<ExitStatus> {
    let start = Instant::now();
    let mut story = Story::prepare(printer)?;
    story.say(
        "An FTP server and its clients, in network namespaces that vanish afterwards. Your host is not touched.\n",
    )?;

    story.chapter("A default-deny firewall, and ProFTPD with a passive range")?;
    story.shell(&format!(
        "grep PassivePorts {ROOT}/etc/proftpd/proftpd.conf"
    ))?;
    story.shell("nft list chain inet filter input")?;
    let before = ruleset()?;
    let old = [50000, 50009];
    let new = [51000, 51009];
    story.connections(&[
        ("a visitor can log in", VISITOR, &[21], Contact::Connected),
        ("but transfers hang", VISITOR, &old, Contact::Silence),
    ])?;

    story.chapter("Why? Ask pasvsync")?;
    story.pasvsync("check", 3)?;
    story.pasvsync("explain 50000", 0)?;

    story.chapter("Open what the daemon needs")?;
    story.pasvsync("sync", 0)?;
    story.connections(&[
        ("transfers work", VISITOR, &old, Contact::Connected),
        (
            "nothing else was opened",
            VISITOR,
            &[50010],
            Contact::Silence,
        ),
        (
            "a banned client is still out",
            BANNED,
            &[21, 50000],
            Contact::Silence,
        ),
    ])?;

    story.chapter("A second sync has nothing to do")?;
    let synced = must("nft", "--handle list ruleset")?;
    story.pasvsync("sync", 0)?;
    story.claim(
        "the ruleset is the same, down to the handles of its rules",
        must("nft", "--handle list ruleset")? == synced,
    )?;

    story.chapter("The admin moves the range")?;
    story.edit()?;
    story.pasvsync("sync", 0)?;
    story.connections(&[
        ("the new range is open", VISITOR, &new, Contact::Connected),
        ("the old one is closed", VISITOR, &old, Contact::Silence),
        (
            "a banned client is still out",
            BANNED,
            &new,
            Contact::Silence,
        ),
    ])?;

    story.chapter("Take everything back")?;
    story.pasvsync("remove", 0)?;
    story.claim(
        "`nft list ruleset` is as before the first sync, byte for byte",
        ruleset()? == before,
    )?;
    story.connections(&[(
        "the ports are closed again",
        VISITOR,
        &new,
        Contact::Silence,
    )])?;
    story.end(start)
}

/// The live ruleset as nft prints it.
fn ruleset() -> anyhow::Result<String> {
    must("nft", "list ruleset")
}

/// The stage, and how the story went so far.
#[derive(Debug)]
struct Story {
    printer: Printer,
    program: PathBuf,
    configuration: PathBuf,
    client: Child,
    answers: BufReader<ChildStdout>,
    families: usize,
    chapters: usize,
    claims: usize,
    wrong: usize,
}

impl Story {
    fn prepare(printer: Printer) -> anyhow::Result<Self> {
        // A /run of our own: for the daemon's files, and for the lock of the runs below.
        must("mount", "-t tmpfs -o mode=0755 tmpfs /run")?;
        let configuration = Path::new(ROOT).join("etc/proftpd/proftpd.conf");
        fs_err::create_dir_all(configuration.parent().unwrap_or(Path::new(ROOT)))?;
        fs_err::write(&configuration, CONFIGURATION)?;
        let rules = Path::new(ROOT).join("default-deny.nft");
        fs_err::write(&rules, RULESET)?;

        let program = own_program()?;
        let mut client = Command::new("unshare")
            .arg("--net")
            .arg(&program)
            .args(["demo", "--stage", "client"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start the client's side")?;
        let answers = client.stdout.take().context("the client has no output")?;
        let mut story = Self {
            printer,
            program,
            configuration,
            client,
            answers: BufReader::new(answers),
            families: 2,
            chapters: 0,
            claims: 0,
            wrong: 0,
        };
        story.hear()?;
        story.connect_sides()?;
        must("nft", &format!("-f {}", rules.display()))?;
        listen()?;
        Ok(story)
    }

    /// A cable between the two sides, with the addresses of the examples in the RFCs.
    fn connect_sides(&mut self) -> anyhow::Result<()> {
        let client = self.client.id();
        must("ip", "link set lo up")?;
        must(
            "ip",
            &format!("link add server type veth peer name client netns {client}"),
        )?;
        must("ip", &format!("address add {}/24 dev server", SERVER[0]))?;
        must("ip", "link set server up")?;
        let mut orders: Vec<String> = [VISITOR[0], BANNED[0]]
            .map(|address| format!("address add {address}/24 dev client"))
            .into();
        orders.push("link set client up".to_owned());
        // Without duplicate address detection, which takes a second.
        let six = format!("-6 address add {}/64 dev server nodad", SERVER[1]);
        if must("ip", &six).is_ok() {
            let addresses = [VISITOR[1], BANNED[1]];
            orders.extend(
                addresses.map(|address| format!("-6 address add {address}/64 dev client nodad")),
            );
        } else {
            self.families = 1;
            self.say("IPv6 is switched off here, so this is about IPv4 only.\n")?;
        }
        self.order(&Order::Configure(orders))?;
        Ok(())
    }

    /// Gives the client an order and waits for the answers.
    fn order(&mut self, order: &Order) -> anyhow::Result<Vec<Contact>> {
        let stdin = self.client.stdin.as_mut().context("the client hung up")?;
        writeln!(stdin, "{}", serde_json::to_string(order)?).context("the client hung up")?;
        self.hear()
    }

    fn hear(&mut self) -> anyhow::Result<Vec<Contact>> {
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        serde_json::from_str(&line).context("the client hung up")
    }

    fn say(&self, text: &str) -> anyhow::Result<()> {
        self.printer.text(text)
    }

    fn chapter(&mut self, title: &str) -> anyhow::Result<()> {
        self.chapters += 1;
        let title = format!("{}. {title}", self.chapters);
        let title = self.printer.style().paint(Tone::Strong, &title);
        self.say(&format!("\n{title}\n"))
    }

    /// Says something that must be true.
    fn claim(&mut self, sentence: &str, holds: bool) -> anyhow::Result<()> {
        self.claims += 1;
        let style = self.printer.style();
        let mark = if holds {
            style.paint(Tone::Good, "ok")
        } else {
            self.wrong += 1;
            style.paint(Tone::Bad, "NOT TRUE")
        };
        self.say(&format!("   {mark}: {sentence}\n"))
    }

    /// Runs a command line and shows it with what it prints.
    fn shell(&self, line: &str) -> anyhow::Result<()> {
        let mut words = line.split_whitespace();
        let program = words.next().unwrap_or_default();
        let output = output(Command::new(program).args(words))?;
        self.show(line, &output.stdout)
    }

    fn show(&self, line: &str, printed: &[u8]) -> anyhow::Result<()> {
        let style = self.printer.style();
        let mut text = format!("   $ {}\n", style.paint(Tone::Strong, line));
        for line in String::from_utf8_lossy(printed).lines() {
            let line = line.replace('\t', "    ");
            let _ = writeln!(text, "     {}", clean(&line));
        }
        self.say(&text)
    }

    /// Runs pasvsync itself, as an admin would.
    fn pasvsync(&mut self, arguments: &str, expected: i32) -> anyhow::Result<()> {
        let mut command = Command::new(&self.program);
        command
            .args(arguments.split_whitespace())
            .args(["--root", ROOT]);
        let output = output(&mut command)?;
        let printed = [output.stdout, output.stderr].concat();
        self.show(&format!("pasvsync {arguments} --root {ROOT}"), &printed)?;
        let status = output.status.code();
        self.claim(
            &format!(
                "exit status {}",
                status.map_or("none".to_owned(), |code| code.to_string())
            ),
            status == Some(expected),
        )
    }

    /// Moves the daemon's range.
    fn edit(&self) -> anyhow::Result<()> {
        let moved = CONFIGURATION.replace("50000 50009", "51000 51009");
        fs_err::write(&self.configuration, moved)?;
        self.shell(&format!(
            "grep PassivePorts {}",
            self.configuration.display()
        ))
    }

    /// Tries connections, all at once, and says for each sentence whether they came out as expected.
    fn connections(
        &mut self,
        sentences: &[(&str, [IpAddr; 2], &[u16], Contact)],
    ) -> anyhow::Result<()> {
        let families = self.families;
        let attempts = |from: [IpAddr; 2], ports: &[u16], expected: Contact| -> Vec<Attempt> {
            let pairs = from.into_iter().zip(SERVER).take(families);
            pairs
                .flat_map(|(from, server)| {
                    ports.iter().map(move |&port| Attempt {
                        from,
                        to: SocketAddr::new(server, port),
                        expected,
                    })
                })
                .collect()
        };
        let all = sentences
            .iter()
            .flat_map(|(_, from, ports, expected)| attempts(*from, ports, *expected))
            .collect();
        let mut contacts = self.order(&Order::Connect(all))?.into_iter();
        for (sentence, from, ports, expected) in sentences {
            let tried = attempts(*from, ports, *expected);
            let met: Vec<Contact> = contacts.by_ref().take(tried.len()).collect();
            anyhow::ensure!(met.len() == tried.len(), "the client lost an answer");
            let holds = met.iter().all(|contact| contact == expected);
            let details = if holds {
                let from: Vec<String> = from.iter().take(families).map(IpAddr::to_string).collect();
                let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
                let (from, ports) = (from.join(", "), ports.join(", "));
                format!("{from} to {ports}: {expected}")
            } else {
                let one = |(attempt, contact): (&Attempt, &Contact)| {
                    format!("{} to {}: {contact}", attempt.from, attempt.to.port())
                };
                tried
                    .iter()
                    .zip(&met)
                    .map(one)
                    .collect::<Vec<_>>()
                    .join("; ")
            };
            self.claim(&format!("{sentence} ({details})"), holds)?;
        }
        Ok(())
    }

    fn end(mut self, start: Instant) -> anyhow::Result<ExitStatus> {
        drop(self.client.stdin.take());
        self.client.wait().context("the client's side got lost")?;
        let seconds = start.elapsed().as_secs_f32();
        if self.wrong == 0 {
            self.say(&format!(
                "\nAll {} claims held, in {seconds:.1} s.\n",
                self.claims
            ))?;
            return Ok(ExitStatus::Success);
        }
        self.say(&format!(
            "\n{} of {} claims did not hold.\n",
            self.wrong, self.claims
        ))?;
        Ok(ExitStatus::Failure)
    }
}

/// Listens for both families and greets whoever gets through.
fn listen() -> anyhow::Result<()> {
    for port in LISTENING {
        let listener = TcpListener::bind((Ipv6Addr::UNSPECIFIED, port))
            .or_else(|_| TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)))
            .with_context(|| format!("cannot listen on port {port}"))?;
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                // A client that is gone again needs no greeting.
                let _ = stream.write_all(GREETING);
            }
        });
    }
    Ok(())
}
