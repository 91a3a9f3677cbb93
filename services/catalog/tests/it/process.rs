//! The binary, as people and clusters run it.

use proto::catalog::v1::{ListProductsRequest, catalog_service_client::CatalogServiceClient};
use testkit::{Backend, service};
use uuid::Uuid;

use crate::{on_both_databases, reserve_request};

on_both_databases!(a_database_goes_from_nothing_to_service);

async fn a_database_goes_from_nothing_to_service(backend: Backend) {
    let database = testkit::database(backend).await;
    let settings = [("DATABASE_URL", database.url.as_str())];
    for command in ["migrate", "migrate", "seed", "seed"] {
        let output = service::run("catalog", &[command], &settings).await;
        assert!(output.status.success(), "{command}: {output:?}");
    }
    let mut catalog = service::Service::start("catalog", &settings).await;

    let mut client = CatalogServiceClient::connect(catalog.url()).await.unwrap();
    let list = client.list_products(ListProductsRequest::default()).await;
    let products = list.unwrap().into_inner().products;
    assert!(products.len() > 15, "{}", products.len());
    let lines = [(products[0].id.as_str(), 1)];
    let reserve = reserve_request(Uuid::new_v4(), &lines);
    client.reserve(reserve).await.unwrap();

    let metrics = reqwest::get(format!("{}/metrics", catalog.admin_url())).await;
    let metrics = metrics.unwrap().text().await.unwrap();
    let counted = r#"catalog_reservations_total{outcome="held"} 1"#;
    assert!(metrics.contains(counted), "{metrics}");
    assert!(catalog.terminate().await.success());
}

#[tokio::test]
async fn a_wrong_database_url_is_one_line_and_exit_code_64() {
    for command in ["serve", "migrate", "seed"] {
        let settings = [
            ("DATABASE_URL", "mysql://shop:secret@localhost/shop"),
            ("ADMIN_LISTEN", "127.0.0.1:0"),
        ];
        let output = service::run("catalog", &[command], &settings).await;
        assert_eq!(output.status.code(), Some(64));
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(
            stderr.starts_with("error: --database-url (DATABASE_URL): "),
            "{stderr}"
        );
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        assert!(!stderr.contains("secret"), "{stderr}");
    }
}
