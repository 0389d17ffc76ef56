"""The help of every command is true: its examples parse and run, its codes and variables are the code's."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer.main
from PIL import Image
from safetensors.torch import save_file

import hessay
from detection import SEED, TARGET, Nets
from hessay import attacks, cli, training
from hessay.cli.app import app
from hessay.cli.help_page import _GROUPS, INTERRUPTED, VARIABLES
from hessay.cli.help_pages import PAGES
from hessay.loading import build_architecture
from hessay.monitor.rules import DEFAULT

PACKAGE = Path(hessay.__file__).parent
GROUP: Any = typer.main.get_command(app)
EXAMPLES = [(name, line) for name, page in PAGES.items() for _, line in page.examples]
# They stay until they are told to go; what they do is tested in test_serve.py.
STAYS = ("serve",)


def words_of(line: str) -> list[str]:
    """The arguments of a shell line: what it is wrapped in, and where its output goes, taken off."""
    line = re.sub(r'^eval "\$\((.*)\)"$', r"\1", line).split(">")[0]
    first, *rest = shlex.split(line)
    assert first == "hessay"
    return rest


def parsed(words: list[str]) -> Any:
    """What the real parser makes of a line; raises where it refuses, runs nothing."""
    name, *rest = words
    outer = GROUP.make_context("hessay", [name], resilient_parsing=True)
    return GROUP.commands[name].make_context(name, rest, parent=outer)


def help_of(name: str) -> str:
    outer = GROUP.make_context("hessay", [name], resilient_parsing=True)
    command = GROUP.commands[name]
    context = command.make_context(name, [], parent=outer, resilient_parsing=True)
    return str(command.get_help(context))


def test_options_named_like_their_metavar_say_their_name() -> None:
    # typer 0.27 takes the metavar for the name of such an option, capitals and all.
    looked_at = 0
    for file in (PACKAGE / "cli").glob("*.py"):
        for argument in ast.walk(ast.parse(file.read_text("utf-8"))):
            if not isinstance(argument, ast.arg) or argument.annotation is None:
                continue
            for call in ast.walk(argument.annotation):
                if not isinstance(call, ast.Call) or ast.unparse(call.func) != "typer.Option":
                    continue
                looked_at += 1
                metavar = {k.arg: ast.unparse(k.value).strip("'") for k in call.keywords}
                if metavar.get("metavar", "").lower() == argument.arg:
                    assert call.args, f"{argument.arg} in {file.name}"
                    assert ast.unparse(call.args[0]) == f"'--{argument.arg}'"
    assert looked_at > 50


def test_every_command_has_a_page_and_every_page_a_command() -> None:
    assert set(GROUP.commands) == set(PAGES)


@pytest.mark.parametrize("name", PAGES)
def test_the_sections_are_there(name: str) -> None:
    text, page = help_of(name), PAGES[name]
    for heading in ("EXAMPLES", "EXIT STATUS"):
        assert re.search(rf"^{heading}$", text, re.MULTILINE)
    assert ("\nENVIRONMENT\n" in text) == bool(page.environment)
    flat = " ".join(text.split())
    assert " ".join(page.description.split()) in flat
    assert 2 <= len(page.examples) <= 3
    for words, line in page.examples:
        assert f"{words}:" in text
        assert line in flat.replace(" \\ ", " ")
    for code, meaning in {**page.exit_status, **INTERRUPTED}.items():
        assert re.search(rf"^  {code}\s+{re.escape(meaning.split()[0])}", text, re.MULTILINE)
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize("name", PAGES)
def test_every_option_stands_in_a_group(name: str) -> None:
    known = {option for _, names in _GROUPS for option in names}
    for parameter in GROUP.commands[name].params:
        if parameter.param_type_name != "argument":
            assert parameter.name in known
    assert "\nOPTIONS\n" not in help_of(name)


@pytest.mark.parametrize(("name", "line"), EXAMPLES)
def test_the_parser_takes_every_example(name: str, line: str) -> None:
    words = words_of(line)
    context = parsed(words)
    assert context.info_name == words[0]
    assert any(words_of(other)[0] == name for _, other in PAGES[name].examples)


def test_the_parser_of_these_tests_refuses_what_is_no_option() -> None:
    with pytest.raises(Exception, match="--no-such-option"):
        parsed([*words_of(EXAMPLES[0][1]), "--no-such-option"])


def test_variables_are_read_somewhere() -> None:
    texts = [
        path.read_text("utf-8")
        for path in PACKAGE.rglob("*.py")
        if path.name not in ("help_page.py", "help_pages.py")
    ]
    texts += [p.read_text("utf-8") for p in (Path(__file__).parents[1] / "cpp").rglob("*.cpp")]
    # The one that is read by the library which draws on terminals.
    texts.append(Path(inspect.getfile(importlib.import_module("rich.console"))).read_text("utf-8"))
    read = {
        name
        for text in texts
        for name in re.findall(r"(?:environ(?:\.get\(|\[|)|getenv\()[^\n]*?\"([A-Z_]{3,})\"", text)
    }
    read |= {name for text in texts for name in re.findall(r'"(\w+)" in (?:self\._)?environ', text)}
    used = {name for page in PAGES.values() for name in page.environment}
    assert used == set(VARIABLES)
    assert used <= read


# ---- exit codes: what the code returns is what the help says ----


def codes_of(expression: ast.expr | None, module: Any) -> set[int]:
    """All values a returned expression can have."""
    if isinstance(expression, ast.Constant):
        assert isinstance(expression.value, int)
        return {expression.value}
    if isinstance(expression, ast.IfExp):
        return codes_of(expression.body, module) | codes_of(expression.orelse, module)
    if isinstance(expression, ast.BoolOp):
        return set().union(*(codes_of(value, module) for value in expression.values))
    if isinstance(expression, ast.Subscript) and isinstance(expression.value, ast.Name):
        return set(getattr(module, expression.value.id).values())
    if isinstance(expression, ast.Attribute) and expression.attr == "exit_code":
        return {0} | {rule.exit_code for rule in DEFAULT if rule.exit_code is not None}
    assert isinstance(expression, ast.Call), ast.dump(expression) if expression else "return"
    assert isinstance(expression.func, ast.Name)
    if expression.func.id == "max":  # hessay gate: the weightiest of a table
        return set(module._WEIGHT)
    return returned(getattr(module, expression.func.id))


def returned(function: Callable[..., Any], inner: str | None = None) -> set[int]:
    tree: Any = ast.parse(inspect.getsource(function)).body[0]
    if inner is not None:
        (tree,) = (n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == inner)
    module = inspect.getmodule(function)
    nested = {
        id(node)
        for outer in ast.walk(tree)
        if isinstance(outer, ast.FunctionDef) and outer is not tree
        for node in ast.walk(outer)
    }
    returns = [n for n in ast.walk(tree) if isinstance(n, ast.Return) and id(n) not in nested]
    return set().union(*(codes_of(node.value, module) for node in returns))


@pytest.mark.parametrize("name", PAGES)
def test_the_codes_are_those_the_command_returns(name: str) -> None:
    function = GROUP.commands[name].callback
    function = inspect.unwrap(function)
    # guarded: 2 after an error, 130 after Ctrl-C.
    assert set(PAGES[name].exit_status) == returned(function, "body") | {2}
    assert set(INTERRUPTED) == {130}


# ---- the examples run ----


@pytest.fixture(scope="module")
def place(nets: Nets, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files a user has, under the names the help gives them."""
    folder = tmp_path_factory.mktemp("user")
    data = training.load_dataset("digits", seed=SEED)
    x, y = data.train_inputs, data.train_targets
    bad = attacks.poison(x, y, attack="blend", target=TARGET, fraction=0.1, seed=SEED)
    save_file(nets.poisoned.state_dict(), folder / "model.safetensors")
    np.savez(folder / "probe.npz", inputs=nets.inputs.numpy(), targets=nets.targets.numpy())
    np.savez(folder / "train.npz", inputs=bad.inputs.numpy(), targets=bad.targets.numpy())
    rows = bad.rows
    np.savez(
        folder / "suspects.npz", inputs=bad.inputs[rows].numpy(), targets=bad.targets[rows].numpy()
    )
    np.savez(folder / "holdout.npz", inputs=x.numpy(), targets=y.numpy())
    save_file(build_architecture("cnn:1x8x8-10").state_dict(), folder / "pictures.safetensors")
    for row in range(300):
        cell = folder / "pictures" / str(int(y[row]))
        cell.mkdir(parents=True, exist_ok=True)
        Image.fromarray((255 * x[row].reshape(8, 8)).byte().numpy()).save(cell / f"{row}.png")
    (folder / "preprocessor_config.json").write_text('{"image_mean": [0.1], "image_std": [0.5]}')
    (folder / "run").mkdir()
    for name in ("one", "two"):
        shutil.copy(folder / "model.safetensors", folder / "run" / f"{name}.safetensors")
    (folder / "arriving").mkdir()
    shutil.copy(folder / "train.npz", folder / "arriving" / "monday.npz")
    (folder / "rules.toml").write_text('[[rule]]\nwhen = ["flagged"]\nexit_code = 1\n')
    rng = np.random.default_rng(SEED)
    table = rng.standard_normal((200, 4))
    labels = ["a" if value > 0 else "b" for value in table[:, 0]]
    lines = [
        "x1,x2,x3,y,label",
        *(",".join(map(str, r)) + f",{c}" for r, c in zip(table, labels, strict=True)),
    ]
    (folder / "table.csv").write_text("\n".join(lines) + "\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        given = ["--arch", "mlp:64-64-10", "--data", "probe.npz"]
        cli.main(["scan", "model.safetensors", *given, "--json", "-o", "report.json"])
    return folder


@pytest.mark.parametrize("name", [name for name in PAGES if name not in STAYS])
def test_the_examples_run_on_such_files(
    name: str, place: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(place)
    for _, line in PAGES[name].examples:
        words = words_of(line)
        code = cli.main(words)
        assert code in set(PAGES[words[0]].exit_status) - {2}, capfd.readouterr().err
