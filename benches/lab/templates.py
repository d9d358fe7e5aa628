"""Configurations of the subjects: text with words between @ signs, and lines that are repeated.

A line with `@each NAME@` and one with `@end@`, in whatever the file has for a comment, enclose lines that
stand there once for each item of a list, with the item's own words in them and its place as @NUMBER@.
"""

import re

_BLOCK = re.compile(r"^[^\n]*@each (\w+)@[^\n]*\n(.*?)^[^\n]*@end@[^\n]*\n", re.MULTILINE | re.DOTALL)
_WORD = re.compile(r"@([A-Z_]+)@")


def fill(text, words, lists):
    """The text with all words filled in; a word that nobody gave is an error (KeyError)."""

    def repeated(block):
        name, lines = block.groups()
        items = enumerate(lists[name])
        return "".join(_replace(lines, {"NUMBER": number, **item}) for number, item in items)

    filled = _replace(_BLOCK.sub(repeated, text), words)
    if left := _WORD.search(filled):
        raise KeyError(left.group(1))
    return filled


def _replace(text, words):
    return _WORD.sub(lambda word: str(words.get(word.group(1), word.group(0))), text)
