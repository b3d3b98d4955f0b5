//! Which directives belong to which module of ProFTPD 1.3.8, and which modules Debian's build has.
//!
//! RUN: Each name was given to Debian 12's `proftpd -t` (1.3.8+dfsg-4+deb12u5) with and without its module; those that
//! the binary hides from `strings` come from the tables in the source of that version and were tried too.

use std::collections::{BTreeSet, HashMap};
use std::sync::OnceLock;

/// The version that the tables below are of.
pub(super) const VERSION: &str = "1.3.8";

/// The modules that are compiled into Debian's binary (`proftpd -l`).
const STATIC: &[&str] = &[
    "mod_core.c",
    "mod_xfer.c",
    "mod_rlimit.c",
    "mod_auth_unix.c",
    "mod_auth_file.c",
    "mod_auth.c",
    "mod_ls.c",
    "mod_log.c",
    "mod_site.c",
    "mod_delay.c",
    "mod_facts.c",
    "mod_dso.c",
    "mod_auth_pam.c",
    "mod_cap.c",
    "mod_ctrls.c",
    "mod_lang.c",
];

/// The directives of the modules that every build has, in one list: nobody can leave those out.
const STATIC_DIRECTIVES: &str = "</Anonymous> </Class> </Directory> </Global> </IfDefine> </IfModule> </Limit> \
    </VirtualHost> <Anonymous> <Class> <Directory> <Global> <IfDefine> <IfModule> <Limit> <VirtualHost> \
    AccessDenyMsg AccessGrantMsg Allow AllowAll AllowChrootSymlinks AllowClass AllowEmptyPasswords AllowFilter \
    AllowForeignAddress AllowGroup AllowLogSymlinks AllowOverride AllowOverwrite AllowRetrieveRestart \
    AllowStoreRestart AllowUser AnonAllowRobots AnonRejectPasswords AnonRequirePassword AuthAliasOnly \
    AuthFileOptions AuthGroupFile AuthOrder AuthUnixOptions AuthUserFile AuthUsingAlias CDPath CommandBufferSize \
    CreateHome DebugLevel DefaultAddress DefaultChdir DefaultRoot DefaultServer DefaultTransferMode DeferWelcome \
    Define DeleteAbortedStores Deny DenyAll DenyClass DenyFilter DenyGroup DenyUser DirFakeGroup DirFakeMode \
    DirFakeUser DisplayChdir DisplayConnect DisplayFileTransfer DisplayLogin DisplayQuit ExtendedLog From \
    FSCachePolicy FSOptions Group GroupOwner HiddenStores HideFiles HideGroup HideNoAccess HideUser IgnoreHidden \
    Include IncludeOptions ListOptions ListStyle LogFormat LogOptions MasqueradeAddress MaxClients \
    MaxClientsPerClass MaxClientsPerHost MaxClientsPerUser MaxCommandRate MaxConnectionRate \
    MaxConnectionsPerHost MaxHostsPerUser MaxInstances MaxLoginAttempts MaxPasswordSize MaxRetrieveFileSize \
    MaxStoreFileSize MaxTransfersPerHost MaxTransfersPerUser MultilineRFC2228 Order PassivePorts PathAllowFilter \
    PathDenyFilter PersistentPasswd PidFile Port ProcessTitles Protocols RegexOptions RequireValidShell \
    RewriteHome RootLogin RootRevoke Satisfy ScoreboardFile ScoreboardMutex ScoreboardScrub ServerAdmin \
    ServerAlias ServerIdent ServerLog ServerName ServerType SetEnv ShowSymlinks SocketBindTight SocketOptions \
    StoreUniquePrefix SyslogFacility SyslogLevel SystemLog TCPBackLog TCPNoDelay TimeoutIdle TimeoutLinger \
    TimeoutLogin TimeoutNoTransfer TimeoutSession TimeoutStalled TimesGMT Trace TraceLog TraceOptions \
    TransferLog TransferOptions TransferRate Umask UnsetEnv UseFtpUsers UseGlobbing UseIPv6 UseLastlog User \
    UserAlias UserDirRoot UseReverseDNS UserOwner UserPassword UseSendfile WtmpLog";

