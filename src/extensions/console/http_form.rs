//! The service over HTTP and JSON: paths and queries in, messages out.

use std::fmt::Write as _;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body::Frame;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use reqwest::Url;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::{
    door::{Door, Guest, Refused, read},
    streams,
};
use crate::{
    incidents::control::{
        Call, Fault,
        proto::{DecideRequest, Event, GetFleetRequest, GetFunctionRequest, GetIncidentRequest, UndoVerdictRequest},
    },
    pipeline::listener::Body,
};

const BASE: &str = "/api/v1/";
const JSON: &str = "application/json";

/// Answers one request.
pub async fn handle(door: &Door, request: Request<Incoming>) -> Response<Body> {
    match serve(door, request).await {
        Ok(response) => response,
        Err(refused) => refuse(&refused),
    }
}

/// The answer to a request that is not answered.
pub fn refuse(refused: &Refused) -> Response<Body> {
    let body = serde_json::to_vec(&refused.fault).unwrap_or_default();
    let mut response = respond(JSON, body);
    *response.status_mut() =
        StatusCode::from_u16(refused.fault.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if let Some(Ok(challenge)) = refused.challenge.as_deref().map(HeaderValue::from_str) {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    }
    response
}

async fn serve(door: &Door, request: Request<Incoming>) -> Result<Response<Body>, Refused> {
    let (parts, body) = request.into_parts();
    let guest = door.admit(&parts.method, &parts.uri, &parts.headers).await?;
    let path = parts.uri.path().strip_prefix(BASE).unwrap_or_default();
    let segments: Vec<String> = path.split('/').map(decoded).collect();
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let query = parts.uri.query().unwrap_or_default();
    let call = match parts.method {
        Method::GET => match segments.as_slice() {
            ["watch"] => return watch(door, &guest, query),
            ["verdicts", "export"] => return export(door, &guest, query),
            segments => asked(segments, query)?,
        },
        Method::POST => {
            is_json(&parts.headers)?;
            told(&segments, &read(body).await?)?
        }
        _ => return Err(Fault::unimplemented("only GET and POST are served".to_owned()).into()),
    };
    let answer = door.call(&guest, call).await?;
    let body = serde_json::to_vec(&answer).map_err(|error| Fault::internal(error.to_string()))?;
    Ok(respond(JSON, body))
}

/// The call of a GET.
fn asked(segments: &[&str], query: &str) -> Result<Call, Fault> {
    Ok(match segments {
        ["incidents"] => Call::ListIncidents(from_query(query)?),
        ["incidents", id] => {
            let _: GetFleetRequest = from_query(query)?;
            Call::GetIncident(GetIncidentRequest { id: (*id).to_owned() })
        }
        ["verdicts"] => Call::ListVerdicts(from_query(query)?),
        ["functions"] => Call::ListFunctions(from_query(query)?),
        ["functions", id] => {
            let _: GetFleetRequest = from_query(query)?;
            Call::GetFunction(GetFunctionRequest { id: (*id).to_owned() })
        }
        ["fleet"] => Call::GetFleet(from_query(query)?),
        ["proposals"] => Call::ListProposals(from_query(query)?),
        _ => return Err(nothing_here()),
    })
}

/// The call of a POST.
fn told(segments: &[&str], body: &[u8]) -> Result<Call, Fault> {
    Ok(match segments {
        ["verdicts", "preview"] => Call::PreviewVerdict(from_json(body)?),
        ["verdicts"] => Call::GiveVerdict(from_json(body)?),
        ["verdicts", id, "undo"] => Call::UndoVerdict(UndoVerdictRequest { id: (*id).to_owned(), ..from_json(body)? }),
        ["proposals", id, "decide"] => Call::Decide(DecideRequest { id: (*id).to_owned(), ..from_json(body)? }),
        _ => return Err(nothing_here()),
    })
}

fn nothing_here() -> Fault {
    Fault::not_found("there is nothing here; the API's paths are in proto/sekisho/control/v1/control.proto".to_owned())
}

/// A form on somebody's web page can post text; to post JSON a page needs to be ours.
fn is_json(headers: &HeaderMap) -> Result<(), Fault> {
    let given = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if given.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(JSON) {
        return Ok(());
    }
    Err(Fault::invalid(format!("the content type must be {JSON}")))
}

fn from_json<T: DeserializeOwned>(body: &[u8]) -> Result<T, Fault> {
    serde_json::from_slice(body).map_err(|error| Fault::invalid(format!("the body is not what it should be: {error}")))
}

fn from_query<T: DeserializeOwned>(query: &str) -> Result<T, Fault> {
    let mut fields = Map::new();
    for (key, value) in pairs(query) {
        let value = match key.as_str() {
            "page_size" => {
                Value::from(value.parse::<u32>().map_err(|_| Fault::invalid("page_size is not a number".to_owned()))?)
            }
            "active" => Value::from(value == "true"),
            _ => Value::from(value),
        };
        fields.insert(key, value);
    }
    serde_json::from_value(Value::Object(fields))
        .map_err(|error| Fault::invalid(format!("the query is not what it should be: {error}")))
}

fn pairs(query: &str) -> Vec<(String, String)> {
    let url = Url::parse(&format!("http://localhost/?{query}"));
    url.map(|url| url.query_pairs().into_owned().collect()).unwrap_or_default()
}

/// One segment of a path, percent-decoded; in paths a plus is a plus.
fn decoded(segment: &str) -> String {
    let of = pairs(&format!("of={}", segment.replace('+', "%2B").replace('&', "%26")));
    of.into_iter().next().map(|(_, value)| value).unwrap_or_default()
}

fn watch(door: &Door, guest: &Guest, query: &str) -> Result<Response<Body>, Refused> {
    let _: GetFleetRequest = from_query(query)?;
    let control = door.everything(guest)?;
    let place = streams::place(door)?;
    let body = streams::watch(door.links(), control.watch(), place, door.cancel.clone(), ServerSentEvents);
    let mut response = Response::new(body);
    dress(response.headers_mut(), "text/event-stream");
    Ok(response)
}

fn export(door: &Door, guest: &Guest, query: &str) -> Result<Response<Body>, Refused> {
    let _: GetFleetRequest = from_query(query)?;
    let mut lines = Vec::new();
    for verdict in door.everything(guest)?.verdicts() {
        serde_json::to_writer(&mut lines, &verdict).map_err(|error| Fault::internal(error.to_string()))?;
        lines.push(b'\n');
    }
    Ok(respond("application/x-ndjson", lines))
}

struct ServerSentEvents;

impl streams::Form for ServerSentEvents {
    fn event(&self, event: &Event) -> Bytes {
        let mut text = String::new();
        let data = serde_json::to_string(event).unwrap_or_default();
        let _ = write!(text, "event: {}\nid: {}\ndata: {data}\n\n", event.kind, event.sequence);
        text.into()
    }

    fn alive(&self) -> Option<Bytes> {
        Some(Bytes::from_static(b":\n\n"))
    }

    fn end(&self) -> Option<Frame<Bytes>> {
        None
    }
}

fn respond(media_type: &'static str, body: Vec<u8>) -> Response<Body> {
    let mut response = Response::new(Full::new(Bytes::from(body)).boxed_unsync());
    dress(response.headers_mut(), media_type);
    response
}

/// What every answer of the API says about itself.
fn dress(headers: &mut HeaderMap, media_type: &'static str) {
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert("cross-origin-resource-policy", HeaderValue::from_static("same-origin"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_queries_become_calls() {
        let call = |path: &str, query: &str| {
            let segments: Vec<String> = path.split('/').map(decoded).collect();
            asked(&segments.iter().map(String::as_str).collect::<Vec<_>>(), query).map(|call| format!("{call:?}"))
        };
        let incidents = call("incidents", "state=open&since=18446744073709551615&page_size=2").unwrap();
        assert!(incidents.contains("since: 18446744073709551615, page_size: 2"), "{incidents}");
        assert!(call("functions/a%2Fb%20c+d%26e", "").unwrap().contains(r#"id: "a/b c+d&e""#));
        assert!(call("verdicts", "active=true").unwrap().contains("active: true"));
        #[rustfmt::skip]
        let table = [
            ("unknown path",      "incident", "", "nothing here"),
            ("too deep",          "incidents/a/b", "", "nothing here"),
            ("unknown parameter", "incidents", "stat=open", "unknown field `stat`"),
            ("not a number",      "incidents", "page_size=many", "page_size"),
            ("out of range",      "incidents", "since=-1", "a whole number"),
            ("of another call",   "fleet", "state=open", "unknown field"),
        ];
        for (row, path, query, expected) in table {
            let error = call(path, query).unwrap_err();
            assert!(error.message.contains(expected), "{row}: {error}");
        }
    }

    #[test]
    fn events_are_lines_that_a_browser_reads() {
        use streams::Form as _;
        let event = Event { sequence: 7, kind: "fleet".to_owned(), ..Event::default() };
        let text = String::from_utf8(ServerSentEvents.event(&event).to_vec()).unwrap();
        assert!(text.starts_with("event: fleet\nid: 7\ndata: {\"sequence\":\"7\""), "{text}");
        assert!(text.ends_with("}\n\n") && text.matches('\n').count() == 4, "{text}");
    }
}
