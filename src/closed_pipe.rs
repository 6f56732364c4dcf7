//! Who reads a command's output may stop early (`hissaback payout list | head`).

use std::{
    any::Any,
    panic::{self, AssertUnwindSafe, PanicHookInfo},
};

/// How the standard library says that standard output is closed: printing panics.
const CLOSED: &str = "failed printing to stdout: Broken pipe";

/// Runs a command. Nothing comes back if it ended because nobody reads its output any more: it is
/// unwound then, so that services which it started are stopped in order, and no word is said.
pub fn run_until_closed<T>(command: impl FnOnce() -> T) -> Option<T> {
    let tell = panic::take_hook();
    panic::set_hook(Box::new(move |panicked: &PanicHookInfo<'_>| {
        if !closed(panicked.payload()) {
            tell(panicked);
        }
    }));
    match panic::catch_unwind(AssertUnwindSafe(command)) {
        Ok(outcome) => Some(outcome),
        Err(payload) if closed(&*payload) => None,
        Err(payload) => panic::resume_unwind(payload),
    }
}

fn closed(payload: &(dyn Any + Send)) -> bool {
    payload
        .downcast_ref::<String>()
        .is_some_and(|message| message.starts_with(CLOSED))
}
