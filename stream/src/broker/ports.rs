//! Free TCP ports on loopback.

use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::net::{Ipv4Addr, TcpListener};

use super::BrokerError;

/// The lowest port that we take.
const LOWEST: u16 = 10_240;
/// Where the system begins to hand out ports for outgoing connections, if it doesn't say.
const EPHEMERAL: u16 = 32_768;

/// How often a server is started before its ports count as taken.
const ATTEMPTS_MAX: usize = 5;

/// Starts a server by `start`, which chooses free ports, and does so again when another process
/// took one in between; then the server's log says `taken`.
pub(super) fn on_free_ports<T>(
    taken: &str,
    mut start: impl FnMut() -> Result<T, BrokerError>,
) -> Result<T, BrokerError> {
    for _ in 1..ATTEMPTS_MAX {
        match start() {
            Err(BrokerError::Ended { log, .. }) if log.contains(taken) => {}
            outcome => return outcome,
        }
    }
    start()
}

/// A port that nothing listens on just now, below those that the system hands out to outgoing
/// connections: one of these could take it while a broker is being restarted.
///
/// Another process may take it first: see [`on_free_ports`].
pub(super) fn free_port() -> u16 {
    let range = ephemeral_begin().saturating_sub(LOWEST).max(1);
    loop {
        // The standard library's hash keys are the randomness that is at hand.
        let random = RandomState::new().hash_one(0_u8) % u64::from(range);
        let port = LOWEST + u16::try_from(random).expect("the rest of a division by a u16");
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}

fn ephemeral_begin() -> u16 {
    fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range")
        .ok()
        .and_then(|range| range.split_whitespace().next()?.parse().ok())
        .filter(|begin| *begin > LOWEST + 1_000)
        .unwrap_or(EPHEMERAL)
}

#[cfg(test)]
mod tests {
    use std::process::ExitStatus;

    use super::*;

    fn ended(log: &str) -> BrokerError {
        BrokerError::Ended {
            what: "a server",
            status: ExitStatus::default(),
            log: log.to_owned(),
        }
    }

    #[test]
    fn a_taken_port_is_tried_again_and_nothing_else_is() {
        let mut starts = 0;
        let started = on_free_ports("in use", || {
            starts += 1;
            if starts < 3 {
                Err(ended("port in use"))
            } else {
                Ok(starts)
            }
        });
        assert_eq!(started.unwrap(), 3);

        let mut starts = 0;
        let always_taken: Result<(), _> = on_free_ports("in use", || {
            starts += 1;
            Err(ended("port in use"))
        });
        assert!(always_taken.is_err());
        assert_eq!(starts, ATTEMPTS_MAX);

        let mut starts = 0;
        let other_reason: Result<(), _> = on_free_ports("in use", || {
            starts += 1;
            Err(ended("no memory"))
        });
        assert!(other_reason.is_err());
        assert_eq!(starts, 1);
    }

    #[test]
    fn a_port_in_use_is_not_handed_out() {
        let port = free_port();
        assert!((LOWEST..ephemeral_begin()).contains(&port));
        let _in_use = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
        for _ in 0..1_000 {
            assert_ne!(free_port(), port);
        }
    }
}
