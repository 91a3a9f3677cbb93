//! What each service takes: memory when idle, and time from exec to the first ready answer. On SQLite, in the profile
//! of the benchmark: `cargo bench -p shop --bench footprint`. It prints and judges nothing; machines differ.

use std::time::{Duration, Instant};

use testkit::{Backend, service, service::Service};

const STARTS: usize = 10;
const IDLE: Duration = Duration::from_secs(10);

#[tokio::main]
#[expect(clippy::print_stdout, reason = "a table is what it is for")]
async fn main() {
    println!(
        "{:<12} {:>18} {:>24}",
        "service", "idle RSS after 10 s", "exec to ready, median"
    );
    for name in ["gateway", "catalog", "orders", "fulfilment"] {
        let database = testkit::database(Backend::Sqlite).await;
        let settings = [("DATABASE_URL", &*database.url)];
        // Also builds it, which is no part of its start.
        let first = if name == "gateway" {
            "settings"
        } else {
            "migrate"
        };
        let ran = service::run(name, &[first], &settings).await;
        assert!(ran.status.success(), "{name} {first} fails");
        let mut times = Vec::new();
        for _ in 0..STARTS {
            times.push(first_ready(name, &settings).await.1);
        }
        times.sort();
        let (service, _) = first_ready(name, &settings).await;
        tokio::time::sleep(IDLE).await;
        let rss = resident_bytes(&service).await / f64::from(1 << 20);
        let time = times[STARTS / 2].as_secs_f64() * 1e3;
        println!("{name:<12} {rss:>15.1} MiB {time:>21.0} ms");
    }
}

/// Starts the service and asks until it says that it is ready.
async fn first_ready(name: &str, settings: &[(&str, &str)]) -> (Service, Duration) {
    let started = Instant::now();
    let service = Service::spawn(name, settings);
    let (client, url) = (
        reqwest::Client::new(),
        format!("{}/readyz", service.admin_url()),
    );
    loop {
        if client
            .get(&url)
            .send()
            .await
            .is_ok_and(|answer| answer.status().is_success())
        {
            return (service, started.elapsed());
        }
        assert!(
            started.elapsed() < Duration::from_secs(30),
            "{name}: {}",
            service.log()
        );
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// As the service says itself.
async fn resident_bytes(service: &Service) -> f64 {
    let url = format!("{}/metrics", service.admin_url());
    let metrics = reqwest::get(url)
        .await
        .expect("an answer")
        .text()
        .await
        .expect("text");
    let line = metrics
        .lines()
        .find_map(|line| line.strip_prefix("process_resident_memory_bytes"));
    let value = line.and_then(|line| line.rsplit(' ').next()?.parse().ok());
    value.expect("the metric of the process's memory")
}
