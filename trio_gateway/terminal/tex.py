r"""TeX in an answer, made readable: its delimiters go, and common commands become text.

Text in, text out: ``\(a \times b\)`` becomes ``a × b``, ``\[\frac{1}{2}\]`` becomes ``1/2``. What is not
known stands as it is.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.rules_inline import StateInline

__all__ = ["read_tex", "readable"]

# Opening and closing delimiters. A single dollar is a delimiter only where prices are not meant.
_DELIMITERS = {r"\(": r"\)", r"\[": r"\]", "$$": "$$"}
_DOLLAR = re.compile(r"\$(?![\s$])([^$\n]{0,400})(?<!\s)\$(?!\d)")
_SYMBOLS = {
    "times": "×",
    "cdot": "·",
    "div": "÷",
    "pm": "±",
    "le": "≤",
    "leq": "≤",
    "ge": "≥",
    "geq": "≥",
    "ne": "≠",
    "neq": "≠",
    "approx": "≈",
    "equiv": "≡",
    "infty": "∞",
    "sum": "∑",
    "prod": "∏",
    "int": "∫",
    "to": "→",
    "rightarrow": "→",
    "Rightarrow": "⇒",
    "implies": "⇒",
    "iff": "⇔",
    "in": "∈",
    "notin": "∉",
    "cup": "∪",
    "cap": "∩",
    "subset": "⊂",
    "forall": "∀",
    "exists": "∃",
    "sqrt": "√",
    "partial": "∂",
    "alpha": "α",
    "beta": "β",
    "gamma": "γ",
    "delta": "δ",
    "epsilon": "ε",
    "theta": "θ",
    "lambda": "λ",
    "mu": "μ",
    "pi": "π",
    "sigma": "σ",
    "phi": "φ",
    "omega": "ω",
    "Delta": "Δ",
    "Sigma": "Σ",
    "Omega": "Ω",
    "ldots": "…",
    "dots": "…",
    "cdots": "⋯",
    "quad": "  ",
    "left": "",
    "right": "",
    "displaystyle": "",
    **{name: name for name in ("log", "ln", "exp", "sin", "cos", "tan", "lim", "min", "max", "mod", "gcd")},
}
_COMMAND = re.compile(r"\\([A-Za-z]{1,20})")
_WRAPPED = re.compile(r"\\(?:boxed|text|textbf|mathrm|mathbf|operatorname)\{([^{}\\]{0,400})\}")
_FRACTION = re.compile(r"\\[dt]?frac\{([^{}\\]{0,400})\}\{([^{}\\]{0,400})\}")
_SPACING = re.compile(r"\\[,;:! ]")


def readable(tex: str) -> str:
    r"""*tex*, which stood between delimiters, as text.

    >>> readable(r"\boxed{\frac{a + 1}{2}} \le 2^{10}")
    '(a + 1)/2 ≤ 2^{10}'
    """
    tex = _COMMAND.sub(lambda found: _SYMBOLS.get(found[1], found[0]), _SPACING.sub(" ", tex))
    # From the inside out: a fraction in a box is seen once it is text itself.
    for pattern, become in (_WRAPPED, _unwrapped), (_FRACTION, _fraction), (_WRAPPED, _unwrapped):
        tex = pattern.sub(become, tex)
    return tex.strip()


def _unwrapped(found: re.Match[str]) -> str:
    return found[1]


def _fraction(found: re.Match[str]) -> str:
    above, below = (f"({part})" if re.search(r"[^\w.]", part) else part for part in found.groups())
    return f"{above}/{below}"


def read_tex(parser: MarkdownIt) -> MarkdownIt:
    """*parser*, which now reads TeX between delimiters as text: what stands there is no markup."""
    parser.inline.ruler.before("emphasis", "tex", _rule)
    return parser


def _rule(state: StateInline, silent: bool) -> bool:
    source, start = state.src, state.pos
    if source[start] not in "\\$":
        return False
    opening = source[start : start + 2]
    if opening in _DELIMITERS:
        end = source.find(_DELIMITERS[opening], start + 2, state.posMax)
        tex, after = source[start + 2 : end], end + 2
        if end < 0 or not tex.strip():
            return False
    elif found := _DOLLAR.match(source, start, state.posMax):
        tex, after = found[1], found.end()
    else:
        return False
    if not silent:
        state.push("text", "", 0).content = readable(tex)
    state.pos = after
    return True
