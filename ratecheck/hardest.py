"""The hardest instances of a trial, written down so that one line certifies each of them again."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from pathlib import Path

from properties.store import write_atomically
from properties.verdict import JudgedRun, PointwiseEvidence, Verdict

#: The last step that a line asks to be certified; whatever lies beyond takes more than seconds.
MOST_STEPS = 2000


def save_hardest(verdicts: Sequence[Verdict], folder: Path, file: Path | None = None) -> dict[str, list[str]]:
    """Write the hardest instances of every theorem into a folder, each once however many theorems share it.

    Parameters
    ----------
    folder : Path
        Created if need be.  A file has the name of its instance's id, so that writing twice changes nothing.
    file : Path, optional
        The file of the user's own theorems, for the command line.

    Returns
    -------
    dict
        By theorem id, a command for each of its hardest instances, the hardest first: it certifies all steps up
        to the one with the largest ratio, where there are at most `MOST_STEPS`.

    Raises
    ------
    StoreError
        If a file cannot be written.
    """
    written: dict[str, Path] = {}
    commands: dict[str, list[str]] = {}
    for verdict in verdicts:
        evidence = verdict.evidence
        if not isinstance(evidence, PointwiseEvidence):
            continue  # only claims at every step can be certified on a run
        for run in evidence.hardest:
            id = run.instance.id
            if id not in written:
                written[id] = folder / f"{id}.json"
                write_atomically(written[id], json.dumps(run.instance.to_json(), indent=1) + "\n")
            line = certify_line(verdict.theorem.id, written[id], run, file)
            commands.setdefault(verdict.theorem.id, []).append(line)
    return commands


def certify_line(theorem: str, path: Path, run: JudgedRun, file: Path | None) -> str:
    """The one line that certifies a theorem on a stored instance, up to the step of the largest ratio."""
    words = ["ratecheck", "certify", theorem, str(path), "--steps", str(min(run.step, MOST_STEPS))]
    return shlex.join(words + (["--file", str(file)] if file else []))
