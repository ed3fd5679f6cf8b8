//! ONNX Runtime's words for people: without source paths, with what to do.

use ort::ErrorCode;

use super::session::RunError;
use crate::domain::problem::Problem;

/// ONNX Runtime's refusal of a whole model, with what to do where that is known.
pub(super) fn explained(error: &ort::Error) -> Problem {
    let whole = error.to_string();
    // "… Current official support for domain ai.onnx is till opset 26."
    if let Some((before, newest)) = whole.split_once(" is till opset ") {
        let domain = before.rsplit(' ').next().unwrap_or_default();
        let newest: String = newest.chars().take_while(char::is_ascii_digit).collect();
        return Problem::new(
            "model.opset",
            format!("the model needs a newer opset of `{domain}` than ONNX Runtime's, {newest}"),
        )
        .help(format!(
            "export with target_opset={newest} or older for `{domain}`"
        ));
    }
    let said = first_line(&whole);
    let problem = Problem::new(
        "model.runtime_refused",
        format!("ONNX Runtime refuses the model: {said}"),
    );
    if said.contains("Unsupported model IR version") {
        return Problem {
            code: "model.ir_version".to_owned(),
            ..problem
        }
        .help(
            "export with an older target_opset, or set model.ir_version to the number named here",
        );
    }
    if said.contains("locale") {
        return problem.help("install the locale on every worker, or export with locale='C'");
    }
    if error.code() == ErrorCode::NotImplemented {
        return problem.help("export with operators of the CPU provider");
    }
    problem
}

pub(super) fn refused(error: &ort::Error) -> RunError {
    let said = error.to_string();
    if said.contains("terminate flag") {
        return RunError::Stopped;
    }
    RunError::Refused(first_line(&said))
}

/// What went wrong, without source paths and node names, in at most 300 characters.
pub(super) fn first_line(said: &str) -> String {
    let said = said
        .rsplit_once("Status Message: ")
        .map_or(said, |(_, message)| message);
    let line = said.trim().lines().next().unwrap_or("no reason given");
    let line = match line.find("/onnxruntime_src/") {
        Some(at) => format!("{}{}", &line[..at], behind_the_source(&line[at..])),
        None => line.to_owned(),
    };
    line.chars().take(300).collect()
}

/// What follows `/onnxruntime_src/file.cc:46 void f(const std::string&) const [with T = int] x was false. `:
/// the path and the signature of the C++ function that complained, and what it had assumed.
fn behind_the_source(text: &str) -> &str {
    fn closed(text: &str, open: char, close: char) -> Option<usize> {
        let mut depth = 0;
        text.char_indices()
            .find(|(_, c)| {
                depth += i32::from(*c == open) - i32::from(*c == close);
                depth == 0 && *c == close
            })
            .map(|(at, _)| at + 1)
    }
    let Some(mut rest) = closed(text, '(', ')').map(|end| &text[end..]) else {
        return text;
    };
    // `::<lambda()>` and the like.
    rest = rest.find(' ').map_or("", |at| &rest[at..]).trim_start();
    rest = rest.strip_prefix("const ").unwrap_or(rest);
    if rest.starts_with("[with") {
        rest = closed(rest, '[', ']')
            .map_or("", |end| &rest[end..])
            .trim_start();
    }
    if let Some((_, why)) = rest.split_once(" was false. ") {
        rest = why;
    }
    if rest.is_empty() { text } else { rest }
}

#[cfg(test)]
mod tests {
    use super::first_line;

    #[test]
    fn reasons_come_without_source_paths() {
        for (said, wanted) in [
            (
                "Non-zero status code returned while running OneHotEncoder node. Name:'' Status Message: Unknown Category and zeros = 0.",
                "Unknown Category and zeros = 0.",
            ),
            (
                "/onnxruntime_src/onnxruntime/core/graph/model_load_utils.h:46 void onnxruntime::model_load_utils::Validate(const std::unordered_map<std::string, int>&, const bool, int) ONNX Runtime only *guarantees* support",
                "ONNX Runtime only *guarantees* support",
            ),
            (
                "Exception during initialization: /onnxruntime_src/a/string_normalizer.cc:235 onnxruntime::Locale::Locale(const std::string&)::<lambda()> Failed to construct locale with name:en_US.UTF-8",
                "Exception during initialization: Failed to construct locale with name:en_US.UTF-8",
            ),
            (
                "/onnxruntime_src/a.cc:1 void f(int) const [with T = int; U = std::array<int, 2>] x == y was false. Why not",
                "Why not",
            ),
            (
                "/onnxruntime_src/a.cc:1 nothing known",
                "/onnxruntime_src/a.cc:1 nothing known",
            ),
            ("", "no reason given"),
        ] {
            assert_eq!(first_line(said), wanted);
        }
    }
}
