"""What the project promises, row by row: the best other way of this run, ours, target, met or missed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from hvp.gemm import Efficiency
from hvp.measure import Row, Table
from hvp.memory import Peak
from hvp.show import KEPT_GRAPH

CONTROLS = "hand-tiled torch"
RECIPE = "recipe: Jacobian kept, J'SJ"
WORDS = {
    (True, True): "met",
    (True, False): "MISSED",
    (False, True): "won, not promised",
    (False, False): "LOST, not promised",
}


@dataclass
class Results:
    """Everything one run has measured."""

    tables: list[Table] = field(default_factory=list)
    dense: dict[str, list[Row]] = field(default_factory=dict)
    efficiency: list[Efficiency] = field(default_factory=list)
    peaks: list[Peak] = field(default_factory=list)

    def table(self, model: str, average: bool, k: int) -> Table | None:
        """Give the table of that work, if it was run."""
        wanted = (model, average, k)
        return next((t for t in self.tables if (t.model, t.average, t.k) == wanted), None)


@dataclass
class Promise:
    """One promised row."""

    what: str
    target: float
    unit: str
    ours: float
    ours_name: str
    other: float | None = None
    other_name: str = ""
    at_least: bool = False  # the target is a lower bound
    promised: bool = True  # False: shown because it may be lost

    @property
    def met(self) -> bool:
        """Whether ours is within the target."""
        return self.ours >= self.target if self.at_least else self.ours <= self.target

    @property
    def ratio(self) -> str:
        """How many times better than the best other way."""
        return "" if self.other is None else f"{self.other / self.ours:.2f} x"


def promises(results: Results) -> list[Promise]:
    """Evaluate every row whose work was run."""
    rows = [
        *_averaged(results),
        *_factor(results),
        *_dense(results),
        *_cnn(results),
        *_per_sample(results),
    ]
    for e in results.efficiency:
        if "native" in e.what:
            share = 100 * e.against_same
            rows.append(
                Promise(f"multiplication rate: {e.what}", 90, "%", share, "", None, "", True)
            )
    for p in results.peaks:
        name = f"{p.model}, {p.backend}"
        setup, product = p.setup_mb / p.setup_formula_mb, p.product_mb / p.product_formula_mb
        rows.append(Promise(f"peak memory of set-up over formula: {name}", 1.5, "x", setup, ""))
        rows.append(
            Promise(f"peak memory of a product over formula: {name}", 1.5, "x", product, "")
        )
    return rows


def _row(
    what: str, target: float, ours: Row | None, other: Row | None, key: Callable[[Row], float]
) -> Iterator[Promise]:
    if ours is not None:
        value = None if other is None else key(other)
        name = "" if other is None else other.name
        yield Promise(what, target, "ms", key(ours), ours.name, value, name)


def _product(row: Row) -> float:
    return row.ms


def _set_up(row: Row) -> float:
    return row.setup_ms


def _averaged(results: Results) -> Iterator[Promise]:
    for model, target in (("mlp_relu", 160.0), ("mlp_gelu", 150.0)):
        table = results.table(model, True, 32)
        if table is None:
            continue
        what = f"{table.title}: no factor"
        native = table.find("hessay native")
        # Ways that keep no Jacobian: the promise is about plain products.
        plain = table.best(lambda row: row.group in ("torch", "packaged"))
        control = table.find(CONTROLS)
        yield from _row(f"{what}, against autodiff", target, native, plain, _product)
        if native and control:
            ratio = control.ms / native.ms
            yield Promise(f"{what}, over the control", 1.15, "x", ratio, native.name, at_least=True)


def _factor(results: Results) -> Iterator[Promise]:
    for k, target in ((8, 3.0), (32, 8.0)):
        table = results.table("mlp_relu", True, k)
        if table is None:
            continue
        ours, recipe = table.find("hessay factor"), table.find(RECIPE)
        if k == 8:
            yield from _row("mlp_relu: factor set-up", 45.0, ours, recipe, _set_up)
        yield from _row(f"{table.title}: factor product", target, ours, recipe, _product)


def _dense(results: Results) -> Iterator[Promise]:
    for model, target in (("mlp_relu", 0.09), ("mlp_gelu", 2.5), ("cnn", 0.95)):
        valid = [row for row in results.dense.get(model, []) if row.valid]
        ours = min((row for row in valid if row.ours), key=_product, default=None)
        other = min((row for row in valid if not row.ours), key=_product, default=None)
        for each in _row(f"{model}: dense mean Hessian", 1e3 * target, ours, other, _product):
            each.ours, each.target, each.unit = each.ours / 1e3, target, "s"
            each.other = each.other and each.other / 1e3
            yield each


def _cnn(results: Results) -> Iterator[Promise]:
    table = results.table("cnn", True, 1)
    if table is None:
        return
    ours = table.best(lambda row: row.ours and row.name in ("hessay tangent", "hessay autograd"))
    other = table.best(lambda row: row.group in ("torch", "packaged", "control"))
    yield from _row(f"{table.title}: no Jacobian kept", 200.0, ours, other, _product)
    factor, recipe = table.find("hessay factor"), table.find(RECIPE)
    yield from _row("cnn: Jacobian set-up", 800.0, factor, recipe, _set_up)


def _per_sample(results: Results) -> Iterator[Promise]:
    def ours(row: Row) -> bool:
        return row.ours

    for k, target in ((8, 6.5), (32, 22.0)):
        table = results.table("mlp_relu", False, k)
        if table:
            other = table.best(lambda row: not row.ours)
            yield from _row(table.title, target, table.best(ours), other, _product)
    for model in ("mlp_gelu", "softmax"):
        table = results.table(model, False, 1)
        kept = table and table.find(KEPT_GRAPH)
        if not table or not kept:
            continue
        best = table.best(ours)
        yield from _row(
            f"{table.title}: no slower than the kept graph", kept.ms, best, kept, _product
        )
        auto = table.find("hessay auto")
        total = _set_up(kept) + kept.ms
        title = f"{table.title}: the same, set-up included"
        for each in _row(title, total, auto, kept, lambda row: row.setup_ms + row.ms):
            each.promised = False
            yield each


def show_promises(rows: list[Promise]) -> None:
    """Print the summary."""
    print("\npromised rows (medians of this run)")
    header = ("best other, this run", "ours", "target", "ratio")
    print(f"  {'':56}{header[0]:>42}{header[1]:>27}{header[2]:>12}{header[3]:>9}")
    for row in rows:
        other = "" if row.other is None else f"{row.other_name} {row.other:.3g} {row.unit}"
        ours = f"{row.ours_name.removeprefix('hessay ')} {row.ours:.3g} {row.unit}"
        target = f"{'>=' if row.at_least else '<='} {row.target:.3g}"
        verdict = WORDS[row.promised, row.met]
        print(f"  {row.what:56}{other:>42}{ours:>27}{target:>12}{row.ratio:>9}  {verdict}")
    met = [row.met for row in rows if row.promised]
    print(f"  {sum(met)} met, {len(met) - sum(met)} missed")
