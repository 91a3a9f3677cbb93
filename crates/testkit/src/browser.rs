//! Headless Chromium, driven through WebDriver by fantoccini.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Child,
    time::Duration,
};

use fantoccini::{Client, ClientBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Map, Value, json};

use crate::watcher;

/// What the page is seen on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Device {
    /// 1280 by 900.
    Desktop,
    /// 390 by 844, two device pixels per pixel, touch.
    Phone,
}

/// The value of `prefers-color-scheme`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColorScheme {
    /// `light`
    Light,
    /// `dark`
    Dark,
}

/// A browser with an empty profile and one tab. Ends when dropped.
///
/// ```
/// # #[tokio::main]
/// # async fn main() -> Result<(), fantoccini::error::CmdError> {
/// use testkit::browser::{Browser, ColorScheme, Device};
///
/// let browser = Browser::start(Device::Phone).await;
/// browser.color_scheme(ColorScheme::Dark).await;
/// browser.client.goto("data:text/html,<title>Shop</title><meta name=viewport content=width=device-width>").await?;
/// assert_eq!(browser.client.title().await?, "Shop");
/// let width = browser.client.execute("return innerWidth", vec![]).await?;
/// assert_eq!(width, 390);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Browser {
    /// For everything that fantoccini can do.
    pub client: Client,
    session: String,
    _watcher: Child,
}

/// No sign of life on the network other than the test's, and nothing that needs a screen.
const FLAGS: [&str; 8] = [
    "--headless",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    // Containers give /dev/shm 64 MiB; a tab that needs more crashes.
    "--disable-dev-shm-usage",
];

impl Browser {
    /// Starts Chromium.
    ///
    /// # Panics
    /// When Chromium or its driver is not installed (the message says how), or does not start.
    pub async fn start(device: Device) -> Self {
        let driver = installed(&["chromedriver"]);
        let chromium = installed(&["chromium", "chromium-browser", "google-chrome"]);
        let folder = tempfile::Builder::new()
            .prefix("testkit-browser-")
            .tempdir()
            .expect("a temporary folder")
            .keep();
        let path = folder
            .to_str()
            .expect("the temporary folder's name is UTF-8");

        // The driver does not take its browsers along, but they share its process group.
        let script = "\"$@\" >\"$0/log\" 2>&1 & cat; trap '' TERM; kill -TERM 0; wait; sleep 0.2; rm -rf \"$0\"";
        let driver = driver.to_str().expect("chromedriver's path is UTF-8");
        let watcher = watcher::start(script, &[path, driver, "--port=0"], |shell| {
            shell.env("TMPDIR", path);
        })
        .expect("a shell runs");
        let port = crate::eventually(Duration::from_secs(30), async || port_of(&folder)).await;
        let driver = format!("http://127.0.0.1:{port}");

        let mut arguments = FLAGS.map(str::to_owned).to_vec();
        arguments.push(format!("--user-data-dir={path}/profile"));
        if rustix::process::geteuid().is_root() {
            arguments.push("--no-sandbox".to_owned()); // Chromium refuses to sandbox root
        }
        let options = json!({ "binary": chromium, "args": arguments });
        let capabilities = Map::from_iter([("goog:chromeOptions".to_owned(), options)]);
        let client = ClientBuilder::new(HttpConnector::new())
            .capabilities(capabilities)
            .connect(&driver)
            .await;
        let client = client.unwrap_or_else(|error| panic!("Chromium does not start: {error}"));
        let id = client
            .session_id()
            .await
            .ok()
            .flatten()
            .expect("a new session has an id");
        let browser = Self {
            client,
            session: format!("{driver}/session/{id}"),
            _watcher: watcher,
        };
        browser.show_on(device).await;
        browser
    }

    /// Changes the viewport, to the pixel.
    pub async fn show_on(&self, device: Device) {
        let (width, height, scale, phone) = match device {
            Device::Desktop => (1280, 900, 1, false),
            Device::Phone => (390, 844, 2, true),
        };
        let metrics = json!({ "width": width, "height": height, "deviceScaleFactor": scale, "mobile": phone });
        self.cdp("Emulation.setDeviceMetricsOverride", metrics)
            .await;
        self.cdp(
            "Emulation.setTouchEmulationEnabled",
            json!({ "enabled": phone }),
        )
        .await;
    }

    /// Changes what pages are told of the user's preference.
    pub async fn color_scheme(&self, scheme: ColorScheme) {
        let value = match scheme {
            ColorScheme::Light => "light",
            ColorScheme::Dark => "dark",
        };
        let feature = json!({ "name": "prefers-color-scheme", "value": value });
        self.cdp(
            "Emulation.setEmulatedMedia",
            json!({ "features": [feature] }),
        )
        .await;
    }

    /// Sends a command of the [DevTools protocol](https://chromedevtools.github.io/devtools-protocol/) through
    /// chromedriver's extension for it, and returns the result.
    ///
    /// # Panics
    /// When Chromium refuses it.
    pub async fn cdp(&self, command: &str, parameters: Value) -> Value {
        let answer = reqwest::Client::new()
            .post(format!("{}/goog/cdp/execute", self.session))
            .json(&json!({ "cmd": command, "params": parameters }))
            .send()
            .await
            .unwrap_or_else(|error| panic!("{command}: {error}"));
        let refused = !answer.status().is_success();
        let mut body: Value = answer.json().await.unwrap_or_default();
        assert!(!refused, "{command}: {body}");
        body["value"].take()
    }
}

/// The driver takes a free port and says which.
fn port_of(folder: &Path) -> Result<u16, String> {
    let log = fs::read_to_string(folder.join("log")).map_err(|error| error.to_string())?;
    let port = log
        .rsplit_once("started successfully on port ")
        .and_then(|(_, rest)| rest.trim().trim_end_matches('.').parse().ok());
    port.ok_or_else(|| format!("chromedriver says: {log}"))
}

fn installed(names: &[&str]) -> PathBuf {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders: Vec<_> = env::split_paths(&path)
        .chain([PathBuf::from("/usr/bin")])
        .collect();
    let mut candidates = names
        .iter()
        .flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
    candidates.find(|candidate| candidate.is_file()).unwrap_or_else(|| {
        panic!("these tests need Chromium and its driver, and there is no {}\nhint: apt-get install chromium chromium-driver", names[0])
    })
}