/// The same for those in [`STATIC`] that other builds leave out.
const OPTIONAL: &[(&str, &str)] = &[
    ("mod_auth_pam.c", "AuthPAM AuthPAMConfig AuthPAMOptions"),
    (
        "mod_cap.c",
        "CapabilitiesEngine CapabilitiesRootRevoke CapabilitiesSet",
    ),
    (
        "mod_ctrls.c",
        "ControlsACLs ControlsAuthFreshness ControlsEngine ControlsInterval ControlsLog \
         ControlsMaxClients ControlsSocket ControlsSocketACL ControlsSocketOwner",
    ),
    (
        "mod_delay.c",
        "DelayControlsACLs DelayEngine DelayOnEvent DelayTable",
    ),
    (
        "mod_dso.c",
        "LoadFile LoadModule ModuleControlsACLs ModuleOrder ModulePath",
    ),
    ("mod_facts.c", "FactsAdvertise FactsDefault FactsOptions"),
    (
        "mod_lang.c",
        "LangDefault LangEngine LangOptions LangPath UseEncoding",
    ),
    (
        "mod_rlimit.c",
        "RLimitChroot RLimitCPU RLimitMemory RLimitOpenFiles",
    ),
];

/// The modules that Debian's packages install as files, with their directives.
const LOADABLE: &[(&str, &str)] = &[
    (
        "mod_auth_otp.c",
        "AuthOTPAlgorithm AuthOTPEngine AuthOTPLog AuthOTPOptions AuthOTPTable AuthOTPTableLock",
    ),
    (
        "mod_ban.c",
        "BanCache BanCacheOptions BanControlsACLs BanEngine BanLog BanMessage BanOnEvent BanOptions \
         BanTable",
    ),
    ("mod_copy.c", "CopyEngine CopyOptions"),
    ("mod_ctrls_admin.c", "AdminControlsACLs AdminControlsEngine"),
    ("mod_deflate.c", "DeflateEngine DeflateLog"),
    (
        "mod_digest.c",
        "DigestAlgorithms DigestCache DigestDefaultAlgorithm DigestEnable DigestEngine DigestMaxSize \
         DigestOptions",
    ),
    (
        "mod_dnsbl.c",
        "DNSBLDomain DNSBLEngine DNSBLLog DNSBLPolicy",
    ),
    ("mod_dynmasq.c", "DynMasqControlsACLs DynMasqRefresh"),
    (
        "mod_exec.c",
        "ExecBeforeCommand ExecEnable ExecEngine ExecEnviron ExecLog ExecOnCommand ExecOnConnect \
         ExecOnError ExecOnEvent ExecOnExit ExecOnRestart ExecOptions ExecTimeout",
    ),
    ("mod_facl.c", "FACLEngine"),
    (
        "mod_geoip.c",
        "GeoIPAllowFilter GeoIPDenyFilter GeoIPEngine GeoIPLog GeoIPPolicy GeoIPTable",
    ),
    ("mod_ident.c", "IdentLookups"),
    (
        "mod_ifsession.c",
        "</IfAuthenticated> </IfClass> </IfGroup> </IfUser>",
    ),
    ("mod_ifversion.c", "</IfVersion> <IfVersion>"),
    (
        "mod_ldap.c",
        "LDAPAliasDereference LDAPAttr LDAPAuthBinds LDAPBindDN LDAPConnectTimeout LDAPDefaultAuthScheme \
         LDAPDefaultGID LDAPDefaultQuota LDAPDefaultUID LDAPForceDefaultGID LDAPForceDefaultUID \
         LDAPForceGeneratedHomedir LDAPGenerateHomedir LDAPGenerateHomedirPrefix \
         LDAPGenerateHomedirPrefixNoUsername LDAPGroups LDAPLog LDAPProtocolVersion LDAPQueryTimeout \
         LDAPSearchScope LDAPServer LDAPUsers LDAPUseSASL LDAPUseTLS",
    ),
    ("mod_load.c", "MaxLoad"),
    (
        "mod_log_forensic.c",
        "ForensicLogBufferSize ForensicLogCapture ForensicLogCriteria ForensicLogEngine ForensicLogFile",
    ),
    (
        "mod_memcache.c",
        "MemcacheConnectFailures MemcacheEngine MemcacheLog MemcacheOptions MemcacheReplicas \
         MemcacheServers MemcacheTimeouts",
    ),
    ("mod_qos.c", "QoSOptions"),
    (
        "mod_quotatab.c",
        "QuotaDefault QuotaDirectoryTally QuotaDisplayUnits QuotaEngine QuotaExcludeFilter \
         QuotaLimitTable QuotaLock QuotaLog QuotaOptions QuotaShowQuotas QuotaTallyTable",
    ),
    ("mod_quotatab_file.c", ""),
    ("mod_quotatab_ldap.c", ""),
    ("mod_quotatab_radius.c", ""),
    ("mod_quotatab_sql.c", ""),
    (
        "mod_radius.c",
        "RadiusAcctServer RadiusAuthServer RadiusEngine RadiusGroupInfo RadiusLog RadiusNASIdentifier \
         RadiusOptions RadiusQuotaInfo RadiusRealm RadiusUserInfo RadiusVendor",
    ),
    (
        "mod_ratio.c",
        "AnonRatio ByteRatioErrMsg CwdRatioMsg FileRatioErrMsg GroupRatio HostRatio LeechRatioMsg \
         RatioFile Ratios RatioTempFile SaveRatios UserRatio",
    ),
    ("mod_readme.c", "DisplayReadme"),
    (
        "mod_redis.c",
        "RedisEngine RedisLog RedisLogFormatExtra RedisLogOnCommand RedisLogOnEvent RedisOptions \
         RedisSentinel RedisServer RedisTimeouts",
    ),
    (
        "mod_rewrite.c",
        "RewriteCondition RewriteEngine RewriteLock RewriteLog RewriteMap RewriteMaxReplace RewriteRule",
    ),
    (
        "mod_sftp.c",
        "SFTPAcceptEnv SFTPAuthMethods SFTPAuthorizedHostKeys SFTPAuthorizedUserKeys SFTPCiphers \
         SFTPClientAlive SFTPClientMatch SFTPCompression SFTPCryptoDevice SFTPDHParamFile SFTPDigests \
         SFTPDisplayBanner SFTPEngine SFTPExtensions SFTPHostKey SFTPHostKeys SFTPKeyBlacklist \
         SFTPKeyExchanges SFTPKeyLimits SFTPLog SFTPMaxChannels SFTPOptions SFTPPassPhraseProvider \
         SFTPRekey SFTPTrafficPolicy",
    ),
    (
        "mod_sftp_pam.c",
        "SFTPPAMEngine SFTPPAMOptions SFTPPAMServiceName",
    ),
    ("mod_sftp_sql.c", ""),
    (
        "mod_shaper.c",
        "ShaperAll ShaperControlsACLs ShaperEngine ShaperLog ShaperSession ShaperTable",
    ),
    ("mod_site_misc.c", "SiteMiscEngine"),
    (
        "mod_snmp.c",
        "SNMPAgent SNMPCommunity SNMPEnable SNMPEngine SNMPLog SNMPMaxVariables SNMPNotify SNMPOptions \
         SNMPTables",
    ),
    (
        "mod_sql.c",
        "SQLAuthenticate SQLAuthTypes SQLBackend SQLConnectInfo SQLDefaultGID SQLDefaultHomedir \
         SQLDefaultUID SQLEngine SQLGroupInfo SQLGroupPrimaryKey SQLGroupWhereClause SQLKeepAlive SQLLog \
         SQLLogFile SQLLogOnEvent SQLMinID SQLMinUserGID SQLMinUserUID SQLNamedConnectInfo SQLNamedQuery \
         SQLNegativeCache SQLOptions SQLRatios SQLRatioStats SQLShowInfo SQLUserInfo SQLUserPrimaryKey \
         SQLUserWhereClause",
    ),
    ("mod_sql_mysql.c", "SQLAuthTypes"),
    ("mod_sql_odbc.c", "SQLODBCVersion"),
    (
        "mod_sql_passwd.c",
        "SQLPasswordArgon2 SQLPasswordCost SQLPasswordEncoding SQLPasswordEngine SQLPasswordOptions \
         SQLPasswordPBKDF2 SQLPasswordRounds SQLPasswordSaltEncoding SQLPasswordSaltFile \
         SQLPasswordScrypt SQLPasswordUserSalt",
    ),
    ("mod_sql_postgres.c", ""),
    ("mod_sql_sqlite.c", ""),
    (
        "mod_statcache.c",
        "StatCacheCapacity StatCacheControlsACLs StatCacheEngine StatCacheMaxAge StatCacheTable",
    ),
    (
        "mod_tls.c",
        "TLSCACertificateFile TLSCACertificatePath TLSCARevocationFile TLSCARevocationPath \
         TLSCertificateChainFile TLSCipherSuite TLSControlsACLs TLSCryptoDevice TLSDHParamFile \
         TLSDSACertificateFile TLSDSACertificateKeyFile TLSECCertificateFile TLSECCertificateKeyFile \
         TLSECDHCurve TLSEngine TLSLog TLSMasqueradeAddress TLSNextProtocol TLSOptions \
         TLSPassPhraseProvider TLSPKCS12File TLSPreSharedKey TLSProtocol TLSRandomSeed TLSRenegotiate \
         TLSRequired TLSRSACertificateFile TLSRSACertificateKeyFile TLSServerCipherPreference \
         TLSServerInfoFile TLSSessionCache TLSSessionTicketKeys TLSSessionTickets TLSStapling \
         TLSStaplingCache TLSStaplingOptions TLSStaplingResponder TLSStaplingTimeout TLSTimeoutHandshake \
         TLSUserName TLSVerifyClient TLSVerifyDepth TLSVerifyOrder TLSVerifyServer",
    ),
    ("mod_tls_fscache.c", ""),
    ("mod_tls_memcache.c", ""),
    ("mod_tls_redis.c", ""),
    ("mod_tls_shmcache.c", ""),
    ("mod_unique_id.c", "UniqueIDEngine"),
    (
        "mod_wrap2.c",
        "WrapAllowMsg WrapDenyMsg WrapEngine WrapGroupTables WrapLog WrapOptions WrapServiceName \
         WrapTables WrapUserTables",
    ),
    ("mod_wrap2_file.c", ""),
    ("mod_wrap2_redis.c", ""),
    ("mod_wrap2_sql.c", ""),
];

