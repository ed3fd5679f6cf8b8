//! Hints that come out of order, from the future, and in masses.

use super::*;

fn noon() -> DateTime<Utc> {
    "2027-01-01T12:00:00Z".parse().unwrap()
}

/// A hint at a time that names a key.
fn hint(at: DateTime<Utc>, id: usize) -> Hint {
    let ticks = at.timestamp_micros() as u64 * 10;
    Hint {
        at: run_id::derive("iris", &id.to_string(), ticks),
        key: Some(Key::from([("id".to_owned(), id.to_string())])),
    }
}

/// What a store gives from the cursor on.
fn read(cursor: &HintCursor, hints: &[Hint]) -> Vec<Hint> {
    let mut hints = hints.to_vec();
    hints.retain(|hint| hint.micros() >= cursor.since);
    hints.sort_by_key(Hint::micros);
    hints.truncate(cursor.limit());
    hints
}

fn find_new(cursor: &mut HintCursor, hints: &[Hint], now: DateTime<Utc>) -> Hints {
    let read = read(cursor, hints);
    let found = cursor.find_new(&read, now);
    let again = HintCursor::parse(&found.cursor, now).unwrap();
    assert_eq!(again.to_text(), found.cursor);
    found
}

fn fired(found: &Hints, now: DateTime<Utc>) -> HintCursor {
    HintCursor::parse(&found.cursor, now).unwrap()
}

fn seconds(seconds: i64) -> TimeDelta {
    TimeDelta::seconds(seconds)
}

#[test]
fn a_hint_that_arrives_behind_others_is_new_once() {
    let now = noon();
    let mut cursor = HintCursor::new(now);
    let mut hints = vec![hint(now - seconds(1), 1), hint(now, 2)];
    let found = find_new(&mut cursor, &hints, now);
    assert_eq!((found.count, found.keys.as_ref().unwrap().len()), (2, 2));
    assert_eq!(found.oldest, Some(now - seconds(1)));
    let mut cursor = fired(&found, now);
    assert_eq!(find_new(&mut cursor, &hints, now).count, 0);
    // A few milliseconds behind, minutes behind, and as late as it may be.
    let late = [
        seconds(0) - TimeDelta::milliseconds(3),
        seconds(-600),
        seconds(-3_599),
    ];
    for (id, late) in (3..).zip(late) {
        hints.push(hint(now + late, id));
        let found = find_new(&mut cursor, &hints, now);
        assert_eq!(found.count, 1, "{late}");
        assert_eq!(found.keys.clone().unwrap()[0]["id"], id.to_string());
        cursor = fired(&found, now);
        assert_eq!(find_new(&mut cursor, &hints, now).count, 0, "{late}");
    }
    // A key that is hinted at again is new again.
    hints.push(hint(now + seconds(1), 1));
    hints.push(hint(now - seconds(90), 2));
    assert_eq!(find_new(&mut cursor, &hints, now + seconds(2)).count, 2);
}

#[test]
fn a_hint_from_the_future_counts_at_once_silences_nobody_and_fires_once() {
    let now = noon();
    let far: DateTime<Utc> = "2030-01-01T00:00:00Z".parse().unwrap();
    let mut cursor = HintCursor::new(now);
    let mut hints = vec![hint(far, 1), hint(now + TimeDelta::minutes(20), 2)];
    let found = find_new(&mut cursor, &hints, now);
    assert_eq!(found.count, 2);
    // They wait since they were met, not since a time that is to come.
    assert_eq!(found.oldest, Some(now));
    let later = now + seconds(30);
    assert_eq!(find_new(&mut cursor, &hints, later).oldest, Some(now));
    let mut cursor = fired(&found, now);
    for minute in 1..=60 {
        let now = now + TimeDelta::minutes(minute);
        assert_eq!(find_new(&mut cursor, &hints, now).count, 0, "{minute}");
        hints.push(hint(now, 100 + minute as usize));
        let found = find_new(&mut cursor, &hints, now);
        assert_eq!((found.count, found.oldest), (1, Some(now)), "{minute}");
        cursor = fired(&found, now);
    }
    assert!(cursor.seen.len() < 65, "{}", cursor.seen.len());
}

