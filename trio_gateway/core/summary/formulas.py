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
_DROPPED_TABLE = """
left right big Big bigg Bigg bigl bigr Bigl Bigr hline limits nolimits displaystyle textstyle
"""
_DROPPED = frozenset(_DROPPED_TABLE.split())
_ENVIRONMENT = frozenset(["begin", "end"])
_WRAPPER_TABLE = """
text textbf textit textrm texttt mathrm mathbf mathbb mathcal mathit mathsf operatorname boxed overline
underline hat bar vec tilde phantom mbox
"""
_WRAPPERS = frozenset(_WRAPPER_TABLE.split())
_SPACES = frozenset(["quad", "qquad", "hspace", "newline"])
_SYMBOL_TABLE = """
alpha α beta β gamma γ delta δ epsilon ε zeta ζ eta η theta θ iota ι kappa κ lambda λ mu μ nu ν xi ξ pi
π rho ρ sigma σ tau τ phi φ chi χ psi ψ omega ω varepsilon ε varphi φ Gamma Γ Delta Δ Theta Θ Lambda Λ
Xi Ξ Pi Π Sigma Σ Phi Φ Psi Ψ Omega Ω times × cdot · div ÷ pm ± mp ∓ ast * circ ° star ⋆ leq ≤ le ≤ geq
≥ ge ≥ neq ≠ ne ≠ approx ≈ equiv ≡ sim ∼ cong ≅ propto ∝ sum ∑ prod ∏ int ∫ infty ∞ partial ∂ nabla ∇
angle ∠ triangle △ in ∈ notin ∉ subset ⊂ subseteq ⊆ cup ∪ cap ∩ emptyset ∅ forall ∀ exists ∃ to →
rightarrow → Rightarrow ⇒ implies ⇒ iff ⇔ leftarrow ← mapsto ↦ ldots … cdots … dots … vdots ⋮ mid | perp
⊥ parallel ∥ land ∧ lor ∨ neg ¬ lfloor ⌊ rfloor ⌋ lceil ⌈ rceil ⌉ langle ⟨ rangle ⟩ degree °
"""
_SYMBOLS = dict(zip(_SYMBOL_TABLE.split()[::2], _SYMBOL_TABLE.split()[1::2], strict=True))
_FUNCTION_TABLE = "sin cos tan cot sec csc log ln exp lim max min gcd lcm mod bmod deg det dim"
_FUNCTIONS = frozenset(_FUNCTION_TABLE.split())
_ESCAPED = {",": " ", ";": " ", ":": " ", " ": " ", "!": "", "\\": " ", "\n": " ", "|": "‖"}
_SUPER = dict(zip("0123456789+-=nkmixjabcd", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁼ⁿᵏᵐⁱˣʲᵃᵇᶜᵈ", strict=True))
_SUB = dict(zip("0123456789+-=nkmixj", "₀₁₂₃₄₅₆₇₈₉₊₋₌ₙₖₘᵢₓⱼ", strict=True))
_LONGEST_SCRIPT = 4
_ROOT_INDEX = re.compile(r"\s*\[([^\]]{1,3})\]")
_INNER_SPACE = re.compile(r"([(\[]) | ([)\]])")
_LOOSE_SCRIPT = re.compile(r"([\^_])\{([^{}]{1,20})\}")
_COMPOUND = re.compile(r"[\s+\-−*/=<>·×÷,]")
_KNOWN = (
    _FRACTIONS | _BINOMIALS | _DROPPED | _ENVIRONMENT | _WRAPPERS | _SPACES | _SYMBOLS.keys() | _FUNCTIONS
)
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
    return _LOOSE_SCRIPT.sub(
        lambda found: _script(found[2], _SUPER if found[1] == "^" else _SUB, found[1]), text
    )


class _Reader:
    """A stack of tokens, read once from left to right."""

    def __init__(self, tex: str, *, loose: bool) -> None:
        self._tokens: list[str] = _TOKEN.findall(tex)[::-1]
        self._loose = loose

    def sequence(self, depth: int) -> str:
        """Everything up to the closing brace of this level, or to the end."""
        parts: list[str] = []
        while self._tokens:
            part = self._tokens.pop()
            if part == "}" and depth:
                break
            if part != "}" or self._loose:
                parts.append(self._one(part, depth))
        return "".join(parts)

    def _one(self, part: str, depth: int) -> str:
        if part[0] == "\\" and len(part) > 1:
            return self._command(part[1:], depth)
        if self._loose:
            return part
        match part:
            case "{":
                return self.sequence(depth + 1) if depth < MAX_DEPTH else ""
            case "^":
                return _script(self._argument(depth), _SUPER, "^")
            case "_":
                return _script(self._argument(depth), _SUB, "_")
            case "&" | "~":
                return " "
            case _:
                return part.strip("\\")

    def _command(self, name: str, depth: int) -> str:
        if self._loose and name not in _KNOWN:
            return "\\" + name
        if not name[0].isalpha():
            return _ESCAPED.get(name, name)
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
        return self._layout(name, depth)

    def _layout(self, name: str, depth: int) -> str:
        """What draws nothing, and symbols; an unknown command keeps its name."""
        if name in _ENVIRONMENT:
            self._argument(depth)
            return " "
        if name in _DROPPED:
            return self._drop_empty_delimiter()
        return " " if name in _SPACES else _SYMBOLS.get(name, name)

    def _argument(self, depth: int) -> str:
        """The next group, command or single character."""
        while self._tokens:
            part = self._tokens.pop()
            if part == "{":
                return self.sequence(depth + 1).strip() if depth < MAX_DEPTH else ""
            if part[0] == "\\" and len(part) > 1:
                return self._command(part[1:], depth + 1) if depth < MAX_DEPTH else ""
            if part == "}":
                self._tokens.append(part)
                break
            if text := part.lstrip():
                self._tokens += [text[1:]] if text[1:] else []
                return text[0]
        return ""

    def _root_index(self) -> str:
        found = _ROOT_INDEX.match(self._tokens[-1]) if self._tokens else None
        if found is None:
            return ""
        rest = self._tokens.pop()[found.end() :]
        self._tokens += [rest] if rest else []
        return "".join(_SUPER.get(char, char) for char in found[1])

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
