"""The number formats of the page; numbers.js writes them the same way in the browser."""

import math

from mnist_fc.percentages import in_percent

MINUS, TIMES = "\N{MINUS SIGN}", "\N{MULTIPLICATION SIGN}"
LEAST, MOST = 1e-4, 1e6
"""Numbers between these are written out, all others with a power of ten."""

SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
SHARES = {1e-3: "thousandth", 1e-6: "millionth", 1e-9: "billionth", 1e-12: "trillionth"}


def format_number(value: float, digits: int = 4) -> str:
    """Return a number in at most `digits` significant digits: "0.006578", "12,340", or with a power of ten.

    NaN and infinities become "overflow".
    """
    if not math.isfinite(value):
        return "overflow"
    factor, power = f"{value:.{digits - 1}e}".split("e")
    rounded, exponent = float(f"{factor}e{power}"), int(power)
    if not rounded:
        return "0"
    if LEAST <= abs(rounded) < MOST:
        text = f"{rounded:,.{max(0, digits - 1 - exponent)}f}"
        text = text.rstrip("0").rstrip(".") if "." in text else text
    else:
        raised = f"10{str(exponent).translate(SUPERSCRIPTS)}"
        times = f"{float(factor):g}"
        text = raised if times == "1" else f"-{raised}" if times == "-1" else f"{times} {TIMES} {raised}"
    return text.replace("-", MINUS)


def format_fixed(value: float, *, signed: bool = False) -> str:
    """Return a number with four decimals, so that the numbers of a sum add up; a huge one as `format_number` does."""
    if not abs(value) < MOST:
        return f"{'+' if signed and value > 0 else ''}{format_number(value)}"
    return f"{value:{'+' if signed else ''}z.4f}".replace("-", MINUS)


def format_ratio(ratio: float) -> str:
    """Return a ratio in words, to stand before a noun: "3.2 times", "45% of", "1/37 of", "less than a billionth of"."""
    if ratio >= 1:
        return format_times(ratio)
    if ratio >= 0.2:
        return f"{in_percent(ratio, 0)} of"
    below = [word for bound, word in SHARES.items() if ratio < bound]
    return f"less than a {below[-1]} of" if below else f"1/{1 / ratio:,.0f} of"


def format_times(times: float) -> str:
    """Return a factor in words: "3.2 times", "about 820,000 times", "over a million times"."""
    if times < 100:
        return f"{times:,.1f} times"
    return f"about {format_number(times, 2)} times" if times < 1e6 else "over a million times"
