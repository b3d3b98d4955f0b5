//! What becomes of a port, and where an accept belongs: pure functions of a ruleset.
