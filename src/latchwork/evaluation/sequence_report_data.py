"""The sections of the report of a classifier or labeller about the data, the leak audit, and how it was made."""

import platform
from importlib.metadata import version
from xml.etree.ElementTree import Element

import numpy as np

from latchwork import storage
from latchwork.evaluation import report_sections
from latchwork.evaluation import sequence_report_figures as draw
from latchwork.evaluation.leaks import Finding
from latchwork.evaluation.report_parts import bullets, facts, picture, section, table
from latchwork.evaluation.sequence_report_view import PARTS, SequenceView
from latchwork.evaluation.svg import element as h
from latchwork.modalities import Images, Records, Text

LABELS = 24
"""Labels that a table lists."""

NAMES = {"class": "one class", "labels": "any of several labels", "ordinal": "a grade", "number": "a number"}
TITLES = {"roc_auc": "ROC-AUC", "span_f1": "span F1", "f1": "F1", "mcc": "MCC", "rmse": "RMSE"}
KINDS = {"text": "texts", "records": "series", "image": "images"}


def data(view: SequenceView) -> Element:
    """What was read, what of it was cut or is unknown, how it was split, and how often each label is in each part."""
    split, labelled = view.setup.split, view.labelled
    asked = "a label for each step" if view.targets.kind == "steps" else NAMES[view.targets.kind]
    asked += ", spans" if view.targets.spans else ""
    known = [
        ("File", view.name),
        ("Sequences", f"{len(labelled):,} {KINDS[view.kind]}"),
        ("Asked for", asked),
        ("Labels", f"{len(view.targets.classes):,}" if view.targets.classes else "–"),
        ("Split", split.name),
    ]
    if labelled.groups is not None:
        known.append(("Entities", f"{len(set(labelled.groups)):,}"))
    known.append(("SHA-256", labelled.sha256))
    lengths = np.concatenate([view.lengths(name) for name in PARTS])
    same = len(np.unique(lengths)) <= 1
    notes = [*dict.fromkeys([*split.notes, *view.setup.notes])]
    if split.left_out:
        notes.append(f"{split.left_out:,} sequences are in no part: without a label, or on the wrong side of a cut")
    return section(
        "data",
        "Data",
        facts(known),
        bullets(read_lines(view)),
        h("h3", "What was learned from, and what was held back"),
        _parts_table(view),
        bullets(notes) if notes else None,
        _labels_table(view) if view.targets.classes else None,
        h("p", f"Every sequence has {lengths[0]:,} steps.", cls="quiet")
        if same and len(lengths)
        else picture(
            lambda width: draw.lengths(view, width),
            "How long the sequences are, as the network reads them. Parts that differ here are not alike.",
            view.source,
            heading="Steps of a sequence",
        ),
    )


def read_lines(view: SequenceView) -> list[str]:
    """How the modality reads the sequences, a line each: what is cut, unknown or missing."""
    modality = view.pipeline.modality
    if isinstance(modality, Text):
        return list(modality.summary)
    if isinstance(modality, Images):
        color = "grey" if len(modality.mean) == 1 else "in colour"
        return [f"images of {modality.height} x {modality.width} pixels, {color}, read column by column"]
    assert isinstance(modality, Records)
    held = [view.labelled.content[row] for row in view.part("training")]
    columns = held[0].columns
    lines = [f"{len(columns.numbers):,} columns of numbers: {_some(columns.numbers)}"] if columns.numbers else []
    lines += [f"columns of categories: {_some(columns.texts)}"] if columns.texts else []
    constant = [*columns.static_numbers, *columns.static_texts]
    lines += [f"of the whole sequence: {_some(constant)}"] if constant else []
    missing = sum(int(np.isnan(one.numbers).sum()) for one in held)
    whole = sum(one.numbers.size for one in held)
    share = missing / max(1, whole)
    lines.append(
        f"{share:.1%} of the training numbers are missing: a mask says which" if missing else "no number missing"
    )
    limit = view.task.max_length
    cut = 0 if limit is None else sum(one.steps > limit for one in held)
    if cut:
        lines.append(f"{cut:,} of {len(held):,} sequences have more than {limit:,} steps and are cut")
    return lines


def _some(names: tuple[str, ...] | list[str], most: int = 12) -> str:
    return ", ".join(names[:most]) + (f", … ({len(names)} in all)" if len(names) > most else "")


def _parts_table(view: SequenceView) -> Element:
    rows = []
    groups = view.labelled.groups
    for name in PARTS:
        chosen, own = view.part(name), view.lengths(name)
        cells = [name, f"{len(chosen):,}"]
        if groups is not None:
            cells.append(f"{len({groups[row] for row in chosen}):,}")
        shown = [f"{own.min():,}", f"{np.median(own):,.0f}", f"{own.max():,}"] if len(own) else ["–"] * 3
        rows.append([*cells, *shown])
    headers = ["part", "sequences", *(["entities"] if groups is not None else []), "fewest steps", "median", "most"]
    caption = "The network learned from training, was chosen on validation, and answered for the test part once."
    return table(headers, rows, caption=caption, numeric=range(1, len(headers)))


