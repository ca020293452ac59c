import pytest

from trio_gateway.core.learning import Evidence, StartMemory

ORPHAN = Evidence(orphan=True)
PLAIN = Evidence()
CLOSED = Evidence(assumed=True)
STRUCTURED = Evidence(assumed=True, structured=True)
PROMOTED = Evidence(assumed=True, promoted=True)


@pytest.mark.parametrize(
    ("seen", "starts"),
    [
        ([], None),
        ([PLAIN], None),
        ([ORPHAN], None),
        ([ORPHAN, ORPHAN], True),
        ([ORPHAN, PLAIN, ORPHAN], True),
        ([STRUCTURED], False),
        ([Evidence(structured=True)], None),
        ([PROMOTED], None),
        ([PROMOTED, PROMOTED], False),
        ([PROMOTED, CLOSED, PROMOTED], None),
        ([Evidence(promoted=True), Evidence(promoted=True)], None),
        ([ORPHAN, ORPHAN, STRUCTURED], False),
        ([ORPHAN, ORPHAN, PROMOTED, PROMOTED], False),
        ([PROMOTED, PROMOTED, ORPHAN, ORPHAN], True),
    ],
)
def test_what_is_learned(seen: list[Evidence], starts: bool | None) -> None:
    memory = StartMemory()
    known = None
    for evidence in seen:
        changed = memory.note("main", "m", evidence)
        assert changed == (memory.starts("main", "m") is not known)
        known = memory.starts("main", "m")
    assert known is starts


def test_upstreams_and_models_are_apart() -> None:
    memory = StartMemory()
    for _ in range(2):
        memory.note("main", "m", ORPHAN)
    assert [memory.starts(*key) for key in (("main", "m"), ("main", "n"), ("spare", "m"))] == [
        True,
        None,
        None,
    ]


def test_the_memory_is_bounded_and_forgets_the_oldest() -> None:
    memory = StartMemory()
    for number in range(1025):
        for _ in range(2):
            memory.note("main", f"m{number}", ORPHAN)
        memory.note("main", "m0", CLOSED)
    assert memory.starts("main", "m0") is True
    assert memory.starts("main", "m1") is None
    assert memory.starts("main", "m1024") is True
