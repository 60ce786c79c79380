//! The memory of this process: what it has, what it may have, and giving back what it no longer uses.

use std::{fs, hint};

/// More than the allocator serves from pages with several blocks.
const PAGE_OF_ITS_OWN_BYTES: usize = 4 << 20;

/// Has memory handed out in small pages from here on.
///
/// Where the system prefers huge pages, each thread's first few objects of a kind take two MiB; at the request sizes of
/// telemetry that is a quarter of the resident size for no measurable gain in time (`cargo bench --bench loopback`).
pub fn use_small_pages() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::thread::disable_transparent_huge_pages(true) {
        tracing::debug!(%error, "huge pages stay on");
    }
}

/// Has the allocator return what was freed to the system, as far as its time has come.
///
/// mimalloc keeps freed pages for a second and looks at them again only when a page is taken or returned. An idle gateway,
/// or one that refuses everything, takes none: after a peak its resident size would stay high for good.
pub fn give_back_freed() {
    drop(hint::black_box(Vec::<u8>::with_capacity(PAGE_OF_ITS_OWN_BYTES)));
}

/// Resident memory of this process; some microseconds' work.
pub fn resident_bytes() -> Option<u64> {
    let pages = fs::read_to_string("/proc/self/statm").ok()?.split_whitespace().nth(1)?.parse::<u64>().ok()?;
    pages.checked_mul(rustix::param::page_size() as u64)
}

/// Addresses this process has asked for, resident or not.
pub fn virtual_bytes() -> Option<u64> {
    kib_line(&fs::read_to_string("/proc/self/status").ok()?, "VmSize:")
}

/// Memory this process may have: the machine's, or less if its control group says so.
pub fn available_bytes() -> Option<u64> {
    let machine = kib_line(&fs::read_to_string("/proc/meminfo").ok()?, "MemTotal:")?;
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let limits = limit_files(&groups).into_iter().filter_map(|path| fs::read_to_string(path).ok()?.trim().parse().ok());
    Some(limits.fold(machine, u64::min))
}

/// Files that may hold a limit of ours, from the contents of `/proc/self/cgroup`: those of our control group and of
/// every one above it, in version 2 and version 1.
fn limit_files(groups: &str) -> Vec<String> {
    let mut files = Vec::new();
    for line in groups.lines() {
        let mut fields = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(path)) = (fields.next(), fields.next(), fields.next()) else { continue };
        let (root, file) = match controllers {
            "" => ("/sys/fs/cgroup", "memory.max"),
            v1 if v1.split(',').any(|controller| controller == "memory") => {
                ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
            }
            _ => continue,
        };
        let mut path = path.trim_end_matches('/');
        loop {
            files.push(format!("{root}{path}/{file}"));
            let Some((parent, _)) = path.rsplit_once('/') else { break };
            path = parent;
        }
    }
    files
}

/// Bytes in the line `name   123 kB`.
fn kib_line(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_has_some_of_what_it_may_have() {
        let (resident, available) = (resident_bytes().unwrap(), available_bytes().unwrap());
        assert!(resident > 1 << 20 && resident < available, "{resident} of {available}");
        assert!(virtual_bytes().unwrap() > resident);
    }

    #[test]
    fn limits_are_looked_for_in_every_group_up_to_the_root() {
        let both = "12:cpu,memory:/a/b\n1:name=systemd:/x\n0::/docker/c\n";
        assert_eq!(
            limit_files(both),
            [
                "/sys/fs/cgroup/memory/a/b/memory.limit_in_bytes",
                "/sys/fs/cgroup/memory/a/memory.limit_in_bytes",
                "/sys/fs/cgroup/memory/memory.limit_in_bytes",
                "/sys/fs/cgroup/docker/c/memory.max",
                "/sys/fs/cgroup/docker/memory.max",
                "/sys/fs/cgroup/memory.max",
            ]
        );
        assert_eq!(limit_files("0::/"), ["/sys/fs/cgroup/memory.max"]);
        assert!(limit_files("nonsense").is_empty());
    }
}
