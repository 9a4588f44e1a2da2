//! What is printed, and written: sections with tables, each with what was done in words.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

use crate::{Extent, machine, program::Programs};

/// One benchmark's outcome.
#[derive(Debug, Default)]
pub(crate) struct Section {
    pub(crate) title: String,
    /// What was done.
    pub(crate) done: String,
    pub(crate) head: Vec<String>,
    pub(crate) rows: Vec<Vec<String>>,
    /// What the figures say, and what stands beside them.
    pub(crate) notes: Vec<String>,
    /// Files beside the document, with what they show.
    pub(crate) charts: Vec<(String, String)>,
    /// Printed by a program, as it is.
    pub(crate) output: Vec<String>,
}

impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "## {}\n\n{}\n", self.title, self.done)?;
        if !self.rows.is_empty() {
            let row = |cells: &[String]| format!("| {} |", cells.join(" | "));
            writeln!(f, "{}", row(&self.head))?;
            writeln!(f, "{}", row(&vec!["---".to_owned(); self.head.len()]))?;
            self.rows.iter().try_for_each(|cells| writeln!(f, "{}", row(cells)))?;
            writeln!(f)?;
        }
        self.notes.iter().try_for_each(|note| writeln!(f, "- {note}"))?;
        for (file, shows) in &self.charts {
            writeln!(f, "\n![{shows}]({file})")?;
        }
        for output in &self.output {
            writeln!(f, "\n```text\n{}\n```", output.trim_end())?;
        }
        Ok(())
    }
}

/// The document as it grows: a run that fails at its end has written what went before.
#[derive(Debug)]
pub(crate) struct Document {
    head: String,
    sections: String,
    file: Option<PathBuf>,
}

impl Document {
    pub(crate) fn new(programs: &Programs, extent: Extent, file: Option<PathBuf>) -> Self {
        let (command, much) = if extent.full {
            ("cargo xtask bench --full --write", "five rounds in turns, medians; the parts' own benchmarks")
        } else {
            ("cargo xtask bench --write", "one round of each server: figures of the same order, not more")
        };
        let head = format!(
            "# Benchmarks\n\nWritten by `{command}` ({much}). Everything ran on one machine: the servers, what they keep things in, and the load \
             beside them. So absolute figures are this machine's; what carries over are the ratios, each within one run.\n\n{}\n",
            machine::describe(programs)
        );
        Self { head, sections: String::new(), file }
    }

    /// One that nobody writes.
    #[cfg(test)]
    pub(crate) const fn printed() -> Self {
        Self { head: String::new(), sections: String::new(), file: None }
    }

    /// Where charts go: a folder beside the document, and its name as the document has it.
    pub(crate) fn charts(&self) -> Result<Option<(PathBuf, String)>> {
        let Some(file) = &self.file else { return Ok(None) };
        let name = file.file_stem().context("the document has no name")?.to_string_lossy().into_owned();
        let folder = file.parent().unwrap_or(Path::new(".")).join(&name);
        fs::create_dir_all(&folder)?;
        Ok(Some((folder, name)))
    }

    pub(crate) fn add(&mut self, section: &Section) -> Result<()> {
        self.sections += &format!("\n{section}");
        match &self.file {
            None => Ok(()),
            Some(file) => fs::write(file, format!("{}{}", self.head, self.sections))
                .with_context(|| file.display().to_string()),
        }
    }
}

/// The middle one.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => values[n / 2],
        n => f64::midpoint(values[n / 2 - 1], values[n / 2]),
    }
}

/// 12,300.
pub(crate) fn count(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) && digit.is_ascii_digit() {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// 1.46 ×.
pub(crate) fn times(value: f64) -> String {
    if value.is_finite() { format!("{value:.2} ×") } else { "-".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_easy_to_read() {
        assert_eq!(count(1_234_567.4), "1,234,567");
        assert_eq!(count(12.0), "12");
        assert_eq!(times(1.456), "1.46 ×");
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
    }
}
