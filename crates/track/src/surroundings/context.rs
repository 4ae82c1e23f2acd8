use envelope::RelayId;
use verdict::{Context, Evidence, Kind, Rules};

use super::window::{LONGEST_MS, Seen, Window};

/// Nearest in time; a reader who does more within a minute is none.
const MOST_NEIGHBOURS: usize = 64;
/// Links are counted within so many milliseconds.
const WIDTHS: [i64; 4] = [1_000, 5_000, 10_000, 30_000];

/// What other hits say about this one: those before it, and by the time it settles also those after it. Adds to what
/// the context holds already.
pub(crate) fn fill(context: &mut Context, hit: &Seen, window: &Window, rules: &Rules) {
    let neighbours = neighbours(hit, window, rules);
    let counts = links_around(hit, &neighbours);
    if hit.kind == Kind::Click {
        put(context, counts);
    }
    let burst = burst_of_same_source(hit, &neighbours, context, rules);
    least(&mut context.same_source_burst_within_s, burst);
    let honeypots = neighbours.iter().copied().filter(|other| other.honeypot && same_source(hit, other));
    least(&mut context.same_source_honeypot_hit_within_s, nearest(hit, honeypots));
    if hit.honeypot {
        context.is_honeypot_link = Some(true);
    }
    // Of a copy that many people share, others may well have followed the link before.
    if hit.kind == Kind::Click && hit.recipient.is_some() {
        let earlier = window.of_reader(hit, LONGEST_MS, -1);
        let elsewhere = earlier.filter(|other| other.kind == Kind::Click && other.link == hit.link);
        let elsewhere = elsewhere.filter(|other| other.source.is_some() && !same_source(hit, other));
        let apart = nearest(hit, elsewhere).filter(|_| hit.source.is_some());
        least(&mut context.earlier_click_other_source_s, apart);
    }
    if window.of_reader(hit, LONGEST_MS, -1).any(|other| other.person && same_program(hit, other)) {
        context.seen_before_human = Some(true);
    }
    across_recipients(context, hit, window);
}

/// Somebody at the same place, by the same program, followed a link of the same copy, and it was a person.
pub(crate) fn person_clicked(hit: &Seen, window: &Window) -> bool {
    hit.kind == Kind::Open
        && window
            .of_reader(hit, LONGEST_MS, LONGEST_MS)
            .any(|other| other.kind == Kind::Click && other.person && same_program(hit, other))
}

/// Opens of the same copy at the same place, by the same program, before the click.
pub(crate) fn opens_like(click: &Seen, window: &Window) -> Vec<RelayId> {
    window
        .of_reader(click, LONGEST_MS, 0)
        .filter(|other| other.kind == Kind::Open && !other.person && same_program(click, other))
        .take(MOST_NEIGHBOURS)
        .map(|other| other.event)
        .collect()
}

fn same_program(one: &Seen, other: &Seen) -> bool {
    one.agent.is_some() && one.agent == other.agent && same_source(one, other)
}

fn neighbours<'a>(hit: &'a Seen, window: &'a Window, rules: &Rules) -> Vec<&'a Seen> {
    let waits = rules.waits();
    let fold = waits.fold_back_open.max(waits.fold_back_honeypot).as_millis();
    let reach = i64::try_from(fold).unwrap_or(LONGEST_MS).clamp(WIDTHS[3], LONGEST_MS);
    let mut neighbours: Vec<&Seen> = window.of_reader(hit, reach, reach).collect();
    // Different people follow different links of a copy they share: only those of one source belong together.
    neighbours.retain(|other| hit.recipient.is_some() || same_source(hit, other));
    neighbours.sort_by_key(|other| (other.at - hit.at).abs());
    neighbours.truncate(MOST_NEIGHBOURS);
    neighbours
}

fn same_source(one: &Seen, other: &Seen) -> bool {
    one.source.is_some() && one.source == other.source
}

/// Seconds between the hit and the nearest of these.
fn nearest<'a>(hit: &Seen, others: impl Iterator<Item = &'a Seen>) -> Option<f64> {
    let apart = others.map(|other| (other.at - hit.at).abs()).min()?;
    // At most an hour of milliseconds.
    Some(f64::from(i32::try_from(apart).unwrap_or(i32::MAX)) / 1_000.0)
}

/// The most distinct links followed within each width of time that this hit lies in.
fn links_around(hit: &Seen, neighbours: &[&Seen]) -> [u32; 4] {
    let mut clicks: Vec<(i64, u16)> = neighbours
        .iter()
        .copied()
        .chain([hit])
        .filter(|seen| seen.kind == Kind::Click)
        .filter_map(|seen| Some((seen.at, seen.link?)))
        .collect();
    clicks.sort_unstable();
    WIDTHS.map(|width| {
        let starts =
            clicks.iter().map(|(at, _)| *at).filter(|start| *start <= hit.at && hit.at <= start + width);
        starts.map(|start| distinct(&clicks, start, start + width)).max().unwrap_or(0)
    })
}

