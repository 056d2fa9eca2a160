//! A program whose nodes' names nobody answers for: for a test that counts its look-ups.
//!
//! `redlock-silent-names URL...` prints how many look-ups are under way when a wait for a lock
//! has failed, when the client is shut down, and when the runtime has ended.

use std::{fs, io, time::Duration};

use redlock_quorum::Redlock;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let urls: Vec<String> = std::env::args().skip(1).collect();
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(async {
        let redlock = Redlock::builder().nodes(urls).build()?;
        // Long enough for a few attempts to connect, each of which takes a second.
        let wait = Duration::from_millis(3500);
        let error = redlock.lock("job").wait(wait).await.err().ok_or("nobody has those names")?;
        println!("{} look-ups: {error}", look_ups()?);
        redlock.shutdown(Duration::from_secs(30)).await?;
        println!("{} look-ups after the shutdown", look_ups()?);
        Ok::<_, Box<dyn std::error::Error>>(())
    })?;
    drop(runtime);
    println!("{} look-ups after the runtime", look_ups()?);
    Ok(())
}

/// How many threads of this process look a name up.
fn look_ups() -> io::Result<usize> {
    let mut count = 0;
    for task in fs::read_dir("/proc/self/task")? {
        // A thread may end while we look.
        let name = fs::read_to_string(task?.path().join("comm")).unwrap_or_default();
        count += usize::from(name.trim_end() == "redlock-lookup");
    }
    Ok(count)
}
