use std::path::Path;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use super::*;
use crate::{config::Kind, pipeline::probe};

async fn get(address: std::net::SocketAddr, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").as_bytes()).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

/// Name, how the pipelines are, status, what the body says of them.
type Row<'a> = (&'a str, &'a [(&'a str, State)], u16, &'a str);

#[tokio::test]
async fn tells_the_truth_about_every_pipeline() {
    let context = probe::context("health_check", Path::new(""));
    let health = Arc::new(Health::default());
    context.shared.put(Health::NAME, health.clone());
    let config = Config { endpoint: Endpoint { host: "127.0.0.1".to_owned(), port: 0 }, path: "/health".to_owned() };
    let running = config.listen(&context).await.unwrap();
    let degraded = || State::Degraded("the queue of otlp_grpc is full".to_owned());
    #[rustfmt::skip]
    let table: &[Row] = &[
        ("before any pipeline", &[], 503, "{}"),
        ("starting",  &[("traces", State::Ready), ("logs", State::Starting)], 503, r#"{"logs":{"status":"starting"},"traces":{"status":"ready"}}"#),
        ("ready",     &[("traces", State::Ready), ("logs", State::Ready)],    200, r#"{"logs":{"status":"ready"},"traces":{"status":"ready"}}"#),
        ("degraded",  &[("traces", degraded())],                              503, r#"{"traces":{"status":"degraded","reason":"the queue of otlp_grpc is full"}}"#),
        ("failed",    &[("traces", State::Failed("batch: it panicked".to_owned()))], 503, r#"{"traces":{"status":"failed","reason":"batch: it panicked"}}"#),
        ("stopping",  &[("traces", State::Stopping)],                         503, r#"{"traces":{"status":"stopping"}}"#),
    ];
    for (row, states, status, pipelines) in table {
        health.set(states.iter().map(|(pipeline, state)| ((*pipeline).to_owned(), state.clone(), Vec::new())));
        let (found, body) = get(running.address, "/health").await;
        assert_eq!(found, *status, "{row}");
        let says = if *status == 200 { "Server available" } else { "Server not available" };
        assert!(body.starts_with(&format!("{{\"status\":\"{says}\",\"upSince\":\"20")), "{row}: {body}");
        assert!(body.ends_with(&format!("\"uptime\":\"0s\",\"pipelines\":{pipelines}}}")), "{row}: {body}");
    }
    health.set([("traces".to_owned(), State::Ready, Vec::new())]);
    health.failed("extension zpages", "it panicked".to_owned());
    let (found, body) = get(running.address, "/health").await;
    assert_eq!(found, 503, "a component outside of all pipelines");
    assert!(body.ends_with(r#""failed":{"extension zpages":"it panicked"}}"#), "{body}");
    assert_eq!(get(running.address, "/").await.0, 404);
    running.stop().await;
    assert!(TcpStream::connect(running.address).await.is_err(), "stopped means closed");
}

#[tokio::test]
async fn a_taken_port_is_a_clear_error() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = taken.local_addr().unwrap().port();
    let context = probe::context("health_check", Path::new(""));
    context.shared.put(Health::NAME, Arc::new(Health::default()));
    let config = Config { endpoint: Endpoint { host: "127.0.0.1".to_owned(), port }, ..Config::default() };
    let error = config.start(&context).await.err().unwrap().to_string();
    assert!(error.contains(&format!("cannot listen on 127.0.0.1:{port}")), "{error}");
}

#[test]
fn paths_that_would_confuse_the_router_are_refused() {
    for (yaml, fine) in
        [("path: /health", true), ("path: health", false), ("path: /{a}", false), ("path: '/a b'", false)]
    {
        let (_, said) = probe::config::<Config>(Kind::Extension, yaml);
        assert_eq!(said.is_empty(), fine, "{yaml}: {said}");
    }
}
