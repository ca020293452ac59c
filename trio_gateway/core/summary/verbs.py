"""English verbs: what is done with a text or program, with *-ing* forms."""

from __future__ import annotations

__all__ = ["FINITE", "VERBS", "gerund"]

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

# Verbs that say how things are or behave.
_STATE_TABLE = """
affect allow appear ask become begin belong call cause come consist contain correspond cost depend equal
exist fail follow happen hold imply include involve land lead lie lose matter mean need occur open pass
raise refer remain represent require return say seem show start suggest take throw turn use want wrap
yield
"""
_NOUN_TABLE = """
answer approach code document group label list map name note number order outline place plan plug point
port rate reason sketch structure sum trace
"""
_IRREGULAR_TABLE = """
began became broke brought built came chose cut drew fell found gave got grew held kept knew laid led
lost made meant paid put ran rose said saw sent set shown stood thought threw took went won wrote
"""


def _third_person(verb: str) -> str:
    if verb.endswith("y") and verb[-2] not in "aeiou":
        return verb[:-1] + "ies"
    return verb + ("es" if verb.endswith(("s", "x", "z", "ch", "sh")) else "s")


FINITE = frozenset(_STATE_TABLE.split()).union(
    _IRREGULAR_TABLE.split(),
    map(_third_person, VERBS.difference(_NOUN_TABLE.split()).union(_STATE_TABLE.split())),
)
"""Forms by which a clause is known to have a verb; regular pasts are known by their ending."""

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
