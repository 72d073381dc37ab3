"""Yes/No tasks on real text that a small model can learn in minutes; training and test part of each
come from one published set, or the test from a set that is never trained on. One file a task.

| task      | asks                                            | label                     |
|-----------|-------------------------------------------------|---------------------------|
| refusal   | does the answer refuse the request?             | human (XSTest)            |
| relevance | is this the answer to this request?             | by construction (HaluEval)|
| diagnosis | is it the diagnosis that is known to be right?  | dermatologist (CRAFT-MD)  |
"""

from selene_lib.data.real_tasks import diagnosis, refusal, relevance

TRAINING_PARTS = {
    spec.name: spec for spec in (refusal.TRAINING, relevance.TRAINING, diagnosis.TRAINING)
}
TEST_PARTS = {spec.name: spec for spec in (refusal.TEST, relevance.TEST, diagnosis.TEST)}
TRANSFER_SETS = {spec.name: spec for spec in (refusal.TRANSFER, relevance.TRANSFER)}

__all__ = ["TEST_PARTS", "TRAINING_PARTS", "TRANSFER_SETS"]
