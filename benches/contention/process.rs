//! What this process uses: bytes, by an allocator that counts them and as the
//! system sees them, and one thread's time on a core. Only Linux tells the
//! latter two. And how many files it may have open.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    fs,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    time::Duration,
};

use crate::common::Result;

/// The system's allocator, and how many bytes it has given out.
pub struct Counting;

static ALLOCATED: AtomicUsize = AtomicUsize::new(0);

// SAFETY: all that is asked for is asked of `System`, unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATED.fetch_add(layout.size(), Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        ALLOCATED.fetch_sub(layout.size(), Relaxed);
        unsafe { System.dealloc(place, layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATED.fetch_add(size, Relaxed);
        ALLOCATED.fetch_sub(layout.size(), Relaxed);
        unsafe { System.realloc(place, layout, size) }
    }
}

/// Bytes that are allocated now.
pub fn allocated() -> usize {
    ALLOCATED.load(Relaxed)
}

/// Bytes that are resident now. `status` has them in kilobytes, where `statm`
/// has pages of a size that it does not tell.
pub fn resident() -> Option<usize> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok().map(|kilobytes: usize| kilobytes * 1024)
}

/// Makes it so many if they are fewer; fails if the system does not let it.
pub fn allow_open_files(count: u64) -> Result<()> {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, getrlimit, setrlimit};
        let mut limit = getrlimit(Resource::Nofile);
        if limit.current.is_some_and(|current| current < count) {
            limit.current = Some(count);
            setrlimit(Resource::Nofile, limit)
                .map_err(|error| format!("it needs {count} open files: {error}"))?;
        }
    }
    Ok(())
}

/// How long this process's threads of that name have been on a core.
pub fn thread_time(name: &str) -> Option<Duration> {
    let mut ticks = 0;
    for task in fs::read_dir("/proc/self/task").ok()?.flatten() {
        let stat = fs::read_to_string(task.path().join("stat")).ok()?;
        let (before, after) = stat.rsplit_once(") ")?;
        if before.split_once('(')?.1 == name {
            // `utime` and `stime`.
            let times = after.split(' ').skip(11).take(2);
            ticks += times.filter_map(|ticks| ticks.parse::<u64>().ok()).sum::<u64>();
        }
    }
    // Linux tells user space of hundredths, whatever it counts by itself.
    (ticks > 0).then(|| Duration::from_millis(ticks * 10))
}