/// Modules that Debian 12 has only in packages which nothing pulls in, or not at all: `LoadModule` fails (RUN).
const ABSENT: &[(&str, &str)] = &[
    (
        "mod_vroot.c",
        "VRootAlias VRootEngine VRootLog VRootOptions VRootServerRoot",
    ),
    (
        "mod_wrap.c",
        "TCPAccessFiles TCPAccessSyslogLevels TCPGroupAccessFiles TCPServiceName TCPUserAccessFiles",
    ),
    (
        "mod_autohost.c",
        "AutoHostConfig AutoHostEngine AutoHostLog AutoHostOptions AutoHostPorts",
    ),
    ("mod_case.c", "CaseEngine CaseIgnore CaseLog CaseOptions"),
    (
        "mod_clamav.c",
        "ClamAV ClamEngine ClamFailsafe ClamLocalSocket ClamMaxSize ClamMinSize ClamPort ClamServer \
         ClamStream ClamWarn",
    ),
    ("mod_geoip2.c", "GeoIP2Engine GeoIP2Log GeoIP2Table"),
    (
        "mod_msg.c",
        "MessageControlsACLs MessageEngine MessageLog MessageQueue",
    ),
    (
        "mod_proxy.c",
        "ProxyDatastore ProxyDirectoryListPolicy ProxyEngine ProxyForwardEnabled ProxyForwardMethod \
         ProxyLog ProxyOptions ProxyReverseConnectPolicy ProxyReverseServers ProxyRole ProxyTables \
         ProxyTimeoutConnect ProxyTLSEngine",
    ),
];

