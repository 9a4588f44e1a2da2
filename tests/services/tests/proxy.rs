//! The proxy, seen through TCP.

use std::{io::ErrorKind, net::SocketAddr, time::Duration};

use anyhow::Result;
use chat_test_services::{Direction, Proxy};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};

/// How long something may take that has to come.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long we wait for what must not come.
const SILENCE: Duration = Duration::from_millis(200);

/// Sends back what it is sent, until the client ends.
async fn echo() -> Result<(SocketAddr, JoinHandle<()>)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let server = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut from, mut to) = stream.split();
                let _ = tokio::io::copy(&mut from, &mut to).await;
                let _ = to.shutdown().await;
            });
        }
    });
    Ok((address, server))
}

async fn proxy() -> Result<Proxy> {
    Proxy::start(echo().await?.0.to_string()).await
}

/// Sends some bytes and waits for them to come back.
async fn ping(stream: &mut TcpStream) -> Result<Duration> {
    let started = Instant::now();
    stream.write_all(b"ping").await?;
    let mut answer = [0; 4];
    timeout(PATIENCE, stream.read_exact(&mut answer)).await??;
    assert_eq!(&answer, b"ping");
    Ok(started.elapsed())
}

/// True if nothing comes, neither bytes nor an end.
async fn is_silent(stream: &mut TcpStream) -> bool {
    timeout(SILENCE, stream.read_u8()).await.is_err()
}

async fn is_reset(stream: &mut TcpStream) -> Result<bool> {
    match timeout(PATIENCE, stream.read_u8()).await? {
        Ok(_) => Ok(false),
        Err(error) => Ok(error.kind() == ErrorKind::ConnectionReset),
    }
}