#[test]
fn what_is_forgotten_of_many_hints_is_made_good_by_one_run_over_everything() {
    let now = noon();
    let mut cursor = HintCursor::new(now);
    let many = 3 * MAX_SEEN;
    let mut hints: Vec<_> = (0..many)
        .map(|id| hint(now - TimeDelta::milliseconds(id as i64), id))
        .collect();
    let found = find_new(&mut cursor, &hints, now);
    assert_eq!((found.keys.clone(), found.count), (None, MAX_NEW as u64));
    let mut cursor = fired(&found, now);
    assert!(found.cursor.len() < 17 * MAX_SEEN);
    assert_eq!(find_new(&mut cursor, &hints, now).count, 0);
    // One arrives behind all that; and new ones are seen as ever.
    hints.push(hint(now - seconds(30), many + 1));
    hints.push(hint(now + seconds(1), many + 2));
    let later = now + seconds(2);
    let found = find_new(&mut cursor, &hints, later);
    assert_eq!((found.count, found.overdue), (1, false));
    let mut cursor = fired(&found, later);
    let due = now + LATE;
    assert!(!find_new(&mut cursor, &hints, due - seconds(1)).overdue);
    let found = find_new(&mut cursor, &hints, due);
    assert_eq!((found.overdue, found.keys.clone()), (true, None));
    // That was it.
    let mut cursor = fired(&found, due);
    for hours in 1..5 {
        let found = find_new(&mut cursor, &hints, due + TimeDelta::hours(hours));
        assert_eq!((found.overdue, found.count), (false, 0));
    }
}

#[test]
fn a_steady_stream_is_remembered_within_bounds() {
    let mut now = noon();
    let mut cursor = HintCursor::new(now);
    let mut hints = Vec::new();
    let mut over_everything = 0;
    // Two a second, for three hours.
    for minute in 0..180 {
        for one in 0..120 {
            let at = now + TimeDelta::milliseconds(500 * one);
            hints.push(hint(at, minute * 120 + one as usize));
        }
        now += seconds(60);
        let found = find_new(&mut cursor, &hints, now);
        assert_eq!(found.count, 120);
        over_everything += u32::from(found.keys.is_none());
        cursor = fired(&found, now);
        assert!(cursor.seen.len() <= MAX_SEEN);
        hints.retain(|hint| hint.micros() >= cursor.since);
    }
    assert_eq!(over_everything, 2, "once an hour");
}

#[test]
fn hints_that_repeat_one_key_do_not_hide_others() {
    let now = noon();
    let mut cursor = HintCursor::new(now);
    let mut hints: Vec<_> = (0..MAX_NEW)
        .map(|at| Hint {
            key: Some(Key::new()),
            ..hint(now - TimeDelta::milliseconds(1 + at as i64), at)
        })
        .collect();
    hints.push(hint(now, 9));
    let found = find_new(&mut cursor, &hints, now);
    assert_eq!((found.count, found.keys), (MAX_NEW as u64, None));
}

#[test]
fn keys_that_are_too_large_for_a_run_are_found_by_a_scan() {
    let now = noon();
    let large = |id: usize| Hint {
        key: Some(Key::from([("id".to_owned(), format!("{id:0>65535}"))])),
        ..hint(now - seconds(1), id)
    };
    for (count, fits) in [(3, true), (4, false)] {
        let hints: Vec<_> = (0..count).map(large).collect();
        let found = find_new(&mut HintCursor::new(now), &hints, now);
        assert_eq!(found.count, count as u64);
        assert_eq!(found.keys.is_some(), fits, "{count}");
    }
}

#[test]
fn a_cursor_of_an_earlier_version_goes_on_even_if_it_points_to_the_future() {
    let now = noon();
    let old = |at: DateTime<Utc>| hint(at, 1).at.to_string();
    let mut cursor = HintCursor::parse(&old(now - seconds(10)), now).unwrap();
    let hints = [hint(now - seconds(11), 2), hint(now - seconds(9), 3)];
    assert_eq!(find_new(&mut cursor, &hints, now).count, 1);
    let far: DateTime<Utc> = "2030-01-01T00:00:00Z".parse().unwrap();
    let mut cursor = HintCursor::parse(&old(far), now).unwrap();
    let hints = [hint(now + seconds(1), 2), hint(far, 1)];
    assert_eq!(find_new(&mut cursor, &hints, now + seconds(2)).count, 2);
    assert_eq!(HintCursor::parse("{}", now), None);
}
