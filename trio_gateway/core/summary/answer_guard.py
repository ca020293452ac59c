"""Keeps the final result out of lines that are shown before the answer.

No field names the result, but a reasoner betrays it: it calls it the answer, boxes it, puts it
under a heading, or states a value of the very thing it set out to find. Such a sentence is hidden whole, and
its value is remembered: a later clause that bears the same value is hidden too. Intermediate results stay.
"""

from __future__ import annotations

import re
from collections import deque

from .folding import AnyCase
from .terms import terms

__all__ = ["AnswerGuard"]

SUPPOSED = 16
"""Supposed results remembered; a reasoner seldom wavers between more."""
STATEMENTS = 8
"""Copulas, from the end of a sentence, that are tried for the one before its value."""
EARLY = 6
"""Sentences at the beginning in which the aim is looked for."""

_NUMBER = r"[-−]?\$?\d"
"""Where a number begins. To where it goes is asked only where something must follow it."""
_COPULA = (
    r"(?:\b(?:is|be|are|was|equals?|becomes?|remains?|gives?|yields?|comes? (?:out )?to"
    r"|ist|sind|beträgt|betragen|ergibt|lautet|wäre|est|sont|vaut|fait|donne|égale?|serait|es|son|sería|equivale)\b"
    r"|['’]s\b|[=:≈])"
)
_ANNOUNCERS = """
answer conclusion result solution total final boxed rounded rounds rounding putting correct right
antwort lösung ergebnis resultat insgesamt also somit daher folglich damit demnach
réponse résultat donc ainsi tout conséquent respuesta resultado solución tanto así entonces luego
最终 最終 最後 最后 正确 答案 答え 正解 答： 答: 所以 因此 总共 總共 一共 故 结果 結果 总计 合计
したがって よって ゆえに 従って 合計 結局 つまり
"""
_ANNOUNCED = AnyCase(
    re.compile(
        r"\\boxed|\bfinal (?:answer|result|output|response|value|conclusion)\b"
        rf"|\b(?:answer|conclusion)\b[^.]{{0,60}}?{_COPULA}"
        r"|\b(?:is|as|be) (?:the|my|our) (?:\w+ )?(?:answer|conclusion)\b"
        r"|\b(?:(?:overall|entire|whole|the) (?:result|solution)|total)\b[^.]{0,40}?"
        rf"{_COPULA}\s*+(?:\w++ ){{0,2}}{_NUMBER}"
        r"|\bputting (?:it|this|that|them|everything) (?:all )?together[:,]? (?:(?:we|i) (?:get|have):? )?"
        rf"{_NUMBER}"
        rf"|\b(?:rounded|rounds|rounding)\b[^.]{{0,60}}{_NUMBER}"
        r"|\d \w++ be (?:the )?(?:correct|right|answer)"
        r"|\b(?:antwort|lösung lautet|réponse|respuesta|solución correcta)\b[^.]{0,60}?"
        rf"{_COPULA}"
        r"|\b(?:ist|est|es) (?:die|meine|la|ma|mi) (?:\w+ )?(?:antwort|lösung|réponse|respuesta|solución)\b"
        r"|\b(?:(?:end)?ergebnis|resultat|lösung|résultat|resultado|solución|insgesamt|somit|daher|folglich|damit|demnach"
        r"|also (?:ist|sind|hat|haben|beträgt|gibt|braucht|bleiben|kostet|es|wir|er|sie|das|die|der)"
        r"|donc|ainsi|en tout|au total|par conséquent|por (?:lo )?tanto|así que|entonces|en total|luego)\b"
        rf"[^.\d]{{0,60}}{_NUMBER}"
        r"|(?:最终|最終|最後|最后|正确)(?:的|の)?(?:答案|结果|結果|结论|答え)"
        r"|答案(?:是|为|為|就|应|：|:|等于)|答え(?:は|：|:|が|となる)|答えです|正解(?:は|です|：)|答[：:]"
        r"|(?:所以|因此|总共|總共|一共|故|结果|結果|总计|合计|したがって|よって|ゆえに|従って|合計|結局|つまり)(?!只|我们|先)[^。\d]{0,30}\d"
    ),
    needs=_ANNOUNCERS,
)
_HEADING = re.compile(
    r"\W*+(?:(?:(?:the|my) )?(?:final )?(?:answer|response|output|conclusion|result)"
    r"|(?:endgültige |finale )?(?:antwort|lösung|endergebnis)|réponse(?: finale)?|respuesta(?: final)?"
    r"|(?:最终|最終|最後の)?(?:答案|答え|回答))\W*+",
    re.IGNORECASE,
)
_DOUBT = AnyCase(
    re.compile(
        r"\W*+(?:but )?(?:wait|hmm|hold on|actually|alternatively|let me|maybe|moment|vielleicht|attends"
        r"|peut-être|espera"
        r"|quizás?|等等|不过|待って)"
    )
)
_AIM = AnyCase(
    re.compile(
        r"\b(?:find|compute|calculate|determine|figure out|evaluate|work out|solve(?: for)?"
        r"|what(?:'s| is| are)|how (?:many|much|long|far|old|tall)|berechnen?|bestimmen?|ermitteln?"
        r"|wie ?viele?|wie (?:lang|lange|weit|groß|hoch|alt|viele?)"
        r"|calculer|déterminer|trouver|combien(?: de)?|calcular|hallar|determinar|encontrar"
        r"|cuánt[oa]s?)\b(?P<what>[^.?!]*)"
    )
)
_STATES = AnyCase(re.compile(rf"{_COPULA}|\b(?:as|has|have)\b"))
_VALUE_AT_END = re.compile(
    rf"\s*+(?:\w++ ){{0,2}}[√π]?{_NUMBER}[\d,]*+(?:\.\d++)?+(?:/\d++)?+\w*+(?P<unit>[^=]{{0,25}}+)\Z"
)
_CLAUSE_END = re.compile(r"[,;](?!\d)|\b(?:because|so|then|if|since)\b", re.IGNORECASE)
# "which is 6 * 64 = 384" speaks of what stands before it.
_SUBJECT = re.compile(r"^(?!\s*which\b).*[^\W\d]{2}", re.IGNORECASE)
_FIRST_COPULA = re.compile(_COPULA, re.IGNORECASE)
_NAME = re.compile(r"[^\W\d]\w|\d[A-Za-z]")
_ONE_OF_MANY = AnyCase(re.compile(r"\b(?:each|every|per|one|jede[rs]?|pro|chaque|par|cada|por)\b"))
_SUSPECT = AnyCase(
    re.compile(
        rf"\b(?:answer|result|conclusion|total|solution)\b|\d\d|{_COPULA}\s*+(?:\w++ ){{0,2}}{_NUMBER}"
        r"|antwort|lösung|ergebnis|réponse|résultat|respuesta|resultado|答案|结果|結果|结论|答え|正解"
    )
)
_DIGIT = re.compile(r"\d")
_VALUE = re.compile(r"\d[\d,]*+(?:\.\d++)?+")


