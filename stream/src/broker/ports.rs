//! Free TCP ports on loopback.

use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::net::{Ipv4Addr, TcpListener};

/// The lowest port that we take.
const LOWEST: u16 = 10_240;
/// Where the system begins to hand out ports for outgoing connections, if it doesn't say.
const EPHEMERAL: u16 = 32_768;

/// A port that nothing listens on just now, below those that the system hands out to outgoing
/// connections: one of these could take it while a broker is being restarted.
///
/// Another process may take it first. Whoever starts a server on it tries again with another.
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
    use super::*;

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
