//! What every store promises, whatever its database.

use std::{collections::HashMap, sync::Arc, time::Duration};

use catalog::{
    domain::{Currency, Details, Money, NewProduct, Product, Refusal, Sku, Stock},
    error::Error,
    listing::{Listing, Position, folded},
    reservation::{NewLine, NewReservation, Reservation, ReservationState, Settlement},
    store::{self, MIGRATIONS, Store},
};
use proptest::{
    collection::vec,
    prelude::Strategy,
    prop_oneof,
    test_runner::{Config, TestRunner},
};
use testkit::{Backend, TestDatabase};
use time::OffsetDateTime;
use tokio::{runtime::Handle, task::JoinSet};
use uuid::Uuid;

use crate::on_both_databases;

on_both_databases!(
    a_product_comes_back_as_it_was_created,
    a_taken_sku_is_refused,
    a_change_that_is_refused_changes_nothing,
    changes_at_once_all_count,
    pages_show_every_product_once_in_order,
    a_filter_ignores_case_beyond_ascii_and_takes_wildcards_literally,
    a_reservation_takes_all_lines_at_the_prices_of_the_moment,
    a_reservation_that_cannot_have_all_takes_nothing,
    reserving_again_takes_nothing_more,
    a_released_reservation_gives_back_once_and_stays_closed,
    a_release_before_the_reserve_closes_the_order,
    a_committed_reservation_has_shipped_once_and_stays_so,
    an_unknown_reservation_is_not_there,
    a_hundred_reservations_of_the_last_ten_pieces_give_ten,
    one_order_that_reserves_many_times_at_once_takes_once,
    orders_that_lock_the_same_products_in_opposite_order_all_finish,
    release_and_commit_at_once_end_a_reservation_one_way,
    calls_that_are_dropped_halfway_leave_the_stock_whole,
    any_sequence_of_calls_does_what_a_plain_model_does,
);

struct Catalog {
    store: Arc<dyn Store>,
    /// Another replica's store on the same database, for calls at once.
    replica: Arc<dyn Store>,
    _database: TestDatabase,
}

impl Catalog {
    async fn new(backend: Backend) -> Self {
        let database = testkit::database(backend).await;
        let pool = database.connect();
        pool.migrate(MIGRATIONS).await.unwrap();
        Self {
            store: store::open(&pool),
            replica: store::open(&database.connect()),
            _database: database,
        }
    }

    /// The stores of two replicas in turn.
    fn store(&self, turn: usize) -> Arc<dyn Store> {
        [&self.store, &self.replica][turn % 2].clone()
    }

    async fn add(&self, sku: &str, stock: i64) -> Uuid {
        let product = product(sku, stock);
        self.store.create(&product).await.unwrap();
        product.id
    }

    async fn product(&self, id: Uuid) -> Product {
        self.store.products(&[id]).await.unwrap().pop().unwrap()
    }

    /// Available, reserved, shipped.
    async fn stock(&self, id: Uuid) -> (i64, i64, i64) {
        let Stock {
            available,
            reserved,
            shipped,
        } = self.product(id).await.stock;
        (available, reserved, shipped)
    }

    async fn reserve(&self, order_id: Uuid, lines: &[(Uuid, i32)]) -> Result<Reservation, Error> {
        self.store.reserve(&new(order_id, lines), now()).await
    }

    async fn release(&self, order_id: Uuid) -> Result<Reservation, Error> {
        let release = Settlement::Release;
        self.store.settle(order_id, release, now()).await
    }

    async fn commit(&self, order_id: Uuid) -> Result<Reservation, Error> {
        let commit = Settlement::Commit;
        self.store.settle(order_id, commit, now()).await
    }
}

fn now() -> OffsetDateTime {
    OffsetDateTime::now_utc().truncate_to_microsecond()
}

fn price(minor_units: i64) -> Money {
    Money {
        currency: Currency::parse("EUR").unwrap(),
        minor_units,
    }
}

fn product(sku: &str, stock: i64) -> Product {
    let new = NewProduct {
        sku: Sku::parse(sku).unwrap(),
        details: Details {
            name: format!("Name of {sku}"),
            description: "Größe: 12 mm".to_owned(),
            price: price(1_290),
        },
        stock,
    };
    Product::new(Uuid::now_v7(), new, now())
}

