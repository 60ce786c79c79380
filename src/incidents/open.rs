//! One open incident: what it has gathered, and what has been told of it.

use std::collections::VecDeque;

use super::{Change, ChangeKind, Finding, Function, Incident, bounds, cause::Cause, priority, techniques, text};
use crate::detect::{
    observation::Nanos,
    verdict::{Evidence, Tier},
};

/// New evidence below this is not news.
const NEWS_BITS: f64 = 1.0;
/// So many times more invocations are news.
const NEWS_GROWTH: u64 = 10;

/// An incident while it is open.
#[derive(Clone, Debug)]
pub struct Open {
    pub incident: Incident,
    /// What draws further verdicts in, least recently seen first.
    pub causes: VecDeque<(Cause, Nanos)>,
    /// The lead's headline, before functions drawn in are added to it.
    pub base_headline: String,
    /// Event time of the last change told.
    pub last_change: Nanos,
    pub told_invocations: u64,
    /// Something changed that a person would want to know and has not been told.
    pub untold: bool,
}

impl Open {
    /// A new incident of one finding.
    pub fn new(id: String, tier: Tier, finding: &Finding<'_>) -> Self {
        let incident = Incident {
            id,
            tier,
            priority: 0,
            score: f64::NEG_INFINITY,
            line: finding.verdict.line,
            first_seen: finding.at,
            last_seen: finding.at,
            at: finding.at,
            trace_id: [0; 16],
            span_id: [0; 8],
            functions: Vec::new(),
            lead: finding.function.hash,
            resource: bytes::Bytes::new(),
            invocations: Vec::new(),
            invocation_count: 0,
            evidence: Vec::new(),
            headline: String::new(),
            counterfactual: String::new(),
            techniques: Vec::new(),
            merged_into: None,
        };
        let mut open = Self {
            incident,
            causes: VecDeque::new(),
            base_headline: String::new(),
            last_change: finding.at,
            told_invocations: 0,
            untold: false,
        };
        open.absorb(tier, finding);
        open
    }

    /// Takes a verdict of tier queue or page in.
    pub fn absorb(&mut self, tier: Tier, finding: &Finding<'_>) {
        let incident = &mut self.incident;
        let raised = tier > incident.tier;
        incident.tier = incident.tier.max(tier);
        incident.first_seen = incident.first_seen.min(finding.at);
        incident.last_seen = incident.last_seen.max(finding.at);
        let function = finding.function;
        let drawn_in = add_function(
            &mut incident.functions,
            Function {
                hash: function.hash,
                name: bounds::text(function.name),
                version: bounds::text(function.version),
            },
        );
        let evidence = on_the_lines_scale(finding);
        let leads = finding.verdict.standardised - finding.verdict.line > incident.score - incident.line;
        if leads {
            self.lead_with(finding, &evidence);
        }
        self.count_invocation(finding.invocation_id);
        let (kept, shown) = self.add_all(evidence);
        let grown = self.incident.invocation_count >= self.told_invocations.saturating_mul(NEWS_GROWTH);
        self.untold |= raised | drawn_in | shown | grown;
        if leads | drawn_in | kept {
            self.refresh();
        }
    }

    /// Makes it a page. False if it was one.
    pub fn raise(&mut self) -> bool {
        let raised = self.incident.tier < Tier::Page;
        self.incident.tier = Tier::Page;
        self.refresh();
        raised
    }

    /// Takes a verdict of tier evidence in: it corroborates, but is no news and does not keep the incident open.
    pub fn corroborate(&mut self, finding: &Finding<'_>) {
        self.count_invocation(finding.invocation_id);
        let (kept, _) = self.add_all(on_the_lines_scale(finding));
        if kept {
            self.refresh();
        }
    }

    /// Takes all of a younger incident in.
    pub fn merge(&mut self, other: Self) {
        let (mine, theirs) = (&mut self.incident, other.incident);
        mine.tier = mine.tier.max(theirs.tier);
        mine.first_seen = mine.first_seen.min(theirs.first_seen);
        mine.last_seen = mine.last_seen.max(theirs.last_seen);
        mine.invocation_count = mine.invocation_count.saturating_add(theirs.invocation_count);
        for function in theirs.functions {
            add_function(&mut mine.functions, function);
        }
        for id in theirs.invocations {
            if mine.invocations.len() < bounds::INVOCATIONS && !mine.invocations.contains(&id) {
                mine.invocations.push(id);
            }
        }
        if theirs.score - theirs.line > mine.score - mine.line {
            (mine.score, mine.line, mine.at) = (theirs.score, theirs.line, theirs.at);
            (mine.trace_id, mine.span_id) = (theirs.trace_id, theirs.span_id);
            (mine.lead, mine.resource, mine.counterfactual) = (theirs.lead, theirs.resource, theirs.counterfactual);
            self.base_headline = other.base_headline;
        }
        self.add_all(theirs.evidence);
        self.untold = true;
        self.refresh();
    }

