//! What a rules file may hold, and how it is refused.

use waxseal_verdict::{Confidence, Evidence, Kind, Lists, Rules, RulesError, Verdict};

fn mistakes(toml: &str) -> Vec<String> {
    let texts = |error: RulesError| error.mistakes.into_iter().map(|mistake| mistake.text).collect();
    Rules::parse(toml).map_or_else(texts, |_| Vec::new())
}

/// The built-in rules with one text replaced, which must be there.
fn changed(from: &str, to: &str) -> String {
    let text = Rules::builtin_text();
    assert!(text.contains(from), "{from}");
    text.replacen(from, to, 1)
}

#[test]
fn the_built_in_rules_parse() {
    assert_eq!(mistakes(Rules::builtin_text()), Vec::<String>::new());
    assert!(Rules::builtin_text().contains(&format!("version = \"{}\"", Rules::builtin().version())));
}

#[test]
fn each_mistake_is_named() {
    for (from, to, expected) in [
        ("schema = 1", "schema = 2", "schema: is 2; this version reads 1"),
        ("version = ", "versoin = ", "versoin: is not a key here; did you mean \"version\"?"),
        ("[honeypot]", "[honey]", "the section [honeypot] is missing"),
        ("wait_s = 60", "wait_s = \"long\"", "settling.wait_s: is a text, not a number"),
        ("wait_s = 60", "wait_s = -1", "settling.wait_s: is not a time to wait"),
        ("\"burst\", \"cross", "\"bursts\", \"cross", "stages.order: \"bursts\" is not one we know"),
        ("\"burst\", \"cross", "\"self\", \"cross", "stages.order: its 9. stage is there twice"),
        (
            "\"40.92.0.0/15\"",
            "\"40.92.0.0/33\"",
            "net 6 (eop).cidrs: \"40.92.0.0/33\" is not an address or a prefix",
        ),
        (
            "lists = [\"microsoft\"]",
            "lists = [\"macrosoft\"]",
            "net 11 (microsoft).lists: there is no list \"macrosoft\"",
        ),
        ("id = \"fastmail\"", "id = \"yahoo\"", "net 5 (yahoo).id: is there twice"),
        ("class = \"sse\"", "class = \"see\"", "net 10 (sse).class: \"see\" is not one we know"),
        (
            "except = [\"google\"]",
            "except = [\"gogle\"]",
            "net 3 (google_cloud).except: there is no network \"gogle\"",
        ),
        ("regex = 'Edge/12", "regex = '(Edge/12", "ua 3 (gmail_prefetch).regex: unclosed group"),
        (
            "from = [\"apple_relay\"]",
            "from = [\"apple\"]",
            "ua 1 (apple_mpp).from: there is no network \"apple\"",
        ),
        ("exact = [\"\"]", "contains = [\"\"]", "ua 16 (empty_ua).contains: an empty text fits every agent"),
        ("exact = [\"\"]", "", "ua 16 (empty_ua).exact: give one of exact, contains, regex and list"),
        (
            "\"Blackboard\",",
            "\"Whiteboard\",",
            "ua 21 (bot_list).drop_patterns: \"Whiteboard\" is not in the list",
        ),
        ("reason = \"ukrnet_proxy\"", "reason = \"x\"", "sentences: the reason \"x\" has no sentence"),
        (
            "methods_not = [\"GET\"]",
            "",
            "protocol 2 (method_not_get).reason: the block has no condition, so it would fit everything",
        ),
        (
            "'HeadlessChrome'",
            "'[HeadlessChrome'",
            "protocol 5 (headless_brand).headers.sec-ch-ua: unclosed character class",
        ),
        (
            "net = \"microsoft\"",
            "net = \"micro\"",
            "timing 3 (microsoft_open_late).net: there is no network \"micro\"",
        ),
        (
            "within_s = 30",
            "within_s = 31",
            "burst 4.within_s: links are counted within 1, 5, 10 and 30 seconds only",
        ),
        ("sse_net = -1", "sse_ned = -1", "scored.weights.sse_net: is missing"),
        ("preview  = { time", "preveiw  = { time", "the section [trust.preview] is missing"),
    ] {
        let found = mistakes(&changed(from, to));
        assert!(found.iter().any(|mistake| mistake == expected), "{from} -> {to}: {found:#?}");
    }
}

#[test]
fn all_mistakes_come_at_once() {
    let text = changed("\"40.92.0.0/15\"", "\"40.92.0.0/33\"")
        .replace("regex = 'Edge/12", "regex = '(Edge/12")
        .replace("wait_s = 60", "wayt_s = 60")
        .replace("'HeadlessChrome'", "'[HeadlessChrome'");
    let found = mistakes(&text);
    assert_eq!(found.len(), 5, "{found:#?}"); // the misspelt key is unknown, and the right one missing
    let error = Rules::parse(&text).unwrap_err();
    assert_eq!(error.to_string().lines().count(), 5);
}

#[test]
fn what_is_not_toml_says_where() {
    let error = Rules::parse("schema = 1\nversion = ").unwrap_err().to_string();
    assert!(error.starts_with("line 2: this is not TOML: "), "{error}");
}

#[test]
fn an_empty_file_lacks_everything() {
    let found = mistakes("");
    for section in [
        "stages",
        "clock",
        "dedupe",
        "settling",
        "fold_back",
        "honeypot",
        "cross_recipient",
        "scored",
        "gateway_mx",
        "trust",
    ] {
        assert!(found.contains(&format!("the section [{section}] is missing")), "{section}: {found:#?}");
    }
}

#[test]
fn a_file_may_bring_rules_and_sentences_of_its_own() {
    let text = format!(
        "{}\n[sentences]\nhouse_scanner = \"Our own scanner.\"\n",
        changed(
            "[[ua]]                      # they act",
            "[[ua]]\nstage = \"scanner_ua\"\nreason = \"house_scanner\"\ncontains = [\"AcmeScan\"]\nverdict = \"scanner\"\nconfidence = \"certain\"\n[[ua]]                      # they act"
        )
    )
    .replace("version = \"", "version = \"acme-");
    let rules = Rules::parse(&text).unwrap();
    let mut evidence = Evidence::new(Kind::Click);
    evidence.user_agent = Some("AcmeScan/3".to_owned());
    let judged = rules.judge(&evidence);
    assert_eq!((judged.verdict, judged.confidence), (Verdict::Scanner, Confidence::Certain));
    assert_eq!(rules.sentence(&judged.reasons[0]), Some("Our own scanner."));
    assert!(judged.rules.starts_with("acme-"));
    assert_eq!(Rules::builtin().judge(&evidence).verdict, Verdict::Unknown);
}

#[test]
fn without_lists_it_is_less_certain_and_not_wrong() {
    let rules = Rules::parse_with(Rules::builtin_text(), &Lists::default()).unwrap();
    let mut evidence = Evidence::new(Kind::Open);
    evidence.user_agent = Some("Mozilla/5.0".to_owned());
    evidence.address = "104.28.42.1".parse().ok();
    let judged = rules.judge(&evidence);
    assert_eq!((judged.verdict, judged.confidence), (Verdict::Prefetch, Confidence::Probable));

    let mut lists = Lists::default();
    lists.put("apple-proxy", "104.28.42.0/24\n", None).unwrap();
    let rules = Rules::parse_with(Rules::builtin_text(), &lists).unwrap();
    assert_eq!(rules.judge(&evidence).confidence, Confidence::Certain);
    evidence.address = "104.28.43.1".parse().ok();
    assert_eq!(rules.judge(&evidence).verdict, Verdict::Unknown);
}
