//! Reads the files that the settings name. What is in them may be secret: no error ever
//! repeats any of it.

use std::{
    fs::File,
    io::{self, Read as _},
    path::Path,
};

use crate::exit::Exit;

/// The most that is read. No such file is as large, and a device that was given by
/// mistake must not fill the memory.
const MAX_BYTES: u64 = 1 << 20;

/// The contents of the file that `flag` names.
pub(crate) fn read(flag: &str, path: &Path) -> Result<Vec<u8>, Exit> {
    let shown = path.display();
    match read_at_most(path, MAX_BYTES) {
        Ok(Some(bytes)) => Ok(bytes),
        Ok(None) => {
            Err(Exit::config(format!("{flag} {shown}: it has more than {MAX_BYTES} bytes")))
        }
        Err(error) => Err(Exit::config(format!("{flag} {shown}: {error}"))),
    }
}

/// Like [`read`], for a file that must be text.
pub(crate) fn read_text(flag: &str, path: &Path) -> Result<String, Exit> {
    String::from_utf8(read(flag, path)?)
        .map_err(|_| Exit::config(format!("{flag} {}: it is not UTF-8 text", path.display())))
}

/// The contents, or `None` if there are more than `limit` bytes.
fn read_at_most(path: &Path, limit: u64) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    let read = File::open(path)?.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    let fits = u64::try_from(read).is_ok_and(|read| read <= limit);
    Ok(fits.then_some(bytes))
}
