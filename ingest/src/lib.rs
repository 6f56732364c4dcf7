//! HTTP to log: postbacks, clicks, smart-link redirect.
