"""`python -m minigan.exercises NAME FILE FOLDER SECONDS`: the process in which a student's file is checked."""

import sys

from minigan.exercises.runner import main

main(*sys.argv[1:])
