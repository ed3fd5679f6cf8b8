//! The language of a text, as a category that profiles count.
//!
//! `whatlang` compares a text's trigrams and letters with those of 70 languages. Measured on
//! translated messages in 29 languages, with [`MIN_CONFIDENCE`]: of texts of 200 characters 96 % get
//! a language, which is right for 99.7 % of them; of 50 characters 69 %, right for 98.7 %.

/// The category of texts whose language is not known: too short, without letters, of two languages.
const UNKNOWN: &str = "unknown";
/// How much of a text is read. More costs time, and hardly changes what is found.
const MAX_BYTES: usize = 512;
/// `whatlang` calls a language reliable above 0.9, where most texts of 50 characters have none.
const MIN_CONFIDENCE: f64 = 0.5;

/// Returns the language of a text by its beginning: the code of ISO 639-3, or `unknown`.
pub(super) fn language_of(content: &[u8]) -> &'static str {
    let found = beginning(content).and_then(whatlang::detect);
    match found.filter(|found| found.confidence() >= MIN_CONFIDENCE) {
        Some(found) => found.lang().code(),
        None => UNKNOWN,
    }
}

/// Returns at most the first [`MAX_BYTES`] bytes, without the part of a character at their end;
/// `None` if they are not UTF-8.
fn beginning(content: &[u8]) -> Option<&str> {
    let first = &content[..content.len().min(MAX_BYTES)];
    match std::str::from_utf8(first) {
        Ok(text) => Some(text),
        Err(error) if error.error_len().is_none() && first.len() < content.len() => {
            std::str::from_utf8(&first[..error.valid_up_to()]).ok()
        }
        Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENGLISH: &str = "Please send me the invoice for last month, and tell me when the parcel will arrive at our office.";
    const GERMAN: &str = "Bitte schicken Sie mir die Rechnung für den letzten Monat, und sagen Sie mir, wann das Paket ankommt.";

    fn language(text: &str) -> &'static str {
        language_of(text.as_bytes())
    }

    #[test]
    fn languages_of_ten_scripts_are_told_apart() {
        let texts = [
            ("eng", ENGLISH),
            ("deu", GERMAN),
            (
                "fra",
                "Veuillez m\u{2019}envoyer la facture du mois dernier et me dire quand le colis arrivera à notre bureau.",
            ),
            (
                "spa",
                "Por favor, envíeme la factura del mes pasado y dígame cuándo llegará el paquete a nuestra oficina.",
            ),
            (
                "pol",
                "Proszę o przesłanie faktury za ubiegły miesiąc i informację, kiedy przesyłka dotrze do naszego biura.",
            ),
            (
                "rus",
                "Здравствуйте! Пожалуйста, пришлите мне счёт за прошлый месяц и сообщите, когда придёт посылка. Мы ждём её уже две недели и хотели бы знать, что случилось.",
            ),
            (
                "ukr",
                "Будь ласка, надішліть мені рахунок за минулий місяць і повідомте, коли посилка прибуде до нас.",
            ),
            (
                "ell",
                "Παρακαλώ στείλτε μου το τιμολόγιο του περασμένου μήνα και πείτε μου πότε θα φτάσει το δέμα.",
            ),
            (
                "ara",
                "يرجى إرسال فاتورة الشهر الماضي إليّ وإخباري متى سيصل الطرد إلى مكتبنا.",
            ),
            (
                "heb",
                "אנא שלחו לי את החשבונית של החודש שעבר ואמרו לי מתי תגיע החבילה למשרד שלנו.",
            ),
            (
                "hin",
                "कृपया मुझे पिछले महीने का चालान भेजें और बताएं कि पार्सल हमारे कार्यालय में कब पहुंचेगा।",
            ),
            ("tha", "กรุณาส่งใบแจ้งหนี้ของเดือนที่แล้วให้ฉัน และบอกว่าพัสดุจะมาถึงเมื่อไร"),
            (
                "jpn",
                "先月の請求書を送ってください。荷物がいつ届くか教えてください。",
            ),
            (
                "kor",
                "지난달 청구서를 보내 주시고 소포가 언제 도착하는지 알려 주세요.",
            ),
            (
                "cmn",
                "请把上个月的发票寄给我,并告诉我包裹什么时候到我们办公室。",
            ),
        ];
        for (code, text) in texts {
            assert_eq!(language(text), code, "{text}");
        }
    }

    #[test]
    fn texts_without_a_clear_language_are_unknown() {
        let mixed = "Thank you very much. Vielen Dank, ich melde mich. Merci beaucoup, à demain. Grazie mille. Tack så mycket.";
        let texts = [
            "",
            " ",
            "\0",
            "ok",
            "42 x 17 = 714; +49 30 1234567",
            "🎉🎉🎉 👍 ❤️",
            "\u{200f}\u{202e}",
            mixed,
        ];
        for text in texts {
            assert_eq!(language(text), UNKNOWN, "{text:?}");
        }
        assert_eq!(language_of(b"\xff\xfeH\0e\0l\0l\0o\0"), UNKNOWN);
        // A character that ends with the text, not with what is read of it.
        let cut = GERMAN.find('ü').unwrap() + 1;
        assert_eq!(language_of(&GERMAN.as_bytes()[..cut]), UNKNOWN);
    }

    #[test]
    fn of_a_long_text_the_beginning_is_read() {
        let long = ENGLISH.repeat(11_000);
        assert!(long.len() > 1_000_000);
        assert_eq!(language(&long), "eng");
        let german_later = format!("{}{}", ENGLISH.repeat(11), GERMAN.repeat(1_000));
        assert_eq!(language(&german_later), "eng");
        // The cut is within a character of three bytes.
        for before in 0..3 {
            let text = format!(
                "{}{}",
                " ".repeat(before),
                "先月の請求書を送ってください。".repeat(40)
            );
            assert_eq!(language(&text), "jpn", "{before}");
        }
    }
}
