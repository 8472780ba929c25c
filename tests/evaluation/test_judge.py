"""The judge: asked over HTTP by the official client, patient with servers, and never asked the same twice."""

from __future__ import annotations

import base64
import email.utils
import json
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.openaiserver import OpenAiServer, Reply
from opens2v_data.errors import EvaluationError, MetricError
from opens2v_eval.models.judge import Judge, JudgeOptions
from opens2v_eval.models.judge_answers import Answer, read_answer
from opens2v_eval.models.judge_cost import estimate_cost, tile_tokens
from opens2v_eval.models.judge_store import AnswerStore, question_key

if TYPE_CHECKING:
    from pathlib import Path

KEY = "sk-very-secret-0123456789"
IMAGES = [b"first", b"second"]
LIMIT = Reply(status=429, error={"message": "slow down", "code": "rate_limit_exceeded"})


class Clock:
    """Time that passes only by sleeping."""

    def __init__(self) -> None:
        self.now, self.slept = 100.0, []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)


def judge_at(
    server: OpenAiServer, *, clock: Clock | None = None, store: AnswerStore | None = None, **options: Any
) -> Judge:
    clock = clock or Clock()
    made = JudgeOptions(model="judge", base_url=server.base_url, **options)
    return Judge(made, prompt="How natural?", store=store, sleep=clock.sleep, clock=clock)


def test_images_and_words_are_asked_for_a_number_by_a_schema() -> None:
    with OpenAiServer(Reply(content='{"score": 3}')) as server:
        answer = judge_at(server).ask(IMAGES)
    assert answer == Answer(
        outcome="score",
        score=3,
        text='{"score": 3}',
        model="judge-2026",
        usage={"prompt_tokens": 1000, "completion_tokens": 5, "total_tokens": 1005},
    )
    assert answer.written == "3"
    [asked] = server.asked
    assert asked.path == "/v1/chat/completions"
    assert asked.headers["authorization"] == f"Bearer {KEY}"
    assert asked.body["model"] == "judge"
    assert [part["type"] for part in asked.content] == ["image_url", "image_url", "text"]
    kind, _, data = asked.content[0]["image_url"]["url"].partition(",")
    assert kind == "data:image/jpeg;base64" and base64.b64decode(data) == b"first"
    assert asked.content[2]["text"] == "How natural?"
    schema = asked.body["response_format"]["json_schema"]["schema"]
    assert schema["properties"]["score"]["enum"] == [1, 2, 3, 4, 5]


def test_a_server_that_knows_no_schema_is_asked_in_words_from_then_on() -> None:
    unknown = Reply(status=400, error={"message": "Unknown parameter: response_format", "param": "response_format"})
    with OpenAiServer(unknown, Reply(content="Score: 4")) as server:
        clock = Clock()
        judge = judge_at(server, clock=clock)
        answers = [judge.ask([image]) for image in IMAGES]
    assert [(answer.score, answer.form, answer.requests) for answer in answers] == [(4, "words", 2), (4, "words", 1)]
    assert ["response_format" in asked.body for asked in server.asked] == [True, False, False]
    assert clock.slept == []


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({"retry-after": "7"}, 7),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after": email.utils.formatdate(time.time() - 100, usegmt=True)}, 0),
        ({"retry-after": "0"}, 0),
    ],
)
def test_a_server_that_is_asked_too_often_is_given_the_time_it_names(headers: dict[str, str], wait: float) -> None:
    limited = Reply(status=429, headers=headers)
    clock = Clock()
    with OpenAiServer(limited, limited, Reply(content="5")) as server:
        answer = judge_at(server, clock=clock).ask(IMAGES)
    assert answer.score == 5 and answer.requests == 3
    assert clock.slept == ([pytest.approx(wait)] * 2 if wait else [])


def test_waits_grow_where_the_server_names_none() -> None:
    clock = Clock()
    with OpenAiServer(LIMIT, Reply(status=500), Reply(status=503), Reply(status=409), Reply(content="2")) as server:
        answer = judge_at(server, clock=clock).ask(IMAGES)
    assert answer.score == 2
    for wait, longest in zip(clock.slept, (2, 4, 8, 16), strict=True):
        assert longest / 2 <= wait <= longest


