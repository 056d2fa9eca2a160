//! The scripts that an in-memory node stands in for, and the arguments of a call of one. It runs
//! none of them.

use std::sync::OnceLock;

use super::command::{Lifetime, Refusal, integer, refuse};

/// A script's arguments. All but the first two are read only when the script gets to
/// them.
#[derive(Debug)]
pub(super) struct Call<'a> {
    pub(super) key: &'a [u8],
    /// The second key, of a script that takes two.
    pub(super) fence: Option<&'a [u8]>,
    pub(super) token: &'a [u8],
    more: &'a [&'a [u8]],
    /// What goes before a script at strict nodes.
    pub(super) guard: Option<Guard<'a>>,
}

/// The arguments of `epoch.lua`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Guard<'a> {
    pub(super) epoch: &'a [u8],
    pub(super) known: &'a [u8],
    pub(super) heals: bool,
}

impl<'a> Call<'a> {
    /// The message that a release publishes.
    pub(super) fn payload(&self) -> Option<&'a [u8]> {
        self.more.first().copied()
    }

    /// The lifetime of a lock, the number that comes with it, and the lifetime of its fence.
    pub(super) fn fenced(&self) -> Result<(Lifetime, u64, Lifetime), Refusal> {
        let (number, retention) = self.buried()?;
        Ok((Lifetime::to_set(self.lifetime_text()?)?, number, retention))
    }

    /// The highest number that was sent, and the lifetime of its fence.
    pub(super) fn buried(&self) -> Result<(u64, Lifetime), Refusal> {
        let [_, number, retention, ..] = self.more else {
            return Err(refuse("ERR in-memory node: the script needs a number"));
        };
        let number = u64::try_from(integer(number)?)
            .map_err(|_| refuse("ERR in-memory node: the number is negative"))?;
        Ok((number, Lifetime::to_set(retention)?))
    }

    /// Whether a fenced extension hands the lock on.
    pub(super) fn hands_on(&self) -> bool {
        self.more.get(3).is_some_and(|word| word == b"1")
    }

    /// The lifetime of a key that is set.
    pub(super) fn lifetime_to_set(&self) -> Result<Lifetime, Refusal> {
        Lifetime::to_set(self.lifetime_text()?)
    }

    /// How long an extension lets a key that is there live on.
    pub(super) fn lifetime(&self) -> Result<Lifetime, Refusal> {
        Lifetime::parse(self.lifetime_text()?, "pexpire")
    }

    /// How long an extension lets a key live that is not there, if it heals it.
    pub(super) fn healed(&self) -> Option<Result<Lifetime, Refusal>> {
        let heals = self.more.get(1).is_some_and(|word| word == b"1");
        heals.then(|| self.lifetime_text().and_then(Lifetime::to_set))
    }

    fn lifetime_text(&self) -> Result<&'a [u8], Refusal> {
        let text = self.more.first().copied();
        text.ok_or_else(|| refuse("ERR in-memory node: the script needs a lifetime"))
    }
}

/// The scripts this node can stand in for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Script {
    Release,
    Extend,
    SetFenced,
    ExtendFenced,
    Bury,
    StrictSet,
    StrictSetFenced,
    StrictHeal,
    Bootstrap,
    EpochLook,
}

impl Script {
    const ALL: [Self; 10] = [
        Self::Release,
        Self::Extend,
        Self::SetFenced,
        Self::ExtendFenced,
        Self::Bury,
        Self::StrictSet,
        Self::StrictSetFenced,
        Self::StrictHeal,
        Self::Bootstrap,
        Self::EpochLook,
    ];

