//! The contract that both stores keep.

use std::{sync::Arc, time::Duration};

use fulfilment::{
    domain::{Shipment, ShipmentState},
    store::{self, MIGRATIONS, Store},
};
use testkit::{Backend, TestDatabase};
use time::OffsetDateTime;
use uuid::Uuid;

crate::on_both_databases![
    taking_up_an_event_opens_a_shipment,
    taking_up_an_event_again_changes_nothing,
    an_order_has_one_shipment_whatever_the_event,
    workers_that_take_up_one_order_at_once_agree_on_its_tracking_code,
    the_first_end_of_a_shipment_stays,
];

const START: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

async fn open(backend: Backend) -> (TestDatabase, Arc<dyn Store>) {
    let database = testkit::database(backend).await;
    let connection = database.connect();
    connection.migrate(MIGRATIONS).await.unwrap();
    (database, store::open(&connection))
}

fn parcel(order_id: Uuid) -> Shipment {
    Shipment::new(order_id, Uuid::new_v4(), START, Duration::from_secs(5))
}

async fn taking_up_an_event_opens_a_shipment(backend: Backend) {
    let (_database, store) = open(backend).await;
    let shipment = parcel(Uuid::new_v4());
    assert_eq!(store.shipment(shipment.order_id).await.unwrap(), None);

    let taken = store
        .take_up(Uuid::new_v4(), &shipment, START)
        .await
        .unwrap();
    assert_eq!(taken, shipment);
    assert_eq!(
        store.shipment(shipment.order_id).await.unwrap(),
        Some(shipment)
    );
}

async fn taking_up_an_event_again_changes_nothing(backend: Backend) {
    let (_database, store) = open(backend).await;
    let (event, first) = (Uuid::new_v4(), parcel(Uuid::new_v4()));
    store.take_up(event, &first, START).await.unwrap();
    store
        .finish(first.order_id, ShipmentState::Shipped, START)
        .await
        .unwrap();

    let again = store
        .take_up(event, &parcel(first.order_id), START)
        .await
        .unwrap();
    assert_eq!(again.tracking_code, first.tracking_code);
    assert_eq!(again.state, ShipmentState::Shipped);
}

async fn an_order_has_one_shipment_whatever_the_event(backend: Backend) {
    let (_database, store) = open(backend).await;
    let first = parcel(Uuid::new_v4());
    store.take_up(Uuid::new_v4(), &first, START).await.unwrap();
    let other = store
        .take_up(Uuid::new_v4(), &parcel(first.order_id), START)
        .await
        .unwrap();
    assert_eq!(other, first);
}

async fn workers_that_take_up_one_order_at_once_agree_on_its_tracking_code(backend: Backend) {
    let (_database, store) = open(backend).await;
    let (event, order) = (Uuid::new_v4(), Uuid::new_v4());
    let mut workers = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let store = Arc::clone(&store);
        workers.spawn(async move { store.take_up(event, &parcel(order), START).await.unwrap() });
    }
    let shipments = workers.join_all().await;
    assert_eq!(shipments.len(), 20);
    assert!(
        shipments.iter().all(|shipment| *shipment == shipments[0]),
        "{shipments:?}"
    );
}

async fn the_first_end_of_a_shipment_stays(backend: Backend) {
    let (_database, store) = open(backend).await;
    let shipment = parcel(Uuid::new_v4());
    store
        .take_up(Uuid::new_v4(), &shipment, START)
        .await
        .unwrap();
    store
        .finish(shipment.order_id, ShipmentState::Void, START)
        .await
        .unwrap();
    store
        .finish(shipment.order_id, ShipmentState::Shipped, START)
        .await
        .unwrap();
    let stored = store.shipment(shipment.order_id).await.unwrap().unwrap();
    assert_eq!(stored.state, ShipmentState::Void);
}
