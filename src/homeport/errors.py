"""The root of every error that Homeport raises on purpose."""


class HomeportError(Exception):
    """An error that explains itself.

    `str(error)` is one sentence for people that says what happened; `hint` says what to do about it and may
    be empty. Neither ever holds a secret.
    """

    hint: str = ""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        if hint:
            self.hint = hint