    pub(super) fn hash(self) -> &'static str {
        static HASHES: OnceLock<[String; 10]> = OnceLock::new();
        let hashes = HASHES.get_or_init(|| {
            Self::ALL.map(|script| redis::Script::new(script.text()).get_hash().to_owned())
        });
        let own = Self::ALL.into_iter().zip(hashes).find(|(script, _)| *script == self);
        own.map_or("", |(_, hash)| hash)
    }

    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Release => include_str!("../../node/release.lua"),
            Self::Extend => include_str!("../../node/extend.lua"),
            Self::SetFenced => include_str!("../../node/fenced_acquire.lua"),
            Self::ExtendFenced => include_str!("../../node/fenced_extend.lua"),
            Self::Bury => include_str!("../../node/bury.lua"),
            Self::StrictSet => concat!(
                include_str!("../../node/epoch.lua"),
                include_str!("../../node/strict_acquire.lua")
            ),
            Self::StrictSetFenced => concat!(
                include_str!("../../node/epoch.lua"),
                include_str!("../../node/fenced_acquire.lua")
            ),
            Self::StrictHeal => {
                concat!(include_str!("../../node/epoch.lua"), include_str!("../../node/extend.lua"))
            }
            Self::Bootstrap => include_str!("../../node/bootstrap.lua"),
            Self::EpochLook => include_str!("../../node/epoch_look.lua"),
        }
    }

    /// How many keys it takes.
    fn keys(self) -> usize {
        match self {
            Self::Release | Self::Extend | Self::Bootstrap | Self::EpochLook => 1,
            Self::SetFenced | Self::ExtendFenced | Self::Bury => 2,
            Self::StrictSet | Self::StrictHeal => 2,
            Self::StrictSetFenced => 3,
        }
    }

    /// Whether `epoch.lua` goes before it.
    fn is_guarded(self) -> bool {
        matches!(self, Self::StrictSet | Self::StrictSetFenced | Self::StrictHeal)
    }

    pub(super) fn by_text(text: &[u8]) -> Result<Self, Refusal> {
        Self::ALL
            .into_iter()
            .find(|script| script.text().as_bytes() == text)
            .ok_or_else(|| refuse("ERR in-memory node: only the lock scripts"))
    }

    pub(super) fn by_hash(hash: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|script| script.hash().as_bytes().eq_ignore_ascii_case(hash))
    }
}

/// How many of the words behind it are keys.
pub(super) fn keys(count: &[u8], rest: &[&[u8]]) -> Result<usize, Refusal> {
    let count = integer(count)?;
    let Ok(count) = usize::try_from(count) else {
        return Err(refuse("ERR Number of keys can't be negative"));
    };
    if count > rest.len() {
        return Err(refuse("ERR Number of keys can't be greater than number of args"));
    }
    Ok(count)
}

/// The keys of a script, a token, and the arguments after it.
pub(super) fn call<'a>(
    script: Option<Script>,
    count: usize,
    rest: &'a [&'a [u8]],
) -> Result<Call<'a>, Refusal> {
    let (guard, wrong) = (None, script.is_some_and(|script| script.keys() != count));
    match (count, rest) {
        _ if script.is_some_and(Script::is_guarded) && !wrong => guarded(count, rest),
        (1, [key]) if script == Some(Script::EpochLook) => {
            Ok(Call { key, fence: None, token: b"", more: &[], guard })
        }
        (1, [key, token, more @ ..]) if !wrong => Ok(Call { key, fence: None, token, more, guard }),
        (2, [key, fence, token, more @ ..]) if !wrong => {
            Ok(Call { key, fence: Some(fence), token, more, guard })
        }
        _ => Err(refuse("ERR in-memory node: the lock scripts take one key or two, and a token")),
    }
}

/// A call of a script behind `epoch.lua`, which takes the last key and the last two arguments.
fn guarded<'a>(count: usize, rest: &'a [&'a [u8]]) -> Result<Call<'a>, Refusal> {
    let lacks = || refuse("ERR in-memory node: a strict node's script needs an epoch");
    let (keys, args) = rest.split_at_checked(count).ok_or_else(lacks)?;
    let ([key, fence @ .., epoch], [token, more @ .., known, heals]) = (keys, args) else {
        return Err(lacks());
    };
    let guard = Guard { epoch, known, heals: *heals == b"1" };
    Ok(Call { key, fence: fence.first().copied(), token, more, guard: Some(guard) })
}
