"""Exercises: a student writes a function, a check names the mistake, and the function then trains a GAN.

stubs/         the files that a student fills in
catalogue.py   the list: how each exercise is judged, what it replaces in the library, its hints
judges/        what each function must do, and what is wrong with it if it does not
runner.py      runs a check on a student's files or functions: read it first
files.py       what a student handed in, read before any of it runs
isolation.py   a process of its own for each check, with limits; child.py is what runs in there
loading.py     a student's file as a module, which may import what lies beside it
own.py         what is minigan's own, and was it called or changed?
result.py      what came of a check
report.py      the teacher's table
in_place.py    puts a student's functions in the library's place
commands.py    `minigan exercise`
"""

from minigan.exercises.catalogue import EXERCISES, Exercise, find
from minigan.exercises.in_place import in_place
from minigan.exercises.result import Result
from minigan.exercises.runner import check, check_file, check_folder

__all__ = ["EXERCISES", "Exercise", "Result", "check", "check_file", "check_folder", "find", "in_place"]
