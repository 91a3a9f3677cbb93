//! An image as a container engine runs it: nobody in an empty root, who finds names, times and whom to trust.

use std::{fs, path::Path, process::Command};

use crate::{
    repo::Repo,
    run::{json, output, xtask},
};

/// A service that says what it finds.
const PROBE: &str = r#"
use std::{env::args, ffi::{c_char, c_int, c_long}, io::{Read, Write}, net::{TcpListener, TcpStream, ToSocketAddrs}, sync::Arc};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};

#[repr(C)]
struct Moment { sec: c_int, min: c_int, hour: c_int, day: c_int, month: c_int, year: c_int, weekday: c_int, yearday: c_int, summer: c_int, offset: c_long, zone: *const c_char }
unsafe extern "C" {
    fn tzset();
    fn localtime_r(time: *const i64, moment: *mut Moment) -> *mut Moment;
}

fn main() {
    let words: Vec<String> = args().collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[1..] {
        ["self"] => {
            let status = std::fs::read_to_string("/proc/self/status").unwrap();
            print!("{}", status.lines().filter(|line| line.starts_with("Uid:") || line.starts_with("Gid:")).collect::<Vec<_>>().join(" "));
            std::fs::write("/tmp/file", "").unwrap();
            print!(" {}", std::fs::write("/file", "").unwrap_err().kind());
        }
        ["hour", seconds] => {
            let (seconds, mut moment): (i64, Moment) = (seconds.parse().unwrap(), unsafe { std::mem::zeroed() });
            unsafe { tzset(); localtime_r(&seconds, &mut moment); }
            print!("{} {}", moment.hour, moment.offset);
        }
        ["resolve", name] => print!("{:?}", (name, 1).to_socket_addrs().map(|mut found| found.next().unwrap().ip())),
        ["serve"] => {
            let chain = CertificateDer::pem_slice_iter(std::env::var("CHAIN").unwrap().as_bytes()).collect::<Result<_, _>>().unwrap();
            let key = PrivateKeyDer::from_pem_slice(std::env::var("KEY").unwrap().as_bytes()).unwrap();
            let config = Arc::new(ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).unwrap());
            for stream in TcpListener::bind("0.0.0.0:8443").unwrap().incoming() {
                let _ = StreamOwned::new(ServerConnection::new(config.clone()).unwrap(), stream.unwrap()).write_all(b"hello");
            }
        }
        ["connect", name] => {
            let found = rustls_native_certs::load_native_certs();
            let mut roots = RootCertStore::empty();
            let (known, broken) = roots.add_parsable_certificates(found.certs);
            let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
            let client = ClientConnection::new(Arc::new(config), name.to_owned().try_into().unwrap()).unwrap();
            let mut stream = StreamOwned::new(client, TcpStream::connect((name, 8443)).unwrap());
            let mut text = [0; 5];
            match stream.read_exact(&mut text) {
                Ok(()) => print!("{known} {broken} {}", String::from_utf8_lossy(&text)),
                Err(error) => print!("{known} {broken} {error}"),
            }
        }
        _ => panic!("{words:?}"),
    }
}
"#;

/// Containers, a network and an image of this test, gone when it ends.
struct Engine {
    name: String,
    image: String,
    made: Vec<Vec<String>>,
}

fn docker(arguments: &[&str]) -> String {
    output(
        Command::new("docker").args(arguments),
        "install Docker, and start its engine",
    )
}

impl Engine {
    /// With the image of the probe, and a network.
    fn start() -> Self {
        let repo = Repo::new();
        repo.write("services/probe/Cargo.toml", "[package]\nname = \"probe\"\nversion.workspace = true\nedition.workspace = true\n\n[dependencies]\nrustls = { version = \"0.23\", default-features = false, features = [\"ring\", \"std\", \"tls12\"] }\nrustls-native-certs = \"0.8\"\n");
        repo.write("services/probe/src/main.rs", PROBE);
        // The versions that this workspace has, and this machine therefore too.
        let lock = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.lock");
        fs::copy(lock, repo.root.join("Cargo.lock")).unwrap();
        output(
            Command::new("cargo")
                .args(["metadata", "--format-version=1", "--offline"])
                .current_dir(&repo.root),
            "`cargo fetch` first",
        );
        repo.commit();
        let rows = json(&mut xtask(
            &repo.root,
            &["image", "probe", "--docker", "--json"],
        ));
        let engine = Self {
            name: format!("slipway-test-{}", std::process::id()),
            image: rows[0]["reference"].as_str().unwrap().to_owned(),
            made: Vec::new(),
        };
        let network = engine.name.clone();
        docker(&["network", "create", &network]);
        engine
            .made(
                &["image", "rm", "--force"],
                rows[0]["reference"].as_str().unwrap(),
            )
            .made(&["network", "rm"], &network)
    }

