use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::net::IpAddr;
use std::path::Path;

use ::verdict::{Confidence, Evidence, Judgement, MatchedBy, NetworkMatch, Record, Rules, Trust, Verdict};
use anyhow::Context;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::check;
use crate::cli::VerdictArgs;
use crate::exit::{self, Failure, Outcome};
use crate::output::{printable, say};
use crate::rule_book;

/// Evidence is a few hundred octets; a longer line is not looked at.
const LONGEST_LINE: usize = 1 << 20;
const DEFAULT_CONFIG: &str = "/etc/waxseal/waxseal.toml";

/// Explains one hit, or judges many from a file. Stores and changes nothing.
pub(crate) fn verdict(args: &VerdictArgs) -> Outcome {
    let rules = rules(args)?;
    if let Some(file) = &args.jsonl {
        return judge_lines(&rules, file);
    }
    let evidence = evidence(args).map_err(|error| Failure::new(exit::USAGE, error))?;
    let judgement = rules.judge(&evidence);
    if args.json {
        say(&as_json(&rules, &evidence, &judgement).to_string());
    } else {
        say(&in_words(&rules, &evidence, &judgement));
    }
    Ok(exit::OK)
}

/// Of the command line; else of the configuration, if there is one; else the built-in ones.
fn rules(args: &VerdictArgs) -> Result<Rules, Failure> {
    let default = Path::new(DEFAULT_CONFIG);
    let file = args.config.as_deref().or_else(|| default.exists().then_some(default));
    let named = args.rules.is_some() && args.lists.is_some();
    let (mut rules, mut lists) = (None, None);
    if let Some(file) = file.filter(|_| !named) {
        let config = check::read(file)?;
        rules = config.intel.rules;
        lists = config.intel.lists.exists().then_some(config.intel.lists);
    }
    let (rules, lists) = (args.rules.clone().or(rules), args.lists.clone().or(lists));
    rule_book::read(rules.as_deref(), lists.as_deref()).map_err(|troubles| {
        for trouble in &troubles {
            eprintln!("error: {}", printable(&trouble.to_string()));
        }
        Failure::told(exit::CONFIG)
    })
}

/// One line of JSON for each line of evidence, in their order.
///
/// A line that is no evidence gets `{"error": …, "line": …}`, so that what follows stays beside its line; an empty
/// one gets an empty one.
fn judge_lines(rules: &Rules, file: &Path) -> Outcome {
    let (name, source): (_, Box<dyn Read>) = if file.as_os_str() == "-" {
        ("standard input".to_owned(), Box::new(io::stdin().lock()))
    } else {
        let opened = File::open(file).with_context(|| format!("cannot read {}", file.display()));
        (file.display().to_string(), Box::new(opened.map_err(|error| Failure::new(exit::NO_INPUT, error))?))
    };
    let mut lines = BufReader::new(source);
    let mut out = BufWriter::new(io::stdout().lock());
    let (mut number, mut wrong) = (0_usize, 0_usize);
    let mut line = Vec::new();
    while read_line(&mut lines, &mut line).with_context(|| format!("cannot read {name}"))? {
        number += 1;
        match judge_line(rules, &line) {
            None => writeln!(out)?,
            Some(Ok(judged)) => writeln!(out, "{judged}")?,
            Some(Err(error)) => {
                wrong += 1;
                writeln!(out, "{}", json!({ "error": error, "line": number }))?;
                out.flush()?;
                eprintln!("error: {}:{number}: {}", printable(&name), printable(&error));
            }
        }
        // Somebody who writes a line and waits for its answer has it.
        if lines.buffer().is_empty() {
            out.flush()?;
        }
    }
    out.flush()?;
    if wrong == 0 { Ok(exit::OK) } else { Err(Failure::told(exit::FAILED)) }
}

