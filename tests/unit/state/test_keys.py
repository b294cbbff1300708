"""Names of keys."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import InvalidTransactionError
from schemas.transaction import is_customer_id
from state.keys import Keys


def test_single_server_keys_are_readable_and_carry_the_prefix():
    keys = Keys("eu:")
    assert keys.customer(3, "C-42") == "eu:customer:C-42"
    assert keys.partition(3) == "eu:partition:3"
    assert keys.outbox(3) == "eu:outbox:3"
    assert keys.due(3) == "eu:due:3"
    assert keys.installation == "eu:installation"
    assert keys.scorecards == "eu:scorecards"
    assert keys.current_scorecard == "eu:scorecard:current"
    assert keys.learning == "eu:learning"


def test_cluster_keys_of_one_partition_have_it_as_their_hash_tag():
    keys = Keys("eu:", cluster=True)
    assert keys.customer(3, "C-42") == "eu:{3}:customer:C-42"
    assert keys.partition(3) == "eu:{3}:partition:3"
    assert keys.outbox(3) == "eu:{3}:outbox:3"
    assert keys.due(3) == "eu:{3}:due:3"


def test_keys_of_the_whole_installation_have_no_hash_tag():
    keys = Keys(cluster=True)
    assert not {"{", "}"} & set(keys.installation + keys.scorecards + keys.current_scorecard)


@given(st.text(max_size=12), st.booleans())
def test_customer_key_is_prefix_and_id_or_refused(customer_id, cluster):
    keys = Keys("p:", cluster=cluster)
    if is_customer_id(customer_id):
        key = keys.customer(7, customer_id)
        assert key == keys.customer_prefix(7) + customer_id
        assert key.count("{") == key.count("}") == cluster
    else:
        with pytest.raises(InvalidTransactionError, match="is not a customer id"):
            keys.customer(7, customer_id)
