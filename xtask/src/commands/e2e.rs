//! `cargo xtask e2e`: the way of a commit on a real cluster, through Argo CD.

use std::{net::IpAddr, path::PathBuf};

use crate::{
    e2e::{self, Options},
    output::Format,
};

/// Takes the shop through its whole life on a real cluster with Argo CD and Argo Rollouts.
///
/// Works on a copy of the last commit, with a Git remote and image names of its own. Needs a cluster
/// without environments of Slipway; says what it sees as it goes, and removes what it made when all is
/// well. docs/local-cluster.md says how to make a cluster, and what was measured on one.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  cargo xtask e2e --registry localhost:5001/slipway
  cargo xtask e2e --kubeconfig ~/.kube/kind --registry localhost:5001/slipway --keep
  cargo xtask e2e --registry localhost:5001/slipway --scale 200 --argocd-server http://127.0.0.1:8080")]
pub(crate) struct Args {
    /// The cluster [default: KUBECONFIG, or kubectl's own].
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Where images go that the cluster pulls.
    #[arg(long, value_name = "HOST/PATH")]
    registry: String,
    /// PostgreSQL for staging [default: the chart's].
    #[arg(long, value_name = "REPOSITORY:TAG")]
    postgres_image: Option<String>,
    /// A Prometheus that scrapes the cluster's pods and that Argo Rollouts reaches [default: starts the
    /// `prometheus` on the PATH].
    #[arg(long, value_name = "URL")]
    prometheus: Option<String>,
    /// An address of this machine that the cluster reaches [default: the one that faces its first node].
    #[arg(long, value_name = "IP")]
    address: Option<IpAddr>,
    /// Where node ports are reached [default: the first node's InternalIP].
    #[arg(long, value_name = "HOST")]
    node: Option<String>,
    /// In place of everything else: how Argo CD copes with so many services.
    #[arg(long, value_name = "SERVICES", requires = "argocd_server")]
    scale: Option<usize>,
    /// Argo CD's address: from the promotion on, --wait asks its API, with the token in
    /// ARGOCD_AUTH_TOKEN; and --scale sends it webhooks.
    #[arg(long, value_name = "URL")]
    argocd_server: Option<String>,
    /// Leaves everything as it is at the end.
    #[arg(long)]
    keep: bool,
    #[command(flatten)]
    format: Format,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let report = e2e::run(Options {
        kubeconfig: args.kubeconfig.clone(),
        registry: args.registry.clone(),
        postgres: args.postgres_image.clone(),
        prometheus: args.prometheus.clone(),
        address: args.address,
        node: args.node.clone(),
        scale: args.scale,
        argocd_server: args.argocd_server.clone(),
        keep: args.keep,
    })?;
    args.format.print(&report, || report.table())
}
