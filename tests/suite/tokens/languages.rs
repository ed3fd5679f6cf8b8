//! The languages of texts as a profiled feature.

use serde_json::Value;

use super::Mails;

const ENGLISH: [&str; 6] = [
    "Please send me the invoice for last month, because our accounting department is still waiting for it.",
    "The parcel that you promised for Monday has not arrived at our office yet, and nobody can tell us why.",
    "I would like to change the address of my next delivery, since we are moving to another building.",
    "Thank you for the quick answer; the new contract looks good to us and we will sign it this week.",
    "There is a mistake in the order that I placed yesterday: I need twenty chairs instead of twelve.",
    "Could you tell me whether the training in September will take place, and what it is going to cost?",
];
const GERMAN: [&str; 6] = [
    "Bitte schicken Sie mir die Rechnung für den letzten Monat, weil unsere Buchhaltung noch darauf wartet.",
    "Das Paket, das Sie uns für Montag versprochen haben, ist noch nicht angekommen, und niemand weiß warum.",
    "Ich möchte die Adresse meiner nächsten Lieferung ändern, da wir in ein anderes Gebäude umziehen.",
    "Vielen Dank für die schnelle Antwort; der neue Vertrag gefällt uns gut und wir unterschreiben ihn bald.",
    "In meiner gestrigen Bestellung ist ein Fehler: ich brauche zwanzig Stühle und nicht nur zwölf davon.",
    "Können Sie mir sagen, ob die Schulung im September stattfindet und wie viel sie kosten wird?",
];
const UKRAINIAN: &str = "Будь ласка, надішліть мені рахунок за минулий місяць і повідомте, коли посилка прибуде до нас, бо ми чекаємо на неї вже два тижні.";
const ROWS: i32 = 600;
const FEATURES: &str =
    r#"body = { column = "body", as = "tokens", tokenizer = "mails", max_length = 24 }"#;

impl Mails {
    /// Rows of which every twentieth is in German.
    fn of_few_languages(test: &str) -> Self {
        let mails = Self::new(test);
        mails.create(FEATURES);
        for id in 0..ROWS {
            mails.write(id, if id % 20 == 0 { &GERMAN } else { &ENGLISH });
        }
        mails
    }

    /// Writes a mail of two sentences, which have more than the 24 tokens that the model takes.
    fn write(&self, id: i32, sentences: &[&str]) {
        let sentence = |at: i32| sentences[at as usize % sentences.len()];
        let text = format!("{id}. {} {}", sentence(id), sentence(id / 6 + 1));
        self.insert(id, Some(text.as_bytes()));
    }

    fn score(&self, more: &[&str]) -> Value {
        let score = [&["score", &self.job], more].concat();
        self.sandbox.json(&score).ok().result()
    }

    fn baseline(&self, run: &Value) {
        let run = run["run_id"].as_str().unwrap();
        let choose = ["drift", "baseline", &self.job, "--run", run];
        self.sandbox.json(&choose).ok();
    }

    fn drift(&self) -> Value {
        self.sandbox.json(&["drift", &self.job]).ok().result()
    }

    /// Returns the languages that a run counted.
    fn counted(&self, run: &Value) -> Vec<(String, i64)> {
        let (job, run) = (&self.job, run["run_id"].as_str().unwrap());
        let row = self.sandbox.row(&format!(
            "SELECT names, cells FROM {{helenus}}.drift_profiles WHERE job = '{job}' AND version = 1 AND segment = '' AND feature = 'body[language]' AND run_id = {run}"
        ));
        let names = row["names"].as_list().unwrap().iter();
        let mut names: Vec<String> = names.map(|name| name.as_text().unwrap().clone()).collect();
        names.push("(others)".to_owned());
        let cells = row["cells"].as_list().unwrap().iter();
        names
            .into_iter()
            .zip(cells.map(|cell| cell.as_bigint().unwrap()))
            .collect()
    }
}

/// The rows of a report about a feature, by what it is compared with.
fn found<'r>(report: &'r Value, feature: &str, against: &str) -> Option<&'r Value> {
    let rows = report["features"].as_array().unwrap().iter();
    let mut rows = rows.filter(|row| row["feature"] == feature && row["against"] == against);
    rows.next()
}

fn verdict<'r>(report: &'r Value, feature: &str, against: &str) -> &'r str {
    let row = found(report, feature, against);
    let row = row.unwrap_or_else(|| panic!("{feature} against {against}: {report:#}"));
    row["verdict"].as_str().unwrap()
}

