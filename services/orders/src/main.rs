//! Runs the orders service; see [`orders::app::Config`] for its settings.

#[tokio::main]
async fn main() -> std::process::ExitCode {
    lifecycle::main(orders::app::run).await
}
