//! Several files' texts, edited together.

use std::path::Path;

use super::{Edit, lines, not_editable};
use crate::daemons::ConfigError;
use crate::daemons::disk::Disk;
use crate::findings::Location;

/// The texts, read when they are first asked for.
#[derive(Debug)]
pub(in crate::daemons) struct Draft<'a> {
    disk: &'a Disk,
    edits: Vec<Edit>,
}

impl<'a> Draft<'a> {
    pub(in crate::daemons) fn new(disk: &'a Disk) -> Self {
        Self {
            disk,
            edits: Vec::new(),
        }
    }

    /// The text of a file, to be changed; empty when there is no such file.
    pub(in crate::daemons) fn text(&mut self, path: &Path) -> Result<&mut Vec<u8>, ConfigError> {
        let known = self.edits.iter().position(|edit| edit.path == path);
        let index = if let Some(index) = known {
            index
        } else {
            let before = self.disk.read(path)?.map(|source| source.bytes);
            self.edits.push(Edit {
                path: path.to_path_buf(),
                after: before.clone().unwrap_or_default(),
                before,
            });
            self.edits.len() - 1
        };
        Ok(&mut self.edits[index].after)
    }

    /// Rewrites a line of a file; `rewrite` gives the new line, or `None` when it is not what it should be.
    pub(in crate::daemons) fn line(
        &mut self,
        location: &Location,
        rewrite: impl FnOnce(&[u8]) -> Option<Vec<u8>>,
    ) -> Result<(), ConfigError> {
        let text = self.text(&location.path)?;
        let span = location.line.and_then(|number| lines::span(text, number));
        let rewritten = span.and_then(|span| Some((span.clone(), rewrite(&text[span])?)));
        if let Some((span, line)) = rewritten {
            text.splice(span, line);
            return Ok(());
        }
        let error = not_editable(
            &location.path,
            "the range is not written on a line of its own here",
        );
        let error = match location.line {
            Some(number) => {
                let text = self.text(&location.path)?;
                let span = lines::span(text, number).unwrap_or_default();
                error.at_line(number, &text[span.start..span.end.min(span.start + 240)])
            }
            None => error,
        };
        Err(error.with_help("write the range there by hand, on one line"))
    }

    pub(in crate::daemons) fn into_edits(self) -> Vec<Edit> {
        self.edits
    }
}

/// The same edits, for a way of its own.
impl Clone for Draft<'_> {
    fn clone(&self) -> Self {
        Self {
            disk: self.disk,
            edits: self.edits.clone(),
        }
    }
}
