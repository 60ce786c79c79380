//! Between the halves: which spans of a group are invocations, and which of the others belong to which.

use std::sync::Arc;

use super::{
    Assembler, Invocation,
    emit::Subject,
    function::short,
    groups::{Group, Member, Memo, NONE, Role},
    logs,
    read::Request,
};
use crate::{
    detect::observation::{Channel, Nanos},
    faas::intern::hash_from,
};

/// The place in `memos` of what was emitted without a handler.
pub(super) const NO_MEMO: u16 = u16::MAX;
/// Most invocations of one function remembered in one trace.
const MOST_MEMOS: usize = 256;
/// Most parents followed upwards.
const MOST_HOPS: usize = 64;

const INTERNAL: u8 = 1;
const CLIENT: u8 = 3;
const PRODUCER: u8 = 4;

/// Room to work in, used again for the next request.
#[derive(Clone, Debug, Default)]
pub(super) struct Room {
    /// Members of the group at hand, in start order.
    run: Vec<u32>,
    /// The same by span id.
    ids: Vec<(u64, u32)>,
    /// The same by owner.
    owned: Vec<(Owner, u32)>,
    /// Members of all plans, one plan behind the other.
    members: Vec<u32>,
    plans: Vec<Plan>,
}

/// Whose a span is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Owner {
    /// An invocation that was emitted before.
    Memo(u16),
    /// A member that is a handler.
    Handler(u32),
    /// An invocation that is still to come.
    Nobody,
}

/// An observation to be emitted.
#[derive(Clone, Copy, Debug)]
struct Plan {
    end: Nanos,
    slot: u32,
    memo: u16,
    /// The member that is the handler, or [`NONE`].
    handler: u32,
    from: usize,
    to: usize,
}

/// Remembers that spans were emitted; says how many more are remembered.
pub(super) fn remember(group: &mut Group, spans: impl Iterator<Item = u64>, memo: u16) -> usize {
    /// Most span ids remembered of one group.
    const MOST: usize = 16_384;
    let before = group.seen.len();
    group.seen.extend(spans.map(|span| (span, memo)).take(MOST.saturating_sub(before)));
    group.seen.sort_unstable();
    group.seen.len() - before
}

