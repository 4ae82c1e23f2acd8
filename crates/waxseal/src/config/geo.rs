use std::path::PathBuf;

use track::{PlaceDetail, Places};

use super::problems::Complaint;
use super::resolving::Resolving;
use super::settings::GeoConfig;

impl Resolving<'_> {
    /// `privacy.geo` and the map it needs, which is opened to see whether it is one. The outer `None`: it is not.
    #[expect(clippy::option_option, reason = "wrong, not wanted, or wanted")]
    pub(super) fn geo(&mut self) -> Option<Option<GeoConfig>> {
        let root = &self.document.root;
        let detail = match root.get("privacy.geo")? {
            "country" => Some(PlaceDetail::Country),
            "city" => Some(PlaceDetail::City),
            _ => None,
        };
        let (Some(detail), entry) = (detail, root.entry("privacy.geo_db")) else {
            if let Some(entry) = root.entry("privacy.geo_db") {
                self.belongs_to(entry, "geo = \"country\" or \"city\"");
            }
            return Some(None);
        };
        let Some(entry) = entry else {
            self.missing(
                "privacy.geo_db",
                None,
                "with `geo`, write geo_db = \"/var/lib/GeoIP/GeoLite2-Country.mmdb\": Waxseal ships no map",
            );
            return None;
        };
        let written: PathBuf = root.get("privacy.geo_db")?;
        let file = self.surroundings.path(&written);
        match Places::open(&file, detail) {
            Ok(places) => Some(Some(GeoConfig { file, detail, built: places.built() })),
            Err(error) => {
                let told =
                    error.to_string().replace(&file.display().to_string(), &written.display().to_string());
                self.complaints.push(
                    Complaint::new(format!("`privacy.geo_db`: {told}"))
                        .key(&entry.path)
                        .at(entry.span.clone(), "cannot be used")
                        .help("name a country or city database in MaxMind's format, or write geo = \"none\""),
                );
                None
            }
        }
    }
}
