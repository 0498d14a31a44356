"""The house itself: public names, what an import costs, what never occurs, and documentation that tells the truth."""

import ast
import doctest
import importlib
import json
import pkgutil
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import latchwork

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "latchwork"
SOURCES = sorted(PACKAGE.rglob("*.py"))
SCRIPTS = sorted(path for folder in ("tests", "benchmarks", "examples") for path in (ROOT / folder).rglob("*.py"))
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())

PUBLIC = {
    "GRU",
    "LSTM",
    "RNN",
    "Classify",
    "Forecast",
    "Generate",
    "Label",
    "LanguageModel",
    "Model",
    "Network",
    "Recurrent",
    "Sampling",
    "SequenceModel",
    "Training",
    "Transfer",
    "Translate",
    "TranslationModel",
    "__version__",
    "compare",
    "cross_validate",
    "finetune",
    "fit",
    "load",
}
"""What `import latchwork` offers. A name added or taken away is a change for every user: it is made here on purpose."""

OPTIONAL = ("statsmodels", "sklearn", "pandas", "pyarrow", "tokenizers", "PIL", "optuna", "h5py", "sacrebleu")
NO_SUCH_IMPORT = ("pickle", "cPickle", "_pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib")
NO_NETWORK = ("socket", "ssl", "http", "urllib", "ftplib", "requests", "httpx", "aiohttp", "urllib3")
NO_SUCH_CALL = ("eval", "exec", "compile", "__import__")


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def text_of(page: Path) -> str:
    """A page as a reader sees it: without comments."""
    return re.sub(r"<!--(?! tested -->).*?-->", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)


def blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text_of(page), flags=re.DOTALL | re.MULTILINE)


def marked(page: Path) -> list[str]:
    """The Python blocks that are marked to be run."""
    return re.findall(r"^<!-- tested -->\n```python\n(.*?)^```$", text_of(page), flags=re.DOTALL | re.MULTILINE)


# ---- the package


def test_the_public_names_are_these() -> None:
    assert set(latchwork.__all__) == PUBLIC
    assert [one for one in PUBLIC if not hasattr(latchwork, one)] == []


