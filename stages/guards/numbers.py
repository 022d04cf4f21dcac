"""Numbers of a rewrite that its source does not have: the most common thing that a model makes up.

What is compared is the value, whatever the way it is written in: 1,200 = 1.200 = 1 200 = 1200; 3,5 = 3.50; 05 = 5; a
date is its parts. Digits within a word of the rewrite (H2O, B12) are none, its number words are not looked at; those of
the source are evidence for digits, as are the names of months and units such as million. The index that begins a line
of a list, or stands behind "Question", is no number of the text.
"""

import re
import unicodedata
from itertools import pairwise

SPACES = " \u00a0\u2009\u202f"
POINTS = ".,\u066b\u066c"  # the last two are Arabic
DIGITS = rf"(?:\d{{1,3}}(?:[{SPACES}'\u2019]\d{{3}})+(?![\w{SPACES}]?\d)(?:[.,]\d+)?|\d+(?:[{POINTS}]\d+)*|\.\d+)"
ANYWHERE = re.compile(DIGITS)
NUMBER = re.compile(
    rf"(?<![\dA-Za-z_\u00c0-\u024f\u0370-\u04ff])(?<!\d[.,]){DIGITS}"
)  # Han and Hangul go right up to a digit
NAMED = "q|a|question|answer|step|part|passage|problem|chapter|section|table"
INDEX = re.compile(
    rf"^[ \t>*#|(-]*(?:(?:{NAMED})[ \t]*)?\d{{1,3}}[*]*[.):][*]*(?=\s|$)",
    re.IGNORECASE | re.MULTILINE,
)
LETTERS = re.compile(r"[^\W\d_]+")

MONTHS = {
    name: number
    for names in (
        "january february march april may june july august september october november december",
        "jan feb mar apr may jun jul aug sep oct nov dec",
        "januar februar märz april mai juni juli august september oktober november dezember",
        "janvier février mars avril mai juin juillet août septembre octobre novembre décembre",
        "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre",
        "gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre dicembre",
        "janeiro fevereiro março abril maio junho julho agosto setembro outubro novembro dezembro",
        "januari februari maart april mei juni juli augustus september oktober november december",
    )
    for number, name in enumerate(names.split(), 1)
}
UNITS = {
    name: number
    for names in (
        "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen"
        " seventeen eighteen nineteen twenty",
        "_ first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth",
        "null eins zwei drei vier fünf sechs sieben acht neun zehn elf zwölf",
        "zéro un deux trois quatre cinq six sept huit neuf dix onze douze",
        "cero uno dos tres cuatro cinco seis siete ocho nueve diez once doce",
        "zero uno due tre quattro cinque sei sette otto nove dieci undici dodici",
        "zero um dois três quatro cinco seis sete oito nove dez onze doze",
        "nul een twee drie vier vijf zes zeven acht negen tien elf twaalf",
        "zero jeden dwa trzy cztery pięć sześć siedem osiem dziewięć dziesięć jedenaście dwanaście",
        "ноль один два три четыре пять шесть семь восемь девять десять одиннадцать двенадцать",
    )
    for number, name in enumerate(names.split())
}
UNITS |= {"a": 1, "an": 1, "once": 1, "twice": 2, "double": 2, "dozen": 12, "ein": 1, "eine": 1, "une": 1}
TENS = {
    "twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90,
}  # fmt: skip
SCALES = {
    "hundred": 2, "thousand": 3, "k": 3, "million": 6, "millions": 6, "m": 6, "mn": 6, "billion": 9, "billions": 9,
    "bn": 9, "trillion": 12, "tausend": 3, "millionen": 6, "mio": 6, "milliarden": 9, "mrd": 9,
    "mille": 3, "milliard": 9, "milliards": 9, "mil": 3, "millón": 6, "millones": 6, "milioni": 6, "milhões": 6,
}  # fmt: skip
HAN = dict(
    zip("\u3007\u4e00\u4e8c\u4e09\u56db\u4e94\u516d\u4e03\u516b\u4e5d\u5341\u4e24", (*range(11), 2), strict=True)
)
HAN_SCALES = {"\u5343": 3, "\u4e07": 4, "\u842c": 4, "\ub9cc": 4, "\u5104": 8, "\u4ebf": 8, "\uc5b5": 8}
SCALE = re.compile(r"[ \u00a0\u202f-]?([^\W\d_]+)")