fn new(order_id: Uuid, lines: &[(Uuid, i32)]) -> NewReservation {
    let line = |&(product_id, quantity): &(Uuid, i32)| NewLine {
        product_id,
        quantity,
    };
    NewReservation {
        order_id,
        currency: Currency::parse("EUR").unwrap(),
        lines: lines.iter().map(line).collect(),
    }
}

fn refusal<T: std::fmt::Debug>(answer: Result<T, Error>) -> Refusal {
    match answer {
        Err(Error::Refused(refusal)) => refusal,
        other => panic!("not refused: {other:?}"),
    }
}

async fn a_product_comes_back_as_it_was_created(backend: Backend) {
    let catalog = Catalog::new(backend).await;
    let rope = product("ROPE-12", 7);
    catalog.store.create(&rope).await.unwrap();
    let lamp = product("LAMP", i64::MAX);
    catalog.store.create(&lamp).await.unwrap();

    assert_eq!(catalog.product(rope.id).await, rope);
    let by_sku = catalog.store.product_by_sku(&lamp.sku).await.unwrap();
    assert_eq!(by_sku.as_ref(), Some(&lamp));
    let both = [lamp.id, Uuid::now_v7(), rope.id, lamp.id];
    let both = catalog.store.products(&both).await.unwrap();
    assert_eq!(both, [rope, lamp], "in the order of their ids, each once");
    let unknown = Sku::parse("ROPE-13").unwrap();
    assert_eq!(catalog.store.product_by_sku(&unknown).await.unwrap(), None);
}

async fn a_taken_sku_is_refused(backend: Backend) {
    let catalog = Catalog::new(backend).await;
    let id = catalog.add("ROPE-12", 7).await;

    let again = product("ROPE-12", 9);
    let sku = again.sku.clone();
    let refused = refusal(catalog.store.create(&again).await);
    assert_eq!(refused, Refusal::SkuTaken { sku });
    assert_eq!(catalog.stock(id).await, (7, 0, 0));
    assert!(
        catalog
            .store
            .products(&[again.id])
            .await
            .unwrap()
            .is_empty()
    );
}

async fn a_change_that_is_refused_changes_nothing(backend: Backend) {
    let catalog = Catalog::new(backend).await;
    let id = catalog.add("ROPE-12", 7).await;
    let before = catalog.product(id).await;

    let half_done = Box::new(|product: &mut Product| {
        product.set_stock(Stock::default(), now());
        Err(product.out_of_stock(1))
    });
    refusal(catalog.store.change(id, half_done).await);
    assert_eq!(catalog.product(id).await, before);

    let nothing = Box::new(|_: &mut Product| Ok(()));
    let product_id = Uuid::now_v7();
    let refused = refusal(catalog.store.change(product_id, nothing).await);
    assert_eq!(refused, Refusal::ProductNotFound { product_id });
}

async fn changes_at_once_all_count(backend: Backend) {
    let catalog = Catalog::new(backend).await;
    let id = catalog.add("ROPE-12", 0).await;

    let mut calls = JoinSet::new();
    for i in 0..50 {
        let store = catalog.store(i);
        let add = Box::new(|product: &mut Product| product.adjust_stock(2, now()));
        calls.spawn(async move { store.change(id, add).await.unwrap() });
    }
    let revisions = calls.join_all().await;
    let mut revisions: Vec<_> = revisions.iter().map(|product| product.revision).collect();
    revisions.sort_unstable();
    assert_eq!(revisions, (2..=51).collect::<Vec<_>>());
    assert_eq!(catalog.stock(id).await, (100, 0, 0));
}