impl Assembler {
    /// Settles every group the request has touched, then emits in the order of event time.
    pub(super) fn settle(&mut self, request: &Request<'_>, out: &mut impl FnMut(Invocation<'_>)) {
        let mut room = std::mem::take(&mut self.room);
        let touched = std::mem::take(&mut self.touched);
        for slot in &touched {
            self.settle_group(*slot, request, &mut room);
        }
        // Stable: what ended together stays in the order it came.
        room.plans.sort_by_key(|plan| plan.end);
        for plan in &room.plans {
            self.emit(plan, request, &room, out);
        }
        room.plans.clear();
        room.members.clear();
        self.fresh.clear();
        // What one huge request needed is not kept for the small ones.
        self.fresh.shrink_to(16_384);
        room.members.shrink_to(65_536);
        (self.room, self.touched) = (room, touched);
        self.touched.clear();
    }

    fn settle_group(&mut self, slot: u32, request: &Request<'_>, room: &mut Room) {
        if !self.gather(slot, room) {
            return;
        }
        let handlers = self.find_handlers(slot, room);
        if handlers > 0 {
            self.take_back(slot, room);
        }
        let Some(group) = self.groups.get(slot) else { return };
        let fresh = &self.fresh;
        room.owned.clear();
        if handlers == 0 && group.memos.is_empty() {
            room.owned.extend(room.run.iter().map(|at| (Owner::Nobody, *at)));
        } else if handlers == 1 && group.memos.is_empty() {
            let is_handler = |at: &&u32| fresh.get(**at as usize).is_some_and(|member| member.role == Role::Handler);
            let handler = room.run.iter().find(is_handler).copied().unwrap_or(NONE);
            room.owned.extend(room.run.iter().map(|at| (Owner::Handler(handler), *at)));
        } else {
            room.owned.extend(room.run.iter().map(|at| (owner(fresh, group, &room.run, &room.ids, *at), *at)));
            // Stable: start order within each owner.
            room.owned.sort_by_key(|(owner, _)| *owner);
        }
        self.plan(slot, request, room);
    }

    /// Lists the group's members in this request in start order, without those seen before; says whether any are left.
    fn gather(&mut self, slot: u32, room: &mut Room) -> bool {
        let now = self.clock.now();
        let Some(group) = self.groups.get_mut(slot) else { return false };
        group.heard = now;
        room.ids.clear();
        let mut at = group.first;
        while let Some(member) = self.fresh.get(at as usize) {
            room.ids.push((member.span, at));
            at = member.next;
        }
        (group.first, group.last, group.fresh) = (NONE, NONE, 0);
        let all = room.ids.len();
        room.ids.sort_unstable();
        room.ids.dedup_by_key(|(span, _)| *span);
        if !group.seen.is_empty() || !group.held.is_empty() {
            room.ids.retain(|(span, _)| {
                group.emitted_with(*span).is_none() && group.held.iter().all(|held| held.span != *span)
            });
        }
        self.counters.duplicates += (all - room.ids.len()) as u64;
        room.run.clear();
        room.run.extend(room.ids.iter().map(|(_, at)| *at));
        self.sort_run(room);
        !room.run.is_empty()
    }

    fn sort_run(&self, room: &mut Room) {
        let fresh = &self.fresh;
        room.run.sort_by_key(|at| fresh.get(*at as usize).map(|member| (member.start, member.span)));
    }

    /// Decides which members that may be handlers are; says how many handlers there are.
    fn find_handlers(&mut self, slot: u32, room: &Room) -> usize {
        let is = |fresh: &[Member], at: u32, role| fresh.get(at as usize).is_some_and(|member| member.role == role);
        let mut handlers = room.run.iter().filter(|at| is(&self.fresh, **at, Role::Handler)).count();
        if !room.run.iter().any(|at| is(&self.fresh, *at, Role::Perhaps)) {
            return handlers;
        }
        let Some(group) = self.groups.get(slot) else { return handlers };
        for at in &room.run {
            let Some(member) = self.fresh.get(*at as usize).filter(|member| member.role == Role::Perhaps) else {
                continue;
            };
            let inside = find(&room.ids, member.parent).and_then(|at| self.fresh.get(at as usize));
            let parent = inside.or_else(|| group.held.iter().find(|held| held.span == member.parent));
            // Below a call of this function it is the function that was called: itself.
            let called = parent.is_none_or(|parent| matches!(parent.kind, CLIENT | PRODUCER));
            // Some processors stamp the invocation's id on every span.
            let stamped = member.kind <= INTERNAL && (handlers > 0 || group.emitted_with(member.parent).is_some());
            let role = if called && !stamped { Role::Handler } else { Role::Child };
            handlers += usize::from(role == Role::Handler);
            if let Some(member) = self.fresh.get_mut(*at as usize) {
                member.role = role;
            }
        }
        handlers
    }

    /// Adds the members that have waited to those of this request.
    fn take_back(&mut self, slot: u32, room: &mut Room) {
        let held = self.groups.release(slot);
        if held.is_empty() {
            return;
        }
        for member in held {
            let at = self.fresh.len() as u32;
            room.ids.push((member.span, at));
            room.run.push(at);
            self.fresh.push(member);
        }
        room.ids.sort_unstable();
        self.sort_run(room);
    }

    /// Plans one observation for each owner, and puts aside what belongs to nobody yet.
    fn plan(&mut self, slot: u32, request: &Request<'_>, room: &mut Room) {
        for owned in room.owned.chunk_by(|left, right| left.0 == right.0) {
            let Some((owner, _)) = owned.first().copied() else { continue };
            if owner == Owner::Nobody {
                self.hold(slot, request, owned);
                continue;
            }
            let from = room.members.len();
            room.members.extend(owned.iter().map(|(_, at)| *at));
            let of = |at: u32| self.fresh.get(at as usize);
            let plan = Plan { end: 0, slot, memo: 0, handler: NONE, from, to: room.members.len() };
            let plan = match owner {
                Owner::Handler(handler) => {
                    let end = of(handler).map_or(0, |member| member.end);
                    Plan { end, handler, memo: self.remember_handler(slot, handler, request), ..plan }
                }
                Owner::Memo(memo) => {
                    self.counters.late += owned.len() as u64;
                    let end = owned.iter().filter_map(|(_, at)| of(*at)).map(|member| member.end).max();
                    Plan { end: end.unwrap_or(0), memo, ..plan }
                }
                Owner::Nobody => plan,
            };
            let fresh = &self.fresh;
            if let Some(group) = self.groups.get_mut(slot) {
                let spans = owned.iter().filter_map(|(_, at)| fresh.get(*at as usize)).map(|member| member.span);
                let added = remember(group, spans, plan.memo);
                self.groups.remembered += added;
            }
            room.plans.push(plan);
        }
    }

    fn hold(&mut self, slot: u32, request: &Request<'_>, owned: &[(Owner, u32)]) {
        let fresh = &self.fresh;
        let members = owned.iter().filter_map(|(_, at)| fresh.get(*at as usize)).cloned();
        let origin = owned.first().and_then(|(_, at)| fresh.get(*at as usize)).map(|member| member.resource);
        let origin = origin.and_then(|at| request.origins.get(at as usize));
        self.groups.hold(slot, members, origin.map_or(&[], |origin| origin.raw));
    }

    /// Remembers an invocation for what comes late; says where.
    fn remember_handler(&mut self, slot: u32, at: u32, request: &Request<'_>) -> u16 {
        let Some(group) = self.groups.get_mut(slot) else { return NO_MEMO };
        let Some(member) = self.fresh.get(at as usize) else { return NO_MEMO };
        let Some(handler) = request.handlers.get(member.handler as usize) else { return NO_MEMO };
        if group.memos.len() >= MOST_MEMOS {
            return NO_MEMO;
        }
        let ordinal = group.memos.len() as u16;
        group.memos.push(Memo {
            span: member.span,
            start: member.start,
            end: member.end,
            function: Arc::clone(&handler.function),
            invocation: short(handler.invocation),
        });
        self.joins.ran(group.key.local, member.start, member.end);
        if !handler.invocation.is_empty() {
            let signature = hash_from(self.secret, handler.invocation.as_bytes());
            self.invocations.put(signature, logs::Place { key: group.key, span: member.span });
        }
        ordinal
    }

    fn emit(&mut self, plan: &Plan, request: &Request<'_>, room: &Room, out: &mut impl FnMut(Invocation<'_>)) {
        let Some(group) = self.groups.get(plan.slot) else { return };
        let fresh = &self.fresh;
        let members = room.members.get(plan.from..plan.to).unwrap_or_default();
        let members = members.iter().filter_map(|at| fresh.get(*at as usize));
        let handler = fresh.get(plan.handler as usize);
        let handler = handler.and_then(|member| Some((member, request.handlers.get(member.handler as usize)?)));
        let memo = group.memos.get(usize::from(plan.memo));
        let origin = handler.map(|(member, _)| member).or_else(|| members.clone().next()).map(|member| member.resource);
        let origin = origin.and_then(|at| request.origins.get(at as usize));
        let subject = Subject {
            function: match (handler, memo) {
                (Some((_, handler)), _) => &handler.function,
                (None, Some(memo)) => &memo.function,
                (None, None) => &group.function,
            },
            trace: group.key.trace,
            span: handler.map_or_else(|| memo.map_or(0, |memo| memo.span), |(member, _)| member.span),
            invocation: handler
                .map_or_else(|| memo.map_or("", |memo| &memo.invocation), |(_, handler)| handler.invocation),
            resource: origin.map_or(&[], |origin| origin.raw),
            now: self.clock.now(),
            channel: Channel::Spans,
            instance: origin.map_or(0, |origin| origin.instance),
            answered: memo.map_or(0, |memo| memo.end),
        };
        self.press.emit(&subject, members, handler, out);
    }
}

