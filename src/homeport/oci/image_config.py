"""What the config of an image or chart says, read without trusting it (image-spec config.md)."""

from typing import Any

import orjson

MAX_CONFIG_BYTES = 4 * 1024 * 1024

_MAX_ATTRIBUTES_BYTES = 64 * 1024
_IMAGE_FIELDS = ("architecture", "author", "config", "created", "os", "os.version", "variant")


def parse_config(body: bytes) -> dict[str, Any] | None:
    """Return the config when it is a JSON object, else None: any content may be a config."""
    if len(body) > MAX_CONFIG_BYTES:
        return None
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return document if isinstance(document, dict) else None


def image_attributes(config: dict[str, Any]) -> str | None:
    """Return what a list shows of an image's config, as a JSON text; of a big config without its `config`."""
    chosen = {name: config[name] for name in _IMAGE_FIELDS if config.get(name) is not None}
    return _bounded(chosen) or _bounded({name: chosen[name] for name in chosen if name != "config"})


def all_attributes(config: dict[str, Any]) -> str | None:
    """Return the whole config as a JSON text, or None for a big one."""
    return _bounded(config)


def _bounded(attributes: dict[str, Any]) -> str | None:
    try:
        text = orjson.dumps(attributes)
    except orjson.JSONEncodeError:  # nested deeper than it writes
        return None
    if not attributes or len(text) > _MAX_ATTRIBUTES_BYTES:
        return None
    return text.decode()
