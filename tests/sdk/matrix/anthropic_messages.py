"""The official `anthropic` SDK, messages and count_tokens."""

import json

import anthropic
from kit import (
    BOTH_QUESTION, DOCUMENT, ECHO, GREETING, IMAGE, IMAGE_URL, PARAMETERS, STOCK, SYSTEM, THOUGHT, WEATHER, WEATHER_QUESTION,
    Caller, among, calls_are, holds, raises, same,
)  # fmt: skip


def tool(name, description, parameters):
    return {"name": name, "description": description, "input_schema": parameters}


def user(content):
    return [{"role": "user", "content": content}]


def made(answer):
    return [(block.name, block.input) for block in answer.content if block.type == "tool_use"]


def said(answer):
    return "".join(block.text for block in answer.content if block.type == "text")


def thoughts(answer):
    return [block for block in answer.content if block.type == "thinking"]


def total(usage):
    return usage.input_tokens + (usage.cache_read_input_tokens or 0) + (usage.cache_creation_input_tokens or 0)


THINKING = {"thinking": {"type": "enabled", "budget_tokens": 1024}, "max_tokens": 4000}


class Messages(Caller):
    name = f"anthropic {anthropic.__version__.split('.')[0]} (Python)"
    model = "claude-sonnet-4-5"

    def connect(self, to):
        make = lambda key: anthropic.Anthropic(base_url=self.proxy, api_key=key, max_retries=0, timeout=20)
        self.client, self.stranger = make(to.key), make("fd_" + "A" * 43)

    def ask(self, content=GREETING, **more):
        return self.client.messages.create(**{"model": self.model, "max_tokens": 400, "messages": user(content), **more})

    def streamed(self, content=GREETING, **more):
        """The message that the SDK put together, and in how many pieces its text came."""
        asked = {"model": self.model, "max_tokens": 400, "messages": user(content), **more}
        with self.client.messages.stream(**asked) as stream:
            pieces = sum(1 for event in stream if event.type == "text")
            return stream.get_final_message(), pieces

    def text(self, to):
        answer = self.ask()
        same(said(answer), ECHO, "text")
        same((answer.type, answer.stop_reason), ("message", "end_turn"), "type and stop reason")

    def streamed_text(self, to):
        answer, pieces = self.streamed()
        same(said(answer), ECHO, "text")
        same(answer.stop_reason, "end_turn", "stop reason")
        holds(pieces > 1, "the text came in one piece")

    def system_prompt(self, to):
        same(said(self.ask(system=SYSTEM)), ECHO, "text")
        to.simulator.system_was(SYSTEM)

    def usage(self, to):
        usage = self.ask().usage
        to.simulator.usage_is(total(usage), usage.output_tokens)

    def streamed_usage(self, to):
        usage = self.streamed()[0].usage
        to.simulator.usage_is(total(usage), usage.output_tokens)

    def tool_call(self, to):
        answer = self.ask(WEATHER_QUESTION, tools=[tool(*WEATHER)])
        calls_are(made(answer), "get_weather")
        same(answer.stop_reason, "tool_use", "stop reason")

    def streamed_tool_call(self, to):
        answer, _ = self.streamed(WEATHER_QUESTION, tools=[tool(*WEATHER)])
        calls_are(made(answer), "get_weather")
        same(answer.stop_reason, "tool_use", "stop reason")

    def parallel_tools(self, to):
        asked = {"content": BOTH_QUESTION, "tools": [tool(*WEATHER), tool(*STOCK)]}
        for answer in (self.ask(**asked), self.streamed(**asked)[0]):
            calls_are(made(answer), "get_weather", "get_stock")
            same(len({block.id for block in answer.content if block.type == "tool_use"}), 2, "different ids")

    def tool_result(self, to):
        tools = [tool(*WEATHER), tool(*STOCK)]
        first = self.ask(BOTH_QUESTION, tools=tools)
        answer = self.ask(messages=self.with_results(BOTH_QUESTION, first), tools=tools)
        holds("seven" in said(answer), f"the result is not in {said(answer)}")
        same(answer.stop_reason, "end_turn", "stop reason")
        to.simulator.saw("sunny")

    def with_results(self, question, answer):
        uses = [block for block in answer.content if block.type == "tool_use"]
        results = [
            {"type": "tool_result", "tool_use_id": use.id, "content": content}
            for use, content in zip(uses, ("sunny", "seven"))
        ]
        blocks = [block.model_dump(exclude_none=True) for block in answer.content]
        return user(question) + [{"role": "assistant", "content": blocks}, {"role": "user", "content": results}]

    def tool_choice_required(self, to):
        calls_are(made(self.ask(tools=[tool(*WEATHER)], tool_choice={"type": "any"})), "get_weather")

    def tool_choice_named(self, to):
        choice = {"type": "tool", "name": "get_stock"}
        calls_are(made(self.ask(WEATHER_QUESTION, tools=[tool(*WEATHER), tool(*STOCK)], tool_choice=choice)), "get_stock")

    def tool_choice_none(self, to):
        calls_are(made(self.ask(WEATHER_QUESTION, tools=[tool(*WEATHER)], tool_choice={"type": "none"})))

    def structured_output(self, to):
        output = {"format": {"type": "json_schema", "schema": PARAMETERS}}
        answer = self.ask("Where is it?", extra_body={"output_config": output})
        same(json.loads(said(answer)), {"city": "city", "days": 1}, "JSON")

    def image_input(self, to):
        image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": IMAGE}}
        same(said(self.ask([{"type": "text", "text": GREETING}, image])), ECHO, "text")
        to.simulator.saw(IMAGE)

    def image_url(self, to):
        image = {"type": "image", "source": {"type": "url", "url": IMAGE_URL}}
        same(said(self.ask([{"type": "text", "text": GREETING}, image])), ECHO, "text")
        to.simulator.saw(IMAGE_URL)

    def document_input(self, to):
        source = {"type": "base64", "media_type": "application/pdf", "data": DOCUMENT}
        document = {"type": "document", "title": "a", "source": source}
        same(said(self.ask([{"type": "text", "text": GREETING}, document])), ECHO, "text")
        to.simulator.saw(DOCUMENT)

    def cache_markers(self, to):
        system = [{"type": "text", "text": SYSTEM, "cache_control": {"type": "ephemeral"}}]
        asked = {"model": self.model, "max_tokens": 400, "messages": user(GREETING), "system": system}
        raw = self.client.messages.with_raw_response.create(**asked)
        same(said(raw.parse()), ECHO, "text")
        body = json.dumps(to.simulator.last())
        is_sent = "cache_control" in body or "cachePoint" in body
        is_told = "cache_control" in raw.headers.get("x-frontdoor-dropped", "")
        holds(is_sent or is_told, "the marker went without a word")

    def thinking(self, to):
        answer = self.ask(**THINKING)
        same(said(answer), ECHO, "text")
        to.simulator.usage_is(total(answer.usage), answer.usage.output_tokens)
        holds(answer.usage.output_tokens > 4, "nothing was thought")
        if to.shows_thoughts:
            same([block.thinking for block in thoughts(answer)], [THOUGHT], "thinking")

    def streamed_thinking(self, to):
        answer, _ = self.streamed(**THINKING)
        same(said(answer), ECHO, "text")
        if to.shows_thoughts:
            same([block.thinking for block in thoughts(answer)], [THOUGHT], "thinking")

    def thinking_replayed(self, to):
        first = self.ask(WEATHER_QUESTION, tools=[tool(*WEATHER)], **THINKING)
        calls_are(made(first), "get_weather")
        messages = self.with_results(WEATHER_QUESTION, first)
        answer = self.ask(messages=messages, tools=[tool(*WEATHER)], **THINKING)
        holds("sunny" in said(answer), f"the result is not in {said(answer)}")
        if to.shows_thoughts and to.signature:
            to.simulator.saw(to.signature)

    def cached_tokens(self, to):
        to.simulator.behaves(cached_tokens=64)
        for answer in (self.ask(), self.streamed()[0]):
            same(answer.usage.cache_read_input_tokens, 64, "cached tokens")

    def stop_sequences(self, to):
        answer = self.ask("one two three", stop_sequences=["three"])
        same(said(answer).rstrip(), "You said: one two", "text")
        # Most providers do not tell which of the two it was, or not at which sequence.
        among(answer.stop_reason, ("stop_sequence", "end_turn"), "stop reason")
        among(answer.stop_sequence, ("three", None), "stop sequence")

    def max_tokens(self, to):
        to.simulator.behaves(tokens=60)
        answer = self.ask(max_tokens=20)
        same((answer.stop_reason, answer.usage.output_tokens), ("max_tokens", 20), "stop reason and tokens")

    def count_tokens(self, to):
        counted = self.client.messages.count_tokens(model=self.model, messages=user(GREETING))
        usage = self.ask().usage
        same(counted.input_tokens, total(usage), "counted and used")

    def models(self, to):
        holds(self.model in {model.id for model in self.client.models.list()}, "the model is not in the list")

    def wrong_key(self, to):
        asked = {"model": self.model, "max_tokens": 9, "messages": user(GREETING)}
        error = raises(anthropic.AuthenticationError, lambda: self.stranger.messages.create(**asked))
        same((error.body["type"], error.body["error"]["type"]), ("error", "authentication_error"), "error")

    def unknown_model(self, to):
        error = raises(anthropic.NotFoundError, lambda: self.ask(model="claude-sonnet-4"))
        same(error.body["error"]["type"], "not_found_error", "error")

    def rate_limited(self, to):
        to.simulator.behaves(status=429, retry_after=7)
        error = raises(anthropic.RateLimitError, lambda: self.ask(model=to.failing("limited")))
        among(error.response.headers.get("retry-after"), ("6", "7"), "retry-after")

    def provider_error(self, to):
        to.simulator.behaves(status=500)
        error = raises(anthropic.InternalServerError, lambda: self.ask(model=to.failing("broken")))
        same(error.response.headers.get("x-should-retry"), "false", "x-should-retry")

    def refusal(self, to):
        to.simulator.behaves(stop_reason=to.refusal)
        same(self.ask().stop_reason, "refusal", "stop reason")
        same(self.streamed()[0].stop_reason, "refusal", "stop reason of the stream")

    def error_in_stream(self, to):
        to.simulator.behaves(error_after=4, tokens=60)
        raises(anthropic.APIError, lambda: self.streamed(model=to.failing("cut")))
