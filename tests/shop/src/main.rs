//! The journey: one suite that walks through a running shop as a customer does, through the REST API, through the
//! pages without script, and through a real Chromium. It knows the shop by its address only.

mod api;
mod bad_input;
mod browser;
mod html;
mod pages;
mod raw;

use std::{path::PathBuf, process::ExitCode, sync::Arc};

use clap::Parser;
use libtest_mimic::{Arguments, Trial};
use shop::Shop;
use tokio::runtime::Runtime;

/// Walks through a running shop that sells the demo catalogue, as a customer does.
#[derive(Parser)]
#[command(
    name = "shop",
    help_template = "{about}\n\n{usage-heading} {usage}\n\n{all-args}{after-help}"
)]
#[command(after_help = "\
Examples:
  shop --base-url http://127.0.0.1:8080                      all of it, in order
  shop --base-url http://127.0.0.1:8080 --skip browser::     without Chromium
  shop --base-url http://127.0.0.1:8080 api::                the REST API only
  shop --base-url http://127.0.0.1:8080 browser::a_visit --screenshots docs/shop")]
struct Options {
    /// The shop's address, as printed by `cargo xtask up`.
    #[arg(long, env = "SHOP_URL", value_name = "URL", value_parser = base_url, default_value = "http://127.0.0.1:8080")]
    base_url: String,
    /// Writes pictures of the pages to this folder: desktop and phone, light and dark.
    #[arg(long, value_name = "FOLDER")]
    screenshots: Option<PathBuf>,
    #[command(flatten)]
    libtest: Arguments,
}

fn base_url(text: &str) -> Result<String, String> {
    let url = reqwest::Url::parse(text).map_err(|error| error.to_string())?;
    match (url.scheme(), url.path()) {
        ("http", "/") => Ok(text.trim_end_matches('/').to_owned()),
        _ => Err("takes http://HOST:PORT without a path".to_owned()),
    }
}

/// What the trials are made of.
struct Journey {
    runtime: Arc<Runtime>,
    shop: Shop,
}

impl Journey {
    fn trial<F: Future<Output = ()>>(
        &self,
        name: impl Into<String>,
        step: impl FnOnce(Shop) -> F + Send + 'static,
    ) -> Trial {
        let (runtime, shop) = (self.runtime.clone(), self.shop.clone());
        Trial::test(name, move || {
            runtime.block_on(step(shop));
            Ok(())
        })
    }
}

/// Trials that are named after their functions: `trials!(journey, module: function, …)`.
macro_rules! trials {
    ($journey:expr, $module:ident: $($name:ident),* $(,)?) => {
        vec![$($journey.trial(concat!(stringify!($module), "::", stringify!($name)), $name)),*]
    };
}
use trials;

fn main() -> ExitCode {
    let mut options = Options::parse();
    // In the order of the list: its steps read like a visit, and stock is compared before and after.
    options.libtest.test_threads.get_or_insert(1);
    let journey = Journey {
        runtime: Arc::new(Runtime::new().expect("a runtime")),
        shop: Shop::new(options.base_url),
    };
    let mut trials = api::trials(&journey);
    trials.extend(bad_input::trials(&journey));
    trials.extend(pages::trials(&journey));
    trials.extend(browser::trials(&journey, options.screenshots.as_deref()));
    libtest_mimic::run(&options.libtest, trials).exit_code()
}
