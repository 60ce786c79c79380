//! The guard of the promise: what was realised, and whether today still resembles the days it stands on.
//!
//! When many functions cross the queue line within an hour, something common has changed (an outage, a migration, a
//! mass deploy): the premise is broken, the claim is suspended for a day, and pages are capped until it is over.

use std::collections::VecDeque;

use super::{DAY, MINUTE, calibration::WINDOW_DAYS, observation::Nanos};

/// Crossings that lie closer together than this are seen as one event.
const TOGETHER: Nanos = 60 * MINUTE;
/// So many functions at least, and such a share of the fleet, make a regime change.
const LEAST_FUNCTIONS: usize = 4;
const SHARE: f64 = 0.15;
/// How long a suspension lasts after the last sign of it.
const SUSPENDED_FOR: Nanos = DAY;
/// Pages in a day while suspended.
const PAGES_WHILE_SUSPENDED: u32 = 3;
/// Crossings remembered.
const MOST_CROSSINGS: usize = 1024;

/// What has been realised.
#[derive(Clone, Debug, Default)]
pub struct Monitor {
    crossings: VecDeque<(Nanos, u64)>,
    pub suspended_since: Option<Nanos>,
    last_sign: Nanos,
    /// `(day, function-days that paged)`, newest last.
    pub pages: VecDeque<(u32, u32)>,
}

impl Monitor {
    /// A function crossed the queue line.
    pub fn crossed(&mut self, function: u64, now: Nanos, functions: u32) {
        while self.crossings.front().is_some_and(|(at, _)| at.saturating_add(TOGETHER) < now) {
            self.crossings.pop_front();
        }
        if self.crossings.iter().any(|(_, known)| *known == function) || self.crossings.len() >= MOST_CROSSINGS {
            return;
        }
        self.crossings.push_back((now, function));
        let many = (f64::from(functions) * SHARE).ceil() as usize;
        if self.crossings.len() >= many.max(LEAST_FUNCTIONS) {
            self.suspended_since.get_or_insert(now);
            self.last_sign = now;
        }
    }

    /// Time goes on.
    pub fn advance(&mut self, now: Nanos) {
        if self.suspended_since.is_some() && now > self.last_sign.saturating_add(SUSPENDED_FOR) {
            self.suspended_since = None;
        }
    }

    /// Whether one more function may page on `day`; counts it if so.
    pub fn page(&mut self, day: u32) -> bool {
        if self.pages.back().is_none_or(|(newest, _)| *newest < day) {
            self.pages.push_back((day, 0));
        }
        while self.pages.front().is_some_and(|(oldest, _)| oldest.saturating_add(WINDOW_DAYS as u32) <= day) {
            self.pages.pop_front();
        }
        let Some((_, pages)) = self.pages.back_mut() else { return true };
        if self.suspended_since.is_some() && *pages >= PAGES_WHILE_SUSPENDED {
            return false;
        }
        *pages += 1;
        true
    }

    /// Pages of the trailing window that ends on `day`.
    pub fn realised(&self, day: u32) -> u32 {
        let from = day.saturating_sub(WINDOW_DAYS as u32 - 1);
        self.pages.iter().filter(|(at, _)| *at >= from).map(|(_, pages)| pages).sum()
    }

    /// Goes on from a saved state.
    pub fn restore(&mut self, suspended_since: Option<Nanos>, pages: VecDeque<(u32, u32)>) {
        (self.suspended_since, self.last_sign, self.pages) = (suspended_since, suspended_since.unwrap_or(0), pages);
    }
}
