//! A TCP proxy that lets every byte travel for so long, in each direction: a network between an endpoint and its
//! PostgreSQL, on one machine. `bench/lib/sharing.mjs` calls it.
//!
//! `delay TARGET ONE_WAY_US` prints the port it listens on, and ends with its standard input. Threads that sleep are exact to
//! some 60 µs, which timers of a runtime, with their milliseconds, are not.

use std::error::Error;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [target, delay] = &arguments[..] else { return Err("delay TARGET ONE_WAY_US".into()) };
    let (target, delay) = (target.clone(), Duration::from_micros(delay.parse()?));
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("{}", listener.local_addr()?.port());
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            if let Err(error) = connect(client, &target, delay) {
                eprintln!("delay: {error}");
            }
        }
    });
    io::copy(&mut io::stdin(), &mut io::sink())?;
    Ok(())
}

fn connect(client: TcpStream, target: &str, delay: Duration) -> io::Result<()> {
    let server = TcpStream::connect(target)?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    carry(client.try_clone()?, server.try_clone()?, delay);
    carry(server, client, delay);
    Ok(())
}

/// Carries one direction, in a thread that reads and one that writes, so that a delay does not make it slower.
fn carry(mut from: TcpStream, mut to: TcpStream, delay: Duration) {
    let (sender, receiver) = mpsc::channel::<(Instant, Vec<u8>)>();
    thread::spawn(move || {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(len @ 1..) = from.read(&mut buffer) {
            let bytes = buffer.get(..len).unwrap_or_default().to_vec();
            if sender.send((Instant::now() + delay, bytes)).is_err() {
                break;
            }
        }
    });
    thread::spawn(move || {
        while let Ok((due, bytes)) = receiver.recv() {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            if to.write_all(&bytes).is_err() {
                break;
            }
        }
        // An error says that it is closed already.
        let _ = to.shutdown(Shutdown::Both);
    });
}
