import pytest

from trio_gateway.core.phases import Phase, PhaseOrder, PhaseOrderError


def test_each_phase_opens_once_in_order() -> None:
    order = PhaseOrder()
    opened = [order.accept(phase) for phase in Phase for _ in range(2)]
    assert opened == [True, False] * 3


@pytest.mark.parametrize("first", [Phase.REASONING_SUMMARY, Phase.FINAL_OUTPUT])
def test_phases_may_be_left_out(first: Phase) -> None:
    order = PhaseOrder()
    assert order.accept(first)
    assert order.current is first


@pytest.mark.parametrize(
    ("later", "earlier"),
    [
        (Phase.FINAL_OUTPUT, Phase.REASONING_SUMMARY),
        (Phase.FINAL_OUTPUT, Phase.PROMPT_SUMMARY),
        (Phase.REASONING_SUMMARY, Phase.PROMPT_SUMMARY),
    ],
)
def test_no_phase_comes_back(later: Phase, earlier: Phase) -> None:
    order = PhaseOrder()
    order.accept(later)
    with pytest.raises(PhaseOrderError, match=earlier):
        order.accept(earlier)
    assert order.current is later


def test_what_comes_late_belongs_to_the_phase_that_is_open() -> None:
    order = PhaseOrder()
    assert order.late(Phase.REASONING_SUMMARY) is Phase.REASONING_SUMMARY
    order.accept(Phase.REASONING_SUMMARY)
    assert order.late(Phase.PROMPT_SUMMARY) is Phase.REASONING_SUMMARY
    assert order.late(Phase.FINAL_OUTPUT) is Phase.FINAL_OUTPUT
    assert order.current is Phase.REASONING_SUMMARY
