//! The set-up of a child process between fork and exec. The only `unsafe` block here is the hook
//! that the standard library runs at that point.

use std::io;

use rustix::process::{Signal, getppid, set_parent_process_death_signal};
use tokio::process::Command;

use super::accounts::Account;

/// Makes `command` a child that doesn't outlive us and that a terminal's Ctrl-C doesn't reach:
///
/// * it gets `death_signal` when the *thread* that spawned it ends (so spawn it from one that
///   lives as long as it should), even if we are killed;
/// * it has a process group of its own, because we stop it ourselves, in the right order;
/// * it runs as `account`, when one is given.
pub(super) fn bind_to_parent(
    command: &mut Command,
    account: Option<&Account>,
    death_signal: Signal,
) {
    command.process_group(0);
    if let Some(account) = account {
        command.uid(account.user_id).gid(account.group_id);
    }
    let parent = rustix::process::getpid();
    let hook = move || -> io::Result<()> {
        set_parent_process_death_signal(Some(death_signal))?;
        // We may have died between the fork and the line above: then no signal will ever come.
        if getppid() == Some(parent) {
            Ok(())
        } else {
            Err(io::Error::from(rustix::io::Errno::SRCH))
        }
    };
    #[expect(
        unsafe_code,
        reason = "`pre_exec` is the only way to ask for the death signal"
    )]
    // SAFETY: the hook runs in the forked child, where only async-signal-safe work is allowed. It
    // makes two plain system calls (prctl, getppid) without libc's wrappers, and builds its error
    // from a number: it neither allocates, locks, nor touches memory that another thread may have
    // been changing at the fork. It runs after the standard library has changed the user, which
    // would have cleared the death signal.
    unsafe {
        command.pre_exec(hook);
    }
}
