"""Both kinds of paging, down to the reference's own vectors. Source: Cluster API v2.0, pagination."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from random import Random

import pytest
from msgspec import Raw

from rangeland.merge.paging import (
    Ask,
    PageToken,
    Paginator,
    format_token,
    page_of_window,
    page_offset,
    parse_limit,
    parse_offset,
    parse_token,
    take_part,
    window,
)
from rangeland.merge.part import Part, PartError
from rangeland.wire.nodes import Liveness
from rangeland.wire.parts import HotPart, Item, ListPart

START_AGAIN = "fDB8MHw="


# limit and offset


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("5", 5),
        ("+5", 5),
        ("007", 7),
        ("9223372036854775807", 2**63 - 1),
        ("9223372036854775808", 0),
        ("0", 0),
        ("-1", 0),
        ("", 0),
        (None, 0),
        (" 5", 0),
        ("5 ", 0),
        ("5.0", 0),
        ("1_0", 0),
        ("٥", 0),
        ("++5", 0),
        ("ten", 0),
        ("9" * 5000, 0),
        ("0" * 5000 + "1", 1),
    ],
)
def test_a_limit_or_offset_that_is_no_positive_number_is_as_if_it_were_not_there(
    text: str | None, limit: int
) -> None:
    assert parse_limit(text) == limit
    assert parse_offset(text) == limit


@pytest.mark.parametrize(
    ("length", "limit", "offset", "page", "next_offset"),
    [
        (10, 5, 0, [1, 2, 3, 4, 5], 5),
        (10, 5, 5, [6, 7, 8, 9, 10], 0),
        (8, 5, 5, [6, 7, 8], 0),
        (8, 15, 15, [], 0),
        (8, 0, 0, [1, 2, 3, 4, 5, 6, 7, 8], 0),
        (8, 0, 5, [1, 2, 3, 4, 5, 6, 7, 8], 0),
        (10, 5, -1, [1, 2, 3, 4, 5], 5),
        (3, 2**63 - 1, 1, [2, 3], 0),
        (3, 1, 2**63 - 1, [], 0),
        (0, 5, 0, [], 0),
    ],
)
def test_a_page_ends_at_the_limit_or_with_the_list(
    length: int, limit: int, offset: int, page: list[int], next_offset: int
) -> None:
    assert page_offset(list(range(1, length + 1)), limit, offset) == (page, next_offset)


@pytest.mark.parametrize("limit", [0, 1, 3, 5, 6, 2**63 - 1])
@pytest.mark.parametrize("offset", [0, 2, 4, 5, 9, 2**63 - 1])
def test_a_page_of_a_window_is_the_page_of_the_whole(limit: int, offset: int) -> None:
    """And the server can count that far."""
    whole = [1, 2, 3, 4, 5]
    skip, page_size = window(limit, offset)
    assert max(skip, page_size or 0) < 2**63
    rows = whole[skip:] if page_size is None else whole[skip : skip + page_size]
    assert page_of_window(rows, limit, offset) == page_offset(whole, limit, offset)


# the token


@pytest.mark.parametrize(
    ("token", "text"),
    [
        (PageToken((1, 2, 3), 4, 2, (5, 6, 7)), "MSwyLDMsfDR8Mnw1LDYsNyw="),
        (PageToken((1, 2, 3), 4, 2, (5, 6, 7, 9, 11, 8, 10)), "MSwyLDMsfDR8Mnw1LDYsNyw5LDExLDgsMTAs"),
        (PageToken(), START_AGAIN),
        (PageToken((1, 2, 3)), "MSwyLDMsfDB8MHw="),
    ],
)
def test_a_token_is_written_and_read_as_the_reference_does(token: PageToken, text: str) -> None:
    assert format_token(token) == text
    assert parse_token(text) == token


def test_a_token_without_trailing_commas_is_understood() -> None:
    assert parse_token("MSx8MnwyfDMs") == PageToken((1,), 2, 2, (3,))
    assert parse_token(_encoded("1|2|2|3")) == PageToken((1,), 2, 2, (3,))
    assert parse_token(_encoded(" 1 , 4,,|2|2| 3 ")) == PageToken((1, 4), 2, 2, (3,))


@pytest.mark.parametrize(
    "plain",
    [
        "",
        "|0|0",
        "|0|0||",
        "|||",
        "|0|1|",
        "0,|0|0|",
        "-1,|0|0|",
        "|0|0|0,",
        "|-1|0|",
        "|1|-1|",
        "|1|x|",
        "x|0|0|",
        "|4294967296|0|",
        "4294967296,|0|0|",
        "|1|9223372036854775808|",
        "|1|1_0|",
        "|1|" + "9" * 5000 + "|",
        "1 2,|0|0|",
    ],
)
def test_a_token_that_makes_no_sense_is_none(plain: str) -> None:
    assert parse_token(_encoded(plain)) is None


@pytest.mark.parametrize("text", [None, "", "fDB8MHw", "fDB8 MHw=", "====", "é", "fDB8MHw=fDB8MHw=", "gIB8MHw="])
def test_what_is_not_a_token_is_none(text: str | None) -> None:
    assert parse_token(text) is None


def test_the_largest_numbers_fit_into_a_token() -> None:
    token = PageToken((4294967295,), 4294967294, 2**63 - 1, (1,))
    assert parse_token(format_token(token)) == token


# the walk from node to node


def _encoded(plain: str) -> str:
    return urlsafe_b64encode(plain.encode()).decode()


def _walk(plain: str, node_ids: list[int], limit: int) -> Paginator:
    token = parse_token(_encoded(plain))
    assert token is not None
    return Paginator(token, node_ids, limit)


def _plain(paginator: Paginator) -> str:
    return urlsafe_b64decode(paginator.token()).decode()


def test_the_first_page_asks_four_nodes_in_order_for_all_that_is_wanted() -> None:
    paginator = Paginator(None, [1, 2, 3, 4, 5], 10)
    assert paginator.next_asks() == [Ask(1, 0, 10), Ask(2, 0, 10), Ask(3, 0, 10), Ask(4, 0, 10)]


def test_a_later_page_begins_in_the_middle_of_a_node() -> None:
    assert _walk("1,|2|2|3,", [1, 2, 3], 5).next_asks() == [Ask(2, 2, 5), Ask(3, 0, 5)]


def test_nodes_that_the_token_does_not_know_come_last() -> None:
    paginator = _walk("1,2,3,|4|2|5,6,7,", [9, 11, 1, 4, 5, 8, 10], 5)
    assert _plain(paginator) == "1,2,3,|4|2|5,6,7,9,11,8,10,"
    assert [ask.node_id for ask in paginator.next_asks(width=9)] == [4, 5, 6, 7, 9, 11, 8, 10]


def test_a_token_that_names_a_node_twice_asks_it_once() -> None:
    paginator = _walk("1,1,|2|0|2,3,3,1,", [1, 2, 3], 5)
    assert _plain(paginator) == "1,|2|0|3,"


def test_a_page_is_cut_across_nodes() -> None:
    paginator = Paginator(None, [1, 2, 3], 5)
    assert paginator.take(1, 3, 0) == 3
    assert paginator.take(2, 5, 5) == 2
    assert paginator.take(3, 5, 5) is None
    assert paginator.done
    assert paginator.next_asks() == []
    assert _plain(paginator) == "1,|2|2|3,"


def test_a_page_that_goes_on_in_the_same_node_points_behind_what_was_shown() -> None:
    paginator = _walk("1,|2|2|3,", [1, 2, 3], 3)
    assert paginator.take(2, 3, 5) == 3
    assert _plain(paginator) == "1,|2|5|3,"


def test_a_list_that_ends_exactly_at_the_limit_points_at_the_next_node() -> None:
    paginator = Paginator(None, [1, 2, 3], 3)
    assert paginator.take(1, 3, 0) == 3
    assert paginator.done
    assert _plain(paginator) == "1,|2|0|3,"


def test_the_last_page_has_queried_everybody() -> None:
    paginator = Paginator(None, [1, 2, 3], 9)
    assert [paginator.take(node_id, 1, 0) for node_id in (1, 2, 3)] == [1, 1, 1]
    assert paginator.done
    assert paginator.token() == "MSwyLDMsfDB8MHw="


def test_the_last_token_gives_an_empty_page_and_the_same_token() -> None:
    paginator = Paginator(parse_token("MSwyLDMsfDB8MHw="), [1, 2, 3], 9)
    assert paginator.done
    assert paginator.next_asks() == []
    assert paginator.token() == "MSwyLDMsfDB8MHw="


def test_a_failed_node_is_passed_by_once_a_later_one_answers() -> None:
    paginator = Paginator(None, [1, 2, 3], 9)
    assert paginator.take(1, 0, 0, failed=True) == 0
    assert _plain(paginator) == "|0|0|1,2,3,"
    assert paginator.take(2, 1, 0) == 1
    assert _plain(paginator) == "1,2,|3|0|"


def test_a_failed_last_node_is_asked_again_by_the_next_page_only() -> None:
    paginator = Paginator(None, [1, 2], 9)
    paginator.take(1, 1, 0)
    assert paginator.take(2, 0, 0, failed=True) == 0
    assert paginator.done
    assert paginator.next_asks() == []
    assert _plain(paginator) == "1,|2|0|"
    assert _walk("1,|2|0|", [1, 2], 9).next_asks() == [Ask(2, 0, 9)]


def test_a_node_that_fails_in_the_middle_of_its_list_keeps_its_place() -> None:
    paginator = _walk("1,|2|7|", [1, 2], 9)
    paginator.take(2, 0, 0, failed=True)
    assert _plain(paginator) == "1,|2|7|"


def test_a_node_with_nothing_is_passed_by_once_a_later_one_answers() -> None:
    paginator = Paginator(None, [1, 2, 3], 9)
    assert paginator.take(1, 0, 0) == 0
    assert _plain(paginator) == "|1|0|2,3,"
    assert paginator.take(2, 1, 0) == 1
    assert paginator.take(3, 0, 0) == 0
    assert paginator.done
    assert _plain(paginator) == "1,2,|3|0|"


def test_a_list_that_ended_at_the_last_page_is_done_with() -> None:
    paginator = _walk("1,|2|7|3,", [1, 2, 3], 9)
    assert paginator.take(2, 0, 0) == 0
    assert _plain(paginator) == "1,2,|3|0|"


def test_a_failure_beyond_the_page_is_not_this_pages() -> None:
    paginator = Paginator(None, [1, 2], 3)
    paginator.take(1, 3, 3)
    assert paginator.take(2, 0, 0, failed=True) is None


def test_a_node_that_sends_less_than_it_has_is_asked_again_before_the_next_one() -> None:
    paginator = Paginator(None, [1, 2], 9)
    assert paginator.take(1, 4, 4) == 4
    assert paginator.take(2, 9, 0) is None, "node 1 has more, which comes first"
    assert paginator.next_asks() == [Ask(1, 4, 5), Ask(2, 0, 5)]


def test_places_that_were_passed_over_are_not_shown_again() -> None:
    paginator = Paginator(None, [1], 2)
    assert paginator.take(1, 3, 9, places=[1, 4, 8]) == 2
    assert _plain(paginator) == "|1|5|"


def test_a_node_that_counts_backwards_does_not_stop_the_walk() -> None:
    paginator = _walk("|1|7|", [1], 9)
    assert paginator.take(1, 2, 3) == 2
    assert paginator.next_asks() == [Ask(1, 9, 7)]


def test_a_node_whose_places_make_no_sense_does_not_stop_the_walk() -> None:
    paginator = _walk("|1|7|", [1], 2)
    assert paginator.take(1, 3, 99, places=[-5, -5, -5]) == 2
    assert _plain(paginator) == "|1|9|"


def test_a_token_with_a_flood_of_unknown_nodes_costs_one_step_each() -> None:
    """A step that looked at all nodes would need minutes here."""
    paginator = Paginator(PageToken(to_query=tuple(range(1, 100_001))), [], 5)
    failed = 0
    while asks := paginator.next_asks():
        failed += sum(paginator.take(ask.node_id, 0, 0, failed=True) == 0 for ask in asks)
    assert failed == 100_000


def test_a_node_that_is_queried_and_in_progress_at_once_is_queried() -> None:
    paginator = _walk("1,2,|2|5|3,", [1, 2, 3], 9)
    assert paginator.next_asks() == [Ask(3, 0, 9)]
    assert _plain(paginator) == "1,2,|0|0|3,"


def test_a_part_of_a_node_that_was_not_asked_is_not_taken() -> None:
    paginator = Paginator(None, [1], 9)
    assert paginator.take(2, 1, 0) is None
    assert paginator.take(0, 1, 0) is None
    assert Paginator(None, [], 9).take(1, 1, 0) is None


def test_without_a_limit_everybody_is_asked_for_everything_and_the_token_starts_again() -> None:
    paginator = Paginator(PageToken((1,), 2, 5, (3,)), [1, 2, 3], 0)
    assert paginator.next_asks() == [Ask(1, 0, 0), Ask(2, 0, 0), Ask(3, 0, 0)]
    assert [paginator.take(node_id, 1000, 0) for node_id in (1, 2, 3)] == [1000, 1000, 1000]
    assert paginator.done
    assert paginator.token() == START_AGAIN


def test_without_a_limit_a_hundred_nodes_are_asked_at_a_time() -> None:
    assert len(Paginator(None, range(1, 1001), 0).next_asks()) == 100


def test_a_cluster_without_nodes_is_done_at_once() -> None:
    paginator = Paginator(None, [], 5)
    assert paginator.done
    assert paginator.token() == START_AGAIN


# parts


def _list_part(node_id: int, count: int, next_index: int, places: list[int]) -> Part[ListPart]:
    items = [Item(i, Raw(b"{}")) for i in range(count)]
    return Part(node_id, ListPart(items=items, next_index=next_index, places=places))


def test_a_part_is_cut_to_what_belongs_to_the_page() -> None:
    paginator = Paginator(None, [1, 2], 2)
    part = take_part(paginator, _list_part(1, 3, 9, [1, 4, 8]))
    assert part is not None
    assert part.value is not None
    assert [item.key for item in part.value.items] == [0, 1]
    assert _plain(paginator) == "|1|5|2,"


def test_a_part_beyond_the_page_is_none() -> None:
    paginator = Paginator(None, [1, 2], 2)
    take_part(paginator, _list_part(1, 2, 0, []))
    assert take_part(paginator, _list_part(2, 1, 0, [])) is None


def test_hot_ranges_are_cut_likewise() -> None:
    paginator = Paginator(None, [1, 2], 2)
    assert take_part(paginator, Part(1, HotPart(ranges=[]))) == Part(1, HotPart(ranges=[]))
    assert _plain(paginator) == "|1|0|2,"


def test_an_error_is_taken_as_it_is() -> None:
    failed = Part[ListPart](1, error=PartError("dial", Liveness.DEAD, "connection refused"))
    assert take_part(Paginator(None, [1], 2), failed) is failed
    assert take_part(Paginator(None, [2], 2), failed) is None


# the promise


def _stretch(length: int, ask: Ask, most: int) -> tuple[range, int]:
    """What an honest node sends, at most `most` items at a time, and its next index."""
    limit = min(ask.limit, most) or most
    end = min(ask.index + limit, length)
    return range(min(ask.index, length), end), end if end < length else 0


def _show_all(random: Random, length_by_node_id: dict[int, int], limit: int) -> list[tuple[int, int]]:
    shown: list[tuple[int, int]] = []
    most = random.choice([2, 1000])
    text = None
    for _ in range(10_000):
        paginator = Paginator(parse_token(text), length_by_node_id, limit)
        before = len(shown)
        while asks := paginator.next_asks():
            for ask in asks:
                items, next_index = _stretch(length_by_node_id[ask.node_id], ask, most)
                kept = paginator.take(ask.node_id, len(items), next_index)
                shown += [(ask.node_id, item) for item in items[: kept or 0]]
        text = paginator.token()
        if limit == 0 or len(shown) - before < limit:
            return shown
    raise AssertionError("the walk does not end")


def test_every_item_is_shown_exactly_once_whatever_the_limit() -> None:
    random = Random(20210301)
    for _ in range(300):
        lengths = {node_id: random.choice([0, 1, 2, 3, 7, 20]) for node_id in range(1, random.randint(2, 9))}
        everything = [(node_id, i) for node_id, length in lengths.items() for i in range(length)]
        assert _show_all(random, lengths, random.choice([0, 1, 2, 3, 5, 8, 100])) == everything
