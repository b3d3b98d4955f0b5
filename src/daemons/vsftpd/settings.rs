//! The grammar of vsftpd.conf (SRC parseconf.c; RUN every row against the 3.0.3 binary), and the repair rules.

use std::path::Path;

use firewall::model::ports::PortRange;

use crate::daemons::{ConfigError, ConfigErrorKind, text};
use crate::findings::Location;

use super::FOLDER;
use crate::terminal::clean;

/// Only so much of a file is read (RUN).
pub(super) const READ_LIMIT: usize = 100_000;
/// The compiled default of `pasv_min_port` (RUN).
pub(super) const DEFAULT_MINIMUM: u32 = 5001;

/// Every variable with a truth value, from the 3.0.3 binary, each tried (RUN).
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
    reverse_lookup_enable     ssl_sni_hostname userlist_log ssl_tlsv1_1 ssl_tlsv1_2 ssl_tlsv1_3 wc_logs_enable";

/// A variable that was set.
#[derive(Clone, Debug)]
pub(super) struct Setting {
    pub(super) key: String,
    pub(super) value: Vec<u8>,
    pub(super) location: Location,
}

/// What was read for one process, or for one user.
#[derive(Clone, Debug, Default)]
pub(super) struct Settings {
    pub(super) list: Vec<Setting>,
    pub(super) refuses: Option<ConfigError>,
}

impl Settings {
    /// Reads a file's text as `vsf_parseconf_load_file` does.
    pub(super) fn load(&mut self, path: &Path, bytes: &[u8]) {
        let read = &bytes[..bytes.len().min(READ_LIMIT)];
        for (number, line) in (1..).zip(read.split(|&byte| byte == b'\n')) {
            let blank = line.iter().all(|&byte| text::is_space(byte));
            if !blank && line.first() != Some(&b'#') {
                self.line(line, &Location::line(path, number));
            }
        }
    }

    /// `key=value` (RUN; messages as the daemon writes them).
    pub(super) fn line(&mut self, full: &[u8], location: &Location) {
        let line = text::c_string(text::trim_start(full));
        let (key, value) = match line.iter().position(|&byte| byte == b'=') {
            Some(at) => (&line[..at], Some(&line[at + 1..])),
            None => (line, None),
        };
        let name = clean(key);
        let listed = |list: &str| {
            list.split_ascii_whitespace()
                .any(|known| known.as_bytes() == key)
        };
        // Red Hat's build has more variables, and lives in its own folder.
        let foreign = listed(ELSEWHERE) && location.path.starts_with(FOLDER);
        let oops = |what: &str| format!("500 OOPS: {what}: {name}");
        // Texts are looked for first, then a value is asked for, then the other tables (SRC).
        let problem = match value {
            _ if foreign || listed(TEXTS) => None,
            None | Some([]) => Some((oops("missing value in config file for"), false)),
            Some(value) if listed(BOOLEANS) => {
                let bad = (oops("bad bool value in config file for"), false);
                truth(value).is_none().then_some(bad)
            }
            Some(_) if listed(NUMBERS) => None,
            Some(_) => {
                let unknown = oops("unrecognised variable in config file");
                Some((unknown, listed(ELSEWHERE)))
            }
        };
        if let Some((message, elsewhere)) = problem {
            if self.refuses.is_none() {
                let kind = if elsewhere {
                    ConfigErrorKind::RefusedHere
                } else {
                    ConfigErrorKind::Refused
                };
                let error = ConfigError::new(kind, &location.path, message);
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

    pub(super) fn last(&self, key: &str) -> Option<&Setting> {
        self.list.iter().rev().find(|setting| setting.key == key)
    }

    pub(super) fn truth(&self, key: &str, default: bool) -> bool {
        self.last(key)
            .and_then(|setting| truth(&setting.value))
            .unwrap_or(default)
    }

    pub(super) fn number(&self, key: &str) -> Option<u32> {
        self.last(key).map(|setting| number(&setting.value))
    }

    /// The range that is used once a bound was set: the repair rules of privops.c (RUN), row by row.
    pub(super) fn range(&self) -> Option<PortRange> {
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

/// RUN: A minimum outside 1025 to 65535 becomes 1024; a maximum below it or above 65534 becomes 65535.
pub(super) fn effective_range(minimum: u32, maximum: u32) -> PortRange {
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
pub(super) fn truth(value: &[u8]) -> Option<bool> {
    match value.to_ascii_uppercase().as_slice() {
        b"YES" | b"TRUE" | b"1" => Some(true),
        b"NO" | b"FALSE" | b"0" => Some(false),
        _ => None,
    }
}

/// RUN: A leading 0 makes it octal, up to the first digit that is not; else atoi.
pub(super) fn number(value: &[u8]) -> u32 {
    if value.first() == Some(&b'0') {
        let octal = value.iter().take_while(|byte| (b'0'..=b'7').contains(byte));
        octal.fold(0_u32, |sum, digit| {
            sum.wrapping_shl(3).wrapping_add(u32::from(digit - b'0'))
        })
    } else {
        text::atoi(value).cast_unsigned()
    }
}

pub(super) fn help_for(key: &[u8], value: Option<&[u8]>) -> String {
    let name = clean(key);
    let trimmed = name.trim();
    let listed = |list: &str| list.split_ascii_whitespace().any(|known| known == trimmed);
    if trimmed.starts_with('#') {
        "a comment starts in the first column: remove the blanks before the #".to_owned()
    } else if !key.is_ascii() {
        "the line starts with bytes that are not ASCII (a byte order mark?): remove them".to_owned()
    } else if trimmed != name && value.is_some() {
        format!(
            "no blanks around the = : {trimmed}={}",
            clean(value.unwrap_or_default()).trim()
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
