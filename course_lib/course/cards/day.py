"""Days as a learner counts them: one begins at 4:00 local time, as in Anki.

A late evening belongs to the day before. The page counts the same
(`book/_static/cards/day.js`), by the calendar of the machine it runs on.
"""

from datetime import UTC, date, datetime, time

BEGINS = time(4)
FIRST = date(1970, 1, 1).toordinal()


def day_of(at: datetime) -> int:
    """Return the number of the day that holds a moment: days since 1970-01-01, by this
    machine's calendar.

    >>> from datetime import timedelta
    >>> night = datetime(2026, 11, 30, 3, 59).astimezone()
    >>> day_of(night + timedelta(minutes=2)) - day_of(night)
    1
    """
    local = at.astimezone()
    before = local.time() < BEGINS
    return local.date().toordinal() - FIRST - before


def day_start(day: int) -> datetime:
    """Return the moment at which a day begins, in UTC.

    >>> from datetime import timedelta
    >>> day_of(day_start(20000)), day_of(day_start(20000) - timedelta(seconds=1))
    (20000, 19999)
    """
    return datetime.combine(date.fromordinal(day + FIRST), BEGINS).astimezone(UTC)


def day_text(day: int) -> str:
    """Return a day as a calendar writes it.

    >>> day_text(20787)
    '2026-11-30'
    """
    return date.fromordinal(day + FIRST).isoformat()
