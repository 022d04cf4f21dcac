"""A refiner of our own: a Llama-class model of under a million parameters that writes ProX programs (methods 1.8).

It reads a chunk of numbered lines and writes `remove_lines(line_start=012, line_end=014)` for each run of lines that
are no main text, or `keep_all()`. A line's number is one token, and the program repeats it as the line has it.
"""
