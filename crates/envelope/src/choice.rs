/// What a sender wants tracked (PRODUCT.md F1): two switches that do not depend on one another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Choice {
    /// Add a pixel.
    pub opens: bool,
    /// Wrap links.
    pub links: bool,
}

impl Choice {
    /// Nothing.
    pub const NONE: Self = Self { opens: false, links: false };
    /// Opens and links.
    pub const BOTH: Self = Self { opens: true, links: true };

    /// Is there anything to do?
    pub const fn is_none(self) -> bool {
        !self.opens && !self.links
    }
}
