"""Canned thoughts and answers of the mock model, chosen by a pattern in the prompt."""

from __future__ import annotations

import re

from msgspec import Struct

__all__ = ["CANNED", "GENERIC", "TOOL_CALL", "TOOL_RESULT", "RecordedTrace", "Thought"]


class Thought(Struct, frozen=True):
    """A reasoning text and the answer that follows it."""

    reasoning: str
    answer: str


class RecordedTrace(Thought, frozen=True):
    """A recorded thought with its prompt; other keys of its JSON line are ignored."""

    prompt: str


CANNED = {  # by a pattern in the prompt; no sentence begins with words that end reasoning told in prose
    re.compile(r"\b2 ?\+ ?2\b", re.IGNORECASE): Thought(
        "The user asks for the sum of 2 and 2. Adding 2 and 2 together means starting at 2 and counting two "
        "steps further: 3, then 4. To check it another way, two pairs of apples put side by side make four "
        "apples, so the sum is 4 again. Subtracting 2 from 4 gives back 2, which confirms it. There is no "
        "trick here, such as another number base or joining strings, so a short reply is best.",
        "The answer is 4.",
    ),
    re.compile(r"capital of france", re.IGNORECASE): Thought(
        "The user wants to know the capital of France. Several French cities are large, Marseille, Lyon and "
        "Toulouse among them, but none of these is the seat of government. Versailles was the seat of the "
        "kings for a while, which is history. The president, the parliament and the ministries are all in "
        "Paris, and have been for most of a thousand years. One short sentence will do.",
        "The capital of France is Paris.",
    ),
    re.compile(r"sky (?:is |looks? |appears? |so )?blue|blue sky", re.IGNORECASE): Thought(
        "The user asks why the sky is blue. Sunlight holds all colours, so something on its way must favour "
        "one of them. Molecules of air are far smaller than the wavelength of light, which makes this "
        "Rayleigh scattering: its strength grows with the inverse fourth power of the wavelength. Comparing "
        "450 nm with 700 nm gives (700/450)^4, almost six times more for blue. Violet scatters even more, "
        "but the sun sends less of it and our eyes see it poorly. The same effect reddens sunsets.",
        "The sky is blue because air scatters short wavelengths of sunlight much more than long ones. "
        "That scattered blue light reaches us from every direction.",
    ),
}
GENERIC = Thought(
    'The user writes: "{quote}". First I should work out what is being asked, then which facts matter, and '
    "last how long the reply ought to be. The words are plain, so there is no hidden question to look for. I "
    "have no canned knowledge about this subject, and inventing facts would be worse than saying so. It is "
    "best to show that the message was read by quoting how it begins, and to keep the rest short.",
    'This is a canned answer to "{quote}".',
)
TOOL_CALL = Thought(
    'The user writes: "{quote}". I cannot know this by myself, but a tool is at hand that can look it up. '
    "I will call it with what the user gave me and wait for the result.",
    "",
)
TOOL_RESULT = Thought(
    "The tool has sent its result. It fits the question, so there is no need to call it again, and I only "
    "have to pass on what it says.",
    "According to the tool: {quote}",
)
