"""What `course quiz` says of a review, and of a sitting when it ends."""

from collections.abc import Mapping
from typing import Any

from course_lib.course.cards.day import day_of
from course_lib.course.cards.schedule import REVIEW, Memory
from course_lib.course.cli.console import say
from course_lib.kit.units import plural


def again_text(memory: Memory) -> str:
    """Say when a card is asked again: in minutes, or on another day."""
    if memory.state != REVIEW:
        return f"in {wait_text((memory.due - memory.last_review).total_seconds())}"
    days = day_of(memory.due) - day_of(memory.last_review)
    return f"in {wait_text(86400 * max(1, days))}"


def wait_text(seconds: float) -> str:
    """A waiting time as one says it.

    >>> wait_text(60), wait_text(330), wait_text(86400), wait_text(8 * 86400)
    ('1 minute', '6 minutes', '1 day', '8 days')
    """
    if seconds < 3600:
        return plural(max(1, int(seconds / 60 + 0.5)), "minute")
    return (
        plural(round(seconds / 3600), "hour")
        if seconds < 86400
        else plural(round(seconds / 86400), "day")
    )


def show_reviews(facts: Mapping[str, Any]) -> None:
    """Say what was done and what waits."""
    again = f", {facts['again_cards']} of them again" if facts["again_cards"] else ""
    say(
        f"{plural(facts['reviewed_cards'], 'review')}{again}; kept in "
        f"{facts['state_file']}"
    )
    say(
        f"{facts['due_cards']} due, {facts['soon_cards']} in minutes, "
        f"{facts['later_cards']} on later days, {facts['new_cards']} new."
    )
