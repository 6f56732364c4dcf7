//! What operators look into, with a browser or a program instead of the command line.
//!
//! Replaying, verifying and reconciling read the whole log and take minutes or hours: those stay
//! commands. So does approving corrections, which takes two people, each by name.

#[expect(
    unused_qualifications,
    reason = "utoipa names parameters by their path"
)]
pub(crate) mod dead_letters;
#[expect(
    unused_qualifications,
    reason = "utoipa names parameters by their path"
)]
pub(crate) mod explain;
pub(crate) mod findings;
#[expect(
    unused_qualifications,
    reason = "utoipa names parameters by their path"
)]
pub(crate) mod reviews;
#[expect(
    unused_qualifications,
    reason = "utoipa names parameters by their path"
)]
pub(crate) mod unmatched;
