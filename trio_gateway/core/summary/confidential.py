"""Confidential: keeps a system prompt's text, and what must not be revealed, out of lines.

A thought repeats what the operator wrote for the model alone. So a line is barred that shares with the system
prompt a quoted string, a rare word, or most of what a sentence of it says. Rare are codes, numbers and names
that stand there once or twice, or beside words of secrecy: what is named more often is what the prompt is
about. Of a sentence with words of secrecy, and of the one before it that it is about, any two words are
enough, and any that it calls the secret. Numbers and codes are compared without what separates their parts.
A thought that itself mentions secrecy, its instructions, or what kind of person the user is, is barred whole,
and the rare words in it from then on.
"""

from __future__ import annotations

import re
from collections import Counter, deque
from typing import TYPE_CHECKING, Any

from .folding import AnyCase
from .languages import language_of
from .steps import Effort
from .terms import STOP_WORDS, is_cjk, terms

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from .steps import Steps

__all__ = ["IMPROPER", "OPERATOR_ROLES", "READ", "Confidential", "improper"]

OPERATOR_ROLES = frozenset({"system", "developer"})
"""Roles of the messages that the operator writes."""
READ = 64 * 1024
"""Characters of the system prompt that are read."""
MOST_QUOTED = 256
"""Quoted strings that are looked for in every clause."""
MOST_NOTED = 64
"""Rare words remembered from thoughts."""
RARE = 2
"""Uses in the system prompt up to which a word counts as rare."""
LONGEST_SENTENCE = 600
PIECE = 250
LONGEST_QUOTED = 84
"""Characters in which quoted strings are looked for at a time, and of the longest with its marks."""
FEWEST = 2
"""Terms of a sentence that says something by itself."""
MOST_SENTENCES = 64
"""Sentences remembered of a word: what stands in more is what the prompt is about."""

