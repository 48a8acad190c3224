"""Exercises: a student writes a function, a check names the mistake, and the function then trains a GAN.

stubs/         the files that a student fills in
catalogue.py   the list: how each exercise is judged, what it replaces in the library, its hints
judges/        what each function must do, and what is wrong with it if it does not
runner.py      runs a check on a student's file, in a process of its own with a time limit
in_place.py    puts a student's functions in the library's place
commands.py    `minigan exercise`
"""

from minigan.exercises.catalogue import EXERCISES, Exercise, find
from minigan.exercises.in_place import in_place
from minigan.exercises.runner import Result, check, check_file, check_folder

__all__ = ["EXERCISES", "Exercise", "Result", "check", "check_file", "check_folder", "find", "in_place"]
