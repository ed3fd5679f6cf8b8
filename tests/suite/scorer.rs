//! Sessions and the pool: what comes of batches, good and bad. Needs no Cassandra.

use std::{
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use helenus::{
    domain::model::{
        Admitted,
        golden::Golden,
        tensor::{InputBatch, OutputBatch, TensorData},
        tolerance::Tolerance,
    },
    scorer::{
        admit::Request,
        image::Image,
        pool::{Pool, ScoreError},
        runtime::{self, Runtime},
        session::{Model, RunError},
    },
};

use crate::admission::{admitted, library, request, shipped};

fn onnxruntime() -> &'static Runtime {
    static RUNTIME: OnceLock<&Runtime> = OnceLock::new();
    RUNTIME
        .get_or_init(|| runtime::load(Some(&library())).expect("ONNX Runtime: run scripts/setup"))
}

struct Loaded {
    request: Request,
    admitted: Admitted,
    image: Image,
}

impl Loaded {
    fn of(request: Request) -> Self {
        let admitted = admitted(&request);
        let image = Image::open(&request.model, &admitted).expect("the admitted bytes");
        Self {
            request,
            admitted,
            image,
        }
    }

    fn model(&self) -> Model {
        Model::load(onnxruntime(), &self.image, &self.admitted.signature).expect("a session")
    }

    fn golden(&self) -> (Golden, InputBatch) {
        let text = self.request.golden.as_ref().expect("golden rows");
        let golden = Golden::parse(text).expect("golden rows");
        let inputs = golden
            .inputs(
                &self.admitted.signature.inputs,
                &self.admitted.feature_names,
            )
            .expect("golden inputs");
        (golden, inputs)
    }

    fn pool(&self, threads: usize, limit: Duration) -> Pool {
        let version = (self.image.clone(), self.admitted.signature.clone());
        Pool::start(onnxruntime(), vec![version], threads, limit).expect("a pool")
    }

    fn run(&self, model: &mut Model, batch: &InputBatch) -> Result<OutputBatch, RunError> {
        let stop = model.stop().expect("a handle");
        model.run(batch, &stop)
    }
}

/// The same rows, `times` times.
fn repeated(batch: &InputBatch, times: usize) -> InputBatch {
    let repeat = |data: &TensorData| match data {
        TensorData::Float(values) => TensorData::Float(values.repeat(times)),
        other => panic!("not used here: {other:?}"),
    };
    InputBatch {
        rows: batch.rows * times,
        inputs: batch.inputs.iter().map(repeat).collect(),
        ..InputBatch::default()
    }
}

fn floats(rows: usize, values: Vec<f32>) -> InputBatch {
    InputBatch {
        rows,
        inputs: vec![TensorData::Float(values)],
        ..InputBatch::default()
    }
}

#[test]
fn a_fixed_batch_is_filled_up_and_gives_a_row_for_each_row() {
    for (name, rows) in [("iris_mlp_batch1", 24), ("types_places", 23)] {
        let loaded = Loaded::of(shipped(name));
        let mut model = loaded.model();
        let (golden, mut inputs) = loaded.golden();
        let rows = rows.min(inputs.rows);
        inputs.rows = rows;
        for (data, input) in inputs
            .inputs
            .iter_mut()
            .zip(&loaded.admitted.signature.inputs)
        {
            data.truncate(rows * input.width());
        }
        let outputs = loaded.run(&mut model, &inputs).expect("scored");
        assert_eq!(outputs.rows, rows);
        for column in golden
            .expected(&loaded.admitted.signature.outputs)
            .expect("expected")
        {
            let width = loaded.admitted.signature.outputs[column.output].width();
            let (TensorData::Float(got), TensorData::Double(expected)) =
                (&outputs.outputs[column.output], &column.values)
            else {
                panic!("floats");
            };
            assert_eq!(got.len(), rows * width);
            for row in 0..rows {
                let got = got[row * width + column.offset];
                assert!(
                    Tolerance::default().close(got.into(), expected[row]),
                    "{name} row {row}"
                );
            }
        }
    }
}

