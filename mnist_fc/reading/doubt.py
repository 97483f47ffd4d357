"""Doubt what is read in a photograph where it is likelier a letter, a line, an edge or noise."""

import math
from collections.abc import Sequence
from itertools import pairwise
from statistics import median

from mnist_fc.drawing.parts import Box
from mnist_fc.drawing.photographs import Mark

MIN_SHARE = 0.5
"""Of the marks in a picture that are not text, this share must read as digits: in noise, grain and lines a few do by chance."""
SURELY_NO_DIGIT = -2.0
"""Log odds. What has less is not merely an unclear digit."""
MIN_LETTERS, MIN_LETTER_SHARE = 3, 0.1
"""A picture has text if at least 3 marks, and 10% of all, stand in words and are surely no digits."""
WORD_GAP, WORD_SPACE = 0.35, 0.43
"""As shares of the height: the letters of a word are closer to each other than the first, and words at least as far apart as the
second. Measured on eleven pages and lists of print and handwriting: letters up to 0.27, words from 0.43."""
MIN_TALL = 0.7
"""Digits are at least this share as tall as the tallest letter or digit of their line. Most small letters are not."""
HUGE = 3
"""What is more than three times as tall as most marks of its line is no letter."""
MAX_LETTER_WIDTH = 1.3
"""As a share of the height: what is wider is a word written in one stroke, or a line."""
MIN_LOG_ODDS_IN_TEXT = 5.0
"""The least log odds of a digit in a picture with text."""
SHORTEST, TALLEST = 0.6, 1.25
"""How tall a straight 1 is, as a share of the other digits: the ticks of a clock are shorter, the sides of a cell are taller."""
ALONE = (0.1, 0.5)
"""The lengths of 1s, as shares of the picture's longer side, where all digits are straight 1s; rests of lines have others."""
MIN_THICKNESS = 0.07
"""The same for how thick it is. The lines of frames and of squared paper are thinner, as shares of their length."""
MAX_BEND = 2.2
"""How bent a line is at most; see `Mark.bend`. A 1 with a flag is more."""
MIN_PEN = 0.6
"""A straight 1 is at least this share as thick as the other digits of a picture: a frame may be drawn with a thinner pen."""
LIKE_OTHERS = 0.55
"""A 0 that stands alone is doubted unless its height and stroke width are between this share of the other digits' medians and the
inverse of it."""
MIN_OTHERS = 2
"""The number of digits to compare it with."""
MAX_GAP = 0.7
"""As a share of the height: digits of one number are closer to each other."""
MIN_SHARE_IN_WORD = 0.65
"""The same share for marks that are one word or number. Some letters look like digits."""
MIN_KEYS = 4
"""At least this many marks that stand alone in a line are judged like a word."""

MIN_DROP = 0.25
"""As a share of the height: what begins and ends so much lower than the digit beside it is a letter, such as the g of "250 g"."""
MIN_REACH, MIN_LEAN = 0.05, 0.2
"""A bar between two digits that reaches above and below both by this share of their height, and leans by this share of its own
height, is a slash."""

MANY_BARS, BARS_PER_DIGIT = 6, 2
"""At least this many straight 1s, and more than this for each other digit, are the segments of a display or a grid."""
LATTICE = 0.7
"""Where this share of at least MANY_BARS marks is straight, and most of these are no digits, they are a grid or the joints of a
wall, of which a corner looks like a 7."""
MANY_TICKS = 3
"""Three or more bars that are too short, long or thin for a 1 are the ticks of a scale or the rests of a table; then so is every
bar that stands alone."""

MIN_SUSPECT_LOG_ODDS = 6.0
"""The least log odds of a digit where a table or an edge may be: those that such things leave have less."""
MIN_LONE_LOG_ODDS, MIN_LONE_BAR_LOG_ODDS = 1.0, 4.0
"""The least log odds of the only digit in a picture, and of one that is a straight bar. Of what lines and tables leave in
pictures without digits a third has less than the first, of digits alone in a photograph 1%."""
MIN_FRAMED_LOG_ODDS = 3.5
"""The least log odds of a digit that touched the lines of a frame. In generated forms, with older rejection networks, 1.5% of
1,217 right ones had less than 3 and 3.5% less than 4, but seven and eleven of 15 wrong ones."""
SMALL, MIN_SMALL_LOG_ODDS = 0.012, 2.0
"""A mark lower than this share of the picture's longer side may be a piece of a grid or grain, so its digit must be surer."""


