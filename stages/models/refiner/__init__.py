"""A refiner of our own: a Llama-class model of under a million parameters that writes ProX programs (methods 1.8).

It reads a chunk of numbered lines and goes through them: it names each in a comment, `# 012`, and writes
`remove_lines(line_start=012, line_end=012)` behind it when the line is no main text; `keep_all()` when none is noise. A
line's number is one token, and the program repeats it as it stands before the line.
"""
