//! What escalation stands on, whoever runs it: an [`audit`] log nobody edits silently, the exact [`commands`] of strong
//! actions, and the [`answers`] of people, after which nobody needs to be called again.

pub mod answers;
pub mod audit;
pub mod commands;
