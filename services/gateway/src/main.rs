//! Runs the gateway service; see [`gateway::app::Config`] for its settings.

#[tokio::main]
async fn main() -> std::process::ExitCode {
    lifecycle::main(gateway::app::run).await
}
