"""Text that grows: the same as one string, at a byte a character."""

import json
import tracemalloc

from hypothesis import given
from hypothesis import strategies as st

from trio_gateway.core.text.growing import GrowingText

TEXTS = st.lists(st.text(st.sampled_from('ab"\n\x7fé中\U0001f600\ud800'), max_size=9))


@given(TEXTS, st.integers(0, 40))
def test_it_is_the_text_of_its_pieces(texts: list[str], cut: int) -> None:
    grown = GrowingText(texts[0] if texts else "")
    for text in texts[1:]:
        grown.append(text)
    whole = "".join(texts)
    assert str(grown) == "".join(grown.pieces()) == whole
    assert len(grown) == len(whole.encode("utf-8", "surrogatepass"))
    assert json.loads("".join(grown.json_parts())) == whole
    cut = min(cut, len(whole))
    grown.cut(cut)
    assert str(grown) == whole[: len(whole) - cut]


def test_pieces_are_bounded_and_cut_no_character() -> None:
    grown = GrowingText("x" + "中" * 100_000)
    pieces = [*grown.pieces()]
    assert "".join(pieces) == str(grown)
    assert max(map(len, pieces)) <= 32 * 1024
    assert len([*grown.json_parts()]) == len(pieces) + 2


def test_a_million_short_texts_take_a_byte_a_character() -> None:
    tracemalloc.start()
    grown = GrowingText()
    for _ in range(250_000):
        grown.append("four")
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(grown) == 1_000_000
    assert held < 1_300_000
