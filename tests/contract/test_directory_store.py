"""The directory store sits the exam."""

import itertools
from pathlib import Path

import pytest
from tests.contract.blob_store_exam import BlobStoreExam
from tests.contract.store_recipe import NewRecipe, StoreRecipe

from homeport.blobs.directory import DirectoryStore
from homeport.blobs.store import BlobStore


def build(argument: str) -> BlobStore:
    return DirectoryStore(Path(argument))


class TestDirectoryStore(BlobStoreExam):
    """A directory per storage."""

    @pytest.fixture
    def new_recipe(self, tmp_path: Path) -> NewRecipe:
        """Return what makes recipes of empty storage."""
        numbers = itertools.count()
        return lambda: StoreRecipe(__name__, "build", str(tmp_path / f"store-{next(numbers)}"))