    /// The change to tell, as of event time `at`.
    pub fn tell(&mut self, kind: ChangeKind, at: Nanos) -> Change {
        self.last_change = at;
        self.told_invocations = self.incident.invocation_count;
        self.untold = false;
        Change { kind, incident: self.incident.clone() }
    }

    /// Derives what follows from the rest.
    pub(super) fn refresh(&mut self) {
        let incident = &mut self.incident;
        incident.priority = priority::of(incident);
        incident.techniques = techniques::of(&incident.evidence);
        incident.headline = text::with_others(&self.base_headline, incident.functions.len().saturating_sub(1));
    }

    /// The finding is the strongest so far: the incident is told about it.
    fn lead_with(&mut self, finding: &Finding<'_>, evidence: &[Evidence]) {
        let verdict = finding.verdict;
        let incident = &mut self.incident;
        (incident.score, incident.line, incident.at) = (verdict.standardised, verdict.line, verdict.at);
        let source = evidence.first().map(|row| row.source).unwrap_or_default();
        let known = source.trace_id != [0; 16];
        (incident.trace_id, incident.span_id) =
            if known { (source.trace_id, source.span_id) } else { (finding.trace_id, finding.span_id) };
        incident.lead = finding.function.hash;
        incident.resource = bounds::resource(&(finding.resource)());
        incident.counterfactual = text::counterfactual(incident.score, incident.line, evidence);
        self.base_headline = text::headline(finding.function, evidence, verdict.sample_size);
    }

    fn count_invocation(&mut self, id: &str) {
        let incident = &mut self.incident;
        // The same invocation is judged again when spans of it come late.
        if incident.invocations.iter().any(|known| known == id) {
            return;
        }
        incident.invocation_count = incident.invocation_count.saturating_add(1);
        if id.is_empty() {
            return;
        }
        // The first ones tell how it began, the last ones what it has come to.
        if incident.invocations.len() >= bounds::INVOCATIONS {
            incident.invocations.remove(bounds::INVOCATIONS / 2);
        }
        incident.invocations.push(bounds::text(id));
    }

    /// Whether any of the rows was kept, and whether any of those is worth telling.
    fn add_all(&mut self, rows: Vec<Evidence>) -> (bool, bool) {
        rows.into_iter()
            .map(|row| self.add_evidence(row))
            .fold((false, false), |(kept, news), added| (kept || added != Added::Dropped, news || added == Added::News))
    }

    fn add_evidence(&mut self, row: Evidence) -> Added {
        let rows = &mut self.incident.evidence;
        let same = |known: &Evidence| {
            known.feature == row.feature
                && known.key.as_ref().map(|key| key.hash) == row.key.as_ref().map(|key| key.hash)
        };
        let news = match rows.iter().position(same) {
            Some(at) => {
                if rows.get(at).is_none_or(|known| known.bits >= row.bits) {
                    return Added::Dropped;
                }
                rows.remove(at);
                false
            }
            None => row.bits >= NEWS_BITS,
        };
        let place = rows.partition_point(|known| known.bits >= row.bits);
        if place >= bounds::EVIDENCE {
            return Added::Dropped;
        }
        rows.insert(place, row);
        rows.truncate(bounds::EVIDENCE);
        if news { Added::News } else { Added::Kept }
    }
}

/// What became of a row of evidence.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Added {
    /// There is as strong a row of the same already, or there are stronger ones enough.
    Dropped,
    Kept,
    /// Kept, and worth telling.
    News,
}

/// True if the function is a new one.
fn add_function(functions: &mut Vec<Function>, function: Function) -> bool {
    if let Some(known) = functions.iter_mut().find(|known| known.hash == function.hash) {
        known.version = function.version;
        return false;
    }
    let room = functions.len() < bounds::FUNCTIONS;
    if room {
        functions.push(function);
    }
    room
}

/// The verdict's evidence, strongest first, scaled so that it adds up to the standardised score.
fn on_the_lines_scale(finding: &Finding<'_>) -> Vec<Evidence> {
    let verdict = finding.verdict;
    let ratio = verdict.standardised / verdict.score;
    let scale = if ratio.is_finite() && ratio > 0.0 { ratio } else { 1.0 };
    let rows = verdict.evidence.iter().filter(|row| row.bits.is_finite()).take(bounds::EVIDENCE);
    let mut rows: Vec<Evidence> = rows.map(|row| bounds::evidence(row, scale)).collect();
    rows.sort_by(|a, b| b.bits.total_cmp(&a.bits));
    rows
}