async fn connections(proxy: &Proxy, expected: usize) {
    let deadline = Instant::now() + PATIENCE;
    while proxy.connections() != expected {
        assert!(Instant::now() < deadline, "{} connections, not {expected}", proxy.connections());
        sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn what_is_sent_arrives_whole_and_so_does_its_end() -> Result<()> {
    let proxy = proxy().await?;
    let stream = TcpStream::connect(proxy.address()).await?;
    let sent: Vec<u8> = (0..8_000_000_u32).map(|n| n.to_le_bytes()[n as usize % 4]).collect();
    let (mut from, mut to) = stream.into_split();
    let expected = sent.clone();
    let writer = tokio::spawn(async move {
        to.write_all(&sent).await?;
        to.shutdown().await
    });
    let mut received = Vec::new();
    timeout(PATIENCE * 6, from.read_to_end(&mut received)).await??;
    writer.await??;
    assert!(received == expected, "{} bytes of {}", received.len(), expected.len());
    connections(&proxy, 0).await;
    assert_eq!(proxy.accepted(), 1);
    Ok(())
}

#[tokio::test]
async fn connections_are_counted_while_they_are_open() -> Result<()> {
    let proxy = proxy().await?;
    let mut first = TcpStream::connect(proxy.address()).await?;
    let mut second = TcpStream::connect(proxy.address()).await?;
    ping(&mut first).await?;
    ping(&mut second).await?;
    connections(&proxy, 2).await;
    drop(first);
    connections(&proxy, 1).await;
    assert_eq!(proxy.accepted(), 2);
    Ok(())
}

#[tokio::test]
async fn a_cut_resets_connections_and_refuses_new_ones_until_it_is_mended() -> Result<()> {
    let proxy = proxy().await?;
    for _ in 0..20 {
        let mut stream = TcpStream::connect(proxy.address()).await?;
        ping(&mut stream).await?;
        proxy.cut().await;
        assert_eq!(proxy.connections(), 0);
        let refused = TcpStream::connect(proxy.address()).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        assert!(is_reset(&mut stream).await?);
        proxy.mend().await;
        ping(&mut TcpStream::connect(proxy.address()).await?).await?;
    }
    Ok(())
}

#[tokio::test]
async fn after_a_reset_new_connections_work_at_once() -> Result<()> {
    let proxy = proxy().await?;
    let mut stream = TcpStream::connect(proxy.address()).await?;
    ping(&mut stream).await?;
    proxy.reset();
    assert!(is_reset(&mut stream).await?);
    ping(&mut TcpStream::connect(proxy.address()).await?).await?;
    Ok(())
}

#[tokio::test]
async fn a_delay_holds_for_each_direction_and_ends_when_mended() -> Result<()> {
    let proxy = proxy().await?;
    let mut stream = TcpStream::connect(proxy.address()).await?;
    assert!(ping(&mut stream).await? < SILENCE);
    proxy.delay(SILENCE);
    assert!(ping(&mut stream).await? >= SILENCE * 2);
    proxy.mend().await;
    assert!(ping(&mut stream).await? < SILENCE);
    Ok(())
}

#[tokio::test]
async fn a_delay_does_not_make_bytes_wait_for_each_other() -> Result<()> {
    let proxy = proxy().await?;
    let mut stream = TcpStream::connect(proxy.address()).await?;
    ping(&mut stream).await?;
    proxy.delay(SILENCE);
    let started = Instant::now();
    for number in 0..20 {
        stream.write_u8(number).await?;
        sleep(Duration::from_millis(5)).await;
    }
    for number in 0..20 {
        assert_eq!(timeout(PATIENCE, stream.read_u8()).await??, number);
    }
    // One after the other would take 40 delays.
    assert!(started.elapsed() < SILENCE * 10, "{:?}", started.elapsed());
    Ok(())
}

#[tokio::test]
async fn a_stalled_direction_loses_nothing_and_the_other_one_goes_on() -> Result<()> {
    // Not an echo: what goes one way must not depend on the other.
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let proxy = Proxy::start(listener.local_addr()?.to_string()).await?;
    let mut client = TcpStream::connect(proxy.address()).await?;
    let (mut server, _) = timeout(PATIENCE, listener.accept()).await??;

    for direction in [Direction::ToServer, Direction::ToClient] {
        let (held_from, held_to, free_from, free_to) = match direction {
            Direction::ToServer => (&mut client, &mut server, 1, 2),
            Direction::ToClient => (&mut server, &mut client, 3, 4),
        };
        proxy.stall(direction);
        held_from.write_u8(free_from).await?;
        assert!(is_silent(held_to).await, "{direction:?}");
        held_to.write_u8(free_to).await?;
        assert_eq!(timeout(PATIENCE, held_from.read_u8()).await??, free_to);
        proxy.mend().await;
        assert_eq!(timeout(PATIENCE, held_to.read_u8()).await??, free_from);
    }
    Ok(())
}

#[tokio::test]
async fn half_open_connections_are_silent_old_ones_and_new_ones_and_reset_when_mended() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let proxy = Proxy::start(listener.local_addr()?.to_string()).await?;
    let mut old = TcpStream::connect(proxy.address()).await?;
    let (mut server, _) = timeout(PATIENCE, listener.accept()).await??;
    old.write_u8(1).await?;
    assert_eq!(timeout(PATIENCE, server.read_u8()).await??, 1);

    proxy.half_open();
    assert!(is_reset(&mut server).await?, "the server has lost the client");
    let mut new = TcpStream::connect(proxy.address()).await?;
    for stream in [&mut old, &mut new] {
        stream.write_u8(2).await?;
        assert!(is_silent(stream).await);
    }
    assert!(timeout(SILENCE, listener.accept()).await.is_err(), "the server has seen the new one");
    connections(&proxy, 2).await;

    proxy.mend().await;
    assert!(is_reset(&mut old).await?);
    assert!(is_reset(&mut new).await?);
    let mut after = TcpStream::connect(proxy.address()).await?;
    let (mut server, _) = timeout(PATIENCE, listener.accept()).await??;
    after.write_u8(3).await?;
    assert_eq!(timeout(PATIENCE, server.read_u8()).await??, 3);
    Ok(())
}

#[tokio::test]
async fn a_server_that_resets_is_a_reset_for_the_client() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let proxy = Proxy::start(listener.local_addr()?.to_string()).await?;
    let mut client = TcpStream::connect(proxy.address()).await?;
    let (server, _) = timeout(PATIENCE, listener.accept()).await??;
    server.set_zero_linger()?;
    drop(server);
    assert!(is_reset(&mut client).await?);
    drop(listener);
    let mut refused = TcpStream::connect(proxy.address()).await?;
    assert!(is_reset(&mut refused).await?);
    Ok(())
}

#[tokio::test]
async fn a_proxy_that_goes_takes_its_connections_along() -> Result<()> {
    let proxy = proxy().await?;
    let mut stream = TcpStream::connect(proxy.address()).await?;
    ping(&mut stream).await?;
    let address = proxy.address();
    drop(proxy);
    assert!(is_reset(&mut stream).await?);
    let deadline = Instant::now() + PATIENCE;
    while TcpStream::connect(address).await.is_ok() {
        assert!(Instant::now() < deadline, "it still listens");
        sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}
