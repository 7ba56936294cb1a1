"""Numbers with their units, in words, as the command line and the pages write them."""


def count_text(number: float) -> str:
    """A count with thousands separated.

    >>> count_text(131072)
    '131,072'
    """
    return f"{number:,.0f}"


def plural(number: float, noun: str) -> str:
    """A count and what it counts.

    >>> plural(1, "request"), plural(2000, "request")
    ('1 request', '2,000 requests')
    """
    return f"{count_text(number)} {noun}{'' if number == 1 else 's'}"


def bytes_text(number: float) -> str:
    """Bytes in the largest binary unit that leaves at least 1.

    >>> bytes_text(10 * 2**30), bytes_text(512), bytes_text(1536)
    ('10 GiB', '512 B', '1.5 KiB')
    """
    units = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")
    step = 0
    while step < len(units) - 1 and number >= 1024 ** (step + 1):
        step += 1
    return f"{short_text(number / 1024**step)} {units[step]}"


def share_text(share: float) -> str:
    """A share of a whole in per cent.

    >>> share_text(0.1342), share_text(1)
    ('13.4 %', '100 %')
    """
    return f"{short_text(100 * share)} %"


def seconds_text(seconds: float) -> str:
    """Seconds in s, ms or µs.

    >>> seconds_text(0.0123), seconds_text(90.0), seconds_text(4.5e-6)
    ('12.3 ms', '90 s', '4.5 µs')
    """
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{short_text(seconds / size)} {unit}"
    return f"{short_text(seconds / 1e-6)} µs"


def usd_text(usd: float) -> str:
    """US dollars.

    >>> usd_text(0.0060503), usd_text(1250)
    ('0.00605 USD', '1,250 USD')
    """
    return f"{short_text(usd)} USD"


def billions_text(number: float) -> str:
    """A count of parameters as papers write it.

    >>> billions_text(8_030_261_248), billions_text(124_439_808)
    ('8.03 B', '124 M')
    """
    for unit, size in (("T", 1e12), ("B", 1e9), ("M", 1e6)):
        if number >= size:
            return f"{short_text(number / size)} {unit}"
    return count_text(number)


def short_text(number: float) -> str:
    """Three digits, and all digits of what is larger.

    >>> short_text(0.9), short_text(12.34), short_text(1234.5), short_text(0.00123)
    ('0.9', '12.3', '1,234', '0.00123')
    """
    if number >= 100:
        return count_text(number)
    if number < 1:
        return f"{number:.3g}"
    return f"{number:.{1 if number >= 10 else 2}f}".rstrip("0").rstrip(".")
