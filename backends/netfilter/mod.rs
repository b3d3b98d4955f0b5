//! The ruleset that packets meet, whoever wrote it: read over netlink, decoded into the model.
