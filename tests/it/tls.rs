//! Nodes at `rediss://`: local servers that speak TLS on a port of their own,
//! beside the one by which the fixture looks at them.

use std::{fs, time::Duration};

use redlock_quorum::{
    Builder, Error, ErrorKind, LockGuard, NodeErrorKind, Redlock, Released, Tls,
    testing::{Cluster, FixtureError, TestNode},
};
use tokio::task::JoinSet;

use crate::{
    certs::{Authority, Identity},
    local::{self, Directory, Port},
    printed::Printed,
    support::{
        LIMIT, NODE_TIMEOUT, TTL, WITHOUT_WAITING, assert_no_keys, connect, connected, eventually,
        got, kinds, listening, ms, run, set_up, wait_for, within,
    },
};

const HOST: &str = "localhost";

/// A server with TLS. Each is a cluster of its own, since each has another
/// port.
pub struct Server {
    cluster: Cluster,
    port: Port,
    _files: Directory,
}

impl Server {
    /// One that shows `shows` and trusts the clients whose certificates
    /// `clients` has signed, if it wants any. `None` where that can't be.
    pub async fn start(shows: &Identity, clients: Option<&Authority>) -> Option<Self> {
        let files = Directory::new();
        let write = |name: &str, text: &str| {
            fs::write(files.path(name), text).unwrap();
            files.path(name)
        };
        let wants = if clients.is_some() { "yes" } else { "no" };
        let trusts = clients.map_or_else(|| shows.certificate.clone(), Authority::pem);
        let paths = [
            ("--tls-cert-file", write("server.crt", &shows.certificate)),
            ("--tls-key-file", write("server.key", &shows.key)),
            ("--tls-ca-cert-file", write("ca.crt", &trusts)),
            ("--tls-auth-clients", wants.to_owned()),
        ];
        for _ in 0..4 {
            let port = Port::new();
            let args = paths.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
            let args = args.chain([("--tls-port".to_owned(), port.number.to_string())]);
            let args = args.flat_map(|(name, value)| [name, value]);
            match local::server(args).await {
                Ok(cluster) => return Some(Self { cluster: cluster?, port, _files: files }),
                // Somebody was faster.
                Err(FixtureError::Start { reason, .. }) if reason.contains("in use") => {}
                Err(error) => panic!("{error}"),
            }
        }
        panic!("no free port");
    }

    fn node(&self) -> &TestNode {
        &self.cluster.nodes()[0]
    }

    pub fn url(&self) -> String {
        format!("rediss://{HOST}:{}", self.port.number)
    }
}

/// So many servers that all show the same certificate.
async fn start(nodes: usize, shows: &Identity, clients: Option<&Authority>) -> Option<Vec<Server>> {
    let mut servers = Vec::new();
    for _ in 0..nodes {
        servers.push(Server::start(shows, clients).await?);
    }
    Some(servers)
}

fn builder(servers: &[Server], tls: Tls) -> Builder {
    let builder = Redlock::builder().nodes(servers.iter().map(Server::url)).tls(tls);
    builder.ttl(TTL).node_timeout(NODE_TIMEOUT).delayed_restarts(false)
}

fn trusting(authority: &Authority) -> Tls {
    Tls::new().root_pem(authority.pem()).unwrap()
}

async fn end(redlock: &Redlock, servers: &[Server]) {
    redlock.shutdown(LIMIT).await.unwrap();
    for server in servers {
        assert_no_keys(&server.cluster).await;
    }
}

/// Fails at once, also without a limit: waiting would not help.
async fn refused(redlock: &Redlock, kind: NodeErrorKind, advice: &str) -> Error {
    let locking = redlock.lock("job").into_future();
    let error = within(LIMIT, "waiting is of no use", locking).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoQuorum, "{error}");
    assert_eq!(kinds(&error), [kind], "{error}");
    assert!(!error.nodes()[0].error().unwrap().is_transient());
    assert!(error.to_string().contains(advice), "{error}");
    error
}

