//! The real binary.

use proto::orders::v1::{self as pb, OrderState};
use testkit::{Backend, TestDatabase, service::Service};
use tonic::Request;

use crate::{
    catalog::{FOREVER, FakeCatalog},
    on_both_databases,
    shop::{Client, PATIENCE, client_of, placement},
};

on_both_databases![
    what_a_killed_process_has_begun_is_finished_by_the_next,
    an_event_belongs_to_the_trace_that_placed_its_order,
    it_tells_its_metrics_and_ends_well,
];

async fn start(database: &TestDatabase, catalog: &FakeCatalog) -> (Service, Client) {
    let catalog_url = format!("http://{}", catalog.addr);
    let settings = [
        ("DATABASE_URL", database.url.as_str()),
        ("CATALOG_URL", &catalog_url),
        ("RECOVERY_INTERVAL", "50ms"),
        ("RECOVERY_GRACE", "100ms"),
    ];
    let migrated = testkit::service::run("orders", &["migrate"], &settings).await;
    assert!(migrated.status.success(), "{migrated:?}");
    let service = Service::start("orders", &settings).await;
    let client = client_of(service.address());
    (service, client)
}

async fn what_a_killed_process_has_begun_is_finished_by_the_next(backend: Backend) {
    let (database, catalog) = (testkit::database(backend).await, FakeCatalog::start().await);
    let (mut service, client) = start(&database, &catalog).await;
    let tea = catalog.add(450, 10);
    let gate = catalog.hold(1);
    let lines = [(tea, 3)];
    let (answer, ()) = tokio::join!(
        async { client.clone().place_order(placement("k", &lines)).await },
        async {
            catalog.arrived(1).await;
            service.kill().await;
        }
    );
    answer.unwrap_err();
    gate.open();
    service.restart().await;

    // The customer asks again and finds the order as the recovery has left it.
    let order = testkit::eventually(PATIENCE, async || {
        let answer = client.clone().place_order(placement("k", &lines)).await;
        let answer = answer.map_err(|status| status.to_string())?.into_inner();
        let order = answer.order.unwrap();
        let done = answer.replayed && order.state() == OrderState::Confirmed;
        if done {
            Ok(order)
        } else {
            Err(order.state().as_str_name().to_owned())
        }
    })
    .await;
    assert_eq!(order.total.unwrap().minor_units, 1_350);
    assert_eq!(catalog.stock(tea), (7, 3, 0));
}

async fn an_event_belongs_to_the_trace_that_placed_its_order(backend: Backend) {
    let (database, catalog) = (testkit::database(backend).await, FakeCatalog::start().await);
    let (_service, mut client) = start(&database, &catalog).await;
    let tea = catalog.add(450, 10);
    // One is confirmed by its own request, the other by the recovery.
    let traces = [
        "0af7651916cd43dd8448eb211c80319c",
        "4bf92f3577b34da6a3ce929d0e0e4736",
    ];
    for (trace, failures) in traces.into_iter().zip([0, FOREVER]) {
        catalog.refuse(failures);
        let mut request = Request::new(placement(trace, &[(tea, 1)]));
        let traceparent = format!("00-{trace}-b7ad6b7169203331-01").parse().unwrap();
        request.metadata_mut().insert("traceparent", traceparent);
        client.place_order(request).await.unwrap();
    }
    catalog.refuse(0);
    for trace in traces {
        let event = testkit::eventually(PATIENCE, async || {
            let lease = Some(prost_types::Duration {
                seconds: 60,
                nanos: 0,
            });
            let request = pb::LeaseEventsRequest { limit: 1, lease };
            client
                .lease_events(request)
                .await
                .unwrap()
                .into_inner()
                .events
                .pop()
                .ok_or("none")
        })
        .await;
        assert_eq!(event.traceparent.split('-').nth(1), Some(trace));
    }
}

async fn it_tells_its_metrics_and_ends_well(backend: Backend) {
    let (database, catalog) = (testkit::database(backend).await, FakeCatalog::start().await);
    let (mut service, mut client) = start(&database, &catalog).await;
    let tea = catalog.add(450, 10);
    client
        .place_order(placement("k", &[(tea, 3)]))
        .await
        .unwrap();
    client
        .place_order(placement("k", &[(tea, 3)]))
        .await
        .unwrap();

    let url = format!("{}/metrics", service.admin_url());
    let metrics = reqwest::get(url).await.unwrap().text().await.unwrap();
    for sample in [
        r#"orders_placed_total{outcome="confirmed"} 1"#,
        r#"orders_placed_total{outcome="replayed"} 1"#,
        r#"orders_state_transitions_total{from="pending",to="confirmed"} 1"#,
        "orders_outbox_depth ",
        "orders_outbox_oldest_age_seconds ",
        "orders_dead_letters 0",
        "orders_pending_oldest_age_seconds ",
    ] {
        assert!(metrics.contains(sample), "{sample} is not in\n{metrics}");
    }
    assert!(service.terminate().await.success());
}

#[tokio::test]
async fn a_wrong_setting_is_one_line_and_exit_code_64() {
    for (setting, value) in [
        ("DATABASE_URL", "mysql://db/orders"),
        ("CATALOG_URL", "catalog"),
        ("RECOVERY_INTERVAL", "0s"),
        ("MAX_DELIVERY_ATTEMPTS", "0"),
    ] {
        let settings = [("DATABASE_URL", "sqlite::memory:"), (setting, value)];
        let output = testkit::service::run("orders", &[], &settings).await;
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(64), "{told}");
        assert_eq!(told.lines().count(), 1, "{told}");
        assert!(told.contains(setting), "{told}");
    }
}
