"""The table of the examination: counts with exact intervals, targets beside them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from examination import FAMILIES
from scipy.stats import beta

from detect.exam import EFFECTIVE
from detect.summary import auroc, auroc_interval

Row = dict[str, Any]
MODES = {  # mode -> phase whose rows hold it, title
    "free": ("scan", "no references"),
    "referenced": ("scan", "8 trained references"),
    "own": ("own", "8 references of the model's own architecture, trained"),
}


def interval(k: int, n: int) -> str:
    """Exact 95 % interval of a rate; Clopper & Pearson 1934, Biometrika 26, 404."""
    low = 0.0 if k == 0 else float(beta.ppf(0.025, k, n - k + 1))
    high = 1.0 if k == n else float(beta.ppf(0.975, k + 1, n - k))
    return f"{k}/{n} [{low:.2f}, {high:.2f}]"


def family(row: Row) -> str:
    """Family of the row's architecture."""
    return next(name for name, members in FAMILIES.items() if row["arch"] in members)


def show(rows: Sequence[Row]) -> None:
    """Print everything the rows hold."""
    rows = [row for row in rows if "scan" in row]
    clean = [row for row in rows if row["attack"] == "clean"]
    single = [row for row in rows if row["attack"] not in ("clean", "all_to_all")]
    hit = [row for row in single if (row["attack_success"] or 0.0) >= EFFECTIVE]
    together = [row for row in rows if row["attack"] == "all_to_all"]
    print(
        f"{len(clean)} clean models, {len(hit)} of {len(single)} with one target effective, "
        f"{len(together)} all-to-all"
    )
    for mode, (phase, *_) in MODES.items():
        if all(phase in row for row in rows):
            _models(mode, clean, hit, together)
    _attacks(hit)
    _data([r for r in clean if r.get("rank")], [r for r in hit if r.get("rank")])
    _ranking([row for row in hit if row.get("rank")])
    _repairs("repair", "repair from the probe alone", hit)
    _repairs("repair_data", "repair with the training samples that the ranking selects", hit)
    times = {
        name: [r.get("own", r["scan"])["cpu_seconds"] for r in rows if family(r) == name]
        for name in FAMILIES
    }
    print("\nmeasuring one model, CPU s, median: " + _by_family(times))


def _models(mode: str, clean: Sequence[Row], hit: Sequence[Row], together: Sequence[Row]) -> None:
    phase, title = MODES[mode]
    print(
        f"\n{title}\n{'':10} false alarms      AUROC               hits                right class"
    )
    for name in (*FAMILIES, "all"):
        mine = [row for row in clean if name in ("all", family(row))]
        bad = [row for row in hit if name in ("all", family(row))]
        alarms = sum(row[phase][mode]["verdict"] == "FLAGGED" for row in mine)
        hits = sum(row[phase][mode]["verdict"] == "FLAGGED" for row in bad)
        right = sum(row[phase][mode].get("suspect") == row["target"] for row in bad)
        low = [row[phase][mode]["score"] for row in mine if "score" in row[phase][mode]]
        high = [row[phase][mode]["score"] for row in bad if "score" in row[phase][mode]]
        area = "-"
        if low and high:
            value = auroc(low, high)
            ends = auroc_interval(value, len(high), len(low))
            area = f"{value:.3f} [{ends[0]:.2f}, {ends[1]:.2f}]"
        cells = [interval(alarms, len(mine)) if mine else "-", area]
        cells += [interval(hits, len(bad)), f"{right}/{len(bad)}"] if bad else ["-", "-"]
        print(f"{name:10} " + "".join(f"{cell:20}" for cell in cells))
    open_ = sum(row[phase][mode]["verdict"] == "INCONCLUSIVE" for row in clean)
    print(f"inconclusive on clean models: {interval(open_, len(clean))}" if clean else "")
    working = [row for row in together if (row["attack_success"] or 0.0) >= EFFECTIVE]
    if working:
        found = sum(row[phase][mode]["verdict"] == "FLAGGED" for row in working)
        named = sum(row[phase]["class_map"] == [*range(1, 10), 0] for row in working)
        print(
            f"all-to-all, effective: hits {interval(found, len(working))}, whole map named {named}"
        )


