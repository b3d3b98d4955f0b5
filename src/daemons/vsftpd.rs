//! vsftpd 3: files and `-oKEY=VALUE`, the last value wins; what is out of bounds is repaired without a word.

use std::path::{Path, PathBuf};

use firewall::model::ports::{PortRange, PortSet};

use super::units::{self, SuperServer};
use super::{ConfigError, ConfigErrorKind, Daemon, Host, text};
use crate::findings::{Finding, Location};
use crate::passive::{Advertised, PassiveRange, Reading};

/// The name, as `--daemon` takes it.
pub const NAME: &str = "vsftpd";

/// Debian and upstream; FreeBSD. RHEL and Fedora have a folder, see [`FOLDER`].
const PATHS: &[&str] = &["/etc/vsftpd.conf", "/usr/local/etc/vsftpd.conf"];
/// RHEL: one instance per file under vsftpd.target, vsftpd.conf under vsftpd.service.
const FOLDER: &str = "/etc/vsftpd";
/// Only so much of a file is read [RUN].
const READ_LIMIT: usize = 100_000;
/// The compiled default of `pasv_min_port` [RUN].
const DEFAULT_MINIMUM: u32 = 5001;

/// Every variable with a truth value, from the 3.0.3 binary, each tried [RUN].
const BOOLEANS: &str = "allow_anon_ssl allow_writeable_chroot anon_mkdir_write_enable anon_other_write_enable \
    anon_upload_enable anon_world_readable_only anonymous_enable ascii_download_enable ascii_upload_enable \
    async_abor_enable background check_shell chmod_enable chown_uploads chroot_list_enable chroot_local_user \
    connect_from_port_20 debug_ssl delete_failed_uploads deny_email_enable dirlist_enable dirmessage_enable \
    dual_log_enable force_anon_data_ssl force_anon_logins_ssl force_dot_files force_local_data_ssl \
    force_local_logins_ssl ftp_enable guest_enable hide_ids http_enable implicit_ssl isolate isolate_network listen \
    listen_ipv6 local_enable lock_upload_files log_ftp_protocol ls_recurse_enable mdtm_write no_anon_password \
    no_log_lock one_process_model passwd_chroot_enable pasv_addr_resolve pasv_enable pasv_promiscuous port_enable \
    port_promiscuous ptrace_sandbox require_cert require_ssl_reuse run_as_launching_user \
    seccomp_sandbox secure_email_list_enable session_support setproctitle_enable ssl_enable ssl_request_cert ssl_sslv2 \
    ssl_sslv3 ssl_tlsv1 strict_ssl_read_eof strict_ssl_write_shutdown syslog_enable tcp_wrappers text_userdb_names \
    tilde_user_enable use_localtime use_sendfile userlist_deny userlist_enable utf8_filesystem validate_cert \
    virtual_use_local_privs write_enable xferlog_enable xferlog_std_format";
/// Every variable with a number.
const NUMBERS: &str = "accept_timeout anon_max_rate anon_umask chown_upload_mode connect_timeout \
    data_connection_timeout delay_failed_login delay_successful_login file_open_mode ftp_data_port \
    idle_session_timeout listen_port local_max_rate local_umask max_clients max_login_fails max_per_ip pasv_max_port \
    pasv_min_port trans_chunk_size";
/// Every variable with a text.
const TEXTS: &str = "anon_root banned_email_file banner_file ca_certs_file chown_username chroot_list_file cmds_allowed \
    cmds_denied deny_file download_file dsa_cert_file dsa_private_key_file email_password_file ftp_username ftpd_banner \
    guest_username hide_file listen_address listen_address6 local_root message_file nopriv_user pam_service_name \
    pasv_address rsa_cert_file rsa_private_key_file secure_chroot_dir ssl_ciphers upload_file user_config_dir \
    user_sub_token userlist_file vsftpd_log_file xferlog_file";
/// Variables of other builds: Red Hat's patches, later versions.
const ELSEWHERE: &str = "allow_writeable_root better_stou bind_retries dh_param_file ecdh_param_file file_handle_limit \
    reverse_lookup_enable     ssl_sni_hostname ssl_tlsv1_1 ssl_tlsv1_2 ssl_tlsv1_3 wc_logs_enable";

