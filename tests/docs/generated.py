"""The generated parts of the documentation: the help of the command, and the tables of metrics, methods and measures.

``python -m tests.docs.generated`` writes them into the pages; a test fails when they are out of date.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import tmi
from tmi.probing.attribution import MeasureInfo

from .pages import ROOT

COMMAND = ROOT / "docs" / "command.md"
PROBES = ROOT / "docs" / "probes.md"
ATTRIBUTION = ROOT / "docs" / "attribution.md"

# Settings that make slow probes fast. The set of metrics does not depend on them.
_QUICK: dict[str, dict[str, Any]] = {
    "attack": {"images": 4, "steps": 2},
    "attribution": {"images": 2},
    "attribution-bench": {"images": 2, "method": "integrated-gradients(steps=4)"},
    "background-kinds": {"tiles": 2, "backgrounds": 5},
    "decodability": {"images": 30, "folds": 2},
    "deformation": {"images": 10},
    "ig-convergence": {"steps": [10, 20]},
    "linear-regions": {"images": 10, "paths": 1},
    "local-linear-form": {"tiles": 2, "backgrounds": 3, "places": 3},
    "superposition": {"images": 30},
}

_HEAD = """# The command

<!-- Written by python -m tests.docs.generated -->

`tmi` lists the registered names, checks and runs suites, shows results, and maintains the store. `python -m tmi` is the same
command. `tmi --version` prints the versions of tmi, Python and the libraries on which numbers depend.

| exit code | meaning |
|---|---|
| 0 | all cells have a result, or are not applicable |
| 1 | some cells failed; the results of the others are kept |
| 2 | the suite or the call is wrong, or the store, the workers or an output cannot be used; the message says what |
| 130 | stopped with Ctrl-C; finished results are kept |

Paths are relative to the working folder in which the command starts, also where a plug-in changes it; `~` is the home folder, in
Python as well. `--json -`, or `/dev/stdout`, writes the rows to standard output and nothing else: the summary, and what plug-ins,
their libraries and child processes print, goes to standard error. `tmi store export -` and `tmi results --out -` do the same with
their tables. Characters that the encoding of the output does not have are replaced.

```sh
tmi run suite.toml --json - | jq '.[] | select(.metric == "accuracy") | .value'
tmi run suite.toml --dry-run --json - | jq '.seconds'
tmi list methods --json - | jq -r '.[].name'
```

Every command that lists something has `--json`. Data goes to standard output; progress, warnings, errors, and the reasons why
cells have no numbers go to standard error. `--report`, `--json` and `--out` are tried before anything is computed: a file is
written and removed. The folder of a report is made where it is missing, that of a file is not. If an output fails all the same,
as on a disk that has become full, the exit code is 2, and the results are in the store.

A kind may be given in the plural, as listings print it: `tmi list methods`.

## Completion

`tmi completion` prints the line that belongs into the start-up file of bash, zsh or fish. Then the Tab key completes
subcommands, options, suites (registered ones and TOML files), kinds, and the names of data sets, networks, probes, methods,
measures and reports.

```console
$ tmi completion
eval "$(tmi completion bash)"            # in ~/.bashrc; bash 4.4 or later
eval "$(tmi completion zsh)"             # in ~/.zshrc, after compinit
tmi completion fish | source             # in ~/.config/fish/config.fish
```

## Colours

A terminal gets colours and a progress bar; a file or a pipe gets neither. `NO_COLOR=1`, `CLICOLOR=0` and `TERM=dumb` turn
colours off, and `FORCE_COLOR=1` or `CLICOLOR_FORCE=1` turns them on in files and pipes; `NO_COLOR` wins.

## Tables of results

`tmi results` prints a table for each probe, with a column for each network. The rows are the swept values, such as the methods
of `attribution-bench`; where nothing is swept they are the data sets, or the metrics if there are several. A value is the mean
over the seeds ± half the width of its 95 % interval by Student's t; the title has the number of seeds, and a value of fewer
seeds has theirs in brackets. It is no standard deviation: that is the column `std` of `--format csv` and `--format json`. In
place of a value, `failed`, `n/a` (not applicable) and `missing` (not computed) say why there is none, and `–` that the result
has no such metric. A network without the metric has no column.

