//! `cargo xtask chart`: the charts, and what the environments make of them.

use crate::{
    chart::{
        Tree, helm, snapshots,
        suite::{self, Results, Suite},
        tools,
    },
    hint::fail,
    output::Format,
};

/// Looks at, tests, renders and packs the charts.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Looks at the charts and at every environment's values, and says what Argo CD would refuse.
    #[command(after_help = "Example:\n  cargo xtask chart lint --json")]
    Lint(Lint),
    /// Tests everything about the charts that needs no cluster and no network.
    #[command(after_help = "\
Examples:
  cargo xtask chart test
  cargo xtask chart test 'drain'          only the cases whose names have this
  cargo xtask chart test --bless          takes what is rendered for what is right
  cargo xtask chart test --seed 7         the same random names and texts again")]
    Test(Test),
    /// Prints what Argo CD makes of an environment or of one of its services.
    #[command(after_help = "\
Examples:
  cargo xtask chart render staging
  cargo xtask chart render production/gateway | kubectl diff -f -")]
    Render(Render),
    /// Packs the charts into target/charts, for a chart repository.
    #[command(after_help = "Example:\n  cargo xtask chart package microservice")]
    Package(Package),
    /// Builds the programs and schemas of the tests into target/tools; needs Go.
    #[command(after_help = "Example:\n  cargo xtask chart tools")]
    Tools,
}

#[derive(clap::Args)]
struct Lint {
    #[command(flatten)]
    format: Format,
}

#[derive(clap::Args)]
struct Test {
    #[command(flatten)]
    suite: Suite,
    #[command(flatten)]
    format: Format,
}

#[derive(clap::Args)]
struct Render {
    /// An environment, or one of its services.
    #[arg(value_name = "ENVIRONMENT[/SERVICE]")]
    what: String,
}

#[derive(clap::Args)]
struct Package {
    /// A chart [default: all].
    chart: Option<String>,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let tree = Tree::open()?;
    match &args.command {
        Command::Lint(args) => args.run(&tree),
        Command::Test(args) => args.run(&tree),
        Command::Render(args) => args.run(&tree),
        Command::Package(args) => args.run(&tree),
        Command::Tools => tools::install(&tree.tools),
    }
}

impl Lint {
    fn run(&self, tree: &Tree) -> anyhow::Result<()> {
        print(&suite::lint(tree)?, self.format)
    }
}

/// Whether there is a Helm, which [`tested`] needs.
pub(crate) fn has_helm() -> bool {
    Tree::open().is_ok_and(|tree| tools::helm(&tree.tools).is_ok())
}

/// Runs all tests, and says how many passed, failed and were skipped.
pub(crate) fn tested() -> anyhow::Result<[usize; 3]> {
    let results = Suite::default().run(&Tree::open()?)?;
    print!("{}", results.summary());
    Ok([results.passed, results.failed.len(), results.skipped.len()])
}

impl Test {
    fn run(&self, tree: &Tree) -> anyhow::Result<()> {
        print(&self.suite.run(tree)?, self.format)
    }
}

impl Render {
    fn run(&self, tree: &Tree) -> anyhow::Result<()> {
        let helm = tools::helm(&tree.tools)?;
        for deployment in tree.select(&self.what)? {
            match snapshots::render(tree, &helm, &deployment, true)? {
                Ok(text) => print!("{text}"),
                Err(said) => {
                    return fail(
                        format!("{}: {}", deployment.name(), said.trim()),
                        "cargo xtask chart lint names the files and lines",
                    );
                }
            }
        }
        Ok(())
    }
}

impl Package {
    fn run(&self, tree: &Tree) -> anyhow::Result<()> {
        let program = tools::helm(&tree.tools)?;
        let charts = match &self.chart {
            Some(name) => vec![tree.chart(name)?],
            None => tree.charts()?,
        };
        let folder = tree.tools.with_file_name("charts");
        for chart in charts {
            if let Err(said) = helm::package(&program, &chart.folder, &folder)? {
                return fail(
                    said.trim(),
                    "cargo xtask chart lint says what is wrong with it",
                );
            }
            println!("{}", folder.join(format!("{}.tgz", chart.tag())).display());
        }
        Ok(())
    }
}

fn print(results: &Results, format: Format) -> anyhow::Result<()> {
    format.print(results, || results.summary())?;
    match results.failed.len() {
        0 => Ok(()),
        failed => fail(
            format!("{failed} checks failed"),
            "each stands above with its reason",
        ),
    }
}
