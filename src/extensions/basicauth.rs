//! `basicauth` extension: names and passwords, of those who may come in or our own.
//!
//! ```yaml
//! extensions:
//!   basicauth/server:                # for receivers
//!     htpasswd:
//!       file: .htpasswd              # read again within a second when it changes
//!       inline: |                    # wins over the file
//!         shop:$2y$05$…              # bcrypt, as `htpasswd -B` writes it, or the plain password
//!   basicauth/client:                # for exporters
//!     client_auth:
//!       username: shop               # or username_file
//!       password: ${env:PASSWORD}    # or password_file
//! ```
//!
//! Of the forms of htpasswd, bcrypt and plain text are read; `$apr1$`, `{SHA}` and crypt are refused by name, as
//! they are too weak or too rare to be worth their code. A bcrypt hash takes tens of milliseconds, so it is computed off
//! the I/O threads, two at a time, and a password that was right is remembered by its digest.

mod htpasswd;

use std::{path::PathBuf, sync::Arc};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderValue, header};
use serde::Deserialize;

use self::htpasswd::Users;
use crate::{
    config::{Check, Kind, Report, Secret},
    pipeline::{
        Boxed,
        component::{Context, ExtensionConfig, Running, StartError},
        outcome::Refusal,
    },
    transport::{
        auth,
        reloading::{OFTEN, Reloading, Source},
    },
};

/// The configuration.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Who may come in.
    pub htpasswd: Option<Htpasswd>,
    /// Who we are.
    pub client_auth: Option<ClientAuth>,
}

/// Names and passwords.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Htpasswd {
    /// A file of them.
    pub file: Option<PathBuf>,
    /// Themselves.
    pub inline: Secret,
}

/// A name and a password.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClientAuth {
    /// The name.
    pub username: String,
    /// A file that has it.
    pub username_file: Option<PathBuf>,
    /// The password.
    pub password: Secret,
    /// A file that has it.
    pub password_file: Option<PathBuf>,
}

impl Check for Config {
    fn check(&self, report: &mut Report<'_>) {
        match (&self.htpasswd, &self.client_auth) {
            (None, None) => {
                report.error("", "there is nobody: set htpasswd for receivers, or client_auth for exporters");
            }
            (Some(_), Some(_)) => {
                let hint = "declare two, such as basicauth/server and basicauth/client";
                report.error("client_auth", "does not go with htpasswd").hint(hint);
            }
            (Some(htpasswd), None) => report.within("htpasswd", htpasswd),
            (None, Some(client)) => report.within("client_auth", client),
        }
    }
}

impl Check for Htpasswd {
    fn check(&self, report: &mut Report<'_>) {
        if self.file.is_none() && self.inline.is_empty() {
            report.error("", "there is nobody: set file or inline");
        }
        if let Err(reason) = Users::read([self.inline.expose()]) {
            report.error("inline", reason);
        }
    }
}

impl Check for ClientAuth {
    fn check(&self, report: &mut Report<'_>) {
        if self.username.is_empty() && self.username_file.is_none() {
            report.error("username", "is missing");
        }
        if self.username.contains(':') {
            report.error("username", "must not have a colon");
        }
        if self.password.is_empty() && self.password_file.is_none() {
            report.error("password", "is missing");
        }
    }
}

impl ExtensionConfig for Config {
    fn start<'a>(&'a self, context: &'a Context) -> Boxed<'a, Result<Box<dyn Running>, StartError>> {
        Box::pin(async move {
            if let Some(htpasswd) = &self.htpasswd {
                let door = htpasswd.door(context).map_err(|reason| context.error(format!("htpasswd: {reason}")))?;
                auth::offer_server(Arc::new(door), context);
            }
            if let Some(client) = &self.client_auth {
                let badge = client.badge(context).map_err(|reason| context.error(format!("client_auth: {reason}")))?;
                auth::offer_client(Arc::new(badge), context);
            }
            Ok(Box::new(super::Nothing) as Box<dyn Running>)
        })
    }

    fn authenticates(&self, whom: Kind) -> bool {
        if whom == Kind::Receiver { self.htpasswd.is_some() } else { self.client_auth.is_some() }
    }
}

impl Htpasswd {
    fn door(&self, context: &Context) -> Result<Door, String> {
        let file = self.file.as_ref().map(|path| Source::File(context.base.join(path)));
        let inline = Source::Inline(self.inline.expose().as_bytes().to_vec());
        let sources = file.into_iter().chain(std::iter::once(inline)).collect();
        let what = format!("users of {}", context.component);
        let users = Reloading::new(what, sources, Some(OFTEN), |contents| {
            let texts: Vec<_> = contents.iter().map(|text| String::from_utf8_lossy(text)).collect();
            Users::read(texts.iter().map(AsRef::as_ref))
        })?;
        Ok(Door { users })
    }
}

