"""Every column of headrace, once: name, type, unit and meaning (DESIGN: columns).

Text is `large_string` everywhere: `string` overflows at 2 GB a table, Polars returns `large_string`,
and concatenating the two raises.
"""

import pyarrow as pa

TEXT = pa.large_string()
EDIT = pa.struct(
    [
        pa.field("stage", pa.string(), nullable=False),
        pa.field("rule", pa.string(), nullable=False),
        pa.field("n_chars_before", pa.int64(), nullable=False),
        pa.field("n_chars_after", pa.int64(), nullable=False),
    ]
)
ANSWER = pa.struct(
    [
        pa.field("stage", pa.string(), nullable=False),
        pa.field("model", pa.string(), nullable=False),
        pa.field("prompt_hash", pa.string(), nullable=False),
        pa.field("output", pa.large_string()),  # what the model wrote, calls joined by newlines; null for scores
        pa.field("decision", pa.string(), nullable=False),  # what became of it, by the stage's own words
        pa.field("errors", pa.int32(), nullable=False),  # faults in the output
        pa.field("calls", pa.int32(), nullable=False),
        pa.field("from_ledger", pa.int32(), nullable=False),  # of these calls, those that were answered before
        pa.field("prompt_tokens", pa.int64(), nullable=False),
        pa.field("completion_tokens", pa.int64(), nullable=False),
        pa.field("seconds", pa.float64(), nullable=False),  # that the engine took, by its own account
        pa.field("cost", pa.float64(), nullable=False),  # by the engine's price table; of calls that were paid now
    ]
)
PAIR = pa.struct(
    [pa.field("question", pa.large_string(), nullable=False), pa.field("answer", pa.large_string(), nullable=False)]
)
MESSAGE = pa.struct(
    [pa.field("role", pa.string(), nullable=False), pa.field("content", pa.large_string(), nullable=False)]
)
MIN_K_SHARE = pa.struct([pa.field("share", pa.float64(), nullable=False), pa.field("score", pa.float32())])
REPEAT = pa.struct([pa.field("start", pa.int64()), pa.field("end", pa.int64()), pa.field("of", pa.string())])

CONTAMINATION = pa.struct(
    [
        pa.field("benchmark", pa.string(), nullable=False),
        pa.field("item", pa.string(), nullable=False),
        pa.field("score", pa.float32(), nullable=False),  # by the stage's rule, 0 to 1
        pa.field("ngram", pa.string(), nullable=False),  # the first of the item's that the text has
        pa.field("places", pa.list_(pa.int32()), nullable=False),  # words of the item at which one begins
    ]
)


def column(
    name: str,
    type_: pa.DataType,
    meaning: str,
    *,
    unit: str = "",
    transient: bool = False,
    nullable: bool = True,
) -> pa.Field:
    """Describe a column. `transient` ones live between stages and are never written."""
    metadata = {"meaning": meaning}
    if unit:
        metadata["unit"] = unit
    if transient:
        metadata["transient"] = "true"
    return pa.field(name, type_, nullable=nullable, metadata=metadata)


def is_transient(field: pa.Field) -> bool:
    """True for columns that are dropped before a shard is written."""
    return bool(field.metadata) and field.metadata.get(b"transient") == b"true"


# Where a document comes from.
ID = column("id", pa.string(), "stable hash of the source file's address and the record's offset", nullable=False)
URL = column("url", pa.string(), "address of the page, as the archive gives it")
DATE = column("date", pa.string(), "when it was crawled", unit="ISO 8601, as in the archive")
DUMP = column("dump", pa.string(), "crawl it belongs to, such as CC-MAIN-2024-22; null when the path does not say")
SOURCE = column("source", pa.string(), "file and byte offset (or row) it was read from, as file#offset")

# What is on the page.
HTML = column("html", TEXT, "the page, decoded to Unicode", transient=True)
MIME = column("mime", pa.string(), "media type by the HTTP header, lower case, without parameters")
HTTP_STATUS = column("http_status", pa.int32(), "HTTP status of the response; null for WET records")
CHARSET = column("charset", pa.string(), "encoding the page was decoded with")
TITLE = column("title", pa.string(), "title of the page, as the page gives it")
PUBLISHED = column("published", pa.string(), "day the page says it was published", unit="ISO 8601")
CANONICAL_URL = column("canonical_url", pa.string(), "address the page gives as its own")
BODY = column("text", TEXT, "the document")

# What is known of the text.
LANG = column("lang", pa.string(), "most probable language", unit="ISO 639-1, else 639-3")
LANG_SCORE = column("lang_score", pa.float32(), "probability of lang by the model", unit="0 to 1")
N_CHARS = column("n_chars", pa.int64(), "length of text", unit="code points")
N_WORDS = column("n_words", pa.int64(), "words of text by the language's tokenizer", unit="words")
N_TOKENS = column("n_tokens", pa.int64(), "tokens of text by the model's tokenizer", unit="tokens")
CONTENT_HASH = column("content_hash", pa.binary(16), "xxh3-128 of the normalised text")
URL_HASH = column("url_hash", pa.binary(16), "xxh3-128 of the URL's canonical form; of the id where there is no URL")