async fn pages_show_every_product_once_in_order(backend: Backend) {
    let catalog = Catalog::new(backend).await;
    // Names twice, names whose order differs between code points and any language's rules.
    let names = [
        "b", "a", "Z", "é", "e", "a", "ab", "a b", "Straße", "b", "10", "9",
    ];
    for (i, name) in names.iter().enumerate() {
        let mut product = product(&format!("SKU-{i}"), 1);
        product.details.name = (*name).to_owned();
        catalog.store.create(&product).await.unwrap();
    }

    for page_size in [1, 5, 12, 13] {
        let mut listing = Listing {
            filter: String::new(),
            page_size,
            after: Position::default(),
        };
        let mut seen = Vec::new();
        loop {
            let found = catalog.store.list(&listing).await.unwrap();
            let more = found.len() > page_size;
            let (page, token) = listing.page(found);
            assert_eq!(token.is_empty(), !more);
            seen.extend(page.into_iter().map(|p| (p.details.name, p.id)));
            if !more {
                break;
            }
            let (name, id) = seen.last().unwrap().clone();
            listing.after = Position { name, id };
        }
        let mut sorted = seen.clone();
        sorted.sort();
        assert_eq!(seen, sorted);
        seen.dedup();
        assert_eq!(seen.len(), names.len());
    }
}

async fn a_filter_ignores_case_beyond_ascii_and_takes_wildcards_literally(backend: Backend) {
    let catalog = Catalog::new(backend).await;
    for (sku, name, description) in [
        ("ROPE-12", "Tauwerk STRASSE", "fürs Boot"),
        ("MUG-1", "Becher", "100% Emaille, C:\\_Tasse'\""),
        ("MUG-2", "Άγκυρα", ""),
    ] {
        let mut product = product(sku, 1);
        product.details.name = name.to_owned();
        product.details.description = description.to_owned();
        catalog.store.create(&product).await.unwrap();
    }

    for (filter, expected) in [
        ("", vec!["MUG-1", "ROPE-12", "MUG-2"]),
        ("straße", vec!["ROPE-12"]),
        ("FÜRS", vec!["ROPE-12"]),
        ("άΓΚΥρα", vec!["MUG-2"]),
        ("mug-", vec!["MUG-1", "MUG-2"]),
        ("%", vec!["MUG-1"]),
        ("0% e", vec!["MUG-1"]),
        ("_t", vec!["MUG-1"]),
        ("\\", vec!["MUG-1"]),
        ("'\"", vec!["MUG-1"]),
        ("___", vec![]),
        // One field after the other is no match.
        ("becher100", vec![]),
    ] {
        let listing = Listing {
            filter: folded(filter),
            page_size: 10,
            after: Position::default(),
        };
        let found = catalog.store.list(&listing).await.unwrap();
        let found: Vec<_> = found.iter().map(|product| product.sku.as_str()).collect();
        assert_eq!(found, expected, "{filter}");
    }
}

async fn a_reservation_takes_all_lines_at_the_prices_of_the_moment(backend: Backend) {
    let catalog = Catalog::new(backend).await;
    let rope = catalog.add("ROPE-12", 7).await;
    let lamp = catalog.add("LAMP", 2).await;
    let order_id = Uuid::new_v4();

    let reserved = catalog.reserve(order_id, &[(lamp, 2), (rope, 3)]).await;
    let reserved = reserved.unwrap();
    assert_eq!(reserved.state, ReservationState::Held);
    let lines: Vec<_> = reserved
        .lines
        .iter()
        .map(|line| (line.product_id, line.quantity, line.sku.as_str()))
        .collect();
    assert_eq!(lines, [(lamp, 2, "LAMP"), (rope, 3, "ROPE-12")]);
    assert_eq!(catalog.stock(rope).await, (4, 3, 0));
    assert_eq!(catalog.stock(lamp).await, (0, 2, 0));
    assert_eq!(catalog.product(rope).await.revision, 2);

    let dearer = Details {
        name: "Another name".to_owned(),
        description: String::new(),
        price: price(99_999),
    };
    let update = Box::new(|product: &mut Product| product.update(dearer, Some(2), now()));
    catalog.store.change(rope, update).await.unwrap();
    let kept = catalog.store.reservation(order_id).await.unwrap();
    assert_eq!(kept.as_ref(), Some(&reserved));
    assert_eq!(kept.unwrap().lines[1].unit_price, price(1_290));
}

