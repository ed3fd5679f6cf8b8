//! `stale_labels`: the labels that a gate needs no longer arrive.
//!
//! A gate's `max_age` says how old evidence may be. Over such a time, the evaluations of the version
//! that its alias points at must find more labelled rows than before, and there must be one at all.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};

use super::{AlarmKind, Condition};
use crate::{
    codec::utc,
    domain::{gate::Gate, trigger::duration},
};

/// An evaluation with the gate's labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelCount {
    pub job: String,
    pub at: DateTime<Utc>,
    pub labelled_rows: u64,
}

/// Returns the condition, given the newest evaluation, and the newest one that is at least
/// `max_age` older than it.
pub fn stale(
    gate: &Gate,
    newest: &LabelCount,
    before: Option<&LabelCount>,
    now: DateTime<Utc>,
) -> Option<Condition> {
    let max_age = TimeDelta::from_std(gate.max_age).ok()?;
    let age = duration::spoken(gate.max_age);
    let why = if newest.at + max_age < now {
        format!("were last evaluated at {}", utc::to_second(newest.at))
    } else if let Some(before) = before.filter(|old| newest.labelled_rows <= old.labelled_rows) {
        format!(
            "have not grown since {}: {} rows then, {} at {}",
            utc::to_second(before.at),
            before.labelled_rows,
            newest.labelled_rows,
            utc::to_second(newest.at)
        )
    } else {
        return None;
    };
    Some(Condition {
        job: newest.job.clone(),
        kind: AlarmKind::StaleLabels,
        subject: format!("{}/{}", gate.model, gate.name),
        what: format!(
            "the labels of gate `{}` of model `{}`, {}, {why}; it permits {age}",
            gate.name, gate.model, gate.labels
        ),
        evidence: BTreeMap::from([
            ("model".to_owned(), gate.model.clone()),
            ("gate".to_owned(), gate.name.clone()),
            ("labels".to_owned(), gate.labels.clone()),
            ("evaluated_at".to_owned(), utc::to_second(newest.at)),
            ("labelled_rows".to_owned(), newest.labelled_rows.to_string()),
            ("max_age".to_owned(), age),
        ]),
        run: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::gate::GateRow;

    #[test]
    fn labels_are_stale_if_they_do_not_grow_or_are_not_evaluated() {
        let gate = Gate::read(&GateRow {
            model: "m".to_owned(),
            name: "g".to_owned(),
            metric: Some("accuracy".to_owned()),
            labels: Some("a.b.c".to_owned()),
            min_labelled_rows: Some(1),
            max_age: Some("2d".to_owned()),
            ..GateRow::default()
        });
        let gate = gate.unwrap();
        let now = Utc::now();
        let count = |hours, labelled_rows| LabelCount {
            job: "j".to_owned(),
            at: now - TimeDelta::hours(hours),
            labelled_rows,
        };
        assert_eq!(stale(&gate, &count(1, 100), None, now), None);
        assert!(stale(&gate, &count(49, 100), None, now).is_some());
        let old = count(60, 100);
        assert!(stale(&gate, &count(1, 100), Some(&old), now).is_some());
        assert_eq!(stale(&gate, &count(1, 101), Some(&old), now), None);
    }
}
