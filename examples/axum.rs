//! Orders that are paid one at a time, behind a tower layer, in axum. The example
//! starts its own nodes, and sends its own requests:
//!
//! `cargo run --example axum --features tower,http`

use std::{collections::BTreeSet, error::Error, net::SocketAddr, time::Duration};

use axum::{Extension, Router, extract::Path, extract::Request, routing::post};
use redlock_quorum::{
    Held, Redlock,
    testing::Cluster,
    tower::{LockLayer, path_key},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::Mutex,
};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// Stands for a bank, which would charge an order twice if it came twice at once.
static CHARGING: Mutex<BTreeSet<String>> = Mutex::const_new(BTreeSet::new());

async fn pay(Path(order): Path<String>, Extension(lock): Extension<Held>) -> String {
    // Right before the step that must not happen unprotected: is the lock still ours?
    if !lock.is_held() {
        return format!("order {order} is not paid: come again");
    }
    println!("  charging order {order} …");
    assert!(CHARGING.lock().await.insert(order.clone()), "charged twice at once");
    tokio::time::sleep(Duration::from_millis(300)).await;
    CHARGING.lock().await.remove(&order);
    format!("order {order} is paid")
}

fn app(redlock: Redlock) -> Router {
    // One request at a time for each order; others for that order wait up to 5 s.
    let turns = LockLayer::new(redlock, |request: &Request| Some(path_key(request)))
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

    println!("two requests for order 1, spelt in two ways, take turns:");
    tokio::try_join!(post_to(address, "1"), post_to(address, "%31"))?;
    println!("requests for orders 2 and 3 do not wait for each other:");
    tokio::try_join!(post_to(address, "2"), post_to(address, "3"))?;

    serving.abort();
    redlock.shutdown(Duration::from_secs(1)).await?; // let background releases finish
    Ok(())
}

/// Sends one request, by the smallest client there can be.
async fn post_to(address: SocketAddr, order: &str) -> Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!(
        "POST /orders/{order}/pay HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
         content-length: 0\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut response = String::new();
    stream.read_to_string(&mut response).await?;
    if !response.starts_with("HTTP/1.1 200") {
        return Err(response.into());
    }
    println!("  {}", response.lines().last().unwrap_or_default());
    Ok(())
}