async fn a_reservation_that_cannot_have_all_takes_nothing(backend: Backend) {
    let catalog = Catalog::new(backend).await;
    let rope = catalog.add("ROPE-12", 7).await;
    let lamp = catalog.add("LAMP", 2).await;
    let unknown = Uuid::now_v7();

    let order_id = Uuid::new_v4();
    let short = refusal(catalog.reserve(order_id, &[(rope, 1), (lamp, 3)]).await);
    let expected = Refusal::OutOfStock {
        product_id: lamp,
        name: "Name of LAMP".to_owned(),
        requested: 3,
        available: 2,
    };
    assert_eq!(short, expected);
    let missing = refusal(catalog.reserve(order_id, &[(rope, 1), (unknown, 1)]).await);
    let expected = Refusal::ProductNotFound {
        product_id: unknown,
    };
    assert_eq!(missing, expected);
    let dollars = NewReservation {
        currency: Currency::parse("USD").unwrap(),
        ..new(order_id, &[(rope, 1)])
    };
    let mismatch = refusal(catalog.store.reserve(&dollars, now()).await);
    assert!(matches!(mismatch, Refusal::CurrencyMismatch { product_id, .. } if product_id == rope));

    assert_eq!(catalog.stock(rope).await, (7, 0, 0));
    assert_eq!(catalog.stock(lamp).await, (2, 0, 0));
    assert_eq!(catalog.store.reservation(order_id).await.unwrap(), None);
    // The refusals bind nobody: the order may reserve what there is.
    catalog.reserve(order_id, &[(lamp, 2)]).await.unwrap();
}

async fn reserving_again_takes_nothing_more(backend: Backend) {
    let catalog = Catalog::new(backend).await;
    let rope = catalog.add("ROPE-12", 7).await;
    let lamp = catalog.add("LAMP", 2).await;
    let order_id = Uuid::new_v4();
    let lines = [(rope, 3), (lamp, 2)];
    let first = catalog.reserve(order_id, &lines).await.unwrap();

    let again = catalog.reserve(order_id, &lines).await.unwrap();
    assert_eq!(again, first);
    let turned = [(lamp, 2), (rope, 3)];
    let again = catalog.reserve(order_id, &turned).await.unwrap();
    assert_eq!(again, first);
    let mismatch = Refusal::ReservationMismatch { order_id };
    for other in [
        &[(rope, 3)][..],
        &[(rope, 2), (lamp, 2)],
        &[(rope, 3), (lamp, 2), (Uuid::now_v7(), 1)],
    ] {
        assert_eq!(refusal(catalog.reserve(order_id, other).await), mismatch);
    }
    let dollars = NewReservation {
        currency: Currency::parse("USD").unwrap(),
        ..new(order_id, &lines)
    };
    let dollars = catalog.store.reserve(&dollars, now()).await;
    assert_eq!(refusal(dollars), mismatch);

    catalog.commit(order_id).await.unwrap();
    let shipped = catalog.reserve(order_id, &lines).await.unwrap();
    assert_eq!(shipped.state, ReservationState::Committed);
    assert_eq!(catalog.stock(rope).await, (4, 0, 3));
    assert_eq!(catalog.stock(lamp).await, (0, 0, 2));
}

async fn a_released_reservation_gives_back_once_and_stays_closed(backend: Backend) {
    let catalog = Catalog::new(backend).await;
    let rope = catalog.add("ROPE-12", 7).await;
    let order_id = Uuid::new_v4();
    catalog.reserve(order_id, &[(rope, 3)]).await.unwrap();

    let released = catalog.release(order_id).await.unwrap();
    assert_eq!(released.state, ReservationState::Released);
    assert_eq!(released.lines.len(), 1);
    assert_eq!(catalog.release(order_id).await.unwrap(), released);
    let kept = catalog.store.reservation(order_id).await.unwrap();
    assert_eq!(kept, Some(released));
    let closed = Refusal::ReservationClosed { order_id };
    assert_eq!(refusal(catalog.commit(order_id).await), closed);
    let again = catalog.reserve(order_id, &[(rope, 3)]).await;
    assert_eq!(refusal(again), closed);
    assert_eq!(catalog.stock(rope).await, (7, 0, 0));
}

