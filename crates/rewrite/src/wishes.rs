use crate::LinkRules;

/// What is to be done to a part, and what is known that helps to decide.
#[derive(Clone, Copy)]
pub struct Wishes<'a> {
    /// Add a pixel.
    pub opens: bool,
    /// Lead links through us.
    pub links: bool,
    /// Knows what earlier mail of ours looks like.
    pub history: &'a dyn History,
    /// Which links stay as they are.
    pub rules: &'a LinkRules,
    /// The bodies of the message's List-Unsubscribe fields, unfolded.
    pub list_unsubscribe: &'a [String],
    /// Where the pixel goes.
    pub position: PixelPosition,
    /// Nobody waits for the answer any more: asked now and then, and once it says so the survey ends, with
    /// [`Reason::TooSlow`](envelope::Reason::TooSlow).
    pub given_up: &'a dyn Fn() -> bool,
}

/// Where the pixel goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PixelPosition {
    /// At the end; at the start when the HTML is longer than mail programs show without being asked.
    #[default]
    Auto,
    /// At the end of the body.
    End,
    /// At the start of the body.
    Start,
}

/// Tells our own earlier pixels and links, which come back in quoted mail, from other people's.
pub trait History {
    /// What this URL is. It comes as a browser would write it: entities undone, scheme and host in lower
    /// case, no default port; or as it stood, where it is no URL.
    fn own(&self, url: &str) -> Own;

    /// Texts of which each URL of ours holds at least one, such as `/o/`. Where none of them stands in a part, its images
    /// are not looked at. Empty: nothing is known, so they are.
    fn marks(&self) -> &[&str] {
        &[]
    }
}

/// What a URL is to us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Own {
    /// Somebody else's.
    NotOurs,
    /// One of our pixels.
    Pixel,
    /// One of our links.
    Link {
        /// Where it leads.
        target: String,
    },
    /// Under our paths, but its token does not open.
    Damaged,
}

/// No history: nothing is ours.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoHistory;

impl History for NoHistory {
    fn own(&self, _url: &str) -> Own {
        Own::NotOurs
    }
}