#[test]
fn a_refused_row_does_not_take_its_batch_with_it() {
    let loaded = Loaded::of(shipped("diabetes_strict"));
    let mut model = loaded.model();
    let (_, good) = loaded.golden();
    let expected = loaded.run(&mut model, &good).expect("scored");
    let city = loaded
        .admitted
        .signature
        .inputs
        .iter()
        .position(|input| input.name == "city")
        .expect("city");
    let mut bad = good.clone();
    let TensorData::String(cities) = &mut bad.inputs[city] else {
        panic!("text");
    };
    let mut other: Vec<String> = cities.iter().map(str::to_owned).collect();
    other[3] = "Atlantis".to_owned();
    other[11] = "with a \0 inside".to_owned();
    *cities = other.into_iter().collect();
    let stop = model.stop().expect("a handle");
    assert!(matches!(model.run(&bad, &stop), Err(RunError::Refused(_))));
    let outcome = model.run_rows(&bad, &stop).expect("outcomes");
    let refused: Vec<usize> = outcome.refused.iter().map(|(row, _)| *row).collect();
    assert_eq!(refused, [3, 11]);
    assert!(
        outcome.refused[0].1.contains("Unknown Category"),
        "{:?}",
        outcome.refused
    );
    assert!(
        outcome.refused[1].1.contains("NUL"),
        "{:?}",
        outcome.refused
    );
    let kept: Vec<usize> = (0..good.rows)
        .filter(|row| !refused.contains(row))
        .collect();
    assert_eq!(outcome.outputs.rows, kept.len());
    for (at, row) in kept.into_iter().enumerate() {
        let signature = &loaded.admitted.signature;
        for (o, output) in signature.outputs.iter().enumerate() {
            let (got, wanted) = (&outcome.outputs.outputs[o], &expected.outputs[o]);
            for k in 0..output.width() {
                let (i, j) = (at * output.width() + k, row * output.width() + k);
                assert!(Tolerance::default().same(got, i, wanted, j), "row {row}");
            }
        }
    }
}

