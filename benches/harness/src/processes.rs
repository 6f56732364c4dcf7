//! What processes cost: processor time and memory, from `/proc`.

use std::{
    collections::BTreeMap,
    fs,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

const SAMPLE_EVERY: Duration = Duration::from_millis(200);
/// Linux counts processor time in hundredths of a second for `/proc`, on every platform that we
/// build for.
const TICKS_PER_SECOND: f64 = 100.0;

/// Which part of the product a process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    Pipeline,
    Postgres,
    ClickHouse,
}

/// A process as `/proc` shows it.
struct Process {
    pid: u32,
    parent: u32,
    part: Part,
    ticks: u64,
}

/// Processor seconds and memory by part.
#[derive(Debug, Clone, Default)]
pub struct Usage {
    pub cpu_seconds: BTreeMap<Part, f64>,
    /// Most memory at one moment, in MiB: resident, where pages that processes share count once
    /// over all of them.
    pub peak_mib: BTreeMap<Part, f64>,
}

impl Usage {
    pub fn cpu_seconds_total(&self) -> f64 {
        self.cpu_seconds.values().sum()
    }

    pub fn peak(&self, part: Part) -> f64 {
        self.peak_mib.get(&part).copied().unwrap_or_default()
    }
}

/// Watches a process and all that descend from it.
pub struct Watch {
    root: u32,
    before: BTreeMap<Part, u64>,
    peaks: Arc<Mutex<BTreeMap<Part, f64>>>,
    stop: Arc<AtomicBool>,
    sampler: Option<JoinHandle<()>>,
}

impl Watch {
    pub fn begin(root: u32) -> Self {
        let peaks = Arc::new(Mutex::new(BTreeMap::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let sampler = thread::spawn({
            let (peaks, stop) = (Arc::clone(&peaks), Arc::clone(&stop));
            move || {
                while !stop.load(Ordering::Relaxed) {
                    let now = memory(root);
                    let mut peaks = peaks.lock().unwrap_or_else(PoisonError::into_inner);
                    for (part, mib) in now {
                        let peak = peaks.entry(part).or_insert(0.0);
                        *peak = mib.max(*peak);
                    }
                    drop(peaks);
                    thread::sleep(SAMPLE_EVERY);
                }
            }
        });
        Self {
            root,
            before: ticks(root),
            peaks,
            stop,
            sampler: Some(sampler),
        }
    }

    /// What was used since the beginning.
    pub fn end(mut self) -> Usage {
        let mut usage = Usage::default();
        for (part, after) in ticks(self.root) {
            let before = self.before.get(&part).copied().unwrap_or_default();
            let ticks = u32::try_from(after.saturating_sub(before)).unwrap_or(u32::MAX);
            usage
                .cpu_seconds
                .insert(part, f64::from(ticks) / TICKS_PER_SECOND);
        }
        self.stop.store(true, Ordering::Relaxed);
        if let Some(sampler) = self.sampler.take() {
            let _ = sampler.join();
        }
        let peaks = self.peaks.lock().unwrap_or_else(PoisonError::into_inner);
        usage.peak_mib.clone_from(&peaks);
        usage
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn ticks(root: u32) -> BTreeMap<Part, u64> {
    let mut sums = BTreeMap::new();
    for process in tree(root) {
        *sums.entry(process.part).or_default() += process.ticks;
    }
    sums
}

/// MiB of memory now. Of PostgreSQL's processes, which share most of it, the proportional part.
fn memory(root: u32) -> BTreeMap<Part, f64> {
    let mut sums = BTreeMap::new();
    for process in tree(root) {
        let (file, name) = match process.part {
            Part::Postgres => ("smaps_rollup", "Pss:"),
            Part::Pipeline | Part::ClickHouse => ("status", "VmRSS:"),
        };
        let text = fs::read_to_string(format!("/proc/{}/{file}", process.pid));
        let text = text.unwrap_or_default();
        let kib = text.lines().find_map(|line| line.strip_prefix(name));
        let kib = kib.and_then(|kib| kib.trim().trim_end_matches(" kB").parse::<u32>().ok());
        *sums.entry(process.part).or_default() += f64::from(kib.unwrap_or_default()) / 1_024.0;
    }
    sums
}

/// The process and all that descend from it. One that ends meanwhile is left out.
fn tree(root: u32) -> Vec<Process> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let mut waiting: Vec<Process> = pids.filter_map(read).collect();
    let mut found: Vec<Process> = Vec::new();
    loop {
        let (now, later): (Vec<_>, Vec<_>) = waiting.into_iter().partition(|process| {
            process.pid == root || found.iter().any(|known| known.pid == process.parent)
        });
        if now.is_empty() {
            return found;
        }
        found.extend(now);
        waiting = later;
    }
}

fn read(pid: u32) -> Option<Process> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name may hold anything, and ends with the last parenthesis.
    let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
    // User and system time, its own and those of children that have ended.
    let ticks = fields.get(11..15)?.iter();
    let command = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let command = String::from_utf8_lossy(&command);
    let mut words = command.split('\0');
    let part = match (words.next(), words.next()) {
        (Some(program), _) if program.contains("postgres") => Part::Postgres,
        (_, Some("clickhouse-engine")) => Part::ClickHouse,
        _ => Part::Pipeline,
    };
    Some(Process {
        pid,
        parent: fields.get(1)?.parse().ok()?,
        part,
        ticks: ticks.filter_map(|field| field.parse::<u64>().ok()).sum(),
    })
}
