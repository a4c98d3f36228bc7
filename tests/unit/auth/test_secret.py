import traceback

from homeport.auth.secret import Secret

TEXT = "hunter2hunter2"


def test_secret_reveals_its_text_only_when_asked() -> None:
    secret = Secret(TEXT)

    assert secret.reveal() == TEXT
    for shown in (repr(secret), str(secret), f"{secret}", f"{secret!r}", repr([secret]), repr({"p": secret})):
        assert TEXT not in shown


def test_secret_is_hidden_in_tracebacks_that_show_values() -> None:
    secret = Secret(TEXT)
    try:
        int(secret)  # type: ignore[call-overload]
    except TypeError as error:
        shown = traceback.TracebackException.from_exception(error, capture_locals=True).format()
    assert TEXT not in "".join(shown)


def test_secret_compares_by_its_text() -> None:
    assert Secret("ä") == Secret("ä")
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert len({Secret("a"), Secret("a")}) == 1


def test_secret_that_is_empty_is_false() -> None:
    assert not Secret("")
    assert Secret("x")
