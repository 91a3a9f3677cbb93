//! Through a real Chromium: on a desktop and on a phone, light and dark, with the keyboard, and without script.

use std::{fs, path::Path};

use fantoccini::{
    Locator,
    actions::{InputSource, KeyAction, KeyActions},
    elements::Element,
    key::Key,
};
use libtest_mimic::Trial;
use serde_json::{Value, json};
use shop::{PATIENCE, Product, Shop};
use testkit::{
    browser::{Browser, ColorScheme, Device},
    eventually,
};

use crate::{Journey, trials};

pub(crate) fn trials(journey: &Journey, screenshots: Option<&Path>) -> Vec<Trial> {
    let mut all = Vec::new();
    for (name, device) in [("desktop", Device::Desktop), ("phone", Device::Phone)] {
        let folder = screenshots.map(Path::to_owned);
        all.push(journey.trial(
            format!("browser::a_visit_on_a_{name}_from_the_shelf_to_the_shipped_order"),
            move |shop| async move { visit(&shop, device, folder.as_deref()).await },
        ));
    }
    all.extend(trials!(journey, browser:
        every_other_page_and_state_is_accessible,
        the_keyboard_alone_gets_from_the_shelf_to_an_order,
        without_script_the_order_page_refreshes_itself,
    ));
    all
}

/// MPL-2.0, see `vendor/axe-core`.
const AXE: &str = include_str!("../vendor/axe-core/axe.min.js");
/// Returns what breaks the Web Content Accessibility Guidelines 2.2 at level AA.
const RUN_AXE: &str = r"
    const done = arguments[0];
    const values = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'];
    const told = (violation) => violation.nodes.map((node) => `${violation.id} at ${node.target}: ${node.failureSummary}`);
    axe.run({ runOnly: { type: 'tag', values } })
        .then((result) => done(result.violations.flatMap(told)), (error) => done([String(error)]));
";
/// Notes what a console would show in red. In the session's storage, so that it outlives the page.
const NOTE_PROBLEMS: &str = r"
    const note = (text) => sessionStorage.setItem('problems', (sessionStorage.getItem('problems') ?? '') + text + '\n');
    addEventListener('error', (event) => note(`error: ${event.message ?? event.target.outerHTML}`), true);
    addEventListener('unhandledrejection', (event) => note(`rejection: ${event.reason}`));
    addEventListener('securitypolicyviolation', (event) => note(`policy: ${event.violatedDirective} ${event.blockedURI}`));
    console.error = (...texts) => note(texts.join(' '));
";
const SCHEMES: [(&str, ColorScheme); 2] =
    [("light", ColorScheme::Light), ("dark", ColorScheme::Dark)];

/// A browser's tab in the shop.
struct Tab {
    browser: Browser,
    base: String,
}

impl Tab {
    async fn open(shop: &Shop, device: Device) -> Self {
        let browser = Browser::start(device).await;
        let script = json!({ "source": NOTE_PROBLEMS });
        browser
            .cdp("Page.addScriptToEvaluateOnNewDocument", script)
            .await;
        let tab = Self {
            browser,
            base: shop.base.clone(),
        };
        tab.go("/").await;
        tab
    }

    async fn go(&self, path: &str) {
        let gone = self
            .browser
            .client
            .goto(&format!("{}{path}", self.base))
            .await;
        gone.unwrap_or_else(|error| panic!("{path}: {error}"));
    }

    /// The element, as soon as it is there.
    async fn find(&self, css: &str) -> Element {
        let found = self
            .browser
            .client
            .wait()
            .for_element(Locator::Css(css))
            .await;
        let Ok(element) = found else {
            panic!("no {css} on {}", self.page().await);
        };
        element
    }

    async fn click(&self, css: &str) {
        // The element may go with the page that is being left; then nothing was clicked.
        eventually(PATIENCE, async || self.find(css).await.click().await).await;
    }

    async fn script(&self, script: &str) -> Value {
        let returned = self.browser.client.execute(script, Vec::new()).await;
        returned.unwrap_or_else(|error| panic!("{script}: {error}"))
    }

    /// Address and text, for messages.
    async fn page(&self) -> String {
        let page = self
            .script("return `${location}\\n${document.body.innerText}`")
            .await;
        page.as_str().unwrap_or_default().to_owned()
    }

    /// Puts a piece into the cart, from the shelf.
    async fn add(&self, product: &Product) {
        self.go("/").await;
        self.click(&format!("[data-sku='{}'] button", product.sku))
            .await;
        self.find("[role=status]").await;
    }

    /// Orders what is in the cart.
    async fn check_out(&self) {
        self.click("a[href='/cart']").await;
        self.click("a[href='/checkout']").await;
        self.click("form[action='/checkout'] button").await;
        self.find("#order-status").await;
    }

