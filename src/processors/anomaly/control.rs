//! The control API's answers, from the model and the desk.

use std::{collections::BTreeMap, sync::Arc};

use tokio::sync::broadcast;

use super::{
    core::{Core, Mind, apply, wall_clock},
    functions,
};
use crate::{
    detect::verdict::{Promise, PromiseState},
    incidents::{
        control::{
            Answer, Answering, Call, Control, Fault,
            proto::{
                Attribute, Event, Fleet, FunctionDetail, GiveVerdictRequest, Incident, IncidentDetail,
                ListFunctionsResponse, ListIncidentsRequest, ListIncidentsResponse, ListProposalsResponse,
                ListVerdictsRequest, ListVerdictsResponse, UndoVerdictRequest, Verdict, VerdictPreview,
            },
        },
        desk::Desk,
        promise, proposals,
    },
    pipeline::health::State,
};

const DEFAULT_PAGE: u32 = 50;
const LARGEST_PAGE: u32 = 500;
/// Incidents listed with a function.
const MOST_OF_FUNCTION: usize = 20;

impl Control for Core {
    fn answer(&self, call: Call) -> Answering<'_> {
        Box::pin(async move {
            Ok(match call {
                Call::ListIncidents(request) => Answer::Incidents(self.list_incidents(&request)?),
                Call::GetIncident(request) => Answer::Incident(Box::new(self.incident(&request.id)?)),
                Call::PreviewVerdict(request) => Answer::Preview(Box::new(self.preview(&request)?)),
                Call::GiveVerdict(request) => Answer::Verdict(Box::new(self.give(&request).await?)),
                Call::UndoVerdict(request) => Answer::Verdict(Box::new(self.undo(&request).await?)),
                Call::ListVerdicts(request) => Answer::Verdicts(self.list_verdicts(&request)?),
                Call::ListFunctions(request) => {
                    let all = functions::list(&self.mind().model, &request.name, &open_on(&self.desk()));
                    let (functions, next_page_token, total) = page(all, request.page_size, &request.page_token)?;
                    Answer::Functions(ListFunctionsResponse { functions, next_page_token, total })
                }
                Call::GetFunction(request) => Answer::Function(Box::new(self.function(&request.id)?)),
                Call::GetFleet(_) => Answer::Fleet(Box::new(self.fleet())),
                Call::ListProposals(request) => {
                    let mut all = self.proposals.list();
                    all.retain(|one| request.state.is_empty() || one.state == request.state);
                    let (proposals, next_page_token, total) = page(all, request.page_size, &request.page_token)?;
                    Answer::Proposals(ListProposalsResponse { proposals, next_page_token, total })
                }
                Call::Decide(request) => {
                    let decided = self.proposals.decide(&request.id, request.approve, &request.author, &request.note);
                    Answer::Proposal(Box::new(decided.map_err(|refused| match refused {
                        proposals::Refused::Unknown(_) => Fault::not_found(refused.to_string()),
                        proposals::Refused::NotNow(_) => Fault::conflict(refused.to_string()),
                    })?))
                }
            })
        })
    }

    fn verdicts(&self) -> Vec<Verdict> {
        let desk = self.desk();
        desk.verdicts().into_iter().rev().cloned().collect()
    }

    fn watch(&self) -> broadcast::Receiver<Arc<Event>> {
        self.watchers.sender.subscribe()
    }
}

impl Core {
    fn list_incidents(&self, request: &ListIncidentsRequest) -> Result<ListIncidentsResponse, Fault> {
        one_of("state", &request.state, &["open", "resolved"])?;
        one_of("tier", &request.tier, &["page", "queue"])?;
        let wanted = |one: &&Incident| {
            let of = |function: &str| {
                let mut functions = one.functions.iter();
                functions.any(|known| known.id == function || known.name.contains(function))
            };
            (request.state.is_empty() || one.state == request.state)
                && (request.tier != "page" || one.tier == "page")
                && (request.function.is_empty() || of(&request.function))
                && one.last_seen >= request.since
        };
        let desk = self.desk();
        let all: Vec<&Incident> = desk.incidents().into_iter().filter(wanted).collect();
        let (incidents, next_page_token, total) = page(all, request.page_size, &request.page_token)?;
        let incidents = incidents.into_iter().map(|one| self.linked(one.clone())).collect();
        Ok(ListIncidentsResponse { incidents, next_page_token, total })
    }

    fn incident(&self, id: &str) -> Result<IncidentDetail, Fault> {
        let unknown = || Fault::not_found(format!("there is no incident `{}`", crate::incidents::text::shown(id, 64)));
        let mut detail = self.desk().incident(id).ok_or_else(unknown)?;
        detail.incident = detail.incident.map(|incident| self.linked(incident));
        Ok(detail)
    }

