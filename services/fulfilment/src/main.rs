//! Runs the fulfilment service; see [`fulfilment::app::Config`] for its settings.

#[tokio::main]
async fn main() -> std::process::ExitCode {
    lifecycle::main(fulfilment::app::run).await
}
