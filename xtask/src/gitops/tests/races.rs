//! Many runs at once on one branch.

use std::collections::BTreeMap;

use super::{All, Done, World, release};

/// How many runs there are at once.
const RUNS: usize = 20;

#[test]
fn twenty_runs_for_different_services_all_land_exactly_once() {
    let world = World::new(1);
    std::thread::scope(|scope| {
        for number in 0..RUNS {
            let world = &world;
            scope.spawn(move || {
                let intent = release(vec![world.release(&format!("service-{number}"), 0, number)]);
                let outcome = world.repository().apply(&intent, &All).expect("it lands");
                assert_eq!(outcome.services[0].action, Done::Released);
            });
        }
    });
    let mut landed: BTreeMap<String, usize> = BTreeMap::new();
    for entry in world.repository().history().expect("a history") {
        *landed.entry(entry.service).or_default() += 1;
    }
    assert_eq!(landed.len(), RUNS);
    assert!(landed.values().all(|times| *times == 1), "{landed:?}");
}

#[test]
fn twenty_runs_for_one_service_end_with_the_newest_and_never_go_back() {
    let world = World::new(RUNS);
    let done: Vec<Done> = std::thread::scope(|scope| {
        let runs: Vec<_> = (0..RUNS)
            .map(|number| {
                let world = &world;
                scope.spawn(move || {
                    let intent = release(vec![world.release("catalog", number, number)]);
                    world
                        .repository()
                        .apply(&intent, &All)
                        .expect("it lands or is superseded")
                        .services[0]
                        .action
                })
            })
            .collect();
        runs.into_iter()
            .map(|run| run.join().expect("no panic"))
            .collect()
    });
    let repository = world.repository();
    let landed: Vec<usize> = repository
        .history()
        .expect("a history")
        .iter()
        .map(|entry| {
            world
                .sources
                .iter()
                .position(|source| *source == entry.source)
                .expect("a known source")
        })
        .collect();
    assert!(landed.is_sorted_by(|a, b| a < b), "{landed:?}");
    let released: Vec<usize> = (0..RUNS)
        .filter(|number| done[*number] == Done::Released)
        .collect();
    assert_eq!(landed, released);
    assert!((0..RUNS).all(|number| matches!(done[number], Done::Released | Done::Superseded)));
    let record = repository
        .snapshot()
        .expect("the tip")
        .record("staging", "catalog")
        .expect("readable")
        .expect("there");
    assert_eq!(record.source, world.sources[RUNS - 1]);
}
