"""How shares are written in percent."""


def in_percent(share: float, decimals: int = 1) -> str:
    """Return a share, from 0 to 1, in percent: "98.1%".

    A share below 1 is never shown as 100%, but at most as "over 99.9%"; one above 0 never as 0%, but at least as "under 0.1%".
    """
    text, least = f"{share:.{decimals}%}", 10.0**-decimals
    if share < 1 and text == f"{1:.{decimals}%}":
        return f"over {100 - least:.{decimals}f}%"
    if share > 0 and text == f"{0:.{decimals}%}":
        return f"under {least:.{decimals}f}%"
    return text
