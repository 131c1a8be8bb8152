"""What is done with this project, by name; `nox` alone runs what is marked with a star."""

import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import nox

LOCK = ".ci/requirements.txt"

nox.options.error_on_missing_interpreters = False
nox.options.sessions = ["tests", "lint", "typing"]


def _install(session: nox.Session, group: str) -> None:
    session.install("-q", "-U", "pip>=25.1")  # the first to know dependency groups
    session.install("-q", "-e", ".[cli]", "--group", group)


@nox.session(python=["3.11", "3.12", "3.13"])
def tests(session: nox.Session) -> None:
    """The test suite, on each supported Python that is there; `nox -s tests-3.13 -- tests/wire` runs a part of it."""
    _install(session, "test")
    session.run("python", "-m", "pytest", "-q", *session.posargs)


@nox.session
def oldest(session: nox.Session) -> None:
    """The test suite with the oldest dependencies that are supported."""
    _install(session, "test")
    session.install(
        "-q", "aiohttp==3.14.4", "anyio==4.9", "azure-identity==1.21", "msgspec==0.20",
        "click==8.1", "markdown-it-py==2.2", "prompt-toolkit==3.0.50", "rich==13.7",
    )  # fmt: skip
    session.run("python", "-m", "pytest", "-q", *session.posargs)


@nox.session(python=["3.11", "3.12", "3.13"])
def faults(session: nox.Session) -> None:
    """What goes over the network: on asyncio, on uvloop, through aiohttp's sessions, and with its parser in Python."""
    _install(session, "test")
    rooms = ["tests/faults", "tests/net", "tests/properties"]
    for option, env in (
        ("--loop=asyncio", {}),
        ("--loop=uvloop", {}),
        ("--way=session", {}),
        ("--loop=asyncio", {"AIOHTTP_NO_EXTENSIONS": "1"}),
    ):
        session.run("python", "-m", "pytest", "-q", option, *rooms, *session.posargs, env=env)


@nox.session
def properties(session: nox.Session) -> None:
    """A thousand lives of a client, made up at random; `nox -s properties -- --hypothesis-seed=1` makes up the same."""
    _install(session, "test")
    session.run("python", "-m", "pytest", "-q", "--hypothesis-profile=thorough", "tests/properties", *session.posargs)


@nox.session
def peers(session: nox.Session) -> None:
    """Other clients read the emulator as ours does."""
    _install(session, "peers")
    session.run("python", "-m", "pytest", "-q", "-o", "addopts=--import-mode=importlib -p no:anyio", "tests/peers")


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
def docs(session: nox.Session) -> None:
    """The documentation, into site/; a warning is an error. `nox -s docs -- serve` shows it while it is written."""
    session.install("-q", "-U", "pip>=25.1")
    session.install("-q", "--group", "docs")
    session.run("mkdocs", *(session.posargs or ["build", "--strict"]), env={"NO_MKDOCS_2_WARNING": "1"})


