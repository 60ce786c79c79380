//! Which pipeline leads to which: through a connector, or through a processor that produces batches of its own.

use std::{collections::BTreeSet, fmt::Write as _};

use super::root::{Kind, Pipeline, Reference, Service};

/// Pipelines that feed themselves: each leads to the next, the last to the first.
#[derive(Debug)]
pub struct Circle<'a>(Vec<(&'a Pipeline, &'a Reference)>);

impl<'a> Circle<'a> {
    /// Where the first pipeline is fed by the last.
    pub fn entry(&self) -> Option<&'a Reference> {
        self.0.last().map(|(_, through)| *through)
    }

    /// Such as `traces → connector forward → traces/slow → connector back → traces`.
    pub fn described(&self) -> String {
        let mut text = String::new();
        for (pipeline, through) in &self.0 {
            let _ = write!(text, "{} → {} {} → ", pipeline.id, through.kind.name(), through.id);
        }
        text + &self.0.first().map(|(pipeline, _)| pipeline.id.to_string()).unwrap_or_default()
    }
}

impl Service {
    /// The pipelines, each after all that lead to it.
    pub fn in_order(&self) -> Result<Vec<&Pipeline>, Circle<'_>> {
        let mut walk = Walk { pipelines: &self.pipelines, done: BTreeSet::new(), order: Vec::new(), path: Vec::new() };
        for index in 0..self.pipelines.len() {
            walk.visit(index)?;
        }
        // Found from their ends.
        walk.order.reverse();
        Ok(walk.order)
    }
}

struct Walk<'a> {
    pipelines: &'a [Pipeline],
    done: BTreeSet<usize>,
    order: Vec<&'a Pipeline>,
    /// From where the walk began to where it is, with what leads from each to the next.
    path: Vec<(usize, Option<&'a Reference>)>,
}

impl<'a> Walk<'a> {
    fn visit(&mut self, index: usize) -> Result<(), Circle<'a>> {
        if self.done.contains(&index) {
            return Ok(());
        }
        let Some(pipeline) = self.pipelines.get(index) else { return Ok(()) };
        if let Some(begin) = self.path.iter().position(|(seen, _)| *seen == index) {
            let circle = self.path.get(begin..).unwrap_or_default().iter();
            return Err(Circle(
                circle.filter_map(|(index, through)| Some((self.pipelines.get(*index)?, (*through)?))).collect(),
            ));
        }
        self.path.push((index, None));
        for (fed, to) in self.pipelines.iter().enumerate() {
            if let Some(through) = to.fed_by(pipeline) {
                if let Some((_, here)) = self.path.last_mut() {
                    *here = Some(through);
                }
                self.visit(fed)?;
            }
        }
        self.path.pop();
        self.done.insert(index);
        self.order.push(pipeline);
        Ok(())
    }
}

impl Pipeline {
    /// The receiver of this pipeline that `other` feeds, if any.
    fn fed_by(&self, other: &Self) -> Option<&Reference> {
        self.receivers.iter().find(|from| {
            let among = match from.kind {
                Kind::Connector => &other.exporters,
                Kind::Processor => &other.processors,
                Kind::Receiver | Kind::Exporter | Kind::Extension => return false,
            };
            among.iter().any(|to| to.kind == from.kind && to.id == from.id)
        })
    }
}