_SENTENCE = re.compile(
    rf"[^.!?。！？\n]{{1,{LONGEST_SENTENCE}}}+(?:\.(?=\S)[^.!?。！？\n]{{1,200}}+){{0,8}}+"
)
_QUOTED = re.compile(
    r"\"([^\"\n]{3,80})\"|“([^”\n]{3,80})”|„([^“\n]{3,80})“|«\s?([^»\n]{3,80}?)\s?»|「([^」\n]{2,80})」|`([^`\n]{3,80})`"
    r"|『([^』\n]{2,80})』|(?<!\w)'([^'\n]{3,80})'(?!\w)"
)
_WORD = re.compile(r"\w++(?:-\w++)*+")
_NUMBER = re.compile(r"\d[\d.,]*+")
_DIGITS = re.compile(r"\d{3,}+")
_SEPARATORS = str.maketrans("", "", ".,-_")
_CALLED = re.compile(
    r"(?:\b(?:is|are|was|ist|sind|lautet|heißt|est|sont|es|son)\b|[:=])\s{1,3}(?P<rest>[^.!?:=\n]{1,60}+)",
    re.IGNORECASE,
)
"""What a sentence calls the secret: "The password is sunshine"."""
LEAST_CALLED = 4
"""Letters of a word that is barred for being called the secret."""
_MIXED = re.compile(r"(?=.*\d)(?=.*[^\W\d_])|[^\W\d_]\w*_|\w*[a-zß-ÿ][A-Z]|[A-Z]{3,}|\w+-[A-Z\d]")
_COMMON_NAMES_TABLE = """
json html xml csv sql api url http https pdf faq yaml toml latex markdown utf-8 ascii usa gdpr dsgvo eur
usd gmt utc
english german french spanish chinese japanese deutsch python javascript typescript java rust sql linux
windows
openai assistant user users ai llm chatgpt monday tuesday wednesday thursday friday saturday sunday january
february march april may june july august september october november december note never always do don't not
important must when if the you your i'm i'll i've
"""
_COMMON_NAMES = frozenset(_COMMON_NAMES_TABLE.split())
_SECRECY = AnyCase(
    re.compile(
        r"\b(?:secrets?|confidential\w*|undisclosed|passwords?|passphrase|credentials?|classified"
        r"|(?:not|never|n['’]t|without|avoid|cannot|refuse to|forbidden to|not allowed to|supposed to)"
        r" (?:\w+ ){0,3}(?:reveal|disclos|mention|shar|tell|leak|say|repeat|expos|discuss|divulg|show|admit"
        r"|acknowledg|giv(?:e|ing) away)\w{0,4}"
        r"|keep (?:\w+ ){1,4}(?:secret|private|hidden|to myself)|between us|internal (?:only|use)"
        r"|vertraulich\w*|geheim\w*|passwor[dt]\w*|(?:nicht|niemals|nie|kein\w*) (?:\w+ ){0,4}(?:verraten"
        r"|preisgeben|erwähnen|nennen|weitergeben|offenlegen|sagen|mitteilen)"
        r"|confidentiel\w*|secr[eè]te?s?|mot de passe|(?:ne|n['’]) ?(?:\w+ ){0,3}(?:pas"
        r"|jamais) (?:\w+ ){0,3}(?:révél|divulgu|mentionn|communiqu|dire|partag)\w*"
        r"|confidencial\w*|secretos?|secretas?|contraseña|(?:no|nunca) (?:\w+ ){0,4}(?:revel|divulg|mencion"
        r"|decir|compart)\w*)"
        r"|(?:不能|不要|不得|不可|不应|不可以|禁止|切勿|绝不|别)[^，。]{0,6}(?:透露|泄露|提及|告诉|公开|披露|说出)|保密|机密|秘密|密码|口令"
        r"|内密|極秘|パスワード|(?:明か|漏ら|教え|伝え|話)(?:して|しては|さない|してはいけ|ては|ない)"
    )
)
_INSTRUCTIONS = AnyCase(
    re.compile(
        r"\b(?:system (?:prompt|message|instructions?)|developer (?:message|instructions?|prompt)"
        r"|my (?:instructions|guidelines|rules)"
        r"|(?:the )?(?:guidelines|instructions) (?:say|state|tell|forbid|require)|i (?:was|am"
        r"|have been) (?:told|instructed) (?:not )?to"
        r"|system-?prompt|systemanweisung\w*|meine anweisungen|systemnachricht|(?:le )?prompt système"
        r"|mes instructions|(?:el )?mensaje del sistema"
        r"|mis instrucciones)\b|系统提示|系统消息|システムプロンプト|システムメッセージ"
    ),
    needs="prompt message instruct guideline rules anweisung nachricht told instruccion mensaje"
    " 系统 システム",
)
_ABOUT_USER = AnyCase(
    re.compile(
        r"\b(?:the |this )?(?:user|customer|person|asker|client)\b(?! (?:wants|asks|asked|is asking|needs"
        r"|would like|says|said|wrote|writes))"
        r"(?: (?:\w+ ){0,3})?(?:['’]s|is|are|was|may|might|could|must|seems?|appears?|sounds?|probably|likely"
        r"|perhaps|doesn['’]t|does not|lacks?|lies|lied|tries|pretends?)"
        r" (?:\w+ ){0,3}?(?:be )?(?:lying|liar|lied|dishonest|manipulat\w+|trick\w*|malicious|suspicious"
        r"|stupid|ignorant|naive|confused|lazy|angry|upset|frustrated"
        r"|drunk|depressed|unstable|desperate|impatient|rude|cheating|test(?:ing)? me|trolling|a (?:child|kid"
        r"|teenager|minor|beginner|novice|student|troll|scammer)"
        r"|wrong|mistaken|inexperienced|incompetent|understand|know (?:much|what)|not (?:very )?\w+"
        r"|uneducated|exaggerating|hiding|trying to (?:trick|get|make|fool|extract|bypass|jailbreak))"
        r"|\b(?:the |this )?user\b (?:probably|likely|perhaps|presumably|apparently|obviously|clearly|(?:may"
        r"|might|could) (?:be|have|not|just)|seems?|appears?|sounds?|lies|lied|lacks|pretends)\b"
        r"|\b(?:der|die) (?:nutzer|user|anwender|kund|benutzer)\w*\b[^.]{0,60}?\b(?:lügt|vielleicht|wohl"
        r"|vermutlich|wahrscheinlich|scheint|könnte|möglicherweise|versteht nicht|verwirrt|ahnungslos|täuscht"
        r"|offenbar)\b"
        r"|\bl['’]utilisat\w+\b[^.]{0,60}?\b(?:ment|semble|peut-être|probablement|pourrait|confus\w*|trompe)\b"
        r"|\b(?:el|la) (?:usuari[oa]|cliente)\b[^.]{0,60}?\b(?:miente|mintiendo|parece|quizás?|probablemente"
        r"|podría|tal vez|confundid[oa]|engaña)\b"
        r"|(?:用户|客户|提问者)[^。]{0,12}?(?:可能在|可能是|也许|似乎|好像|撒谎|说谎|骗|不懂|生气|困惑)"
        r"|(?:ユーザー|利用者|質問者)[^。]{0,20}?(?:嘘|かもしれない|怒って|混乱|らしい|だろう)"
    ),
    needs="user customer person asker client nutzer anwender kund utilisat usuari"
    " 用户 客户 提问者 ユーザー 利用者 質問者",
)
IMPROPER = (_SECRECY, _INSTRUCTIONS, _ABOUT_USER)
"""Each is found in a thought that may not be shown: for those who read a long one in slices."""
_BACK = AnyCase(
    re.compile(
        r"\b(?:it|this|that|these|them|so|es|das|dies|ihn|le|la|lo|cela|ça|eso|esto)\b|它|这|那|それ|これ"
    )
)


