"""A test session that meets each mutant anew: pytest collects once, and a forked child runs what touches the mutant.

Node ids would not do to tell a child what to run: the ids of parameters that pytest had to escape do not survive the
way through its command line.
"""

from __future__ import annotations

import functools
import gc
import os
import pickle
import resource
import signal
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

import pytest
from mutmut.mutation.trampoline import set_mutant_under_test
from mutmut.state import state

from tests.mutation.mutants import PACKAGE, Mutant

T = TypeVar("T")

KILLED: Final = "killed"
SURVIVED: Final = "survived"
_PASSED, _FAILED, _BROKEN = range(3)
_MEMORY: Final = 4 << 30  # bytes; more than that is a mutant without an end
_SECONDS: Final = 3.0  # for a child, beside ten times what its tests take


class Session:
    """A plugin of pytest that runs tests against mutants, instead of running tests.

    Attributes:
        outcomes: of each mutant: `KILLED`, `SURVIVED`, or why it is neither.
    """

    def __init__(self, mutants: list[Mutant]) -> None:
        self.outcomes: dict[Mutant, str] = {}
        self._mutants = mutants
        self._failed: list[str] = []
        self._seconds: dict[str, float] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._seconds[report.nodeid] = self._seconds.get(report.nodeid, 0.0) + report.duration
        if report.failed:
            self._failed.append(f"{report.nodeid}\n{report.longreprtext}")

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        if session.testsfailed:
            raise pytest.UsageError("the tests could not be collected")
        gc.freeze()
        touched, seconds = from_child(lambda: self._touched(session.items))
        for mutant in self._mutants:
            own = f"test_{mutant.function.split('.')[1]}.py"
            # First those that are to know: of the mutant's own module, and quick.
            items = sorted(
                (item for item in session.items if mutant.switch in touched[item.nodeid]),
                key=lambda item: (item.path.name != own, seconds[item.nodeid]),
            )
            limit = _SECONDS + 10 * sum(seconds[item.nodeid] for item in items)
            self.outcomes[mutant] = self._outcome(mutant, items, limit) if items else "met no test"
        return True

    def _touched(self, items: list[pytest.Item]) -> tuple[dict[str, set[str]], dict[str, float]]:
        """Which functions each test calls, and how many seconds it takes."""
        set_mutant_under_test("stats")  # mutmut's word for noting the calls
        caches = [found for found in gc.get_objects() if isinstance(found, functools._lru_cache_wrapper)]
        caches = [cache for cache in caches if (cache.__module__ or "").startswith(PACKAGE)]
        touched: dict[str, set[str]] = {}
        for item in items:
            for cache in caches:  # or a call that is answered from a cache would not be noted
                cache.cache_clear()
            state()._stats.clear()
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=None)
            touched[item.nodeid] = set(state()._stats)
        if self._failed:
            raise AssertionError("tests fail without a mutant:\n" + "\n".join(self._failed))
        return touched, self._seconds

    def _outcome(self, mutant: Mutant, items: list[pytest.Item], limit: float) -> str:
        child = os.fork()
        if not child:
            _leave(lambda: self._meets(mutant, items, limit))
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        return {_PASSED: SURVIVED, _FAILED: KILLED, -signal.SIGALRM: KILLED}.get(code, f"crashed with {code}")

    def _meets(self, mutant: Mutant, items: list[pytest.Item], limit: float) -> int:
        signal.setitimer(signal.ITIMER_REAL, limit)
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
        set_mutant_under_test(mutant.name)
        for item, following in zip(items, [*items[1:], None], strict=True):
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


def from_child(work: Callable[[], T]) -> T:
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
        raise RuntimeError(f"a process for the tests ended with {code}")
    found: T = pickle.loads(sent)
    return found


def outcomes(mutants: list[Mutant], root: Path, arguments: list[str]) -> dict[Mutant, str]:
    """Of each mutant: `KILLED`, `SURVIVED`, or why it is neither.

    Args:
        mutants: which.
        root: the directory of the package that holds them.
        arguments: for pytest: the tests, and what is to be left out.
    """
    session = Session(mutants)
    pythonpath = f"pythonpath={root} {Path.cwd()}"
    options = ["-p", "no:terminal", "-p", "no:cacheprovider", "-o", "timeout=0", "-o", pythonpath]
    if code := pytest.main([*options, f"--basetemp={root / 'temporary'}", *arguments], plugins=[session]):
        raise RuntimeError(f"pytest ended with {code!r}")
    return session.outcomes
