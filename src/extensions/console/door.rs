//! The door: who may ask, and in which form.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, Uri, header};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::{Config, grpc, http_form, is_loopback, pages};
use crate::{
    incidents::{
        control::{self, Answer, Call, Control, Fault},
        link::Signer,
    },
    pipeline::{component::Context, listener::Body, outcome::Refusal},
    transport::auth,
};

/// The largest request, bytes: a verdict with every scope it may have.
const LARGEST: usize = 256 << 10;
const BODY_DEADLINE: Duration = Duration::from_secs(10);
/// People and programs that watch at once.
const WATCHERS: usize = 64;
/// The header that carries a signed link's token.
const LINK: &str = "x-sekisho-link";

/// Makes links to incidents.
pub type Links = Arc<dyn Fn(&str) -> String + Send + Sync>;

/// Why a request was not answered.
pub struct Refused {
    /// The status.
    pub fault: Fault,
    /// How to authenticate, as `WWW-Authenticate` says it.
    pub challenge: Option<String>,
}

impl From<Fault> for Refused {
    fn from(fault: Fault) -> Self {
        Self { fault, challenge: None }
    }
}

/// Whoever has come in.
pub enum Guest {
    /// May ask for everything.
    Everything,
    /// May ask for the incident whose link this token is of.
    Link(String),
}

/// One console.
pub struct Door {
    auth: Option<auth::Config>,
    detector: String,
    signer: Option<Arc<Signer>>,
    /// Host and port of `public_url`.
    public: Option<String>,
    context: Context,
    pub cancel: CancellationToken,
    pub watchers: Arc<Semaphore>,
}

impl Door {
    pub fn new(config: &Config, signer: Option<Arc<Signer>>, cancel: CancellationToken, context: &Context) -> Self {
        Self {
            auth: config.auth.clone(),
            detector: config.detector.clone(),
            signer,
            public: config.public_url.parse::<Uri>().ok().and_then(|url| Some(url.authority()?.to_string())),
            context: context.clone(),
            cancel,
            watchers: Arc::new(Semaphore::new(WATCHERS)),
        }
    }

    /// Answers one request.
    pub async fn handle(&self, request: Request<Incoming>) -> Response<Body> {
        if grpc::is_grpc(request.headers()) {
            return grpc::handle(self, request).await;
        }
        if request.uri().path().starts_with("/api/") {
            return http_form::handle(self, request).await;
        }
        if let Err(fault) = self.is_ours(request.method(), request.uri(), request.headers()) {
            return http_form::refuse(&fault.into());
        }
        pages::answer(crate::console::PAGES, request.method(), request.uri().path())
    }

    /// Lets somebody in, or says why not.
    pub async fn admit(&self, method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<Guest, Refused> {
        self.is_ours(method, uri, headers)?;
        if let Some(token) = headers.get(LINK) {
            let token = token.to_str().unwrap_or_default().to_owned();
            return Ok(Guest::Link(token));
        }
        let Some(auth) = &self.auth else { return Ok(Guest::Everything) };
        // Looked up for every request: the extension may have started after this one, or anew.
        let server = auth.server(&self.context).map_err(|error| Fault::unavailable(error.to_string()))?;
        match server.authenticate(headers).await {
            Ok(()) => Ok(Guest::Everything),
            Err(refusal) => {
                let challenge = match &refusal {
                    Refusal::Unauthenticated { challenge, .. } => Some(challenge.clone()),
                    _ => None,
                };
                Err(Refused { fault: Fault::unauthenticated(refusal.to_string()), challenge })
            }
        }
    }

    /// Has a call answered for a guest.
    pub async fn call(&self, guest: &Guest, mut call: Call) -> Result<Answer, Fault> {
        let mut fallback = "console";
        if let Guest::Link(token) = guest {
            self.check_link(token, &call)?;
            fallback = "link";
        }
        if let Some(author) = call.author_mut().filter(|author| author.trim().is_empty()) {
            fallback.clone_into(author);
        }
        self.control()?.answer(call).await
    }

    /// Whoever may ask for one incident may not ask for all.
    pub fn everything(&self, guest: &Guest) -> Result<Arc<dyn Control>, Fault> {
        match guest {
            Guest::Everything => self.control(),
            Guest::Link(_) => Err(own_incident_only()),
        }
    }

    /// Makes links to incidents, for as long as somebody watches; empty ones if links are not made.
    pub fn links(&self) -> Links {
        let signer = self.signer.clone();
        Arc::new(move |incident| signer.as_ref().map(|signer| signer.link(incident, wall_clock())).unwrap_or_default())
    }

    fn control(&self) -> Result<Arc<dyn Control>, Fault> {
        let found = self.context.shared.get::<control::Shared>(&control::shared_name(&self.detector));
        let missing = || Fault::unavailable(format!("no processor `{}` runs here; see `detector`", self.detector));
        found.map(|found| found.0.clone()).ok_or_else(missing)
    }

    fn check_link(&self, token: &str, call: &Call) -> Result<(), Fault> {
        let id = call.incident().ok_or_else(own_incident_only)?;
        let good = self.signer.as_ref().is_some_and(|signer| signer.allows(token, id, wall_clock()));
        if good { Ok(()) } else { Err(Fault::forbidden("the link is not of this incident, or has expired".to_owned())) }
    }

    /// Whether the request can have been meant for us. A page of somebody else's may make a browser send anything
    /// here, under a name of its own too; what it cannot do is to lie about either.
    fn is_ours(&self, method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<(), Fault> {
        let text = |name| headers.get(name).and_then(|value: &http::HeaderValue| value.to_str().ok());
        let host = uri.authority().map(http::uri::Authority::as_str).or_else(|| text(header::HOST)).unwrap_or_default();
        let named = host.parse::<http::uri::Authority>().ok();
        let local = named.as_ref().is_some_and(|named| is_loopback(named.host()));
        let public = self.public.as_deref().is_some_and(|public| public.eq_ignore_ascii_case(host));
        if self.auth.is_none() && !local && !public {
            return Err(Fault::forbidden("this host name is not the console's; use 127.0.0.1 or localhost".to_owned()));
        }
        let Some(origin) = text(header::ORIGIN).filter(|_| *method != Method::GET && *method != Method::HEAD) else {
            return Ok(());
        };
        let of = origin.split_once("://").map_or("", |(_, of)| of);
        let own =
            of.eq_ignore_ascii_case(host) || self.public.as_deref().is_some_and(|own| own.eq_ignore_ascii_case(of));
        if own { Ok(()) } else { Err(Fault::forbidden("another web page may not ask for this".to_owned())) }
    }
}

fn own_incident_only() -> Fault {
    Fault::forbidden("a link allows its own incident only".to_owned())
}

/// All of a body, if it is small and comes in time.
pub async fn read(body: Incoming) -> Result<Bytes, Fault> {
    let read = tokio::time::timeout(BODY_DEADLINE, Limited::new(body, LARGEST).collect()).await;
    match read {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(_)) => Err(Fault::invalid(format!("the body is cut off, or larger than {LARGEST} bytes"))),
        Err(_) => Err(Fault::unavailable("the body did not arrive in time".to_owned())),
    }
}

fn wall_clock() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| u64::try_from(now.as_nanos()).unwrap_or(u64::MAX))
}
