//! The console's page: files that the `console` extension serves, and nothing else.

/// One file, as it is served.
#[derive(Clone, Copy, Debug)]
pub struct Page {
    /// Where, such as `/` or `/main.js`.
    pub path: &'static str,
    /// Its `Content-Type`.
    pub media_type: &'static str,
    /// What is in it.
    pub body: &'static [u8],
}

/// Every file there is.
pub const PAGES: &[Page] = &[];
