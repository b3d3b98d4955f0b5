//! The FTP daemons: which are here, and what their configuration says.