fn find(ids: &[(u64, u32)], span: u64) -> Option<u32> {
    let at = ids.binary_search_by_key(&span, |(id, _)| *id).ok()?;
    ids.get(at).map(|(_, at)| *at)
}

/// Whose the member is: that of the nearest handler above it, else of the invocation in whose time it started.
fn owner(fresh: &[Member], group: &Group, run: &[u32], ids: &[(u64, u32)], at: u32) -> Owner {
    let mut above = at;
    for _ in 0..MOST_HOPS {
        let Some(member) = fresh.get(above as usize) else { break };
        if member.role == Role::Handler {
            return Owner::Handler(above);
        }
        if let Some(parent) = find(ids, member.parent) {
            above = parent;
            continue;
        }
        match group.emitted_with(member.parent) {
            Some(memo) if memo != NO_MEMO => return Owner::Memo(memo),
            _ => break,
        }
    }
    let Some(member) = fresh.get(at as usize) else { return Owner::Nobody };
    let within = |start: Nanos, end: Nanos| (start..=end).contains(&member.start);
    let handlers =
        || run.iter().filter_map(|at| Some((*at, fresh.get(*at as usize)?))).filter(|(_, m)| m.role == Role::Handler);
    if let Some((handler, _)) = handlers().find(|(_, handler)| within(handler.start, handler.end)) {
        return Owner::Handler(handler);
    }
    if let Some(memo) = group.memos.iter().position(|memo| within(memo.start, memo.end)) {
        return Owner::Memo(memo as u16);
    }
    handlers().next().map_or(Owner::Nobody, |(handler, _)| Owner::Handler(handler))
}
