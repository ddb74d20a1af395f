//! The terminal: results on standard output, everything else on standard error.
//!
//! A command says its result twice, as lines for people ([`Ui::line`]) and as one document for programs
//! ([`Ui::document`]); which of the two appears is decided here. Whatever is printed as a line is made
//! [`visible()`] here, wherever it came from.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::sync::Mutex;
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use sealnet::error::{Error, Result};
use sealnet::progress::Progress;
use sealnet::train::checkpoint::Kept;
use sealnet_firmware::visible::{visible, visible_json};
use serde::Serialize;
use serde_json::Value;

use crate::cli::OutputOptions;

/// How to speak to the user.
#[derive(Debug)]
pub(crate) struct Ui {
    json: bool,
    quiet: bool,
    bar: Mutex<ProgressBar>,
}

impl Ui {
    /// Speaks as the options ask.
    pub(crate) fn new(options: OutputOptions) -> Ui {
        Ui {
            json: options.json,
            quiet: options.quiet,
            bar: Mutex::new(ProgressBar::hidden()),
        }
    }

    /// Whether the result is to be one JSON document.
    pub(crate) fn json(&self) -> bool {
        self.json
    }

    /// Where long work tells of itself.
    pub(crate) fn progress(&self) -> &dyn Progress {
        self
    }

    /// A line of the result for people: on standard output, unless a JSON document is wanted.
    pub(crate) fn line(&self, line: impl Display) -> Result<()> {
        if self.json {
            return Ok(());
        }
        let line = line.to_string();
        self.aside(|| written(writeln!(anstream::stdout(), "{}", visible(&line))))
    }

    /// The result for programs: on standard output if a JSON document is wanted. Once a run.
    pub(crate) fn document(&self, document: &impl Serialize) -> Result<()> {
        if !self.json {
            return Ok(());
        }
        let mut text = serde_json::to_string_pretty(document)
            .map_err(|e| Error::input(format!("cannot write the result as JSON: {e}"), ""))?;
        text.push('\n');
        self.bytes(visible_json(&text).as_bytes())
    }

    /// Bytes as they are, on standard output.
    pub(crate) fn bytes(&self, bytes: &[u8]) -> Result<()> {
        let mut out = io::stdout().lock();
        written(out.write_all(bytes).and_then(|()| out.flush()))
    }

    /// Something good to know, on standard error; not with `--quiet`.
    pub(crate) fn say(&self, line: impl Display) {
        if !self.quiet {
            let line = line.to_string();
            // Nobody can be told that standard error is gone.
            self.aside(|| {
                let _ = writeln!(anstream::stderr(), "{}", visible(&line));
            });
        }
    }

    /// Something the user must know, on standard error.
    pub(crate) fn warn(&self, line: impl Display) {
        let line = line.to_string();
        let line = visible(&line);
        self.aside(|| {
            let _ = writeln!(anstream::stderr(), "{YELLOW}warning:{YELLOW:#} {line}");
        });
    }

    /// Something the user must know, with what it is about, a line each.
    pub(crate) fn warn_of(&self, line: impl Display, about: impl Iterator<Item = String>) {
        self.warn(line);
        for item in about {
            self.aside(|| {
                let _ = writeln!(anstream::stderr(), "  {}", visible(&item));
            });
        }
    }

    /// Tells an error: on standard error, and with `--json` as the document too.
    pub(crate) fn error(&self, error: &Error) {
        self.error_in(error, serde_json::Map::new());
    }