def test_a_date_far_off_and_a_long_wait_fail_the_video_at_once() -> None:
    clock = Clock()
    later = email.utils.formatdate(time.time() + 4000, usegmt=True)
    with OpenAiServer(Reply(status=429, headers={"retry-after": later})) as server:
        with pytest.raises(MetricError, match=r"asks to wait \d+ s, more than the 300 s allowed"):
            judge_at(server, clock=clock).ask(IMAGES)
        assert len(server.asked) == 1 and clock.slept == []


@pytest.mark.parametrize(
    "fault", [Reply(hangs=True), Reply(drops=True), Reply(body=b"<html>busy</html>"), Reply(body=b"{}")]
)
def test_servers_that_hang_or_drop_or_say_something_else_are_asked_again(fault: Reply) -> None:
    clock = Clock()
    with OpenAiServer(fault, Reply(content="4")) as server:
        # What hangs costs a test all of this time; another answer may be as late, where a machine stands still.
        answer = judge_at(server, clock=clock, timeout_seconds=0.3 if fault.hangs else 100.0).ask(IMAGES)
        assert answer.score == 4
        assert len(server.asked) == len(clock.slept) + 1
        assert len(server.asked) >= 2 if fault.hangs else len(server.asked) == 2


def test_attempts_are_counted_and_then_given_up() -> None:
    with OpenAiServer(Reply(status=502)) as server:
        with pytest.raises(MetricError, match=r"gave no answer in 3 requests, at last: InternalServerError.*are kept"):
            judge_at(server, max_attempts=3).ask(IMAGES)
        assert len(server.asked) == 3


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (Reply(refusal="I cannot judge people."), "I cannot judge people."),
        (Reply(content=None, finish="content_filter"), "stopped by the server's content filter"),
        (
            Reply(content="I'm sorry, but I can't assist with these 5 people."),
            "I'm sorry, but I can't assist with these 5 people.",
        ),
        (
            Reply(status=400, error={"code": "content_policy_violation"}),
            "refused by the server: content_policy_violation",
        ),
    ],
)
def test_a_refusal_is_kept_as_one_and_is_no_score(reply: Reply, words: str, tmp_path: Path) -> None:
    store = AnswerStore(tmp_path / "answers.jsonl")
    with OpenAiServer(reply, Reply(content="5")) as server:
        judge = judge_at(server, store=store)
        answer = judge.ask(IMAGES)
        assert (answer.outcome, answer.score, answer.written) == ("refusal", None, words)
        assert judge.ask(IMAGES).outcome == "refusal"
        assert len(server.asked) == 1


def test_an_answer_without_a_score_is_asked_for_once_more_and_then_kept_as_it_came() -> None:
    broken = Reply(content='{"score": ', finish="length")
    with OpenAiServer(broken, Reply(content='```json\n{"score": 2}\n```')) as server:
        assert judge_at(server).ask(IMAGES).score == 2
    with OpenAiServer(broken, Reply(content="It looks natural."), Reply(content="5")) as server:
        answer = judge_at(server).ask(IMAGES)
        assert (answer.outcome, answer.score, answer.written) == ("unreadable", None, "It looks natural.")
        assert answer.requests == len(server.asked) == 2
    with (
        OpenAiServer(broken) as server,
        pytest.raises(MetricError, match="in 1 requests, at last: no answer that has a score"),
    ):
        judge_at(server, max_attempts=1).ask(IMAGES)


