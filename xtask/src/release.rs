//! From the services that changed to the record: key, image, version, tags, one commit. Each step finds its own work
//! done, so that the next run finishes what one that was cut off has begun.

use std::{path::Path, time::Instant};

use jiff::Timestamp;
use serde_json::json;

use crate::{
    config::Config,
    gitops::{Done, Intent, Outcome, Record, Release, Repository, ServiceOutcome, Snapshot, Took},
    hint::fail,
    image::{self, registry::Registry},
    version::{Claim, Next, Versions},
    workspace::{self, ContentKey, Service, Workspace},
};

/// How often another run may take the version that this one wants.
const ATTEMPTS: usize = 8;

/// Where services come from and where they go.
pub(crate) struct Place<'a> {
    pub(crate) root: &'a Path,
    pub(crate) config: &'a Config,
    pub(crate) environment: &'a str,
    pub(crate) workspace: &'a Workspace,
    pub(crate) repository: &'a Repository,
    /// What the environments run.
    pub(crate) record: &'a Snapshot,
}

/// A service whose key the environment doesn't run.
struct Candidate {
    service: Service,
    key: ContentKey,
    /// Where its images are: registry and path.
    repository: String,
    record: Option<Record>,
}

/// A candidate that is to be released, and its image where that is there already.
struct Planned {
    candidate: Candidate,
    next: Next,
    image: Option<String>,
}

/// Releases the services that changed: these, or all. `fix` says what was broken, where this is its repair. A dry run
/// says what would be done, and does none of it; images that it would build have no digest yet.
pub(crate) fn release(
    place: &Place<'_>,
    services: &[String],
    fix: Option<String>,
    dry_run: bool,
) -> anyhow::Result<Outcome> {
    let mut outcome = Outcome::of(place.environment);
    let candidates = candidates(place, services, &mut outcome)?;
    if !candidates.is_empty() {
        let mut versions = Versions::open(place.root, place.config)?;
        let registry = Registry::new();
        let planned = plan(place, &versions, &registry, candidates, &mut outcome)?;
        if dry_run {
            let promised = planned.into_iter().map(Planned::promise);
            outcome.services.extend(promised);
        } else {
            let releases = make(place, &mut versions, &registry, planned, &mut outcome)?;
            let intent = Intent::Release {
                environment: place.environment.to_owned(),
                releases,
                fix,
            };
            outcome.add(place.repository.apply(&intent, &registry)?);
        }
    }
    outcome.sort();
    Ok(outcome)
}

impl Planned {
    /// What a dry run says of it.
    fn promise(self) -> ServiceOutcome {
        ServiceOutcome {
            service: self.candidate.service.name,
            action: Done::Released,
            version: self.next.names().0.to_string(),
            reused: self.image.is_some(),
            digest: self.image.unwrap_or_default(),
            key: self.candidate.key.key,
        }
    }
}

/// Sees to it that each has its image and its version.
fn make(
    place: &Place<'_>,
    versions: &mut Versions,
    registry: &Registry,
    planned: Vec<Planned>,
    outcome: &mut Outcome,
) -> anyhow::Result<Vec<Release>> {
    // All images before the first version: where one doesn't build, nothing is released.
    let images = planned
        .iter()
        .map(|planned| publish(place, registry, planned, &mut outcome.took));
    let images = images.collect::<anyhow::Result<Vec<_>>>()?;
    let mut releases = Vec::new();
    for (planned, image) in planned.into_iter().zip(images) {
        releases.extend(name(place, versions, registry, planned, image, outcome)?);
    }
    Ok(releases)
}

/// The services that the environment doesn't run as they are here. What becomes of the others goes into `outcome`.
fn candidates(
    place: &Place<'_>,
    services: &[String],
    outcome: &mut Outcome,
) -> anyhow::Result<Vec<Candidate>> {
    for name in services {
        place.workspace.service(name)?;
    }
    let keys = place.workspace.each_key(|service, key| {
        let wanted = services.is_empty() || services.contains(&service.name);
        Ok(wanted.then(|| (service.clone(), key)))
    })?;
    let now = Timestamp::now();
    let mut candidates = Vec::new();
    for (service, key) in keys.into_iter().flatten() {
        let record = place.record.record(place.environment, &service.name)?;
        let repository = place.config.repository(&service.name);
        if let Some(record) = &record {
            if let Some(hold) = record.held(now) {
                outcome
                    .notes
                    .push(hold.note(place.environment, &service.name));
                outcome.stays(Done::Held, &service.name, record);
                continue;
            }
            if record.key == key.key && record.repository == repository {
                outcome.stays(Done::Unchanged, &service.name, record);
                continue;
            }
        }
        candidates.push(Candidate {
            service,
            key,
            repository,
            record,
        });
    }
    workspace::refuse_dirty(candidates.iter().map(|candidate| &candidate.key))?;
    Ok(candidates)
}

