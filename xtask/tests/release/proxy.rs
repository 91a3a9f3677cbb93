//! A registry's door, at which the program that passes can be killed.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, AtomicUsize, Ordering},
    },
    thread,
};

use rustix::process::{Pid, Signal, kill_process};

pub(crate) struct Proxy {
    pub(crate) address: String,
    gate: Arc<Gate>,
}

/// Who is killed, and when.
#[derive(Default)]
struct Gate {
    victim: AtomicU32,
    /// How many writes are left until then.
    left: AtomicUsize,
    /// One request at a time, so that which is the last is no question of luck.
    turn: Mutex<()>,
}

impl Proxy {
    /// In front of the registry at this address.
    pub(crate) fn start(registry: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = Self {
            address: listener.local_addr().unwrap().to_string(),
            gate: Arc::default(),
        };
        let (gate, registry) = (Arc::clone(&proxy.gate), registry.to_owned());
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (gate, registry) = (Arc::clone(&gate), registry.clone());
                // One that was killed hangs up in the middle.
                thread::spawn(move || pass(&client, &registry, &gate).ok());
            }
        });
        proxy
    }

    /// Kills this process when the registry has done its `number`th write and before it hears of that.
    pub(crate) fn kill_after(&self, victim: u32, number: usize) {
        self.gate.left.store(number, Ordering::SeqCst);
        self.gate.victim.store(victim, Ordering::SeqCst);
    }
}

/// Passes one request on, and its answer back.
fn pass(client: &TcpStream, registry: &str, gate: &Gate) -> io::Result<()> {
    let mut from_client = BufReader::new(client);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if from_client.read_line(&mut head)? == 0 {
            return Ok(());
        }
    }
    let field = |name: &str| {
        head.lines().find_map(|line| {
            let (field, value) = line.split_once(':')?;
            field.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    };
    let length = field("content-length").map_or(0, |length| length.parse().unwrap());
    assert_eq!(field("transfer-encoding"), None, "{head}");
    let mut body = vec![0; length];
    from_client.read_exact(&mut body)?;

    let _turn = gate.turn.lock().unwrap();
    let mut server = TcpStream::connect(registry)?;
    server.write_all(
        head.replacen("\r\n", "\r\nConnection: close\r\n", 1)
            .as_bytes(),
    )?;
    server.write_all(&body)?;
    let mut answer = Vec::new();
    server.read_to_end(&mut answer)?;
    let writes = !["GET", "HEAD"].contains(&head.split(' ').next().unwrap());
    if writes
        && gate.left.load(Ordering::SeqCst) > 0
        && gate.left.fetch_sub(1, Ordering::SeqCst) == 1
    {
        let victim = i32::try_from(gate.victim.load(Ordering::SeqCst)).unwrap();
        kill_process(Pid::from_raw(victim).unwrap(), Signal::KILL).unwrap();
    }
    let mut client = client;
    client.write_all(&answer)?;
    client.shutdown(Shutdown::Both)
}
