"""What a change of a collection does to answers, for people and as JSON."""

from __future__ import annotations

from typing import Any

__all__ = ["print_effects"]

_SENTENCES = {
    "question_removed": "“{question}” is asked no more; {answers} to it stay in exports",
    "question_reworded": "“{question}” becomes “{becomes}”; {answers} were given to the first",
    "option_removed": "“{label}” of “{question}” can be chosen no more; {answers} chose it",
    "option_reworded": "“{label}” of “{question}” becomes “{becomes}”; {answers} chose the first",
}
_UNSAID = {"question": "…", "becomes": "…", "label": "…"}


def print_effects(found: dict[str, Any], *, json: bool) -> None:
    """Print what the server says of it."""
    from fieldpack.cli.output import print_json, print_text
    from fieldpack.text import say_count

    if json:
        print_json(found)
        return
    for effect in found["effects"]:
        words = {**effect, "answers": say_count(effect["answers"], "answer")}
        sentence = _SENTENCES.get(effect["kind"], "“{question}”: {kind}; {answers} to it")
        print_text(f"{sentence.format_map({**_UNSAID, **words})}.")
    if not found["effects"]:
        print_text("No answer is touched.")
    if found["under_way"]:
        people = say_count(found["under_way"], "participant")
        print_text(f"Answering now, with the version they began with: {people}.")
