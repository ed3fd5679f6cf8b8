//! Converts ONNX Runtime's errors to texts for people: without source paths, with remedies.

use ort::ErrorCode;

use super::session::RunError;
use crate::domain::{printable::printable, problem::Problem};

/// Code of a model that exceeds its memory limit.
pub(super) const OUT_OF_MEMORY: &str = "model.memory_limit";

/// Returns whether a message reports insufficient memory, in the texts of Rust's and C++'s
/// allocators, ONNX Runtime's arena, system calls and the loader.
pub(super) fn is_out_of_memory(said: &str) -> bool {
    const SIGNS: [&str; 9] = [
        "memory allocation of",
        "bad_alloc",
        "failed to allocate memory",
        "cannot allocate memory",
        "out of memory",
        "is smaller than requested bytes",
        "bad_array_new_length",
        // A vector with more elements than the address space permits.
        "larger than max_size()",
        "_m_default_append",
    ];
    let said = said.to_ascii_lowercase();
    SIGNS.iter().any(|sign| said.contains(sign))
}

/// Returns a problem for ONNX Runtime's refusal of a model, with a remedy if one is known.
pub(super) fn explained(error: &ort::Error) -> Problem {
    let whole = error.to_string();
    if is_out_of_memory(&whole) {
        return Problem::new(OUT_OF_MEMORY, first_line(&whole));
    }
    // "… Current official support for domain ai.onnx is till opset 26."
    if let Some((before, newest)) = whole.split_once(" is till opset ") {
        let domain = before.rsplit(' ').next().unwrap_or_default();
        let newest: String = newest.chars().take_while(char::is_ascii_digit).collect();
        return Problem::new(
            "model.opset",
            format!("the model requires a newer opset of `{domain}` than ONNX Runtime's {newest}"),
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
            "export with an older target_opset, or set model.ir_version to the supported number above",
        );
    }
    if said.contains("ZipMap") && said.contains("is invalid") {
        return problem.help("export with options={\"zipmap\": False}, or with float inputs (initial_types=[(\"X\", FloatTensorType([None, k]))]): ZipMap takes floats only, but this graph computes in double");
    }
    if said.contains("TreeEnsemble") && said.contains("tensor(double)") {
        return problem.help("export with float inputs (initial_types=[(\"X\", FloatTensorType([None, k]))]), or put a Cast to float before the trees: ONNX Runtime has no such trees over doubles. Train on float32 values, or rows near a threshold take another branch");
    }
    if said.contains("tensor(double)") {
        return problem.help("export with float inputs (initial_types=[(\"X\", FloatTensorType([None, k]))]), or cast to float before that operator");
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
    if is_out_of_memory(&said) {
        return RunError::OutOfMemory(first_line(&said));
    }
    RunError::Refused(first_line(&said))
}

/// Returns the error without source paths and node names, in at most 300 characters.
pub(super) fn first_line(said: &str) -> String {
    let said = said
        .rsplit_once("Status Message: ")
        .map_or(said, |(_, message)| message);
    let line = said.trim().lines().next().unwrap_or("no reason given");
    let line = match line.find("/onnxruntime_src/") {
        Some(at) => format!("{}{}", &line[..at], behind_the_source(&line[at..])),
        None => line.to_owned(),
    };
    printable(&line).chars().take(300).collect()
}

/// Returns the rest of `/onnxruntime_src/file.cc:46 void f(const std::string&) const [with T = int]
/// x was false. ` after the path, the signature of the C++ function and its failed assertion.
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
    use super::{first_line, is_out_of_memory};

    #[test]
    fn every_allocator_has_words_of_its_own() {
        for said in [
            "memory allocation of 8589934592 bytes failed",
            "terminate called after throwing an instance of 'std::bad_alloc'",
            "void* onnxruntime::BFCArena::AllocateRawInternal(size_t, bool) Failed to allocate memory for requested buffer of size 274877906944",
            "Available memory of 100 is smaller than requested bytes of 200",
            "mmap failed: Cannot allocate memory",
            "cannot create std::vector larger than max_size()",
            "vector::_M_default_append",
        ] {
            assert!(is_out_of_memory(said), "{said}");
        }
        assert!(!is_out_of_memory("Unknown Category and zeros = 0."));
    }

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