    fn preview(&self, request: &GiveVerdictRequest) -> Result<VerdictPreview, Fault> {
        let mind = self.mind();
        self.desk().preview(request, &mind.model, wall_clock())
    }

    async fn give(&self, request: &GiveVerdictRequest) -> Result<Verdict, Fault> {
        let verdict = {
            let mut mind = self.mind();
            let mut desk = self.desk();
            let now = wall_clock();
            let told_no_more = desk.preview(request, &mind.model, now)?.covers_this;
            let verdict = desk.give(request, &mind.model, now)?;
            count_and_apply(&mut mind, &mut desk);
            if told_no_more {
                self.resolve(&mut mind, &mut desk, &verdict.incident_id);
            }
            self.publish(&mut desk);
            verdict
        };
        let verdict = self.saved(verdict).await?;
        self.answered(&verdict, &verdict.kind);
        Ok(verdict)
    }

    async fn undo(&self, request: &UndoVerdictRequest) -> Result<Verdict, Fault> {
        let verdict = {
            let mut mind = self.mind();
            let mut desk = self.desk();
            let verdict = desk.undo(&request.id, &request.author, &request.note, wall_clock())?;
            let functions = desk.functions_of(&verdict.incident_id);
            for (function, since, _) in functions {
                match verdict.kind.as_str() {
                    "malicious" => mind.model.detector.pardon(function),
                    // What was tolerated meanwhile is not learned for it.
                    "expected" => mind.model.detector.veto(function, since),
                    _ => {}
                }
            }
            count_and_apply(&mut mind, &mut desk);
            self.publish(&mut desk);
            verdict
        };
        let verdict = self.saved(verdict).await?;
        self.answered(&verdict, "undone");
        Ok(verdict)
    }

    /// Escalation need not call anybody any more, or has to again.
    fn answered(&self, verdict: &Verdict, kind: &str) {
        self.answers.given(&verdict.incident_id, &verdict.author, kind);
    }

    async fn saved(&self, verdict: Verdict) -> Result<Verdict, Fault> {
        let saved = self.save_desk().await;
        saved.map(|()| verdict).map_err(|error| {
            Fault::internal(format!("it holds now, but could not be saved and is tried again: {error}"))
        })
    }

    fn list_verdicts(&self, request: &ListVerdictsRequest) -> Result<ListVerdictsResponse, Fault> {
        one_of("kind", &request.kind, &["expected", "malicious", "unsure"])?;
        let wanted = |one: &&Verdict| {
            (request.incident_id.is_empty() || one.incident_id == request.incident_id)
                && (request.kind.is_empty() || one.kind == request.kind)
                && (!request.active || one.state == "active")
        };
        let desk = self.desk();
        let all: Vec<&Verdict> = desk.verdicts().into_iter().filter(wanted).collect();
        let (verdicts, next_page_token, total) = page(all, request.page_size, &request.page_token)?;
        Ok(ListVerdictsResponse { verdicts: verdicts.into_iter().cloned().collect(), next_page_token, total })
    }

    fn function(&self, id: &str) -> Result<FunctionDetail, Fault> {
        let mind = self.mind();
        let desk = self.desk();
        let hash = functions::find(&mind.model.roster, id)?;
        let detail = functions::detail(&mind.model, hash, &open_on(&desk));
        let mut detail = detail.ok_or_else(|| Fault::not_found("the detector has forgotten it".to_owned()))?;
        let id = detail.summary.as_ref().map(|summary| summary.id.clone()).unwrap_or_default();
        let own = desk.incidents().into_iter().filter(|one| one.functions.iter().any(|function| function.id == id));
        detail.incidents = own.take(MOST_OF_FUNCTION).map(|one| self.linked(one.clone())).collect();
        Ok(detail)
    }

