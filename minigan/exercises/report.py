"""The teacher's table: the exercises of many students as a CSV file, which opens in a spreadsheet."""

import csv
import io
import os
from collections.abc import Iterable
from pathlib import Path

from minigan.checkpoint import write_file
from minigan.exercises.catalogue import EXERCISES, STUBS, Exercise
from minigan.exercises.files import Folder
from minigan.exercises.result import Result, plain_text
from minigan.exercises.runner import check_all, read

COLUMNS = ("folder", "number", "exercise", "level", "lesson", "status", "diagnosis", "note")
FORMULAS = ("=", "+", "-", "@", "\t", "\r")  # with these a spreadsheet may take a cell for a formula, and compute it


def write_report(folders: Iterable[Path], output: Path) -> None:
    """Check every exercise of these folders, print how many pass in each, and write the table.

    All files of all students are read before any student's code runs, so that none can change another's.
    """
    for folder in folders:
        if not folder.is_dir():
            raise ValueError(f"{_shown(folder)} is not a folder")
    # Now, not after the first folder, is the time to learn that it cannot be written. An earlier table stays till then.
    write_file(output, output.read_bytes() if output.is_file() else b"")
    everyone = [read(folder) for folder in folders]
    text = io.StringIO()
    table = csv.writer(text)
    table.writerow(COLUMNS)
    for folder in everyone:
        results = list(check_all(folder))
        for exercise, result in zip(EXERCISES, results, strict=True):
            table.writerow([_cell(value) for value in _row(exercise, result, folder, everyone)])
        print(f"{_shown(folder.path)}: {sum(r.passed for r in results)} of {len(results)} passed", flush=True)
        write_file(output, text.getvalue().encode())  # after each folder: nothing is lost if it is stopped


def _row(exercise: Exercise, result: Result, folder: Folder, everyone: list[Folder]) -> list[object]:
    about = [_shown(folder.path), exercise.number, exercise.name, exercise.level, exercise.lesson]
    diagnosis = " | ".join(line.strip() for line in result.message.splitlines())
    notes = [result.note] if result.note else []
    if exercise.file in folder.links:
        notes.append("is a link")
    notes += [f"same bytes as {_shown(other.path)}" for other in _twins(exercise, folder, everyone)[:1]]
    return [*about, result.status, diagnosis, "; ".join(notes)]


def _twins(exercise: Exercise, folder: Folder, everyone: list[Folder]) -> list[Folder]:
    """The other students who handed in the very same file, if it is not as it was handed out."""
    content = folder.files.get(exercise.file)
    if content is None or content == (STUBS / exercise.file).read_bytes():
        return []
    return [other for other in everyone if other is not folder and other.files.get(exercise.file) == content]


def _shown(path: Path) -> str:
    """A path for people: what is not UTF-8 in a name is spelled out, byte by byte."""
    return plain_text(os.fsencode(path).decode("utf-8", "backslashreplace"))


def _cell(value: object) -> object:
    """A cell of the table. An apostrophe before a formula makes plain text of it."""
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULAS) else value
