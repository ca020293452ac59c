r"""LaTeX formulas as plain words and Unicode: ``\frac{1}{2}x^2`` reads ``1/2x²``.

A small recursive reader, not a typesetter: what it does not know keeps its name and loses its
backslash. Linear in the text; nesting deeper than ``MAX_DEPTH`` is flattened.
"""

from __future__ import annotations

import re

__all__ = ["loose_formula", "plain_formula"]

MAX_DEPTH = 12

_TOKEN = re.compile(r"\\[A-Za-z]+|\\.|[{}^_&~]|[^\\{}^_&~]+|\\", re.DOTALL)
_FRACTIONS = frozenset(["frac", "dfrac", "tfrac", "cfrac"])
_BINOMIALS = frozenset(["binom", "dbinom", "tbinom"])
_DROPPED = frozenset(
    "left right big Big bigg Bigg bigl bigr Bigl Bigr displaystyle textstyle limits nolimits hline".split()
)
_ENVIRONMENT = frozenset(["begin", "end"])
_WRAPPERS = frozenset(
    "text textbf textit textrm texttt mathrm mathbf mathbb mathcal mathit mathsf operatorname boxed overline "
    "underline hat bar vec tilde phantom mbox".split()
)
_SPACES = frozenset(["quad", "qquad", "hspace", "newline"])
_SYMBOLS = {
    **dict(zip("alpha beta gamma delta epsilon zeta eta theta".split(), "αβγδεζηθ", strict=True)),
    **dict(zip("iota kappa lambda mu nu xi pi rho sigma tau".split(), "ικλμνξπρστ", strict=True)),
    **dict(zip("phi chi psi omega varepsilon varphi".split(), "φχψωεφ", strict=True)),
    **dict(zip("Gamma Delta Theta Lambda Xi Pi Sigma Phi Psi Omega".split(), "ΓΔΘΛΞΠΣΦΨΩ", strict=True)),
    **dict(zip("times cdot div pm mp ast circ star".split(), "×·÷±∓*°⋆", strict=True)),
    **dict(zip("leq le geq ge neq ne approx equiv sim cong propto".split(), "≤≤≥≥≠≠≈≡∼≅∝", strict=True)),
    **dict(zip("sum prod int infty partial nabla angle triangle".split(), "∑∏∫∞∂∇∠△", strict=True)),
    **dict(zip("in notin subset subseteq cup cap emptyset forall exists".split(), "∈∉⊂⊆∪∩∅∀∃", strict=True)),
    **dict(zip("to rightarrow Rightarrow implies iff leftarrow mapsto".split(), "→→⇒⇒⇔←↦", strict=True)),
    **dict(zip("ldots cdots dots vdots mid perp parallel land lor neg".split(), "………⋮|⊥∥∧∨¬", strict=True)),
    **dict(zip("lfloor rfloor lceil rceil langle rangle degree".split(), "⌊⌋⌈⌉⟨⟩°", strict=True)),
}
_FUNCTIONS = frozenset("sin cos tan cot sec csc log ln exp lim max min gcd lcm mod bmod deg det dim".split())
_ESCAPED = {",": " ", ";": " ", ":": " ", " ": " ", "!": "", "\\": " ", "\n": " ", "|": "‖"}
_SUPER = dict(zip("0123456789+-=nkmixjabcd", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁼ⁿᵏᵐⁱˣʲᵃᵇᶜᵈ", strict=True))
_SUB = dict(zip("0123456789+-=nkmixj", "₀₁₂₃₄₅₆₇₈₉₊₋₌ₙₖₘᵢₓⱼ", strict=True))
_LONGEST_SCRIPT = 4
_INNER_SPACE = re.compile(r"([(\[]) | ([)\]])")
_LOOSE_SCRIPT = re.compile(r"([\^_])\{([^{}]{1,20})\}")
_COMPOUND = re.compile(r"[\s+\-−*/=<>·×÷,]")
_KNOWN = _FRACTIONS | _BINOMIALS | _DROPPED | _ENVIRONMENT | _WRAPPERS | _SPACES | _SYMBOLS.keys() | _FUNCTIONS
_KNOWN |= {"sqrt", "pmod"}


def plain_formula(tex: str) -> str:
    r"""The formula *tex* (without its delimiters) in plain text on one line.

    >>> plain_formula(r"\dbinom{4}{2} = \frac{4!}{2!\,2!}, x_{1}^{10}")
    'C(4, 2) = 4!/(2! 2!), x₁¹⁰'
    """
    return _INNER_SPACE.sub(r"\1\2", " ".join(_Reader(tex, loose=False).sequence(0).split()))


def loose_formula(text: str) -> str:
    """Prose in which LaTeX stands without delimiters: only known commands and braced scripts are read.

    Bare underscores and carets stay, since there they may belong to names of code.
    """
    text = _Reader(text, loose=True).sequence(0)
    return _LOOSE_SCRIPT.sub(lambda found: _script(found[2], _SUPER if found[1] == "^" else _SUB, found[1]), text)


class _Reader:
    """A stack of tokens, read once from left to right."""

    def __init__(self, tex: str, *, loose: bool) -> None:
        self._tokens = _TOKEN.findall(tex)[::-1]
        self._loose = loose

    def sequence(self, depth: int) -> str:
        """Everything up to the closing brace of this level, or to the end."""
        parts: list[str] = []
        while self._tokens:
            token = self._tokens.pop()
            if token == "}" and (depth or not self._loose):
                if depth:
                    break
            else:
                parts.append(self._one(token, depth))
        return "".join(parts)

    def _one(self, token: str, depth: int) -> str:
        if token[0] == "\\" and len(token) > 1:
            return self._command(token[1:], depth)
        if self._loose:
            return token
        match token:
            case "{":
                return self.sequence(depth + 1) if depth < MAX_DEPTH else ""
            case "^":
                return _script(self._argument(depth), _SUPER, "^")
            case "_":
                return _script(self._argument(depth), _SUB, "_")
            case "&" | "~":
                return " "
            case "\\":
                return ""
            case _:
                return token

    def _command(self, name: str, depth: int) -> str:
        if not name[0].isalpha():
            return "\\" + name if self._loose else _ESCAPED.get(name, name)
        if self._loose and name not in _KNOWN:
            return "\\" + name
        if name in _FRACTIONS:
            return f"{_wrap(self._argument(depth))}/{_wrap(self._argument(depth))}"
        if name in _BINOMIALS:
            return f"C({self._argument(depth)}, {self._argument(depth)})"
        if name == "sqrt":
            return f"{self._root_index()}√{_wrap(self._argument(depth))}"
        if name == "pmod":
            return f" (mod {self._argument(depth)})"
        if name in _WRAPPERS:
            return self._argument(depth)
        if name in _ENVIRONMENT:
            self._argument(depth)
            return " "
        if name in _DROPPED:
            return self._drop_empty_delimiter()
        if name in _SPACES:
            return " "
        return _SYMBOLS.get(name, name)

    def _argument(self, depth: int) -> str:
        """The next group, command or single character."""
        while self._tokens:
            token = self._tokens.pop()
            if token == "{":
                return self.sequence(depth + 1).strip() if depth < MAX_DEPTH else ""
            if token[0] == "\\" and len(token) > 1:
                return self._command(token[1:], depth + 1) if depth < MAX_DEPTH else ""
            if token == "}":
                self._tokens.append(token)
                return ""
            text = token.lstrip()
            if text:
                if text[1:]:
                    self._tokens.append(text[1:])
                return text[0]
        return ""

    def _root_index(self) -> str:
        if self._tokens and (found := re.match(r"\s*\[([^\]]{1,3})\]", self._tokens[-1])):
            self._tokens[-1] = self._tokens[-1][found.end() :]
            if not self._tokens[-1]:
                self._tokens.pop()
            return "".join(_SUPER.get(char, char) for char in found[1])
        return ""

    def _drop_empty_delimiter(self) -> str:
        r"""``\left.`` draws nothing: its full stop would look like the end of a sentence."""
        if self._tokens and self._tokens[-1].startswith("."):
            self._tokens[-1] = " " + self._tokens[-1][1:]
        return ""


def _script(text: str, alphabet: dict[str, str], mark: str) -> str:
    bare = text.replace(" ", "").replace("−", "-")
    if bare and len(bare) <= _LONGEST_SCRIPT and all(char in alphabet for char in bare):
        return "".join(alphabet[char] for char in bare)
    if bare in ("°", "′"):
        return bare
    return mark + _wrap(text) if bare else ""


def _wrap(text: str) -> str:
    """Brackets around a part that would fall apart without them."""
    inner = text[1:-1]
    whole = text[:1] == "(" and text[-1:] == ")" and "(" not in inner and ")" not in inner
    return f"({text})" if _COMPOUND.search(text) and not whole else text
