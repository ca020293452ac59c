"""Prompt summary: puts the user's request into one line.

A short prompt is quoted. A longer one is mostly material (a report, code, a log) with an instruction before
or after it: the instruction is shown as the deed it asks for, and the material by its kind and size.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from .confidential import OPERATOR_ROLES
from .frame_words import frames_for
from .plain_text import cut, harmless, one_line
from .prompt_cut import CUT, joined_at_cut
from .prompt_material import material_steps, size_of
from .prompt_task import Task, task_steps
from .steps import Steps, at_once

__all__ = ["LONGEST", "QUOTED_WHOLE", "prompt_steps", "prompt_text", "summarize_prompt"]

QUOTED_WHOLE = 120
LONGEST = 300
HEAD = TAIL = 16 * 1024
"""Characters at either end of a message that are looked at: what stands between them is material."""
PARTS = 128
"""Parts of a message's content, at either end, that are looked at."""
AT_ONCE = 1024
"""A message of at most so many characters is summarised in one slice: 0.2 ms as a rule, 3 ms at worst."""
MANY_TURNS = 3
DETAILS = 4

_MATERIAL_NOUN = re.compile(
    r"\b(?:the following|this|the|these|that|your)(?: attached| provided| above)? "
    r"(?P<noun>report|article|text|document|e-?mail|essay|paper|story|transcript|letter|passage|chapter|contract|"
    r"paragraph|review|speech|post|meeting notes|notes|minutes|interview|abstract|thread|conversation|novel|"
    r"manual|specification|proposal|summary|blog post|press release)\b(?: below| above| attached)?",
    re.IGNORECASE,
)
_DEBUGGING = ("Explaining", "Debugging", "Diagnosing")


def summarize_prompt(messages: Sequence[Mapping[str, Any]]) -> str:
    """One line of at most 300 characters that says what the last user message of *messages* asks for, in its
    language.

    A message of at most 120 characters, white space collapsed, is quoted whole. System and developer messages
    are never shown; where there are no others the line is neutral. No messages: no text.

    >>> summarize_prompt([{"role": "user", "content": "What is 2+2?"}])
    'Processing: "What is 2+2?"...'
    """
    return at_once(prompt_steps(messages))


