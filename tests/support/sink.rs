//! A destination: the official OTLP services over gRPC, which keep what they get and can be told to refuse or stall.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU8, Ordering},
    },
};

use opentelemetry_proto::tonic::collector::{
    logs::v1::{
        ExportLogsServiceRequest, ExportLogsServiceResponse,
        logs_service_server::{LogsService, LogsServiceServer},
    },
    metrics::v1::{
        ExportMetricsServiceRequest, ExportMetricsServiceResponse,
        metrics_service_server::{MetricsService, MetricsServiceServer},
    },
    trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
};
use opentelemetry_proto::tonic::{logs::v1::LogRecord, trace::v1::Span};
use tonic::{
    Request, Response, Status,
    codec::CompressionEncoding::{Gzip, Zstd},
    metadata::MetadataMap,
};

const TAKES: u8 = 0;
const REFUSES: u8 = 1;
const STALLS: u8 = 2;

/// What has arrived, and the mood.
#[derive(Clone, Default)]
pub struct Sink {
    traces: Arc<Mutex<Vec<ExportTraceServiceRequest>>>,
    logs: Arc<Mutex<Vec<ExportLogsServiceRequest>>>,
    metrics: Arc<Mutex<Vec<ExportMetricsServiceRequest>>>,
    /// Of requests with traces.
    metadata: Arc<Mutex<Vec<MetadataMap>>>,
    mood: Arc<AtomicU8>,
}

impl Sink {
    /// Starts on a port the system chose.
    pub async fn start() -> (Self, SocketAddr) {
        let sink = Self::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let max = 64 << 20;
        let traces = TraceServiceServer::new(sink.clone())
            .accept_compressed(Gzip)
            .accept_compressed(Zstd)
            .max_decoding_message_size(max);
        let logs = LogsServiceServer::new(sink.clone())
            .accept_compressed(Gzip)
            .accept_compressed(Zstd)
            .max_decoding_message_size(max);
        let metrics = MetricsServiceServer::new(sink.clone())
            .accept_compressed(Gzip)
            .accept_compressed(Zstd)
            .max_decoding_message_size(max);
        let incoming = tonic::transport::server::TcpIncoming::from(listener);
        tokio::spawn(
            tonic::transport::Server::builder()
                .add_service(traces)
                .add_service(logs)
                .add_service(metrics)
                .serve_with_incoming(incoming),
        );
        (sink, address)
    }

    /// Answers UNAVAILABLE from now on.
    pub fn refuse(&self) {
        self.mood.store(REFUSES, Ordering::SeqCst);
    }

    /// Answers nothing from now on.
    pub fn stall(&self) {
        self.mood.store(STALLS, Ordering::SeqCst);
    }

    /// Takes everything from now on.
    pub fn take(&self) {
        self.mood.store(TAKES, Ordering::SeqCst);
    }

    /// Every span so far.
    pub fn spans(&self) -> Vec<Span> {
        let requests = self.traces.lock().unwrap();
        let scopes = requests.iter().flat_map(|r| &r.resource_spans).flat_map(|r| &r.scope_spans);
        scopes.flat_map(|scope| scope.spans.clone()).collect()
    }

    /// Every log record so far.
    pub fn log_records(&self) -> Vec<LogRecord> {
        let requests = self.logs.lock().unwrap();
        let scopes = requests.iter().flat_map(|r| &r.resource_logs).flat_map(|r| &r.scope_logs);
        scopes.flat_map(|scope| scope.log_records.clone()).collect()
    }

    /// Every traces request so far.
    pub fn trace_requests(&self) -> Vec<ExportTraceServiceRequest> {
        self.traces.lock().unwrap().clone()
    }

    /// What came with each of them.
    pub fn trace_metadata(&self) -> Vec<MetadataMap> {
        self.metadata.lock().unwrap().clone()
    }

    /// Every metrics request so far.
    pub fn metric_requests(&self) -> Vec<ExportMetricsServiceRequest> {
        self.metrics.lock().unwrap().clone()
    }

    async fn answer<T, R: Default>(&self, kept: &Mutex<Vec<T>>, request: Request<T>) -> Result<Response<R>, Status> {
        match self.mood.load(Ordering::SeqCst) {
            REFUSES => Err(Status::unavailable("told to refuse")),
            STALLS => std::future::pending().await,
            _ => {
                kept.lock().unwrap().push(request.into_inner());
                Ok(Response::new(R::default()))
            }
        }
    }
}

#[tonic::async_trait]
impl TraceService for Sink {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let metadata = request.metadata().clone();
        let answer = self.answer(&self.traces, request).await?;
        self.metadata.lock().unwrap().push(metadata);
        Ok(answer)
    }
}

#[tonic::async_trait]
impl LogsService for Sink {
    async fn export(
        &self,
        request: Request<ExportLogsServiceRequest>,
    ) -> Result<Response<ExportLogsServiceResponse>, Status> {
        self.answer(&self.logs, request).await
    }
}

#[tonic::async_trait]
impl MetricsService for Sink {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        self.answer(&self.metrics, request).await
    }
}