class Confidential:
    """What may not stand in the lines of one answer. Bounded, whatever the system prompt."""

    def __init__(self) -> None:
        self._quoted: list[str] = []
        self._rare: set[str] = set()
        self._noted: deque[str] = deque(maxlen=MOST_NOTED)
        self._sentences: list[tuple[frozenset[str], bool]] = []
        self._having: dict[str, list[int]] = {}

    def learn_steps(self, messages: Sequence[Mapping[str, Any]]) -> Steps[None]:
        """Read the system prompt among *messages*, in slices."""
        effort = Effort()
        uses: Counter[str] = Counter()
        secret: set[str] = set()
        for text in _system_texts(messages):
            german = language_of(text) == "de"
            for start in range(0, len(text), PIECE):
                found = _quoted(text[start : start + PIECE + LONGEST_QUOTED])
                self._quoted += [quoted for quoted in found if quoted not in self._quoted]
                del self._quoted[MOST_QUOTED:]
                yield
            before = ""
            for match in _SENTENCE.finditer(text):
                sentence = match[0]
                is_secret = bool(_SECRECY.search(sentence))
                words = _rare_words(sentence, names=not german)
                uses.update(words)
                own = frozenset(terms(sentence))
                if is_secret and before and (len(own) < FEWEST or _BACK.search(sentence)):
                    secret.update(_rare_words(before, names=not german), _called(before))
                    self._sentences[-1:] = [(words_before, True) for words_before, _ in self._sentences[-1:]]
                secret.update([*words, *_called(sentence)] if is_secret else ())
                self._add(own, is_secret)
                before = sentence
                if effort.spend(4 * len(sentence)):
                    yield
        self._rare = secret.union(word for word, count in uses.items() if count <= RARE)

    def bars(self, clause: str) -> bool:
        """Whether *clause*, in plain words, repeats what may not be shown."""
        lowered = clause.lower()
        if any(quoted in lowered for quoted in self._quoted):
            return True
        if (self._rare or self._noted) and self._names_rare(clause):
            return True
        return bool(self._sentences) and self._repeats(frozenset(terms(clause)), is_cjk(clause))

    def hides(self, sentence: str) -> bool:
        """Whether a thought may not be shown at all: it is about what must not be revealed, of the
        instructions, or judges the user. What is rare in it is barred from then on."""
        if _SECRECY.search(sentence):
            self._noted.extend(word for word in _rare_words(sentence, names=True) if word not in self._noted)
            self._noted.extend(part for part in _quoted(sentence) if " " not in part)
        return improper(sentence)

    def hides_before(self, sentence: str) -> bool:
        """Whether a thought that is hidden points back at the one before it ("I must not reveal it")."""
        return bool(_SECRECY.search(sentence) and _BACK.search(sentence))

    def _add(self, words: frozenset[str], is_secret: bool) -> None:
        if len(words) >= FEWEST:
            for word in words:
                having = self._having.setdefault(word, [])
                if len(having) < MOST_SENTENCES:
                    having.append(len(self._sentences))
            self._sentences.append((words, is_secret))

    def _names_rare(self, clause: str) -> bool:
        words = {word for match in _WORD.finditer(clause) for word in _spellings(match[0])}
        words.update(_numbers(clause))
        return not (self._rare.isdisjoint(words) and words.isdisjoint(self._noted))

    def _repeats(self, words: frozenset[str], cjk: bool) -> bool:
        shared = Counter(at for word in words for at in self._having.get(word, ()))
        few, many = (4, 6) if cjk else (2, 3)
        return any(
            count >= few if self._sentences[at][1] else count >= many and 2 * count >= len(words)
            for at, count in shared.items()
        )


