"""Sessions: `nox` runs tests on each supported Python that is there, lint and typing."""

import nox

nox.options.error_on_missing_interpreters = False
nox.options.sessions = ["tests", "lint", "typing"]


def _install(session: nox.Session, group: str) -> None:
    session.install("-q", "-U", "pip>=25.1")  # the first to know dependency groups
    session.install("-q", "-e", ".[cli]", "--group", group)


@nox.session(python=["3.11", "3.12", "3.13"])
def tests(session: nox.Session) -> None:
    """The test suite."""
    _install(session, "test")
    session.run("python", "-m", "pytest", "-q", *session.posargs)


@nox.session
def oldest(session: nox.Session) -> None:
    """The test suite with the oldest dependencies that are supported."""
    _install(session, "test")
    session.install(
        "-q", "aiohttp==3.13.3", "anyio==4.9", "azure-identity==1.21", "msgspec==0.20", "click==8.1", "rich==13"
    )
    session.run("python", "-m", "pytest", "-q", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Style, and what usually goes wrong."""
    _install(session, "lint")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def typing(session: nox.Session) -> None:
    """Types, by two checkers in their strict modes."""
    _install(session, "typing")
    session.run("mypy", "inference_async", "examples", "tests", "noxfile.py")
    session.run("pyright")


@nox.session
def peers(session: nox.Session) -> None:
    """Other clients read the emulator as ours does."""
    _install(session, "peers")
    session.run("python", "-m", "pytest", "-q", "-o", "addopts=--import-mode=importlib -p no:anyio", "tests/peers")


@nox.session
def scale(session: nox.Session) -> None:
    """Ten thousand streams at once: none lost, and what each of them costs."""
    _install(session, "test")
    session.run("python", "-m", "benchmarks.scale", *session.posargs)


@nox.session
def soak(session: nox.Session) -> None:
    """Ten minutes of random use of a client whose server misbehaves at random."""
    _install(session, "test")
    session.run("python", "-m", "benchmarks.soak", *session.posargs)