async fn a_release_before_the_reserve_closes_the_order(backend: Backend) {
    let catalog = Catalog::new(backend).await;
    let rope = catalog.add("ROPE-12", 7).await;
    let order_id = Uuid::new_v4();

    let released = catalog.release(order_id).await.unwrap();
    assert_eq!(released.state, ReservationState::Released);
    assert_eq!(released.lines, []);
    assert_eq!(catalog.release(order_id).await.unwrap(), released);
    let late = catalog.reserve(order_id, &[(rope, 1)]).await;
    assert_eq!(refusal(late), Refusal::ReservationClosed { order_id });
    assert_eq!(catalog.stock(rope).await, (7, 0, 0));
}

async fn a_committed_reservation_has_shipped_once_and_stays_so(backend: Backend) {
    let catalog = Catalog::new(backend).await;
    let rope = catalog.add("ROPE-12", 7).await;
    let order_id = Uuid::new_v4();
    catalog.reserve(order_id, &[(rope, 3)]).await.unwrap();

    let committed = catalog.commit(order_id).await.unwrap();
    assert_eq!(committed.state, ReservationState::Committed);
    assert_eq!(catalog.commit(order_id).await.unwrap(), committed);
    let refused = refusal(catalog.release(order_id).await);
    assert_eq!(refused, Refusal::ReservationCommitted { order_id });
    assert_eq!(catalog.stock(rope).await, (4, 0, 3));
}

async fn an_unknown_reservation_is_not_there(backend: Backend) {
    let catalog = Catalog::new(backend).await;
    let order_id = Uuid::new_v4();
    assert_eq!(catalog.store.reservation(order_id).await.unwrap(), None);
    let refused = refusal(catalog.commit(order_id).await);
    assert_eq!(refused, Refusal::ReservationNotFound { order_id });
    // Committing what isn't there leaves no tombstone, as releasing it does.
    assert_eq!(catalog.store.reservation(order_id).await.unwrap(), None);
}

