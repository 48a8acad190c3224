"""Exercises: a student writes a function, a check names the mistake, and the function then trains a GAN.

catalogue.py   the list: what each exercise replaces in the library, its level, lesson and hints
stubs/         the files that a student fills in
checks.py      what each must do
runner.py      runs a check on a student's file, in a process of its own with a time limit
in_place.py    puts a student's functions in the library's place
commands.py    `minigan exercise`
"""

from minigan.exercises.catalogue import EXERCISES, Exercise, find
from minigan.exercises.in_place import in_place
from minigan.exercises.runner import Result, check, check_file, check_folder

__all__ = ["EXERCISES", "Exercise", "Result", "check", "check_file", "check_folder", "find", "in_place"]
