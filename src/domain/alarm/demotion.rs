//! `gate_demotion`: a gate moved its alias back, and nothing has moved it since.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::{AlarmKind, Condition};
use crate::domain::gate::Gate;

/// A gate's newest move and the alias's last change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastMove {
    /// promote or rollback.
    pub action: String,
    pub request_id: Uuid,
    /// The newer of the evaluations that justify it.
    pub evaluation: Uuid,
    pub from: i32,
    pub to: i32,
    /// done or refused; `None` while it is under way.
    pub answer: Option<String>,
    /// The request of the alias's last change, if it had one.
    pub alias_moved_by: Option<Uuid>,
}

/// Returns the condition if the alias stands where the gate's rollback left it. `job` is the job
/// whose evaluation showed it.
pub fn demoted(job: &str, gate: &Gate, last: &LastMove) -> Option<Condition> {
    let stands = last.action == "rollback"
        && last.answer.as_deref() == Some("done")
        && last.alias_moved_by == Some(last.request_id);
    stands.then(|| Condition {
        job: job.to_owned(),
        kind: AlarmKind::GateDemotion,
        subject: format!("{}/{}", gate.model, gate.name),
        what: format!(
            "gate `{}` moved `{}` of model `{}` back from version {} to version {}",
            gate.name, gate.alias, gate.model, last.from, last.to
        ),
        evidence: BTreeMap::from([
            ("model".to_owned(), gate.model.clone()),
            ("gate".to_owned(), gate.name.clone()),
            ("alias".to_owned(), gate.alias.clone()),
            ("from_version".to_owned(), last.from.to_string()),
            ("to_version".to_owned(), last.to.to_string()),
            ("evaluation".to_owned(), last.evaluation.to_string()),
        ]),
        run: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::gate::GateRow;

    #[test]
    fn a_rollback_alarms_until_the_alias_moves_again() {
        let gate = Gate::read(&GateRow {
            model: "m".to_owned(),
            name: "g".to_owned(),
            metric: Some("accuracy".to_owned()),
            labels: Some("a.b.c".to_owned()),
            min_labelled_rows: Some(1),
            ..GateRow::default()
        });
        let gate = gate.unwrap();
        let id = Uuid::from_u128(7);
        let last = LastMove {
            action: "rollback".to_owned(),
            request_id: id,
            evaluation: id,
            from: 2,
            to: 1,
            answer: Some("done".to_owned()),
            alias_moved_by: Some(id),
        };
        assert!(demoted("j", &gate, &last).is_some());
        let moved_on = LastMove {
            alias_moved_by: None,
            ..last.clone()
        };
        assert_eq!(demoted("j", &gate, &moved_on), None);
        for answer in [None, Some("refused".to_owned())] {
            let other = LastMove {
                answer,
                ..last.clone()
            };
            assert_eq!(demoted("j", &gate, &other), None);
        }
        let promotion = LastMove {
            action: "promote".to_owned(),
            ..last
        };
        assert_eq!(demoted("j", &gate, &promotion), None);
    }
}
