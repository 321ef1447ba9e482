use proptest::prelude::*;

use super::*;

const TAG: &str = "key";

fn tag() -> LaneTag {
    LaneTag::from(TAG)
}

fn run(start: i64, end: i64) -> Run {
    Run { start: Offset(start), end: Offset(end) }
}

/// Runs above `low` from (distance, length) pairs, both at least one.
fn runs_above(low: i64, pairs: &[(i64, i64)]) -> Vec<Run> {
    let mut end = low;
    let ascend = |&(distance, length): &(i64, i64)| {
        let start = end + distance;
        end = start + length;
        run(start, end)
    };
    pairs.iter().map(ascend).collect()
}

/// Metadata of ours with this payload.
fn written(form: char, bytes: &[u8]) -> String {
    format!("dm1:{}:{form}:{}", tag(), BASE64.encode(bytes))
}

#[test]
fn worked_example_of_the_module_header_holds() {
    let runs = [run(102, 104), run(110, 111)];
    let metadata = encode(tag(), Offset(100), &runs, 4096).expect("short enough");
    assert_eq!(metadata, "dm1:6815c86c:b:BgI");
    assert_eq!(decode(&metadata, tag(), Offset(100)), Ok(runs.to_vec()));
    assert_eq!(decode(&written('r', &[1, 1, 5, 0]), tag(), Offset(100)), Ok(runs.to_vec()));
}

#[test]
fn what_is_finished_above_is_counted_whatever_the_lanes() {
    for lanes in ["key", "partition"] {
        let metadata = encode(LaneTag::from(lanes), Offset(100), &[run(102, 104), run(110, 111)], 4096);
        assert_eq!(finished_above(&metadata.expect("short enough"), Offset(100)), Ok(3));
    }
    assert_eq!(finished_above("", Offset(100)), Ok(0));
    assert_eq!(finished_above("not ours", Offset(100)), Err(MetadataWarning::Foreign));
    assert!(matches!(finished_above("dm1:+815c86c:b:BgI", Offset(100)), Err(MetadataWarning::Corrupt(_))));
}

#[test]
fn nothing_finished_above_is_no_metadata() {
    assert_eq!(encode(tag(), Offset(7), &[], 0).as_deref(), Some(""));
    assert_eq!(decode("", tag(), Offset(7)), Ok(Vec::new()));
}

#[test]
fn millions_finished_behind_one_are_a_few_bytes() {
    let runs = [run(1, 5_000_000)];
    let metadata = encode(tag(), Offset(0), &runs, 64).expect("short enough");
    assert_eq!(metadata, "dm1:6815c86c:r:AL6WsQI");
    assert_eq!(decode(&metadata, tag(), Offset(0)), Ok(runs.to_vec()));
}

#[test]
fn bitmap_of_4096_bytes_covers_24_480_offsets() {
    let every_other = |offsets: i64| runs_above(0, &vec![(1, 1); usize::try_from(offsets / 2).expect("small")]);
    let full = encode(tag(), Offset(0), &every_other(24_480), 4096).expect("short enough");
    assert_eq!(full.len(), 4095);
    assert_eq!(decode(&full, tag(), Offset(0)).expect("ours").len(), 12_240);
    assert_eq!(encode(tag(), Offset(0), &every_other(24_490), 4096), None);
}

#[test]
fn metadata_of_other_programs_is_foreign() {
    for metadata in ["{\"a\":1}", "dm", "dm:", "d", "dmx:", "dm1", "dmé:", "\u{0}", "DM1:6815c86c:b:BgI"] {
        assert_eq!(decode(metadata, tag(), Offset(0)), Err(MetadataWarning::Foreign), "{metadata}");
    }
}

#[test]
fn metadata_of_another_version_is_told_apart() {
    for metadata in
        ["dm3:no end", "dm3:a:dm3:b:", "dm4:6815c86c:b:BgI:AA", "dm0:", "dm11:", "dm01:", "dm99999999999999999999999:x"]
    {
        assert_eq!(decode(metadata, tag(), Offset(0)), Err(MetadataWarning::OtherVersion), "{metadata}");
    }
}

#[test]
fn a_mark_of_the_source_changes_nothing_of_what_stands_beside_it() {
    let runs = [run(102, 104), run(110, 111)];
    let usage = Usage::default();
    for metadata in ["dm1:6815c86c:b:BgI", "dm2:6815c86c:b:BgI:AQk", "", "not ours"] {
        let marked = marked("1a2b3c4d.8", metadata);
        assert_eq!(unmarked(&marked), (Some("1a2b3c4d.8"), metadata));
        assert_eq!(decode(&marked, tag(), Offset(100)), decode(metadata, tag(), Offset(100)));
        assert_eq!(finished_above(&marked, Offset(100)), finished_above(metadata, Offset(100)));
        assert_eq!(decode_usage(&marked, Offset(100)), decode_usage(metadata, Offset(100)));
    }
    assert_eq!(decode(&marked("x", "dm1:6815c86c:b:BgI"), tag(), Offset(100)), Ok(runs.to_vec()));
    assert_eq!(decode_usage(&marked("x", ""), Offset(100)), Ok(usage));
}

