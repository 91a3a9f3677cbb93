//! Runs the catalog service; see [`catalog::app::Config`] for its settings.

#[tokio::main]
async fn main() -> std::process::ExitCode {
    lifecycle::main(catalog::app::run).await
}
