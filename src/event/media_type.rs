//! Media types: which payloads are binary.

/// A list of media types, `image/png`, `image/*` or `*/*`.
#[derive(Clone, Debug, Default)]
pub struct MediaTypes {
    all: bool,
    types: Vec<String>,
}

impl MediaTypes {
    /// Reads a list as `x-amazon-apigateway-binary-media-types` holds it.
    pub fn new<'t>(types: impl IntoIterator<Item = &'t str>) -> Self {
        let types: Vec<String> = types
            .into_iter()
            .map(|name| essence(name).to_ascii_lowercase())
            .collect();
        Self {
            all: types.iter().any(|name| name == "*/*"),
            types,
        }
    }

    /// Whether a payload of this `Content-Type` (or the first type of an
    /// `Accept`) is of the list. Parameters such as charset are ignored.
    ///
    /// No type at all is of the list only where it has `*/*`.
    pub fn contains(&self, media_type: Option<&str>) -> bool {
        if self.all {
            return true;
        }
        let Some(media_type) = media_type.map(essence).filter(|name| !name.is_empty()) else {
            return false;
        };
        self.types.iter().any(|name| match name.strip_suffix("/*") {
            Some(family) => media_type
                .split_once('/')
                .is_some_and(|(own, subtype)| own.eq_ignore_ascii_case(family) && subtype != "*"),
            None => name.eq_ignore_ascii_case(media_type),
        })
    }

    /// Whether the list is empty.
    pub fn is_empty(&self) -> bool {
        self.types.is_empty()
    }
}

/// A media type without its parameters.
pub fn essence(media_type: &str) -> &str {
    media_type.split(';').next().unwrap_or_default().trim()
}

/// The first media type of an `Accept` header: the only one that counts
/// ("Content type conversions in API Gateway").
pub fn first_accepted(accept: &str) -> &str {
    essence(accept.split(',').next().unwrap_or_default())
}

/// Whether an HTTP API hands a body of this `Content-Type` to a function as
/// text. Everything else, no type at all included, is base64 (recorded at AWS).
pub fn is_text_for_http_api(content_type: Option<&str>) -> bool {
    let Some(content_type) = content_type else {
        return false;
    };
    let name = essence(content_type).to_ascii_lowercase();
    name.starts_with("text/")
        || matches!(
            name.as_str(),
            "application/json" | "application/xml" | "application/javascript"
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_and_letter_case_do_not_count() {
        let types = MediaTypes::new(["image/png", "audio/*"]);

        assert!(types.contains(Some("IMAGE/PNG; q=1")));
        assert!(types.contains(Some("audio/mpeg")));
        assert!(!types.contains(Some("image/*")));
        assert!(!types.contains(Some("image/jpeg")));
        assert!(!types.contains(None));
    }

    #[test]
    fn the_wildcard_covers_a_body_without_type() {
        assert!(MediaTypes::new(["*/*"]).contains(None));
    }

    #[test]
    fn only_the_first_accepted_type_counts() {
        assert_eq!(first_accepted("image/png,image/*,*/*;q=0.8"), "image/png");
        assert_eq!(first_accepted(""), "");
    }
}
