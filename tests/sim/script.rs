//! The scripts that clients call, as told by their arguments: it knows no text of any.

/// A call of a script.
pub struct Call<'a> {
    pub key: &'a [u8],
    pub token: &'a [u8],
    /// Whether a fence is its second key.
    is_fenced: bool,
    /// What comes after the token.
    more: &'a [Vec<u8>],
}

impl<'a> Call<'a> {
    pub fn of(command: &'a [Vec<u8>]) -> Option<Self> {
        if !matches!(&*command[0], b"EVAL" | b"EVALSHA") {
            return None;
        }
        match command {
            [_, _, keys, key, token, more @ ..] if keys == b"1" => {
                Some(Self { key, token, is_fenced: false, more })
            }
            [_, _, _, key, _, token, more @ ..] => Some(Self { key, token, is_fenced: true, more }),
            _ => None,
        }
    }

    /// Whether it sets a lock that is free: it has a ttl, where a burial has what it publishes.
    pub fn acquires(&self) -> bool {
        let is_ttl = |text: &Vec<u8>| !text.is_empty() && text.iter().all(u8::is_ascii_digit);
        self.is_fenced && self.more.len() == 3 && self.more.first().is_some_and(is_ttl)
    }

    /// Whether it lets a lock live on.
    pub fn extends(&self) -> bool {
        self.more.len() == if self.is_fenced { 4 } else { 2 }
    }

    /// Whether it writes where no lock is: to acquire or heal one, or to bury it.
    pub fn sets_what_is_not_there(&self) -> bool {
        self.more.len() == if self.is_fenced { 3 } else { 2 }
    }
}
