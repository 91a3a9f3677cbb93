use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use proto::catalog::v1::catalog_service_client::CatalogServiceClient;
use rpc::{
    client::{Channel, Config, Retry},
    deadline,
};
use tokio::time::{Instant, timeout};
use tonic::{Code, Status};

use crate::catalog::{PATIENCE, Server, product, request};

/// A catalog that fails with `code` so many times, and counts its calls.
async fn failing(code: Code, times: usize) -> (Server, Arc<AtomicUsize>) {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    let server = Server::start(move |_| {
        let call = counted.fetch_add(1, Ordering::Relaxed);
        async move {
            match code {
                _ if call >= times => Ok(product("")),
                Code::DeadlineExceeded => std::future::pending().await,
                code => Err(Status::new(code, "as the test wants")),
            }
        }
    })
    .await;
    (server, calls)
}

fn config() -> Config {
    Config {
        attempt: Duration::from_millis(200),
        backoff_base: Duration::from_millis(1),
        ..Config::default()
    }
}

async fn get(retry: &Retry, channel: &Channel) -> Result<(), Status> {
    let client = CatalogServiceClient::new(channel.clone());
    retry
        .call(|| {
            let mut client = client.clone();
            async move { client.get_product(request("")).await }
        })
        .await
        .map(drop)
}

#[tokio::test]
async fn passing_failures_are_retried_and_others_are_not() {
    for (code, calls_made) in [
        (Code::Unavailable, 3),
        (Code::ResourceExhausted, 3),
        (Code::DeadlineExceeded, 3),
        (Code::NotFound, 1),
        (Code::InvalidArgument, 1),
        (Code::FailedPrecondition, 1),
        (Code::Internal, 1),
        (Code::Unknown, 1),
    ] {
        let (server, calls) = failing(code, 2).await;
        let result = get(
            &Retry::new("catalog", &config()),
            &server.channel_with(&config()),
        )
        .await;
        assert_eq!(calls.load(Ordering::Relaxed), calls_made, "{code:?}");
        assert_eq!(
            result.map_err(|status| status.code()),
            if calls_made == 3 { Ok(()) } else { Err(code) }
        );
    }
}

#[tokio::test]
async fn the_third_attempt_is_the_last() {
    let (server, calls) = failing(Code::Unavailable, usize::MAX).await;
    let status = get(&Retry::new("catalog", &config()), &server.channel())
        .await
        .unwrap_err();
    assert_eq!(
        (status.code(), calls.load(Ordering::Relaxed)),
        (Code::Unavailable, 3)
    );
}

#[tokio::test]
async fn all_attempts_together_stay_within_the_callers_deadline() {
    let (server, calls) = failing(Code::DeadlineExceeded, usize::MAX).await;
    let config = Config {
        attempt: Duration::from_millis(50),
        total: Duration::from_secs(60),
        max_attempts: 1_000,
        ..config()
    };
    let (retry, channel) = (Retry::new("catalog", &config), server.channel_with(&config));

    let deadline = Instant::now() + Duration::from_millis(300);
    let call = deadline::scope(deadline, get(&retry, &channel));
    let status = timeout(PATIENCE, call).await.unwrap().unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
    assert!((2..=6).contains(&calls.load(Ordering::Relaxed)));
}

#[tokio::test]
async fn retries_stay_within_a_tenth_of_the_traffic() {
    let (server, calls) = failing(Code::Unavailable, usize::MAX).await;
    let (retry, channel) = (Retry::new("catalog", &config()), server.channel());
    for _ in 0..100 {
        let clone = retry.clone();
        assert_eq!(
            get(&clone, &channel).await.unwrap_err().code(),
            Code::Unavailable
        );
    }
    // One retry a second of the ten seconds' window, and a tenth of a hundred calls.
    let retries = calls.load(Ordering::Relaxed) - 100;
    assert!((11..=20).contains(&retries), "{retries}");
}