/// Directives that versions from 1.2 to 1.3.10 have and 1.3.8 has not (SRC the tables in the project's history): many
/// a file that was written for an old version does not start any more.
const OTHER_VERSIONS: &str = "AllowChmod AnonymousGroup AuthPAMAuthoritative Bind Class Classes DisplayFirstChdir DisplayGoAway \
    GroupPassword HiddenStor HostsAllowSyslogLevel HostsDenySyslogLevel IfSessionOptions LDAPDNInfo LDAPDoAuth \
    LDAPDoGIDLookups LDAPDoQuotaLookups LDAPDoUIDLookups LDAPForceHomedirOnDemand LDAPHomedirOnDemand \
    LDAPHomedirOnDemandPrefix LDAPHomedirOnDemandPrefixNoUsername LDAPHomedirOnDemandSuffix LDAPNegativeCache \
    LDAPSessionTracking LDAPUseSSL LoginPasswordPrompt LsDefaultOptions ProcfsEngine ProcfsLog RateReadBPS \
    RateReadFreeBytes RateReadHardBPS RateWriteBPS RateWriteFreeBytes RateWriteHardBPS ScoreboardOptions \
    ScoreboardPath SFTPAuthPublicKeys SFTPKeyFingerprints ShowDotFiles SQLAuthoritative SQLDoAuth SQLDoGroupAuth \
    SQLGidField SQLGroupGIDField SQLGroupMembersField SQLGroupnameField SQLGroupTable SQLHomedir SQLHomedirField \
    SQLHomedirOnDemand SQLLogDirs SQLLogHits SQLLogHosts SQLLoginCountField SQLLogStats SQLPasswordField \
    SQLProcessGrEnt SQLProcessPwEnt SQLShellField SQLUidField SQLUsernameField SQLUserTable SQLWhereClause \
    SystemdEngine tcpReceiveWindow tcpSendWindow TransferPriority UseHostsAllowFile UseHostsDenyFile UseUTF8";