/// The next line without its end; what is too long is cut. False at the end.
fn read_line(lines: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<bool> {
    line.clear();
    let most = LONGEST_LINE as u64 + 1;
    if lines.take(most).read_until(b'\n', line)? == 0 {
        return Ok(false);
    }
    if line.last() != Some(&b'\n') && line.len() > LONGEST_LINE {
        lines.skip_until(b'\n')?;
    }
    Ok(true)
}

fn judge_line(rules: &Rules, line: &[u8]) -> Option<Result<String, String>> {
    let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line).trim_ascii();
    if line.is_empty() {
        return None;
    }
    if line.len() > LONGEST_LINE {
        return Some(Err("the line is too long".to_owned()));
    }
    let record: Record = match serde_json::from_slice(line) {
        Ok(record) => record,
        // Its own place is within the line, which is always the first.
        Err(error) => return Some(Err(error.to_string().replace(" at line 1 column ", " at column "))),
    };
    let judged = rules.judge(&record.into());
    let judged = Judged {
        verdict: judged.verdict,
        confidence: judged.confidence,
        reasons: judged.reasons,
        trust: judged.trust,
    };
    Some(serde_json::to_string(&judged).map_err(|error| error.to_string()))
}

/// What is printed of a judgement, in this order.
#[derive(Serialize)]
struct Judged {
    verdict: Verdict,
    confidence: Confidence,
    reasons: Vec<String>,
    trust: Trust,
}

/// What the command line says about one hit.
fn evidence(args: &VerdictArgs) -> anyhow::Result<Evidence> {
    let mut context = Map::new();
    for pair in &args.context {
        let (key, value) = pair.split_once('=').with_context(|| {
            format!("--context is KEY=VALUE, for example links_in_message=4; not {pair:?}")
        })?;
        let key = key.trim();
        known_key(key)?;
        // Numbers, true, false and lists as they are; everything else is text.
        let value = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned()));
        context.insert(key.to_owned(), value);
    }
    let mut headers = Vec::new();
    for line in &args.headers {
        let (name, value) =
            line.split_once(':').with_context(|| format!("--header is 'Name: value'; not {line:?}"))?;
        headers.push(json!([name, value.trim()]));
    }
    let kind = args.kind.map_or("", |kind| kind.code());
    let record = json!({
        "kind": kind,
        "method": args.method,
        "ua": args.ua,
        "ip": args.ip.map(|ip: IpAddr| ip.to_string()),
        "asn": args.asn,
        "since_accept_s": args.after,
        "headers": (!headers.is_empty()).then_some(headers),
        "context": context,
    });
    let record: Record = serde_json::from_value(record).context("--context")?;
    Ok(record.into())
}

/// Refuses a key that no rule looks at: a slip would say nothing, and the verdict would be believed.
fn known_key(key: &str) -> anyhow::Result<()> {
    let known = serde_json::to_value(::verdict::Context::default())?;
    let known: Vec<&str> = known.as_object().into_iter().flat_map(Map::keys).map(String::as_str).collect();
    if known.contains(&key) {
        return Ok(());
    }
    let near = known
        .iter()
        .map(|known| (strsim::jaro_winkler(known, key), *known))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0));
    match near {
        Some((_, meant)) => anyhow::bail!("--context has no key {key:?}; did you mean {meant:?}?"),
        None => anyhow::bail!("--context has no key {key:?}; there are: {}", known.join(", ")),
    }
}

fn as_json(rules: &Rules, evidence: &Evidence, judgement: &Judgement) -> Value {
    let networks = rules.networks_of(evidence.address, evidence.asn).into_iter().map(|net| {
        let (by, list, date) = match net.by {
            MatchedBy::List { name, date } => ("list", Some(name), date),
            MatchedBy::Rules => ("rules", None, None),
            MatchedBy::Asn => ("asn", None, None),
            MatchedBy::AsnOfMany => ("asn_of_many", None, None),
        };
        json!({ "id": net.id, "class": net.class, "by": by, "list": list, "date": date })
    });
    json!({
        "verdict": judgement.verdict.code(),
        "confidence": judgement.confidence.code(),
        "reasons": judgement.reasons,
        "trust": judgement.trust,
        "rules": judgement.rules,
        "explained": judgement.reasons.iter().map(|code| json!({
            "code": code,
            "sentence": rules.sentence(code),
        })).collect::<Vec<_>>(),
        "networks": networks.collect::<Vec<_>>(),
        "device": device(evidence, judgement),
    })
}