#[test]
fn mails_that_turn_german_drift_in_their_language_and_nothing_else() {
    let mails = Mails::of_few_languages("tokens_languages");
    let first = mails.score(&[]);
    assert_eq!(first["scored"]["1"], ROWS, "{first}");
    let counts = [("deu", 30), ("eng", 570), ("(others)", 0)];
    let counts = counts.map(|(name, rows)| (name.to_owned(), rows));
    assert_eq!(mails.counted(&first), counts);
    mails.baseline(&first);
    // Unchanged, also where another process tokenizes.
    for more in [&[][..], &["--isolate", "--scope", "all"]] {
        let run = mails.score(more);
        assert_eq!(
            run["warnings"].to_string().matches("drift").count(),
            0,
            "{run}"
        );
        assert_eq!(mails.counted(&run), counts);
        let report = mails.drift();
        for feature in ["body[language]", "body[tokens]"] {
            assert_eq!(
                verdict(&report, feature, "reference"),
                "stable",
                "{report:#}"
            );
        }
    }

    for id in (0..ROWS).filter(|id| id % 20 != 0 && id % 5 < 3) {
        mails.write(id, &GERMAN);
    }
    let run = mails.score(&[]);
    let warnings = run["warnings"].to_string();
    assert!(
        warnings.contains("drift: `body[language]` of version 1 is drifted against the reference"),
        "{warnings}"
    );
    let report = mails.drift();
    let language = found(&report, "body[language]", "reference").unwrap();
    assert_eq!(language["cause"], "shape", "{language:#}");
    assert!(language["psi"].as_f64() > Some(1.0), "{language:#}");
    for against in ["reference", "previous"] {
        assert_eq!(verdict(&report, "body[language]", against), "drifted");
        assert_eq!(verdict(&report, "body[tokens]", against), "stable");
        assert_eq!(verdict(&report, "(rejected)", against), "stable");
    }
    let shown = mails.sandbox.helenus(&["drift", &mails.job]).ok().stdout;
    assert!(shown.contains("body[language]"), "{shown}");
    let page = mails.sandbox.directory().join("drift.html");
    let html = ["drift", &mails.job, "--html", page.to_str().unwrap()];
    mails.sandbox.helenus(&html).ok();
    let page = std::fs::read_to_string(page).unwrap();
    for part in ["body[language]", ">deu<", ">eng<"] {
        assert!(page.contains(part), "{part}");
    }
    let status = mails.sandbox.json(&["status"]).ok().result().to_string();
    assert!(status.contains("body[language]"), "{status}");

    // A language that the baseline does not have.
    for id in (0..ROWS).filter(|id| id % 4 == 0) {
        mails.write(id, &[UKRAINIAN]);
    }
    mails.score(&[]);
    let report = mails.drift();
    assert_eq!(
        verdict(&report, "body[language]", "reference"),
        "new_category"
    );
    // Their thresholds are those of the feature, or their own.
    let drift = "[drift.features]\n\"body[language]\" = { psi = 50, share = 1.0 }\n";
    let manifest = mails.manifest(FEATURES);
    let text = std::fs::read_to_string(&manifest).unwrap();
    std::fs::write(&manifest, format!("{text}{drift}")).unwrap();
    mails.sandbox.helenus(&["job", "create", &manifest]).ok();
    let run = mails.score(&[]);
    assert!(!run["warnings"].to_string().contains("drift"), "{run}");
}

#[test]
fn a_baseline_that_was_made_without_languages_raises_no_alarm() {
    let mails = Mails::of_few_languages("tokens_old_baseline");
    let first = mails.score(&[]);
    mails.baseline(&first);
    // As an earlier version of helenus stored it.
    let (job, run) = (&mails.job, first["run_id"].as_str().unwrap());
    let place = format!("job = '{job}' AND version = 1 AND segment = '' AND run_id = {run}");
    mails.sandbox.cql(&format!(
        "DELETE FROM {{helenus}}.drift_profiles WHERE {place} AND feature = 'body[language]'"
    ));
    mails.sandbox.cql(&format!(
        "UPDATE {{helenus}}.drift_profiles SET features = ['body[tokens]'] WHERE {place} AND feature = ''"
    ));

    let second = mails.score(&[]);
    assert!(
        !second["warnings"].to_string().contains("drift"),
        "{second}"
    );
    let report = mails.drift();
    assert_eq!(verdict(&report, "body[tokens]", "reference"), "stable");
    for against in ["reference", "previous"] {
        assert_eq!(found(&report, "body[language]", against), None);
    }
    assert_eq!(mails.counted(&second)[0], ("deu".to_owned(), 30));
    // From now on there is a run before.
    mails.score(&[]);
    let report = mails.drift();
    assert_eq!(verdict(&report, "body[language]", "previous"), "stable");
    assert_eq!(found(&report, "body[language]", "reference"), None);
}
