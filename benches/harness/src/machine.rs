//! The machine: what figures depend on, and whether it has what the scenarios need.

use std::{fs, path::Path};

use anyhow::ensure;

use crate::product::room;

/// Room that a scenario's data needs at most, in bytes, in the short and the full form.
pub const ROOM_SHORT: u64 = 4 << 30;
pub const ROOM_FULL: u64 = 12 << 30;

/// Fails with what is missing.
pub fn check(directory: &Path, needed: u64) -> anyhow::Result<()> {
    let free = room(directory)?;
    ensure!(
        free >= needed,
        "{} has {} GiB free, and the benchmark needs {}: make room, or choose another disk \
         (TMPDIR; --histories for what `grown` keeps)",
        directory.display(),
        free >> 30,
        needed.div_ceil(1 << 30)
    );
    Ok(())
}

/// Processors, memory and system, for the table.
pub fn description() -> Vec<(String, String)> {
    let line = |file: &str, name: &str| {
        let text = fs::read_to_string(file).unwrap_or_default();
        let found = text.lines().find(|line| line.starts_with(name));
        let value = found.and_then(|line| line.split_once(':'));
        value.map_or_else(String::new, |(_, value)| value.trim().to_owned())
    };
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kib = line("/proc/meminfo", "MemTotal");
    let kib: u64 = kib.trim_end_matches(" kB").parse().unwrap_or_default();
    let system = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    vec![
        ("cores".to_owned(), cores.to_string()),
        ("processor".to_owned(), line("/proc/cpuinfo", "model name")),
        ("memory".to_owned(), format!("{} GiB", kib >> 20)),
        ("Linux".to_owned(), system.trim().to_owned()),
    ]
}
