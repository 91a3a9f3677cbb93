//! The Git repository over HTTP, for an Argo CD that runs anywhere: git's own program behind a small server.
//! <https://git-scm.com/docs/git-http-backend>

use std::{
    collections::HashMap,
    net::{SocketAddr, UdpSocket},
    path::Path,
    sync::Arc,
};

use anyhow::Context;
use tiny_http::{Header, Request, Response, Server};

use crate::hint::WithHint;

/// Argo CD asks for many things at once.
const THREADS: usize = 4;

/// Serves the repositories of a folder until it is dropped.
pub(super) struct GitServer {
    server: Arc<Server>,
    address: SocketAddr,
}

impl GitServer {
    /// Starts on a free port of this address.
    pub(super) fn start(address: std::net::IpAddr, folder: &Path) -> anyhow::Result<Self> {
        let server = Server::http((address, 0))
            .map_err(|error| anyhow::anyhow!("cannot serve Git at {address}: {error}"))?;
        let address = server
            .server_addr()
            .to_ip()
            .context("a server on an address has one")?;
        let server = Arc::new(server);
        for _ in 0..THREADS {
            let (server, folder) = (Arc::clone(&server), folder.to_owned());
            std::thread::spawn(move || {
                while let Ok(request) = server.recv() {
                    answer(request, &folder);
                }
            });
        }
        Ok(Self { server, address })
    }

    /// Whether it is at this address, so that whoever is there is this machine.
    pub(super) fn is_at(&self, address: &str) -> bool {
        self.address.ip().to_string() == address
    }

    /// The URL of a repository in the folder.
    pub(super) fn url(&self, name: &str) -> String {
        format!("http://{}/{name}", self.address)
    }
}

impl Drop for GitServer {
    fn drop(&mut self) {
        for _ in 0..THREADS {
            self.server.unblock();
        }
    }
}

/// The address of this machine that another one there reaches it by.
pub(super) fn own_address(other: &str) -> anyhow::Result<std::net::IpAddr> {
    // Connecting a datagram socket chooses a route, and sends nothing.
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    socket
        .connect((other, 9))
        .with_context(|| format!("there is no route to the cluster's node {other}"))
        .hint("--address names one of this machine that the cluster reaches")?;
    Ok(socket.local_addr()?.ip())
}

fn answer(mut request: Request, folder: &Path) {
    let response = match backend(&mut request, folder) {
        Ok(response) => response,
        Err(error) => Response::from_string(format!("{error:#}")).with_status_code(500),
    };
    // Whoever asked has gone: nobody else is concerned.
    let _gone = request.respond(response);
}

fn backend(
    request: &mut Request,
    folder: &Path,
) -> anyhow::Result<Response<std::io::Cursor<Vec<u8>>>> {
    let mut body = Vec::new();
    request.as_reader().read_to_end(&mut body)?;
    let url = request.url().to_owned();
    let (path, query) = url.split_once('?').unwrap_or((&url, ""));
    let header = |name: &'static str| {
        let found = request.headers().iter().find(|one| one.field.equiv(name));
        found.map(|one| one.value.to_string()).unwrap_or_default()
    };
    let environment = HashMap::from([
        ("GIT_HTTP_EXPORT_ALL", "1".to_owned()),
        ("GIT_PROJECT_ROOT", folder.display().to_string()),
        ("GIT_PROTOCOL", header("Git-Protocol")),
        ("PATH_INFO", path.to_owned()),
        ("QUERY_STRING", query.to_owned()),
        ("REMOTE_ADDR", "127.0.0.1".to_owned()),
        ("REQUEST_METHOD", request.method().to_string()),
        ("CONTENT_LENGTH", body.len().to_string()),
        ("CONTENT_TYPE", header("Content-Type")),
        ("HTTP_CONTENT_ENCODING", header("Content-Encoding")),
    ]);
    let mut command = duct::cmd!("git", "http-backend").stdin_bytes(body);
    for (name, value) in environment {
        command = command.env(name, value);
    }
    let output = command
        .stdout_capture()
        .stderr_null()
        .unchecked()
        .run()?
        .stdout;
    // As CGI has it: headers, an empty line, the body.
    let end = output
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .context("git http-backend answered without headers")?;
    let mut status = 200;
    let mut headers = Vec::new();
    for line in String::from_utf8_lossy(&output[..end]).lines() {
        if let Some(code) = line.strip_prefix("Status: ") {
            status = code.split(' ').next().unwrap_or_default().parse()?;
        } else if let Ok(header) = line.parse::<Header>() {
            headers.push(header);
        }
    }
    let mut response = Response::from_data(&output[end + 4..]).with_status_code(status);
    for header in headers {
        response.add_header(header);
    }
    Ok(response)
}