    fn made(mut self, removal: &[&str], name: &str) -> Self {
        let words = removal.iter().chain([&name]);
        self.made.push(words.map(|&word| word.to_owned()).collect());
        self
    }

    /// What the probe prints. The root is read-only but for /tmp.
    fn probe(&self, options: &[&str], words: &[&str]) -> String {
        let run = ["run", "--rm", "--network", &self.name, "--cap-drop=ALL"];
        docker(&[&run, options, &[&self.image], words].concat())
    }

    /// What the probe prints where the bundle is another one.
    fn probe_with_bundle(&self, bundle: &Path, words: &[&str]) -> String {
        let name = format!("{}-client", self.name);
        let create = [
            "create",
            "--network",
            &self.name,
            "--name",
            &name,
            &self.image,
        ];
        docker(&[&create, words].concat());
        let place = format!("{name}:/etc/ssl/certs/ca-certificates.crt");
        docker(&["cp", &bundle.display().to_string(), &place]);
        let said = docker(&["start", "--attach", &name]);
        docker(&["rm", &name]);
        said
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        for words in self.made.iter().rev() {
            let _ = Command::new("docker").args(words).output();
        }
    }
}

/// An authority that nobody knows, and a certificate of `server` by it.
fn certificates(folder: &Path) -> (String, String) {
    let openssl = |words: &str| {
        let words = words.split(' ');
        output(
            Command::new("openssl").args(words).current_dir(folder),
            "install openssl",
        );
    };
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
    openssl(&format!(
        "req -x509 {key} -keyout ca.key -out ca.pem -subj /CN=Nobody -days 2"
    ));
    openssl(&format!(
        "req {key} -keyout server.key -out server.csr -subj /CN=server"
    ));
    fs::write(folder.join("server.ext"), "subjectAltName=DNS:server\n").unwrap();
    openssl(
        "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out server.pem -days 1 -extfile server.ext",
    );
    let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
    (read("server.pem"), read("server.key"))
}

#[test]
fn it_runs_as_nobody_and_finds_names_times_and_authorities() {
    let folder = tempfile::tempdir().unwrap();
    let (chain, key) = certificates(folder.path());
    let engine = Engine::start();

    assert_eq!(
        engine.probe(&[], &["self"]),
        "Uid:\t65532\t65532\t65532\t65532 Gid:\t65532\t65532\t65532\t65532 permission denied"
    );

    // Summer begins on 2026-03-29 at 01:00 UTC; Troll's goes by two hours at once.
    for (zone, seconds, hour) in [
        ("Europe/Berlin", "1774745999", "1 3600"),
        ("Europe/Berlin", "1774746000", "3 7200"),
        ("US/Pacific", "1774746000", "18 -25200"),
        ("Antarctica/Troll", "1774746000", "3 7200"),
        ("UTC", "1774746000", "1 0"),
    ] {
        let zone = format!("TZ={zone}");
        assert_eq!(
            engine.probe(&["--env", &zone], &["hour", seconds]),
            hour,
            "{zone}"
        );
    }

    let server = format!("{}-server", engine.name);
    let (chain, key) = (format!("CHAIN={chain}"), format!("KEY={key}"));
    let engine = engine.made(&["rm", "--force"], &server);
    let image = engine.image.clone();
    docker(&[
        "run",
        "--detach",
        "--name",
        &server,
        "--network",
        &engine.name,
        "--network-alias",
        "server",
        "--env",
        &chain,
        "--env",
        &key,
        &image,
        "serve",
    ]);
    let address = docker(&[
        "inspect",
        "--format",
        "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}",
        &server,
    ]);
    // By DNS, by the hosts file, and not at all.
    assert_eq!(
        engine.probe(&[], &["resolve", "server"]),
        format!("Ok({})", address.trim())
    );
    assert_eq!(
        engine.probe(&["--add-host", "other:192.0.2.7"], &["resolve", "other"]),
        "Ok(192.0.2.7)"
    );
    assert!(
        engine
            .probe(&[], &["resolve", "nowhere.invalid"])
            .starts_with("Err(")
    );

    let refused = engine.probe(&[], &["connect", "server"]);
    let (known, broken) = (webpki_root_certs::TLS_SERVER_ROOT_CERTS.len(), 0);
    assert_eq!(
        refused,
        format!("{known} {broken} invalid peer certificate: UnknownIssuer")
    );
    assert_eq!(
        engine.probe_with_bundle(&folder.path().join("ca.pem"), &["connect", "server"]),
        "1 0 hello"
    );
}
