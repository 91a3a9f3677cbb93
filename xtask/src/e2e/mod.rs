//! The way of a commit on a real cluster: Argo CD, rolls under traffic, promotion, failures, canaries, mistakes.

mod begin;
mod cluster;
mod failures;
mod mistakes;
mod place;
mod prometheus;
mod report;
mod rolls;
mod scale;
mod server;
mod traffic;

use std::{net::IpAddr, path::PathBuf, time::Duration};

use anyhow::Context;

pub(crate) use report::Report;

use self::{
    cluster::Cluster, place::Place, prometheus::Prometheus, server::GitServer, traffic::Traffic,
};
use crate::config::{self, Config, Overrides};

/// Where it runs, and with what.
pub(crate) struct Options {
    pub(crate) kubeconfig: Option<PathBuf>,
    /// Where images are pushed and pulled: host and path.
    pub(crate) registry: String,
    /// In place of the chart's image of PostgreSQL: repository and tag.
    pub(crate) postgres: Option<String>,
    /// One that scrapes the cluster, in place of one that is started here.
    pub(crate) prometheus: Option<String>,
    /// An address of this machine that the cluster reaches.
    pub(crate) address: Option<IpAddr>,
    /// Where the cluster's node ports are reached.
    pub(crate) node: Option<String>,
    /// How many generated services an ApplicationSet gets.
    pub(crate) scale: Option<usize>,
    /// Argo CD's address, for its API and for a webhook.
    pub(crate) argocd_server: Option<String>,
    /// Leave everything as it is at the end.
    pub(crate) keep: bool,
}

/// What all steps share.
struct World {
    cluster: Cluster,
    place: Place,
    git: GitServer,
    prometheus: Option<Prometheus>,
    options: Options,
    /// Where node ports are reached.
    node: String,
    /// Where images are in slipway.toml, and where this run's are.
    registries: [String; 2],
    report: Report,
    /// The commit that made the gateway what it is since the last of the rolls.
    gateway_before: String,
}

/// The environments of the copy, as in slipway.toml.
const STAGING: &str = "staging";
const PRODUCTION: &str = "production";
const SERVICES: [&str; 4] = ["catalog", "fulfilment", "gateway", "orders"];

/// Longer than any rollout here should take.
const PATIENCE: Duration = Duration::from_secs(240);

/// Runs all steps, and returns what each of them measured. The first that fails ends it.
pub(crate) fn run(options: Options) -> anyhow::Result<Report> {
    let root = config::root()?;
    let config = Config::load(&root, &Overrides::default())?;
    let cluster = Cluster {
        kubeconfig: options.kubeconfig.clone(),
        argocd: config.argocd.namespace,
    };
    begin::clear(&cluster, false)?;
    let node = begin::node(&cluster)?;
    let address = match options.address {
        Some(address) => address,
        None => server::own_address(&node)?,
    };
    let place = Place::create(&root)?;
    let git = GitServer::start(address, &place.folder)?;
    let prometheus = match &options.prometheus {
        Some(_) => None,
        None => Some(Prometheus::start(
            &cluster,
            address,
            &place.folder.join("prometheus"),
            PRODUCTION,
        )?),
    };
    // Versions begin anew with each run, and what a registry has under one is never replaced.
    let now = jiff::Timestamp::now().as_second();
    let registries = [config.registry, format!("{}/e2e-{now}", options.registry)];
    let mut world = World {
        node: options.node.clone().unwrap_or(node),
        cluster,
        place,
        git,
        prometheus,
        options,
        registries,
        report: Report::start(),
        gateway_before: String::new(),
    };
    world.hand_over()?;
    if let Some(services) = world.options.scale {
        world.scale(services)?;
    } else {
        world.first_release()?;
        world.change()?;
        world.rolls()?;
        world.ask_server()?;
        world.promotion()?;
        world.never_ready()?;
        world.broken_migration()?;
        world.missing_image()?;
        world.drift()?;
        world.canary_that_passes()?;
        world.canary_that_fails()?;
        world.drain()?;
        world.lost_application_set()?;
        world.retirement()?;
    }
    if !world.options.keep {
        begin::clear(&world.cluster, true)?;
    }
    Ok(world.report)
}

impl World {
    /// The address of an environment's gateway, through its Service.
    fn shop(&self, environment: &str) -> anyhow::Result<String> {
        let service = self
            .cluster
            .get(&["service", "gateway", "--namespace", environment])?;
        let port = service["spec"]["ports"]
            .as_array()
            .into_iter()
            .flatten()
            .find(|port| port["name"] == "http")
            .and_then(|port| port["nodePort"].as_u64())
            .context("the gateway's Service has no node port for http")?;
        Ok(format!("http://{}:{port}", self.node))
    }

    /// Traffic through an environment's gateway, from now on.
    fn traffic(&self, environment: &str) -> anyhow::Result<Traffic> {
        let shop = self.shop(environment)?;
        let product = begin::product(&shop)?;
        Ok(Traffic::start(&shop, &product))
    }

    /// Releases what changed, and waits. Returns what `--json` says.
    fn release(&self) -> anyhow::Result<serde_json::Value> {
        self.place
            .xtask(&self.cluster, &["release", "--wait", "--json"])?
            .json()
    }

    /// Builds and pushes the image of what is on the branch, so that no compiler runs beside the traffic.
    fn build(&self, service: &str) -> anyhow::Result<()> {
        let arguments = ["image", service, "--push", "--json"];
        self.place.xtask(&self.cluster, &arguments)?.json()?;
        Ok(())
    }

    /// The digest that an environment's pods of a service run; fails where they differ.
    fn digest(&self, environment: &str, service: &str) -> anyhow::Result<String> {
        let pods = self.cluster.pods(environment, service)?;
        let image = |pod: &serde_json::Value| {
            let image = pod["spec"]["containers"][0]["image"].as_str()?;
            Some(image.split_once('@')?.1.to_owned())
        };
        let mut digests: Vec<String> = pods.iter().filter_map(image).collect();
        digests.sort();
        digests.dedup();
        match digests.as_slice() {
            [one] => Ok(one.clone()),
            _ => anyhow::bail!("{environment} runs {service} as {digests:?}"),
        }
    }
}
