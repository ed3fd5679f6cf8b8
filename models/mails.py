"""Mails to a company, made from a seed: what two text models learn from, and what the demo sends.

    python mails.py COUNT [--seed N] [--first ID]      JSON lines: {"id", "received_at", "sender", "subject", "body"}

Each mail has one department: invoice, complaint, order, support or hiring (`truth_of(id, seed)` says which; the lines don't). Words of
other departments occur in each, and what tells some mails apart is only the order of their words: "not working" and "working on".
"""

from __future__ import annotations

import argparse
import json
import random
from datetime import datetime, timedelta, timezone

DEPARTMENTS = ["complaint", "hiring", "invoice", "order", "support"]
PEOPLE = ["Ada Okafor", "Ben Lindqvist", "Chloe Marchetti", "Dmitri Petrov", "Elif Yilmaz", "Farid Haddad", "Greta Olsen", "Hugo Almeida",
          "Ines Duarte", "Jonas Weber", "Keiko Tanaka", "Liam Byrne", "Mona Sayed", "Nils Bakker", "Olga Novak", "Priya Raman"]
THINGS = ["the desk lamp", "two office chairs", "the label printer", "a box of toner", "the standing desk", "ten notebooks", "the monitor arm",
          "the coffee machine", "a set of shelves", "the conference phone"]
SUBJECTS = {
    "invoice": ["Invoice {n}", "Payment of {n}", "Your bill {n}", "Question about {n}"],
    "complaint": ["Disappointed", "About my purchase {n}", "This is not acceptable", "Question about {n}"],
    "order": ["New order", "Order for {thing}", "Delivery to a second address", "Question about {n}"],
    "support": ["Need help", "{thing}", "Cannot get it to run", "Question about {n}"],
    "hiring": ["Application", "Open position", "My documents", "Question about the position"],
}
SENTENCES = {
    "invoice": ["Please find attached the invoice {n} over {amount} euros.", "The amount of {amount} euros was charged twice.",
                "Could you send the bill again with our VAT number?", "Payment is due within thirty days.",
                "We have transferred {amount} euros to your account.", "The purchase order number is missing on the invoice."],
    "complaint": ["I am very disappointed with {thing}.", "{thing} arrived broken and nobody answers the phone.",
                  "I have waited three weeks and I want my money back.", "This is the second time that the wrong article was delivered.",
                  "If this is not solved by Friday I will cancel everything.", "The quality is poor and the service is worse."],
    "order": ["We would like to order {thing}.", "Please deliver {thing} to our office in the second floor.",
              "How long is the delivery time for {thing}?", "Please add {thing} to our order {n}.",
              "We need twenty more of the same kind by the end of the month.", "Is {thing} in stock?"],
    "support": ["{thing} does not switch on any more.", "After the update the display stays dark.", "How do I connect {thing} to the network?",
                "The manual does not say which cable is needed.", "I get the error code {code} when I start it.", "Could somebody call me and help with the setup?"],
    "hiring": ["I would like to apply for the open position.", "Attached are my references and my diploma.", "I have five years of experience in sales.",
               "When could we arrange an interview?", "My period of notice is three months.", "I read about the position on your website."],
}
# The same words in another order: only pairs of words tell these apart.
PAIRS = {
    "complaint": ["It is not what I paid for, I want money and no new order.", "The order was wrong, not the invoice, and help did not come."],
    "invoice": ["I paid for what it is not, the new order wants no money.", "The invoice was wrong, not the order, and help did come."],
    "order": ["No invoice came for what I want, it is a new order and not paid.", "Help came and the order was not wrong, the invoice did come."],
}
GREETINGS = ["Hello,", "Dear all,", "Good morning,", "To whom it may concern,", "Hi,"]
CLOSINGS = ["Kind regards", "Best wishes", "Yours sincerely", "Thanks in advance", "Regards"]
START = datetime(2026, 3, 2, 6, 0, tzinfo=timezone.utc)


def generator(identity: int, seed: int) -> random.Random:
    return random.Random(seed * 1_000_003 + identity)


def truth_of(identity: int, seed: int = 0) -> str:
    return generator(identity, seed).choice(DEPARTMENTS)


def mail(identity: int, seed: int = 0) -> dict[str, str | int]:
    """A mail by its id: the same one wherever it is made."""
    chance = generator(identity, seed)
    department = chance.choice(DEPARTMENTS)
    fill = {"thing": chance.choice(THINGS), "n": f"R-{chance.randint(10_000, 99_999)}", "amount": f"{chance.randint(20, 4000)},{chance.randint(0, 99):02}",
            "code": f"E{chance.randint(10, 99)}"}
    own = chance.sample(SENTENCES[department], chance.randint(1, 3))
    if department in PAIRS and chance.random() < 0.3:
        own = [chance.choice(PAIRS[department])]
    if chance.random() < 0.35:
        own.append(chance.choice(SENTENCES[chance.choice(DEPARTMENTS)]))
    chance.shuffle(own)
    sender = chance.choice(PEOPLE)
    body = "\n".join([chance.choice(GREETINGS), "", " ".join(own).format(**fill), "", chance.choice(CLOSINGS), sender])
    at = START + timedelta(seconds=identity * 7 + chance.randint(0, 6))
    return {"id": identity, "received_at": at.isoformat().replace("+00:00", "Z"),
            "sender": f"{sender.lower().replace(' ', '.')}@example.org",
            "subject": chance.choice(SUBJECTS[department]).format(**fill), "body": body}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("count", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=1)
    asked = parser.parse_args()
    for identity in range(asked.first, asked.first + asked.count):
        print(json.dumps(mail(identity, asked.seed), ensure_ascii=False))


if __name__ == "__main__":
    main()