Without `--metric` and `--all` the main metric of each probe is shown: `NAME.mean`, where the probe so sums up its metrics
`NAME.…`, as `skill.mean`; else the first that has a direction, which is higher or lower is better, and is no control. `--metric
mcc` is all metrics `mcc.…` without controls, `--metric "mcc.*"` all that fit the pattern.

Below the tables, and below the summary of `tmi run`, are the reasons why cells have no numbers, grouped, with counts: what
failed, what is not applicable, and what a probe noted as `refused` or `not scored`, as an attribution method that is not sound
for a network.
"""


def command_page() -> str:
    """Return the page with the help of the command and of each subcommand."""
    import click

    from tmi.cli import main

    parts = [_HEAD, "```text", _help(main, "tmi"), "```"]
    for name in main.list_commands(click.Context(main)):
        command = main.commands[name]
        parts += ["", f"## `tmi {name}`", "", "```text", _help(command, f"tmi {name}"), "```"]
        for subcommand in command.list_commands(click.Context(command)) if isinstance(command, click.Group) else ():
            path = f"tmi {name} {subcommand}"
            parts += ["", f"### `{path}`", "", "```text", _help(command.commands[subcommand], path), "```"]
    return "\n".join(parts) + "\n"


def _help(command: object, path: str) -> str:
    import click

    assert isinstance(command, click.Command)
    options = {"help_option_names": ["-h", "--help"], "max_content_width": 100, "terminal_width": 100}
    with click.Context(command, info_name=path, **options) as context:  # type: ignore[arg-type]
        text = command.get_help(context)
    return "\n".join(line.rstrip() for line in text.splitlines())


def with_metrics(page: str) -> str:
    """Return a page with the table of each probe's metrics between its marks."""
    tables = metric_tables()
    return re.sub(
        r"(<!-- metrics: (\S+) -->\n).*?(<!-- end -->)", lambda m: f"{m[1]}\n{tables[m[2]]}\n\n{m[3]}", page, flags=re.S
    )


def with_catalogue(page: str) -> str:
    """Return a page with the tables of attribution methods and measures between their marks."""
    tables = {"methods": methods_table(), "measures": measures_table()}
    return re.sub(
        r"(<!-- (methods|measures) -->\n).*?(<!-- end -->)", lambda m: f"{m[1]}\n{tables[m[2]]}\n\n{m[3]}", page, flags=re.S
    )


def methods_table() -> str:
    """Return the table of attribution methods: description, what each needs, its settings with their defaults."""
    from tmi.params import parameters
    from tmi.plugins.registry import installed
    from tmi.probing.attribution import GIVEN, method_info

    rows = ["| method | what it is | needs | settings |", "|---|---|---|---|"]
    order = {"input": 0, "layer": 2, "neuron": 3}
    methods = [installed().find("method", name) for name in tmi.names("method")]
    for method in sorted(methods, key=lambda c: order[method_info(c.function).level] + method_info(c.function).control):
        needs = ", ".join(f"`{need}`" for need in method_info(method.function).needs)
        settings = ", ".join(f"{p.name} = {p.default}" for p in parameters(method.function, GIVEN["method"]).values())
        rows.append(f"| `{method.name}` | {_cell(method.summary())} | {needs} | {_cell(settings)} |")
    return "\n".join(rows)


