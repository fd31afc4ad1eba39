"""Formal verification: have obligations proved or refuted and constraints satisfied, and check every answer.

A problem that the service does not decide in time is answered with 503 and is a failed request: it is no wrong
answer, so no check is made of it.

These users need no slower pace than the others. Z3 takes 0.1 to 0.3 ms for a problem, HTTP and threads 0.3 ms
around it; drawing one and checking its answer takes 0.05 ms here. With all five scenarios by their weights 1,000
users make 1,690 requests/s, 330 of them problems, with half a core of target and half a core of generator.
"""

from __future__ import annotations

from locust import task

from locustfiles.governance.constitution import HEADERS
from locustfiles.governance.formulas import constraints_fault, proof_fault
from locustfiles.governance.governed import GovernanceUser
from locustfiles.governance.obligations import random_constraints, random_obligation


class FormalVerificationUser(GovernanceUser):
    """Knows of each problem by its construction whether it has a solution."""

    weight = 15
    checks = ("hash_consistency", "proof")

    @task(3)
    def prove(self) -> None:
        drawn = random_obligation()
        response = self.client.post("/proofs", name="POST /proofs", json=drawn.document, headers=HEADERS)
        self.check_hash(response)
        self.check_fault("proof", response, lambda answer: proof_fault(drawn, answer))

    @task(2)
    def satisfy(self) -> None:
        drawn = random_constraints()
        response = self.client.post(
            "/proofs/constraints", name="POST /proofs/constraints", json=drawn.document, headers=HEADERS
        )
        self.check_hash(response)
        self.check_fault("proof", response, lambda answer: constraints_fault(drawn, answer))
