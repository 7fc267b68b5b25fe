"""ovn-controller computes everything anew when what it follows has come to rest, and not more often than it can bear."""

from __future__ import annotations

from wolke.agent.settling import CALM_SECONDS, PATIENCE_SECONDS, SHARE, Settling


class Controller:
    """ovn-controller and its clock; each look takes a second."""

    def __init__(self) -> None:
        self.now, self.computed, self.takes, self.listens = 1000.0, 1, 0.0, True
        self.whole: list[float] = []
        self.settling = Settling(lambda: self.now)
        self.look(1)

    def activity(self) -> str:
        return f"computed {self.computed}"

    def recompute(self) -> bool:
        if self.listens:
            self.now, self.computed = self.now + self.takes, self.computed + 1
            self.whole.append(self.now)
        return self.listens

    def look(self, seconds: float, *, busy: bool = False) -> list[float]:
        """When all was computed anew in these seconds."""
        before = len(self.whole)
        until = self.now + seconds
        while self.now < until:
            self.computed += busy
            self.settling.look(self, self.activity())
            self.now += 1
        return self.whole[before:]


def test_what_is_found_at_the_beginning_is_no_change() -> None:
    assert Controller().look(600) == []


def test_once_after_a_change_when_it_has_come_to_rest() -> None:
    one = Controller()
    began = one.now
    one.look(5, busy=True)
    [at] = one.look(600)
    assert at >= began + 4 + CALM_SECONDS


def test_a_tunnel_that_changes_is_a_change() -> None:
    one = Controller()
    one.settling.stir()
    assert len(one.look(600)) == 1


def test_where_there_is_no_rest_it_is_put_off_and_comes() -> None:
    one = Controller()
    found = one.look(10 * PATIENCE_SECONDS, busy=True)
    assert 9 <= len(found) <= 10


def test_a_host_where_it_takes_long_does_it_rarely() -> None:
    one = Controller()
    one.takes = 3.0
    found = one.look(2000, busy=True)
    assert len(found) >= 2 and len(found) * one.takes <= 1.1 * 2000 * SHARE


def test_one_that_does_not_answer_is_asked_again() -> None:
    one = Controller()
    one.look(2, busy=True)
    one.listens = False
    assert one.look(60) == []
    one.listens = True
    assert len(one.look(60)) == 1
