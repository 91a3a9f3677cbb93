//! Random interleavings of release, promote, rollback and resume by several runners, against a
//! plain model.

use std::collections::BTreeMap;

use proptest::{
    collection::vec,
    prelude::{ProptestConfig, Strategy},
    proptest,
};

use super::{All, Done, Intent, Pushed, World, release};
use crate::gitops::{Outcome, Repository, history::Action, repository::Prepared};

const SERVICES: [&str; 2] = ["catalog", "orders"];
const SOURCES: usize = 8;

/// What somebody wants. Content is what a source builds to; reverted commits have the content of an
/// earlier one.
#[derive(Clone, Copy, Debug)]
enum Wish {
    Release { service: usize, source: usize },
    Promote { service: usize },
    Rollback { environment: usize, service: usize },
    Resume { environment: usize, service: usize },
}

/// What one environment runs of one service.
#[derive(Clone, Copy, Debug, PartialEq)]
struct State {
    content: usize,
    source: usize,
    held: bool,
}

type Place = (usize, usize);

/// The system in plain words.
#[derive(Default)]
struct Model {
    states: BTreeMap<Place, State>,
    history: Vec<(Action, Place, usize)>,
}

const ENVIRONMENTS: [&str; 2] = ["staging", "production"];

fn content(source: usize) -> usize {
    source % 3
}

impl Model {
    /// What comes of a wish; an error where there is nothing to do it to.
    fn grant(&mut self, wish: Wish) -> Result<Done, ()> {
        let (action, place, next) = match wish {
            Wish::Release { service, source } => {
                let place = (0, service);
                match self.states.get(&place) {
                    Some(now) if now.held => return Ok(Done::Held),
                    Some(now) if now.content == content(source) => return Ok(Done::Unchanged),
                    Some(now) if source < now.source => return Ok(Done::Superseded),
                    _ => {}
                }
                (
                    Action::Release,
                    place,
                    State {
                        content: content(source),
                        source,
                        held: false,
                    },
                )
            }
            Wish::Promote { service } => {
                let new = *self.states.get(&(0, service)).ok_or(())?;
                match self.states.get(&(1, service)) {
                    Some(now) if now.held => return Ok(Done::Held),
                    Some(now) if (now.content, now.source) == (new.content, new.source) => {
                        return Ok(Done::Unchanged);
                    }
                    _ => {}
                }
                (Action::Promote, (1, service), State { held: false, ..new })
            }
            Wish::Rollback {
                environment,
                service,
            } => {
                let place = (environment, service);
                let now = *self.states.get(&place).ok_or(())?;
                if now.held {
                    return Ok(Done::Unchanged);
                }
                // All that ever came, in order; the last time that what runs now came; and what
                // came before it.
                let came: Vec<(usize, usize)> = self.came(place);
                let last = came
                    .iter()
                    .rposition(|(content, _)| *content == now.content)
                    .unwrap_or(came.len());
                let (content, source) = *came[..last]
                    .iter()
                    .rev()
                    .find(|(content, _)| *content != now.content)
                    .ok_or(())?;
                (
                    Action::Rollback,
                    place,
                    State {
                        content,
                        source,
                        held: true,
                    },
                )
            }
            Wish::Resume {
                environment,
                service,
            } => {
                let place = (environment, service);
                let now = *self.states.get(&place).ok_or(())?;
                if !now.held {
                    return Ok(Done::Unchanged);
                }
                (Action::Resume, place, State { held: false, ..now })
            }
        };
        self.states.insert(place, next);
        self.history.push((action, place, next.source));
        Ok(match action {
            Action::Release => Done::Released,
            Action::Promote => Done::Promoted,
            Action::Rollback => Done::RolledBack,
            Action::Resume => Done::Resumed,
        })
    }

    fn came(&self, place: Place) -> Vec<(usize, usize)> {
        let deployed = self.history.iter().filter(|(action, at, _)| {
            *at == place && matches!(action, Action::Release | Action::Promote)
        });
        deployed
            .map(|(_, _, source)| (content(*source), *source))
            .collect()
    }
}

