//! Topics whose names depend on the prediction: `mail.{label}`.

use std::{borrow::Cow, fmt};

use super::{is_topic_character, is_topic_name};
use crate::{codec::literal, domain::job::OutputColumn};

/// The name of a topic, with or without one `{column}`: an output column whose value is put there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TopicPattern {
    before: String,
    /// The column, and what follows it.
    column: Option<(String, String)>,
}

impl TopicPattern {
    /// Reads a topic's name.
    ///
    /// # Errors
    /// A message for people.
    pub fn parse(text: &str) -> Result<Self, String> {
        let pattern = match text.split_once('{') {
            None => Self {
                before: text.to_owned(),
                column: None,
            },
            Some((before, rest)) => {
                let (column, after) = rest
                    .split_once('}')
                    .ok_or_else(|| format!("`{text}` has a `{{` without a `}}`"))?;
                Self {
                    before: before.to_owned(),
                    column: Some((column.to_owned(), after.to_owned())),
                }
            }
        };
        let sample = pattern.topic_for("x");
        match is_topic_name(&sample) {
            true => Ok(pattern),
            false => Err(format!("`{text}` is not a valid topic name")),
        }
    }

    /// Returns the output column whose value is part of the name.
    pub fn column(&self) -> Option<&str> {
        self.column.as_ref().map(|(column, _)| column.as_str())
    }

    /// Returns the topic of a prediction. `cells` are those of `outputs`, in their order.
    pub fn of_prediction<'a>(
        &self,
        outputs: &[OutputColumn],
        mut cells: impl Iterator<Item = Option<&'a [u8]>>,
    ) -> Cow<'_, str> {
        let place = outputs
            .iter()
            .position(|output| Some(output.name.as_str()) == self.column());
        let label = place.and_then(|at| {
            let cell = cells.nth(at).flatten()?;
            Some(literal::to_text(&outputs[at].cql_type, cell))
        });
        self.topic_for(label.as_deref().unwrap_or_default())
    }

    /// Returns the topic for a value of the column. Characters that Kafka does not accept become `_`.
    pub fn topic_for(&self, value: &str) -> Cow<'_, str> {
        let Some((_, after)) = &self.column else {
            return Cow::Borrowed(&self.before);
        };
        let value = value.chars().map(|c| match is_topic_character(c) {
            true => c,
            false => '_',
        });
        let mut topic = self.before.clone();
        topic.extend(value);
        topic.push_str(after);
        Cow::Owned(topic)
    }
}

impl fmt::Display for TopicPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.before)?;
        match &self.column {
            Some((column, after)) => write!(f, "{{{column}}}{after}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_becomes_part_of_the_topic_and_other_characters_become_underscores() {
        let pattern = TopicPattern::parse("mail.{label}.v1").unwrap();
        assert_eq!(pattern.column(), Some("label"));
        assert_eq!(
            pattern.topic_for("Steuern & Abgaben"),
            "mail.Steuern___Abgaben.v1"
        );
        assert_eq!(pattern.to_string(), "mail.{label}.v1");
        let plain = TopicPattern::parse("predictions").unwrap();
        assert_eq!(
            (plain.column(), plain.topic_for("x")),
            (None, "predictions".into())
        );
        for wrong in ["", "mail.{label", "mail {label}", "{a}{b}", ".."] {
            assert!(TopicPattern::parse(wrong).is_err(), "{wrong}");
        }
    }
}
