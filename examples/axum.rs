//! Orders that are paid once at a time, behind a tower layer, in axum. Starts its
//! own nodes, and asks itself:
//!
//! `cargo run --example axum --features tower,http`

use std::{error::Error, net::SocketAddr, time::Duration};

use axum::{Extension, Router, extract::Path, extract::Request, routing::post};
use redlock_quorum::{Held, Redlock, testing::Cluster, tower::LockLayer};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// What may not happen twice at once for one order.
async fn pay(Path(order): Path<String>, Extension(lock): Extension<Held>) -> String {
    println!("  paying order {order} …");
    tokio::time::sleep(Duration::from_millis(300)).await;
    // Right before what must not happen unprotected: is it still ours?
    let ours = lock.is_held();
    println!("  … order {order} is paid");
    format!("order {order} paid, the lock held to the end: {ours}")
}

fn app(redlock: Redlock) -> Router {
    // One request at a time for each order; others for it wait up to 5 s.
    let turns = LockLayer::new(redlock, |request: &Request| Some(request.uri().path().to_owned()))
        .wait(Duration::from_secs(5));
    Router::new().route("/orders/{id}/pay", post(pay).layer(turns))
}

#[tokio::main]
async fn main() -> Result<()> {
    let cluster = Cluster::builder().nodes(3).or_memory().start().await?;
    let redlock = Redlock::builder().nodes(cluster.urls()).build()?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let serving = tokio::spawn(axum::serve(listener, app(redlock.clone())).into_future());

    println!("two requests for order 1 take turns:");
    tokio::try_join!(post_to(address, 1), post_to(address, 1))?;
    println!("requests for orders 2 and 3 do not wait for each other:");
    tokio::try_join!(post_to(address, 2), post_to(address, 3))?;

    serving.abort();
    redlock.shutdown(Duration::from_secs(1)).await?; // let background releases finish
    Ok(())
}

/// A client as small as it gets.
async fn post_to(address: SocketAddr, order: u32) -> Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!(
        "POST /orders/{order}/pay HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
         content-length: 0\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut response = String::new();
    stream.read_to_string(&mut response).await?;
    println!("  {}", response.lines().last().unwrap_or_default());
    Ok(())
}
