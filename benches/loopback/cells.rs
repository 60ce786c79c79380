//! What is measured: every cell by its name, `signal/path/compression/load`.

use super::generator::Offer;

/// One measurement.
#[derive(Clone, Debug, PartialEq)]
pub struct Cell {
    /// What is sent.
    pub signal: &'static str,
    /// What the gateway does with it.
    pub path: Path,
    /// Of what is sent and of what is forwarded.
    pub compression: &'static str,
    /// How much is sent, and what the sink does.
    pub load: Load,
    /// HTTP on both sides instead of gRPC.
    pub http: bool,
}

/// What the gateway does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    /// Nothing.
    Forward,
    /// Four more attributes on each item.
    Attributes,
    /// Makes requests of 8192 items.
    Batch,
    /// Who ran, what is unusual, annotations on everything.
    Detect,
}

/// How much is sent, and what the sink does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Load {
    /// Eight requests in flight.
    Saturated,
    /// 50 000 items a second.
    Steady,
    /// Twice what goes.
    Double,
    /// 50 000 items a second, and for a while no answer.
    Stalls,
    /// The same with refusals.
    Refuses,
    /// The same with nobody there.
    Dies,
}

const SIGNALS: [&str; 2] = ["spans", "logs"];
const COMPRESSIONS: [&str; 3] = ["none", "gzip", "zstd"];
const STEADY: f64 = 50_000.0;

impl Cell {
    /// All of them.
    pub fn all() -> Vec<Self> {
        let mut cells = Vec::new();
        for signal in SIGNALS {
            for path in [Path::Forward, Path::Attributes, Path::Batch, Path::Detect] {
                for compression in COMPRESSIONS {
                    cells.push(Self { signal, path, compression, load: Load::Saturated, http: false });
                }
            }
            for compression in COMPRESSIONS {
                cells.push(Self { signal, path: Path::Forward, compression, load: Load::Saturated, http: true });
            }
            for path in [Path::Forward, Path::Detect] {
                for load in [Load::Steady, Load::Double, Load::Stalls, Load::Refuses, Load::Dies] {
                    cells.push(Self { signal, path, compression: "none", load, http: false });
                }
                // Compressed beforehand, requests cost their sender little: here the gateway is what is too slow.
                cells.push(Self { signal, path, compression: "gzip", load: Load::Double, http: false });
            }
        }
        cells
    }

    /// The few that show whether anything is broken.
    pub fn quick() -> Vec<Self> {
        let names = ["spans/forward/none/saturated", "spans/detect/gzip/saturated", "logs/detect/none/dies"];
        Self::all().into_iter().filter(|cell| names.contains(&cell.name().as_str())).collect()
    }

    /// `spans/forward/none/saturated`.
    pub fn name(&self) -> String {
        let http = if self.http { "+http" } else { "" };
        format!("{}/{}{http}/{}/{}", self.signal, self.path.name(), self.compression, self.load.name())
    }

    /// Whether a pattern means it: parts between slashes, `*` for any, as many as matter.
    pub fn is(&self, pattern: &str) -> bool {
        let name = self.name();
        let mut parts = name.split('/');
        pattern.split('/').all(|wanted| parts.next().is_some_and(|part| wanted == "*" || wanted == part))
    }
}

impl Path {
    /// As in a cell's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::Attributes => "attributes",
            Self::Batch => "batch",
            Self::Detect => "detect",
        }
    }
}

impl Load {
    /// As in a cell's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Saturated => "saturated",
            Self::Steady => "steady",
            Self::Double => "double",
            Self::Stalls => "stalls",
            Self::Refuses => "refuses",
            Self::Dies => "dies",
        }
    }

    /// How much is sent.
    pub const fn offer(self) -> Offer {
        match self {
            Self::Saturated => Offer::InFlight(8),
            Self::Double => Offer::Times(2.0),
            Self::Steady | Self::Stalls | Self::Refuses | Self::Dies => Offer::Rate(STEADY),
        }
    }

    /// The gateway's memory limit, MiB, where there is one: less than everything on offer would take.
    pub const fn memory_limit_mib(self, path: Path) -> Option<u64> {
        match (self, path) {
            (Self::Double, Path::Detect) => Some(256),
            (Self::Double, _) => Some(96),
            _ => None,
        }
    }

    /// What the sink is told when the trouble begins and when it ends.
    pub const fn fault(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::Stalls => Some(("stall", "take")),
            Self::Refuses => Some(("refuse", "take")),
            Self::Dies => Some(("die", "live")),
            Self::Saturated | Self::Steady | Self::Double => None,
        }
    }
}
