//! Scoring in processes of their own: what a model does there stays there.

mod runs;

use std::{
    fs,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use helenus::{
    domain::model::{
        Admitted,
        golden::Golden,
        tensor::{InputBatch, TensorData},
    },
    scorer::{
        admit::Request,
        child,
        image::Image,
        isolate::Models,
        pool::{Pool, ScoreError, Scored},
        runtime,
    },
};
use serde_json::Value;

use crate::{
    admission::{admitted, library, request, shipped},
    support::{Model, Sandbox, block_on, cli, cli::Output, model::rejection},
};

const LONG: Duration = Duration::from_secs(60);

struct Admission {
    admitted: Admitted,
    image: Image,
}

impl Admission {
    fn of(request: &Request) -> Self {
        let admitted = admitted(request);
        let image = Image::open(&request.model, &admitted).expect("the admitted bytes");
        Self { admitted, image }
    }

    fn isolated_within(&self, mib: u64, threads: usize, limit: Duration) -> Pool {
        child::use_program(env!("CARGO_BIN_EXE_helenus"));
        let version = (self.image.clone(), self.admitted.signature.clone());
        let models = Models::new(&library(), mib << 20, vec![version]);
        Pool::start_isolated(models, threads, limit).expect("a pool")
    }

    fn isolated(&self) -> Pool {
        self.isolated_within(4096, 1, LONG)
    }

    fn here(&self) -> Pool {
        let runtime = runtime::load(Some(&library())).expect("ONNX Runtime: run scripts/setup");
        let version = (self.image.clone(), self.admitted.signature.clone());
        Pool::start(runtime, vec![version], 1, LONG).expect("a pool")
    }
}

fn crashing() -> Admission {
    Admission::of(&request("tests/models/crashing.onnx"))
}

fn floats(values: Vec<f32>) -> InputBatch {
    InputBatch {
        rows: values.len(),
        inputs: vec![TensorData::Float(values)],
        ..InputBatch::default()
    }
}

fn outputs(scored: &Scored) -> &[f32] {
    match &scored.outputs.outputs[0] {
        TensorData::Float(values) => values,
        other => panic!("floats: {other:?}"),
    }
}

fn score(pool: &Pool, batch: InputBatch) -> Result<Scored, ScoreError> {
    block_on(pool.score(0, batch))
}

#[test]
fn an_isolated_model_says_what_it_says_here_bit_for_bit() {
    for name in [
        "breast_cancer_lgbm",
        "diabetes_columns",
        "diabetes_heads",
        "digits_vector",
        "forty_classes",
        "iris_mlp_batch1",
        "sentences_tfidf",
        "types_mixed",
        "types_places",
        "wine_catboost",
    ] {
        let shipped = shipped(name);
        let model = Admission::of(&shipped);
        let golden = Golden::parse(shipped.golden.as_deref().expect("golden rows")).unwrap();
        let batch = golden
            .inputs(
                &model.admitted.signature.inputs,
                &model.admitted.feature_names,
            )
            .unwrap();
        let here = score(&model.here(), batch.clone()).expect("scored");
        let isolated = model.isolated();
        // The process's buffers are used again: the second answer is the first.
        for _ in 0..2 {
            let there = score(&isolated, batch.clone()).expect("scored");
            assert_eq!(
                format!("{:?}", there.outputs),
                format!("{:?}", here.outputs),
                "{name}"
            );
            assert_eq!(there.refused, here.refused, "{name}");
            // Text, for NaN.
            assert_eq!(format!("{:?}", there.inputs), format!("{batch:?}"));
        }
    }
}

#[test]
fn rows_that_onnx_runtime_refuses_are_the_same_rows_there() {
    let shipped = shipped("diabetes_strict");
    let model = Admission::of(&shipped);
    let golden = Golden::parse(shipped.golden.as_deref().unwrap()).unwrap();
    let signature = &model.admitted.signature;
    let mut batch = golden
        .inputs(&signature.inputs, &model.admitted.feature_names)
        .unwrap();
    let city = signature.inputs.iter().position(|i| i.name == "city");
    let TensorData::String(cities) = &mut batch.inputs[city.unwrap()] else {
        panic!("text");
    };
    let mut other: Vec<String> = cities.iter().map(str::to_owned).collect();
    other[3] = "Atlantis".to_owned();
    other[11] = "with a \0 inside".to_owned();
    *cities = other.into_iter().collect();
    let here = score(&model.here(), batch.clone()).expect("scored");
    let there = score(&model.isolated(), batch).expect("scored");
    assert_eq!(there.refused, here.refused);
    assert_eq!(there.refused.len(), 2);
    assert_eq!(there.outputs, here.outputs);
}

#[test]
fn only_the_rows_that_kill_the_process_are_refused() {
    let pool = crashing().isolated();
    let mut values: Vec<f32> = (0..1000).map(|row| row as f32 * 0.5 - 2000.0).collect();
    let deadly = [0, 1, 499, 999];
    deadly.iter().for_each(|row| values[*row] = 777.0);
    let scored = score(&pool, floats(values.clone())).expect("scored");
    let refused: Vec<usize> = scored.refused.iter().map(|(row, _)| *row).collect();
    assert_eq!(refused, deadly);
    assert_eq!(
        scored.refused[0].1,
        "the model's process crashed on it: arithmetic exception"
    );
    let innocent: Vec<f32> = values.into_iter().filter(|value| *value != 777.0).collect();
    assert_eq!(outputs(&scored), innocent);
    // The next batch finds a process.
    let next = score(&pool, floats(vec![5.0])).expect("scored");
    assert_eq!(outputs(&next), [5.0]);
}

#[test]
fn many_deadly_rows_on_end_are_refused_once_a_row_is_known_to_go_through() {
    let pool = crashing().isolated();
    score(&pool, floats(vec![1.0, 2.0])).expect("scored");
    let scored = score(&pool, floats([vec![777.0; 40], vec![3.0]].concat())).expect("scored");
    assert_eq!(scored.refused.len(), 40);
    assert_eq!(outputs(&scored), [3.0]);
}

#[test]
fn a_process_that_dies_on_everything_is_an_error_and_not_the_rows_fault() {
    let pool = crashing().isolated();
    for _ in 0..2 {
        match score(&pool, floats(vec![777.0; 500])) {
            Err(ScoreError::Died(why)) => {
                assert!(why.contains("crashes on every row"), "{why}");
                assert!(why.contains("arithmetic exception"), "{why}");
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn memory_is_bounded_for_the_process_and_refused_to_the_row_that_wants_it() {
    let model = Admission::of(&request("tests/models/hungry.onnx"));
    let pool = model.isolated_within(1024, 1, LONG);
    // 2 GiB of zeros: this machine has them, the process may not.
    let scored = score(&pool, floats(vec![1.0, 2.0, 536_870_912.0, 3.0])).expect("scored");
    assert_eq!(outputs(&scored), [1.0, 2.0, 3.0]);
    let (row, reason) = &scored.refused[0];
    assert_eq!(*row, 2);
    assert!(
        reason.contains("memory") || reason.contains("alloc"),
        "{reason}"
    );
}

#[test]
fn a_batch_without_end_ends_with_its_process_and_the_pool_goes_on() {
    let model = Admission::of(&request("tests/hostile/endless_value.onnx"));
    let width = model.admitted.signature.inputs[0].width();
    let pool = model.isolated_within(4096, 1, Duration::from_secs(2));
    let batch = |rows: usize, value: f32| InputBatch {
        rows,
        inputs: vec![TensorData::Float(vec![value; rows * width])],
        ..InputBatch::default()
    };
    let endless = score(&pool, batch(1, 1e7)).expect("its row is refused");
    assert_eq!(endless.outputs.rows, 0);
    assert_eq!(
        endless.refused,
        [(0, "the model did not answer within 2 s".to_owned())]
    );
    let scored = score(&pool, batch(2, 1.0)).expect("scored");
    assert_eq!(scored.outputs.rows, 2);
}

#[test]
fn a_model_that_no_process_can_load_is_said_so() {
    child::use_program(env!("CARGO_BIN_EXE_helenus"));
    let model = Admission::of(&shipped("breast_cancer_lgbm"));
    let version = (model.image.clone(), model.admitted.signature.clone());
    let models = Models::new(&library(), 8 << 20, vec![version]);
    let problem = Pool::start_isolated(models, 2, LONG).expect_err("no memory for the library");
    assert!(
        ["model.process_died", "runtime.library"].contains(&problem.code.as_str()),
        "{problem:?}"
    );
}

#[test]
fn batches_of_many_tasks_come_back_to_whom_they_belong() {
    let pool = Arc::new(crashing().isolated_within(4096, 2, LONG));
    block_on(async {
        let tasks = (0..40_u16).map(|task| {
            let pool = Arc::clone(&pool);
            tokio::spawn(async move {
                let mut values = vec![f32::from(task); 300];
                if task % 10 == 3 {
                    values[7] = 777.0;
                }
                (task, pool.score(0, floats(values)).await.expect("scored"))
            })
        });
        for (task, scored) in futures::future::join_all(tasks)
            .await
            .into_iter()
            .map(Result::unwrap)
        {
            let refused: Vec<_> = scored.refused.iter().map(|(row, _)| *row).collect();
            let expected = if task % 10 == 3 { vec![7] } else { Vec::new() };
            assert_eq!(refused, expected);
            assert!(outputs(&scored).iter().all(|y| *y == f32::from(task)));
        }
    });
}
