"""The language of a text, and the frames in it."""

from __future__ import annotations

import pytest

from trio_gateway.core.summary.frame_words import frames_for
from trio_gateway.core.summary.languages import language_of
from trio_gateway.core.summary.prompt import summarize_prompt

TEXTS = [
    ("What is the time in Tokyo?", "en"),
    ("Wie spät ist es in Tokio?", "de"),
    ("Quelle heure est-il à Tokyo ?", "fr"),
    ("¿Qué hora es en Tokio?", "es"),
    ("东京现在几点？", "zh"),
    ("東京は今何時ですか。", "ja"),
    ("Который час в Токио?", "other"),
    ("도쿄는 지금 몇 시입니까?", "other"),
    ("2+2?", None),
    ("Die Hard", None),
    ("", None),
]


@pytest.mark.parametrize(("text", "language"), TEXTS)
def test_the_language(text: str, language: str | None) -> None:
    assert language_of(text) == language


@pytest.mark.parametrize(("text", "language"), TEXTS)
def test_a_frame_is_in_the_language_of_the_prompt_or_left_out(text: str, language: str | None) -> None:
    english = "Processing" in frames_for(text).processing
    assert english is (language in ("en", None))
    if text:
        assert summarize_prompt([{"role": "user", "content": text}]).startswith(
            f'{frames_for(text).processing}"'
        )


def test_no_english_stands_beside_other_languages() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:"}}
    text = {"type": "text", "text": "Was ist das für ein Vogel auf dem Bild?"}
    assert summarize_prompt([{"role": "user", "content": [text, image]}]) == (
        'In Arbeit: "Was ist das für ein Vogel auf dem Bild?"...'
    )
    russian = "Объясни простыми словами, как работает квантовый компьютер. " * 30
    assert not any(
        char.isascii() and char.isalpha() for char in summarize_prompt([{"role": "user", "content": russian}])
    )
    question = "Warum ist das so? " + "Das Haus und der Garten sind alt. " * 40
    assert summarize_prompt([{"role": "user", "content": question}]) == (
        'Zu beantworten: "Warum ist das so?" (284 Wörter)'
    )