#[test]
fn runs_of_another_order_or_key_function_are_dropped() {
    let metadata = encode(tag(), Offset(0), &[run(2, 3)], 4096).expect("short enough");
    let other = decode(&metadata, LaneTag::from("key:header:customer"), Offset(0));
    assert_eq!(other, Err(MetadataWarning::OtherLanes));
}

#[test]
fn broken_metadata_is_corrupt() {
    let long = written('b', &[1; 30_000]);
    let overlong = [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01];
    let too_large = [0xff; 10];
    let half_the_offsets = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x3f];
    let beyond = [half_the_offsets, half_the_offsets, half_the_offsets, half_the_offsets].concat();
    let broken = [
        ("no tag", "dm1:".to_owned()),
        ("no form", "dm1:6815c86c:".to_owned()),
        ("no payload", "dm1:6815c86c:b".to_owned()),
        ("empty payload", "dm1:6815c86c:b:".to_owned()),
        ("empty payload", "dm1:6815c86c:r:".to_owned()),
        ("tag not hexadecimal", "dm1:6815c86g:b:BgI".to_owned()),
        ("tag in upper case", "dm1:6815C86C:b:BgI".to_owned()),
        ("tag too short", "dm1:6815c86:b:BgI".to_owned()),
        ("unknown form", "dm1:6815c86c:x:BgI".to_owned()),
        ("not base64", "dm1:6815c86c:b:B gI".to_owned()),
        ("padded", "dm1:6815c86c:b:BgI=".to_owned()),
        ("bits behind the last byte", "dm1:6815c86c:b:BgJ".to_owned()),
        ("a field too many", "dm1:6815c86c:b:BgI:".to_owned()),
        ("no usage", "dm2:6815c86c:b:BgI".to_owned()),
        ("empty bitmap beside a usage", "dm2:6815c86c:b::AQc".to_owned()),
        ("bitmap ends in zeros", written('b', &[6, 0])),
        ("number cut off", written('r', &[0x80])),
        ("distance without a length", written('r', &[1, 1, 5])),
        ("number longer than it need be", written('r', &[0x80, 0x00, 0])),
        ("number of ten bytes", written('r', &overlong)),
        ("number too large", written('r', &too_large)),
        ("run beyond the last offset", written('r', &beyond)),
        ("longer than any broker keeps", long),
    ];
    for (what, metadata) in broken {
        let decoded = decode(&metadata, tag(), Offset(5));
        assert!(matches!(decoded, Err(MetadataWarning::Corrupt(_))), "{what}: {decoded:?}");
    }
}

#[test]
fn usage_goes_with_the_runs_or_without_any() {
    let usage = Usage { holder: Some(7), running: Some(Offset(102)), ..Usage::default() };
    let text = usage.encode(Offset(100));
    for runs in [vec![run(103, 110)], Vec::new()] {
        let metadata = encode(tag(), Offset(100), &runs, 4096).expect("short enough");
        let metadata = with_usage(tag(), &metadata, &text);
        let others = if runs.is_empty() { Ok(Vec::new()) } else { Err(MetadataWarning::OtherLanes) };
        assert_eq!(decode(&metadata, LaneTag::from("other"), Offset(100)), others);
        assert_eq!(decode(&metadata, tag(), Offset(100)), Ok(runs));
        assert_eq!(decode_usage(&metadata, Offset(100)).as_ref(), Ok(&usage), "{metadata}");
    }
    assert_eq!(decode_usage("dm1:6815c86c:b:BgI", Offset(100)), Ok(Usage::default()));
    assert_eq!(Usage::default().encode(Offset(0)), "");
}

#[test]
fn broken_usage_is_corrupt_and_leaves_the_runs_as_they_are() {
    // No base64, an unknown flag, a number cut off, one too large, an offset too large, one accusation cut off, five of them.
    let numbers = |bytes: &[u8]| BASE64.encode(bytes);
    let five = [2, 0, 1, 1, 1, 2, 1, 3, 1, 4, 1];
    let large = [1, 0xff, 0xff, 0xff, 0xff, 0x7f];
    let beyond = [8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f];
    let broken = [numbers(&[16]), numbers(&[1]), numbers(&large), numbers(&beyond), numbers(&[2, 1]), numbers(&five)];
    for usage in broken.into_iter().chain(["%".to_owned(), String::new()]) {
        let metadata = format!("dm2:6815c86c:b:BgI:{usage}");
        let told = decode_usage(&metadata, Offset(100));
        assert!(matches!(told, Err(MetadataWarning::Corrupt(_))), "{usage}: {told:?}");
        assert!(decode(&metadata, tag(), Offset(100)).is_ok());
    }
}

