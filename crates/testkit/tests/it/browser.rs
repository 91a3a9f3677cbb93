use serde_json::json;
use testkit::{
    browser::{Browser, ColorScheme, Device},
    eventually,
};

use super::SOON;

#[tokio::test]
async fn a_page_sees_the_device_and_the_color_scheme() {
    let browser = Browser::start(Device::Desktop).await;
    let seen = async || {
        browser
            .client
            .goto("data:text/html,<meta name=viewport content=width=device-width>")
            .await
            .unwrap();
        let script = "return [innerWidth, innerHeight, devicePixelRatio, matchMedia('(prefers-color-scheme: dark)').matches,
                      matchMedia('(pointer: coarse)').matches]";
        browser.client.execute(script, vec![]).await.unwrap()
    };
    browser.color_scheme(ColorScheme::Light).await;
    assert_eq!(seen().await, json!([1280, 900, 1, false, false]));
    browser.show_on(Device::Phone).await;
    browser.color_scheme(ColorScheme::Dark).await;
    assert_eq!(seen().await, json!([390, 844, 2, true, true]));
}

#[tokio::test]
async fn nothing_is_left_of_a_dropped_browser() {
    let browser = Browser::start(Device::Desktop).await;
    let version = browser
        .client
        .execute("return navigator.userAgent", vec![])
        .await
        .unwrap();
    assert!(version.as_str().unwrap().contains("Chrome"), "{version}");
    let profile = browser.client.capabilities().unwrap()["chrome"]["userDataDir"]
        .as_str()
        .unwrap()
        .to_owned();
    let processes = || {
        let processes = std::fs::read_dir("/proc").unwrap().flatten();
        processes
            .filter_map(|process| std::fs::read_to_string(process.path().join("cmdline")).ok())
            .filter(|line| line.contains(&profile))
            .count()
    };
    assert!(processes() > 0);
    drop(browser);
    eventually(SOON, async || {
        let left = (processes(), std::path::Path::new(&profile).exists());
        if left == (0, false) {
            Ok(())
        } else {
            Err(left)
        }
    })
    .await;
}