def _labels_table(view: SequenceView) -> Element:
    found = {name: view.counts(name) for name in PARTS}
    order = np.argsort(-found["training"][0], kind="stable")
    if view.targets.kind == "ordinal":
        order = np.arange(len(order))
    rows = []
    for at in order[:LABELS]:
        cells = [view.targets.classes[at]]
        for counts, _ in found.values():
            part = counts[at] / max(1, int(counts.sum()))
            cells += [f"{counts[at]:,}", "<0.1%" if 0 < part < 0.0005 else f"{part:.1%}"]
        rows.append(cells)
    unseen = {name: unknown for name, (_, unknown) in found.items() if unknown}
    what = "steps" if view.targets.kind == "steps" else "sequences"
    caption = f"How many {what} of each part have each label."
    caption += f" The {LABELS} most frequent of {len(order)}." if len(order) > LABELS else ""
    for name, count in unseen.items():
        caption += f" In {name} {count:,} steps have a label that training never saw; they count as wrong."
    headers = ["label", *(part for name in PARTS for part in (name, "share"))]
    return table(headers, rows, caption=caption, numeric=range(1, 7))


def audit(view: SequenceView) -> Element:
    """What the leak audit found, the worst first."""
    findings = list(view.report.findings)
    if not findings:
        text = (
            "Nothing was found on both sides of the split: no entity, no content, no run of steps, no telling feature. "
            "Steps are compared as they are: copies that were rescaled, resampled or made noisy are not seen, nor "
            "texts in other words."
        )
        return section("leaks", "Leak audit", text)
    return section("leaks", "Leak audit", *(_finding(one) for one in findings))


def _finding(one: Finding) -> Element:
    sentence = one.sentence[:1].upper() + one.sentence[1:]
    return h(
        "div",
        h("p", h("span", f"{one.severity}, {one.check}: ", cls="severity"), f"{sentence}. {one.advice}"),
        bullets(one.examples) if one.examples else None,
        cls=f"finding {one.severity}",
    )


def training(view: SequenceView) -> Element:
    """Learning curves, as in every report, and the figure on validation that decided what was kept."""
    part = report_sections.training(view)
    figures = [name for name in (view.validations[0]["validation"] if view.validations else {}) if name != "choice"]
    name = next((name for name in figures if name != "loss"), "")
    if name and len(view.validations) > 1:
        title = TITLES.get(name, name.replace("_", " "))
        caption = "Taken at each validation: by it, and a little by the loss, the weights that were kept are chosen."
        source, heading = f"metrics.jsonl · {view.source}", f"{title} on validation"
        heading = heading[:1].upper() + heading[1:]
        part.insert(2, picture(lambda width: draw.judged(view, name, title, width), caption, source, heading=heading))
    augment = view.task.augment
    part.append(h("h3", "Augmentation"))
    if augment.on:
        part.append(h("p", "Each time a training sequence is seen, and nothing at validation and test:"))
        part.append(bullets(augment.describe()))
    else:
        part.append(h("p", "None: training sequences were seen as they are."))
    return part


def made(view: SequenceView) -> Element:
    """All that it takes to make the report again, and what to type next."""
    pipeline, report, network = view.pipeline, view.report, view.pipeline.network
    weights = sum(parameter.numel() for parameter in pipeline.module.parameters())
    both = ", both directions" if network.bidirectional else ""
    cell = network.cell if isinstance(network.cell, str) else getattr(network.cell, "__name__", str(network.cell))
    layers = f"{network.layers} layer{'' if network.layers == 1 else 's'}"
    shape = f"{cell}, {network.hidden_size} units, {layers}{both}"
    known = [
        ("Network", shape),
        ("Weights", f"{weights:,}"),
        ("Pooling", str(getattr(view.task, "pooling", None) or ("CRF" if pipeline.module.crf is not None else "–"))),
        ("Temperature", f"{pipeline.temperature:.3g}"),
        ("Seed", str(view.options.seed)),
        ("Device", f"{view.options.device}, {view.options.precision}"),
        ("latchwork", version("latchwork")),
        ("torch", version("torch")),
        ("Python", f"{platform.python_version()} on {platform.machine()}"),
        ("Data, SHA-256", view.labelled.sha256),
        ("Options, SHA-256", storage.sha256(report.config.encode())),
    ]
    return section(
        "made",
        "How it was made, and what is next",
        facts(known),
        h("p", "Next, for sequences without a label:") if report.command else None,
        h("pre", h("code", report.command)) if report.command else None,
        h(
            "p",
            "The same options, data and seed give the same model on the same machine. Saved as run.toml, this is "
            "what --config takes:",
        ),
        h("pre", h("code", report.config), tabindex="0"),
    )
