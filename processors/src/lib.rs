//! The rules, pure, and the log-to-log stage that applies them.
