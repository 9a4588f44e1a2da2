//! What is printed, and written: sections with tables, each with what was done in words.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};

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
    /// It is a matter of the run's extent how often each was measured.
    pub(crate) in_rounds: bool,
}

impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "## {}\n\n{}", self.title, self.done)?;
        if !self.rows.is_empty() {
            writeln!(f)?;
            let row = |cells: &[String]| format!("| {} |", cells.join(" | "));
            writeln!(f, "{}", row(&self.head))?;
            writeln!(f, "{}", row(&vec!["---".to_owned(); self.head.len()]))?;
            self.rows.iter().try_for_each(|cells| writeln!(f, "{}", row(cells)))?;
        }
        if !self.notes.is_empty() {
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

/// The document as it grows: a run that fails at its end has written what went before. Benchmarks that do not run this time stay in it as
/// they are, if they ran on the same machine with the same versions.
#[derive(Debug)]
pub(crate) struct Document {
    head: String,
    /// Each with its heading.
    sections: Vec<String>,
    rounds: &'static str,
    /// The commit of what runs this time.
    measured: String,
    file: Option<PathBuf>,
}

/// What a section begins with.
const HEADING: &str = "\n## ";

impl Document {
    /// # Errors
    /// There is a document that cannot be read; or of another machine or other versions, and it is not to begin `anew`.
    pub(crate) fn new(
        programs: &Programs,
        extent: Extent,
        file: Option<PathBuf>,
        anew: bool,
    ) -> Result<Self> {
        let head = format!(
            "# Benchmarks\n\nWritten by `cargo xtask bench --write`. Everything ran on one machine: the servers, what they keep things in, and the \
             load beside them. So absolute figures are this machine's; what carries over are the ratios, each within one run.\n\n{}",
            machine::describe(programs)
        );
        let before = match file.as_ref().filter(|file| !anew && file.exists()) {
            Some(file) => fs::read_to_string(file).with_context(|| file.display().to_string())?,
            None => String::new(),
        };
        let sections = sections(&before, &head)?;
        let rounds = if extent.full {
            "Medians of five rounds in turns (`--full`)."
        } else {
            "One round each: figures of the same order, not more."
        };
        Ok(Self { head, sections, rounds, measured: machine::commit(programs), file })
    }

    /// One that nobody writes.
    #[cfg(test)]
    pub(crate) const fn printed() -> Self {
        Self { head: String::new(), sections: Vec::new(), rounds: "", measured: String::new(), file: None }
    }

    /// Where charts go: a folder beside the document, and its name as the document has it.
    pub(crate) fn charts(&self) -> Result<Option<(PathBuf, String)>> {
        let Some(file) = &self.file else { return Ok(None) };
        let name = file.file_stem().context("the document has no name")?.to_string_lossy().into_owned();
        let folder = file.parent().unwrap_or(Path::new(".")).join(&name);
        fs::create_dir_all(&folder)?;
        Ok(Some((folder, name)))
    }

    /// It says of which commit it is, and how often each was measured, where that depends on the run.
    pub(crate) fn told(&self, mut section: Section) -> Section {
        let rounds = if section.in_rounds { format!(" {}", self.rounds) } else { String::new() };
        section.done = format!("{}{rounds} Measured at {}.", section.done, self.measured);
        section
    }

    pub(crate) fn add(&mut self, section: &Section) -> Result<()> {
        let (heading, text) = (format!("{HEADING}{}\n", section.title), format!("\n{section}"));
        match self.sections.iter_mut().find(|section| section.starts_with(&heading)) {
            Some(before) => *before = text,
            None => self.sections.push(text),
        }
        match &self.file {
            None => Ok(()),
            Some(file) => fs::write(file, format!("{}{}", self.head, self.sections.concat()))
                .with_context(|| file.display().to_string()),
        }
    }
}

/// What a document holds behind this head, if it is its own.
fn sections(document: &str, head: &str) -> Result<Vec<String>> {
    if document.is_empty() {
        return Ok(Vec::new());
    }
    let Some(rest) = document.strip_prefix(head) else {
        let other = document.lines().zip(head.lines()).find(|(before, now)| before != now);
        let (before, now) = other.unwrap_or(("less, or other ends of lines", ""));
        bail!(
            "what is written there is of another machine or other versions; --anew begins without it\n  there: {before}\n  here:  {now}"
        );
    };
    Ok(rest.split(HEADING).skip(1).map(|section| format!("{HEADING}{section}")).collect())
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
    fn what_does_not_run_this_time_stays_and_what_does_takes_its_place() {
        let section = |title: &str, note: &str| Section {
            title: title.to_owned(),
            done: "Done.".to_owned(),
            notes: vec![note.to_owned()],
            in_rounds: title == "One",
            ..Section::default()
        };
        let (head, measured) = ("# Head\n".to_owned(), "abc".to_owned());
        let mut document = Document { head, rounds: "Once.", measured, ..Document::printed() };
        let text = |document: &Document| format!("{}{}", document.head, document.sections.concat());
        for (title, note) in [("One", "a"), ("Two", "b")] {
            document.add(&document.told(section(title, note))).unwrap();
        }
        let before = text(&document);
        assert_eq!(
            before,
            "# Head\n\n## One\n\nDone. Once. Measured at abc.\n\n- a\n\n## Two\n\nDone. Measured at abc.\n\n- b\n"
        );
        document.sections = sections(&before, "# Head\n").unwrap();
        document.add(&document.told(section("One", "c"))).unwrap();
        assert_eq!(text(&document), before.replace("- a", "- c"));
        let other = sections(&before, "# Another machine\n").unwrap_err().to_string();
        assert!(other.contains("there: # Head\n  here:  # Another machine"), "{other}");
        assert!(sections("", "# Head\n").unwrap().is_empty());
    }

    #[test]
    fn numbers_are_easy_to_read() {
        assert_eq!(count(1_234_567.4), "1,234,567");
        assert_eq!(count(12.0), "12");
        assert_eq!(times(1.456), "1.46 ×");
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
    }
}
