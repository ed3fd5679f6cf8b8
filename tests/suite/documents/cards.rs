//! Cards with a picture and words: two versions of a model, which prepare the same picture in different
//! ways.

use std::io::Cursor;

use image::{ImageFormat, Rgb, RgbImage};
use serde_json::{Value, json};

use crate::support::{Sandbox, block_on, cassandra::session, cli::Output};

/// In the order of the model's scores.
pub const COLOURS: [&str; 3] = ["red", "green", "blue"];
/// Cards of the table; those below [`BAD`] are rejected.
pub const CARDS: i32 = 240;
/// Number of cards that cannot be prepared, from 0 on.
pub const BAD: i32 = 5;
/// How the reasons of their rejections begin.
pub const REASONS: [&str; BAD as usize] = [
    "image: feature `photo`",
    "empty: feature `photo`",
    "null: feature `text`",
    "tokens: feature `text`",
    "null: feature `photo`",
];

pub const FEATURES: &str = r#"
[features]
photo = { column = "photo", as = "image", decode = ["png"], resize = { exact = 8 }, scale = "1/255" }
thumbnail = { column = "photo", as = "image", decode = ["png"], resize = { exact = 4, filter = "box" }, channels = "bgr", layout = "nhwc", scale = "1/255", mean = 0.5, std = 0.5 }
text = { column = "words", as = "tokens", tokenizer = "words", max_length = 6, truncation = "reject" }
"#;

/// A card: key, picture, words, colour.
pub struct Card {
    pub id: i32,
    pub photo: Option<Vec<u8>>,
    pub words: Option<String>,
}

impl Card {
    pub fn new(id: i32) -> Self {
        let colour = COLOURS[colour_of(id)];
        let mut card = Self {
            id,
            photo: Some(png(&picture(id, 12))),
            words: Some(format!("a {colour} card")),
        };
        match id {
            0 => card.photo.as_mut().unwrap().truncate(60),
            1 => card.photo = Some(Vec::new()),
            2 => card.words = None,
            3 => card.words = Some("one two three four five six seven".to_owned()),
            4 => card.photo = None,
            _ => {}
        }
        card
    }

    pub fn deck(&self) -> String {
        format!("deck-{}", self.id % 40)
    }

    /// The row with its blob in base64, or as hexadecimal digits if the number is odd.
    pub fn json(&self) -> Value {
        use base64::{Engine, engine::general_purpose::STANDARD};
        let photo = self.photo.as_ref().map(|photo| match self.id % 2 {
            0 => json!({"b64": STANDARD.encode(photo)}),
            _ => json!(format!("0x{}", hex::encode(photo))),
        });
        json!({"deck": self.deck(), "id": self.id, "photo": photo, "words": self.words})
    }
}

/// Index of a card's colour.
pub fn colour_of(id: i32) -> usize {
    (id % 3) as usize
}

/// A square that is mostly of the card's colour.
pub fn picture(id: i32, side: u32) -> RgbImage {
    RgbImage::from_fn(side, side, |x, y| {
        let mut samples = [40 + (x * 5) as u8, 40 + (y * 5) as u8, (id % 97) as u8];
        samples[colour_of(id)] = 220;
        Rgb(samples)
    })
}

pub fn png(image: &RgbImage) -> Vec<u8> {
    let mut file = Cursor::new(Vec::new());
    image.write_to(&mut file, ImageFormat::Png).unwrap();
    file.into_inner()
}

/// The models and their tokenizer, and an empty table; no job yet.
pub fn pushed(test: &str) -> Sandbox {
    let sandbox = Sandbox::migrated_with(test, &["--lease-seconds", "2"]);
    sandbox.cql("CREATE TABLE {data}.cards (deck text, id int, photo blob, words text, colour text, PRIMARY KEY (deck, id))");
    let tokens = ["[PAD]", "[UNK]", "red", "green", "blue"];
    let vocabulary: serde_json::Map<String, Value> = (0..)
        .zip(tokens)
        .map(|(id, token)| (token.to_owned(), json!(id)))
        .collect();
    let tokenizer = json!({
        "version": "1.0", "added_tokens": [], "pre_tokenizer": {"type": "Whitespace"},
        "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "[UNK]"},
    });
    let tokenizer = sandbox.file("words.json", tokenizer.to_string());
    let artifact = format!("words={}", tokenizer.display());
    for model in ["cards_photo", "cards_thumbnail"] {
        let file = format!("{}/tests/models/{model}.onnx", env!("CARGO_MANIFEST_DIR"));
        let push = [
            &["model", "push", "cards", &file, "--artifact", &artifact][..],
            &["--width", "input_ids=6", "--width", "attention_mask=6"],
            &["--classes", &COLOURS.join(",")],
        ];
        sandbox.json(&push.concat()).ok();
    }
    sandbox.helenus(&["model", "promote", "cards", "1"]).ok();
    sandbox
}

/// Creates the job `cards` with these lines before and after those of its features.
pub fn create(sandbox: &Sandbox, versions: &str, more: &str) -> Output {
    let data = &sandbox.data;
    let manifest = format!(
        "job = \"cards\"\nmodel = \"cards\"\nversions = {versions}\n[source]\ntable = \"{data}.cards\"\n{FEATURES}\n{more}\n"
    );
    let file = sandbox.file("cards.toml", manifest);
    sandbox.json(&["job", "create", file.to_str().unwrap()])
}

/// Writes cards into the table.
pub fn insert(sandbox: &Sandbox, cards: &[Card]) {
    let data = &sandbox.data;
    let insert = format!(
        "INSERT INTO \"{data}\".cards (deck, id, photo, words, colour) VALUES (?, ?, ?, ?, ?)"
    );
    block_on(async {
        let insert = session().prepare(insert).await.unwrap();
        for card in cards {
            let colour = COLOURS[colour_of(card.id)];
            let row = (card.deck(), card.id, &card.photo, &card.words, colour);
            session().execute_unpaged(&insert, row).await.unwrap();
        }
    });
}
