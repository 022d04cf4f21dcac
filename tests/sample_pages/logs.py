"""A harbour log: one page a day, put together from sentences; ordinary, short and worth keeping."""

from collections.abc import Iterator

from tests.sample_pages.chrome import pick
from tests.sample_pages.texts import Article

WIND = (
    "The wind stood in the south-west all morning and went round to the west after lunch.",
    "It was calm until ten, and then a light air came in from the sea.",
    "A stiff easterly made the flags crack and kept the small boats in.",
    "There was hardly any wind, so that the smoke of the ferry hung over the water for an hour.",
    "It blew hard from the north during the night and eased off at dawn.",
    "The breeze was light and could not make up its mind.",
)
SKY = (
    "Fog lay on the estuary until nine and the horn was sounded every two minutes.",
    "The sky was clear, with a few streaks of high cloud in the afternoon.",
    "Showers came through one after the other, with bright sun in between.",
    "It rained from first light until four without a break.",
    "Low grey cloud hid the top of the light all day.",
    "A hard frost had put ice on the steps, and the harbour master spread sand on them.",
)
BOATS = (
    "Seven boats went out and seven came back.",
    "The trawler Patience landed sixty boxes of whiting and had a torn net to show.",
    "A yacht under a Danish flag asked for water and left again on the same tide.",
    "The dredger worked at the mouth of the basin from eight to five.",
    "Two crab boats exchanged their berths, as they had agreed at the meeting.",
    "The coaster with timber arrived a day late and was unloaded by lamplight.",
    "The pilot cutter was lifted out so that her propeller could be seen to.",
    "A sailing school from upriver took over the inner basin, with nine dinghies and a great deal of shouting.",
)
EVENTS = (
    "A mooring ring at the fish quay was found to be loose and has been marked with red paint.",
    "A wallet was handed in and was claimed within the hour.",
    "The crane failed its test, and an engineer has been sent for.",
    "A seal slept on the slipway from noon until three, and the slipway was closed for it.",
    "Somebody had left a bicycle on the breakwater, and it is still there.",
    "The lamp at the pier head was changed after eleven hundred days of service.",
    "Children counted the jellyfish from the bridge and reported two hundred and four.",
    "A crate of oranges drifted in, and no one has yet asked for it.",
)
CLOSING = (
    "The gate was shut at nine and the night passed without a call.",
    "High water tomorrow will be at a quarter to seven, and it will be a big one.",
    "The tide gauge read four metres and ten at its highest.",
    "All lights were checked at dusk and found to be in order.",
    "Visitors are reminded that the pontoon is slippery after rain.",
    "The log was closed at ten by the deputy, since the harbour master is at a wedding.",
)


def logs(days: int) -> Iterator[Article]:
    """The log of each of the first `days` days of March and April."""
    for number in range(days):
        month, day = ("March", number + 1) if number < 31 else ("April", number - 30)
        slug = f"log-{month.lower()}-{day}"
        boats, events = (
            [pool[(pick(slug + kind, len(pool)) + step) % len(pool)] for step in (0, 3)]
            for kind, pool in (("b", BOATS), ("e", EVENTS))
        )
        weather = f"{WIND[pick(slug + 'w', 6)]} {SKY[pick(slug + 's', 6)]}"
        texts = (weather, " ".join(boats), " ".join(events), CLOSING[pick(slug + "c", 6)])
        yield Article(slug, "harbour-office.example", f"Harbour log, {day} {month}", texts)
