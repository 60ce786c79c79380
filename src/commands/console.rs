//! How the terminal asks a running gateway: the console's HTTP API.

use std::{io::Write as _, path::PathBuf};

use clap::Args;
use reqwest::{Certificate, Client, Method, Url};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::{Failure, Output, runtime};

/// Where the token is, unless a file has it.
const TOKEN: &str = "SEKISHO_TOKEN";
/// What is read of an answer.
const TIMEOUT: std::time::Duration = std::time::Duration::from_secs(30);

/// Whom to ask.
#[derive(Args, Clone, Debug)]
pub struct Server {
    /// Address of a gateway with the `console` extension
    #[arg(long = "server", value_name = "URL", default_value = "http://127.0.0.1:14318")]
    address: String,
    /// File with the bearer token to show; otherwise the environment's `SEKISHO_TOKEN`, if set
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Further authority that the server's certificate may be of, PEM
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// For people, or the API's own messages for programs
    #[arg(long, value_enum, default_value_t)]
    pub output: Output,
}

/// Fields of a query; empty values are left out.
pub type Query<'a> = &'a [(&'a str, &'a str)];

impl Server {
    /// Asks with GET.
    pub fn get<T: DeserializeOwned>(&self, path: &[&str], query: Query<'_>) -> Result<T, Failure> {
        decode(&self.ask(Method::GET, path, query, None)?)
    }

    /// Asks with POST.
    pub fn post<T: DeserializeOwned>(&self, path: &[&str], message: &impl Serialize) -> Result<T, Failure> {
        let body = serde_json::to_vec(message).map_err(|error| Failure::Work(error.to_string()))?;
        decode(&self.ask(Method::POST, path, &[], Some(body))?)
    }

    /// An answer that is not one message.
    pub fn lines(&self, path: &[&str]) -> Result<Vec<u8>, Failure> {
        self.ask(Method::GET, path, &[], None)
    }

    fn ask(&self, method: Method, path: &[&str], query: Query<'_>, body: Option<Vec<u8>>) -> Result<Vec<u8>, Failure> {
        let url = self.url(path, query)?;
        let mut request = self.client()?.request(method, url);
        if let Some(token) = self.token()? {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body);
        }
        let unreachable = |error: reqwest::Error| {
            let why = std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
            Failure::Work(format!(
                "cannot ask {}: {why}; does a gateway with the `console` extension run there? (--server)",
                self.address
            ))
        };
        let (status, body) = runtime()?.block_on(async {
            let response = request.send().await.map_err(unreachable)?;
            let status = response.status();
            Ok::<_, Failure>((status, response.bytes().await.map_err(unreachable)?))
        })?;
        if status.is_success() {
            return Ok(body.to_vec());
        }
        let said: Value = serde_json::from_slice(&body).unwrap_or_default();
        let message = said["message"].as_str().unwrap_or("no reason was given");
        let hint = if status == 401 { format!("; give a token with --token-file or {TOKEN}") } else { String::new() };
        Err(Failure::Work(format!(
            "{} answers {status}: {}{hint}",
            self.address,
            crate::incidents::text::shown(message, 500)
        )))
    }

    fn url(&self, path: &[&str], query: Query<'_>) -> Result<Url, Failure> {
        let wrong = |why: &str| Failure::Usage(format!("--server {}: {why}", self.address));
        let mut url = Url::parse(&self.address).map_err(|error| wrong(&error.to_string()))?;
        url.path_segments_mut()
            .map_err(|()| wrong("is not an address"))?
            .pop_if_empty()
            .extend(["api", "v1"])
            .extend(path);
        let given = query.iter().filter(|(_, value)| !value.is_empty());
        for (key, value) in given {
            url.query_pairs_mut().append_pair(key, value);
        }
        Ok(url)
    }

    fn client(&self) -> Result<Client, Failure> {
        let mut builder = Client::builder()
            .timeout(TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("sekisho/", env!("CARGO_PKG_VERSION")));
        if let Some(path) = &self.ca_file {
            let wrong = |error: String| Failure::Usage(format!("--ca-file {}: {error}", path.display()));
            let pem = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
            let authorities = Certificate::from_pem_bundle(&pem).map_err(|error| wrong(error.to_string()))?;
            builder = builder.tls_certs_merge(authorities);
        }
        builder.build().map_err(|error| Failure::Work(format!("cannot make an HTTP client: {error}")))
    }

    fn token(&self) -> Result<Option<String>, Failure> {
        let Some(path) = &self.token_file else {
            return Ok(std::env::var(TOKEN).ok().filter(|token| !token.is_empty()));
        };
        let read = std::fs::read_to_string(path);
        let token = read.map_err(|error| Failure::Usage(format!("--token-file {}: {error}", path.display())))?;
        Ok(Some(token.trim().to_owned()))
    }
}

fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, Failure> {
    let wrong = |error| Failure::Work(format!("the answer is none of this version's: {error}"));
    serde_json::from_slice(body).map_err(wrong)
}

/// Prints a message as JSON.
pub fn print_json(message: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(message).map_err(|error| Failure::Work(error.to_string()))?;
    print(&format!("{text}\n"));
    Ok(())
}

/// Prints; whoever closes the pipe has read enough.
pub fn print(text: &str) {
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
}

/// Rows under headings, in columns as wide as they need to be; the last one is not padded.
pub fn table(headings: &[&str], rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = headings.iter().map(|heading| heading.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let headings: Vec<String> = headings.iter().map(|heading| (*heading).to_owned()).collect();
    let mut text = String::new();
    for row in std::iter::once(&headings).chain(rows) {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(cell);
            line.extend(std::iter::repeat_n(' ', width.saturating_sub(cell.chars().count()) + 2));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_they_need_to_be() {
        let rows = [vec!["inc-1".to_owned(), "a".to_owned()], vec!["x".to_owned(), "größer".to_owned()]];
        assert_eq!(table(&["id", "what"], &rows), "id     what\ninc-1  a\nx      größer\n");
    }
}