/// How many connections a server has on its port for TLS.
async fn secured(server: &Server) -> usize {
    let list = run(server.node(), "CLIENT LIST").await;
    let list = String::from_utf8_lossy(list.as_bytes().unwrap()).into_owned();
    list.matches(&format!(" laddr=127.0.0.1:{} ", server.port.number)).count()
}

#[tokio::test]
async fn all_that_a_client_does_goes_over_tls() {
    let authority = Authority::new();
    let Some(servers) = start(3, &authority.sign(&[HOST]), None).await else { return };
    let hour = Duration::from_secs(3600);
    let holder = builder(&servers, trusting(&authority)).build().unwrap();
    let waiter = builder(&servers, trusting(&authority)).retry_delay(hour, hour);
    for waiter in [waiter.build().unwrap(), driven_by_a_thread(&servers, &authority, hour)] {
        connect(&holder, 3).await;
        let guard = holder.lock("job").await.unwrap();
        granted(&guard, 3).await;
        guard.extend(2 * TTL).await.unwrap();
        let waiting = wait_for(&waiter, "job");
        for server in &servers {
            listening(server.cluster.nodes(), "job").await;
            assert_eq!(secured(server).await, 3, "one of the holder, two of the waiter");
            connected(server.node(), 2).await;
        }
        assert_eq!(guard.release().await.unwrap(), Released::Released);
        assert_eq!(got(waiting).await.release().await.unwrap(), Released::Released);
        end(&waiter, &servers).await;
        drop(waiter);
        for server in &servers {
            eventually("its connections are closed", async || match secured(server).await {
                1 => Ok(()),
                some => Err(some),
            })
            .await;
        }
    }
    end(&holder, &servers).await;
}

fn driven_by_a_thread(servers: &[Server], authority: &Authority, hour: Duration) -> Redlock {
    builder(servers, trusting(authority)).retry_delay(hour, hour).driver_thread().build().unwrap()
}

async fn granted(guard: &LockGuard, nodes: usize) {
    eventually("all nodes granted", async || match guard.votes().granted() {
        votes if votes == nodes => Ok(()),
        votes => Err(votes),
    })
    .await;
}

#[tokio::test]
async fn a_certificate_for_an_address_is_as_good_as_one_for_a_name() {
    let authority = Authority::new();
    let Some(server) = Server::start(&authority.sign(&["127.0.0.1"]), None).await else { return };
    let url = server.url().replace(HOST, "127.0.0.1");
    let redlock = Redlock::builder()
        .nodes([url])
        .tls(trusting(&authority))
        .node_timeout(NODE_TIMEOUT)
        .build()
        .unwrap();
    redlock.lock("job").await.unwrap().release().await.unwrap();
    end(&redlock, &[server]).await;
}

#[tokio::test]
async fn whose_certificate_is_not_trusted_is_named_as_such() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let Some(server) = Server::start(&theirs.sign(&[HOST]), None).await else { return };
    let servers = [server];
    let strangers = builder(&servers, trusting(&ours)).build().unwrap();
    refused(&strangers, NodeErrorKind::Untrusted, "Tls::root_pem").await;
    let by_the_system = builder(&servers, Tls::new()).build().unwrap();
    refused(&by_the_system, NodeErrorKind::Untrusted, "Tls::root_pem").await;

    let both = trusting(&ours).root_pem(theirs.pem()).unwrap();
    let redlock = builder(&servers, both).build().unwrap();
    redlock.lock("job").await.unwrap().release().await.unwrap();
    end(&redlock, &servers).await;
}

#[tokio::test]
async fn a_certificate_whose_time_is_over_is_not_trusted() {
    let authority = Authority::new();
    let Some(server) = Server::start(&authority.sign_expired(&[HOST]), None).await else { return };
    let servers = [server];
    let redlock = builder(&servers, trusting(&authority)).build().unwrap();
    let error = refused(&redlock, NodeErrorKind::Untrusted, "renew it").await;
    assert!(error.to_string().contains("expired"), "{error}");
}

