//! A gateway with a small world behind it, and ways to ask it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use gateway::app::{App, Config};
use gateway::problem::MEDIA_TYPE;
use lifecycle::DrainError;
use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder, Response};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::world::World;

/// A running shop. A test's client has no cookies unless it is a [`Shop::visitor`].
pub(crate) struct Shop {
    pub(crate) world: Arc<World>,
    pub(crate) addr: SocketAddr,
    pub(crate) admin: String,
    pub(crate) url: String,
    pub(crate) client: Client,
    /// Begins the shutdown, as SIGTERM does.
    pub(crate) shutdown: CancellationToken,
    pub(crate) ended: JoinHandle<Result<(), DrainError>>,
    pub(crate) tasks: TaskTracker,
    _stop: tokio_util::sync::DropGuard,
}

impl Shop {
    pub(crate) async fn open() -> Self {
        Self::with(&[]).await
    }

    /// A shop with further settings.
    pub(crate) async fn with(settings: &[&str]) -> Self {
        let (world, tasks) = (Arc::new(World::default()), TaskTracker::new());
        let stop = CancellationToken::new();
        let [catalog, orders] = world.serve(&tasks, &stop).await;
        let mut args = vec![
            "gateway",
            "--listen",
            "127.0.0.1:0",
            "--admin-listen",
            "127.0.0.1:0",
        ];
        args.extend(["--catalog-url", &catalog, "--orders-url", &orders]);
        args.extend(["--drain-delay", "0s", "--event-interval", "10ms"]);
        args.extend(settings);
        let config: Config = lifecycle::parse_from(without_repetition(&args)).unwrap();
        let app = App::start(&config, String::new).await.unwrap();
        Self {
            world,
            addr: app.addr,
            admin: format!("http://{}", app.lifecycle.admin_addr()),
            url: format!("http://{}", app.addr),
            client: Client::builder().redirect(Policy::none()).build().unwrap(),
            shutdown: app.lifecycle.shutdown(),
            ended: tasks.spawn(app.lifecycle.run_until_shutdown()),
            tasks,
            _stop: stop.drop_guard(),
        }
    }

    /// A browser: it keeps cookies and follows redirects.
    pub(crate) fn visitor(&self) -> Visitor {
        let client = Client::builder().cookie_store(true).build().unwrap();
        Visitor {
            client,
            url: self.url.clone(),
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        self.client
            .get(format!("{}{path}", self.url))
            .send()
            .await
            .unwrap()
    }

    pub(crate) fn post(&self, path: &str) -> RequestBuilder {
        self.client.post(format!("{}{path}", self.url))
    }

    pub(crate) fn order_request(&self, key: &str, body: &Value) -> RequestBuilder {
        self.post("/api/v1/orders")
            .header("Idempotency-Key", key)
            .json(body)
    }

    /// Sends `bytes` as they are, and reads until the server closes.
    pub(crate) async fn raw(&self, bytes: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.addr).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        let mut answer = Vec::new();
        let read = timeout(Duration::from_secs(20), stream.read_to_end(&mut answer));
        read.await.expect("an answer").unwrap();
        String::from_utf8(answer).unwrap()
    }
}

/// The last of each flag counts.
fn without_repetition<'a>(args: &[&'a str]) -> Vec<&'a str> {
    let (program, flags) = args.split_first().unwrap();
    let pairs: Vec<&[&str]> = flags.chunks(2).collect();
    let is_last = |at: usize| !pairs[at + 1..].iter().any(|later| later[0] == pairs[at][0]);
    let kept = (0..pairs.len())
        .filter(|at| is_last(*at))
        .flat_map(|at| pairs[at].iter().copied());
    std::iter::once(*program).chain(kept).collect()
}

/// Somebody with a browser.
#[derive(Clone)]
pub(crate) struct Visitor {
    pub(crate) client: Client,
    pub(crate) url: String,
}

impl Visitor {
    pub(crate) async fn get(&self, path: &str) -> Page {
        Page::of(
            self.client
                .get(format!("{}{path}", self.url))
                .send()
                .await
                .unwrap(),
        )
        .await
    }