def is_writing(marks: Sequence[Mark], digits: Sequence[int | None], log_odds: Sequence[float]) -> list[bool]:
    """Return which marks to keep: those that are not suspect, that surely are digits, or that read as a digit beside another.

    The other suspect marks are what tables and edges leave.
    """
    result = [not _is_unsure_suspect(mark, odds) for mark, odds in zip(marks, log_odds, strict=True)]
    is_digit = [is_kept and digit is not None for is_kept, digit in zip(result, digits, strict=True)]
    for left, right in pairwise(range(len(marks))):
        one, other = marks[left], marks[right]
        if one.line == other.line and is_near(one.box, other.box) and None not in (digits[left], digits[right]):
            result[left] |= is_digit[right]
            result[right] |= is_digit[left]
    return result


def doubtful(marks: Sequence[Mark], digits: Sequence[int | None], log_odds: Sequence[float], longest_side: int) -> list[bool]:
    """Return which of a picture's marks are too doubtful to be the digits as which they are read, None for "not a digit".

    `log_odds` are those of being a digit at all.
    """
    is_text = _text(marks, digits, log_odds)
    is_unsure = [_is_unsure_suspect(mark, odds) for mark, odds in zip(marks, log_odds, strict=True)]
    others = [place for place in range(len(marks)) if not (is_text[place] or is_unsure[place])]
    if _few_are_digits([digits[place] for place in others]):
        return [True] * len(marks)
    # Suspect marks are here only if they are digits, so they say nothing about the rest.
    are_few = _few_are_digits([digits[place] for place in others if not marks[place].is_suspect])
    if not any(is_text):
        is_text = _in_words(marks, digits)
    kept = [None if is_letter else digit for digit, is_letter in zip(digits, is_text, strict=True)]
    in_noise = [are_few and not mark.is_suspect for mark in marks]
    rings, bars = _doubtful_rings(marks, kept), _doubtful_bars(marks, kept, longest_side)
    doubts = zip(is_unsure, in_noise, is_text, _misplaced(marks, kept), rings, bars, strict=True)
    result = [any(each) for each in doubts]
    straight = [place for place, mark in enumerate(marks) if mark.is_straight]
    sure = [place for place in straight if digits[place] is not None and not result[place]]
    if len(straight) >= max(MANY_BARS, LATTICE * len(marks)) and len(sure) < len(straight) / 2:
        for place in straight:
            result[place] = True
    return result


def _is_unsure_suspect(mark: Mark, log_odds: float) -> bool:
    return mark.is_suspect and log_odds < MIN_SUSPECT_LOG_ODDS


def _few_are_digits(digits: Sequence[int | None], min_share: float = MIN_SHARE) -> bool:
    return sum(digit is not None for digit in digits) < min_share * len(digits)


def is_too_unsure(mark: Mark, log_odds: float, longest_side: int, *, is_alone: bool) -> bool:
    """Return whether these log odds of being a digit are too low for a small or framed mark, or for a picture's only digit."""
    is_small = mark.box.height < SMALL * longest_side
    least = MIN_LONE_BAR_LOG_ODDS if _is_bar(mark) else MIN_LONE_LOG_ODDS
    return (
        (is_small and log_odds < MIN_SMALL_LOG_ODDS)
        or (mark.is_framed and log_odds < MIN_FRAMED_LOG_ODDS)
        or (is_alone and log_odds < least)
    )


