//! The demo catalogue that is built in.

use anyhow::Context;
use proto::catalog::v1;
use serde::Deserialize;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    domain::{Product, Refusal},
    error::Error,
    store::Store,
    validation,
};

const PRODUCTS: &str = include_str!("../seed/products.json");

#[derive(Deserialize)]
struct Entry {
    sku: String,
    name: String,
    description: String,
    price_minor: i64,
    currency: String,
    stock: i64,
}

/// What a run has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Seeded {
    /// Products that weren't there.
    pub created: usize,
    /// Products whose details differed.
    pub updated: usize,
    /// Products that were as they should be.
    pub unchanged: usize,
}

/// Creates the products that are missing by their SKU, with stock, and gives those that are there
/// the built-in details; their stock stays as it is. Running it again changes nothing.
///
/// # Errors
/// When the database fails; what was done before stays.
pub async fn seed(store: &dyn Store, now: OffsetDateTime) -> anyhow::Result<Seeded> {
    let entries: Vec<Entry> = serde_json::from_str(PRODUCTS)?;
    let mut seeded = Seeded::default();
    for entry in entries {
        let sku = entry.sku.clone();
        let done = upsert(store, entry, now, &mut seeded).await;
        done.with_context(|| format!("cannot seed {sku}"))?;
    }
    Ok(seeded)
}

async fn upsert(
    store: &dyn Store,
    entry: Entry,
    now: OffsetDateTime,
    seeded: &mut Seeded,
) -> anyhow::Result<()> {
    let new = validation::create_product(v1::CreateProductRequest {
        sku: entry.sku,
        name: entry.name,
        description: entry.description,
        price: Some(v1::Money {
            currency: entry.currency,
            minor_units: entry.price_minor,
        }),
        stock: entry.stock,
    })?;
    let product = Product::new(Uuid::now_v7(), new, now);
    match store.create(&product).await {
        Err(Error::Refused(Refusal::SkuTaken { sku })) => {
            let there = store.product_by_sku(&sku).await?;
            let there = there.context("the product that had this SKU is gone")?;
            if there.details == product.details {
                seeded.unchanged += 1;
                return Ok(());
            }
            let update = move |there: &mut Product| there.update(product.details, None, now);
            store.change(there.id, Box::new(update)).await?;
            seeded.updated += 1;
        }
        created => {
            created?;
            seeded.created += 1;
        }
    }
    Ok(())
}
