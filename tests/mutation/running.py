"""A test session that meets each mutant anew: pytest collects once, and a forked child runs what calls the mutant.

So a mutant costs its tests and no more, and a child that ends in any way that was not foreseen is told apart from one
whose tests failed.
"""

from __future__ import annotations

import functools
import gc
import os
import pickle
import resource
import signal
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import pytest
from hypothesis import HealthCheck, Phase, settings

from tests.mutation.mutants import PACKAGE, Mutant, state, switch_on

T = TypeVar("T")

KILLED: Final = "killed"
SURVIVED: Final = "survived"
UNMET: Final = "met no test"
_PASSED, _FAILED, _BROKEN = range(3)
_MEMORY: Final = 4 << 30  # bytes; more than that is a mutant without an end
_SECONDS: Final = 2.0  # of computing, for a test, beside ten times what it takes; of waiting, ten times as many
_OUTCOMES: Final = {_PASSED: SURVIVED, _FAILED: KILLED, -signal.SIGPROF: KILLED, -signal.SIGALRM: KILLED}


@dataclass(frozen=True)
class Part:
    """Mutants that belong together.

    Attributes:
        mutants: which.
        tests: the beginnings of the ids of the tests that meet them.
        ended: told how each of them ended: `KILLED`, `SURVIVED`, `UNMET`, or the code of a crash.
    """

    mutants: list[Mutant]
    tests: tuple[str, ...]
    ended: Callable[[dict[Mutant, str]], None]


class _Runner:
    """A plugin of pytest that runs tests against mutants, instead of running tests."""

    def __init__(self, parts: list[Part], root: Path) -> None:
        self._parts = parts
        self._root = root
        self._failed: list[str] = []
        self._hasty = False
        self._caches: list[functools._lru_cache_wrapper[Any]] = []
        self._seconds: dict[str, float] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._seconds[report.nodeid] = self._seconds.get(report.nodeid, 0.0) + report.duration
        if report.failed:
            self._failed.append(f"{report.nodeid}\n{report.longreprtext}")

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_makereport(self, call: pytest.CallInfo[None]) -> None:
        if self._hasty and call.excinfo is not None and not call.excinfo.errisinstance(pytest.skip.Exception):
            os._exit(_FAILED)  # to describe a failure takes ten times as long as the failure

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        if session.testsfailed:
            raise pytest.UsageError("the tests could not be collected")
        if not Path(sys.modules[PACKAGE].__file__ or "").is_relative_to(self._root):
            raise pytest.UsageError(f"the tests import {PACKAGE} from elsewhere")
        caches = (found for found in gc.get_objects() if isinstance(found, functools._lru_cache_wrapper))
        self._caches = [found for found in caches if (found.__module__ or "").startswith(PACKAGE)]
        gc.freeze()
        touched, seconds = _from_child(lambda: self._touched(session.items))
        found: dict[Mutant, str] = {}
        for part in self._parts:
            items = [item for item in session.items if item.nodeid.startswith(part.tests)]
            switches = {mutant.switch for mutant in part.mutants}
            control = [item for item in items if switches & touched[item.nodeid]]
            if (ended := self._outcome("none", control, [0.0] * len(control))) != SURVIVED:
                raise AssertionError(f"tests without a mutant: {ended}")
            for mutant in part.mutants:
                meeting = [item for item in items if mutant.switch in touched[item.nodeid]]
                meeting.sort(key=lambda item: seconds[item.nodeid])
                limits = [_SECONDS + 10 * seconds[item.nodeid] for item in meeting]
                found[mutant] = self._outcome(mutant.name, meeting, limits) if meeting else UNMET
            part.ended({mutant: found[mutant] for mutant in part.mutants})
        return True

    def _touched(self, items: list[pytest.Item]) -> tuple[dict[str, set[str]], dict[str, float]]:
        """Which functions each test calls, and how many seconds it takes."""
        switch_on("stats")  # mutmut's word for noting the calls
        touched: dict[str, set[str]] = {}
        for item, following in zip(items, [*items[1:], None], strict=True):
            self._forget()  # or a call that is answered from a cache would not be noted
            state()._stats.clear()
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            touched[item.nodeid] = set(state()._stats)
        if self._failed:
            raise AssertionError("tests fail without a mutant:\n" + "\n".join(self._failed))
        return touched, self._seconds

    def _forget(self) -> None:
        for found in self._caches:
            found.cache_clear()

    def _outcome(self, mutant: str, items: list[pytest.Item], limits: list[float]) -> str:
        child = os.fork()
        if not child:
            _leave(lambda: self._meets(mutant, items, limits))
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        return _OUTCOMES.get(code, f"crashed with {code}")

    def _meets(self, mutant: str, items: list[pytest.Item], limits: list[float]) -> int:
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
        switch_on(mutant)
        self._hasty = True
        self._forget()  # or what was cached as tests were collected would stand in for the mutant
        for item, following, limit in zip(items, [*items[1:], None], limits, strict=True):
            signal.setitimer(signal.ITIMER_PROF, limit)
            signal.setitimer(signal.ITIMER_REAL, 10 * limit)
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            if self._failed:
                return _FAILED
        return _PASSED


def _leave(work: Callable[[], int]) -> None:
    """End this process, a forked one, with the code that comes of the work."""
    code = _BROKEN
    try:
        code = work()
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def _from_child(work: Callable[[], T]) -> T:
    """What comes of work that is to leave no trace in this process."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:

        def send() -> int:
            os.close(reading)
            with os.fdopen(writing, "wb") as pipe:
                pickle.dump(work(), pipe)
            return 0

        _leave(send)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        sent = pipe.read()
    if code := os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]):
        raise RuntimeError(f"the tests did not run without a mutant: {code}")
    found: T = pickle.loads(sent)
    return found


def run(parts: list[Part], root: Path, options: list[str]) -> None:
    """Run the tests against the mutants of each part.

    Args:
        parts: which.
        root: the directory of the package that holds them.
        options: for pytest, such as what is to be left out.
    """
    # The same examples for each mutant, and none made smaller: that one of them fails is all there is to know.
    phases = [Phase.explicit, Phase.generate]
    settings.register_profile(
        "mutation",
        derandomize=True,
        database=None,
        deadline=None,
        phases=phases,
        suppress_health_check=list(HealthCheck),
    )
    settings.load_profile("mutation")
    own = ["-p", "no:terminal", "--assert=plain", "-p", "no:cacheprovider", f"--basetemp={root / 'temporary'}"]
    ini = ["-o", "timeout=0", "-o", f"pythonpath={root} {Path.cwd()}"]
    sys.path.insert(0, str(root))  # for the package's own plugin of pytest, which comes before pytest's settings
    tests = sorted({test for part in parts for test in part.tests})
    if code := pytest.main([*own, *ini, *options, *tests], plugins=[_Runner(parts, root)]):
        raise RuntimeError(f"pytest ended with {code!r}")
