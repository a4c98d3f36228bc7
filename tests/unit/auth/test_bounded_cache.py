from homeport.auth.bounded_cache import BoundedCache


def test_bounded_cache_forgets_what_was_not_used_for_longest() -> None:
    cache: BoundedCache[str, int] = BoundedCache(2)
    cache.put("a", 1)
    cache.put("b", 2)
    assert cache.get("a") == 1
    cache.put("c", 3)

    assert (cache.get("a"), cache.get("b"), cache.get("c"), len(cache)) == (1, None, 3, 2)


def test_bounded_cache_replaces_a_value() -> None:
    cache: BoundedCache[str, int] = BoundedCache(2)
    cache.put("a", 1)
    cache.put("b", 2)
    cache.put("a", 9)
    cache.put("c", 3)

    assert (cache.get("a"), cache.get("b")) == (9, None)


def test_bounded_cache_drops_a_key_as_often_as_asked() -> None:
    cache: BoundedCache[str, int] = BoundedCache(2)
    cache.put("a", 1)
    cache.drop("a")
    cache.drop("a")

    assert cache.get("a") is None
