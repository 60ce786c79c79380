//! What integration tests share: the built binary on ports the system chose, and a sink with faults.
//!
//! Each test file uses its own part of this.
#![allow(dead_code, reason = "every test binary compiles this module and uses a part of it")]
#![allow(clippy::unwrap_used, reason = "a test says more by failing where it stands")]

pub mod certificates;
pub mod input;
pub mod ledger;
pub mod recording;
pub mod sink;

use std::{
    collections::HashMap,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

/// How long anything may take before a test gives up on it.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// Polls `probe` until it gives something; fails the test with `what` after [`DEADLINE`].
pub async fn eventually<T>(what: &str, mut probe: impl AsyncFnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = probe().await {
            return found;
        }
        assert!(begun.elapsed() < DEADLINE, "not within {DEADLINE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// An HTTP client; the first one chooses the TLS implementation, as the binary does for itself.
pub fn http() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::new()
}

/// A running `sekisho`, killed when dropped.
pub struct Gateway {
    child: Child,
    log: Arc<Mutex<Vec<String>>>,
    pub directory: tempfile::TempDir,
    pub config: PathBuf,
}

impl Gateway {
    /// Starts the binary with `config` in a directory of its own and waits until it says that it listens.
    pub async fn start(config: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self::start_in(directory, config, &[]).await
    }

    /// The same with variables in its environment.
    pub async fn start_with(config: &str, variables: &[(&str, &str)]) -> Self {
        Self::launch(tempfile::tempdir().unwrap(), config, &[], variables).await
    }

    /// The same in a given directory, with further arguments.
    pub async fn start_in(directory: tempfile::TempDir, config: &str, arguments: &[&str]) -> Self {
        Self::launch(directory, config, arguments, &[]).await
    }

    async fn launch(
        directory: tempfile::TempDir,
        config: &str,
        arguments: &[&str],
        variables: &[(&str, &str)],
    ) -> Self {
        let path = directory.path().join("config.yaml");
        std::fs::write(&path, config).unwrap();
        // Readers say themselves where they listen.
        let address = ["--set", "service.telemetry.metrics.address=127.0.0.1:0"];
        let mut child = Command::new(env!("CARGO_BIN_EXE_sekisho"))
            .arg("--config")
            .arg(&path)
            .args(["--set", "service.telemetry.logs.encoding=json"])
            // Tests count what is said: nothing may be left out for being said often.
            .args(["--set", "service.telemetry.logs.sampling.enabled=false"])
            .args(address.iter().filter(|_| !config.contains("readers:")))
            .args(arguments)
            .envs(variables.iter().copied())
            .current_dir(directory.path())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Arc::new(Mutex::new(Vec::new()));
        let (lines, stderr) = (log.clone(), child.stderr.take().unwrap());
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                lines.lock().unwrap().push(line);
            }
        });
        let mut gateway = Self { child, log, directory, config: path };
        gateway.wait_for_log("the gateway starts", |line| line["message"] == "started").await;
        gateway
    }

    /// Waits for a log line, giving up at once if the process has ended.
    pub async fn wait_for_log(&mut self, what: &str, wanted: impl Fn(&serde_json::Value) -> bool) -> serde_json::Value {
        let begun = Instant::now();
        loop {
            if let Some(line) = self.log_lines().into_iter().find(&wanted) {
                return line;
            }
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("the gateway ended ({status}) before {what}:\n{}", self.log.lock().unwrap().join("\n"));
            }
            assert!(begun.elapsed() < DEADLINE, "{what}:\n{}", self.log.lock().unwrap().join("\n"));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// All log lines so far.
    pub fn log_lines(&self) -> Vec<serde_json::Value> {
        self.log.lock().unwrap().iter().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// Where a component listens for a protocol, as `host:port`.
    pub fn endpoint(&self, component: &str, protocol: &str) -> String {
        let is_it = |line: &serde_json::Value| {
            line["message"] == "listening" && line["component"] == component && line["protocol"] == protocol
        };
        let line = self.log_lines().into_iter().rfind(is_it).unwrap_or_else(|| panic!("{component} {protocol}"));
        line["endpoint"].as_str().unwrap().to_owned()
    }

    /// `http://…` of the OTLP receiver's gRPC side.
    pub fn grpc(&self) -> String {
        format!("http://{}", self.endpoint("receiver otlp", "grpc"))
    }

    /// `http://…` of the OTLP receiver's HTTP side.
    pub fn http(&self) -> String {
        format!("http://{}", self.endpoint("receiver otlp", "http"))
    }

    /// The gateway's own metrics, as they are scraped.
    pub async fn scrape(&self) -> String {
        let url = format!("http://{}/metrics", self.endpoint("metrics", "http"));
        http().get(url).send().await.unwrap().text().await.unwrap()
    }

    /// The gateway's own metrics, by `name{labels}`.
    pub async fn metrics(&self) -> HashMap<String, f64> {
        let text = self.scrape().await;
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        lines
            .filter_map(|line| line.rsplit_once(' '))
            .map(|(name, value)| (name.into(), value.parse().unwrap()))
            .collect()
    }

    /// Sends a signal: `TERM`, `HUP`, `KILL`.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// Waits for the process to end by itself.
    pub async fn ended(&mut self) -> ExitStatus {
        eventually("the gateway ends", async || self.child.try_wait().unwrap()).await
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its resident memory, bytes.
    pub fn resident_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("0 kB");
        line.trim().trim_end_matches("kB").trim().parse::<u64>().unwrap() * 1024
    }

    /// SIGKILL, then the directory.
    pub fn kill(mut self) -> tempfile::TempDir {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        std::mem::replace(&mut self.directory, tempfile::tempdir().unwrap())
    }

    /// SIGTERM, then the directory, so that another gateway can go on in it.
    pub async fn terminate(mut self) -> tempfile::TempDir {
        self.signal("TERM");
        let status = self.ended().await;
        assert!(status.success(), "{status}: {:#?}", self.log.lock().unwrap());
        std::mem::replace(&mut self.directory, tempfile::tempdir().unwrap())
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs the binary to its end: exit code, stdout, stderr.
pub fn sekisho(arguments: &[&str], directory: &Path) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_sekisho")).args(arguments).current_dir(directory).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}