fn intent(world: &World, wish: Wish) -> Intent {
    let environment = |number: usize| ENVIRONMENTS[number].to_owned();
    match wish {
        Wish::Release { service, source } => release(vec![world.release(
            SERVICES[service],
            source,
            content(source),
        )]),
        Wish::Promote { service } => Intent::Promote {
            from: environment(0),
            to: environment(1),
            services: Some(vec![SERVICES[service].to_owned()]),
            break_glass: None,
            fix: None,
        },
        Wish::Rollback {
            environment: number,
            service,
        } => Intent::Rollback {
            environment: environment(number),
            service: SERVICES[service].to_owned(),
            version: None,
            reason: "it is broken".to_owned(),
            until: None,
        },
        Wish::Resume {
            environment: number,
            service,
        } => Intent::Resume {
            environment: environment(number),
            service: SERVICES[service].to_owned(),
        },
    }
}

fn wish() -> impl Strategy<Value = Wish> {
    (0..8_u8, 0..2_usize, 0..SERVICES.len(), 0..SOURCES).prop_map(
        |(kind, environment, service, source)| match kind {
            0..=3 => Wish::Release { service, source },
            4..=5 => Wish::Promote { service },
            6 => Wish::Rollback {
                environment,
                service,
            },
            _ => Wish::Resume {
                environment,
                service,
            },
        },
    )
}

/// A run somewhere: between its reading of the tip and its push, others may land.
struct Runner<'a> {
    world: &'a World,
    repository: Repository,
    /// Decided, made ready, and not pushed yet.
    ready: Option<(Wish, Outcome, String)>,
}

impl Runner<'_> {
    fn begin(&mut self, wish: Wish, model: &mut Model) {
        match self.repository.prepare(&intent(self.world, wish), &All) {
            Err(error) => assert_eq!(model.grant(wish), Err(()), "{error:#}"),
            Ok(Prepared {
                outcome,
                commit: Some(commit),
            }) => self.ready = Some((wish, outcome, commit)),
            Ok(Prepared {
                outcome,
                commit: None,
            }) => assert_eq!(model.grant(wish), Ok(outcome.services[0].action)),
        }
    }

    fn finish(&mut self, model: &mut Model) {
        // Where others landed first, the wish is decided anew.
        while let Some((wish, outcome, commit)) = self.ready.take() {
            match self.repository.push(&commit).expect("an answer") {
                Pushed::Landed => assert_eq!(model.grant(wish), Ok(outcome.services[0].action)),
                Pushed::Moved(_) => self.begin(wish, model),
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6, ..ProptestConfig::default() })]
    #[test]
    fn any_interleaving_is_some_order_of_the_same_wishes(steps in vec((0..3_usize, wish()), 10..30)) {
        let world = World::new(SOURCES);
        let mut model = Model::default();
        let mut runners: Vec<Runner<'_>> = (0..3).map(|_| Runner { world: &world, repository: world.repository(), ready: None }).collect();
        for (number, wish) in steps {
            let runner = &mut runners[number];
            if runner.ready.is_some() {
                runner.finish(&mut model);
            } else {
                runner.begin(wish, &mut model);
            }
        }
        for runner in &mut runners {
            runner.finish(&mut model);
        }

        let repository = world.repository();
        let snapshot = repository.snapshot().expect("the tip");
        let source_of = |id: &str| world.sources.iter().position(|source| source == id).expect("a known source");
        for (environment, name) in ENVIRONMENTS.iter().enumerate() {
            for (service, service_name) in SERVICES.iter().enumerate() {
                let record = snapshot.record(name, service_name).expect("readable");
                let found = record.map(|record| State {
                    content: content(source_of(&record.source)),
                    source: source_of(&record.source),
                    held: record.hold.is_some(),
                });
                assert_eq!(found, model.states.get(&(environment, service)).copied());
            }
        }
        let history: Vec<(Action, Place, usize)> = repository
            .history()
            .expect("a history")
            .iter()
            .map(|entry| {
                let environment = ENVIRONMENTS.iter().position(|name| *name == entry.environment).expect("known");
                let service = SERVICES.iter().position(|name| *name == entry.service).expect("known");
                (entry.action, (environment, service), source_of(&entry.source))
            })
            .collect();
        assert_eq!(history, model.history);
    }
}
