"""report/index.html of a run folder: one page that needs nothing else."""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any

import yaml

from hpcgauge.errors import FileFormatError
from hpcgauge.io.durable import make_folder, put_text
from hpcgauge.observables.statistics import exp_minus_dH, gamma, twice_negative
from hpcgauge.report.figures import panels
from hpcgauge.report.history import History, RunFolder, read_folder
from hpcgauge.report.style import FONT, Panel, name_of, svg
from hpcgauge.report.summary import MEASURED, accepted, labels, results_of, shown

CSS = """
:root { color-scheme: light; --ink: #1c2430; --muted: #5d6878; --rule: #d9dee5; --accent: #0b63a5; }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2rem 1.25rem 4rem; max-width: 68rem; color: var(--ink); background: #fff;
  font: 1rem/1.55 FONT; font-variant-numeric: tabular-nums; }
h1 { margin: 0; font-size: 1.9rem; line-height: 1.2; letter-spacing: -0.015em; overflow-wrap: anywhere; }
h2 { margin: 2.75rem 0 0.75rem; font-size: 1.2rem; }
.about { margin: 0.35rem 0 1.5rem; color: var(--muted); }
.verdict { max-width: 46rem; font-size: 1.1rem; }
.numbers { display: grid; gap: 1rem 2rem; margin: 1.75rem 0; padding: 1rem 0;
  grid-template-columns: repeat(auto-fit, minmax(8.5rem, 1fr)); border-block: 1px solid var(--rule); }
.numbers dt { color: var(--muted); font-size: 0.85rem; }
.numbers dd { margin: 0; font-size: 1.35rem; font-weight: 600; letter-spacing: -0.01em; white-space: nowrap; }
.figures { display: grid; gap: 2.25rem 2.5rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 25rem), 1fr)); }
figure { margin: 0; min-width: 0; }
figure h3 { margin: 0 0 0.4rem; font-size: 1rem; }
figure svg { display: block; width: 100%; height: auto; }
figcaption { margin-top: 0.5rem; color: var(--muted); font-size: 0.875rem; line-height: 1.45; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: 0.92rem; }
th, td { padding: 0.45rem 0.9rem 0.45rem 0; text-align: right; white-space: nowrap;
  border-bottom: 1px solid var(--rule); }
th { color: var(--muted); font-weight: 500; }
th:first-child, td:first-child { text-align: left; }
tbody tr:first-child { font-weight: 600; }
details { margin-top: 2.5rem; }
summary { cursor: pointer; color: var(--accent); }
pre { padding: 1rem; overflow-x: auto; background: #f6f8fa; border-radius: 6px;
  font-size: 0.82rem; line-height: 1.5; }
.foot { margin-top: 2.5rem; color: var(--muted); font-size: 0.85rem; }
@media (max-width: 32rem) {
  body { padding-top: 1.25rem; }
  h1 { font-size: 1.5rem; }
  .numbers dd { font-size: 1.15rem; }
}
""".replace("FONT", FONT)
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{css}</style>
</head>
<body>
<h1>{title}</h1>
<p class="about">{about}</p>
<p class="verdict">{verdict}</p>
<dl class="numbers">{numbers}</dl>
<div class="figures">{figures}</div>
<h2>Production</h2>
{table}
{measured}
<p class="foot">Errors in brackets are those of the last digits, by the Gamma method with autocorrelations. Only
production counts: there the guide is frozen and the chain is exact. Controls start from the same links and are chains
of their own.</p>
{configuration}
</body>
</html>
"""
TILES = (
    ("acceptance", "acceptance"),
    ("acceptance_nothing", "with no network"),
    ("acceptance_weight", "with one weight"),
    ("plaquette", "plaquette"),
    ("plaquette_reference", "plain HMC"),
    ("exp_minus_dH", "⟨exp(−δH)⟩"),
    ("tau_int_plaquette", "τ of the plaquette"),
)


def write_page(folder: str | Path) -> Path:
    """The path of the page, written anew from what the run folder holds."""
    run = read_folder(folder)
    path = run.path / "report" / "index.html"
    make_folder(path.parent)
    put_text(path, page(run))
    return path


def page(run: RunFolder) -> str:
    """The page as text."""
    stored = run.path / "config.yaml"
    text = stored.read_text(encoding="utf-8") if stored.is_file() else ""
    results = results_of(run)
    return PAGE.format(
        title=html.escape(f"hpcgauge: {run.path.resolve().name}"),
        css=CSS,
        about=html.escape(about_run(run.path)),
        verdict=html.escape(verdict(results)),
        numbers="".join(_tile(label, shown(results[key])) for key, label in TILES if results.get(key) is not None),
        figures="".join(_figure(panel) for panel in panels(run)),
        table=_table(run),
        measured=_measured(results),
        configuration=_configuration(text),
    )


def about_run(folder: Path) -> str:
    """The run of a folder in one line, nothing without a configuration there. FileFormatError if that is none."""
    stored = folder / "config.yaml"
    try:
        text = stored.read_text(encoding="utf-8") if stored.is_file() else ""
        return about(yaml.safe_load(text) or {})
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError, yaml.YAMLError) as error:
        what = str(error).splitlines() or [type(error).__name__]
        raise FileFormatError(f"{stored}: no configuration of a run ({what[0]}); put the original back") from None


def about(configuration: dict[str, Any]) -> str:
    """The run in one line: group, lattice, couplings, guide."""
    lattice, action = configuration.get("lattice") or {}, configuration.get("action") or {}
    fermion, guide = action.get("fermion"), configuration.get("guide")
    parts = []
    if lattice:
        parts.append(f"SU({lattice.get('colors')}) on {' × '.join(str(n) for n in lattice.get('extent', ()))}")
    if action.get("gauge"):
        parts.append(f"β = {action['gauge'].get('beta')}")
    parts.append(f"{fermion['tastes']} tastes, m = {fermion['mass']}" if fermion else "quenched")
    if guide:
        parts += [_guide_term(term) for term in guide.get("fermion", ())]
    else:
        parts.append("plain HMC")
    return "  ·  ".join(parts) if lattice else ""


def verdict(results: dict[str, Any]) -> str:
    """What came out, in sentences."""
    if not results["trajectories"]:
        return "No production trajectories yet."
    sentences = [
        f"Of {results['trajectories']} production trajectories {_percent(results['acceptance'])} were accepted."
    ]
    others = [
        f"{words} {_percent(results[key])}"
        for key, words in (
            ("acceptance_nothing", "without network"),
            ("acceptance_weight", "with one fitted weight instead of it"),
        )
        if results.get(key)
    ]
    if others:
        sentences.append(f"The same chain {' and '.join(others)}.")
    here, there = results["plaquette"], results["plaquette_reference"]
    if here and there and here["error"] and there["error"]:
        sigma = abs(here["value"] - there["value"]) / (here["error"] ** 2 + there["error"] ** 2) ** 0.5
        sentences.append(f"The plaquette differs from that of plain HMC by {sigma:.1f} combined standard errors.")
    return " ".join(sentences)


def _guide_term(term: dict[str, Any]) -> str:
    network = term.get("network")
    if not network:
        return f"guide m = {term['mass']}"
    layers = network.get("layers")
    name = {"cask": "CASK", "covnet": "CovNet"}.get(network.get("kind"), "network")
    return f"guide m = {term['mass']} behind {name}, {layers} layer{'s' if layers != 1 else ''}"


def _percent(pair: dict[str, float]) -> str:
    return f"{100 * pair['value']:.0f} % (± {100 * (pair['error'] or 0):.0f})"


def _tile(label: str, value: str) -> str:
    return f"<div><dt>{html.escape(label)}</dt><dd>{html.escape(value)}</dd></div>"


def _figure(panel: Panel) -> str:
    title, caption = html.escape(panel.title), html.escape(panel.caption)
    return f"<figure><h3>{title}</h3>{svg(panel)}<figcaption>{caption}</figcaption></figure>\n"


def _table(run: RunFolder) -> str:
    chains = [(run.main_name, run.main)]
    chains += [(name_of(name), chain) for name, chain in run.controls.items()]
    chains += [("plain HMC", run.reference)] if len(run.reference) else []
    head = ("", "trajectories", "acceptance", "2 P(δH < 0)", "⟨δH⟩", "⟨exp(−δH)⟩", "plaquette", "s / trajectory")
    rows = [_row(name, history.phase("produce")) for name, history in chains]
    cells = "".join(f"<th>{html.escape(cell)}</th>" for cell in head)
    return f'<div class="wide"><table><thead><tr>{cells}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'


def _measured(results: dict[str, Any]) -> str:
    """What was measured beside the plaquette, nothing if nothing was."""
    rows = [(label, shown(results[key])) for key, label in labels(results).items() if key.startswith(MEASURED)]
    cells = "".join(f"<tr><td>{html.escape(label)}</td><td>{html.escape(value)}</td></tr>" for label, value in rows)
    head = "<h2>Measurements</h2><table><thead><tr><th></th><th>value(error)</th></tr></thead>"
    return f"{head}<tbody>{cells}</tbody></table>" if rows else ""


def _row(name: str, history: History) -> str:
    dH = history.column("dH")
    estimates = (accepted(history), twice_negative(dH), gamma(dH), exp_minus_dH(dH), gamma(history.column("plaquette")))
    seconds = sorted(history.column("seconds"))
    cells = [name, str(len(history)), *map(str, estimates), f"{seconds[len(seconds) // 2]:.3f}" if seconds else "–"]
    return "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells) + "</tr>"


def _configuration(text: str) -> str:
    if not text:
        return ""
    return f"<details><summary>Configuration</summary><pre>{html.escape(text)}</pre></details>"