/// What is known about a directive, given the modules that are loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Directive {
    /// A loaded module has it.
    Known,
    /// It belongs to a module that is not loaded.
    OfModule(&'static str),
    /// Only older or newer versions have it.
    OtherVersion,
    /// No module in the tables has it.
    Unknown,
}

/// Whether a module can be loaded, as far as the tables know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Availability {
    /// Compiled in.
    Static,
    /// In one of Debian's packages.
    Packaged,
    /// Debian 12 has it in no package that comes along.
    Absent,
    /// In no table: from elsewhere, with directives that nobody here knows.
    Foreign,
}

/// The modules that are compiled into Debian's binary.
pub(super) fn debians() -> BTreeSet<String> {
    STATIC.iter().map(|name| (*name).to_owned()).collect()
}

/// Where a module comes from; names are case-sensitive and end in `.c` (RUN).
pub(super) fn availability(module: &str) -> Availability {
    if STATIC.contains(&module) {
        Availability::Static
    } else if LOADABLE.iter().any(|(name, _)| *name == module) {
        Availability::Packaged
    } else if ABSENT.iter().any(|(name, _)| *name == module) {
        Availability::Absent
    } else {
        Availability::Foreign
    }
}

/// Every directive in lower case, with the modules that have it; an empty name stands for those of every build.
fn owners() -> &'static HashMap<String, Vec<&'static str>> {
    static OWNERS: OnceLock<HashMap<String, Vec<&'static str>>> = OnceLock::new();
    OWNERS.get_or_init(|| {
        let mut owners: HashMap<String, Vec<&'static str>> = HashMap::new();
        for (module, list) in [("", STATIC_DIRECTIVES)]
            .iter()
            .chain(OPTIONAL)
            .chain(LOADABLE)
            .chain(ABSENT)
        {
            for name in list.split_ascii_whitespace() {
                owners
                    .entry(name.to_ascii_lowercase())
                    .or_default()
                    .push(module);
            }
        }
        owners
    })
}

/// What is known about a directive; names are case-insensitive (RUN).
pub(super) fn directive(name: &str, loaded: impl Fn(&str) -> bool) -> Directive {
    match owners().get(&name.to_ascii_lowercase()).map(Vec::as_slice) {
        None | Some([]) => {
            let mut others = OTHER_VERSIONS.split_ascii_whitespace();
            if others.any(|known| known.eq_ignore_ascii_case(name)) {
                Directive::OtherVersion
            } else {
                Directive::Unknown
            }
        }
        Some(modules)
            if modules
                .iter()
                .any(|module| module.is_empty() || loaded(module)) =>
        {
            Directive::Known
        }
        Some([first, ..]) => Directive::OfModule(first),
    }
}

/// A directive as its module spells it, which is how the daemon's messages do (RUN).
pub(super) fn spelled(name: &str) -> Option<&'static str> {
    let lists = [("", STATIC_DIRECTIVES)].into_iter();
    let lists = lists.chain(OPTIONAL.iter().chain(LOADABLE).chain(ABSENT).copied());
    let mut names = lists.flat_map(|(_, list)| list.split_ascii_whitespace());
    names.find(|known| known.eq_ignore_ascii_case(name))
}

/// The name nearest to an unknown one, when it is near: for the help line.
pub(super) fn nearest(name: &str) -> Option<&'static str> {
    let lowered = name.to_ascii_lowercase();
    STATIC_DIRECTIVES
        .split_ascii_whitespace()
        .map(|known| (distance(&lowered, &known.to_ascii_lowercase()), known))
        .min()
        .filter(|(distance, _)| *distance <= 2)
        .map(|(_, known)| known)
}

/// The edit distance of two short names.
fn distance(left: &str, right: &str) -> usize {
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in right.bytes().enumerate() {
            let replaced = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row.last().copied().unwrap_or_default()
}
