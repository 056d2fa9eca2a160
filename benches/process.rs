//! What this process uses: bytes, by an allocator that counts them and as the
//! system sees them, and its time, or one thread's, on a core. Only Linux tells
//! of resident bytes and of threads. And what it may use: open files, precise timers.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    fs,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    time::Duration,
};

use crate::common::Result;

/// The system's allocator, and how many bytes it has given out since
/// [`count_allocations`]. Not before: a counter that all threads write to takes
/// the more from a client, the more it allocates.
pub struct Counting;

static COUNTS: AtomicBool = AtomicBool::new(false);
static ALLOCATED: AtomicUsize = AtomicUsize::new(0);

// SAFETY: all that is asked for is asked of `System`, unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 0);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        count(0, layout.size());
        unsafe { System.dealloc(place, layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size, layout.size());
        unsafe { System.realloc(place, layout, size) }
    }
}

fn count(more: usize, less: usize) {
    if COUNTS.load(Relaxed) {
        ALLOCATED.fetch_add(more.wrapping_sub(less), Relaxed);
    }
}

/// From now on.
pub fn count_allocations() {
    COUNTS.store(true, Relaxed);
}

/// By how many bytes more is allocated than when counting began. Below zero if
/// more was freed of what there was before.
pub fn allocated() -> isize {
    ALLOCATED.load(Relaxed).cast_signed()
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
    let mut taken = Duration::ZERO;
    for task in fs::read_dir("/proc/self/task").ok()?.flatten() {
        let (found, time) = parse_stat(&fs::read_to_string(task.path().join("stat")).ok()?)?;
        if found == name {
            taken += time;
        }
    }
    (!taken.is_zero()).then_some(taken)
}

/// How long another process has been on a core.
pub fn cpu_of(process: u32) -> Option<Duration> {
    Some(parse_stat(&fs::read_to_string(format!("/proc/{process}/stat")).ok()?)?.1)
}

/// Its name, and how long it has been on a core.
fn parse_stat(stat: &str) -> Option<(String, Duration)> {
    let (before, after) = stat.rsplit_once(") ")?;
    let name = before.split_once('(')?.1.to_owned();
    // `utime` and `stime`.
    let times = after.split(' ').skip(11).take(2);
    let ticks: u64 = times.filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    // Linux tells user space of hundredths, whatever it counts by itself.
    Some((name, Duration::from_millis(ticks * 10)))
}

/// How long this process has been on a core, all threads together; nothing where
/// the system does not tell.
pub fn cpu() -> Duration {
    #[cfg(unix)]
    {
        use rustix::time::{ClockId, clock_gettime};
        Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).unwrap_or_default()
    }
    #[cfg(not(unix))]
    Duration::ZERO
}

/// From now on this thread sleeps as long as it is told to, and a wake-up more;
/// Linux lets others sleep for 50 µs longer, to wake several at once.
pub fn sleep_precisely() -> Result<()> {
    #[cfg(target_os = "linux")]
    rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1))?;
    Ok(())
}