/// vsftpd.
#[derive(Clone, Copy, Debug)]
pub struct Vsftpd;

impl Daemon for Vsftpd {
    fn name(&self) -> &'static str {
        NAME
    }

    fn read(&self, host: &Host, chosen: Option<&Path>) -> Result<Vec<Reading>, ConfigError> {
        let servers = units::super_servers(&host.disk, "vsftpd")?;
        let mut readings = Vec::new();
        for instance in find(host, chosen)? {
            readings.extend(instance.read(host, chosen.is_some(), &servers)?);
        }
        Ok(readings)
    }
}

/// One process's arguments: files and settings in order.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Instance {
    parts: Vec<Part>,
    unit: PathBuf,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    File(PathBuf),
    Setting(String),
}

/// The instances: those of `chosen`, of the unit, of the files that are there.
fn find(host: &Host, chosen: Option<&Path>) -> Result<Vec<Instance>, ConfigError> {
    let single = |path: PathBuf| Instance {
        parts: vec![Part::File(path)],
        unit: PathBuf::new(),
    };
    if let Some(path) = chosen {
        return Ok(vec![single(path.to_path_buf())]);
    }
    let mut instances = Vec::new();
    for command in units::commands(&host.disk, "vsftpd.service")? {
        let mut parts = Vec::new();
        let mut words = command.words.into_iter().skip(1);
        while let Some(word) = words.next() {
            if word == "-o" {
                parts.extend(words.next().map(Part::Setting));
            } else if let Some(setting) = word.strip_prefix("-o") {
                parts.push(Part::Setting(setting.to_owned()));
            } else if !word.starts_with('-') {
                parts.push(Part::File(PathBuf::from(word)));
            }
        }
        let unit = PathBuf::from("/etc/systemd/system/vsftpd.service");
        if !parts.iter().any(|part| matches!(part, Part::File(_))) {
            let default = PATHS
                .iter()
                .map(PathBuf::from)
                .chain([Path::new(FOLDER).join("vsftpd.conf")])
                .find(|path| host.disk.kind(path).is_some());
            parts.splice(0..0, default.map(Part::File));
        }
        instances.push(Instance { parts, unit });
    }
    let mut paths: Vec<PathBuf> = PATHS.iter().map(PathBuf::from).collect();
    let names = host.disk.list(Path::new(FOLDER))?.unwrap_or_default();
    let named = |name: &std::ffi::OsString| {
        Path::new(name)
            .extension()
            .is_some_and(|extension| extension == "conf")
    };
    paths.extend(
        names
            .iter()
            .filter(|name| named(name))
            .map(|name| Path::new(FOLDER).join(name)),
    );
    for path in paths {
        let part = Part::File(path.clone());
        if host.disk.kind(&path).is_some()
            && !instances
                .iter()
                .any(|instance| instance.parts.contains(&part))
        {
            instances.push(single(path));
        }
    }
    Ok(instances)
}

/// A variable that was set.
#[derive(Clone, Debug)]
struct Setting {
    key: String,
    value: Vec<u8>,
    location: Location,
}

/// What was read for one process, or for one user.
#[derive(Clone, Debug, Default)]
struct Settings {
    list: Vec<Setting>,
    refuses: Option<ConfigError>,
}

impl Settings {
    /// Reads a file's text as `vsf_parseconf_load_file` does.
    fn load(&mut self, host: &Host, path: &Path, bytes: &[u8]) {
        let read = &bytes[..bytes.len().min(READ_LIMIT)];
        for (number, line) in (1..).zip(read.split(|&byte| byte == b'\n')) {
            let blank = line.iter().all(|&byte| text::is_space(byte));
            if !blank && line.first() != Some(&b'#') {
                self.line(host, line, &Location::line(path, number));
            }
        }
    }

