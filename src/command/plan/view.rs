//! Shows a plan to people and machines.

use serde_json::{Value, json};

use super::{FolderPlan, counts};
use crate::{
    domain::{
        folder::steps::{FolderStep, StepAction},
        problem::Problem,
    },
    inspect::folder::CheckedStep,
};

/// Names a step: `trigger tumour/nightly`.
pub fn title(step: &FolderStep) -> String {
    format!("{} {}", step.kind.as_str(), step.name)
}

/// Returns a step as JSON.
pub fn step_json(checked: &CheckedStep) -> Value {
    let step = &checked.step;
    json!({
        "kind": step.kind.as_str(),
        "name": step.name,
        "action": step.action.as_str(),
        "details": step.details,
        "ddl": checked.ddl,
        "warnings": checked.warnings,
        "problems": checked.problems,
    })
}

fn sign(action: StepAction) -> char {
    match action {
        StepAction::Create => '+',
        StepAction::Change => '~',
        StepAction::Remove => '-',
        StepAction::Keep => '=',
        StepAction::Leave => '!',
    }
}

/// Returns the plan as text.
pub fn text(planned: &FolderPlan) -> String {
    let mut text = String::new();
    for checked in &planned.steps {
        let step = &checked.step;
        text.push_str(&format!("{} {}\n", sign(step.action), title(step)));
        for line in &step.details {
            text.push_str(&format!("    {line}\n"));
        }
        for statement in &checked.ddl {
            text.push_str(&format!("    {statement};\n"));
        }
    }
    if !text.is_empty() {
        text.push('\n');
    }
    text + &counts(planned)
}

/// Returns the plan as Markdown.
pub fn markdown(planned: &FolderPlan, commit: Option<&str>) -> String {
    let commit = commit.map_or_else(String::new, |commit| {
        let short = commit.get(..12).unwrap_or(commit);
        format!(" for `{short}`")
    });
    let mut text = format!("### helenus plan{commit}\n\n{}\n", counts(planned));
    let problems: Vec<Problem> = planned
        .steps
        .iter()
        .flat_map(|checked| checked.problems.iter().cloned())
        .collect();
    if !problems.is_empty() {
        text.push_str("\n**It would be refused:**\n\n");
        text.push_str(&problem_list(&problems));
    }
    let shown: Vec<&CheckedStep> = planned
        .steps
        .iter()
        .filter(|checked| checked.step.action != StepAction::Keep)
        .collect();
    if !shown.is_empty() {
        text.push_str("\n| | what | details |\n|---|---|---|\n");
        for checked in &shown {
            let step = &checked.step;
            let details: Vec<String> = step.details.iter().map(|line| cell(line)).collect();
            text.push_str(&format!(
                "| {} | {} | {} |\n",
                step.action.as_str(),
                code(&title(step)),
                details.join("<br>")
            ));
        }
    }
    let ddl: Vec<&String> = shown.iter().flat_map(|checked| &checked.ddl).collect();
    if !ddl.is_empty() {
        text.push_str("\n<details><summary>DDL</summary>\n\n```sql\n");
        for statement in ddl {
            // A fence within a name would end the block.
            text.push_str(&format!("{};\n", statement.replace("```", "` ` `")));
        }
        text.push_str("```\n\n</details>\n");
    }
    let warnings: Vec<String> = planned
        .steps
        .iter()
        .flat_map(|checked| {
            let warnings = checked.warnings.iter();
            warnings
                .map(|warning| format!("- {}: {}\n", code(&title(&checked.step)), cell(warning)))
        })
        .collect();
    if !warnings.is_empty() {
        text.push_str("\nWarnings:\n\n");
        text.push_str(&warnings.concat());
    }
    text
}

/// Returns a failed plan as Markdown.
pub fn refused_markdown(problems: &[Problem]) -> String {
    format!(
        "### helenus plan\n\n**There is no plan:**\n\n{}",
        problem_list(problems)
    )
}

fn problem_list(problems: &[Problem]) -> String {
    let line = |problem: &Problem| {
        let place = problem.place.as_deref().map(code);
        let place = place.map_or_else(String::new, |place| format!("{place}: "));
        let help = problem.help.as_deref().map(cell);
        let help = help.map_or_else(String::new, |help| format!(" ({help})"));
        format!("- {place}{}{help}\n", cell(&problem.message))
    };
    problems.iter().map(line).collect()
}

/// Returns a text as it is shown in a table: nothing of it is markup.
fn cell(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' | '\r' => escaped.push(' '),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            // Also mentions of people and links, which a comment would act on.
            '|' | '`' | '*' | '_' | '[' | ']' | '\\' | '#' | '!' => {
                escaped.push('\\');
                escaped.push(character);
            }
            '@' => escaped.push_str("&#64;"),
            other => escaped.push(other),
        }
    }
    escaped
}

fn code(text: &str) -> String {
    let plain = text.replace(['`', '\n', '\r'], " ").replace('|', "\\|");
    format!("`{plain}`")
}