def _text(marks: Sequence[Mark], digits: Sequence[int | None], log_odds: Sequence[float]) -> list[bool]:
    """Return which marks are text, in a picture that has text: words with a letter or a low mark, unsure digits, and bars.

    A bar may be a 1, but also an l or I, a slash or an exclamation mark.
    """
    is_huge = _huge(marks)
    is_letter = [
        digit is None and odds < SURELY_NO_DIGIT and not huge for digit, odds, huge in zip(digits, log_odds, is_huge, strict=True)
    ]
    words = _words(marks, WORD_GAP)
    num_letters = sum(is_letter[place] for word in words if len(word) > 1 for place in word)
    result = [False] * len(marks)
    if num_letters < max(MIN_LETTERS, MIN_LETTER_SHARE * len(marks)):
        return result
    tallest: dict[int, int] = {}
    for mark, huge in zip(marks, is_huge, strict=True):
        if huge or mark.box.width > MAX_LETTER_WIDTH * mark.box.height:
            continue
        tallest[mark.line] = max(tallest.get(mark.line, 0), mark.box.height)
    for word in words:
        heights = {place: marks[place].box.height / tallest.get(marks[place].line, 1) for place in word}
        # A decimal point may be read as a short bar, which is doubted for itself.
        is_low = any(
            height < MIN_TALL and not (marks[place].is_straight and height < SHORTEST) for place, height in heights.items()
        )
        is_text = is_low or any(is_letter[place] for place in word)
        for place in word:
            is_unsure = log_odds[place] < MIN_LOG_ODDS_IN_TEXT or (digits[place] == 1 and _is_bar(marks[place]))
            result[place] = is_text or (digits[place] is not None and is_unsure)
    for before, (place, *more), after in zip(words, words[1:], words[2:], strict=False):
        neighbours = before[-1], after[0]
        # A single mark close to words on both sides is a letter that is written apart.
        if not more and all(result[each] and _is_beside(marks[place], marks[each]) for each in neighbours):
            result[place] = True
    return result


def _huge(marks: Sequence[Mark]) -> list[bool]:
    """Return which marks are far taller than their line: a shadow's edge, or an object beside it."""
    heights: dict[int, list[int]] = {}
    for mark in marks:
        heights.setdefault(mark.line, []).append(mark.box.height)
    return [mark.box.height > HUGE * median(heights[mark.line]) for mark in marks]


def _in_words(marks: Sequence[Mark], digits: Sequence[int | None]) -> list[bool]:
    """Return which marks stand in a word, or in a row of single marks as on a keyboard, of which few read as digits."""
    words = _words(marks, MAX_GAP)
    rows: dict[int, list[int]] = {}
    for word in words:
        if len(word) == 1:
            rows.setdefault(marks[word[0]].line, []).extend(word)
    result = [False] * len(marks)
    for group in (*(word for word in words if len(word) > 1), *(row for row in rows.values() if len(row) >= MIN_KEYS)):
        if _few_are_digits([digits[place] for place in group], MIN_SHARE_IN_WORD):
            for place in group:
                result[place] = True
    return result


def is_near(left: Box, right: Box, max_gap: float = MAX_GAP) -> bool:
    """Return whether two neighbours in a line belong to one number or word."""
    return right.left - left.right < max_gap * max(left.height, right.height)


def _is_beside(one: Mark, other: Mark) -> bool:
    """Return whether two marks of a line are closer than two words."""
    left, right = sorted((one.box, other.box))
    return one.line == other.line and is_near(left, right, WORD_SPACE)


def _words(marks: Sequence[Mark], max_gap: float) -> list[list[int]]:
    """Return the places of the marks of each word; a single mark is a word, too."""
    words: list[list[int]] = []
    for place, mark in enumerate(marks):
        before = marks[place - 1]
        if place and before.line == mark.line and is_near(before.box, mark.box, max_gap):
            words[-1].append(place)
        else:
            words.append([place])
    return words


def _misplaced(marks: Sequence[Mark], digits: Sequence[int | None]) -> list[bool]:
    """Return which digits stand like a letter with a descender or like a slash beside the other digits of their number."""
    result = [False] * len(marks)
    for word in _words(marks, MAX_GAP):
        number = [place for place in word if digits[place] is not None]
        for before, place, after in zip([None, *number], number, [*number[1:], None], strict=False):
            mark, beside = marks[place], [marks[other] for other in (before, after) if other is not None]
            is_slash = len(beside) == 2 and digits[place] == 1 and _is_slash(mark, beside)
            result[place] = is_slash or any(_hangs(mark, other) for other in beside)
    return result