def novel_numbers(source: str, text: str) -> list[str]:
    """The numbers of `text`, as it writes them, that `source` does not have in any way of writing."""
    written = set(NUMBER.findall(text))
    if not written:
        return []
    there = set(NUMBER.findall(source))
    if written <= there:
        return []
    there.update(ANYWHERE.findall(source))
    values = {value for number in there for form in readings(number) for value in form}
    if all(_is_in(number, values) for number in written):
        return []
    values |= _evidence(source)
    text = INDEX.sub(" ", text)
    return [
        match[0]
        for match in NUMBER.finditer(text)
        if not _is_in(match[0], values) and not (_scaled(match, text) & values)
    ]


def readings(number: str) -> tuple[set[str], set[str]]:
    """What `number` may stand for: values of it as a whole, and its parts where it may be several numbers."""
    number = _ascii(number)
    if number[0] == ".":
        return {_plain("0", number[1:]), _plain(number[1:])}, set()  # .5, and p.5
    parts = re.split(r"\D", number)
    if len(parts) == 1:
        return {_plain(number)}, set()
    marks = re.findall(r"\D", number)
    whole: set[str] = set()
    if len(parts[0]) <= 3 and _are_thousands(parts[1:]) and len(set(marks)) == 1:
        whole.add(_plain("".join(parts)))
    if len(parts) == 2 and marks[0] in POINTS:
        whole.add(_plain(*parts))
    elif len(parts) > 2 and _are_thousands(parts[1:-1]) and len(set(marks[:-1])) == 1 and marks[-1] not in marks[:-1]:
        whole.add(_plain("".join(parts[:-1]), parts[-1]))
    several = not whole or marks[0] not in POINTS
    return whole, {_plain(part) for part in parts} if several else set()


def _is_in(number: str, values: set[str]) -> bool:
    whole, parts = readings(number)
    return bool(whole & values) or (bool(parts) and parts <= values)


def _are_thousands(groups: list[str]) -> bool:
    """Groups of three digits, or of two and at last three as India writes them."""
    return len(groups[-1]) == 3 and (
        all(len(group) == 3 for group in groups) or all(len(group) == 2 for group in groups[:-1])
    )


def _plain(whole: str, fraction: str = "") -> str:
    fraction = fraction.rstrip("0")
    whole = whole.lstrip("0") or "0"
    return f"{whole}.{fraction}" if fraction else whole


def _ascii(number: str) -> str:
    if number.isascii():
        return number
    return "".join(str(unicodedata.decimal(char)) if char.isdecimal() else char for char in number)


def _evidence(source: str) -> set[str]:
    """Numbers that the source says in words: of months, number words, and digits with a unit."""
    words = LETTERS.findall(source.lower())
    found = {str(table[word]) for word in set(words) for table in (MONTHS, UNITS, TENS) if word in table}
    found |= {str(value) for sign, value in HAN.items() if sign in source}
    for first, second in pairwise(words):
        value = TENS.get(first, UNITS.get(first))
        if value is not None and second in SCALES:
            found.add(str(value * 10 ** SCALES[second]))
        elif first in TENS and 0 < UNITS.get(second, 0) < 10:
            found.add(str(TENS[first] + UNITS[second]))
    for match in ANYWHERE.finditer(source):
        found |= _scaled(match, source)
    return found


def _scaled(match: re.Match[str], text: str) -> set[str]:
    """The values of a number with the unit behind it: 1.5 million."""
    unit = SCALE.match(text, match.end())
    power = SCALES.get(unit[1].lower(), HAN_SCALES.get(unit[1][0])) if unit else None
    if power is None:
        return set()
    values = set()
    for value in readings(match[0])[0]:
        whole, _, fraction = value.partition(".")
        digits = fraction.ljust(power, "0")
        values.add(_plain(whole + digits[:power], digits[power:]))
    return values
