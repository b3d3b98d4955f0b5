//! Where each of ProFTPD's directives may not stand: the daemon refuses to start then.
//!
//! RUN: Each directive was given to Debian 12's `proftpd -t` (1.3.8+dfsg-4+deb12u5) in each context, with arguments of
//! several kinds. Those that bear on ports are checked where they are read.

/// The main server's lines.
pub(super) const ROOT: &str = "server config";
/// Where what belongs to a server may stand.
pub(super) const SERVERS: &[&str] = &[ROOT, "<VirtualHost>", "<Global>"];

/// The contexts that refuse the directives behind them.
const REFUSED: &[(&[&str], &str)] = &[
    (
        &["<Anonymous>", "<Directory>", "<Limit>"],
        "AllowChrootSymlinks AllowLogSymlinks AuthFileOptions AuthGroupFile AuthOrder AuthPAM \
         AuthPAMConfig AuthPAMOptions AuthUnixOptions AuthUserFile CapabilitiesEngine \
         CapabilitiesRootRevoke CapabilitiesSet CommandBufferSize CreateHome DebugLevel \
         DefaultRoot DefaultTransferMode DeferWelcome DelayEngine DelayOnEvent DisplayConnect \
         DisplayFileTransfer FSOptions FactsAdvertise FactsDefault FactsOptions LangDefault \
         LangEngine LangOptions LogOptions MaxClientsPerClass MaxCommandRate MaxConnectionsPerHost \
         MaxLoginAttempts MaxPasswordSize PersistentPasswd Protocols RLimitCPU RLimitChroot \
         RLimitMemory RLimitOpenFiles RegexOptions RewriteHome ServerIdent ServerLog SetEnv \
         SyslogLevel TCPNoDelay TimeoutLinger TimeoutLogin Trace TraceOptions TransferOptions \
         UnsetEnv UseEncoding UseLastlog",
    ),
    (
        &["<Directory>", "<Limit>"],
        "AccessDenyMsg AccessGrantMsg AllowEmptyPasswords AllowForeignAddress AuthAliasOnly CDPath \
         DefaultChdir DisplayLogin DisplayQuit ExtendedLog Group ListStyle MaxClients \
         MaxClientsPerHost MaxClientsPerUser MaxHostsPerUser RequireValidShell RootLogin \
         RootRevoke ShowSymlinks TimeoutIdle TimeoutNoTransfer TimeoutSession TimeoutStalled \
         TimesGMT TransferLog UseFtpUsers UseGlobbing User UserAlias UserPassword WtmpLog",
    ),
    (
        &[
            "<Global>",
            "<VirtualHost>",
            "<Anonymous>",
            "<Directory>",
            "<Limit>",
        ],
        "ControlsACLs ControlsAuthFreshness ControlsEngine ControlsInterval ControlsLog \
         ControlsMaxClients ControlsSocket ControlsSocketACL ControlsSocketOwner DefaultAddress \
         DelayControlsACLs DelayTable IncludeOptions LangPath LoadFile MaxConnectionRate \
         MaxInstances ModuleControlsACLs ModuleOrder ModulePath PidFile ProcessTitles \
         ScoreboardFile ScoreboardMutex ScoreboardScrub ServerType SocketBindTight SyslogFacility \
         TCPBackLog UseIPv6 UseReverseDNS",
    ),
    (
        &["<Limit>"],
        "AllowOverride AllowOverwrite AllowRetrieveRestart AllowStoreRestart DeleteAbortedStores \
         DirFakeGroup DirFakeMode DirFakeUser DisplayChdir HiddenStores ListOptions \
         MaxRetrieveFileSize MaxStoreFileSize MaxTransfersPerHost MaxTransfersPerUser \
         PathAllowFilter PathDenyFilter StoreUniquePrefix TransferRate Umask UseSendfile",
    ),
    (
        &[
            "<Global>",
            "<VirtualHost>",
            "<Anonymous>",
            "<Directory>",
            ROOT,
        ],
        "Allow AllowClass AllowGroup AllowUser Deny DenyClass DenyGroup DenyUser IgnoreHidden \
         Order",
    ),
    (
        &["<Global>", "<VirtualHost>", "<Directory>", "<Limit>", ROOT],
        "AnonAllowRobots AnonRejectPasswords AnonRequirePassword AuthUsingAlias UserDirRoot",
    ),
    (
        &["<Global>", "<Anonymous>", "<Directory>", "<Limit>"],
        "DefaultServer ServerAdmin ServerAlias ServerName SocketOptions",
    ),
    (
        &["<Global>", "<VirtualHost>", "<Limit>", ROOT],
        "GroupOwner HideGroup HideNoAccess HideUser UserOwner",
    ),
    (
        &["<VirtualHost>", "<Anonymous>", "<Directory>", "<Limit>"],
        "LogFormat SystemLog TraceLog",
    ),
    (
        &[
            "<Global>",
            "<VirtualHost>",
            "<Anonymous>",
            "<Directory>",
            "<Limit>",
            ROOT,
        ],
        "From Satisfy",
    ),
    (
        &["<Global>", "<VirtualHost>", "<Anonymous>", "<Limit>", ROOT],
        "HideFiles",
    ),
];

/// Whether a directive is refused in a context; names are case-insensitive.
pub(super) fn is_refused(name: &str, context: &str) -> bool {
    let refusing = REFUSED
        .iter()
        .filter(|(contexts, _)| contexts.contains(&context));
    let mut names = refusing.flat_map(|(_, names)| names.split_ascii_whitespace());
    names.any(|known| known.eq_ignore_ascii_case(name))
}
