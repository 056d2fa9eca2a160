//! What a node at this level does with messages that it publishes. There is no
//! client.

use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use turmoil::net::TcpStream;

use super::{TICK, server};
use crate::{
    plan::{Deposed, Fault, Plan, Planned, SECOND},
    profile::Profile,
    stage::Stage,
    tests::array,
};

/// Sends a command, and reads as many bytes as are expected.
async fn ask(stream: &mut TcpStream, args: &[&str], expected: &str) -> turmoil::Result {
    stream.write_all(array(args).as_bytes()).await?;
    hear(stream, expected).await
}

async fn hear(stream: &mut TcpStream, expected: &str) -> turmoil::Result {
    let mut heard = vec![0; expected.len()];
    stream.read_exact(&mut heard).await?;
    assert_eq!(String::from_utf8_lossy(&heard), expected);
    Ok(())
}

fn confirmation(kind: &str, left: usize) -> String {
    format!("*3\r\n${}\r\n{kind}\r\n$1\r\nc\r\n:{left}\r\n", kind.len())
}

#[test]
fn messages_go_out_in_the_order_of_execution() {
    let stage = Stage::new(Plan::draw(0, Profile::Calm), false);
    let mut sim = turmoil::Builder::new().tick_duration(TICK).build();
    sim.host("n0", move || server::serve(Arc::clone(&stage), 0, 7));
    sim.client("c0", async {
        let mut listener = TcpStream::connect(("n0", 6379)).await?;
        let mut other = TcpStream::connect(("n0", 6379)).await?;
        ask(&mut listener, &["SUBSCRIBE", "c"], &confirmation("subscribe", 1)).await?;
        for number in 0..50 {
            let publish = array(&["PUBLISH", "c", &number.to_string()]);
            other.write_all(publish.as_bytes()).await?;
        }
        hear(&mut other, &":1\r\n".repeat(50)).await?;
        let messages = (0..50).map(|number| array(&["message", "c", &number.to_string()]));
        let all = messages.collect::<String>() + &confirmation("unsubscribe", 0);
        ask(&mut listener, &["UNSUBSCRIBE", "c"], &all).await?;

        ask(&mut other, &["PUBLISH", "c", "x"], ":0\r\n").await?;
        ask(&mut listener, &["SUBSCRIBE", "c"], &confirmation("subscribe", 1)).await?;
        listener.shutdown().await?;
        assert_eq!(listener.read(&mut [0]).await?, 0, "it hangs up too");
        ask(&mut other, &["PUBLISH", "c", "x"], ":0\r\n").await
    });
    sim.run().unwrap();
}

#[test]
fn an_old_server_goes_on_at_its_address_or_hangs_up() {
    for deposed in [Deposed::Stays, Deposed::HangsUp] {
        let fault = Fault::Failover { node: 0, deposed, lags: false };
        let mut plan = Plan::draw(0, Profile::Calm);
        plan.faults = vec![Planned { at: 0, lasts: SECOND, fault }];
        let stage = Stage::new(plan, false);
        let (serving, truth) = (Arc::clone(&stage), stage);
        let mut sim = turmoil::Builder::new().tick_duration(TICK).build();
        sim.host("n0", move || server::serve(Arc::clone(&serving), 0, 7));
        sim.client("c0", async move {
            let mut old = TcpStream::connect(("n0", server::port(0))).await?;
            let mut new = TcpStream::connect(("n0", server::port(1))).await?;
            ask(&mut old, &["SET", "k", "mine"], "+OK\r\n").await?;
            truth.truth().fault(fault, true);
            ask(&mut new, &["SET", "k", "yours"], "+OK\r\n").await?;
            old.write_all(array(&["SET", "k", "mine"]).as_bytes()).await?;
            match deposed {
                Deposed::Stays => hear(&mut old, "-READONLY").await?,
                Deposed::HangsUp | Deposed::Writes => assert_eq!(old.read(&mut [0]).await?, 0),
            }
            ask(&mut new, &["GET", "k"], "$5\r\nyours\r\n").await
        });
        sim.run().unwrap();
    }
}
