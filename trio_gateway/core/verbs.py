"""English verbs that say what is done with a text, a number or a program, and their *-ing* form."""

from __future__ import annotations

__all__ = ["VERBS", "gerund"]

_TABLE = """
add address adjust analyse analyze annotate answer apply approach approximate argue arrange assemble assess
assign assume brainstorm break bring build calculate cancel categorise categorize change check choose clarify
classify clean code collect combine compare compile complete compose compute condense confirm connect consider
construct continue convert correct count cover create critique cross-check cross-verify debug decide decode
define deploy derive describe design determine develop devise diagnose differentiate discuss distribute divide
document double-check draft draw edit elaborate eliminate ensure enumerate estimate evaluate examine expand
explain explore express extract factor figure fill filter find fix focus follow format gather generate get
give go grade group guess handle identify ignore implement improve include infer inspect install integrate
interpret introduce investigate isolate iterate keep label lay list look make map match measure mention merge
migrate minimize modify move multiply name narrow note number optimise optimize organise organize outline
paraphrase parse pick place plan play plug point port predict prepare present prioritize produce proofread
propose prove provide pull put rank rate re-examine re-read read reason rebuild recalculate recall recheck
recommend recompute reconsider reconstruct recount reduce refactor reformat remove rename reorder repeat
rephrase replace reply represent reproduce research resolve respond restate rethink return reverse review
revise revisit rewrite role-play run scale scan schedule score search select separate set shorten show
simplify simulate sketch solve sort specify split start state structure substitute subtract suggest sum
summarise summarize swap switch tabulate tackle take teach tell test trace track transcribe transform
translate treat try turn understand unpack update use validate verify visit visualise visualize walk weigh
work wrap write
"""
VERBS = frozenset(_TABLE.split())
"""Bare forms, in small letters."""

_DOUBLED = frozenset(
    [
        "begin",
        "cut",
        "get",
        "map",
        "plan",
        "plug",
        "put",
        "run",
        "scan",
        "set",
        "split",
        "stop",
        "sum",
        "swap",
        "wrap",
    ]
)
_BRITISH = {"summarize": "summarise"}


def gerund(verb: str) -> str:
    """The *-ing* form of a verb in small letters.

    >>> [gerund(verb) for verb in ("compute", "plug", "see", "tie")]
    ['computing', 'plugging', 'seeing', 'tying']
    """
    verb = _BRITISH.get(verb, verb)
    if verb in _DOUBLED:
        return verb + verb[-1] + "ing"
    if verb.endswith("ie"):
        return verb[:-2] + "ying"
    if verb.endswith("e") and not verb.endswith(("ee", "oe", "ye")):
        return verb[:-1] + "ing"
    return verb + "ing"