def _hangs(mark: Mark, other: Mark) -> bool:
    """Return whether a mark begins and ends much lower than another, which is not a raised, smaller digit."""
    drop = min(mark.box.top - other.box.top, mark.box.bottom - other.box.bottom)
    return other.box.height > MIN_TALL * mark.box.height and drop > MIN_DROP * other.box.height


def _is_slash(mark: Mark, beside: Sequence[Mark]) -> bool:
    """Return whether a mark is a leaning bar that reaches above and below the marks beside it."""
    reach = min(min(other.box.top - mark.box.top, mark.box.bottom - other.box.bottom) / other.box.height for other in beside)
    return _is_bar(mark) and reach > MIN_REACH and mark.box.width - _pen(mark) > MIN_LEAN * mark.box.height


def _is_bar(mark: Mark) -> bool:
    """Return whether a mark is a straight line without a flag or a foot."""
    return mark.is_straight and mark.bend < MAX_BEND


def _doubtful_rings(marks: Sequence[Mark], digits: Sequence[int | None]) -> list[bool]:
    """Return which marks are likelier the ring of an object than the 0 as which they are read.

    They stand alone, and are drawn larger, smaller, thicker or thinner than the other digits.
    """
    others = [mark for mark, digit in zip(marks, digits, strict=True) if digit not in (None, 0)]
    result = [False] * len(marks)
    if len(others) >= MIN_OTHERS:
        height, pen = median(mark.box.height for mark in others), median(map(_pen, others))
        for place in (word[0] for word in _words(marks, MAX_GAP) if len(word) == 1 and digits[word[0]] == 0):
            ratios = marks[place].box.height / height, _pen(marks[place]) / pen
            result[place] = min(ratios) < LIKE_OTHERS or max(ratios) > 1 / LIKE_OTHERS
    return result


def _doubtful_bars(marks: Sequence[Mark], digits: Sequence[int | None], longest_side: int) -> list[bool]:
    """Return which marks are likelier a line than the straight 1 as which they are read."""
    is_bar = [digit == 1 and mark.is_straight for mark, digit in zip(marks, digits, strict=True)]
    if sum(digit is not None for digit in digits) == 1:  # a lone 1 with a flag is not the side of a frame
        is_bar = [bar and _is_bar(mark) for mark, bar in zip(marks, is_bar, strict=True)]
    num_bars, num_others = sum(is_bar), sum(digit is not None for digit in digits) - sum(is_bar)
    if num_bars >= MANY_BARS and num_bars > BARS_PER_DIGIT * num_others:
        return is_bar
    others = [mark for mark, digit, bar in zip(marks, digits, is_bar, strict=True) if digit is not None and not bar]
    heights = [mark.box.height for mark in others]
    unit, (least, most) = (median(heights), (SHORTEST, TALLEST)) if heights else (longest_side, ALONE)
    min_thickness = 0.0 if heights else MIN_THICKNESS
    min_pen = MIN_PEN * median([_pen(mark) for mark in others]) if others else 0.0
    is_doubtful = [
        bar
        and not (
            least <= max(mark.box.width, mark.box.height) / unit <= most
            and mark.thickness >= min_thickness
            and _pen(mark) >= min_pen
        )
        for mark, bar in zip(marks, is_bar, strict=True)
    ]
    if sum(is_doubtful) >= MANY_TICKS:
        alone = {word[0] for word in _words(marks, MAX_GAP) if len(word) == 1}
        for place, mark in enumerate(marks):
            is_doubtful[place] |= is_bar[place] and place in alone and _is_bar(mark)
    return is_doubtful


def _pen(mark: Mark) -> float:
    """Return how thick a mark's strokes are, in pixels."""
    return mark.thickness * math.hypot(mark.box.width, mark.box.height)