    pub(crate) async fn post(&self, path: &str, form: &[(&str, &str)]) -> Page {
        let request = self.client.post(format!("{}{path}", self.url)).form(form);
        Page::of(request.send().await.unwrap()).await
    }

    pub(crate) async fn put_in_cart(&self, product: Uuid, quantity: &str) -> Page {
        let form = [
            ("product_id", &*product.to_string()),
            ("quantity", quantity),
        ];
        self.post("/cart/items", &form).await
    }

    /// The key in the checkout form.
    pub(crate) async fn checkout_key(&self) -> String {
        self.get("/checkout")
            .await
            .between("name=\"idempotency_key\" value=\"", "\"")
    }

    /// Orders what is in the cart; the order's page.
    pub(crate) async fn check_out(&self) -> Page {
        let key = self.checkout_key().await;
        self.post("/checkout", &[("idempotency_key", &key)]).await
    }
}

/// A page as the browser got it in the end.
pub(crate) struct Page {
    pub(crate) status: u16,
    pub(crate) path: String,
    pub(crate) html: String,
}

impl Page {
    pub(crate) async fn of(response: Response) -> Self {
        let (status, path) = (response.status().as_u16(), response.url().path().to_owned());
        let media_type = response.headers()["content-type"].clone();
        let html = response.text().await.unwrap();
        assert_eq!(
            media_type, "text/html; charset=utf-8",
            "{status} {path}: {html}"
        );
        Self { status, path, html }
    }

    #[track_caller]
    pub(crate) fn says(&self, text: &str) -> &Self {
        assert!(
            self.html.contains(text),
            "{} {} does not say {text:?}:\n{}",
            self.status,
            self.path,
            self.html
        );
        self
    }

    #[track_caller]
    pub(crate) fn says_nothing_of(&self, text: &str) -> &Self {
        assert!(
            !self.html.contains(text),
            "{} {} says {text:?}:\n{}",
            self.status,
            self.path,
            self.html
        );
        self
    }

    #[track_caller]
    pub(crate) fn between(&self, before: &str, after: &str) -> String {
        let rest = self
            .html
            .split_once(before)
            .unwrap_or_else(|| panic!("no {before:?} in {}", self.html))
            .1;
        rest.split_once(after).unwrap().0.to_owned()
    }
}

pub(crate) fn order_of(lines: &[(Uuid, i64)]) -> Value {
    let line = |(id, quantity): &(Uuid, i64)| json!({"product_id": id, "quantity": quantity});
    json!({"customer_id": "ada", "currency": "EUR", "lines": lines.iter().map(line).collect::<Vec<_>>()})
}

/// Checks everything that all problems have in common, and returns the body.
pub(crate) async fn problem(response: Response, status: u16, slug: &str) -> Value {
    let headers = response.headers().clone();
    let given = response.status().as_u16();
    let text = response.text().await.unwrap();
    assert_eq!(given, status, "{text}");
    assert_eq!(headers["content-type"], MEDIA_TYPE, "{text}");
    assert_eq!(headers["x-content-type-options"], "nosniff");
    let body: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(body["type"], format!("/problems/{slug}"), "{text}");
    assert_eq!(body["status"], status, "{text}");
    assert_eq!(
        body["request_id"],
        headers["x-request-id"].to_str().unwrap()
    );
    assert!(
        !body["title"].as_str().unwrap().is_empty() && !body["detail"].as_str().unwrap().is_empty()
    );
    if status == 503 {
        assert!(headers.contains_key("retry-after"));
    }
    body
}

/// The broken rules of a problem, as `field rule`.
pub(crate) fn rules(problem: &Value) -> Vec<String> {
    let errors = problem["errors"].as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    errors
        .iter()
        .map(|error| format!("{} {}", text(&error["field"]), text(&error["rule"])))
        .collect()
}

/// Waits until `holds`, at most ten seconds.
pub(crate) async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(10), wait)
        .await
        .unwrap_or_else(|_| panic!("not in time: {what}"));
}
