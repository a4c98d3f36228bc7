"""A program whose system calls fail on demand, to see what a directory store does then.

Arguments: the scenario and the store's root. Prints the outcome as JSON; exit code 77 means that the system
cannot let calls fail (it has no seccomp filters, or is an unknown machine).
"""

import asyncio
import ctypes
import errno
import json
import platform
import struct
import sys
from contextlib import suppress
from pathlib import Path

from tests.contract.store_recipe import all_digests, body

from homeport.blobs.directory import DirectoryStore
from homeport.blobs.store import StorageUnavailableError, UploadUnknownError
from homeport.oci.digest import Digest

OWNER = "library/nginx"
CONTENT = b"content"
UNSUPPORTED = 77

# what fails (numbers of the calls per machine) and how
CALLS = {
    "x86_64": {"full": (20,), "unsynced": (74,), "unrenamed": (82, 264, 316), "seccomp": (317,)},
    "aarch64": {"full": (66,), "unsynced": (82,), "unrenamed": (38, 276), "seccomp": (277,)},
}
ERRORS = {"full": errno.ENOSPC, "unsynced": errno.EIO, "unrenamed": errno.EROFS}

_PR_SET_NO_NEW_PRIVS = 38
_SECCOMP_SET_MODE_FILTER = 1
_SECCOMP_FILTER_FLAG_TSYNC = 1
_RETURN_ERROR = 0x00050000
_RETURN_ALLOW = 0x7FFF0000
_LOAD_WORD = 0x20
_JUMP_IF_EQUAL = 0x15
_RETURN = 0x06


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def fail(scenario: str) -> None:
    """Let the scenario's calls fail from now on, in every thread of this process."""
    numbers = CALLS.get(platform.machine(), {})
    if not numbers:
        sys.exit(UNSUPPORTED)
    instructions = [struct.pack("=HBBI", _LOAD_WORD, 0, 0, 0)]
    for number in numbers[scenario]:
        instructions.append(struct.pack("=HBBI", _JUMP_IF_EQUAL, 0, 1, number))
        instructions.append(struct.pack("=HBBI", _RETURN, 0, 0, _RETURN_ERROR | ERRORS[scenario]))
    instructions.append(struct.pack("=HBBI", _RETURN, 0, 0, _RETURN_ALLOW))
    program = _Program(len(instructions), b"".join(instructions))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 or (
        libc.syscall(
            numbers["seccomp"][0], _SECCOMP_SET_MODE_FILTER, _SECCOMP_FILTER_FLAG_TSYNC, ctypes.byref(program)
        )
        != 0
    ):
        sys.exit(UNSUPPORTED)


async def watch(scenario: str, root: Path) -> dict[str, object]:
    """Return the error, and what the store has after it."""
    store = DirectoryStore(root)
    await store.open()
    upload_id = await store.open_upload(OWNER)
    if scenario != "full":
        await store.append(upload_id, OWNER, body(CONTENT), offset=0)
    fail(scenario)
    outcome: dict[str, object] = {"upload_id": upload_id, "error": None, "size_bytes": None}
    try:
        if scenario == "full":
            await store.append(upload_id, OWNER, body(CONTENT), offset=0)
        else:
            await store.commit(upload_id, OWNER, Digest.of(CONTENT))
    except StorageUnavailableError as error:
        outcome["error"] = type(error).__name__
    with suppress(UploadUnknownError):
        outcome["size_bytes"] = (await store.upload_status(upload_id, OWNER)).size_bytes
    outcome["blobs"] = len(await all_digests(store))
    await store.close()
    return outcome


def main(scenario: str, root: str) -> None:
    """Run the scenario and print its outcome."""
    sys.stdout.write(json.dumps(asyncio.run(watch(scenario, Path(root)))))


if __name__ == "__main__":
    main(*sys.argv[1:])
