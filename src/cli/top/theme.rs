//! What colours mean. Nothing is said by colour alone: words say it too.

use ratatui::style::{Color, Modifier, Style};

/// A grey that can be read on black and on white; the sixteen basic colours have none.
const GREY: Color = Color::Indexed(244);

/// How urgent something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Tone {
    Plain,
    /// Of less interest.
    Faint,
    /// As it should be.
    Good,
    /// To be looked at.
    Warn,
    /// To be acted on.
    Critical,
}

/// From tones to styles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Theme {
    colour: bool,
}

impl Theme {
    /// With colours, or with bold, underlined and dim text alone.
    pub(super) fn new(colour: bool) -> Self {
        Self { colour }
    }

    pub(super) fn style(self, tone: Tone) -> Style {
        let plain = Style::new();
        match (tone, self.colour) {
            (Tone::Plain, _) | (Tone::Good, false) => plain,
            (Tone::Faint, true) => plain.fg(GREY),
            (Tone::Faint, false) => plain.add_modifier(Modifier::DIM),
            (Tone::Good, true) => plain.fg(Color::Green),
            (Tone::Warn, true) => plain.fg(Color::Yellow),
            (Tone::Warn, false) => plain.add_modifier(Modifier::BOLD),
            (Tone::Critical, true) => plain.fg(Color::Red).add_modifier(Modifier::BOLD),
            (Tone::Critical, false) => plain.add_modifier(Modifier::BOLD | Modifier::UNDERLINED),
        }
    }

    /// The row under the cursor.
    pub(super) fn selected(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    /// The heading of the pane that keys act on.
    pub(super) fn focused(self) -> Style {
        let bold = Style::new().add_modifier(Modifier::BOLD);
        if self.colour { bold.fg(Color::Cyan) } else { bold }
    }

    /// Column headings and labels.
    pub(super) fn heading(self) -> Style {
        if self.colour { Style::new().fg(Color::Cyan) } else { Style::new() }
    }

    /// That there is no answer.
    pub(super) fn banner(self) -> Style {
        let loud = Style::new().add_modifier(Modifier::BOLD | Modifier::REVERSED);
        if self.colour { loud.fg(Color::Red) } else { loud }
    }

    /// Laid over figures that are no longer of now.
    pub(super) fn stale(self) -> Style {
        let loud = Modifier::BOLD | Modifier::UNDERLINED;
        self.style(Tone::Faint).remove_modifier(loud)
    }
}
