"""The official `openai` SDK, Responses."""

import json

import openai
from kit import (
    BOTH_QUESTION, DOCUMENT, ECHO, GREETING, IMAGE, IMAGE_URL, PARAMETERS, STOCK, SYSTEM, THOUGHT, WEATHER, WEATHER_QUESTION,
    Caller, among, calls_are, holds, raises, same,
)  # fmt: skip


def tool(name, description, parameters):
    return {"type": "function", "name": name, "description": description, "parameters": parameters, "strict": True}


def user(content):
    return [{"role": "user", "content": content}]


def made(answer):
    return [(item.name, item.arguments) for item in answer.output if item.type == "function_call"]


def thoughts(answer):
    summaries = [summary.text for item in answer.output if item.type == "reasoning" for summary in item.summary]
    return "".join(summaries)


THINKING = {"model": "gpt-5-mini", "reasoning": {"effort": "low", "summary": "auto"}, "max_output_tokens": 4000}


class Responses(Caller):
    name = f"openai {openai.__version__.split('.')[0]}, Responses (Python)"
    model = "gpt-4.1-mini"

    def connect(self, to):
        make = lambda key: openai.OpenAI(base_url=self.proxy + "/v1", api_key=key, max_retries=0, timeout=20)
        self.client, self.stranger = make(to.key), make("fd_" + "A" * 43)

    def ask(self, content=GREETING, **more):
        asked = {"model": self.model, "input": user(content), "max_output_tokens": 400, "store": False, **more}
        return self.client.responses.create(**asked)

    def streamed(self, content=GREETING, **more):
        """The events, which the SDK has put together and checked, and the answer at their end."""
        asked = {"model": self.model, "input": user(content), "max_output_tokens": 400, "store": False, **more}
        with self.client.responses.stream(**asked) as stream:
            events = list(stream)
            ends = ("response.completed", "response.incomplete", "response.failed")
            same([event.type in ends for event in events].count(True), 1, "last events")
            return events[-1].response, events

    def text(self, to):
        answer = self.ask()
        same(answer.output_text, ECHO, "text")
        same((answer.object, answer.status), ("response", "completed"), "object and status")

    def streamed_text(self, to):
        answer, events = self.streamed()
        pieces = [event.delta for event in events if event.type == "response.output_text.delta"]
        same("".join(pieces), ECHO, "text")
        same(answer.output_text, ECHO, "text at the end")
        holds(len(pieces) > 1, "the text came in one piece")
        numbers = [event.sequence_number for event in events if hasattr(event, "sequence_number")]
        same(numbers, sorted(set(numbers)), "numbers of events")

    def system_prompt(self, to):
        same(self.ask(instructions=SYSTEM).output_text, ECHO, "text")
        to.simulator.system_was(SYSTEM)

    def usage(self, to):
        usage = self.ask().usage
        to.simulator.usage_is(usage.input_tokens, usage.output_tokens)
        same(usage.total_tokens, usage.input_tokens + usage.output_tokens, "total")

    def streamed_usage(self, to):
        usage = self.streamed()[0].usage
        to.simulator.usage_is(usage.input_tokens, usage.output_tokens)

    def tool_call(self, to):
        calls_are(made(self.ask(WEATHER_QUESTION, tools=[tool(*WEATHER)])), "get_weather")

    def streamed_tool_call(self, to):
        answer, events = self.streamed(WEATHER_QUESTION, tools=[tool(*WEATHER)])
        calls_are(made(answer), "get_weather")
        pieces = [event.delta for event in events if event.type == "response.function_call_arguments.delta"]
        same(json.loads("".join(pieces)), {"city": "city", "days": 1}, "arguments in pieces")

    def parallel_tools(self, to):
        asked = {"content": BOTH_QUESTION, "tools": [tool(*WEATHER), tool(*STOCK)]}
        for answer in (self.ask(**asked), self.streamed(**asked)[0]):
            calls_are(made(answer), "get_weather", "get_stock")
            same(len({item.call_id for item in answer.output if item.type == "function_call"}), 2, "different ids")

    def with_results(self, question, answer):
        items = [item.model_dump(exclude_none=True) for item in answer.output]
        calls = [item for item in answer.output if item.type == "function_call"]
        for call, content in zip(calls, ("sunny", "seven")):
            items.append({"type": "function_call_output", "call_id": call.call_id, "output": content})
        return user(question) + items

    def tool_result(self, to):
        tools = [tool(*WEATHER), tool(*STOCK)]
        first = self.ask(BOTH_QUESTION, tools=tools)
        answer = self.ask(input=self.with_results(BOTH_QUESTION, first), tools=tools)
        holds("seven" in answer.output_text, f"the result is not in {answer.output_text}")
        to.simulator.saw("sunny")

    def tool_choice_required(self, to):
        calls_are(made(self.ask(tools=[tool(*WEATHER)], tool_choice="required")), "get_weather")

    def tool_choice_named(self, to):
        choice = {"type": "function", "name": "get_stock"}
        calls_are(made(self.ask(WEATHER_QUESTION, tools=[tool(*WEATHER), tool(*STOCK)], tool_choice=choice)), "get_stock")

    def tool_choice_none(self, to):
        calls_are(made(self.ask(WEATHER_QUESTION, tools=[tool(*WEATHER)], tool_choice="none")))

    def structured_output(self, to):
        text = {"format": {"type": "json_schema", "name": "place", "strict": True, "schema": PARAMETERS}}
        same(json.loads(self.ask("Where is it?", text=text).output_text), {"city": "city", "days": 1}, "JSON")

    def streamed_structured_output(self, to):
        text = {"format": {"type": "json_schema", "name": "place", "strict": True, "schema": PARAMETERS}}
        answer, _ = self.streamed("Where is it?", text=text)
        same(json.loads(answer.output_text), {"city": "city", "days": 1}, "JSON")

    def image_input(self, to):
        image = {"type": "input_image", "image_url": "data:image/png;base64," + IMAGE, "detail": "auto"}
        same(self.ask([{"type": "input_text", "text": GREETING}, image]).output_text, ECHO, "text")
        to.simulator.saw(IMAGE)

    def image_url(self, to):
        image = {"type": "input_image", "image_url": IMAGE_URL, "detail": "auto"}
        same(self.ask([{"type": "input_text", "text": GREETING}, image]).output_text, ECHO, "text")
        to.simulator.saw(IMAGE_URL)

    def document_input(self, to):
        file = {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64," + DOCUMENT}
        same(self.ask([{"type": "input_text", "text": GREETING}, file]).output_text, ECHO, "text")
        to.simulator.saw(DOCUMENT)

    def thinking(self, to):
        answer = self.ask(**THINKING)
        same(answer.output_text, ECHO, "text")
        to.simulator.usage_is(answer.usage.input_tokens, answer.usage.output_tokens)
        holds(answer.usage.output_tokens > 4, "nothing was thought")
        if to.shows_thoughts:
            same(thoughts(answer), THOUGHT, "summary")

    def streamed_thinking(self, to):
        answer, events = self.streamed(**THINKING)
        same(answer.output_text, ECHO, "text")
        if to.shows_thoughts:
            same(thoughts(answer), THOUGHT, "summary")
            pieces = [event.delta for event in events if event.type == "response.reasoning_summary_text.delta"]
            same("".join(pieces), THOUGHT, "summary in pieces")

    def thinking_replayed(self, to):
        asked = {"tools": [tool(*WEATHER)], "include": ["reasoning.encrypted_content"], **THINKING}
        first = self.ask(WEATHER_QUESTION, **asked)
        calls_are(made(first), "get_weather")
        answer = self.ask(input=self.with_results(WEATHER_QUESTION, first), **asked)
        holds("sunny" in answer.output_text, f"the result is not in {answer.output_text}")
        if to.signature:
            to.simulator.saw(to.signature)

    def cached_tokens(self, to):
        to.simulator.behaves(cached_tokens=64)
        usage = self.ask().usage
        same(usage.input_tokens_details.cached_tokens, 64, "cached tokens")
        to.simulator.usage_is(usage.input_tokens, usage.output_tokens)

    def max_tokens(self, to):
        to.simulator.behaves(tokens=60)
        for answer in (self.ask(max_output_tokens=20), self.streamed(max_output_tokens=20)[0]):
            same((answer.status, answer.incomplete_details.reason), ("incomplete", "max_output_tokens"), "status")
            same(answer.usage.output_tokens, 20, "tokens")

    def logprobs(self, to):
        answer = self.ask(include=["message.output_text.logprobs"], top_logprobs=2)
        same("".join(token.token for token in answer.output[0].content[0].logprobs), ECHO, "tokens")

    def count_tokens(self, to):
        counted = self.client.responses.input_tokens.count(model=self.model, input=user(GREETING))
        same(counted.input_tokens, self.ask().usage.input_tokens, "counted and used")

    def wrong_key(self, to):
        error = raises(openai.AuthenticationError, lambda: self.stranger.responses.create(model=self.model, input="x"))
        same(error.code, "invalid_key", "code")

    def unknown_model(self, to):
        same(raises(openai.NotFoundError, lambda: self.ask(model="gpt-4.1-min")).code, "unknown_model", "code")

    def rate_limited(self, to):
        to.simulator.behaves(status=429, retry_after=7)
        error = raises(openai.RateLimitError, lambda: self.ask(model=to.failing("limited")))
        among(error.response.headers.get("retry-after"), ("6", "7"), "retry-after")

    def provider_error(self, to):
        to.simulator.behaves(status=500)
        error = raises(openai.InternalServerError, lambda: self.ask(model=to.failing("broken")))
        same(error.response.headers.get("x-should-retry"), "false", "x-should-retry")

    def refusal(self, to):
        to.simulator.behaves(stop_reason=to.refusal)
        for answer in (self.ask(), self.streamed()[0]):
            same((answer.status, answer.incomplete_details.reason), ("incomplete", "content_filter"), "status")

    def error_in_stream(self, to):
        to.simulator.behaves(error_after=4, tokens=60)

        def read():
            events = list(self.ask(model=to.failing("cut"), stream=True))
            # Some errors end the answer instead of the stream.
            if events[-1].type in ("response.failed", "error"):
                raise openai.APIError("the answer failed", request=None, body=None)

        raises(openai.APIError, read)
