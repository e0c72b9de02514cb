"""Event ids: what everybody else's UUID version 5 of the same name is."""

import uuid

from hypothesis import given
from hypothesis import strategies as st

from schemas.detections import EVENT_NAMESPACE, event_id


@given(st.text(st.characters(exclude_categories=["Cs"])), st.text(st.characters(exclude_categories=["Cs"])))
def test_an_event_id_is_a_uuid_of_version_5(camera_id: str, key: str) -> None:
    assert event_id(camera_id, key) == uuid.uuid5(EVENT_NAMESPACE, f"{camera_id}\x1f{key}")


def test_an_event_id_stays_what_it_is() -> None:
    assert event_id("cam-1", "key-1") == uuid.UUID("7001b38e-570d-5401-9b1d-7ec3e295b972")