    /// `key=value` ([RUN]; messages as the daemon writes them).
    fn line(&mut self, host: &Host, full: &[u8], location: &Location) {
        let line = text::c_string(text::trim_start(full));
        let (key, value) = match line.iter().position(|&byte| byte == b'=') {
            Some(at) => (&line[..at], Some(&line[at + 1..])),
            None => (line, None),
        };
        let name = text::clean(key);
        let listed = |list: &str| {
            list.split_ascii_whitespace()
                .any(|known| known.as_bytes() == key)
        };
        // Red Hat's build has more variables, and lives in its own folder.
        let foreign = listed(ELSEWHERE) && location.path.starts_with(FOLDER);
        let problem = match value {
            _ if foreign => None,
            _ if !listed(BOOLEANS) && !listed(NUMBERS) && !listed(TEXTS) => Some((
                format!("500 OOPS: unrecognised variable in config file: {name}"),
                listed(ELSEWHERE),
            )),
            None | Some([]) if !listed(TEXTS) => Some((
                format!("500 OOPS: missing value in config file for: {name}"),
                false,
            )),
            Some(value) if listed(BOOLEANS) && truth(value).is_none() => Some((
                format!("500 OOPS: bad bool value in config file for: {name}"),
                false,
            )),
            _ => None,
        };
        if let Some((message, elsewhere)) = problem {
            if self.refuses.is_none() {
                let kind = if elsewhere {
                    ConfigErrorKind::RefusedHere
                } else {
                    ConfigErrorKind::Refused
                };
                let error = ConfigError::new(kind, &host.disk.shown(&location.path), message);
                let error = error
                    .at_line(location.line.unwrap_or(1), full)
                    .with_help(help_for(key, value));
                self.refuses = Some(error);
            }
            return;
        }
        self.list.push(Setting {
            key: name,
            value: value.unwrap_or_default().to_vec(),
            location: location.clone(),
        });
    }

    fn last(&self, key: &str) -> Option<&Setting> {
        self.list.iter().rev().find(|setting| setting.key == key)
    }

    fn truth(&self, key: &str, default: bool) -> bool {
        self.last(key)
            .and_then(|setting| truth(&setting.value))
            .unwrap_or(default)
    }

    fn number(&self, key: &str) -> Option<u32> {
        self.last(key).map(|setting| number(&setting.value))
    }

    /// The range that is used once a bound was set: the repair rules of privops.c [RUN], row by row.
    fn range(&self) -> Option<PortRange> {
        let (minimum, maximum) = (self.number("pasv_min_port"), self.number("pasv_max_port"));
        if minimum.is_none() && maximum.is_none() {
            return None;
        }
        Some(effective_range(
            minimum.unwrap_or(DEFAULT_MINIMUM),
            maximum.unwrap_or(0),
        ))
    }
}

/// [RUN] A minimum outside 1025 to 65535 becomes 1024; a maximum below it or above 65534 becomes 65535.
fn effective_range(minimum: u32, maximum: u32) -> PortRange {
    let first = u16::try_from(minimum)
        .ok()
        .filter(|port| *port > 1024)
        .unwrap_or(1024);
    let last = u16::try_from(maximum)
        .ok()
        .filter(|port| *port >= first)
        .unwrap_or(u16::MAX);
    PortRange::new(first, last).unwrap_or(PortRange::single(first))
}

/// YES, TRUE, 1, NO, FALSE, 0 in any case, and nothing around them.
fn truth(value: &[u8]) -> Option<bool> {
    match value.to_ascii_uppercase().as_slice() {
        b"YES" | b"TRUE" | b"1" => Some(true),
        b"NO" | b"FALSE" | b"0" => Some(false),
        _ => None,
    }
}

/// [RUN] A leading 0 makes it octal, up to the first digit that is not; else atoi.
fn number(value: &[u8]) -> u32 {
    if value.first() == Some(&b'0') {
        let octal = value.iter().take_while(|byte| (b'0'..=b'7').contains(byte));
        octal.fold(0_u32, |sum, digit| {
            sum.wrapping_shl(3).wrapping_add(u32::from(digit - b'0'))
        })
    } else {
        text::atoi(value).cast_unsigned()
    }
}

