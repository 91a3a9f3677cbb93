use testkit::{
    Backend,
    service::{self, Service},
};

#[tokio::test]
async fn a_service_survives_a_kill_on_the_same_ports_and_ends_well_on_sigterm() {
    for backend in [Backend::Sqlite, Backend::Postgres] {
        let database = testkit::database(backend).await;
        let settings = [("DATABASE_URL", &*database.url)];
        let migrated = service::run("catalog", &["migrate"], &settings).await;
        assert!(
            migrated.status.success(),
            "{}",
            String::from_utf8_lossy(&migrated.stderr)
        );

        let mut catalog = Service::start("catalog", &settings).await;
        let live = format!("{}/livez", catalog.admin_url());
        assert!(reqwest::get(&live).await.unwrap().status().is_success());
        catalog.kill().await;
        assert!(reqwest::get(&live).await.is_err());
        catalog.restart().await;
        assert!(reqwest::get(&live).await.unwrap().status().is_success());
        assert!(catalog.terminate().await.success(), "{}", catalog.log());
        assert!(!catalog.log().is_empty());
    }
}

#[tokio::test]
async fn a_wrong_setting_shows_in_the_exit_status() {
    let output = service::run(
        "catalog",
        &[],
        &[("DATABASE_URL", "mysql://ada:s3cret@db/shop")],
    )
    .await;
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(64), "{error}");
    assert!(
        error.contains("DATABASE_URL") && !error.contains("s3cret"),
        "{error}"
    );
    assert_eq!(error.trim().lines().count(), 1, "{error}");
}
