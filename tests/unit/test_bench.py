"""What the benchmark makes of its measurements; nothing is measured here."""

from __future__ import annotations

import pytest

from tests.bench.cost import Cost
from tests.bench.peers import read_peer
from tests.bench.report import Figure, percentile, repeat, table
from tests.bench.table import show_bases, show_peers, show_works
from tests.bench.work import Bare, Work

PEER = {
    "title": "another 1.0",
    "single": {"async": [900.0, 1000.0, 1100.0], "sync": [2000.0, 1900.0, 2100.0]},
    "drain": {
        "default": [{"rate": 10.0, "rss_mb": 40.0}],
        "best": [
            {"rate": 500.0, "rss_mb": 70.0},
            {"rate": 400.0, "rss_mb": 71.0},
            {"rate": 600.0, "rss_mb": 69.0},
        ],
    },
    "idle": [
        {"after_commit": [2.0, 3.0, 4.0, 9.0], "idle_cpu": 0.4, "idle_tps": 1.6},
        {"after_commit": [1.0, 5.0, 6.0, 9.0], "idle_cpu": 0.5, "idle_tps": None},
    ],
}


@pytest.fixture
def peer():
    return read_peer(PEER)


def test_a_figure_shows_its_median_and_spread():
    assert Figure((25_310.2, 24_100.0, 26_020.0)).show() == "25,310 [24,100-26,020]"


def test_a_single_value_has_no_spread():
    assert Figure((1.256,)).show(2) == "1.26"


def test_every_run_is_kept():
    values = iter([3.0, 1.0, 2.0])
    assert repeat(lambda: next(values), runs=3) == Figure((3.0, 1.0, 2.0))


@pytest.mark.parametrize(("percent", "expected"), [(0, 1), (50, 50), (99, 99), (100, 100)])
def test_a_percentile_is_one_of_the_values(percent, expected):
    assert percentile(list(range(100, 0, -1)), percent) == expected


def test_a_task_costs_as_much_as_a_part_of_a_loop_beside_it():
    cost = Cost([])
    cost.seconds, cost.loop_seconds = 30.0, 0.005
    assert cost.of_one(300_000) == pytest.approx(20.0)


def test_a_table_is_markdown_under_a_heading():
    shown = table("Rates", ("what", "per second"), [("pop", "10"), ("finish", "20")])
    assert shown.splitlines() == [
        "### Rates",
        "",
        "| what | per second |",
        "|---|---|",
        "| pop | 10 |",
        "| finish | 20 |",
    ]


def test_more_is_better_of_rates_and_less_of_waits():
    shown = show_works({Work.DRAIN: Figure((26_000,)), Work.LATENCY_P99: Figure((6.0,))})
    assert "| 26,000 | >= 25,000 | 40,000 | yes |" in shown
    assert "| 6 | <= 5 |  | **no** |" in shown


def test_what_could_not_be_measured_has_no_ratio():
    shown = show_bases({Work.ADD: Figure((1500,)), Bare.INSERT: Figure((3000,))})
    assert "| 0.50 |" in shown
    assert Bare.PGBENCH not in shown


def test_a_peer_is_shown_at_its_best(peer):
    assert peer.figures[Work.ADD].median == 2000
    assert peer.figures[Work.DRAIN] == Figure((500.0, 400.0, 600.0))
    assert peer.figures[Work.LATENCY_P50] == Figure((1.0,))


def test_what_a_peer_cannot_do_is_left_out(peer):
    assert Work.ADD_MANY not in peer.figures
    shown = show_peers({work: Figure((1000,)) for work in Work}, [peer])
    assert "| 1,000 | another 1.0 | 500 [400-600] | 2.00 |" in shown
    assert Work.ADD_MANY not in shown
