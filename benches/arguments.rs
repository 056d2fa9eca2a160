//! What a benchmark is asked for: parts of it, how many rounds, and whether it
//! is to measure at all.

use crate::common::Result;

pub struct Arguments {
    /// Not so: only show that it runs. `cargo test --benches` passes no
    /// `--bench`.
    pub full: bool,
    pub rounds: Option<usize>,
    pub parts: Vec<&'static str>,
}

impl Arguments {
    /// Fails for what is neither a part nor an odd number: odd numbers of
    /// rounds have a median.
    pub fn parse(args: impl IntoIterator<Item = String>, parts: &[&'static str]) -> Result<Self> {
        let args: Vec<_> = args.into_iter().collect();
        let full = args.iter().any(|arg| arg == "--bench");
        let mut parsed = Self { full, rounds: None, parts: Vec::new() };
        for arg in args.iter().filter(|arg| !arg.starts_with('-')) {
            match (arg.parse(), parts.iter().find(|part| *part == arg)) {
                (Ok(rounds), _) if rounds % 2 == 1 => parsed.rounds = Some(rounds),
                (_, Some(part)) => parsed.parts.push(part),
                // Without `--bench` it may be the name of a test.
                _ if !full => {}
                _ => return Err(format!("`{arg}` is none of {parts:?} and no odd number").into()),
            }
        }
        if parsed.parts.is_empty() {
            parsed.parts.extend(parts);
        }
        Ok(parsed)
    }
}

/// Takes `name VALUE` or `name=VALUE` out of them.
pub fn take(args: &mut Vec<String>, name: &str) -> Result<Option<String>> {
    let is_it = |arg: &String| arg.split('=').next() == Some(name);
    let Some(place) = args.iter().position(is_it) else { return Ok(None) };
    let arg = args.remove(place);
    if let Some((_, value)) = arg.split_once('=') {
        return Ok(Some(value.to_owned()));
    }
    if place == args.len() {
        return Err(format!("{name} what?").into());
    }
    Ok(Some(args.remove(place)))
}