async fn a_hundred_reservations_of_the_last_ten_pieces_give_ten(backend: Backend) {
    let catalog = Catalog::new(backend).await;
    let rope = catalog.add("ROPE-12", 10).await;

    let mut calls = JoinSet::new();
    for i in 0..100 {
        let store = catalog.store(i);
        let new = new(Uuid::new_v4(), &[(rope, 1)]);
        calls.spawn(async move { store.reserve(&new, now()).await });
    }
    let answers = calls.join_all().await;
    let (reserved, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
    assert_eq!(reserved.len(), 10);
    for answer in refused {
        assert!(matches!(
            refusal(answer),
            Refusal::OutOfStock { available: 0, .. }
        ));
    }
    assert_eq!(catalog.stock(rope).await, (0, 10, 0));
}

async fn one_order_that_reserves_many_times_at_once_takes_once(backend: Backend) {
    let catalog = Catalog::new(backend).await;
    let rope = catalog.add("ROPE-12", 7).await;
    let order_id = Uuid::new_v4();

    let mut calls = JoinSet::new();
    for i in 0..20 {
        let store = catalog.store(i);
        let new = new(order_id, &[(rope, 5)]);
        calls.spawn(async move { store.reserve(&new, now()).await.unwrap() });
    }
    let answers = calls.join_all().await;
    assert!(answers.iter().all(|answer| *answer == answers[0]));
    assert_eq!(catalog.stock(rope).await, (2, 5, 0));
}

async fn orders_that_lock_the_same_products_in_opposite_order_all_finish(backend: Backend) {
    let catalog = Catalog::new(backend).await;
    let rope = catalog.add("ROPE-12", 1_000).await;
    let lamp = catalog.add("LAMP", 1_000).await;
    let mug = catalog.add("MUG", 1_000).await;

    let mut calls = JoinSet::new();
    for i in 0..60 {
        let store = catalog.store(i / 2);
        let mut lines = [(rope, 1), (lamp, 1), (mug, 1)];
        lines.rotate_left(i % 3);
        if i % 2 == 0 {
            lines.reverse();
        }
        let new = new(Uuid::new_v4(), &lines);
        let settlement = [Settlement::Release, Settlement::Commit][i % 2];
        calls.spawn(async move {
            store.reserve(&new, now()).await.unwrap();
            store.settle(new.order_id, settlement, now()).await.unwrap();
        });
    }
    calls.join_all().await;
    for id in [rope, lamp, mug] {
        assert_eq!(catalog.stock(id).await, (970, 0, 30));
    }
}

async fn release_and_commit_at_once_end_a_reservation_one_way(backend: Backend) {
    let catalog = Catalog::new(backend).await;
    let rope = catalog.add("ROPE-12", 20).await;
    let mut committed = 0;
    for _ in 0..20 {
        let order_id = Uuid::new_v4();
        catalog.reserve(order_id, &[(rope, 1)]).await.unwrap();
        let (release, commit) = tokio::join!(catalog.release(order_id), catalog.commit(order_id));
        match (release, commit) {
            (Ok(_), Err(Error::Refused(Refusal::ReservationClosed { .. }))) => {}
            (Err(Error::Refused(Refusal::ReservationCommitted { .. })), Ok(_)) => committed += 1,
            both => panic!("{both:?}"),
        }
    }
    assert_eq!(catalog.stock(rope).await, (20 - committed, 0, committed));
}

async fn calls_that_are_dropped_halfway_leave_the_stock_whole(backend: Backend) {
    let catalog = Catalog::new(backend).await;
    let rope = catalog.add("ROPE-12", 1_000).await;
    let lamp = catalog.add("LAMP", 1_000).await;

    let mut orders = Vec::new();
    for i in 0..60 {
        let order_id = Uuid::new_v4();
        orders.push(order_id);
        let lines = [(rope, 1), (lamp, 2)];
        let call = catalog.reserve(order_id, &lines);
        // Whether it comes in time doesn't matter here.
        let _ = tokio::time::timeout(Duration::from_micros(i * 50), call).await;
    }
    // Writers queue behind those that were dropped.
    let last = Uuid::new_v4();
    orders.push(last);
    let lines = [(rope, 1), (lamp, 2)];
    catalog.reserve(last, &lines).await.unwrap();
    let mut held = 0;
    for order_id in orders {
        let reservation = catalog.store.reservation(order_id).await.unwrap();
        held += i64::from(reservation.is_some_and(|reservation| reservation.lines.len() == 2));
    }
    assert_eq!(catalog.stock(rope).await, (1_000 - held, held, 0));
    assert_eq!(catalog.stock(lamp).await, (1_000 - 2 * held, 2 * held, 0));
}

#[derive(Debug, Clone)]
enum Call {
    /// The product, and how many pieces.
    Adjust(usize, i64),
    /// The order, and how many pieces of each product.
    Reserve(usize, [i32; 3]),
    Release(usize),
    Commit(usize),
}

fn call() -> impl Strategy<Value = Call> {
    let lines = || proptest::array::uniform3(0..4_i32);
    prop_oneof![
        (0..3_usize, -4..8_i64).prop_map(|(product, delta)| Call::Adjust(product, delta)),
        (0..4_usize, lines())
            .prop_filter("some line", |(_, lines)| *lines != [0; 3])
            .prop_map(|(order, lines)| Call::Reserve(order, lines)),
        (0..4_usize, lines())
            .prop_filter("some line", |(_, lines)| *lines != [0; 3])
            .prop_map(|(order, lines)| Call::Reserve(order, lines)),
        (0..4_usize).prop_map(Call::Release),
        (0..4_usize).prop_map(Call::Commit),
    ]
}

/// The store's promises in the simplest words: it gives each call's outcome.
#[derive(Default)]
struct Model {
    stock: [Stock; 3],
    orders: HashMap<usize, (ReservationState, [i32; 3])>,
}

impl Model {
    fn apply(&mut self, call: &Call) -> &'static str {
        use ReservationState::{Committed, Held, Released};
        match *call {
            Call::Adjust(product, delta) => {
                let available = self.stock[product].available + delta;
                if available < 0 {
                    return "out of stock";
                }
                self.stock[product].available = available;
            }
            Call::Reserve(order, lines) => match self.orders.get(&order) {
                Some((Released, _)) => return "closed",
                Some((_, same)) if *same == lines => {}
                Some(_) => return "mismatch",
                None => {
                    let short = |i: usize| self.stock[i].available < i64::from(lines[i]);
                    if (0..3).any(short) {
                        return "out of stock";
                    }
                    self.shift(lines, |stock, pieces| {
                        stock.available -= pieces;
                        stock.reserved += pieces;
                    });
                    self.orders.insert(order, (Held, lines));
                }
            },
            Call::Release(order) => match self.orders.get(&order).copied() {
                None => {
                    self.orders.insert(order, (Released, [0; 3]));
                }
                Some((Committed, _)) => return "committed",
                Some((Released, _)) => {}
                Some((Held, lines)) => {
                    self.shift(lines, |stock, pieces| {
                        stock.reserved -= pieces;
                        stock.available += pieces;
                    });
                    self.orders.insert(order, (Released, lines));
                }
            },
            Call::Commit(order) => match self.orders.get(&order).copied() {
                None => return "not found",
                Some((Released, _)) => return "closed",
                Some((Committed, _)) => {}
                Some((Held, lines)) => {
                    self.shift(lines, |stock, pieces| {
                        stock.reserved -= pieces;
                        stock.shipped += pieces;
                    });
                    self.orders.insert(order, (Committed, lines));
                }
            },
        }
        "done"
    }

    fn shift(&mut self, lines: [i32; 3], mut one: impl FnMut(&mut Stock, i64)) {
        for (stock, quantity) in self.stock.iter_mut().zip(lines) {
            one(stock, i64::from(quantity));
        }
    }
}

