"""Fields of the hash `customer:<id>`; see the README for what each says."""

from __future__ import annotations

SCORE_FIELDS = (
    "prob_alive",
    "prob_alive_at",
    "expected_purchases_30d",
    "value",
    "segment",
    "segment_since",
    "lifecycle",
    "rfm",
    "next_review_at",
    "next_segment",
    "next_lifecycle",
    "sequence",
    "scorecard",
)
"""What silence and a new scorecard change; the rest only a transaction does."""

FIELDS = (
    "frequency",
    "t_x_days",
    "first_purchase_at",
    "last_purchase_at",
    "monetary_value",
    "monetary_total",
    "refund_total",
    *SCORE_FIELDS,
    "source",
    "ledger",
)
"""All, in the order in which they are written; the packed ledger is the last."""
