use std::fmt::Write as _;

use super::keys::{self, KEYS, Key, Kind, Preset};

/// Every key of this version with its line of explanation, at its default: what `config/waxseal.toml` holds.
pub fn example() -> String {
    let mut text = HEAD.to_owned();
    for key in KEYS.iter().filter(|key| key.is_available()) {
        match key.kind {
            Kind::Inline => {
                let _ = writeln!(text, "\n# {}", key.doc);
                let _ = writeln!(text, "#{} = {}", key.name(), inline(key));
            }
            Kind::Table | Kind::Tables | Kind::Named => {
                let _ = writeln!(text, "\n\n# {}", key.doc);
                let _ = writeln!(text, "{}", header(key));
            }
            // Shown within the table that holds it.
            _ if keys::find(key.holder()).is_some_and(|holder| matches!(holder.kind, Kind::Inline)) => {}
            _ => {
                let _ = writeln!(text, "\n# {}", key.doc);
                let _ = writeln!(text, "{}", line(key));
            }
        }
    }
    text
}

const HEAD: &str = r##"# waxseal.toml: every setting of this version.
#
#   check it   waxseal check -c waxseal.toml
#   run it     waxseal run -c waxseal.toml
#
# A line of the form "#name = value" shows a default: without the "#" it says the same.
# A line that ends in "# example" has no default. Lines without "#" are yours to decide.
#
# Durations: "500ms" "30s" "15m" "12h" "90d". Sizes: "512KB" "25MB" (a KB is 1,000 octets).
# Paths are relative to this file. Unknown keys are errors, never ignored.
"##;

/// Tables that there need not be are shown as comments.
fn header(key: &Key) -> String {
    match key.kind {
        Kind::Tables => format!("#[[{}]]", key.path),
        Kind::Named => format!("[{}.mine]", key.path),
        _ => format!("[{}]", key.path),
    }
}

fn line(key: &Key) -> String {
    let name = key.name();
    match key.preset {
        Preset::Needed(value) if key.holder().ends_with("[]") => format!("#{name} = {value}   # example"),
        Preset::Needed(value) => format!("{name} = {value}"),
        Preset::Optional(value) => format!("#{name} = {value}   # example"),
        Preset::Default(value) => format!("#{name} = {value}"),
        Preset::Holds => String::new(),
    }
}

fn inline(holder: &Key) -> String {
    let mut example = false;
    let mut values = Vec::new();
    for key in keys::within(holder.path).filter(|key| key.is_available()) {
        match key.preset {
            Preset::Default(value) => values.push(format!("{} = {value}", key.name())),
            Preset::Needed(value) | Preset::Optional(value) => {
                example = true;
                values.push(format!("{} = {value}", key.name()));
            }
            Preset::Holds => {}
        }
    }
    format!("{{ {} }}{}", values.join(", "), if example { "   # example" } else { "" })
}
