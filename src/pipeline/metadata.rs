//! What senders say beside their telemetry: the headers of their requests.
//!
//! A receiver with `include_metadata` lets them go with the batch: whatever is done for it, until it is answered, is done
//! within [`with`], and [`current`] has them. What holds a batch beyond that, as queues and `batch` do, keeps them with it,
//! and never merges batches whose metadata differs where it counts.

use std::{collections::BTreeMap, sync::Arc};

use http::{HeaderMap, Uri, header};

tokio::task_local! {
    static CURRENT: Option<Arc<Metadata>>;
}

/// Values by name, in lower case.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Metadata(BTreeMap<String, Vec<String>>);

/// Does `work` for a sender that said this.
pub async fn with<T>(metadata: Option<Arc<Metadata>>, work: impl Future<Output = T>) -> T {
    CURRENT.scope(metadata, work).await
}

/// What the sender said for whom something is being done, if it is known.
pub fn current() -> Option<Arc<Metadata>> {
    CURRENT.try_with(Clone::clone).ok().flatten()
}

impl Metadata {
    /// Of a request; the name it calls us by counts as its `host`.
    pub fn of(headers: &HeaderMap, uri: &Uri) -> Self {
        let mut values = BTreeMap::<String, Vec<String>>::new();
        for (name, value) in headers {
            if let Ok(value) = value.to_str() {
                values.entry(name.as_str().to_owned()).or_default().push(value.to_owned());
            }
        }
        if let Some(authority) = uri.authority() {
            values.entry(header::HOST.as_str().to_owned()).or_insert_with(|| vec![authority.as_str().to_owned()]);
        }
        Self(values)
    }

    /// All values under `name`.
    pub fn get(&self, name: &str) -> &[String] {
        self.0.get(&name.to_ascii_lowercase()).map_or(&[], Vec::as_slice)
    }

    /// Only what is under `names`.
    #[must_use]
    pub fn only(&self, names: &[String]) -> Self {
        let names = names.iter().map(|name| name.to_ascii_lowercase());
        Self(names.filter_map(|name| self.0.get_key_value(&name)).map(|(k, v)| (k.clone(), v.clone())).collect())
    }

    /// What it takes in memory, nearly.
    pub fn bytes(&self) -> usize {
        self.0.iter().map(|(name, values)| name.len() + values.iter().map(String::len).sum::<usize>()).sum()
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    #[tokio::test]
    async fn names_have_no_case_and_work_knows_for_whom_it_is_done() {
        let headers = [("x-tenant", "a"), ("x-tenant", "b"), ("x-other", "c")]
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        let uri = Uri::from_static("http://gateway:4317/x");
        let metadata = Metadata::of(&HeaderMap::from_iter(headers), &uri);
        assert_eq!(metadata.get("X-Tenant"), ["a", "b"]);
        assert_eq!(metadata.get("Host"), ["gateway:4317"]);
        let only = metadata.only(&["X-Other".to_owned(), "x-missing".to_owned()]);
        assert_eq!((only.get("x-other"), only.get("x-tenant"), only.bytes()), (&["c".to_owned()][..], &[][..], 8));
        assert_eq!(current(), None);
        let only = Arc::new(only);
        assert_eq!(with(Some(only.clone()), async { current() }).await, Some(only));
    }
}