    async fn state(&self) -> String {
        let state = self
            .script("return document.querySelector('#order-status [data-state]')?.dataset.state")
            .await;
        state.as_str().unwrap_or_default().to_owned()
    }

    async fn shipped(&self) {
        eventually(PATIENCE, async || match self.state().await {
            state if state == "shipped" => Ok(()),
            state => Err(state),
        })
        .await;
    }

    /// The page fits the screen, nothing went wrong in it, and in both colour schemes it is accessible.
    async fn look(&self, name: &str, pictures: Option<(&Path, &str)>) {
        let fits = self
            .script("const page = document.documentElement; return [page.clientWidth, page.scrollWidth]")
            .await;
        assert!(
            fits[0].as_i64() >= fits[1].as_i64(),
            "{name} is wider than the screen: {fits}"
        );
        if self.script("return typeof axe").await == "undefined" {
            self.script(AXE).await;
        }
        for (scheme_name, scheme) in SCHEMES {
            self.browser.color_scheme(scheme).await;
            let violations = self.browser.client.execute_async(RUN_AXE, Vec::new()).await;
            let violations = violations.expect("axe runs");
            assert_eq!(violations, json!([]), "{name}, {scheme_name}");
            if let Some((folder, device)) = pictures {
                let picture = self.browser.client.screenshot().await.expect("a picture");
                let file = folder.join(format!("{name}-{device}-{scheme_name}.png"));
                fs::write(&file, picture)
                    .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
            }
        }
        let problems = self
            .script("return sessionStorage.getItem('problems') ?? ''")
            .await;
        assert_eq!(problems, "", "{name}");
    }

    /// [`look`](Self::look) on both devices.
    async fn look_on_both(&self, name: &str) {
        for device in [Device::Desktop, Device::Phone] {
            self.browser.show_on(device).await;
            self.look(&format!("{name}, {device:?}"), None).await;
        }
    }

    async fn press(&self, key: Key) {
        let value = char::from(key);
        let press = KeyActions::new("keyboard".into());
        let press = press
            .then(KeyAction::Down { value })
            .then(KeyAction::Up { value });
        self.browser
            .client
            .perform_actions(press)
            .await
            .expect("a key");
    }

    /// Presses the tab key until the element has the focus, which can be seen at every stop.
    async fn tab_to(&self, css: &str) {
        // The links of cards draw their outline around the whole card, by a pseudo-element.
        const FOCUSED: &str = "const at = document.activeElement, box = at.getBoundingClientRect();
            const outlined = (part) => {
                const style = getComputedStyle(at, part);
                return style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2;
            };
            const seen = (outlined() || outlined('::after')) && box.width > 1 && box.bottom > 0;
            return [at.outerHTML.slice(0, 200), at.matches(arguments[0]), seen]";
        for _ in 0..100 {
            self.press(Key::Tab).await;
            let focused = self.browser.client.execute(FOCUSED, vec![json!(css)]).await;
            let focused = focused.expect("the focus");
            assert_eq!(
                focused[2], true,
                "the focus cannot be seen on {}",
                focused[0]
            );
            if focused[1] == true {
                return;
            }
        }
        panic!(
            "the tab key does not lead to {css} on {}",
            self.page().await
        );
    }
}