fn outcome<T>(answer: Result<T, Error>) -> &'static str {
    match answer {
        Ok(_) => "done",
        Err(Error::Refused(Refusal::OutOfStock { .. })) => "out of stock",
        Err(Error::Refused(Refusal::ReservationClosed { .. })) => "closed",
        Err(Error::Refused(Refusal::ReservationCommitted { .. })) => "committed",
        Err(Error::Refused(Refusal::ReservationMismatch { .. })) => "mismatch",
        Err(Error::Refused(Refusal::ReservationNotFound { .. })) => "not found",
        Err(other) => panic!("{other}"),
    }
}

async fn any_sequence_of_calls_does_what_a_plain_model_does(backend: Backend) {
    let catalog = Catalog::new(backend).await;
    let config = Config {
        cases: 24,
        failure_persistence: None,
        ..Config::default()
    };
    tokio::task::block_in_place(|| {
        TestRunner::new(config).run(&vec(call(), 1..40), |calls| {
            Handle::current().block_on(compare_with_model(&catalog, &calls));
            Ok(())
        })
    })
    .unwrap();
}

async fn compare_with_model(catalog: &Catalog, calls: &[Call]) {
    let mut products = Vec::new();
    for _ in 0..3 {
        let sku = Uuid::new_v4().simple().to_string().to_uppercase();
        products.push(catalog.add(&sku, 0).await);
    }
    let orders: Vec<_> = (0..4).map(|_| Uuid::new_v4()).collect();
    let mut model = Model::default();
    for call in calls {
        let expected = model.apply(call);
        let actual = match *call {
            Call::Adjust(product, delta) => {
                let adjust =
                    Box::new(move |product: &mut Product| product.adjust_stock(delta, now()));
                outcome(catalog.store.change(products[product], adjust).await)
            }
            Call::Reserve(order, quantities) => {
                let lines: Vec<_> = products.iter().copied().zip(quantities).collect();
                let lines: Vec<_> = lines.into_iter().filter(|line| line.1 > 0).collect();
                outcome(catalog.reserve(orders[order], &lines).await)
            }
            Call::Release(order) => outcome(catalog.release(orders[order]).await),
            Call::Commit(order) => outcome(catalog.commit(orders[order]).await),
        };
        assert_eq!(actual, expected, "{call:?}");
        for (id, stock) in products.iter().zip(model.stock) {
            assert_eq!(catalog.product(*id).await.stock, stock, "after {call:?}");
        }
    }
}
