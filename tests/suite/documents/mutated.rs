//! Files with changed, removed, repeated and inserted bytes: whatever comes, a row is prepared in full
//! or rejected with a reason. `HELENUS_TEST_FUZZ_SECONDS` makes it longer than two seconds.

use std::{
    io::Cursor,
    time::{Duration, Instant},
};

use helenus::domain::{
    job::{manifest::Manifest, prepare::CellTokens},
    model::tensor::TensorData,
};
use rand::{RngExt, SeedableRng, rngs::StdRng};

use crate::support::documents;

pub const ENTRY: &str = "{ column = \"c\", as = \"image\", decode = [\"jpeg\", \"png\", \"webp\"], exif = \"apply\", alpha = \"white\", \
    resize = { short = 32 }, crop = 32, max_pixels = 1000000 }";

#[test]
fn mutated_files_are_prepared_whole_or_rejected_with_a_reason() {
    let seconds =
        std::env::var("HELENUS_TEST_FUZZ_SECONDS").map_or(2, |text| text.parse().unwrap());
    let text = format!(
        "job = \"j\"\nmodel = \"m\"\nversions = [1]\n[source]\ntable = \"k.t\"\n[features]\nx = {ENTRY}\n"
    );
    let features = Manifest::parse(&text).unwrap().features.unwrap();
    let kind = features["x"].prepared.as_ref().unwrap();
    let mut seeds = documents::contents("images", "images.json");
    seeds.truncate(8);
    let webp = documents::contents("files", "files.json");
    seeds.extend(webp.into_iter().filter(|file| file.starts_with(b"RIFF")));
    assert_eq!(seeds.len(), 9);

    for file in &seeds {
        let reader = image::ImageReader::new(Cursor::new(file));
        let size = reader.with_guessed_format().unwrap().into_dimensions();
        let header = kind.header(file).unwrap();
        assert_eq!(
            (header["width"].as_u64(), header["height"].as_u64()),
            size.map(|(width, height)| (Some(width.into()), Some(height.into())))
                .unwrap()
        );
    }

    let seed = rand::rng().random();
    let mut random = StdRng::seed_from_u64(seed);
    let (mut tried, mut whole, mut failed) = (0_u64, 0_u64, 0_u64);
    let end = Instant::now() + Duration::from_secs(seconds);
    // At least a few, however slow the machine is.
    while Instant::now() < end || tried < 50 {
        let file = mutated(&seeds[random.random_range(0..seeds.len())], &mut random);
        let mut data = TensorData::Float(Vec::new());
        let declared = kind.header(&file);
        match kind.append(&file, &mut data, &mut CellTokens::default()) {
            Ok(()) => {
                whole += 1;
                assert_eq!(data.len(), 3 * 32 * 32, "seed {seed}, file {tried}");
                // A decoder of JPEG may find a size where the file's segments have none.
                let is_jpeg = file.starts_with(&[0xff, 0xd8]);
                assert!(declared.is_some() || is_jpeg, "seed {seed}, file {tried}");
            }
            Err(fault) => {
                let reason = format!("{fault:?}");
                assert!(reason.starts_with("Unprepared(\"image\""), "{reason}");
                failed += u64::from(reason.contains("the decoder failed"));
            }
        }
        tried += 1;
    }
    println!("seed {seed}: {tried} files, {whole} prepared, {failed} stopped a decoder");
}

pub fn mutated(seed: &[u8], random: &mut StdRng) -> Vec<u8> {
    let mut file = seed.to_vec();
    for _ in 0..random.random_range(1..6) {
        let length = file.len();
        if length < 2 {
            break;
        }
        // Headers decide most, so every other change is near the beginning.
        let reach = if random.random() {
            length
        } else {
            length.min(700)
        };
        let at = random
            .random_range(0..reach)
            .min(file.len().saturating_sub(1));
        let some = random.random_range(1..64_usize).min(file.len() - at);
        match random.random_range(0..5) {
            0 => file[at] = random.random(),
            1 => file[at] ^= 1 << random.random_range(0..8),
            2 => drop(file.drain(at..at + some)),
            3 => {
                let part = file[at..at + some].to_vec();
                file.splice(at..at, part);
            }
            _ => file.truncate(at.max(2)),
        }
    }
    file
}