# What is called the answer, where it is a name: "The answer is Paris", 答案是巴黎.
_NAMED = re.compile(
    r"\b(?:answer|antwort|lösung|réponse|respuesta|solución)\b[^.]{0,40}?"
    r"(?:\b(?:is|be|would be|ist|lautet|wäre|est|serait|es|sería)\b|[:=])\s*+(?P<name>[^.,;:!?\n]{3,60}+)",
    re.IGNORECASE,
)
_NAMED_CJK = re.compile(
    r"(?:答案|答え|正解|答)(?:应该是|應該是|就是|是|为|為|は|：|:)\s*+(?P<name>[^。，、；！？.\s]{2,16}?)(?:です|だ|である|でしょう)?(?:[。，、；！？]|$)"
)
_CAPITAL = re.compile(r"[^\W\d_a-z][^\W\d_]{2,}+")
_PLAIN_NAME = re.compile(r"[^\W\d_]{5,}+(?: [^\W\d_]{4,}+)?+$")
_NO_NAME_TABLE = """
not clear simple unclear simply correct wrong likely probably indeed nicht klar einfach
"""
_NO_NAME = frozenset(_NO_NAME_TABLE.split())


class AnswerGuard:
    """Follows one reasoning; its sentences must pass through :meth:`hides` in their order."""

    def __init__(self) -> None:
        self._aim: list[str] = []
        self._read = 0
        self._closing = False
        self._values: deque[str] = deque(maxlen=SUPPOSED)
        self._names: deque[str] = deque(maxlen=SUPPOSED)

    def hides(self, raw: str, sentence: str) -> bool:
        """Whether a sentence gives the result away: *raw* as it was written, *sentence* in plain words."""
        self._note_aim(sentence)
        if _HEADING.fullmatch(raw):
            self._closing = True
        elif _DOUBT.match(raw):
            self._closing = False
        if not (self._closing or (raw != sentence and _announces(raw)) or self.announces(sentence)):
            return False
        self.note_value(sentence)
        self._note_names(sentence)
        return True

    def announces(self, text: str) -> bool:
        """Whether *text*, in plain words, names an answer or states a value of what was asked for."""
        return _announces(text) or self._reaches_aim(text)

    def may_betray(self, clause: str) -> bool:
        """Whether a clause may give the result away, of a sentence whose end has not come: any value may."""
        return self._closing or bool(_SUSPECT.search(clause))

    def note_value(self, sentence: str) -> None:
        """Take the last value of *sentence* for a result; single digits are too common."""
        values = _VALUE.findall(sentence)
        if values and len(value := _bare(values[-1])) > 1:
            self._values.append(value)

    def tells(self, clause: str) -> bool:
        """Whether the clause bears a value, or a name, that was taken for the result."""
        if any(_bare(value) in self._values for value in _VALUE.findall(clause)):
            return True
        lowered = clause.lower()
        return any(name in lowered for name in self._names)

    def _note_names(self, sentence: str) -> None:
        """Take what *sentence* calls the answer for the result: names in it, or all of a word or two."""
        if cjk := _NAMED_CJK.search(sentence):
            self._names.append(cjk["name"].lower())
        if named := _NAMED.search(sentence):
            names = _CAPITAL.findall(named["name"])
            plain = _PLAIN_NAME.match(named["name"])
            if not names and plain and plain[0].split()[0].lower() not in _NO_NAME:
                names = [plain[0]]
            self._names.extend(name.lower() for name in names[:SUPPOSED])

    def _note_aim(self, sentence: str) -> None:
        self._read += 1
        if self._read <= EARLY and not self._aim and (aim := _AIM.search(sentence)):
            self._aim = [term for term in terms(aim["what"]) if _NAME.match(term)]

    def _reaches_aim(self, sentence: str) -> bool:
        """ "The coefficient of a²b² is 120", where the coefficient of a²b² was asked for; or any value in the
        unit that was asked for."""
        stated = self._aim and _DIGIT.search(sentence)
        subject, unit = _stated(sentence.rstrip(" .!?")) if stated else ("", "")
        parts = [part for part in _CLAUSE_END.split(subject) if _SUBJECT.search(part)]
        if not parts or _ONE_OF_MANY.search(parts[-1]):
            return False
        named = {term for term in terms(_FIRST_COPULA.split(parts[-1])[0]) if _NAME.match(term)}
        common = named.intersection(self._aim)
        about_it = len(common) >= 2 or self._aim[0] in common
        in_its_unit = not set(self._aim).isdisjoint(terms(unit))
        return in_its_unit or (about_it and 2 * len(common) >= len(named))


def _announces(text: str) -> bool:
    return bool(_ANNOUNCED.search(text))


def _stated(sentence: str) -> tuple[str, str]:
    """Of what a sentence that ends in a value states it, and the unit; both empty where it does not."""
    places = deque(_STATES.finditer(sentence), maxlen=STATEMENTS)
    for copula in reversed(places):
        if value := _VALUE_AT_END.match(sentence, copula.end()):
            return sentence[: copula.start()], value["unit"]
    return "", ""


def _bare(value: str) -> str:
    return value.replace(",", "").rstrip(".")
