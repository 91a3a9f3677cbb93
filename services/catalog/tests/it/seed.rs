//! `catalog seed`.

use catalog::{
    domain::{Details, Product, Sku},
    seed::{Seeded, seed},
    store::{self, MIGRATIONS},
};
use testkit::Backend;
use time::OffsetDateTime;

use crate::on_both_databases;

on_both_databases!(seeding_again_restores_the_details_and_leaves_the_stock_alone);

async fn seeding_again_restores_the_details_and_leaves_the_stock_alone(backend: Backend) {
    let database = testkit::database(backend).await;
    let pool = database.connect();
    pool.migrate(MIGRATIONS).await.unwrap();
    let store = store::open(&pool);
    let now = OffsetDateTime::from_unix_timestamp(1_800_000_000).unwrap();

    let first = seed(&*store, now).await.unwrap();
    assert!(first.created >= 15, "{first:?}");
    let unchanged = Seeded {
        unchanged: first.created,
        ..Seeded::default()
    };
    assert_eq!(seed(&*store, now).await.unwrap(), unchanged);

    let sku = Sku::parse("MUG-ENAMEL").unwrap();
    let mug = store.product_by_sku(&sku).await.unwrap().unwrap();
    let renamed = Details {
        name: "Broken mug".to_owned(),
        ..mug.details.clone()
    };
    let change = Box::new(move |mug: &mut Product| {
        mug.update(renamed, None, now)?;
        mug.adjust_stock(-1, now)
    });
    store.change(mug.id, change).await.unwrap();

    let third = seed(&*store, now).await.unwrap();
    assert_eq!(third.updated, 1);
    let again = store.product_by_sku(&sku).await.unwrap().unwrap();
    assert_eq!(again.details, mug.details);
    assert_eq!(again.id, mug.id);
    assert_eq!(again.stock.available, mug.stock.available - 1);
}
