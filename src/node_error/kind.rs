//! What can be wrong at a node, one kind for each thing to change there. What was found at
//! one node is told elsewhere.

/// The kinds of [`NodeError`](crate::NodeError): one for each thing to change at a node.
///
/// `Display` says what is wrong and what to change; that of
/// [`NodeError`](crate::NodeError) adds what
/// was found at this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum NodeErrorKind {
    /// No connection could be made: refused, unreachable, unknown host.
    #[error("no connection")]
    Unreachable,
    /// The node did not answer within the node timeout. It may have done what was
    /// asked, so the client releases the key there as if it had.
    #[error("no answer")]
    Timeout,
    /// Nothing was sent: the node still owes the answer to an earlier request.
    #[error("not asked, it owes an answer")]
    Owing,
    /// The connection broke before the answer came.
    #[error("the connection broke")]
    ConnectionLost,
    /// Nothing was sent: too many requests are on their way to this node already.
    #[error("not asked, too many requests are on their way to it")]
    Overloaded,
    /// The server's TLS certificate is not trusted: an unknown authority has
    /// signed it, or it is no longer valid.
    #[error(
        "its TLS certificate is not trusted: trust its authority by `Tls::root_pem`, or renew \
         it"
    )]
    Untrusted,
    /// The server's TLS certificate is for another host than the URL names.
    #[error("its TLS certificate is for another host: name it in the URL as the certificate does")]
    WrongHost,
    /// The TLS handshake was refused, usually by the server: it wants a client's
    /// certificate, or another one.
    #[error(
        "refused TLS: see in its log whether it wants a client's certificate, which \
         `Tls::client_pem` gives"
    )]
    TlsRefused,
    /// The program that answered does not speak TLS.
    #[error("speaks no TLS at this port: check the port, or write redis://")]
    NoTls,
    /// The server wants a password (`NOAUTH`).
    #[error("wants a password: put it in the node's URL")]
    AuthRequired,
    /// The server refused the user or the password (`WRONGPASS`).
    #[error("refused the user or password in the node's URL")]
    AuthFailed,
    /// The server takes no more clients (`max number of clients reached`).
    #[error("takes no more clients: raise maxclients")]
    TooManyClients,
    /// The server is in protected mode: without a password it takes clients of
    /// its own host only (`DENIED`).
    #[error("is in protected mode: set a password, and put it in the node's URL")]
    Protected,
    /// The server has no database of the number in the URL.
    #[error("has no such database: change the number at the end of the node's URL")]
    NoDatabase,
    /// The server's ACL forbids a command or the key (`NOPERM`).
    #[error(
        "its ACL forbids this user the key or a command: allow +set +get +del +pexpire +pttl \
         +eval +evalsha on the lock keys, and for strict nodes +info +mget +time ~redlock:epoch"
    )]
    NotPermitted,
    /// The server is a replica (`READONLY`).
    #[error("is a replica: list masters only")]
    ReadOnly,
    /// The server is a sentinel, which keeps no keys.
    #[error("is a sentinel: list the masters themselves")]
    Sentinel,
    /// The server is a proxy that has one database for all its clients: one client's
    /// choice would move the others.
    #[error(
        "is a proxy that has one database for all its clients: leave the number out of the \
         node's URL"
    )]
    SharedDatabase,
    /// The server is out of memory and evicts nothing (`OOM`).
    #[error("is out of memory: raise maxmemory or free some")]
    OutOfMemory,
    /// The server is loading its data (`LOADING`).
    #[error("is still loading its data")]
    Loading,
    /// A script that another client runs blocks the server (`BUSY`).
    #[error("is blocked by a script: SCRIPT KILL ends it")]
    ScriptBusy,
    /// The server refuses writes: it can't persist (`MISCONF`), lacks replicas
    /// (`NOREPLICAS`), or has lost its master (`MASTERDOWN`).
    #[error("refuses writes: see its log")]
    WritesRefused,
    /// The server belongs to a cluster that wants the key elsewhere.
    #[error("is part of a cluster: list independent masters")]
    Clustered,
    /// Something that is not a lock of this kind is at the key: an empty string, one that
    /// is too long for a token, or a key of another type (`WRONGTYPE`), which may be
    /// another library's lock. An acquire waits for it to go.
    #[error(
        "something that is not a lock of this kind is at this key: choose another key or \
         prefix, or DEL it"
    )]
    ForeignKey,
    /// Something that is no fencing number is at the key where the lock's is kept, the lock's
    /// with `:fence` behind it; it stays as it is (`FENCE`).
    #[error(
        "something that is no fencing number is at this key with :fence behind it: choose another \
         key or prefix, or DEL it"
    )]
    ForeignFence,
    /// A fencing number is over an hour ahead of a clock: of the server's (`FUTURE`), or of this
    /// host's, where a server tells of one.
    #[error(
        "a fencing number is over an hour ahead: set the clocks of this host and of the server"
    )]
    ClockAhead,
    /// The fencing numbers of this key have come to their end, which is in the year 2255: a clock
    /// was set that far. They begin anew when the server forgets the last, a day and a
    /// [`max_ttl`](crate::Builder::max_ttl) after it was used.
    #[error(
        "the fencing numbers of this key are used up: take another key, or DEL the one with :fence \
         behind it and reset the resource"
    )]
    NumbersUsedUp,
    /// The server has forgotten what it granted, or is used for the first time, and has no vote until
    /// all that it may have granted has ended ([`Builder::strict`](crate::Builder::strict)). Of new
    /// nodes, [`Redlock::bootstrap`](crate::Redlock::bootstrap) says before the first acquire that
    /// there is nothing to wait for.
    #[error(
        "has forgotten what it granted, or is new and nobody has called `Redlock::bootstrap`: it \
         grants nothing until that has ended"
    )]
    Quarantined,
    /// The clients before had another [`max_ttl`](crate::Builder::max_ttl) than this one, on which
    /// strict nodes rely.
    #[error(
        "is strict for another max_ttl (of `redlock serve`, --max-ttl and --grace together): give \
         all clients the same, or change it as docs/operations.md says"
    )]
    OtherMaxTtl,
    /// The clients before had another number of nodes or another quorum than this one: two lists
    /// of nodes could be two quorums.
    #[error(
        "is strict for another quorum or number of nodes: give all clients the same, or change \
         them as docs/operations.md says"
    )]
    OtherNodes,
    /// The server was started anew while this client ran, and may have forgotten what it granted: it
    /// is asked for no lock until all of that has ended
    /// ([`Builder::delayed_restarts`](crate::Builder::delayed_restarts)).
    #[error(
        "was started anew and may have forgotten what it granted: unless \
         `Builder::delayed_restarts` says otherwise, it is asked for no lock until that has ended"
    )]
    Restarted,
    /// The server is the same process as another node's. A strict client refuses the later of the two;
    /// to others it is a warning.
    #[error("is the same server as another node: list each server once")]
    SameServer,
    /// The server drops keys when its memory is full, and locks may be among them. A strict node has
    /// no vote then; of others it is a warning.
    #[error("drops keys when its memory is full: set maxmemory-policy noeviction")]
    Evicting,
    /// A warning: the node is used by strict clients, and this one is not strict, so that a node that
    /// has forgotten grants it locks that they hold.
    #[error("is used by strict clients, and this one is not: set `Builder::strict` as they do")]
    HasEpoch,
    /// A warning: a lock lives there for longer than [`max_ttl`](crate::Builder::max_ttl): the
    /// server's clock was set back, or another client has a longer one.
    #[error(
        "has a lock that lives for longer than max_ttl: see whether its clock was set back, or \
         another client has a longer one"
    )]
    LongLived,
    /// The server does not know a command that is needed: it was renamed or disabled
    /// there, or a proxy does not pass it on, or the server is older than Redis 2.6.12.
    #[error(
        "does not know a command that is needed: see whether it was renamed, or is kept back by \
         a proxy"
    )]
    Unsupported,
    /// The server answered an error that is none of the above.
    #[error("answered an error")]
    Server,
    /// The answer is not that of a Redis server.
    #[error("does not speak the Redis protocol: check host and port")]
    Protocol,
}
