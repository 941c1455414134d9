//! What the operating system says of this process, under the names that all Prometheus clients give it. Linux only:
//! elsewhere these families are not there.

use super::{Exposition, Kind};

/// The kernel's unit of CPU time for user space: `USER_HZ`, 100 on every processor that Linux runs on today.
const TICKS_PER_SECOND: f64 = 100.0;

pub(crate) fn process(text: &mut Exposition) {
    if let Some(ticks) = cpu_ticks() {
        let name = "process_cpu_seconds_total";
        text.family(name, Kind::Counter, "CPU time of the process, user and system.");
        text.sample(name, &[], ticks / TICKS_PER_SECOND);
    }
    if let Some(bytes) = resident_bytes() {
        let name = "process_resident_memory_bytes";
        text.family(name, Kind::Gauge, "Resident memory of the process.");
        text.sample(name, &[], bytes);
    }
    if let Ok(open) = std::fs::read_dir("/proc/self/fd") {
        let name = "process_open_fds";
        text.family(name, Kind::Gauge, "Open file descriptors, sockets included.");
        text.sample(name, &[], open.count());
    }
    if let Some(most) = most_descriptors() {
        let name = "process_max_fds";
        text.family(name, Kind::Gauge, "The most file descriptors that the process may open.");
        text.sample(name, &[], most);
    }
}

fn cpu_ticks() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The name of the program stands in parentheses and may hold anything; utime and stime are the 12th and 13th after.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<f64>().ok();
    Some(ticks()? + ticks()?)
}

fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib * 1024)
}

fn most_descriptors() -> Option<u64> {
    let limits = std::fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}
