//! README.md's table of settings is the one that `fulfilment settings` prints.

#[test]
fn the_settings_are_fresh() {
    let readme = include_str!("../../README.md");
    let settings = lifecycle::settings::markdown::<fulfilment::app::Config>();
    assert!(
        readme.contains(&settings),
        "put this into README.md:\n{settings}"
    );
}
