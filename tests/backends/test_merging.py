"""Two parallel changes to one session's data, brought together."""

import json
from copy import deepcopy

import pytest
from django.contrib.auth import SESSION_KEY
from hypothesis import given
from hypothesis import strategies as st

from django_sessions_plus.backends.merging import IDENTITY_KEYS, is_same_identity, merge

KEYS = [*"abcdef", "_session_expiry"]
leaves = st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from([0.0, 1.0, "", "0", "1"])
values = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("xyz"), inner, max_size=2)
    ),
    max_leaves=3,
)
datas = st.dictionaries(st.sampled_from(KEYS), values, max_size=4)
identities = st.fixed_dictionaries(
    {}, optional={key: st.sampled_from(["1", "2"]) for key in IDENTITY_KEYS}
)


whole = st.fixed_dictionaries({key: st.sampled_from(["1", "2"]) for key in IDENTITY_KEYS})


def stored(data):
    """Return what the table would hold, in which 1, 1.0 and True are three things."""
    return None if data is None else json.dumps(data, sort_keys=True)


def without(data, keys):
    return {key: value for key, value in data.items() if key not in keys}


@given(base=datas, mine=datas, who=identities)
def test_without_a_parallel_change_the_result_is_mine(base, mine, who):
    base, mine = base | who, mine | who
    assert stored(merge(base=base, mine=mine, theirs=base)) == stored(mine)


@given(base=datas, theirs=datas, who=identities)
def test_without_a_change_of_mine_the_result_is_theirs(base, theirs, who):
    base, theirs = base | who, theirs | who
    assert stored(merge(base=base, mine=base, theirs=theirs)) == stored(theirs)


@given(base=datas, mine=datas, theirs=datas)
def test_changes_to_different_keys_are_both_kept_whoever_was_first(base, mine, theirs):
    left, right = {"a", "b", "c"}, {"d", "e", "f", "_session_expiry"}
    mine = without(mine, right) | without(base, left)
    theirs = without(theirs, left) | without(base, right)
    both = without(mine, right) | without(theirs, left)
    assert stored(merge(base=base, mine=mine, theirs=theirs)) == stored(both)
    assert stored(merge(base=base, mine=theirs, theirs=mine)) == stored(both)


@given(base=datas, mine=datas, theirs=datas)
def test_of_one_key_that_both_changed_mine_stays(base, mine, theirs):
    merged = merge(base=base, mine=mine, theirs=theirs)
    assert merged is not None
    for key in base.keys() | mine.keys() | theirs.keys():
        winner = theirs if stored_at(mine, key) == stored_at(base, key) else mine
        assert stored_at(merged, key) == stored_at(winner, key)


@given(base=datas, mine=datas, theirs=datas, before=identities, after=identities, my_own=identities)
def test_nothing_is_merged_when_they_changed_who_is_signed_in(
    base, mine, theirs, before, after, my_own
):
    merged = merge(base=base | before, mine=mine | my_own, theirs=theirs | after)
    assert (merged is None) is (before.get(SESSION_KEY) != after.get(SESSION_KEY))


@given(base=datas, mine=datas, theirs=datas, before=whole, my_own=whole, after=whole)
@pytest.mark.parametrize("is_my_password_new", [True, False])
def test_the_identity_is_that_of_one_side_as_a_whole(
    base, mine, theirs, before, my_own, after, is_my_password_new
):
    after = after | {SESSION_KEY: before[SESSION_KEY]}
    merged = merge(
        base=base | before,
        mine=mine | my_own,
        theirs=theirs | after,
        is_my_password_new=is_my_password_new,
    )
    found = {key: merged[key] for key in IDENTITY_KEYS}
    is_mine = is_my_password_new or my_own[SESSION_KEY] != before[SESSION_KEY] or before == after
    if is_mine:
        # Of what I did not change theirs is as good.
        assert all(found[key] in (my_own[key], after[key]) for key in IDENTITY_KEYS)
        assert all(found[key] == my_own[key] for key in IDENTITY_KEYS if my_own[key] != before[key])
    else:
        assert found == after


@pytest.mark.parametrize("key", IDENTITY_KEYS)
@pytest.mark.parametrize(("before", "after"), [(None, "2"), ("1", None), ("1", "2")])
def test_each_part_of_an_identity_counts(key, before, after):
    base = {} if before is None else {key: before}
    theirs = {} if after is None else {key: after}
    assert not is_same_identity(base, theirs)
    merged = merge(base=base, mine=base | {"cart": 1}, theirs=theirs)
    # Another user's session gets nothing; with another hash it is the same user's as before.
    assert merged == (None if key == SESSION_KEY else theirs | {"cart": 1})


def test_who_signs_in_while_others_only_change_data_is_signed_in():
    who = dict.fromkeys(IDENTITY_KEYS, "1")
    merged = merge(base={"a": 1}, mine={"a": 1} | who, theirs={"a": 1, "b": 2})
    assert merged == {"a": 1, "b": 2} | who


@pytest.mark.parametrize(
    ("before", "after"), [(1, True), (True, 1), (0, False), (1, 1.0), ("1", 1), (None, 0)]
)
@pytest.mark.parametrize("wrap", [lambda value: value, lambda value: [{"x": [value]}]])
def test_a_change_of_type_is_a_change(before, after, wrap):
    merged = merge(
        base={"a": wrap(before)}, mine={"a": wrap(after)}, theirs={"a": wrap(before), "b": 1}
    )
    assert stored(merged) == stored({"a": wrap(after), "b": 1})


@given(base=datas, mine=datas, theirs=datas)
def test_merging_changes_none_of_what_it_is_given(base, mine, theirs):
    copies = deepcopy((base, mine, theirs))
    merged = merge(base=base, mine=mine, theirs=theirs)
    assert merged is not theirs
    assert merged is not mine
    assert (base, mine, theirs) == copies


def stored_at(data, key):
    return json.dumps(data[key], sort_keys=True) if key in data else None