    /// Tells an error; with `--json` as the member `error` of a document that says more.
    pub(crate) fn error_in(&self, error: &Error, mut document: serde_json::Map<String, Value>) {
        self.finish();
        let mut err = anstream::stderr();
        let said = error.to_string();
        let mut text = format!("{RED}error:{RED:#} {}\n", visible(&said));
        for failure in error.failures().iter().take(MAX_FAILURES_SHOWN) {
            text += &format!("  {}\n", visible(&failure.to_string()));
        }
        let hidden = error.failures().len().saturating_sub(MAX_FAILURES_SHOWN);
        if hidden > 0 {
            text += &format!("  and {hidden} more (--json lists them)\n");
        }
        if !error.hint().is_empty() {
            text += &format!("  {CYAN}hint:{CYAN:#} {}\n", visible(error.hint()));
        }
        let _ = err.write_all(text.as_bytes());
        let said = serde_json::json!({
            "kind": error.kind(),
            "message": error.to_string(),
            "hint": error.hint(),
            "failures": error.failures(),
        });
        document.insert("error".to_owned(), said);
        let _ = self.document(&document);
    }

    /// Tells that the program was told to stop, and what is kept of a training, from the thread that heard it.
    pub(crate) fn interrupted(&self, signal: &str, kept: Option<&Kept>) {
        // Whoever holds the bar may be waiting for a reader that will not come.
        if let Ok(bar) = self.bar.try_lock() {
            bar.finish_and_clear();
        }
        let left = match kept {
            None => "every output is whole or absent".to_owned(),
            Some(kept) => kept.tell(),
        };
        let _ = writeln!(
            anstream::stderr(),
            "{RED}error:{RED:#} stopped by {signal}; {}",
            visible(&left)
        );
    }

    /// Prints with the progress bar out of the way.
    fn aside<T>(&self, print: impl FnOnce() -> T) -> T {
        self.with_bar(|bar| bar.suspend(print))
    }

    fn with_bar<T>(&self, f: impl FnOnce(&mut ProgressBar) -> T) -> T {
        let mut bar = match self.bar.lock() {
            Ok(bar) => bar,
            Err(poisoned) => poisoned.into_inner(),
        };
        f(&mut bar)
    }
}

impl Progress for Ui {
    fn start(&self, label: &str, total: u64) {
        if self.quiet || !io::stderr().is_terminal() {
            return;
        }
        let (template, length) = match total {
            0 => ("{spinner} {msg} {elapsed}", None),
            _ => (
                "{msg:<24} [{bar:30}] {human_pos}/{human_len} {eta}",
                Some(total),
            ),
        };
        let style = ProgressStyle::with_template(template)
            .unwrap_or_else(|_| ProgressStyle::default_bar())
            .progress_chars("=> ");
        let next = ProgressBar::with_draw_target(length, ProgressDrawTarget::stderr())
            .with_style(style)
            .with_message(visible(label).into_owned());
        if total == 0 {
            next.enable_steady_tick(Duration::from_millis(120));
        }
        self.with_bar(|bar| {
            bar.finish_and_clear();
            *bar = next;
        });
    }

    fn inc(&self, n: u64) {
        self.with_bar(|bar| bar.inc(n));
    }

    fn resume(&self, n: u64) {
        self.with_bar(|bar| {
            bar.inc(n);
            // The bar has to have seen them before it begins to measure anew.
            bar.tick();
            bar.reset_eta();
        });
    }

    fn finish(&self) {
        self.with_bar(|bar| {
            bar.finish_and_clear();
            *bar = ProgressBar::hidden();
        });
    }

    fn note(&self, line: &str) {
        self.say(line);
    }

    fn relabel(&self, label: &str) {
        self.with_bar(|bar| bar.set_message(visible(label).into_owned()));
    }
}

/// A reader that went away is no failure; a full disk is.
fn written(result: io::Result<()>) -> Result<()> {
    result.map_err(|e| match e.kind() {
        io::ErrorKind::BrokenPipe => Error::ClosedPipe,
        _ => Error::io("write", "standard output")(e),
    })
}

const RED: Style = AnsiColor::Red.on_default().bold();
const YELLOW: Style = AnsiColor::Yellow.on_default().bold();
const CYAN: Style = AnsiColor::Cyan.on_default();

/// More than a screenful helps nobody.
const MAX_FAILURES_SHOWN: usize = 20;