fn help_for(key: &[u8], value: Option<&[u8]>) -> String {
    let name = text::clean(key);
    let trimmed = name.trim();
    let listed = |list: &str| list.split_ascii_whitespace().any(|known| known == trimmed);
    if trimmed.starts_with('#') {
        "a comment starts in the first column: remove the blanks before the #".to_owned()
    } else if !key.is_ascii() {
        "the line starts with bytes that are not ASCII (a byte order mark?): remove them".to_owned()
    } else if trimmed != name && value.is_some() {
        format!(
            "no blanks around the = : {trimmed}={}",
            text::clean(value.unwrap_or_default()).trim()
        )
    } else if listed(BOOLEANS) {
        match value {
            Some([.., b'\r']) => {
                "the file has Windows line ends: convert it with `sed -i 's/\\r$//'`".to_owned()
            }
            _ => format!("write {trimmed}=YES or {trimmed}=NO, with nothing behind"),
        }
    } else if listed(NUMBERS) || listed(TEXTS) {
        format!("write {trimmed}=VALUE")
    } else {
        format!("vsftpd 3.0.3 has no variable {trimmed}: remove the line")
    }
}

impl Instance {
    fn read(
        &self,
        host: &Host,
        chosen: bool,
        servers: &[SuperServer],
    ) -> Result<Option<Reading>, ConfigError> {
        let mut reading = Reading::new(NAME);
        let mut settings = Settings::default();
        for part in &self.parts {
            match part {
                Part::Setting(setting) => {
                    settings.line(host, setting.as_bytes(), &Location::file(&self.unit))
                }
                Part::File(path) => {
                    let Some(source) = host.disk.read(path)? else {
                        if chosen || self.parts.len() > 1 {
                            let message =
                                format!("500 OOPS: cannot read config file: {}", path.display());
                            return Err(ConfigError::new(
                                ConfigErrorKind::Missing,
                                &host.disk.shown(path),
                                message,
                            ));
                        }
                        return Ok(None);
                    };
                    reading.files.push(path.clone());
                    about_length(path, &source.bytes, &mut reading);
                    settings.load(host, path, &source.bytes);
                    if host.is_live() && source.owner != 0 {
                        let message =
                            "500 OOPS: config file not owned by correct user, or not a file";
                        let error = ConfigError::new(ConfigErrorKind::Refused, path, message);
                        settings.refuses.get_or_insert(
                            error.with_help(format!("chown root {}", path.display())),
                        );
                    }
                }
            }
        }
        self.listening(host, &settings, servers, &mut reading);
        reading.passive_enabled = settings.truth("pasv_enable", true);
        let mut effective = PortSet::EMPTY;
        about_range(&settings, &mut reading);
        match settings.range() {
            Some(ports) => {
                effective = ports.into();
                reading.passive.push(PassiveRange {
                    ports,
                    location: range_location(&settings),
                });
            }
            None => effective = effective.union(&effective_range(DEFAULT_MINIMUM, 0).into()),
        }
        if let Some(setting) = settings.last("pasv_address") {
            let advertised = Advertised {
                address: text::clean(&setting.value),
                directive: "pasv_address",
                location: setting.location.clone(),
            };
            about_address(&settings, &advertised, &mut reading);
            reading.advertised.push(advertised);
        }
        effective = effective.union(&per_user(host, &settings, &mut reading)?);
        let never_starts = reading
            .refuses
            .as_ref()
            .is_some_and(|error| error.kind == ConfigErrorKind::Refused);
        if reading.passive_enabled && !never_starts {
            reading.effective = effective;
        }
        capacity(&settings, &mut reading);
        Ok(Some(reading))
    }

