//! As much of HTML as it takes to follow links and to send forms.

/// A start tag with its attributes.
struct Tag<'a> {
    name: &'a str,
    attributes: Vec<(&'a str, String)>,
}

impl Tag<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        let found = self.attributes.iter().find(|(key, _)| *key == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// A form as a browser would send it.
#[derive(Clone, Debug)]
pub(crate) struct Form {
    pub(crate) action: String,
    pub(crate) method: String,
    pub(crate) fields: Vec<(String, String)>,
}

impl Form {
    /// The form with another value in one of its fields.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        let field = self.fields.iter_mut().find(|(key, _)| key == name);
        field.unwrap_or_else(|| panic!("no field {name}")).1 = value.to_owned();
        self
    }

    pub(crate) fn field(&self, name: &str) -> &str {
        let field = self.fields.iter().find(|(key, _)| key == name);
        field.map_or("", |(_, value)| value.as_str())
    }
}

/// The start tags. Templates escape `<` and `>` in values, and the pages have no scripts of their own.
fn tags(html: &str) -> impl Iterator<Item = Tag<'_>> {
    html.split('<').filter_map(|text| {
        let tag = text.split_once('>')?.0;
        let (name, mut rest) = tag.split_once([' ', '\n']).unwrap_or((tag, ""));
        let mut attributes = Vec::new();
        while let Some((before, after)) = rest.split_once("=\"") {
            let (value, after) = after.split_once('"')?;
            // Attributes without a value may stand before this one.
            let attribute = before.split_whitespace().next_back()?;
            attributes.push((attribute, unescaped(value)));
            rest = after;
        }
        Some(Tag { name, attributes })
    })
}

fn unescaped(text: &str) -> String {
    let named = [
        ("&quot;", "\""),
        ("&#34;", "\""),
        ("&#39;", "'"),
        ("&#x27;", "'"),
        ("&lt;", "<"),
        ("&#60;", "<"),
        ("&gt;", ">"),
        ("&#62;", ">"),
        ("&#38;", "&"),
        ("&amp;", "&"),
    ];
    named
        .iter()
        .fold(text.to_owned(), |text, (entity, character)| {
            text.replace(entity, character)
        })
}

/// Every value of the attribute, in the order of the page.
pub(crate) fn values(html: &str, attribute: &str) -> Vec<String> {
    tags(html)
        .filter_map(|tag| tag.get(attribute).map(ToOwned::to_owned))
        .collect()
}

/// The forms with their `input` fields.
pub(crate) fn forms(html: &str) -> Vec<Form> {
    let mut forms: Vec<Form> = Vec::new();
    let mut inside = false;
    for tag in tags(html) {
        match (tag.name, forms.last_mut()) {
            ("form", _) => {
                let attribute = |name| tag.get(name).unwrap_or_default().to_owned();
                forms.push(Form {
                    action: attribute("action"),
                    method: attribute("method"),
                    fields: Vec::new(),
                });
                inside = true;
            }
            ("/form", _) => inside = false,
            ("input", Some(form)) if inside => {
                let value = tag.get("value").unwrap_or_default().to_owned();
                form.fields
                    .extend(tag.get("name").map(|name| (name.to_owned(), value)));
            }
            _ => {}
        }
    }
    forms
}
