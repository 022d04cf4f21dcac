"""The golden cases of methods 1.7: (program, text, decision, faults) over the document D."""

LINES = [
    "Home > Staff > Search",
    "Dr Tim Overton",
    "Dr Tim Overton is a biochemist who studies bioprocess engineering and flow cytometry of microbes in depth.",
    "Google scholar: http://scholar.google.co.uk/x Pages: 1 3 4",
    "Contact us | Privacy",
]
D = "\n".join(LINES)
GOLDEN = [
    (
        'remove_lines(start=0, end=0)\nnormalize(source_str="http://scholar.google.co.uk/x", target_str="")\n'
        "remove_lines(start=4, end=4)",
        "\n".join([*LINES[1:3], "Google scholar:  Pages: 1 3 4"]),
        "refined",
        0,
    ),
    ("remove_lines(line_start=0, line_end=0)", "\n".join(LINES[1:]), "refined", 0),
    ("untouch_doc()", D, "untouched", 0),
    ("keep_chunk()", D, "untouched", 0),
    ('normalize(source_str="Pages: 1 3 4")', D.replace("/x Pages: 1 3 4", "/x "), "refined", 0),
    ('normalize(source_str="a, b", target_str="")', D, "untouched", 0),
    ("remove_lines(0, 1)", D, "untouched", 1),
    ("remove_lines(start=0, end=99)", "", "dropped_ratio", 1),
    ("remove_lines(all=True)", "", "dropped_ratio", 0),
    ("remove_lines(start=0, end=0)\nremove_lines(start=7, end", D, "abandoned", 2),
    ("remove_lines(start=50, end=60)\nremove_lines(start=0, end", D, "abandoned", 3),
]
