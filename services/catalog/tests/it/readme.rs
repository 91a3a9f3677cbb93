//! The README's table of settings.

#[test]
fn the_readme_has_the_settings_as_they_are() {
    let readme = include_str!("../../README.md");
    let settings = lifecycle::settings::markdown::<catalog::app::Config>();
    assert!(
        readme.contains(&settings),
        "services/catalog/README.md is stale; put this in place of its settings \
         (cargo run -p catalog -- settings):\n\n{settings}"
    );
}