def test_the_start_page_lists_the_public_names() -> None:
    table = re.findall(r"^\| (`.*?) \|", (ROOT / "docs" / "index.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    listed = {one.partition("(")[0] for cell in table for one in re.findall(r"`(.*?)`", cell)}
    assert listed == PUBLIC


@pytest.mark.parametrize("folder", sorted(PACKAGE.glob("*/__init__.py")), ids=lambda path: path.parent.name)
def test_a_folder_lists_what_it_offers(folder: Path) -> None:
    module = importlib.import_module(f"latchwork.{folder.parent.name}")
    offered = module.__all__
    assert len(offered) == len(set(offered))
    assert [one for one in offered if not hasattr(module, one)] == []


@pytest.mark.parametrize("module", ["latchwork", "latchwork.cli"])
def test_an_import_loads_no_optional_package(module: str) -> None:
    code = f"import sys, json, {module}; print(json.dumps([one for one in {OPTIONAL} if one in sys.modules]))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []


def test_optional_packages_are_imported_in_one_place() -> None:
    found = [(name(path), one) for path in SOURCES for one in imported(path) if one.partition(".")[0] in OPTIONAL]
    assert found == []


def modules() -> list[str]:
    found = pkgutil.walk_packages([str(PACKAGE)], "latchwork.")
    return ["latchwork", *(one.name for one in found if not one.name.endswith("__main__"))]


@pytest.mark.parametrize("module", modules())
def test_examples_in_docstrings_hold(module: str) -> None:
    failures, _ = doctest.testmod(importlib.import_module(module), optionflags=doctest.ELLIPSIS)
    assert failures == 0


# ---- what never occurs


def imported(path: Path) -> list[str]:
    """Every module that a file imports, wherever in it."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return found


def faults(path: Path) -> list[str]:
    """What a file of the package must not hold, with its line."""
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    found = [] if ast.get_docstring(tree) else ["1: no docstring"]
    for one in imported(path):
        if one.partition(".")[0] in (*NO_SUCH_IMPORT, *NO_NETWORK):
            found.append(f"imports {one}")
    for node in ast.walk(tree):
        line = getattr(node, "lineno", 0)
        if isinstance(node, ast.Name) and node.id in NO_SUCH_CALL:
            found.append(f"{line}: {node.id}")
        if isinstance(node, ast.Name) and node.id == "NotImplementedError":
            found.append(f"{line}: a stub")
        if isinstance(node, ast.Attribute) and ast.unparse(node) in ("torch.load", "torch.save"):
            found.append(f"{line}: {ast.unparse(node)}")
    jaxtyped = any(one.startswith(("jaxtyping", "latchwork.types")) for one in imported(path))
    if jaxtyped and "__future__.annotations" in imported(path):
        found.append("jaxtyping reads annotations: no __future__ import")
    found += [
        f"{row}: {mark}"
        for row, line in enumerate(text.splitlines(), 1)
        for mark in re.findall(r"# *(TODO|FIXME|XXX)", line)
    ]
    return found


@pytest.mark.parametrize("path", SOURCES, ids=name)
def test_a_source_file_holds_nothing_that_is_ruled_out(path: Path) -> None:
    assert faults(path) == []


def test_no_file_is_over_600_lines() -> None:
    lines = {name(path): len(path.read_text(encoding="utf-8").splitlines()) for path in [*SOURCES, *SCRIPTS]}
    assert {path: count for path, count in lines.items() if count > 600} == {}


# ---- packaging


def packed(path: Path) -> list[ast.Call]:
    calls = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
    return [call for call in calls if ast.unparse(call.func) == "gzip.compress"]


def test_packed_bytes_do_not_hold_the_time() -> None:
    """They stand in the names of tests, and workers that begin in different seconds would collect different tests."""
    found = {name(path): [[key.arg for key in call.keywords] for call in packed(path)] for path in SCRIPTS}
    assert found["tests/modalities/test_text_read.py"]
    assert {path: keywords for path, keywords in found.items() if any(one != ["mtime"] for one in keywords)} == {}


def test_the_version_stands_in_one_place() -> None:
    assert PROJECT["project"]["dynamic"] == ["version"]
    (read,) = PROJECT["tool"]["dynamic-metadata"]
    assert (read["field"], read["input"]) == ("version", "src/latchwork/version.py")
    assert re.fullmatch(r"\d+\.\d+\.\d+([a-z]+\d+)?", latchwork.__version__)
    written = [
        name(path) for path in SOURCES if re.search(r"^__version__ *=", path.read_text(encoding="utf-8"), re.MULTILINE)
    ]
    assert written == ["src/latchwork/version.py"]
    newest = re.search(r"^## (\S+?),", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert newest is not None
    assert newest[1] == latchwork.__version__


def normal(package: str) -> str:
    return re.sub(r"[-_.]+", "-", package).lower()


def test_the_lock_pins_every_dependency() -> None:
    project = PROJECT["project"]
    wanted = [*project["dependencies"], *(one for extra in project["optional-dependencies"].values() for one in extra)]
    names = {normal(re.split(r"[\[<>=!~; ]", one, maxsplit=1)[0]) for one in wanted} - {"latchwork"}
    lines = [line for line in (ROOT / "requirements" / "lock.txt").read_text().splitlines() if line and line[0] != "#"]
    assert [line for line in lines if not re.match(r"[A-Za-z0-9._-]+==[0-9][^ ]*( ;|  |$)", line)] == []
    assert names - {normal(line.partition("==")[0]) for line in lines} == set()
    assert not any(line.startswith(("nvidia", "triton")) or "+" in line for line in lines)


@pytest.mark.parametrize("path", ["LICENSE", "CHANGELOG.md", "CONTRIBUTING.md", "src/latchwork/py.typed"])
def test_the_house_has(path: str) -> None:
    assert (ROOT / path).is_file()


# ---- the documentation


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_python_in_a_page_compiles(page: Path) -> None:
    for block in blocks(page, "python"):
        compile(block, name(page), "exec")


@pytest.mark.parametrize("page", [page for page in PAGES if marked(page)], ids=name)
def test_python_that_is_marked_runs(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for block in marked(page):
        exec(compile(block, name(page), "exec"), {"__name__": page.stem})  # noqa: S102 our own pages
    capsys.readouterr()


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_in_a_page_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)\s]+)\)", text_of(page))
    files = [link.partition("#")[0] for link in links if "://" not in link]
    assert [file for file in files if file and not (page.parent / file).exists()] == []


def commands(page: Path) -> list[list[str]]:
    """The words of each command line in a page's shell blocks, as a shell reads them."""
    lines = [shlex.split(line, comments=True) for block in blocks(page, "bash") for line in block.splitlines()]
    return [words for words in lines if words]


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_make_targets_in_a_page_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    shown = {words[1] for words in commands(page) if words[0] == "make" and len(words) > 1}
    mentioned = set(re.findall(r"`make ([a-z-]+)", text_of(page)))
    assert (shown | mentioned) - targets == set()


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_latchwork_commands_in_a_page_are_understood(page: Path) -> None:
    shown = [words[1:] for words in commands(page) if words[0] == "latchwork"]
    for words in shown:
        cli = importlib.import_module("latchwork.cli")
        ends = [place for place, word in enumerate(words) if word in ("<", ">", "|")]
        words = words[: min(ends, default=len(words))]
        if "--config" in words:
            place = words.index("--config")
            words = words[:place] + words[place + 2 :] + ["--horizon", "28"]
        command, _, ignored = cli.app.parse_args(words, exit_on_error=False, print_error=False)
        assert callable(command)
        assert not ignored


def test_the_architecture_page_has_the_import_rule_that_is_enforced() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8").partition("## Import rule")[2]
    (contract,) = PROJECT["tool"]["importlinter"]["contracts"]
    written = re.search(r"^```text\n(.*?)^```$", page, flags=re.DOTALL | re.MULTILINE)
    assert written is not None
    assert written[1].splitlines() == contract["layers"]
    assert contract["exhaustive"]


def test_every_cell_is_in_the_table_of_cells() -> None:
    page = (ROOT / "docs" / "cells.md").read_text(encoding="utf-8")
    cells = importlib.import_module("latchwork.cells").CELLS
    listed = dict(re.findall(r"^\| `(\w+)` \| `(\w+)` \|", page, flags=re.MULTILINE))
    assert listed == {key: cell.__name__ for key, cell in cells.items()}