# What became of the row.
DROP_STAGE = column("drop_stage", pa.string(), "stage that dropped the row")
DROP_REASON = column("drop_reason", pa.string(), "why it was dropped; null keeps the row")
EDITS = column(
    "edits", pa.list_(EDIT), "every change of text: stage, rule, length before and after", unit="code points"
)
PARENTS = column("parents", pa.list_(pa.string()), "ids of the rows this one was made from")
META = column("meta", pa.map_(pa.string(), pa.string()), "whatever else the source said")

# Failure of one row, filled by a stage that knows which row failed, or by the runner that found it.
ERROR = column("error", TEXT, "exception that the row raised: type and message", transient=True)
DEAD_STAGE = column("stage", pa.string(), "stage that could not process the row")
DEAD_ERROR = column("error", TEXT, "exception that the row raised: type and message")
TRACEBACK = column("traceback", TEXT, "where it was raised")
ATTEMPT = column("attempt", pa.int32(), "how often the row was tried", unit="tries")

# Duplicates.
DUPLICATE_OF = column("duplicate_of", pa.string(), "id of the row that stays instead; null for the one that stays")
CLUSTER_ID = column("cluster_id", pa.string(), "id that all copies of one document share")
CLUSTER_SIZE = column("cluster_size", pa.int64(), "copies in the cluster, the one that stays included", unit="rows")
REPEATED_LINES = column(
    "repeated_lines", pa.list_(pa.int32()), "lines of text that other rows have, or the row has above", unit="from 0"
)
REPEATS = column(
    "repeats", pa.list_(REPEAT), "spans of text, as it was read, that stand before in row `of`", unit="code points"
)
SIGNATURE = column("signature", pa.list_(pa.uint64()), "MinHash values, one per permutation")
BANDS = column("bands", pa.list_(pa.uint64()), "hashes of the bands of the MinHash signature; null for a short text")
COMPONENT = column("component", pa.int64(), "the component of a graph of rows that the row is in", transient=True)
COMPONENT_SIZE = column("component_size", pa.int64(), "rows of the component", unit="rows", transient=True)
KNOWN = column("known", pa.bool_(), "whether the row is one of an index, not of this run", transient=True)
BAND_HASH = column("band_hash", pa.uint64(), "hash of the values in the band")
JACCARD = column("jaccard_score", pa.float32(), "Jaccard similarity of the pair's shingles", unit="0 to 1")
CENTROID = column("centroid", pa.uint64(), "number of the centroid that the row's embedding is most similar to")
CENTROID_SIMILARITY = column(
    "centroid_similarity", pa.float32(), "cosine similarity of the embedding and that centroid", unit="-1 to 1"
)
SIMILARITY = column(
    "similarity", pa.float32(), "cosine similarity of the embeddings of the row and of duplicate_of", unit="-1 to 1"
)
CONTAMINATED_BY = column(
    "contaminated_by", pa.list_(CONTAMINATION), "test items that share n-grams with text, best first; null for none"
)

# What a model adds.
MODEL = column("model", pa.string(), "model that wrote or changed the row")
PROMPT_HASH = column("prompt_hash", pa.string(), "hash of the prompt file and its version")
ANSWERS = column("answers", pa.list_(ANSWER), "what models said of the row: one a stage, with its tokens and its cost")
PARENT_TEXT = column(
    "parent_text", pa.dictionary(pa.int32(), TEXT), "text of the document the row was made from", transient=True
)
ENTITIES = column("entities", pa.list_(pa.string()), "names in the document; of a synthetic row, those it relates")
SUMMARY = column("summary", TEXT, "what a model says the document tells")
ENTITY_COVERAGE = column("entity_coverage", pa.float32(), "of the row's entities, those its text has", unit="0 to 1")
NOVEL_ENTITY_RATE = column(
    "novel_entity_rate", pa.float32(), "of the names in the text, those its document lacks", unit="0 to 1"
)
NOVEL_NUMBER_RATE = column(
    "novel_number_rate", pa.float32(), "of the numbers in the text, those its document lacks", unit="0 to 1"
)
QUOTA = column("quota", pa.int64(), "how many relations of the document the budget pays for", unit="calls")
PAIRS = column("pairs", pa.list_(PAIR), "questions on text and their answers, as a model wrote them")
CHAIN = column("chain", pa.string(), "id of the first of the rows whose pairs were written in sight of one another")
VARIANT = column("variant", pa.string(), "how text was made from its parent's, such as multi3 fullname permute1")
MESSAGES = column("messages", pa.list_(MESSAGE), "the turns of a dialogue: user and assistant, one after the other")
SUBJECT = column("subject", pa.string(), "discipline that the text is of, such as physics")
VOCABULARY_SIZE = column("vocabulary_size", pa.int64(), "different words of text, whatever their case", unit="words")
RARE_WORD_RATE = column(
    "rare_word_rate", pa.float32(), "of the words of text, those beyond a vocabulary; names do not count", unit="0 to 1"
)
ORDER = column("order", pa.uint64(), "hash of seed and id: rows sorted by it are in a global random order")
EMBEDDING = column("embedding", pa.list_(pa.float32()), "vector of length 1 that stands for the text")