#[tokio::test]
async fn a_certificate_for_another_host_is_named_as_such() {
    let authority = Authority::new();
    let Some(server) = Server::start(&authority.sign(&["other.example"]), None).await else {
        return;
    };
    let servers = [server];
    let redlock = builder(&servers, trusting(&authority)).build().unwrap();
    let error = refused(&redlock, NodeErrorKind::WrongHost, "for another host").await;
    assert!(error.to_string().contains("other.example"), "which one: {error}");
}

#[tokio::test]
async fn a_server_that_speaks_no_tls_is_named_as_such() {
    let cluster = crate::support::start(1).await;
    let urls = cluster.nodes().iter().map(|node| format!("rediss://{}", node.address()));
    let redlock = Redlock::builder().nodes(urls).node_timeout(NODE_TIMEOUT).build().unwrap();
    let error = redlock.lock("job").wait(ms(1000)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoQuorum, "{error}");
    // Some wait for the end of what they take for a command.
    let kind = kinds(&error)[0];
    let known = [NodeErrorKind::NoTls, NodeErrorKind::Unreachable];
    assert!(known.contains(&kind) && error.to_string().contains("TLS"), "{kind:?}: {error}");
}

#[tokio::test]
async fn a_server_that_wants_a_certificate_gets_ours() {
    let (authority, clients) = (Authority::new(), Authority::new());
    let identity = authority.sign(&[HOST]);
    let Some(servers) = start(3, &identity, Some(&clients)).await else { return };
    let ours = clients.sign(&[]);
    let tls = trusting(&authority).client_pem(&ours.certificate, &ours.key).unwrap();
    let redlock = builder(&servers, tls).build().unwrap();
    let guard = redlock.lock("job").await.unwrap();
    guard.extend(2 * TTL).await.unwrap();
    assert_eq!(guard.release().await.unwrap(), Released::Released);
    end(&redlock, &servers).await;
}

#[tokio::test]
async fn a_server_that_wants_a_certificate_and_gets_none_or_another_says_so() {
    let (authority, clients) = (Authority::new(), Authority::new());
    let Some(server) = Server::start(&authority.sign(&[HOST]), Some(&clients)).await else {
        return;
    };
    let servers = [server];
    let other = authority.sign(&[]);
    let another = trusting(&authority).client_pem(other.certificate, other.key).unwrap();
    for tls in [trusting(&authority), another] {
        let redlock = builder(&servers, tls).build().unwrap();
        let error = redlock.lock("job").wait(ms(1000)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NoQuorum, "{error}");
        // Its word may be lost when it hangs up; then that is what is known.
        let kind = kinds(&error)[0];
        let known = [NodeErrorKind::TlsRefused, NodeErrorKind::Unreachable];
        assert!(known.contains(&kind), "{kind:?}: {error}");
        assert!(error.to_string().contains("client's certificate"), "{error}");
    }
}

#[tokio::test]
async fn with_one_node_killed_and_one_hung_the_others_lock() {
    let authority = Authority::new();
    let Some(servers) = start(5, &authority.sign(&[HOST]), None).await else { return };
    let redlock = builder(&servers, trusting(&authority)).build().unwrap();
    connect(&redlock, 5).await;
    let held = redlock.lock("held").await.unwrap();
    granted(&held, 5).await;
    let [dead, hung, ..] = &servers[..] else { panic!("five servers were asked for") };
    dead.node().kill().await.unwrap();
    hung.node().pause().await.unwrap();
    for _ in 0..3 {
        let pair = async {
            let guard = redlock.lock("job").await.unwrap();
            guard.extend(2 * TTL).await.unwrap();
            assert_eq!(guard.release().await.unwrap(), Released::Released);
        };
        within(2 * WITHOUT_WAITING, "nobody waits for those two", pair).await;
    }
    held.extend(2 * TTL).await.unwrap();
    assert_eq!(held.release().await.unwrap(), Released::Released);
    hung.node().resume().await.unwrap();
    dead.node().restart().await.unwrap();
    connect(&redlock, 5).await;
    end(&redlock, &servers).await;
}