def prompt_steps(messages: Sequence[Mapping[str, Any]]) -> Steps[str]:
    """:func:`summarize_prompt` in slices."""
    if not messages:
        return ""
    at = _asked_at(messages)
    if at is None:
        return "Processing the request"
    text, length, extras = _content(messages[at].get("content"))
    extras += _tool_results(messages[at + 1 :])
    if length > AT_ONCE:
        yield
    joined = " ".join(text.split(None, QUOTED_WHOLE))
    read = one_line(joined[:HEAD])
    if read and len(read) <= QUOTED_WHOLE and len(joined) <= HEAD:
        frames = frames_for(read)
        extra = cut(f" with {_listed(extras)}", LONGEST // 2) if extras and frames.english else ""
        return f'{frames.processing}"{read}"...{extra}'
    if not read and len(joined) <= HEAD:
        return cut(f"Looking at {_listed(extras)}" if extras else "Processing an empty message", LONGEST)
    turns = sum(message.get("role") == "user" for message in messages)
    if turns >= MANY_TURNS:
        extras.append(f"turn {turns}")
    steps = _summarize(text, length, extras)
    return at_once(steps) if length <= AT_ONCE else (yield from steps)


def prompt_text(messages: Sequence[Mapping[str, Any]]) -> str:
    """The text of the message that :func:`summarize_prompt` is about, its beginning if it is very long."""
    at = _asked_at(messages)
    text = "" if at is None else _content(messages[at].get("content"))[0]
    return " ".join(text[:HEAD].partition(CUT)[0].split())


def _asked_at(messages: Sequence[Mapping[str, Any]]) -> int | None:
    """Where the message stands that the summary is about: the last of the user's or, without one, the last
    that is not the operator's. None where all are the operator's, who writes them for the model alone."""
    roles = [message.get("role") for message in messages]
    users = [at for at, role in enumerate(roles) if role == "user"]
    found = users or [at for at, role in enumerate(roles) if role not in OPERATOR_ROLES]
    return found[-1] if found else None


def _content(content: object) -> tuple[str, int, list[str]]:
    """The text of a message's content, as far as it is looked at; how long all of it is; and a few words for
    everything in it that is not text."""
    if isinstance(content, str):
        return *_ends([content]), []
    texts: list[str] = []
    files: list[str] = []
    others: Counter[str] = Counter()
    parts = content if isinstance(content, list) else []
    for part in parts if len(parts) <= 2 * PARTS else parts[:PARTS] + parts[-PARTS:]:
        if not isinstance(part, Mapping):
            continue
        inner = part.get("file")
        name = (inner if isinstance(inner, Mapping) else part).get("filename")
        if isinstance(part.get("text"), str):
            texts.append(part["text"])
        elif isinstance(name, str) and one_line(name):
            files.append(f"the file {cut(harmless(name), 60)}")
        else:
            others[_noun(part.get("type"))] += 1
    return *_ends(texts), files[:3] + [_counted(count, noun) for noun, count in others.items()]


def _ends(texts: list[str]) -> tuple[str, int]:
    """The beginning and the end of *texts*, which are one text, with ``CUT`` between them; all of it where it
    is short. Its length."""
    length = sum(map(len, texts)) + 2 * max(0, len(texts) - 1)
    if length <= HEAD + TAIL:
        return "\n\n".join(texts).replace(CUT, ""), length
    head = "\n\n".join(text[:HEAD] for text in texts)[:HEAD]
    tail = "\n\n".join(text[-TAIL:] for text in texts)[-TAIL:]
    return joined_at_cut(head.replace(CUT, ""), tail.replace(CUT, "")), length


def _noun(kind: object) -> str:
    nouns = {"image": "image", "audio": "audio recording", "video": "video", "file": "file"}
    known = (noun for mark, noun in nouns.items() if isinstance(kind, str) and mark in kind)
    return next(known, "attachment")


def _tool_results(messages: Sequence[Mapping[str, Any]]) -> list[str]:
    """Results that came after the user's message: the model goes on with them."""
    count = sum(message.get("role") == "tool" for message in messages)
    return [_counted(count, "tool result")] if count else []


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}s" if count > 1 else f"{'an' if noun[0] in 'ai' else 'a'} {noun}"


def _listed(items: list[str]) -> str:
    return " and ".join([", ".join(items[:-1]), items[-1]] if len(items) > 1 else items)


def _summarize(text: str, length: int, extras: list[str]) -> Steps[str]:
    material = yield from material_steps(text)
    details = material.labels + extras
    frames = frames_for(material.words)
    task = yield from task_steps(material.words, frames)
    if task and not frames.english:
        deed, details = task.deed, [size_of(text, length=length, frames=frames)] if task.bulk else []
    elif material.trace:
        verb = task.deed.split(" ", 1)[0] if task else ""
        deed = f"{verb if verb in _DEBUGGING else 'Fixing'} {material.trace}"
    elif task:
        deed, size = _with_size(task, text, length)
        details = size + details
    else:
        return cut(f"Looking at {_listed(details[:DETAILS]) or 'a long message'}", LONGEST)
    details = list(dict.fromkeys(filter(None, details)))[:DETAILS]
    suffix = f" ({', '.join(details)})" if details else ""
    return _fitted(deed, LONGEST - len(suffix)) + suffix


def _fitted(deed: str, width: int) -> str:
    """The deed cut to *width*; a quotation that is cut gets its end back."""
    if len(deed) <= width:
        return deed
    head = cut(deed, width - 1)
    return head + '"' if head.count('"') % 2 else head


def _with_size(task: Task, text: str, length: int) -> tuple[str, list[str]]:
    """ "Summarising this report" with the size of the report in its place, or beside the deed."""
    if not task.bulk:
        return task.deed, []
    if task.deed.endswith('"'):
        return task.deed, [size_of(text, length=length)]
    size = size_of(text, length=length, joined=True)
    deed, put = _MATERIAL_NOUN.subn(lambda found: f"a {size} {found['noun'].lower()}", task.deed, count=1)
    return deed, [] if put else [size_of(text, length=length)]
