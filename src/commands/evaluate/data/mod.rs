//! `sekisho evaluate --data`: data that nobody of the project made, where somebody has it.
//!
//! The folder is not part of the project and nothing of it is kept: what is not there is said and passed over.

mod archive;
mod cloudtrail;
mod hdfs;
mod nab;

use std::{fmt::Write as _, path::Path};

/// What became of the data in a folder, or why it was passed over.
type Part = fn(&Path) -> Result<String, String>;

/// What became of every set of data in `folder`, as Markdown.
pub fn evaluate(folder: &Path) -> String {
    let mut out = String::from("# Public data\n\n");
    let parts: [(&str, &str, Part); 3] = [
        ("NAB", "nab", nab::evaluate),
        ("HDFS sessions", "hdfs-sessions", hdfs::evaluate),
        ("CloudTrail attacks", "cloudtrail-attacks", cloudtrail::evaluate),
    ];
    for (title, name, part) in parts {
        let _ = writeln!(out, "## {title}\n");
        let folder = folder.join(name);
        let text = if folder.is_dir() {
            part(&folder).unwrap_or_else(|problem| format!("Passed over: {problem}.\n"))
        } else {
            format!("Passed over: there is no folder {}.\n", folder.display())
        };
        let _ = writeln!(out, "{text}");
    }
    out
}