struct Door {
    users: Reloading<Users>,
}

impl Door {
    async fn check(&self, headers: &HeaderMap) -> Result<(), &'static str> {
        let shown = headers.get(header::AUTHORIZATION).ok_or("no name and password were shown")?;
        let (scheme, encoded) = shown.to_str().ok().and_then(|shown| shown.split_once(' ')).unwrap_or(("", ""));
        if !scheme.eq_ignore_ascii_case("Basic") {
            return Err("what was shown is not of the scheme Basic");
        }
        let decoded = STANDARD.decode(encoded.trim()).ok().and_then(|decoded| String::from_utf8(decoded).ok());
        let decoded = decoded.ok_or("what was shown is damaged")?;
        let (name, password) = decoded.split_once(':').ok_or("what was shown is damaged")?;
        if self.users.current().know(name, password).await { Ok(()) } else { Err("name or password is wrong") }
    }
}

impl auth::Server for Door {
    fn authenticate<'a>(&'a self, headers: &'a HeaderMap) -> Boxed<'a, Result<(), Refusal>> {
        Box::pin(async move {
            self.check(headers).await.map_err(|reason| Refusal::Unauthenticated {
                reason: reason.to_owned(),
                challenge: "Basic realm=\"sekisho\", charset=\"UTF-8\"".to_owned(),
            })
        })
    }
}

impl ClientAuth {
    fn badge(&self, context: &Context) -> Result<Badge, String> {
        let either = |file: &Option<PathBuf>, text: &str| match file {
            Some(path) => Source::File(context.base.join(path)),
            None => Source::Inline(text.as_bytes().to_vec()),
        };
        let sources =
            vec![either(&self.username_file, &self.username), either(&self.password_file, self.password.expose())];
        let what = format!("name and password of {}", context.component);
        let shown = Reloading::new(what, sources, Some(OFTEN), |contents| {
            let [name, password] = contents else { return Err("a name and a password are needed".to_owned()) };
            // Files end with a line end that is no part of what they say.
            let (name, password) = (String::from_utf8_lossy(name), String::from_utf8_lossy(password));
            let pair = format!("{}:{}", name.trim(), password.trim_end_matches(['\r', '\n']));
            let mut shown = HeaderValue::try_from(format!("Basic {}", STANDARD.encode(pair)))
                .map_err(|_| "cannot be sent in a header".to_owned())?;
            shown.set_sensitive(true);
            Ok(shown)
        })?;
        Ok(Badge(shown))
    }
}

/// What we show.
struct Badge(Reloading<HeaderValue>);

impl auth::Client for Badge {
    fn authenticate(&self, headers: &mut HeaderMap) -> Result<(), String> {
        headers.insert(header::AUTHORIZATION, self.0.current().as_ref().clone());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::probe;

    #[tokio::test]
    async fn what_an_exporter_shows_lets_it_in_at_a_receiver() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("password"), "pass:word \n").unwrap();
        let context = probe::context("basicauth", directory.path());
        for yaml in
            ["{client_auth: {username: shop, password_file: password}}", "{htpasswd: {file: users, inline: 'other:x'}}"]
        {
            std::fs::write(directory.path().join("users"), "shop:pass:word").unwrap();
            let (config, wrong) = probe::config::<Config>(Kind::Extension, yaml);
            assert_eq!(wrong, "");
            config.start(&context).await.unwrap();
        }
        let client = auth::client_of("basicauth", &context.shared).unwrap();
        let mut headers = HeaderMap::new();
        client.authenticate(&mut headers).unwrap();
        assert_eq!(headers["authorization"], format!("Basic {}", STANDARD.encode("shop:pass:word ")));
        assert!(headers["authorization"].is_sensitive());

        let server = auth::Config { authenticator: "basicauth".to_owned() }.server(&context).unwrap();
        let refused = server.authenticate(&headers).await.unwrap_err();
        assert!(matches!(refused, Refusal::Unauthenticated { .. }), "the space is part of the password: {refused}");
        let right = HeaderValue::try_from(format!("basic {}", STANDARD.encode("shop:pass:word"))).unwrap();
        headers.insert(header::AUTHORIZATION, right);
        server.authenticate(&headers).await.unwrap();
    }
}