#[test]
fn runs_at_the_last_offsets_there_are_neither_overflow_nor_get_lost() {
    let low = Offset(i64::MAX - 9);
    let runs = [run(i64::MAX - 8, i64::MAX - 5), run(i64::MAX - 1, i64::MAX)];
    for metadata in [written('r', &[0, 2, 3, 0]), written('b', &[0b1000_0111])] {
        assert_eq!(decode(&metadata, tag(), low), Ok(runs.to_vec()));
    }
    for metadata in [written('r', &[0, 2, 3, 1]), written('b', &[0, 0b10])] {
        assert!(matches!(decode(&metadata, tag(), low), Err(MetadataWarning::Corrupt(_))));
    }
}

#[test]
fn tag_is_eight_hexadecimal_digits_that_depend_on_the_text() {
    assert_eq!(LaneTag::from("").to_string(), "811c9dc5");
    assert_eq!(LaneTag::from(TAG).to_string(), "6815c86c");
    assert_ne!(LaneTag::from("partition"), LaneTag::from("unordered"));
}

#[test]
fn all_of_it_fits_when_some_would() {
    let runs = runs_above(0, &[(1, 1), (5, 1000)]);
    let metadata = encode(tag(), Offset(0), &runs, 4096).expect("short enough");
    assert_eq!(encode_some(tag(), Offset(0), &runs, 4096), (metadata, 0));
    assert_eq!(encode_some(tag(), Offset(0), &runs, 15), (String::new(), 1001));
    assert_eq!(encode_some(tag(), Offset(0), &runs, 0), (String::new(), 1001));
}

/// Distances and lengths: mostly small ones, as in a bitmap, now and then any.
fn any_pairs() -> impl Strategy<Value = Vec<(i64, i64)>> {
    let number = prop_oneof![8 => 1_i64..4, 3 => 1_i64..300, 1 => 1_i64..3_000_000, 1 => 1_i64..1 << 40];
    prop::collection::vec((number.clone(), number), 0..40)
}

fn any_usage(low: i64) -> impl Strategy<Value = Usage> {
    let offset = move || (0_i64..1 << 55).prop_map(move |distance| Offset(low + distance));
    let accused = prop::collection::vec((offset(), any::<u32>()), 0..8);
    let parts = (any::<Option<u32>>(), any::<bool>(), any::<Option<u32>>(), prop::option::of(offset()), accused);
    parts.prop_map(|(holder, probation, ended, running, accused)| Usage { holder, probation, ended, running, accused })
}