@nox.session
def build(session: nox.Session) -> None:
    """What a release consists of, into dist/: built twice, the same byte for byte, installed, and tried.

    `nox -s build -- readme` runs the two commands of the README as well, word for word, in the source distribution.
    """
    session.install("-q", "-U", "pip>=25.1")
    session.install("-q", "--group", "release")
    stamp = session.run("git", "log", "-1", "--format=%ct", external=True, silent=True)
    folders = [Path("dist"), Path(session.create_tmp(), "again")]
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
        session.run("python", "-m", "build", "--outdir", str(folder), env={"SOURCE_DATE_EPOCH": str(stamp).strip()})
    built, again = ({file.name: file.read_bytes() for file in folder.iterdir()} for folder in folders)
    if built != again:
        session.error("two builds of the same sources differ")
    session.run("twine", "check", "--strict", *(str(folders[0] / name) for name in built))
    wheel, sdist = (next(folders[0].resolve().glob(pattern)) for pattern in ("*.whl", "*.tar.gz"))
    readme = Path("README.md").read_text()
    (expected,) = re.findall(r"^```text\n(.*?)^```", readme, re.MULTILINE | re.DOTALL)
    with tempfile.TemporaryDirectory() as place, session.chdir(place):
        session.run("python", "-m", "venv", "clean")
        session.run("clean/bin/pip", "install", "-q", f"{wheel}[cli]", external=True)
        question = "How many languages are in the world?"
        said = session.run(
            "clean/bin/inference-async", "chat", question, external=True, silent=True, stderr=subprocess.DEVNULL
        )
        if said != expected:
            session.error(f"the installed wheel says {said!r}, the README {expected!r}")
        session.run("cyclonedx-py", "environment", "-o", str(wheel.parent.parent / "sbom.cdx.json"), "clean/bin/python")
        if session.posargs == ["readme"]:
            shutil.unpack_archive(sdist, place, filter="data")
            with session.chdir(sdist.name.removesuffix(".tar.gz")):
                for command in re.findall(r"^```bash\n(.*?)\n```", readme, re.MULTILINE | re.DOTALL):
                    session.run("bash", "-c", command, external=True)


@nox.session
def lock(session: nox.Session) -> None:
    """Write the lock of CI anew, with the newest releases that the bounds allow; `nox -s lock -- NAME` moves one."""
    session.install("-q", "uv")
    upgrade = [f"--upgrade-package={name}" for name in session.posargs] or ["--upgrade"]
    session.run(
        "uv", "pip", "compile", "-q", "pyproject.toml", "--universal", "--python-version=3.11", "--no-config",
        "--extra=cli", "--group=locked", "--generate-hashes", "--no-annotate", *upgrade,
        "--custom-compile-command=nox -s lock", f"--output-file={LOCK}",
    )  # fmt: skip


@nox.session
def audit(session: nox.Session) -> None:
    """Known vulnerabilities of what the lock names. It asks pypi.org, and fails where that does not answer for each."""
    session.install("-q", "pip-audit>=2.10")
    session.run("pip-audit", "--strict", "--disable-pip", "--require-hashes", "--requirement", LOCK, *session.posargs)


@nox.session(python="3.11")
def bench(session: nox.Session) -> None:
    """What the client costs, beside other clients in the same run; `nox -s bench -- chunk` for one part of it."""
    _install(session, "bench")
    session.run("python", "-m", "benchmarks", *(session.posargs or ["--write"]))


@nox.session
def scale(session: nox.Session) -> None:
    """Ten thousand streams at once: none lost, and what each of them costs."""
    _install(session, "test")
    session.run("python", "-m", "benchmarks.scale", *session.posargs)


@nox.session
def hold(session: nox.Session) -> None:
    """For how long one event of 16 MiB keeps the event loop from its other work, by its shape."""
    _install(session, "test")
    session.run("python", "-m", "benchmarks.hold")


@nox.session
def soak(session: nox.Session) -> None:
    """Ten minutes of random use of a client whose server misbehaves at random."""
    _install(session, "test")
    session.run("python", "-m", "benchmarks.soak", *session.posargs)


@nox.session(python="3.11")
def fuzz(session: nox.Session) -> None:
    """Each fuzz target for 60 seconds, or for the seconds given: `nox -s fuzz -- 600`."""
    _install(session, "fuzz")
    seconds = session.posargs[0] if session.posargs else "60"
    for target in ("sse", "chunks", "accumulate", "response", "errors", "codec"):
        session.run("python", "-m", "tests.fuzz", target, "--seconds", seconds)


@nox.session(python="3.11")
def mutation(session: nox.Session) -> None:
    """Whether tests notice changes of the pure rooms, as in `nox -s mutation -- wire.sse`; all takes an hour."""
    _install(session, "mutation")
    session.run("python", "-m", "tests.mutation", *session.posargs)
