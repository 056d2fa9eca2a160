//! The network between one group of clients and one node: bytes pass, or wait, or come
//! late, and connections break. Nothing is lost that both ends still want: what is held
//! back arrives later, as it does where packets are sent again.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{mpsc, watch},
    task::yield_now,
    time::sleep,
};

use crate::{
    Result,
    clock::{nanos, now},
};

/// How bytes fare in one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Way {
    #[default]
    Open,
    /// They wait until it is open again.
    Cut,
    Late(Duration),
    /// They pass one by one.
    Trickle,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Weather {
    pub to_server: Way,
    pub to_client: Way,
    /// Nobody is let in.
    pub is_down: bool,
    /// Grows whenever all connections break, and whenever they end.
    breaks: u64,
    ends: u64,
}

#[derive(Debug)]
pub struct Proxy {
    pub address: SocketAddr,
    weather: watch::Sender<Weather>,
}

impl Proxy {
    pub async fn before(server: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (weather, seen) = watch::channel(Weather::default());
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let seen = seen.clone();
                tokio::spawn(async move { serve(client, server, seen).await.ok() });
            }
        });
        Ok(Self { address, weather })
    }

    pub fn set(&self, to_server: Way, to_client: Way) {
        self.weather
            .send_modify(|weather| (weather.to_server, weather.to_client) = (to_server, to_client));
    }

    /// Breaks what is there.
    pub fn reset(&self) {
        self.weather.send_modify(|weather| weather.breaks += 1);
    }

    /// Ends what is there, as a server does that is in order.
    pub fn close(&self) {
        self.weather.send_modify(|weather| weather.ends += 1);
    }

    /// Breaks what is there, and lets nobody in until it is up.
    pub fn set_down(&self, is_down: bool) {
        self.weather.send_modify(|weather| {
            weather.is_down = is_down;
            weather.breaks += 1;
        });
    }
}

async fn serve(
    client: TcpStream,
    server: SocketAddr,
    mut seen: watch::Receiver<Weather>,
) -> Result<()> {
    let begun = *seen.borrow_and_update();
    let server = if begun.is_down { None } else { TcpStream::connect(server).await.ok() };
    let Some(server) = server else {
        // As the server's own host does, if there is no server.
        client.set_zero_linger()?;
        return Ok(());
    };
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let both = async {
        tokio::join!(
            pump(&mut from_client, &mut to_server, |weather| weather.to_server, seen.clone()),
            pump(&mut from_server, &mut to_client, |weather| weather.to_client, seen.clone()),
        )
    };
    let mut news = seen.clone();
    let is_over = |now: &Weather| (now.breaks, now.ends) != (begun.breaks, begun.ends);
    let is_broken = tokio::select! {
        _ = both => false,
        now = news.wait_for(is_over) => now.is_ok_and(|now| now.breaks != begun.breaks),
    };
    if is_broken {
        to_client.as_ref().set_zero_linger()?;
        to_server.as_ref().set_zero_linger()?;
    }
    Ok(())
}

/// What was read before the end of `from` arrives, and then the end.
async fn pump(
    from: &mut OwnedReadHalf,
    to: &mut OwnedWriteHalf,
    way: impl Fn(&Weather) -> Way,
    mut seen: watch::Receiver<Weather>,
) {
    let (under_way, mut arriving) = mpsc::unbounded_channel();
    let reads = async move {
        let mut chunk = [0; 4096];
        while let Ok(len @ 1..) = from.read(&mut chunk).await {
            if under_way.send((now(), chunk[..len].to_vec())).is_err() {
                return;
            }
        }
    };
    let writes = async move {
        while let Some((at, bytes)) = arriving.recv().await {
            pass(at, &way, &mut seen).await;
            let size = if way(&seen.borrow()) == Way::Trickle { 1 } else { bytes.len() };
            for part in bytes.chunks(size.max(1)) {
                if to.write_all(part).await.is_err() {
                    return;
                }
                // Others are served between two parts.
                yield_now().await;
            }
        }
        pass(now(), &way, &mut seen).await;
        let _ = to.shutdown().await;
    };
    tokio::join!(reads, writes);
}

/// Returns when what was sent at that time may arrive.
async fn pass(at: u64, way: &impl Fn(&Weather) -> Way, seen: &mut watch::Receiver<Weather>) {
    loop {
        let due = match way(&seen.borrow_and_update()) {
            Way::Open | Way::Trickle => return,
            Way::Cut => None,
            Way::Late(by) => Some(at + nanos(by)),
        };
        match due {
            Some(due) => {
                return sleep(Duration::from_nanos(due.saturating_sub(now()))).await;
            }
            // The supervisor ends before the proxies do.
            None if seen.changed().await.is_err() => return,
            None => {}
        }
    }
}
