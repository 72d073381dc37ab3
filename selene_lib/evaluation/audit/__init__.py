"""The audit card of a judge: what else than quality moves its verdict, and by how much.

Each probe is a controlled edit of an item that keeps the gold label (the worse response gets
longer, flatters, is cut, carries an attack); the effect is the change of verdict against the same
item without the edit, so that the judge's ordinary errors cancel.
"""

from selene_lib.evaluation.audit.card import CARD_COLUMNS, audit_card
from selene_lib.evaluation.audit.edits import ATTACKS, NUDGES
from selene_lib.evaluation.audit.effects import paired_interval
from selene_lib.evaluation.audit.probes import Probe, make_probes

__all__ = [
    "ATTACKS",
    "CARD_COLUMNS",
    "NUDGES",
    "Probe",
    "audit_card",
    "make_probes",
    "paired_interval",
]