def improper(text: str) -> bool:
    """Whether *text* is about what must not be revealed, of the instructions, or judges the user."""
    return any(pattern.search(text) for pattern in IMPROPER)


def _system_texts(messages: Sequence[Mapping[str, Any]]) -> Iterable[str]:
    left = READ
    for message in messages:
        if message.get("role") not in OPERATOR_ROLES:
            continue
        content = message.get("content")
        for part in content if isinstance(content, list) else [{"text": content}]:
            text = part.get("text") if isinstance(part, dict) else None
            if isinstance(text, str) and left > 0:
                yield text[:left]
                left -= len(text)


def _quoted(text: str) -> list[str]:
    return [" ".join(next(filter(None, found)).lower().split()) for found in _QUOTED.findall(text)]


def _rare_words(sentence: str, *, names: bool) -> list[str]:
    """Codes, numbers of three digits or more and, where *names* begin with a capital, names."""
    found = _numbers(sentence)
    for at, match in enumerate(_WORD.finditer(sentence)):
        word = match[0]
        if word.lower() in _COMMON_NAMES:
            continue
        is_name = names and at > 0 and len(word) > 2 and word[0].isupper()
        if is_name or _MIXED.match(word):
            found += _spellings(word)
    return found


def _spellings(word: str) -> list[str]:
    """A word as it stands, and a code without what separates its parts, and its number alone."""
    word = word.lower()
    if word.isalpha():
        return [word]
    return list(dict.fromkeys([word, word.translate(_SEPARATORS), *_DIGITS.findall(word)]))


def _numbers(text: str) -> list[str]:
    """The numbers of three digits or more, without points and commas."""
    numbers = (number.translate(_SEPARATORS) for number in _NUMBER.findall(text))
    return [number for number in numbers if _DIGITS.match(number)]


def _called(sentence: str) -> list[str]:
    """The words that *sentence* gives after "is" or a colon."""
    return [
        word.lower()
        for called in _CALLED.findall(sentence)
        for word in _WORD.findall(called)
        if len(word) >= LEAST_CALLED and not {word.lower(), *terms(word)} & (STOP_WORDS | _COMMON_NAMES)
    ]
