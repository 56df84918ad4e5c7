"""Token ids to text, piece by piece, so that the pieces join to what decoding all ids at once gives."""

from collections.abc import Callable, Collection, Sequence

_INCOMPLETE = "\ufffd"
# An unfinished character is at most three bytes, hence three replacement characters, however it is tokenized.
_UNFINISHED_BYTES = 3
_CONTEXT = 8  # tokens of a prompt that are looked at
_PATIENCE = 8  # tokens without a complete end before what cannot change any more is let go
_LONGEST_RUN = 64  # bytes that are waited with: a text in a script that has no tokens has to come, too


class Detokenizer:
    """Incremental decoding of one sequence.

    A token is never decoded alone: its leading space and its part of a multi-byte character depend on what is before
    it. So the last tokens that were complete stay as context, and only the text they do not account for is new.

    Tokens that stand for one byte each are decoded as a run: one byte that does not fit makes U+FFFD of all of them. So
    a run is text only once it has ended, or is too long to wait for.

    Args:
        decode: ids to text, special tokens included, without clean-up of spaces.
        special_ids: ids that are no part of the text.
        byte_ids: ids that stand for one byte each.
        context: ids that the sequence continues. Their text is not emitted, but without it a tokenizer that strips the
            space before the first word would glue the answer to its prompt.
    """

    def __init__(
        self,
        decode: Callable[[Sequence[int]], str],
        *,
        special_ids: Collection[int] = (),
        byte_ids: Collection[int] = (),
        context: Sequence[int] = (),
    ) -> None:
        self._decode = decode
        self._special_ids = special_ids
        self._byte_ids = byte_ids
        self._run = 0  # bytes since the last other token
        # Context and what has come since.
        self._window = [token_id for token_id in context[-_CONTEXT:] if token_id not in special_ids]
        # Characters of the window's text that were emitted, and the tokens up to which it was complete.
        self._emitted = len(decode(self._window).rstrip(_INCOMPLETE)) if self._window else 0
        self._complete = len(self._window)

    def push(self, token_id: int) -> str:
        """The text that is certain now and was not before."""
        if token_id in self._special_ids or self._is_unknown_in_run(token_id):
            return ""
        self._window.append(token_id)
        self._run = self._run + 1 if token_id in self._byte_ids else 0
        if 0 < self._run <= _LONGEST_RUN:
            return ""
        text = self._decode(self._window)
        if not text.endswith(_INCOMPLETE):
            self._run = 0
            new = self._take(text, len(text))
            self._shift()
            return new
        if 0 < self._run <= _LONGEST_RUN + _UNFINISHED_BYTES:
            return ""
        if len(self._window) - self._complete < _PATIENCE:
            return self._take(text, len(text.rstrip(_INCOMPLETE)))
        return self._take(text, max(0, len(text) - _UNFINISHED_BYTES))

    def flush(self) -> str:
        """The rest, now that no more will come: an unfinished character becomes U+FFFD, as in a full decode."""
        text = self._decode(self._window)
        return self._take(text, len(text))

    def _is_unknown_in_run(self, token_id: int) -> bool:
        """The tokenizer has no such token, so the bytes around it are one run. (Models may have more embeddings.)"""
        if not self._run or token_id in self._byte_ids:
            return False
        return self._decode([*self._window, token_id]) == self._decode(self._window)

    def _take(self, text: str, until: int) -> str:
        new = text[self._emitted : until]
        self._emitted = max(self._emitted, until)
        return new

    def _shift(self) -> None:
        """Forget what is not needed as context: the tokens up to the last complete end but one."""
        context = self._window[self._complete :]
        context_text = self._decode(context) if self._complete else ""
        if context_text:
            self._window = context
            self._emitted = len(context_text)
        self._complete = len(self._window)