    /// The control port, and whether the daemon would listen at all.
    fn listening(
        &self,
        host: &Host,
        settings: &Settings,
        servers: &[SuperServer],
        reading: &mut Reading,
    ) {
        reading.refuses.clone_from(&settings.refuses);
        let port = settings
            .number("listen_port")
            .map_or(21, |port| (port % 65_536) as u16);
        // Port 0 is a random one [RUN].
        reading.control = if port == 0 { Vec::new() } else { vec![port] };
        if settings.truth("implicit_ssl", false) && settings.truth("ssl_enable", false) {
            reading.findings.push(
                Finding::new(
                    "implicit-ftps",
                    format!("port {port} speaks TLS from the first byte (implicit_ssl=YES)"),
                )
                .with_hint("the usual port is 990: listen_port=990"),
            );
        }
        let Some(path) = reading.files.first().cloned() else {
            return;
        };
        let listens = settings.truth("listen", false);
        let listens_ipv6 = settings.truth("listen_ipv6", false);
        let shown = host.disk.shown(&path);
        if listens && listens_ipv6 {
            let error = ConfigError::new(
                ConfigErrorKind::Refused,
                &shown,
                "500 OOPS: run two copies of vsftpd for IPv4 and IPv6",
            );
            reading.refuses.get_or_insert(
                error.with_help("keep listen_ipv6=YES alone: it listens for IPv4 too"),
            );
        } else if !listens && !listens_ipv6 {
            if let Some(server) = servers.first() {
                reading.control = servers.iter().map(|server| server.port).collect();
                reading.files.push(server.path.clone());
            } else if path == Path::new(PATHS[0]) {
                let message =
                    "500 OOPS: vsftpd: not configured for standalone, must be started from inetd";
                let error = ConfigError::new(ConfigErrorKind::RefusedHere, &shown, message);
                reading.refuses.get_or_insert(error.with_help(
                    "write listen_ipv6=YES (it listens for IPv4 too), or start vsftpd from inetd",
                ));
            }
        }
    }
}

/// The bound that counts for the place of the range.
fn range_location(settings: &Settings) -> Location {
    let bound = settings
        .last("pasv_min_port")
        .or_else(|| settings.last("pasv_max_port"));
    bound.map_or_else(|| Location::file(""), |setting| setting.location.clone())
}

/// What the daemon repairs without a word.
fn about_range(settings: &Settings, reading: &mut Reading) {
    for key in ["pasv_min_port", "pasv_max_port", "listen_port"] {
        let mut same = settings
            .list
            .iter()
            .rev()
            .filter(|setting| setting.key == key);
        let last = same.next();
        for (earlier, last) in same.zip(last) {
            let message = format!(
                "{key}={} is ignored: {key} stands again on {}",
                text::clean(&earlier.value),
                last.location
            );
            reading.findings.push(
                Finding::new("duplicate-setting", message)
                    .with_hint("remove one of the two lines")
                    .at(earlier.location.clone()),
            );
        }
    }
    let (minimum, maximum) = (
        settings.last("pasv_min_port"),
        settings.last("pasv_max_port"),
    );
    let Some(used) = settings.range() else {
        return;
    };
    let mut find = |code, message: String, setting: &Setting| {
        let hint = "write both ports from 1025 to 65534, the lower one first: pasv_min_port=49152 and pasv_max_port=65534";
        reading.findings.push(
            Finding::new(code, message)
                .with_hint(hint)
                .at(setting.location.clone()),
        );
    };
    for setting in [minimum, maximum].into_iter().flatten() {
        let value = text::clean(&setting.value);
        if setting
            .value
            .iter()
            .any(|byte| matches!(byte, b'"' | b'\''))
        {
            find(
                "quoted-value",
                format!(
                    "{}={value}: vsftpd takes quotes for 0; it uses {used}",
                    setting.key
                ),
                setting,
            );
        } else if setting.value.first() == Some(&b'0') && setting.value.len() > 1 {
            find(
                "range-repaired",
                format!(
                    "{}={value}: a leading 0 makes it octal, {}",
                    setting.key,
                    number(&setting.value)
                ),
                setting,
            );
        }
    }
    match (minimum, maximum) {
        (Some(one), None) | (None, Some(one)) => find(
            "single-bound",
            format!("only {} is set: vsftpd uses {used}", one.key),
            one,
        ),
        (Some(low), Some(high)) => {
            let (first, last) = (number(&low.value), number(&high.value));
            let repaired = (u32::from(used.first()), u32::from(used.last())) != (first, last);
            let code = match (first, last) {
                _ if !repaired => return,
                (first, last) if first > 65_535 || last > 65_535 => "range-above-65535",
                (0, 0) => "range-repaired",
                (first, last) if first > last => "range-reversed",
                (first, _) if first < 1024 => "range-below-1024",
                _ => "range-repaired",
            };
            find(
                code,
                format!("pasv_min_port={first} and pasv_max_port={last}: vsftpd uses {used}"),
                low,
            );
        }
        (None, None) => {}
    }
}

