"""The distribution protocol on plain ASGI."""
