"""The blob store in a directory of a file system, local or shared."""

from homeport.blobs.directory.store import DirectoryStore

__all__ = ["DirectoryStore"]