async fn visit(shop: &Shop, device: Device, screenshots: Option<&Path>) {
    let name = match device {
        Device::Desktop => "desktop",
        Device::Phone => "phone",
    };
    if let Some(folder) = screenshots {
        fs::create_dir_all(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    }
    let pictures = screenshots.map(|folder| (folder, name));
    let [one, two] = shop.two_products().await;
    let tab = Tab::open(shop, device).await;
    tab.look("products", pictures).await;

    let search = tab.find("#q").await;
    search
        .send_keys(&one.sku)
        .await
        .expect("the search takes text");
    tab.press(Key::Enter).await;
    tab.find("a[href='/']").await;
    tab.click(&format!("[data-sku='{}'] h3 a", one.sku)).await;
    tab.find(&format!("article[data-sku='{}']", one.sku)).await;
    tab.look("product", pictures).await;
    tab.click("form[action='/cart/items'] button[type=submit]")
        .await;
    tab.find("[data-cart-count='1']").await;

    tab.add(&two).await;
    tab.click("a[href='/cart']").await;
    tab.find(&format!("[data-product='{}']", two.id)).await;
    // One more of the first, by the button that the script has added.
    tab.click(&format!(
        "[data-product='{}'] [data-stepper] button:last-of-type",
        one.id
    ))
    .await;
    tab.click(&format!(
        "[data-product='{}'] .line-quantity [type=submit]",
        one.id
    ))
    .await;
    tab.find("[data-cart-count='3']").await;
    tab.look("cart", pictures).await;
    tab.click("a[href='/checkout']").await;
    tab.find("form[action='/checkout']").await;
    tab.look("checkout", pictures).await;

    tab.click("form[action='/checkout'] button").await;
    tab.find("#order-status").await;
    // Where shipping takes next to no time, there may be nothing left to watch.
    for _ in 0..5 {
        if tab.state().await != "shipped" {
            break;
        }
        tab.add(&two).await;
        tab.check_out().await;
    }
    tab.script("window.marker = 'the page from before'").await;
    let before = tab.state().await;
    assert!(["pending", "confirmed"].contains(&&*before), "{before}");
    tab.look("order", pictures).await;
    tab.shipped().await;
    assert_eq!(
        tab.script("return window.marker").await,
        "the page from before"
    );
    let announced = "return document.getElementById('order-announce').textContent \
        === document.querySelector('#order-status [data-announce]').textContent";
    assert_eq!(
        tab.script(announced).await,
        true,
        "the change is not announced"
    );
    tab.look("order-shipped", pictures).await;
    tab.click("a[href='/orders']").await;
    tab.find("[data-order]").await;
    tab.look("orders", pictures).await;
}

async fn every_other_page_and_state_is_accessible(shop: Shop) {
    let [one, _] = shop.two_products().await;
    let products = shop.products().await;
    let tab = Tab::open(&shop, Device::Desktop).await;
    for (name, path) in [
        ("an empty cart", "/cart"),
        ("no orders", "/orders"),
        ("a search", "/?q=brass"),
        ("a search that finds nothing", "/?q=nothing+like+it"),
        ("a page that is not there", "/nowhere"),
        ("a product that is not there", "/products/nothing"),
        ("a list's page that is not there", "/?page_token=nothing"),
    ] {
        tab.go(path).await;
        tab.look_on_both(name).await;
    }
    for product in products
        .iter()
        .filter(|product| product.available < 6)
        .take(2)
    {
        tab.go(&format!("/products/{}", product.id)).await;
        tab.look_on_both(&format!(
            "{} of which {} are left",
            product.sku, product.available
        ))
        .await;
    }

    tab.add(&one).await;
    tab.look_on_both("a product was added").await;
    tab.go(&format!("/products/{}", one.id)).await;
    tab.script("document.getElementById('quantity').value = 1000")
        .await;
    tab.click("form[action='/cart/items'] button[type=submit]")
        .await;
    tab.find("[role=alert]").await;
    let refused = tab
        .script("return document.activeElement.matches('.summary')")
        .await;
    assert_eq!(
        refused, true,
        "the summary of what is wrong does not have the focus"
    );
    tab.look_on_both("more was ordered than there is").await;

    tab.go("/cart").await;
    let quantity = format!("[data-product='{}'] .line-quantity", one.id);
    tab.script(&format!(
        "document.querySelector(\"{quantity} input\").value = 1000"
    ))
    .await;
    tab.click(&format!("{quantity} [type=submit]")).await;
    tab.find("[role=alert]").await;
    tab.look_on_both("a cart with more than there is").await;
    tab.script(&format!(
        "document.querySelector(\"{quantity} input\").value = 1"
    ))
    .await;
    tab.click(&format!("{quantity} [type=submit]")).await;
    tab.check_out().await;
    tab.look_on_both("an order").await;
    tab.go("/orders").await;
    tab.look_on_both("orders").await;
}

async fn the_keyboard_alone_gets_from_the_shelf_to_an_order(shop: Shop) {
    let [one, _] = shop.two_products().await;
    let tab = Tab::open(&shop, Device::Desktop).await;
    tab.tab_to(".skip").await;
    tab.press(Key::Enter).await;
    tab.tab_to(&format!("[data-sku='{}'] button", one.sku))
        .await;
    tab.press(Key::Enter).await;
    tab.find("[data-cart-count='1']").await;
    tab.tab_to("a[href='/cart']").await;
    tab.press(Key::Enter).await;
    tab.find("a[href='/checkout']").await;
    tab.tab_to("a[href='/checkout']").await;
    tab.press(Key::Enter).await;
    tab.find("form[action='/checkout']").await;
    tab.tab_to("form[action='/checkout'] button").await;
    tab.press(Key::Enter).await;
    tab.find("#order-status").await;
}

async fn without_script_the_order_page_refreshes_itself(shop: Shop) {
    let [one, _] = shop.two_products().await;
    let tab = Tab::open(&shop, Device::Phone).await;
    // The driver's own scripts still run.
    let disabled = json!({ "value": true });
    tab.browser
        .cdp("Emulation.setScriptExecutionDisabled", disabled)
        .await;
    tab.add(&one).await;
    tab.check_out().await;
    tab.script("window.marker = 'the page from before'").await;
    let before = tab.state().await;
    tab.shipped().await;
    if before != "shipped" {
        assert_eq!(
            tab.script("return window.marker ?? null").await,
            Value::Null
        );
    }
}