    fn fleet(&self) -> Fleet {
        let problems = self.problems();
        let (health, proposals) = (self.health_name(), self.proposals.list());
        let mind = self.mind();
        let desk = self.desk();
        let open = |tier: &str| {
            let incidents = desk.incidents();
            incidents.iter().filter(|one| one.state == "open" && one.tier == tier).count() as u32
        };
        let Promise { budget_per_day, days, ref state, realised } = mind.model.promise();
        let (promise_state, suspended_since, bound_per_day) = match *state {
            PromiseState::Learning { bound_per_day } => ("learning", 0, bound_per_day),
            PromiseState::Active => ("active", 0, 0.0),
            PromiseState::Suspended { since } => ("suspended", since, 0.0),
        };
        let (active_exceptions, active_hunts) = desk.active();
        let kept = desk.settings();
        Fleet {
            health: health.to_owned(),
            problems,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started: self.started,
            promise: promise::sentence(&mind.model.promise()),
            promise_state: promise_state.to_owned(),
            suspended_since,
            budget_per_day,
            bound_per_day,
            days,
            realised_pages: realised.0,
            realised_days: realised.1,
            line: mind.model.detector.line(),
            functions: mind.model.detector.functions() as u32,
            invocations_scored: mind.scored.get(),
            open_pages: open("page"),
            open_queued: open("queue"),
            unattributed: mind.model.assembler.counters().unattributed,
            watermark: mind.model.assembler.watermark(),
            active_exceptions,
            active_hunts,
            waiting_proposals: proposals.iter().filter(|one| one.state == "waiting").count() as u32,
            stored_incidents: desk.incidents().len() as u32,
            most_incidents: kept.most_incidents as u32,
            retention_seconds: kept.retention / 1_000_000_000,
            persistent: self.is_persistent(),
        }
    }

    /// Tells watchers of the fleet, if it is not what they were told.
    pub(super) fn tell_fleet(&self, told: &mut Fleet) {
        if self.watchers.sender.receiver_count() == 0 {
            return;
        }
        let fleet = self.fleet();
        if fleet != *told {
            told.clone_from(&fleet);
            self.watchers.tell(Event { kind: "fleet".to_owned(), fleet: Some(fleet), ..Event::default() });
        }
    }

    fn problems(&self) -> Vec<Attribute> {
        let troubled = self.health.states().into_iter().filter_map(|(pipeline, state)| match state {
            State::Degraded(why) | State::Failed(why) => Some((pipeline, why)),
            _ => None,
        });
        let problems = troubled.chain(self.health.failures());
        problems.map(|(key, value)| Attribute { key, value }).collect()
    }

    fn health_name(&self) -> &'static str {
        let states = self.health.states();
        let failed = states.values().any(|state| matches!(state, State::Failed(_)));
        let degraded = states.values().any(|state| matches!(state, State::Degraded(_)));
        match (failed || !self.health.failures().is_empty(), degraded) {
            (true, _) => "failed",
            (_, true) => "degraded",
            _ => "ready",
        }
    }

    fn linked(&self, incident: Incident) -> Incident {
        let link = self.signer().map(|signer| signer.link(&incident.id, wall_clock())).unwrap_or_default();
        Incident { link, ..incident }
    }
}

/// What exceptions have covered is counted before they are replaced.
fn count_and_apply(mind: &mut Mind, desk: &mut Desk) {
    desk.covered(&mind.model.detector.take_covered());
    apply(&mut mind.model, desk);
}

/// By function, the incident that is open on it.
fn open_on(desk: &Desk) -> BTreeMap<String, String> {
    let open = desk.incidents().into_iter().filter(|one| one.state == "open");
    open.flat_map(|one| one.functions.iter().map(|function| (function.id.clone(), one.id.clone()))).collect()
}

fn one_of(name: &str, value: &str, known: &[&str]) -> Result<(), Fault> {
    if value.is_empty() || known.contains(&value) {
        return Ok(());
    }
    Err(Fault::invalid(format!("{name} must be one of: {}", known.join(", "))))
}

/// A page of `all`, the token of the next one, and how many there are.
fn page<T>(all: Vec<T>, size: u32, token: &str) -> Result<(Vec<T>, String, u32), Fault> {
    let size = match size {
        0 => DEFAULT_PAGE,
        size if size <= LARGEST_PAGE => size,
        _ => return Err(Fault::invalid(format!("page_size is at most {LARGEST_PAGE}"))),
    } as usize;
    let from: usize = match token {
        "" => 0,
        token => token.parse().map_err(|_| Fault::invalid("page_token is none that was given out".to_owned()))?,
    };
    let total = all.len();
    let next = from.saturating_add(size);
    let token = if next < total { next.to_string() } else { String::new() };
    Ok((all.into_iter().skip(from).take(size).collect(), token, total as u32))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_follow_each_other_to_the_end() {
        let all: Vec<u32> = (0..5).collect();
        let (first, token, total) = page(all.clone(), 2, "").unwrap();
        assert_eq!((first, token.as_str(), total), (vec![0, 1], "2", 5));
        let (last, token, _) = page(all.clone(), 2, "4").unwrap();
        assert_eq!((last, token.as_str()), (vec![4], ""));
        assert_eq!(page(all.clone(), 2, "99").unwrap().0, [0; 0]);
        for (size, token) in [(501, ""), (2, "x"), (2, "-1")] {
            assert!(page(all.clone(), size, token).is_err(), "{size} {token}");
        }
    }
}
