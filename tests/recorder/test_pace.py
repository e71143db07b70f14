"""The traffic goes first: what recording may take of a core that others need, and of one that nobody needs."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bridge.recorder.pace import HURRIED, PATIENT, Clocks, Pace

_WHOLE = 0.8
shares = st.floats(0, 1)
slices = st.floats(0.0001, 0.005)
leasts = st.sampled_from([PATIENT, HURRIED])


class Core:
    """One core, of which others want the share `busy`; they get what we leave. Others of the machine take `taken`."""

    def __init__(self, busy: float, taken: float = 0.0) -> None:
        self._busy, self._taken = busy, taken
        self.wall = self.process = self.thread = self.waited = 0.0
        self.pace = Pace(self.clocks())

    def clocks(self) -> Clocks:
        return Clocks(self.wall, self.process, self.thread, self.waited)

    def work(self, seconds: float) -> None:
        """While we work, nobody else does."""
        self.wall += seconds
        self.process += seconds
        self.thread += seconds

    def rest(self, seconds: float) -> None:
        got = self._busy * (1 - self._taken)
        self.wall += seconds
        self.process += seconds * got
        self.waited += seconds * (self._busy - got)

    def share(self, slice_: float, least: float, seconds: float = 1.0) -> float:
        """What we take of it in the long run."""
        begun, worked = self.wall, self.thread
        while self.wall - begun < seconds:
            self.work(slice_)
            self.rest(self.pace.rest(self.clocks(), least))
        return (self.thread - worked) / (self.wall - begun)


@given(busy=shares, slice_=slices)
def test_it_takes_what_is_left_and_a_little_where_nothing_is(busy: float, slice_: float) -> None:
    core = Core(busy)
    core.share(slice_, PATIENT)  # until it knows how busy it is
    share = core.share(slice_, PATIENT)
    assert share <= max(PATIENT, _WHOLE - busy * (1 - share)) + 0.05
    assert share >= PATIENT * 0.7
    if busy == 1.0:
        assert share <= PATIENT * 1.2


@given(slice_=slices)
def test_when_the_load_comes_it_gives_way_soon(slice_: float) -> None:
    core = Core(0.0)
    assert core.share(slice_, PATIENT) > 0.75
    core._busy = 1.0
    assert core.share(slice_, PATIENT, 0.8) < 0.5
    assert core.share(slice_, PATIENT) <= PATIENT * 1.2


@given(slice_=slices)
def test_what_others_of_the_machine_take_is_not_left_over(slice_: float) -> None:
    """A process that gets half of a core, and could use it all, has no time to spare; of that half is its share. Who
    works for long at once has more: a rest is no longer than a second."""
    core = Core(1.0, taken=0.5)
    core.share(slice_, PATIENT)
    assert core.share(slice_, PATIENT) <= max(PATIENT * 0.5 * 1.2, slice_)


@given(busy=shares, slice_=slices)
def test_who_hurries_gets_about_half_at_least(busy: float, slice_: float) -> None:
    core = Core(busy)
    assert core.share(slice_, HURRIED) >= HURRIED * 0.85


@given(
    readings=st.lists(st.tuples(st.floats(0, 100), st.floats(0, 100), st.floats(0, 100), st.floats(0, 10))),
    least=leasts,
)
def test_whatever_the_clocks_say_a_rest_is_short(
    readings: list[tuple[float, float, float, float]], least: float
) -> None:
    pace = Pace(Clocks(0, 0, 0))
    for wall, process, thread, waited in readings:
        assert 0 <= pace.rest(Clocks(wall, process, thread, waited), least) <= 1.0
        assert pace.busy >= 0