@pytest.mark.parametrize(
    "reply",
    [
        Reply(status=401, error={"message": f"Incorrect API key provided: {KEY}", "code": "invalid_api_key"}),
        Reply(status=404, error={"message": f"no model for {KEY}", "code": "model_not_found"}),
        Reply(status=429, error={"message": f"no credit on {KEY}", "code": "insufficient_quota"}),
    ],
)
def test_what_no_waiting_mends_is_said_at_once_without_the_key_and_not_tried_again(
    reply: Reply, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    clock = Clock()
    with OpenAiServer(reply) as server:
        judge = judge_at(server, clock=clock)
        for image in IMAGES:
            with pytest.raises(
                MetricError, match=r"the judge judge does not answer: .*\*\*\*.*see to the key"
            ) as caught:
                judge.ask([image])
            assert KEY not in str(caught.value)
        assert len(server.asked) == 1 and clock.slept == []
    assert KEY not in caplog.text


def test_a_request_that_is_wrong_fails_its_video_alone() -> None:
    with OpenAiServer(Reply(status=400, error={"message": "image too large"}), Reply(content="4")) as server:
        judge = judge_at(server)
        with pytest.raises(MetricError, match="image too large"):
            judge.ask(IMAGES)
        assert judge.ask([b"other"]).score == 4


def test_the_same_is_asked_once_and_kept_for_the_next_process(tmp_path: Path) -> None:
    path = tmp_path / "kept" / "answers.jsonl"
    with OpenAiServer(Reply(content="2"), Reply(content="3"), Reply(content="4"), Reply(content="5")) as server:
        judge = judge_at(server, store=AnswerStore(path))
        first = [judge.ask(IMAGES, run=run) for run in (1, 2)]
        again = judge_at(server, store=AnswerStore(path))
        assert [again.ask(IMAGES, run=run).score for run in (1, 2)] == [2, 3] == [answer.score for answer in first]
        assert again.ask(IMAGES, run=1).is_stored and not first[0].is_stored
        assert len(server.asked) == 2
        assert again.ask(IMAGES[::-1], run=1).score == 4  # other frames
        other = Judge(
            JudgeOptions(model="judge", base_url=server.base_url), prompt="Other words", store=AnswerStore(path)
        )
        assert other.ask(IMAGES, run=1).score == 5
    assert KEY not in path.read_text()


def test_a_torn_line_is_asked_again_and_spoils_none(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    store = AnswerStore(path)
    four = Answer(outcome="score", score=4, text="4")
    store.put("a", run=1, answer=four)
    path.write_bytes(path.read_bytes() + b'{"question": "b", "run": 1, "answer": {"outc')
    reopened = AnswerStore(path)
    assert len(reopened) == 1 and reopened.get("b", run=1) is None
    reopened.put("b", run=1, answer=four)
    whole = AnswerStore(path)
    found = whole.get("b", run=1)
    assert len(whole) == 2 and found is not None and found.score == 4
    with pytest.raises(EvaluationError, match="cannot read the judge's stored answers"):
        AnswerStore(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(EvaluationError, match="cannot keep the judge's answers"):
        AnswerStore(tmp_path / "file" / "answers.jsonl").put("a", run=1, answer=four)


def test_no_more_requests_are_under_way_than_allowed() -> None:
    with OpenAiServer(waits_for=3) as server:
        judge = judge_at(server, max_in_flight=3)
        with ThreadPoolExecutor(8) as threads:
            answers = list(threads.map(lambda place: judge.ask([bytes([place])]), range(8)))
    assert [answer.score for answer in answers] == [4] * 8
    assert server.most_in_flight == 3


def test_a_key_is_needed_for_openai_and_not_for_a_server_of_ones_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(MetricError, match=r"expected a key in \$OPENAI_API_KEY, found none; set it"):
        Judge(JudgeOptions(), prompt="?")
    with OpenAiServer() as server:
        assert judge_at(server).ask(IMAGES).score == 4
        monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
        assert Judge(JudgeOptions(), prompt="?").ask(IMAGES).score == 4
        monkeypatch.setenv("OWN_KEY", "of-my-own")
        judge_at(server, api_key_variable="OWN_KEY").ask(IMAGES)
        assert server.asked[-1].headers["authorization"] == "Bearer of-my-own"


def test_an_address_is_kept_without_what_is_secret_in_it() -> None:
    assert JudgeOptions(base_url="https://me:pass@host:8000/v1/?key=1").server == "https://host:8000/v1"
    with pytest.raises(ValueError, match="max_attempts is above 0, not 0"):
        JudgeOptions(max_attempts=0)


@pytest.mark.parametrize(
    ("text", "score"),
    [
        ("4", 4),
        (" 4. ", 4),
        ("**3**", 3),
        ("4.5", 4.5),
        ("4/5", 4),
        ('{"score": 2}', 2),
        ('Here it is: {"score": "5"} as asked', 5),
        ("Score: 4", 4),
        ("**Score:** 2\n\nThe hands morph in 3 of 16 frames.", 2),
        ("I would rate this video a 3 because of the hands.", 3),
        ("On a scale from 1 to 5, the score is 4.", 4),
        ("My rating is 2 out of 5", 2),
        ("4 — Likely real", 4),
        ("2: probably generated", 2),
        ("3. The light is odd.", 3),
    ],
)
def test_scores_are_read_from_json_numbers_and_words(text: str, score: float) -> None:
    assert read_answer(text) == ("score", score)


@pytest.mark.parametrize(
    ("text", "outcome"),
    [
        ("", "unreadable"),
        ("6", "unreadable"),
        ("0", "unreadable"),
        ("45", "unreadable"),
        ('{"score": 9}', "unreadable"),
        ('{"score": true}', "unreadable"),
        ("The 16 frames show 4 people, all natural.", "unreadable"),
        ("A score from 1 to 5 cannot be given", "unreadable"),
        ("A score of 1-5 is asked for", "unreadable"),
        ("Score: 3 for light, score: 4 for motion", "unreadable"),
        ("I cannot see anything unnatural in it", "unreadable"),
        ("I'm sorry, I can't help with that.", "refusal"),
        ("I am unable to evaluate the 5 people shown.", "refusal"),
        ("As a text model I cannot view images.", "refusal"),
    ],
)
def test_what_is_no_score_is_not_made_one(text: str, outcome: str) -> None:
    assert read_answer(text) == (outcome, None)


@settings(max_examples=80)
@given(st.text(alphabet='12345 6.0/{}":scoreSCORE\n*-', max_size=30))
def test_any_text_is_an_answer_of_some_kind(text: str) -> None:
    outcome, score = read_answer(text)
    assert (score is None) == (outcome != "score")
    assert score is None or 1 <= score <= 5


@settings(max_examples=30)
@given(st.lists(st.binary(max_size=4), max_size=4), st.lists(st.binary(max_size=4), max_size=4))
def test_questions_have_the_same_name_only_if_they_are_the_same(one: list[bytes], other: list[bytes]) -> None:
    assert (question_key({"a": 1}, one) == question_key({"a": 1}, other)) == (one == other)
    assert question_key({"a": 1}, one) != question_key({"a": 2}, one)


def test_tokens_follow_the_documented_rule_and_money_the_prices_given() -> None:
    # The documentation's own examples: 1024x1024 takes 765 tokens, 2048x4096 takes 1105.
    assert tile_tokens(1024, 1024) == 765
    assert tile_tokens(2048, 4096) == 1105
    assert tile_tokens(512, 295) == 255
    sizes = [(512, 295, 16), (295, 512, 9)]
    estimate = estimate_cost(sizes, prompt="x" * 401, runs=3)
    assert (estimate.videos, estimate.requests, estimate.images) == (2, 6, 75)
    assert estimate.input_tokens == 3 * (25 * 255 + 2 * (101 + 20))
    assert estimate.cost is None and "give prices" in str(estimate)
    priced = estimate_cost(
        sizes, prompt="", runs=1, tokens_per_image=1000, output_tokens=7, input_price=2.5, output_price=10
    )
    assert priced.cost == pytest.approx((25 * 1000 + 40) * 2.5e-6 + 14 * 10e-6)
    with pytest.raises(ValueError, match="both prices or none"):
        estimate_cost(sizes, prompt="", runs=1, input_price=1)
    with pytest.raises(ValueError, match="0 or more, not -1 and 1"):
        estimate_cost(sizes, prompt="", runs=1, input_price=-1, output_price=1)


def test_answers_are_json_and_consistent() -> None:
    answer = Answer(outcome="score", score=4, text="4", usage={"total_tokens": 3})
    assert json.loads(json.dumps(answer.as_json()))["usage"] == {"total_tokens": 3}
    with pytest.raises(ValueError, match="refusal and 4"):
        Answer(outcome="refusal", score=4, text="4")
