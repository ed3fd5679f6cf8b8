//! How many rows the guard reads, and which of them it prepares.

use super::*;
use crate::domain::{
    fixture::{input, output, ready, table},
    job::{
        compile::{Asked, compile},
        manifest::{Manifest, VersionWish},
    },
    model::tensor::Element,
};

/// A job whose only input has `head` values of 4 bytes: the first bytes of a blob.
fn bytes_job(head: usize) -> CompiledJob {
    let manifest = format!(
        "job = 'j'\nmodel = 'm'\nversions = [1]\n[source]\ntable = 'k.t'\n\
         [features]\nx = {{ column = 'content', as = 'bytes', head = {head} }}\n"
    );
    let manifest = Manifest::parse(&manifest).unwrap();
    let version = Asked {
        ready: ready(
            1,
            vec![input("x", Element::Int32, &[head])],
            vec![output("y", Element::Float, &[])],
        ),
        by: vec![VersionWish::Number(1)],
        artifacts: Default::default(),
    };
    let source = table("t", &["content: blob"]);
    compile(&manifest, &source, None, None, &[version]).unwrap()
}

#[test]
fn of_large_inputs_fewer_rows_are_read() {
    // 4 KiB, 32 KiB and 1 MiB of tensors a row.
    for (head, rows) in [(1 << 10, 512), (1 << 13, 256), (1 << 18, 64)] {
        assert_eq!(guard_rows(&bytes_job(head)), rows, "{head}");
    }
    let mut unprepared = bytes_job(1 << 18);
    unprepared.versions[0].inputs.clear();
    assert_eq!(guard_rows(&unprepared), 512);
}

#[test]
fn rows_whose_prediction_is_current_are_not_prepared() {
    let job = bytes_job(4);
    let row: [Option<&[u8]>; 2] = [Some(&[0, 0, 0, 1]), Some(b"content")];
    let mut rows = TypedRows::new(&job.versions[0]);
    let (input_hash, outcome) = append_row(&job.versions[0], &row[1..], &mut rows, &mut Vec::new());
    outcome.unwrap();
    let stored = |input_hash, rejected| Stored {
        input_hash,
        rejected,
        expiring: false,
        made_at: None,
    };
    let mut looking = Looking::new(&job, None, 9);
    for (stored, waiting) in [
        (Some(stored(input_hash, false)), 0),
        (None, 1),
        (Some(stored(input_hash + 1, false)), 2),
        (Some(stored(input_hash, false)), 2),
        // A rejection does not say whether it can be prepared.
        (Some(stored(input_hash, true)), 3),
    ] {
        looking.see(&row, |_| stored);
        let found = &looking.waiting[&1];
        assert_eq!((found.rows.rows(), found.seen.len()), (waiting, waiting));
    }
    assert_eq!((looking.forecast.rows, looking.left), (5, 4));
}
