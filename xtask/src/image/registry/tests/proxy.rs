//! A proxy in front of a registry that does to its requests what networks and busy servers do.

use std::{
    io::{self, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use crate::pause::pause;

/// A request as the proxy saw it.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) method: String,
    /// With its query.
    pub(super) path: String,
    pub(super) host: String,
    pub(super) authorization: Option<String>,
    pub(super) length: usize,
    pub(super) body: Vec<u8>,
}

/// What becomes of a request.
pub(super) enum Fault {
    Pass,
    /// Answered at once: status line, headers and body.
    Answer(String),
    /// The registry gets half of the body, and the connection ends.
    Break,
    /// The registry answers, and the answer is lost.
    LoseAnswer,
    /// Text in the answer's head is changed.
    Change(String, String),
    /// A byte of the answer's body is changed.
    Damage,
    /// The body is read little by little.
    Slow,
    /// Nothing happens for a while, then the connection ends.
    Stall(Duration),
}

impl Fault {
    pub(super) fn answer(status: &str, headers: &str, body: &str) -> Self {
        Self::Answer(format!(
            "HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        ))
    }
}

type Rule = Box<dyn FnMut(&Seen) -> Fault + Send>;

/// The proxy. It serves until the test's process ends.
pub(super) struct Proxy {
    pub(super) address: String,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Proxy {
    pub(super) fn start(upstream: &str, rule: impl FnMut(&Seen) -> Fault + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let rule: Arc<Mutex<Rule>> = Arc::new(Mutex::new(Box::new(rule)));
        let (log, upstream) = (Arc::clone(&seen), upstream.to_owned());
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (log, rule, upstream) = (Arc::clone(&log), Arc::clone(&rule), upstream.clone());
                thread::spawn(move || {
                    // A connection that ends is what some faults are about.
                    let _ended = serve(&client, &upstream, &log, &rule);
                    let _closed = client.shutdown(Shutdown::Both);
                });
            }
        });
        Self { address, seen }
    }

    /// The requests so far.
    pub(super) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// How many requests there were with this method, to a path that has this in it.
    pub(super) fn count(&self, method: &str, part: &str) -> usize {
        let fits = |it: &&Seen| it.method == method && it.path.contains(part);
        self.seen().iter().filter(fits).count()
    }

    pub(super) fn forget(&self) {
        self.seen.lock().unwrap().clear();
    }
}

fn serve(
    mut client: &TcpStream,
    upstream: &str,
    log: &Mutex<Vec<Seen>>,
    rule: &Mutex<Rule>,
) -> io::Result<()> {
    let head = read_head(client)?;
    let mut lines = head.lines();
    let mut words = lines.next().unwrap_or_default().split(' ');
    let header = |name: &str| {
        head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name)
                .then(|| value.trim().to_owned())
        })
    };
    let length: usize = header("content-length").map_or(0, |it| it.parse().unwrap());
    let mut seen = Seen {
        method: words.next().unwrap_or_default().to_owned(),
        path: words.next().unwrap_or_default().to_owned(),
        host: header("host").unwrap_or_default(),
        authorization: header("authorization"),
        length,
        body: Vec::new(),
    };
    // Small bodies are read before the rule looks at them.
    if length < 4096 {
        seen.body = vec![0; length];
        client.read_exact(&mut seen.body)?;
    }
    log.lock().unwrap().push(seen.clone());
    let fault = (rule.lock().unwrap())(&seen);
    let head = head.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
    let mut body = seen.body;
    let rest = length - body.len();
    match &fault {
        Fault::Answer(answer) => {
            body.resize(length, 0);
            client.read_exact(&mut body[length - rest..])?;
            return client.write_all(answer.as_bytes());
        }
        Fault::Stall(time) => {
            pause(*time);
            return Ok(());
        }
        Fault::Break => {
            body.resize(length - rest / 2, 0);
            client.read_exact(&mut body[length - rest..])?;
            body.truncate(length / 2);
            let mut registry = TcpStream::connect(upstream)?;
            registry.write_all(head.as_bytes())?;
            return registry.write_all(&body);
        }
        Fault::Slow => {
            let mut piece = [0; 64 << 10];
            while body.len() < length {
                let read = client.read(&mut piece)?;
                body.extend_from_slice(&piece[..read]);
                pause(Duration::from_millis(10));
            }
        }
        _ => {
            body.resize(length, 0);
            client.read_exact(&mut body[length - rest..])?;
        }
    }
    let mut registry = TcpStream::connect(upstream)?;
    registry.write_all(head.as_bytes())?;
    registry.write_all(&body)?;
    let mut answer = Vec::new();
    registry.read_to_end(&mut answer)?;
    match fault {
        Fault::LoseAnswer => Ok(()),
        Fault::Change(from, to) => {
            let text = String::from_utf8_lossy(&answer).replace(&from, &to);
            client.write_all(text.as_bytes())
        }
        Fault::Damage => {
            if let Some(last) = answer.last_mut() {
                *last ^= 1;
            }
            client.write_all(&answer)
        }
        _ => client.write_all(&answer),
    }
}

fn read_head(mut stream: &TcpStream) -> io::Result<String> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}
