//! *malicious*: what to look for elsewhere, and where it is found.

use std::collections::VecDeque;

use super::{Loose, archive::Archive, scopes::plural, verdicts::add_hit, words};
use crate::incidents::control::proto::{Evidence, Hit, IncidentDetail, Signature, Verdict, VerdictPreview};

/// Kinds of keys that tell one attack from another; a new shape or duration does not.
const TELLING: [&str; 6] = [
    "novelty.destination",
    "novelty.operation",
    "novelty.resource",
    "novelty.identity",
    "novelty.artefact",
    "novelty.statement",
];
const MOST_SIGNATURES: usize = 32;
/// Incidents shown in a preview.
const MOST_COVERED: usize = 20;

/// What to look for: what was new or rare, most surprising first.
fn signature(detail: &IncidentDetail) -> Vec<Signature> {
    let telling = |row: &&Evidence| !row.key.is_empty() && TELLING.contains(&row.feature.as_str());
    let rows = detail.evidence.iter().filter(telling).take(MOST_SIGNATURES);
    rows.map(|row| Signature { feature: row.feature.clone(), key: row.key.clone() }).collect()
}

fn is_hit(signature: &[Signature], row: &Evidence) -> bool {
    signature.iter().any(|wanted| wanted.feature == row.feature && wanted.key == row.key)
}

/// What a *malicious* would do.
pub fn preview(detail: &IncidentDetail, archive: &Archive, loose: &VecDeque<Loose>) -> VerdictPreview {
    let signature = signature(detail);
    let id = detail.incident.as_ref().map(|incident| incident.id.clone()).unwrap_or_default();
    let mut preview = VerdictPreview::default();
    for (head, other) in archive.details().filter(|(head, _)| head.id != id) {
        let rows = other.evidence.iter().filter(|row| is_hit(&signature, row)).count() as u32;
        preview.evidence_rows += rows;
        if rows > 0 {
            preview.incidents += 1;
            if preview.covered.len() < MOST_COVERED {
                preview.covered.push(head.clone());
            }
        }
    }
    let rows = loose.iter().filter(|one| is_hit(&signature, &words::evidence(&one.evidence))).count();
    preview.evidence_rows += rows as u32;
    preview.summary = if signature.is_empty() {
        "None of it is learned as normal. Nothing in its evidence tells it from others, so nothing is hunted for."
            .to_owned()
    } else {
        format!(
            "None of it is learned as normal, and {} {} hunted for in all functions: {} other stored {}, {} {} of \
             evidence have it already.",
            signature.len(),
            plural(signature.len() as u64, "thing is", "things are"),
            preview.incidents,
            plural(u64::from(preview.incidents), "incident", "incidents"),
            preview.evidence_rows,
            plural(u64::from(preview.evidence_rows), "piece", "pieces"),
        )
    };
    preview.signature = signature;
    preview
}

/// Looks through everything that is stored.
pub fn search(verdict: &mut Verdict, archive: &Archive, loose: &VecDeque<Loose>) {
    let signature = verdict.signature.clone();
    let own = verdict.incident_id.clone();
    for (head, other) in archive.details().filter(|(head, _)| head.id != own) {
        for (at, row) in other.evidence.iter().filter(|row| is_hit(&signature, row)).enumerate() {
            let showed = row.function_ids.first().unwrap_or(&head.lead_function_id);
            let function =
                head.functions.iter().find(|function| function.id == *showed).or_else(|| head.functions.first());
            let hit = Hit {
                incident_id: head.id.clone(),
                function: function.cloned(),
                at: head.at,
                evidence: Some(Evidence { function_ids: Vec::new(), ..row.clone() }),
            };
            add_hit(verdict, hit, at == 0);
        }
    }
    let loose = loose.iter().map(Loose::hit);
    for hit in loose.filter(|hit| hit.evidence.as_ref().is_some_and(|row| is_hit(&signature, row))) {
        let news = !verdict.hits.iter().any(|known| known.incident_id.is_empty() && known.function == hit.function);
        add_hit(verdict, hit, news);
    }
}