fn distinct(clicks: &[(i64, u16)], from: i64, until: i64) -> u32 {
    let mut links: Vec<u16> =
        clicks.iter().filter(|(at, _)| (from..=until).contains(at)).map(|(_, link)| *link).collect();
    links.sort_unstable();
    links.dedup();
    length(&links)
}

fn put(context: &mut Context, counts: [u32; 4]) {
    let [one, five, ten, thirty] = counts;
    most(&mut context.distinct_links_within_1s, one);
    most(&mut context.distinct_links_within_5s, five);
    most(&mut context.distinct_links_within_10s, ten);
    most(&mut context.distinct_links_within_30s, thirty);
}

/// Seconds to the nearest hit of the same source that is one of a burst.
fn burst_of_same_source(hit: &Seen, neighbours: &[&Seen], context: &Context, rules: &Rules) -> Option<f64> {
    let source: Vec<&Seen> = neighbours.iter().copied().filter(|other| same_source(hit, other)).collect();
    let of_burst = |other: &&Seen| {
        let mut others: Vec<&Seen> =
            neighbours.iter().copied().filter(|third| third.event != other.event).collect();
        others.push(hit);
        is_burst(links_around(other, &others), context.links_in_message, rules)
    };
    // Two clicks at least.
    if source.iter().filter(|other| other.kind == Kind::Click).count() < 2 {
        return None;
    }
    nearest(hit, source.into_iter().filter(|other| other.kind == Kind::Click).filter(of_burst))
}

/// What a burst is, the rules say.
fn is_burst(counts: [u32; 4], links_in_message: Option<u32>, rules: &Rules) -> bool {
    if counts[3] < 2 {
        return false;
    }
    let mut bare = Evidence::new(Kind::Click);
    put(&mut bare.context, counts);
    bare.context.links_in_message = links_in_message;
    rules.judge(&bare).reasons.iter().any(|reason| reason == "burst")
}

/// Recipients whose tokens one address fetched.
fn across_recipients(context: &mut Context, hit: &Seen, window: &Window) {
    let others = window.of_address(hit, LONGEST_MS, LONGEST_MS);
    let mut readers: Vec<(u64, u64)> = others.filter_map(|other| other.reader).chain(hit.reader).collect();
    if hit.address.is_none() || readers.is_empty() {
        return;
    }
    readers.sort_unstable();
    readers.dedup();
    most(&mut context.recipients_from_address_within_1h, length(&readers));
    let mut domains: Vec<u64> = readers.into_iter().map(|(_, domain)| domain).collect();
    domains.sort_unstable();
    domains.dedup();
    most(&mut context.recipient_domains_from_address_within_1h, length(&domains));
}

// What is learnt adds to what was known at the hit: after a restart the window knows less than it did then.

fn most(known: &mut Option<u32>, found: u32) {
    *known = Some(known.map_or(found, |known| known.max(found)));
}

fn least(known: &mut Option<f64>, found: Option<f64>) {
    *known = match (*known, found) {
        (Some(known), Some(found)) => Some(known.min(found)),
        (known, found) => known.or(found),
    };
}

