"""The sums: a comparison that cannot count against anybody is worth nothing.

Run by `cargo test --test deploy`, or by `python3 benches/compare/account_test.py`.
"""

import sys
import unittest
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "driver"))

from account import MS, account, disconnections, longest_waits  # noqa: E402
from clients import Operation  # noqa: E402


def op(client, sent, ended, outcome="done", kind="write", is_lost=False) -> Operation:
    return Operation(client, kind, 1, sent * MS, ended * MS, outcome, is_lost)


class Sums(unittest.TestCase):
    def test_an_outage_lasts_from_one_acknowledgement_to_the_next(self):
        trial = account([op(1, 0, 1), op(1, 9, 12), op(2, 20, 90), op(2, 95, 96)], 10 * MS)
        self.assertEqual(trial.outage, 78)

    def test_an_outage_without_an_end_lasts_to_the_end(self):
        trial = account([op(1, 0, 1), op(1, 50, 500, "cut")], 10 * MS)
        self.assertEqual(trial.outage, 490)

    def test_reads_and_refused_writes_end_no_outage(self):
        rows = [op(1, 0, 1), op(1, 20, 21, kind="read"), op(1, 22, 23, "-READONLY"), op(1, 60, 61)]
        self.assertEqual(account(rows, 10 * MS).outage, 51)

    def test_failed_attempts_belong_to_the_wait(self):
        rows = [op(1, 10, 12, "cut"), op(1, 30, 31, "-READONLY"), op(1, 50, 55), op(2, 11, 20)]
        self.assertEqual(account(rows, 10 * MS).longest_wait, 45)

    def test_who_is_never_served_again_waits_to_the_end(self):
        rows = [op(1, 10, 12, "cut"), op(2, 90, 100)]
        self.assertEqual(account(rows, 10 * MS).longest_wait, 90)

    def test_what_was_lost_uncertain_and_stale_is_counted(self):
        rows = [
            op(1, 0, 1, is_lost=True),
            op(1, 2, 3, "-UNCERTAIN"),
            op(1, 4, 5, "-UNCERTAIN", kind="read"),
            op(1, 6, 7, "stale", kind="read"),
            op(1, 8, 9, "wrong", kind="read"),
        ]
        trial = account(rows, 0)
        found = (trial.lost, trial.acknowledged, trial.uncertain, trial.other_errors)
        self.assertEqual(found, (1, 1, 1, 2))
        self.assertEqual((trial.stale, trial.wrong), (1, 1))

    def test_a_pipeline_that_is_cut_was_one_connection(self):
        rows = [op(1, 5, 6, "cut"), op(1, 5, 6, "cut", kind="read"), op(2, 5, 6, "cut")]
        self.assertEqual(disconnections(rows), 2)

    def test_a_wait_counts_in_every_window_that_it_touches(self):
        rows = [op(1, 5, 25), op(1, 26, 27), op(2, 28, 29)]
        windows = [(0, 10 * MS), (20 * MS, 26 * MS), (30 * MS, 40 * MS)]
        self.assertEqual(longest_waits(rows, windows), [{1: 20 * MS}, {1: 20 * MS}, {}])

    def test_what_is_received_was_waited_for_since_it_was_sent(self):
        rows = [op(1, 5, 6, "cut", kind="pop"), op(1, 20, 23, kind="pop")]
        self.assertEqual(longest_waits(rows, [(0, 30 * MS)]), [{1: 3 * MS}])


if __name__ == "__main__":
    unittest.main()
