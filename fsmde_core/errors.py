"""The one exception for everything a user can put right."""


class FsmdeError(ValueError):
    """Bad input or configuration; the message is one sentence: the value seen, the value expected, what to change."""