fn length<T>(list: &[T]) -> u32 {
    u32::try_from(list.len()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::window::tests::seen;
    use super::*;

    fn click(number: u16, at_ms: i64, link: u16, address: &str) -> Seen {
        Seen { link: Some(link), ..seen(number, at_ms, address) }
    }

    fn open(number: u16, at_ms: i64, address: &str) -> Seen {
        Seen { kind: Kind::Open, link: None, ..seen(number, at_ms, address) }
    }

    fn context(hit: &Seen, others: &[Seen]) -> Context {
        let mut window = Window::default();
        for seen in others.iter().chain([hit]) {
            window.insert(seen.clone());
        }
        let mut context = Context::default();
        fill(&mut context, hit, &window, &Rules::builtin());
        context
    }

    fn counts(context: &Context) -> [Option<u32>; 4] {
        [
            context.distinct_links_within_1s,
            context.distinct_links_within_5s,
            context.distinct_links_within_10s,
            context.distinct_links_within_30s,
        ]
    }

    const HERE: &str = "203.0.113.7";
    const NEAR: &str = "203.0.113.99";
    const AWAY: &str = "198.51.100.1";

    #[test]
    fn links_are_counted_in_widths_of_time_that_the_hit_lies_in() {
        let hit = click(0, 10_000, 0, HERE);
        for (case, others, expected) in [
            ("alone", vec![], [1, 1, 1, 1]),
            ("the same link again", vec![click(1, 10_100, 0, HERE)], [1, 1, 1, 1]),
            ("two within a second", vec![click(1, 11_000, 1, AWAY)], [2, 2, 2, 2]),
            // Each within a second of the hit, but not all within one second.
            ("before and after", vec![click(1, 9_100, 1, HERE), click(2, 10_900, 2, HERE)], [2, 3, 3, 3]),
            ("eight seconds apart", vec![click(1, 2_000, 1, HERE)], [1, 1, 2, 2]),
            ("half a minute", vec![click(1, 40_000, 1, HERE), click(2, 40_001, 2, HERE)], [1, 1, 1, 2]),
            ("an open is no link", vec![open(1, 10_000, HERE)], [1, 1, 1, 1]),
        ] {
            assert_eq!(counts(&context(&hit, &others)), expected.map(Some), "{case}");
        }
        assert_eq!(counts(&context(&open(9, 10_000, HERE), &[])), [None; 4]);
    }

    #[test]
    fn of_a_shared_copy_one_source_counts() {
        let shared = |seen: Seen| Seen { recipient: None, ..seen };
        let hit = shared(click(0, 10_000, 0, HERE));
        let others = [shared(click(1, 10_100, 1, AWAY)), shared(click(2, 10_200, 2, AWAY))];
        assert_eq!(counts(&context(&hit, &others)), [Some(1); 4]);
        assert_eq!(counts(&context(&hit, &[shared(click(1, 10_100, 1, NEAR))])), [Some(2); 4]);
        assert_eq!(context(&hit, &[shared(click(1, 9_000, 0, AWAY))]).earlier_click_other_source_s, None);
    }

    #[test]
    fn a_burst_is_known_to_what_came_before_it_from_its_source() {
        let burst = [click(1, 30_000, 1, HERE), click(2, 30_200, 2, HERE)];
        for (case, hit, expected) in [
            ("an open before", open(0, 10_000, NEAR), Some(20.0)),
            ("an open after", open(0, 31_200, NEAR), Some(1.0)),
            ("of another source", open(0, 10_000, AWAY), None),
            ("too long before", open(0, -31_000, HERE), None),
            ("a click before", click(0, 5_000, 0, NEAR), Some(25.0)),
            ("on another copy", Seen { recipient: Some(1), ..open(0, 10_000, HERE) }, None),
        ] {
            assert_eq!(context(&hit, &burst).same_source_burst_within_s, expected, "{case}");
        }
        let no_burst = [click(1, 30_000, 1, HERE), click(2, 38_000, 2, HERE)];
        assert_eq!(context(&open(0, 10_000, HERE), &no_burst).same_source_burst_within_s, None);
    }

    #[test]
    fn one_link_from_two_places() {
        let hit = click(0, 100_000, 0, HERE);
        for (case, other, expected) in [
            ("elsewhere before", click(1, 70_000, 0, AWAY), Some(30.0)),
            ("here before", click(1, 70_000, 0, NEAR), None),
            ("elsewhere after", click(1, 130_000, 0, AWAY), None),
            ("another link", click(1, 70_000, 1, AWAY), None),
        ] {
            assert_eq!(context(&hit, &[other]).earlier_click_other_source_s, expected, "{case}");
        }
    }

    #[test]
    fn one_address_at_many_peoples_mail() {
        let at = |number: u16, reader: (u64, u64)| Seen {
            message: envelope::RelayId::from_bytes([u8::try_from(number).unwrap(); 16]),
            reader: Some(reader),
            ..open(number, 1_000, HERE)
        };
        let counts = |hit: &Seen, others: &[Seen]| {
            let context = context(hit, others);
            (context.recipients_from_address_within_1h, context.recipient_domains_from_address_within_1h)
        };
        let hit = at(1, (1, 1));
        assert_eq!(counts(&hit, &[at(2, (2, 1)), at(3, (3, 2)), at(4, (3, 2))]), (Some(3), Some(2)));
        let elsewhere = Seen { address: NEAR.parse().ok(), ..at(2, (2, 2)) };
        assert_eq!(counts(&hit, &[elsewhere]), (Some(1), Some(1)));
        assert_eq!(counts(&Seen { reader: None, ..hit.clone() }, &[]), (None, None));
    }

    #[test]
    fn a_person_known_here() {
        let agent = |seen: Seen, agent: u8| Seen { agent: Some(agent.to_string().into()), ..seen };
        let hit = agent(click(0, 100_000, 0, HERE), 7);
        for (case, other, expected) in [
            ("before", agent(open(1, 50_000, NEAR), 7), Some(true)),
            ("after", agent(open(1, 150_000, NEAR), 7), None),
            ("another program", agent(open(1, 50_000, NEAR), 8), None),
            ("elsewhere", agent(open(1, 50_000, AWAY), 7), None),
            ("a machine", Seen { person: false, ..agent(open(1, 50_000, NEAR), 7) }, None),
        ] {
            assert_eq!(context(&hit, &[other]).seen_before_human, expected, "{case}");
        }
        let mut window = Window::default();
        window.insert(hit);
        assert!(person_clicked(&agent(open(1, 50_000, NEAR), 7), &window));
        assert!(!person_clicked(&agent(open(1, 50_000, AWAY), 7), &window));
        assert!(!person_clicked(&open(1, 50_000, NEAR), &window));
    }

    #[test]
    fn a_crowd_takes_no_time() {
        let others: Vec<Seen> =
            (1..2_000).map(|number| click(number, i64::from(number) % 50_000, number, HERE)).collect();
        let began = std::time::Instant::now();
        let context = context(&open(0, 1_000, HERE), &others);
        assert_eq!(context.same_source_burst_within_s, Some(0.0));
        assert!(began.elapsed() < std::time::Duration::from_secs(5));
    }
}
