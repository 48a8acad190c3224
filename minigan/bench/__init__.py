"""`minigan bench`: how fast is minigan beside PyTorch, and beside another version of itself?

workloads.py      the five training steps, W1 to W5, as lists of layers that both sides build
minigan_side.py   such a step in minigan
torch_side.py     the same in PyTorch, as tutorials write it and tuned
worker.py         a process that does one side's steps when it is told to
turns.py          lets the processes take turns, and sees to it that these are fair
compare.py        proves that all sides compute the same, and prints the tables
"""
