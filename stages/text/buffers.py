"""Arrow's memory of a column of texts, as kernels read it."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa


def text_buffers(texts: pa.LargeStringArray) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """The bytes of all texts and where each begins in them (one more than texts), without a copy, to be read only."""
    _, offsets, data = texts.buffers()
    if not len(texts) or data is None:
        text, positions = np.zeros(0, np.uint8), np.zeros(len(texts) + 1, np.int64)
    else:
        text = np.frombuffer(data, np.uint8)
        positions = np.frombuffer(offsets, np.int64, len(texts) + 1, texts.offset * 8)
    text.flags.writeable = positions.flags.writeable = False  # always, since a kernel is compiled anew for each kind
    return text, positions
