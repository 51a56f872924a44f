"""Every way to integers on every network: what is run, and what is kept of it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console

from moesaic.campaign.campaign import run_campaign
from moesaic.campaign.case import Case
from moesaic.campaign.kept_results import content_key
from moesaic.campaign.workers import in_this_process
from moesaic.model.experiments.ptq.brevitas_peer import Setting, brevitas_predictions, brevitas_version
from moesaic.model.experiments.ptq.ivit_peer import ivit_predictions
from moesaic.model.experiments.ptq.onnxruntime_peer import onnxruntime_predictions
from moesaic.model.experiments.ptq.subjects import Predictions, Subject
from moesaic.model.experiments.real.fidelity import decibels
from moesaic.model.quantisation.post_training import integer_network

_VERSION = 1
"""Of everything that is kept; raise it when code changes what a way gives."""


@dataclass(frozen=True)
class Way:
    """A way to integers. title: heading of its column. predict: what a network predicts then. depends: what the result depends on."""

    title: str
    predict: Callable[[Subject], Predictions]
    depends: Mapping[str, object]


@dataclass(frozen=True)
class Figures:
    """Of one task of one network. metric: its title. real: its value in floating point.

    decibels, values: signal to noise against floating point and the metric, by the title of the way; those that failed are missing.
    """

    network: str
    task: str
    metric: str
    higher_is_better: bool
    real: float
    decibels: dict[str, float]
    values: dict[str, float]


@dataclass(frozen=True)
class Study:
    """What was found. failed: why a way has no figures for a network, by network and way."""

    ways: tuple[str, ...]
    figures: tuple[Figures, ...]
    failed: dict[tuple[str, str], str]

    def to_dict(self) -> dict:
        """In types that JSON has."""
        failed = [{"network": network, "way": way, "why": why} for (network, way), why in self.failed.items()]
        return {"ways": list(self.ways), "figures": [asdict(one) for one in self.figures], "failed": failed}


def ways_to_integers(python: Path | None) -> list[Way]:
    """Ours first, then others. python: an interpreter with Brevitas; None leaves it out. UserError if it has none."""
    ways = [Way("moesaic", _ours, {"tool": "moesaic"})]
    for method in ("MinMax", "Percentile"):
        ways.append(_onnxruntime(method))
    if python is not None:
        version = brevitas_version(python)
        for title, setting in (
            ("Brevitas", Setting(gptq=False)),
            ("Brevitas, GPTQ", Setting()),
            ("Brevitas, GPTQ, equalised", Setting(equalise=True)),
        ):
            ways.append(_brevitas(title, setting, python, version))
    return [*ways, _ivit("I-ViT", float_gelu=False), _ivit("I-ViT, GELU in float", float_gelu=True)]


def _ours(subject: Subject) -> Predictions:
    network = integer_network(subject.model, subject.calibration)
    return {task: network.predict(subject.measured, task, batch=4) for task in subject.configuration.task_names}


def _onnxruntime(method: str) -> Way:
    import onnxruntime

    depends = {"tool": "onnxruntime", "version": onnxruntime.__version__, "method": method}
    return Way(f"onnxruntime, {method}", lambda subject: onnxruntime_predictions(subject, method), depends)


def _brevitas(title: str, setting: Setting, python: Path, version: str) -> Way:
    depends = {"tool": "Brevitas", "version": version, **asdict(setting)}
    return Way(title, lambda subject: brevitas_predictions(subject, setting, python), depends)


def _ivit(title: str, float_gelu: bool) -> Way:
    return Way(
        title, lambda subject: ivit_predictions(subject, float_gelu), {"tool": "I-ViT", "float_gelu": float_gelu}
    )


def measure(subject: Subject, way: Way) -> dict[str, dict[str, float]]:
    """By task: "decibels" of the predictions against floating point's, and the "value" of the metric."""
    predictions = way.predict(subject)
    values = subject.judge(predictions)
    return {
        task: {"decibels": decibels(subject.real[task], found), "value": values[task]}
        for task, found in predictions.items()
    }


def run_study(subjects: Sequence[Subject], ways: Sequence[Way], directory: Path, console: Console) -> Study:
    """Every way on every network, one after the other; results are kept in `directory` under a hash of what they depend on."""
    cases = [
        Case(
            content_key({"version": _VERSION, "subject": subject.key, **way.depends}),
            f"{subject.title}: {way.title}",
            measure,
            (subject, way),
        )
        for subject in subjects
        for way in ways
    ]
    found: dict[tuple[str, str], dict[str, dict[str, float]]] = {}
    failed: dict[tuple[str, str], str] = {}
    outcomes = run_campaign(
        cases, in_this_process(), kept=directory, console=console, title="networks in integers", total=len(cases)
    )
    for outcome in outcomes:
        subject, way = outcome.case.arguments
        if outcome.error is not None:
            failed[subject.title, way.title] = str(outcome.error)
            continue
        found[subject.title, way.title] = outcome.result
        if not outcome.kept:
            shown = ", ".join(f"{task} {figures['decibels']:.1f} dB" for task, figures in outcome.result.items())
            console.print(f"  {outcome.case.title}: {shown}", highlight=False, soft_wrap=True)
    titles = tuple(way.title for way in ways)
    return Study(titles, tuple(one for subject in subjects for one in _figures(subject, titles, found)), failed)


def _figures(
    subject: Subject, ways: Sequence[str], found: Mapping[tuple[str, str], dict[str, dict[str, float]]]
) -> list[Figures]:
    real, measured = subject.judge(subject.real), {way: found.get((subject.title, way), {}) for way in ways}
    return [
        Figures(
            network=subject.title,
            task=task,
            metric=metric.title,
            higher_is_better=metric.higher_is_better,
            real=real[task],
            **{
                name: {way: by_task[task][entry] for way, by_task in measured.items() if task in by_task}
                for name, entry in (("decibels", "decibels"), ("values", "value"))
            },
        )
        for task, metric in subject.metrics.items()
    ]