def _attacks(hit: Sequence[Row]) -> None:
    """Print the hits of each attack, from the model alone and with its training data."""
    print(f"\n{'':10} effective   hits, no references   8 trained references   and training data")
    for attack in dict.fromkeys(row["attack"] for row in hit):
        mine = [row for row in hit if row["attack"] == attack]
        found = [
            sum(r["scan"][m]["verdict"] == "FLAGGED" for r in mine) for m in MODES if m != "own"
        ]
        ranked = [r for r in mine if r.get("rank")]
        by_data = str(sum(r["target"] in r["rank"]["classes"] for r in ranked)) if ranked else "-"
        print(f"{attack:10} {len(mine):<11} {found[0]:<21} {found[1]:<22} {by_data}")


def _data(clean: Sequence[Row], hit: Sequence[Row]) -> None:
    """Print what the model and its training data together say: a class passes, and by the data alone."""
    if not hit:
        return
    print("\nmodel and training data together, with 8 trained references")
    print(f"{'':10} clean: a class passes   by the data    hits, right class     by the data")
    for name in (*FAMILIES, "all"):
        mine = [row["rank"] for row in clean if name in ("all", family(row))]
        bad = [row for row in hit if name in ("all", family(row))]
        if not bad:
            continue
        cells = [
            interval(sum(bool(r["classes"]) for r in mine), len(mine)) if mine else "-",
            f"{sum(bool(r['by_data']) for r in mine)}",
            interval(sum(r["target"] in r["rank"]["classes"] for r in bad), len(bad)),
            f"{sum(r['target'] in r['rank']['by_data'] for r in bad)}",
        ]
        widths = (24, 15, 22, 0)
        print(f"{name:10} " + "".join(f"{c:{w}}" for c, w in zip(cells, widths, strict=True)))


def _ranking(rows: Sequence[Row]) -> None:
    if not rows:
        return
    print("\nranking of training samples, with 8 trained references")
    print(f"{'':10} recall at 1.5 theta N   least     false discoveries   power    CPU s")
    for name in FAMILIES:
        mine = [row["rank"] for row in rows if family(row) == name]
        if not mine:
            continue
        recall = [r["recall"] for r in mine]
        fdp = [r["false"] / max(r["selected"], 1) for r in mine]
        power = [r["found"] / r["poisoned"] for r in mine]
        seconds = float(np.median([r["cpu_seconds"] for r in mine]))
        print(
            f"{name:10} {np.mean(recall):.3f} of {len(mine):<12} {min(recall):<9.3f} "
            f"{np.mean(fdp):<19.3f} {np.mean(power):<8.3f} {seconds:.1f}"
        )


def _repairs(phase: str, title: str, hit: Sequence[Row]) -> None:
    rows = [row for row in hit if row.get(phase)]
    if not rows:
        return
    print(f"\n{title}")
    print(f"{'':10} attack success before / after    largest    accuracy lost   repaired   CPU s")
    for name in FAMILIES:
        mine = [row[phase] for row in rows if family(row) == name]
        if not mine:
            continue
        before = float(np.mean([r["success_before"] for r in mine]))
        after = [r["success_after"] for r in mine]
        lost = float(np.mean([r["accuracy_lost"] for r in mine]))
        accepted = sum(r["accepted"] for r in mine)
        seconds = float(np.median([r["cpu_seconds"] for r in mine]))
        print(
            f"{name:10} {before:.3f} / {np.mean(after):<22.3f} {max(after):<10.3f} {lost:<15.4f} "
            f"{accepted}/{len(mine):<8} {seconds:.1f}"
        )


def _by_family(times: dict[str, list[float]]) -> str:
    return ", ".join(f"{name} {np.median(v):.2f}" for name, v in times.items() if _some(v))


def _some(values: Iterable[float]) -> bool:
    return any(True for _ in values)
