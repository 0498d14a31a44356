"""PhysioNet 2012, set A: death in hospital from the first 48 hours, five folds, ROC-AUC (mean of the folds)."""

from common import data, run

import latchwork as lw


def measure(seed: int) -> dict[str, object]:
    task = lw.Classify(
        id="RecordID", time="Time", variable="Parameter", value="Value", label="In-hospital_death",
        labels=data("physionet2012", "Outcomes-a.txt"), static=("Age", "Gender", "Height", "ICUType", "Weight"),
        missing=-1, period=1, metric="roc_auc",
    )  # fmt: skip
    found = lw.cross_validate(task, data("physionet2012", "set-a.tar.xz"), folds=5, seeds=(seed,))
    return {"table": found.folds.table()}


if __name__ == "__main__":
    run("physionet2012", measure)
