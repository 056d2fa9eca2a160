//! The scripts that clients call, as told by their arguments: it knows no text of any.

/// The key of a strict node's epoch, which is the last of a script's keys there.
pub const EPOCH: &[u8] = b"redlock:epoch";

/// A call of a script.
pub struct Call<'a> {
    pub key: &'a [u8],
    pub token: &'a [u8],
    /// Whether a fence is its second key.
    is_fenced: bool,
    /// What comes after the token.
    more: &'a [Vec<u8>],
    /// The epoch as the client knows it, where the script compares that first.
    pub known: Option<&'a [u8]>,
    /// Whether it says there that it heals.
    pub heals: bool,
}

impl<'a> Call<'a> {
    pub fn of(command: &'a [Vec<u8>]) -> Option<Self> {
        if !matches!(&*command[0], b"EVAL" | b"EVALSHA") {
            return None;
        }
        let count = std::str::from_utf8(command.get(2)?).ok()?.parse().ok()?;
        let (keys, args) = command.get(3..)?.split_at_checked(count)?;
        let (token, mut more) = args.split_first()?;
        let (keys, known, heals) = match (keys, more) {
            ([keys @ .., epoch], [rest @ .., known, heals])
                if !keys.is_empty() && epoch == EPOCH =>
            {
                more = rest;
                (keys, Some(&**known), heals == b"1")
            }
            _ => (keys, None, false),
        };
        let (key, is_fenced) = (keys.first()?, keys.len() > 1);
        Some(Self { key, token, is_fenced, more, known, heals })
    }

    /// Whether it sets a lock that is free: it has a ttl, where a burial has what it publishes.
    pub fn acquires(&self) -> bool {
        let is_ttl = |text: &Vec<u8>| !text.is_empty() && text.iter().all(u8::is_ascii_digit);
        let is_set = match self.is_fenced {
            true => self.more.len() == 3,
            false => self.known.is_some() && self.more.len() == 1,
        };
        is_set && self.more.first().is_some_and(is_ttl)
    }

    /// Whether it lets a lock live on.
    pub fn extends(&self) -> bool {
        self.more.len() == if self.is_fenced { 4 } else { 2 }
    }

    /// Whether it writes where no lock is: to acquire or heal one, or to bury it.
    pub fn sets_what_is_not_there(&self) -> bool {
        self.acquires() || self.more.len() == if self.is_fenced { 3 } else { 2 }
    }
}