# What raters say of the text. Scores are not thresholds: a stage that drops by a score leaves it there.
EDU_SCORE = column("edu_score", pa.float32(), "educational value by FineWeb-Edu's classifier", unit="0 to 5, about")
EDU_INT_SCORE = column("edu_int_score", pa.int32(), "edu_score, rounded and cut off", unit="0 to 5")
WRITING_STYLE = column("writing_style_score", pa.float32(), "quality of the writing by QuRater", unit="logit")
REQUIRED_EXPERTISE = column("required_expertise_score", pa.float32(), "expertise it takes by QuRater", unit="logit")
FACTS_AND_TRIVIA = column("facts_and_trivia_score", pa.float32(), "facts and trivia in it by QuRater", unit="logit")
EDUCATIONAL_VALUE = column("educational_value_score", pa.float32(), "educational value by QuRater", unit="logit")
NLL = column("nll", pa.float32(), "mean negative log-likelihood of the text's tokens by a model", unit="nats a token")
PERPLEXITY = column("perplexity", pa.float32(), "e to the nll", unit="1 and more")
MIN_K_SCORE = column(
    "min_k_score", pa.float32(), "mean negative log-likelihood of the least likely share of tokens", unit="nats a token"
)
MIN_K = column("min_k", pa.list_(MIN_K_SHARE), "min_k_score by the share of tokens; null where that is no token")
UNSAFE_SCORE = column("unsafe_score", pa.float32(), "probability of a classifier's unwanted labels", unit="0 to 1")
UNSAFE_LABEL = column("unsafe_label", pa.string(), "the most probable of the unwanted labels")
SAFETY = column("safety", pa.string(), "verdict of a guard model: safe, unsafe or undecided")
UNSAFE_CATEGORIES = column("unsafe_categories", pa.list_(pa.string()), "what a guard model found, such as S1")
FASTTEXT_LABEL = column("fasttext_label", pa.string(), "most probable label by a fastText classifier")
FASTTEXT_SCORE = column("fasttext_score", pa.float32(), "probability of the label that was asked for", unit="0 to 1")
CONFIDENCE = column("confidence_score", pa.float32(), "confidence that the answer in the row is right", unit="0 to 1")
SELECTION_SCORE = column(
    "selection_score", pa.float32(), "score over temperature with noise, by which rows are selected", unit="any number"
)

ALL: dict[str, pa.Field] = {
    field.name: field
    for field in (
        ID, URL, DATE, DUMP, SOURCE, HTML, MIME, HTTP_STATUS, CHARSET, TITLE, PUBLISHED, CANONICAL_URL, BODY, LANG,
        LANG_SCORE, N_CHARS, N_WORDS, N_TOKENS, CONTENT_HASH, DROP_STAGE, DROP_REASON, EDITS, PARENTS, META,
        DEAD_STAGE, DEAD_ERROR, TRACEBACK, ATTEMPT, DUPLICATE_OF, CLUSTER_ID, CLUSTER_SIZE, SIGNATURE, BANDS,
        COMPONENT, COMPONENT_SIZE, KNOWN, BAND_HASH, JACCARD, CONTAMINATED_BY, MODEL,
        PROMPT_HASH, ANSWERS, PARENT_TEXT, ENTITIES, SUMMARY, QUOTA,
        ENTITY_COVERAGE, NOVEL_ENTITY_RATE, NOVEL_NUMBER_RATE, PAIRS, CHAIN, VARIANT, ORDER, EMBEDDING,
        MESSAGES, SUBJECT, VOCABULARY_SIZE, RARE_WORD_RATE,
        URL_HASH, REPEATED_LINES, REPEATS, CENTROID, CENTROID_SIMILARITY, SIMILARITY,
        EDU_SCORE, EDU_INT_SCORE, WRITING_STYLE, REQUIRED_EXPERTISE, FACTS_AND_TRIVIA, EDUCATIONAL_VALUE, NLL,
        PERPLEXITY, MIN_K_SCORE, MIN_K, UNSAFE_SCORE, UNSAFE_LABEL, SAFETY, UNSAFE_CATEGORIES, FASTTEXT_LABEL,
        FASTTEXT_SCORE, CONFIDENCE, SELECTION_SCORE,
    )
}  # fmt: skip


def has(schema: pa.Schema, field: pa.Field) -> bool:
    """Whether `schema` has the list of structs `field`, and not another column of that name: one of the user's."""
    at = schema.get_field_index(field.name)
    there = schema.field(at).type if at >= 0 else pa.null()
    if not (pa.types.is_list(there) or pa.types.is_large_list(there)) or not pa.types.is_struct(there.value_type):
        return False
    return {part.name for part in field.type.value_type} <= {part.name for part in there.value_type}