def measures_table() -> str:
    """Return the table of measures of attributions: definition, topic, scored values, direction and range."""
    from tmi.plugins.registry import installed
    from tmi.probing.attribution import TOPICS, measure_info

    rows = ["| measure | definition | about | scored | better | range | needs no truth |", "|---|---|---|---|---|---|---|"]
    measures = [installed().find("measure", name) for name in tmi.names("measure")]
    for measure in sorted(measures, key=lambda c: TOPICS.index(measure_info(c.function).topic)):
        info = measure_info(measure.function)
        scored = {"absolute": "\\|a\\|", "positive": "max(a, 0)", "signed": "a"}[info.scored]
        free = "yes" if info.truth_free else ""
        cells = [f"`{measure.name}`", _cell(measure.summary()), info.topic, scored, info.better, _range(info), free]
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def metric_tables() -> dict[str, str]:
    """Return for each built-in probe the table of its metrics, from the descriptions in its results."""
    from tmi_attribution import disguises
    from tmi_paper.heuristics import INFO
    from tmi_probes.causes import activation_patching
    from tmi_probes.circuits import feature_neurons, logit_decomposition, weight_sparsity
    from tmi_probes.layers import dictionary, direction_recovery
    from tmi_probes.neurons import kept_meaning
    from tmi_probes.representation import activation_maximisation
    from tmi_probes.robustness import spectrum

    data = tmi.generate("squares", seed=1, samples=20, test_samples=60)
    # Some metrics have a value on constructed networks only, some on trained networks only.
    networks = [tmi.build("theorem1", data), tmi.build("cnn", data, filters=1, kernel=2, hidden=0, epochs=1)]
    # The statements of squares-heuristics may all be without a case on a small data set, so that its result has no metrics.
    infos: dict[str, Mapping[str, tmi.MetricInfo]] = {"squares-heuristics": INFO}
    infos["activation-patching"] = activation_patching.INFO  # some need logits that are not linear in the layer
    infos["weight-sparsity"] = weight_sparsity.INFO  # some are of several convolutions
    infos["spectrum"] = spectrum.INFO  # some need more templates than squares do
    infos["logit-decomposition"] = logit_decomposition.INFO  # some need units that see the background alone
    infos["feature-neurons"] = feature_neurons.INFO  # some need further images
    infos["dictionary"] = dictionary.INFO  # its fits take a minute
    infos["direction-recovery"] = direction_recovery.INFO  # its fits take a quarter of a minute
    infos["disguises"] = disguises.INFO  # both networks may be refused, or have no gradient
    infos["kept-meaning"] = kept_meaning.INFO  # some need weights that are 0 before training
    infos["activation-maximisation"] = activation_maximisation.INFO  # tiles of one value have no correlation
    for name in set(tmi.names("probe")) - set(infos):
        constructed, trained = (tmi.probe(name, network, data, **_QUICK.get(name, {})).info for network in networks)
        infos[name] = _merged(constructed, trained)
    return {name: _table(info) for name, info in infos.items()}


def _merged(first: Mapping[str, tmi.MetricInfo], second: Mapping[str, tmi.MetricInfo]) -> dict[str, tmi.MetricInfo]:
    """Return all metrics of both. One that only the second has is placed after the metric that precedes it there."""
    order, previous = list(first), None
    for name in second:
        if name not in order:
            order.insert(order.index(previous) + 1 if previous else 0, name)
        previous = name
    return {name: {**first, **second}[name] for name in order}


def _table(infos: Mapping[str, tmi.MetricInfo]) -> str:
    rows = [f"| `{name}` | {_text(info)} | {info.better or '–'} | {_range(info)} |" for name, info in infos.items()]
    return "\n".join(["| metric | meaning | better | range |", "|---|---|---|---|", *rows])


def _text(info: tmi.MetricInfo) -> str:
    return _cell(info.text) + (f" [{info.unit}]" if info.unit else "")


def _range(info: tmi.MetricInfo | MeasureInfo) -> str:
    low, high = ("−∞" if info.low is None else f"{info.low:g}"), ("∞" if info.high is None else f"{info.high:g}")
    return f"{low} to {high}".replace("-", "−")


if __name__ == "__main__":
    COMMAND.write_text(command_page(), encoding="utf-8")
    ATTRIBUTION.write_text(with_catalogue(ATTRIBUTION.read_text(encoding="utf-8")), encoding="utf-8")
    PROBES.write_text(with_metrics(PROBES.read_text(encoding="utf-8")), encoding="utf-8")