proptest! {
    #![proptest_config(crate::pipeline::properties())]

    #[test]
    fn what_is_encoded_decodes_to_the_same(low in 0_i64..1 << 50, pairs in any_pairs()) {
        let runs = runs_above(low, &pairs);
        let metadata = encode(tag(), Offset(low), &runs, 4096).expect("40 runs are short enough");
        prop_assert!(metadata.is_ascii());
        prop_assert_eq!(decode(&metadata, tag(), Offset(low)), Ok(runs));
    }

    #[test]
    fn encoded_is_never_longer_than_the_limit_or_than_the_other_form(pairs in any_pairs(), limit in 0_usize..200) {
        let runs = runs_above(3, &pairs);
        let unlimited = encode(tag(), Offset(3), &runs, usize::MAX / 8).expect("no limit");
        let limited = encode(tag(), Offset(3), &runs, limit);
        prop_assert_eq!(limited, (unlimited.len() <= limit).then_some(unlimited));
    }

    #[test]
    fn what_is_left_out_is_counted_and_the_rest_is_true(pairs in any_pairs(), limit in 0_usize..200) {
        let runs = runs_above(3, &pairs);
        let (metadata, forgotten) = encode_some(tag(), Offset(3), &runs, limit);
        prop_assert!(metadata.len() <= limit);
        prop_assert_eq!(forgotten == 0, encode(tag(), Offset(3), &runs, limit).is_some());
        let kept = decode(&metadata, tag(), Offset(3)).expect("ours");
        prop_assert_eq!(count(&kept) + forgotten, count(&runs));
        for (kept, run) in kept.iter().zip(&runs) {
            prop_assert!(kept.start == run.start && kept.end <= run.end);
        }
    }

    #[test]
    fn usage_decodes_to_the_same_within_its_reserve(usage in any_usage(9)) {
        let text = usage.encode(Offset(9));
        prop_assert!(text.is_empty() || with_usage(tag(), "dm1:6815c86c:b:BgI", &text).len() <= 18 + RESERVE);
        let metadata = if text.is_empty() { text } else { with_usage(tag(), "", &text) };
        let mut told = decode_usage(&metadata, Offset(9)).expect("ours");
        // Of many accused the worst are kept, whatever their order.
        let mut accused = usage.accused.clone();
        accused.sort_by_key(|(_, ends)| std::cmp::Reverse(*ends));
        accused.truncate(4);
        prop_assert_eq!(std::mem::take(&mut told.accused), accused);
        prop_assert_eq!(told, Usage { accused: Vec::new(), ..usage });
    }

    #[test]
    fn any_usage_text_decodes_or_is_refused(low in any::<i64>(), usage in "[A-Za-z0-9_-]{0,60}") {
        if let Ok(told) = decode_usage(&format!("dm2:6815c86c:r::{usage}"), Offset(low)) {
            prop_assert!(told.accused.iter().all(|(offset, _)| offset.0 >= low));
        }
    }

    #[test]
    fn any_text_is_refused(low in any::<i64>(), metadata in any::<String>()) {
        prop_assert_eq!(decode(&metadata, tag(), Offset(low)).is_ok(), metadata.is_empty());
    }

    #[test]
    fn text_that_looks_like_ours_decodes_or_is_refused(
        metadata in "dm(1|2|[0-9]{0,2}):?(6815c86c|[0-9a-f]{0,9}):?[rbx]?:?[A-Za-z0-9_=-]{0,40}(:[A-Za-z0-9_-]{0,20})?",
    ) {
        if let Ok(runs) = decode(&metadata, tag(), Offset(1)) {
            assert_sound(1, &runs);
        }
    }

    /// There is one text for what a form says, so nothing is read that wouldn't be written the same way.
    #[test]
    fn any_payload_is_refused_or_is_written_back_the_same(
        low in prop_oneof![0_i64..1000, i64::MAX - 400..=i64::MAX],
        bitmap in any::<bool>(),
        bytes in prop::collection::vec(prop_oneof![any::<u8>(), 0_u8..3, Just(0x80), Just(0xff)], 0..40),
    ) {
        let form = if bitmap { 'b' } else { 'r' };
        if let Ok(runs) = decode(&written(form, &bytes), tag(), Offset(low)) {
            assert_sound(low, &runs);
            let mut again = Vec::new();
            if bitmap {
                again = super::bitmap(Offset(low), &runs, bytes.len());
            } else {
                for (distance, length) in super::pairs(Offset(low), &runs) {
                    write_varint(&mut again, distance);
                    write_varint(&mut again, length);
                }
            }
            prop_assert_eq!(again, bytes);
        }
    }

    /// Fill any of the holes: what is finished then must fit where the budget said so.
    #[test]
    fn what_the_budget_allows_fits_whichever_holes_are_filled(
        steps in prop::collection::vec(prop_oneof![6 => Just(1_i64), 3 => 1_i64..300, 1 => 1_i64..100_000], 1..60),
        filled in prop::collection::vec(any::<bool>(), 60),
        limit in 0_usize..160,
    ) {
        let mut next = 0;
        let mut holes = Vec::new();
        for step in &steps {
            holes.push(next);
            next += step;
        }
        let left: Vec<i64> = holes.iter().zip(&filled).filter(|(_, filled)| !**filled).map(|(hole, _)| *hole).collect();
        let ends = left.iter().skip(1).copied().chain([next]);
        let behind_each = left.iter().zip(ends).map(|(hole, end)| run(hole + 1, end));
        let runs: Vec<Run> = behind_each.filter(|run| run.len() > 0).collect();
        let span = u64::try_from(next).expect("positive");
        if Budget::of(limit).more(holes.len() as u64, span, 1).is_some() {
            let low = Offset(left.first().copied().unwrap_or(next));
            prop_assert!(encode(tag(), low, &runs, limit).is_some());
        }
    }

    #[test]
    fn more_is_as_much_as_fits_and_no_more(
        holes in 0_u64..3000,
        apart in 0_u64..5000,
        stride in 1_u64..3000,
        limit in 0_usize..5000,
    ) {
        let budget = Budget::of(limit);
        let span = holes + apart;
        if let Some(more) = budget.more(holes, span, stride) {
            prop_assert!(budget.more(holes + more, span + more * stride, 1).is_some());
            prop_assert!(budget.more(holes + more + 1, span + (more + 1) * stride, 1).is_none());
        }
    }
}

fn assert_sound(low: i64, runs: &[Run]) {
    let mut before = Offset(low);
    for run in runs {
        assert!(before < run.start && run.start < run.end, "{runs:?}");
        before = run.end;
    }
}
