"""The final result is kept back; intermediate results are not."""

from __future__ import annotations

import pytest

from trio_gateway.core.summary.answer_guard import SUPPOSED, AnswerGuard

AIM = "I need to find the distance from A to B in cm."
HIDDEN = [
    "So the answer is 42.",
    "The answer should be Paris.",
    "Therefore, the final answer: 7.",
    "\\boxed{42}",
    "I will go with that as my answer.",
    "So the total is 88,572.",
    "Rounded to the nearest tenth, that would be 7.2 cm.",
    "120 should be the correct coefficient.",
    "So the distance is 5 cm.",
    "The distance from A to B is the hypotenuse, which is 3 + 4 = 7 cm.",
    "That makes the distance from A to B sqrt(34) ≈ 5.83.",
    "It comes to 5 cm.",
    "Putting it all together: 88572",
    "That would make the distance from A to B sqrt(5² + 3²) ≈ 5.83.",
    "The distance between (0,1) and (6,5) would be sqrt[16 + 36] ≈ 7.211 cm.",
    "答案是42。",
    "因此总共是6小时。",
    "最終的な答えです",
    "答えは42です。",
    "Die Antwort lautet 42.",
    "Also sind es insgesamt 48 Räder.",
    "Somit beträgt der Abstand 7 cm.",
    "Das Ergebnis ist 12.",
    "La réponse est Paris.",
    "Donc elle lit en tout 224 pages.",
    "Le résultat est 12.",
    "La respuesta es 42.",
    "Por lo tanto, hay 12 manzanas.",
    "所以它们相遇需要 35 小时。",
    "したがって、合計は12個です。",
    "正解は東京です。",
]
SHOWN = [
    "Each side is 1 cm.",
    "The area of the square is 16 units.",
    "The general solution is a_n = A*3^n + B.",
    "So 6 * 20 = 120.",
    "Then 3 = 3.",
    "The path goes from A to B.",
    "Putting this together, the figure has a base from (0,0) to (12,0).",
    "We also need 5 apples.",
    "Jede Seite ist 1 cm lang.",
    "Chaque page a 12 lignes.",
    "Cada lado mide 3 metros.",
    "所以只需要再注入1/2。",
]


def guard(*sentences: str) -> AnswerGuard:
    new = AnswerGuard()
    for sentence in (AIM, *sentences):
        new.hides(sentence, sentence)
    return new


@pytest.mark.parametrize("sentence", HIDDEN)
def test_the_result_is_hidden(sentence: str) -> None:
    assert guard().hides(sentence, sentence)


@pytest.mark.parametrize("sentence", SHOWN)
def test_the_work_is_shown(sentence: str) -> None:
    assert not guard().hides(sentence, sentence)


def test_without_an_aim_only_words_betray_the_result() -> None:
    assert not AnswerGuard().hides("The distance is 5 cm.", "The distance is 5 cm.")


def test_the_aim_is_stated_early() -> None:
    late = AnswerGuard()
    for sentence in ["We begin."] * 9 + [AIM]:
        late.hides(sentence, sentence)
    assert not late.hides("The distance is 5 cm.", "The distance is 5 cm.")


def test_a_value_that_was_the_result_is_hidden_from_then_on() -> None:
    told = guard("So the answer is 1,234.")
    assert told.tells("617 * 2 = 1234")
    assert told.tells("It is 1,234 again.")
    assert not told.tells("617 * 3 = 1851")


def test_single_digits_are_too_common_to_be_remembered() -> None:
    assert not guard("So the answer is 7.").tells("x = 7")
    assert not guard("So the answer is yes.").tells("x = 7")


def test_under_a_heading_all_is_hidden_until_a_doubt() -> None:
    closing = guard("**Final Answer**")
    assert closing.hides("The path is short.", "The path is short.")
    assert not closing.hides("Wait, the path is long.", "Wait, the path is long.")
    assert not closing.hides("The path is long.", "The path is long.")


@pytest.mark.parametrize(
    ("clause", "wanted"),
    [
        ("The path goes from A to B", False),
        ("We add 2 to it", False),
        ("The result is positive", True),
        ("We add 24 to it", True),
        ("It is the 7", True),
        ("这样答案", True),
    ],
)
def test_of_a_sentence_under_way_any_value_may_be_the_result(clause: str, wanted: bool) -> None:
    assert guard().may_betray(clause) is wanted
    assert guard("**Final Answer**").may_betray(clause)


def test_supposed_results_are_bounded() -> None:
    many = guard(*(f"The answer is {value}." for value in range(100, 1000)))
    assert many.tells("x = 999")
    assert not many.tells("x = 100")
    assert len(many._values) == SUPPOSED


NAMED = [
    ("So the answer is Paris.", "Paris has two airports", True),
    ("Die Antwort lautet Berlin.", "Berlin liegt an der Spree", True),
    ("La réponse est Lyon.", "Le fleuve de Lyon est large", True),
    ("La respuesta es Quito.", "Quito está en los Andes", True),
    ("答案是巴黎。", "巴黎有两个机场", True),
    ("答えは東京です。", "東京には空港が二つある", True),
    ("So the answer is photosynthesis.", "The plants use photosynthesis for it", True),
    ("So the answer is not clear yet.", "It is clear that we need the table", False),
    ("So the answer is yes.", "The airports are large", False),
]


@pytest.mark.parametrize(("announced", "clause", "hidden"), NAMED)
def test_a_name_that_was_the_result_is_hidden_from_then_on(announced: str, clause: str, hidden: bool) -> None:
    assert guard(announced).tells(clause) is hidden