/// More than sockets and TLS take at once: the rest has to follow.
#[tokio::test]
async fn what_a_slow_server_does_not_take_at_once_follows() {
    let authority = Authority::new();
    let Some(server) = Server::start(&authority.sign(&[HOST]), None).await else { return };
    let servers = [server];
    let redlock = builder(&servers, trusting(&authority)).build().unwrap();
    connect(&redlock, 1).await;
    servers[0].node().pause().await.unwrap();
    let mut locking = JoinSet::new();
    for number in 0..8000 {
        let acquire = redlock.lock(format!("{number:01000}"));
        locking.spawn(async move { acquire.wait(LIMIT).await.unwrap().release().await.unwrap() });
    }
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    servers[0].node().resume().await.unwrap();
    for released in locking.join_all().await {
        assert_eq!(released, Released::Released);
    }
    end(&redlock, &servers).await;
}

#[tokio::test]
async fn no_password_in_a_url_and_no_key_is_ever_printed() {
    const PASSWORD: &str = "pa55-w0rd";
    let printed = Printed::default();
    let _logging = printed.log(tracing::Level::TRACE);
    let (authority, others) = (Authority::new(), Authority::new());
    let Some(server) = Server::start(&authority.sign(&[HOST]), Some(&authority)).await else {
        return;
    };
    let rules = format!("ACL SETUSER locker on >{PASSWORD} ~* &* +@all");
    set_up(server.cluster.nodes(), &rules).await;
    let login =
        |password: &str| server.url().replace("rediss://", &format!("rediss://locker:{password}@"));
    let ours = authority.sign(&[]);
    let tls = trusting(&authority).client_pem(&ours.certificate, &ours.key).unwrap();
    for (url, tls) in [
        (login(&format!("{PASSWORD}-not")), tls.clone()),
        (login(PASSWORD), trusting(&others)),
        (login(PASSWORD), trusting(&authority)),
        (login(PASSWORD).replace(HOST, "127.0.0.1"), tls.clone()),
    ] {
        printed.debug(&tls);
        let builder = Redlock::builder().nodes([&url]).tls(tls).node_timeout(NODE_TIMEOUT);
        printed.debug(&builder);
        let redlock = builder.build().unwrap();
        printed.debug(&redlock);
        printed.error(&redlock.lock("job").wait(LIMIT).await.unwrap_err());
    }
    let insecure = Redlock::builder().nodes([login(PASSWORD) + "/#insecure"]).build();
    printed.error(&insecure.unwrap_err());
    let redlock = Redlock::builder()
        .nodes([login(PASSWORD)])
        .tls(tls)
        .node_timeout(NODE_TIMEOUT)
        .build()
        .unwrap();
    redlock.lock("job").await.unwrap().release().await.unwrap();
    assert!(printed.contains("WRONGPASS") && printed.contains("for another host"));
    printed.assert_without(PASSWORD.as_bytes());
    printed.assert_without(b"rediss://locker");
    let key = ours.key.lines().nth(1).unwrap();
    printed.assert_without(key.as_bytes());
    end(&redlock, &[server]).await;
}

#[tokio::test]
async fn what_cannot_work_is_refused_before_anything_is_sent() {
    let authority = Authority::new();
    let (one, two) = (authority.sign(&[]), authority.sign(&[]));
    for (error, word) in [
        (Tls::new().root_pem(&one.key).unwrap_err(), "no certificate"),
        (Tls::new().client_pem(&one.key, &one.key).unwrap_err(), "no certificate"),
        (Tls::new().client_pem(&one.certificate, &one.certificate).unwrap_err(), "there is none"),
        (Tls::new().client_pem(&one.certificate, &two.key).unwrap_err(), "does not belong"),
        (tls_of("redis://a").unwrap_err(), "in the clear"),
        (tls_of("rediss://a/#insecure").unwrap_err(), "#insecure"),
    ] {
        assert_eq!(error.kind(), ErrorKind::InvalidConfig);
        assert!(error.to_string().contains(word), "{error}");
    }
}

fn tls_of(url: &str) -> Result<Redlock, Error> {
    Redlock::builder().nodes([url]).tls(Tls::new()).build()
}