/// [RUN] A name without `pasv_addr_resolve` kills the session at its first PASV.
fn about_address(settings: &Settings, advertised: &Advertised, reading: &mut Reading) {
    let numeric = advertised.address.parse::<std::net::IpAddr>().is_ok();
    if !numeric && !settings.truth("pasv_addr_resolve", false) {
        let message = format!(
            "pasv_address={} is no address: sessions die at their first PASV",
            advertised.address
        );
        let hint = "write pasv_addr_resolve=YES, or the address itself";
        reading.findings.push(
            Finding::new("private-address", message)
                .with_hint(hint)
                .at(advertised.location.clone()),
        );
    }
}

fn about_length(path: &Path, bytes: &[u8], reading: &mut Reading) {
    if bytes.len() > READ_LIMIT {
        let message = format!(
            "vsftpd reads only the first {READ_LIMIT} bytes of {}",
            path.display()
        );
        let finding = Finding::new("ignored-configuration", message);
        reading.findings.push(
            finding
                .with_hint("shorten the file: comments count")
                .at(Location::file(path)),
        );
    }
}

/// [RUN] `user_config_dir/USER` is loaded after login and overrides the range: the union over that folder.
fn per_user(
    host: &Host,
    settings: &Settings,
    reading: &mut Reading,
) -> Result<PortSet, ConfigError> {
    let mut ports = PortSet::EMPTY;
    let Some(folder) = settings.last("user_config_dir") else {
        return Ok(ports);
    };
    let folder = PathBuf::from(text::clean(&folder.value));
    for name in host.disk.list(&folder)?.unwrap_or_default() {
        let path = folder.join(name);
        let Some(source) = host.disk.read(&path)? else {
            continue;
        };
        let mut user = Settings {
            list: settings.list.clone(),
            refuses: None,
        };
        user.load(host, &path, &source.bytes);
        if let Some(error) = user.refuses {
            let message = format!(
                "{}: sessions of this user end with {}",
                path.display(),
                error.message
            );
            let finding = Finding::new("user-directory", message)
                .with_hint(error.help.clone().unwrap_or_default());
            reading.findings.push(finding.at(error.location.clone()));
            continue;
        }
        reading.files.push(path.clone());
        let own = user.list[settings.list.len()..]
            .iter()
            .any(|setting| matches!(setting.key.as_str(), "pasv_min_port" | "pasv_max_port"));
        if let Some(range) = user.range().filter(|_| own) {
            ports = ports.union(&range.into());
            if !reading.passive.iter().any(|known| known.ports == range) {
                reading.passive.push(PassiveRange {
                    ports: range,
                    location: range_location(&user),
                });
            }
        }
    }
    Ok(ports)
}

/// [RUN] With all ports busy, nine random tries and then the session dies.
fn capacity(settings: &Settings, reading: &mut Reading) {
    let Some(range) = reading.passive.first() else {
        return;
    };
    let ports = u32::from(range.ports.last() - range.ports.first()) + 1;
    let Some(setting) = settings.last("max_clients") else {
        return;
    };
    let clients = number(&setting.value);
    if clients > ports {
        let message = format!(
            "max_clients={clients}, the range {} has {ports} ports: sessions die with 500 OOPS: vsf_sysutil_bind",
            range.ports
        );
        let hint = format!("write max_clients={ports}, or a wider range");
        reading.findings.push(
            Finding::new("range-too-small", message)
                .with_hint(hint)
                .at(range.location.clone()),
        );
    }
}