/// The versions of the candidates, and the images that are there already. Those that a later commit has overtaken go
/// into `outcome`.
fn plan(
    place: &Place<'_>,
    versions: &Versions,
    registry: &Registry,
    candidates: Vec<Candidate>,
    outcome: &mut Outcome,
) -> anyhow::Result<Vec<Planned>> {
    let mut planned = Vec::new();
    for candidate in candidates {
        let Some(next) = next(place, versions, &candidate, outcome)? else {
            continue;
        };
        let image = registry.resolve(&candidate.repository, &image::key_tag(&candidate.key.key))?;
        planned.push(Planned {
            candidate,
            next,
            image,
        });
    }
    Ok(planned)
}

/// The candidate's version; none where a later commit has one already, which goes into `outcome`.
fn next(
    place: &Place<'_>,
    versions: &Versions,
    candidate: &Candidate,
    outcome: &mut Outcome,
) -> anyhow::Result<Option<Next>> {
    let Candidate {
        service,
        key,
        record,
        ..
    } = candidate;
    let closure = place.workspace.closure_paths(key);
    let next = versions.next(&service.name, &closure, &key.key)?;
    let Next::Superseded { version, tag } = next else {
        return Ok(Some(next));
    };
    let commit = &versions.source().commit;
    outcome.notes.push(format!(
        "{}: {tag} is at a later commit than {commit}",
        service.name
    ));
    match record {
        Some(record) => outcome.stays(Done::Superseded, &service.name, record),
        None => outcome.services.push(ServiceOutcome {
            service: service.name.clone(),
            action: Done::Superseded,
            version: version.to_string(),
            digest: String::new(),
            key: key.key.clone(),
            reused: false,
        }),
    }
    Ok(None)
}

/// Pushes the image under its key, unless it is there. Returns its digest.
fn publish(
    place: &Place<'_>,
    registry: &Registry,
    planned: &Planned,
    took: &mut Took,
) -> anyhow::Result<String> {
    if let Some(digest) = &planned.image {
        return Ok(digest.clone());
    }
    let Candidate {
        service,
        key,
        repository,
        ..
    } = &planned.candidate;
    eprintln!("{}: building", service.name);
    let begun = Instant::now();
    let image = image::make(place.workspace, service, key)?;
    Took::add(&mut took.build, begun.elapsed());
    let begun = Instant::now();
    let pushed = registry.push(repository, &image, &[&image::key_tag(&key.key)])?;
    Took::add(&mut took.push, begun.elapsed());
    eprintln!(
        "{}: pushed {}, {:.1} MB",
        service.name,
        image.manifest.digest,
        pushed.bytes as f64 / 1e6
    );
    Ok(image.manifest.digest)
}

/// Gives the image its version: the Git tag, which only one run gets, then the tag in the registry.
fn name(
    place: &Place<'_>,
    versions: &mut Versions,
    registry: &Registry,
    planned: Planned,
    digest: String,
    outcome: &mut Outcome,
) -> anyhow::Result<Option<Release>> {
    let Planned {
        candidate,
        mut next,
        image: reused,
    } = planned;
    for _ in 0..ATTEMPTS {
        if let Next::New(new) = &next
            && versions.claim(new, &digest)? == Claim::Taken
        {
            versions.refresh()?;
            match self::next(place, versions, &candidate, outcome)? {
                Some(again) => next = again,
                None => return Ok(None),
            }
            continue;
        }
        let (version, tag) = next.names();
        if let Next::Tagged { digest: tagged, .. } = &next
            && *tagged != digest
        {
            return fail(
                format!("{tag} stands for {tagged}, and the same inputs now gave {digest}"),
                format!(
                    "something outside of the content key changed the image; `cargo xtask rebuild --verify {}@{version}` shows what",
                    candidate.service.name
                ),
            );
        }
        let source = versions.source();
        let about = json!({
            "version": version.to_string(),
            "tag": tag,
            "revision": source.commit,
            "committed": source.committed,
        });
        let repository = candidate.repository;
        let about = about.to_string().into_bytes();
        registry.attach_json(&repository, &digest, image::RELEASE, about)?;
        registry.tag(&repository, &digest, &version.to_string())?;
        eprintln!("{}: {version}, tagged {tag}", candidate.service.name);
        return Ok(Some(Release {
            service: candidate.service.name,
            repository,
            version: version.to_string(),
            digest,
            key: candidate.key.key,
            source: source.commit.clone(),
            committed: source.committed,
            reused: reused.is_some(),
        }));
    }
    fail(
        format!(
            "other runs took each version of {} that this one wanted, {ATTEMPTS} times",
            candidate.service.name
        ),
        "run this again",
    )
}