#[test]
fn bytes_that_were_not_admitted_are_tampered() {
    let request = shipped("iris_kmeans");
    let admitted = admitted(&request);
    let mut bytes = std::fs::read(&request.model).expect("the file");
    Image::new(bytes.clone(), &admitted).expect("the admitted bytes");
    bytes[100] ^= 1;
    assert_eq!(
        Image::new(bytes.clone(), &admitted)
            .expect_err("altered")
            .code,
        "model.tampered"
    );
    bytes[100] ^= 1;
    bytes.push(0);
    assert_eq!(
        Image::new(bytes, &admitted).expect_err("longer").code,
        "model.tampered"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_scores_more_batches_at_once_than_it_has_room_for() {
    let loaded = Loaded::of(shipped("breast_cancer_lgbm"));
    let (_, golden) = loaded.golden();
    let batch = repeated(&golden, 20);
    let expected = loaded.run(&mut loaded.model(), &batch).expect("scored");
    let pool = Arc::new(loaded.pool(2, Duration::from_secs(60)));
    let tasks: Vec<_> = (0..40)
        .map(|_| {
            let (pool, batch) = (Arc::clone(&pool), batch.clone());
            tokio::spawn(async move { pool.score(0, batch).await })
        })
        .collect();
    for task in tasks {
        let scored = task.await.expect("no panic").expect("scored");
        // One intra thread: the same batch gives the same bits.
        assert_eq!(scored.outputs, expected);
        assert_eq!(scored.inputs, batch);
        assert!(scored.refused.is_empty() && scored.nanoseconds > 0);
    }
    let wrong = pool.score(1, batch).await;
    assert!(matches!(wrong, Err(ScoreError::Misaligned(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_never_ends_is_stopped_and_the_pool_goes_on() {
    let loaded = Loaded::of(request("tests/hostile/endless_value.onnx"));
    let width = loaded.admitted.signature.inputs[0].width();
    let pool = loaded.pool(1, Duration::from_millis(500));
    let started = Instant::now();
    let endless = pool.score(0, floats(1, vec![1e7; width])).await;
    let endless = endless.expect("its row is refused");
    let (row, reason) = &endless.refused[0];
    assert_eq!((*row, endless.outputs.rows), (0, 0));
    assert_eq!(reason, "the model did not answer within 0.5 s");
    assert!(started.elapsed() < Duration::from_secs(5));
    let scored = pool
        .score(0, floats(2, vec![1.0; 2 * width]))
        .await
        .expect("scored");
    assert_eq!(scored.outputs.rows, 2);
    drop(pool);
    assert!(started.elapsed() < Duration::from_secs(10));
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_hang_are_found_while_neighbours_wait_less_than_a_second() {
    let loaded = Loaded::of(request("tests/models/hanging.onnx"));
    let pool = Arc::new(loaded.pool(2, Duration::from_secs(2)));
    pool.score(0, floats(64, vec![1.0; 64]))
        .await
        .expect("scored");
    let mut values: Vec<f32> = (0..512).map(|row| row as f32).collect();
    let hanging = [3, 4, 400];
    hanging.iter().for_each(|row| values[*row] = 1e7);
    let begun = Instant::now();
    let hunted = tokio::spawn({
        let pool = Arc::clone(&pool);
        async move { pool.score(0, floats(512, values)).await }
    });
    let mut slowest = Duration::ZERO;
    while !hunted.is_finished() {
        let asked = Instant::now();
        let neighbour = pool.score(0, floats(8, vec![5.0; 8])).await;
        assert_eq!(neighbour.expect("scored").outputs.rows, 8);
        slowest = slowest.max(asked.elapsed());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let scored = hunted.await.expect("no panic").expect("scored");
    let refused: Vec<usize> = scored.refused.iter().map(|(row, _)| *row).collect();
    assert_eq!(refused, hanging);
    for (_, reason) in &scored.refused {
        assert_eq!(reason, "the model did not answer within 2 s");
    }
    let expected: Vec<f32> = (0..512)
        .filter(|row| !hanging.contains(row))
        .map(|row| row as f32)
        .collect();
    assert_eq!(scored.outputs.outputs[0], TensorData::Float(expected));
    assert!(slowest < Duration::from_secs(1), "{slowest:?}");
    assert!(
        begun.elapsed() < Duration::from_secs(60),
        "{:?}",
        begun.elapsed()
    );
    assert!(pool.is_whole());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_hangs_on_everything_is_an_error_and_not_the_rows_fault() {
    let loaded = Loaded::of(request("tests/models/hanging.onnx"));
    let pool = loaded.pool(1, Duration::from_millis(200));
    let endless = pool.score(0, floats(32, vec![1e7; 32])).await;
    match endless {
        Err(ScoreError::Died(why)) => assert!(why.contains("hangs on every row"), "{why}"),
        other => panic!("{other:?}"),
    }
    assert!(!pool.is_whole());
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_that_is_not_there_refuses_the_row_that_wants_it() {
    let loaded = Loaded::of(request("tests/hostile/alloc_value.onnx"));
    let width = loaded.admitted.signature.inputs[0].width();
    let pool = loaded.pool(1, Duration::from_secs(60));
    let mut values = vec![1.0; 3 * width];
    values[width] = 1e12;
    let scored = pool.score(0, floats(3, values)).await.expect("scored");
    assert_eq!(scored.outputs.rows, 2);
    assert_eq!(scored.refused[0].0, 1);
}

#[test]
fn a_batch_of_the_wrong_width_is_not_given_to_onnx_runtime() {
    let loaded = Loaded::of(shipped("breast_cancer_lr"));
    let mut model = loaded.model();
    for batch in [
        floats(2, vec![0.0; 59]),
        InputBatch {
            rows: 1,
            inputs: vec![TensorData::Double(vec![0.0; 30])],
            ..InputBatch::default()
        },
        InputBatch {
            rows: 1,
            inputs: Vec::new(),
            ..InputBatch::default()
        },
    ] {
        assert!(matches!(
            loaded.run(&mut model, &batch),
            Err(RunError::Misaligned(_))
        ));
    }
}