fn in_words(rules: &Rules, evidence: &Evidence, judgement: &Judgement) -> String {
    let verdict = judgement.verdict;
    let word = verdict.on_screen();
    let code = if word == verdict.code() { String::new() } else { format!(" ({})", verdict.code()) };
    let mut text = match verdict {
        Verdict::Unknown => format!("{word}{code}\n\n"),
        _ => format!("{} {word}{code}\n\n", judgement.confidence.word()),
    };
    let width = judgement.reasons.iter().map(String::len).max().unwrap_or(0).max("network".len());
    for code in &judgement.reasons {
        let sentence = rules.sentence(code).unwrap_or_default();
        text += &format!("  {:width$}  {}\n", printable(code), printable(sentence));
    }
    text.push('\n');
    text += &format!("  {:width$}  {}\n", "trust", trust(judgement.trust));
    for net in rules.networks_of(evidence.address, evidence.asn) {
        text += &format!("  {:width$}  {}\n", "network", printable(&network(&net)));
    }
    if let Some(device) = device(evidence, judgement) {
        text += &format!("  {:width$}  {}\n", "device", printable(&device.to_string()));
    }
    text + &format!("  {:width$}  {}", "rules", printable(&judgement.rules))
}

fn trust(trust: Trust) -> String {
    let believed: Vec<&str> =
        [(trust.time, "the time"), (trust.place, "the place"), (trust.device, "the device")]
            .into_iter()
            .filter_map(|(believed, what)| believed.then_some(what))
            .collect();
    match believed.as_slice() {
        [] => "neither time, place nor device is the reader's".to_owned(),
        [one] => format!("only {one} may be believed"),
        [one, other] => format!("{one} and {other} may be believed"),
        _ => "time, place and device may be believed".to_owned(),
    }
}

fn network(net: &NetworkMatch) -> String {
    let by = match &net.by {
        MatchedBy::List { name, date: Some(date) } => format!("by the list {name} of {date}"),
        MatchedBy::List { name, date: None } => format!("by the list {name}, which has no date"),
        MatchedBy::Rules => "by a network that the rules name".to_owned(),
        MatchedBy::Asn => "by its AS".to_owned(),
        MatchedBy::AsnOfMany => "perhaps: its AS carries others too".to_owned(),
    };
    format!("{} ({}), {by}", net.id, net.class)
}

fn device(evidence: &Evidence, judgement: &Judgement) -> Option<::verdict::Device> {
    let agent = evidence.user_agent.as_deref().filter(|_| judgement.trust.device)?;
    ::verdict::load_families();
    ::verdict::device_of(evidence.kind, agent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let rules = Rules::builtin();
        let judged = |line: &str| judge_line(&rules, line.as_bytes());
        assert_eq!(judged(" \r"), None);
        let fine = judged(
            "\u{feff}{\"kind\":\"open\",\"ua\":\"Mozilla/5.0\",\"ip\":\"104.28.42.1\",\"moon\":1}\r\n",
        );
        assert_eq!(
            fine.unwrap().unwrap(),
            r#"{"verdict":"prefetch","confidence":"certain","reasons":["apple_mpp"],"trust":{"time":false,"place":false,"device":false}}"#
        );
        for (line, expected) in [
            ("{", "EOF while parsing an object at column 1"),
            (r#"{"ua":"x"}"#, "missing field `kind` at column 10"),
            ("\u{7}", "expected value at column 1"),
        ] {
            assert_eq!(judged(line).unwrap().unwrap_err(), expected, "{line}");
        }
        assert!(judge_line(&rules, b"\xff\xfe").unwrap().is_err());
    }

    #[test]
    fn a_long_line_is_told_and_the_next_is_read() {
        let mut text = vec![b'x'; LONGEST_LINE + 5];
        text.extend_from_slice(b"\nnext");
        let (mut lines, mut line) = (text.as_slice(), Vec::new());
        assert!(read_line(&mut lines, &mut line).unwrap());
        assert!(line.len() > LONGEST_LINE);
        assert!(read_line(&mut lines, &mut line).unwrap());
        assert_eq!(line, b"next");
        assert!(!read_line(&mut lines, &mut line).unwrap());
    }
}
