import pytest

from stages.language_codes import suggestion

LID = ("en", "de", "als", "sq", "zh", "ar", "sh")
SCRIPTS = ("eng_Latn", "enm_Latn", "deu_Latn", "cmn_Hans", "cmn_Hant", "arb_Arab", "als_Latn", "fra_Latn")


@pytest.mark.parametrize(
    ("language", "labels", "expected"),
    [
        ("en", SCRIPTS, "; did you mean 'eng_Latn'?"),
        ("EN", SCRIPTS, "; did you mean 'eng_Latn'?"),
        ("de-AT", SCRIPTS, "; did you mean 'deu_Latn'?"),
        ("ar", SCRIPTS, "; did you mean 'arb_Arab'?"),
        ("sq", SCRIPTS, "; did you mean 'als_Latn'?"),
        ("zh", SCRIPTS, "; did you mean 'cmn_Hans' or 'cmn_Hant'?"),
        ("cmn_Hani", SCRIPTS, "; did you mean 'cmn_Hant'?"),
        ("fra", SCRIPTS, "; did you mean 'fra_Latn'?"),
        ("eng_Latn", LID, "; did you mean 'en'?"),
        ("deu", LID, "; did you mean 'de'?"),
        ("deu_Latin", SCRIPTS, "; did you mean 'deu_Latn'?"),
        ("xyzzy", LID, ""),
    ],
)
def test_suggestion(language, labels, expected):
    assert suggestion(language, labels) == expected
