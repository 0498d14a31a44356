"""Eye state from EEG, a label for each step: the end of the recording is the test, beside the last label."""

from common import data, labelled, run

import latchwork as lw


def measure(seed: int) -> dict[str, object]:
    task = lw.Label(max_length=128, by_time=True)
    return labelled(task, data("eeg_eye_state", "EEG_Eye_State.arff.gz"), seed)


if __name__ == "__main__":
    run("eeg_eye_state", measure)
