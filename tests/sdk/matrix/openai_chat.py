"""The official `openai` SDK, chat completions and embeddings."""

import json

import openai
from kit import (
    BOTH_QUESTION, DOCUMENT, ECHO, GREETING, IMAGE, IMAGE_URL, PARAMETERS, STOCK, SYSTEM, THOUGHT, WEATHER, WEATHER_QUESTION,
    Caller, among, calls_are, holds, raises, same,
)  # fmt: skip


def tool(name, description, parameters):
    return {"type": "function", "function": {"name": name, "description": description, "parameters": parameters}}


def user(content):
    return [{"role": "user", "content": content}]


def made(answer):
    return [(call.function.name, call.function.arguments) for call in answer.choices[0].message.tool_calls or []]


class Chat(Caller):
    name = f"openai {openai.__version__.split('.')[0]}, chat completions (Python)"
    model = "gpt-4.1-mini"

    def connect(self, to):
        make = lambda key: openai.OpenAI(base_url=self.proxy + "/v1", api_key=key, max_retries=0, timeout=20)
        self.client, self.stranger = make(to.key), make("fd_" + "A" * 43)

    def ask(self, content=GREETING, **more):
        asked = {"model": self.model, "messages": user(content), "max_completion_tokens": 400, **more}
        return self.client.chat.completions.create(**asked)

    def streamed(self, content=GREETING, **more):
        """Text, reason, usage, and the tool calls put together as the SDK's users do."""
        text, finish, usage, calls, pieces = "", None, None, {}, 0
        for chunk in self.ask(content, stream=True, stream_options={"include_usage": True}, **more):
            usage = chunk.usage or usage
            for choice in chunk.choices:
                pieces += bool(choice.delta.content)
                text += choice.delta.content or ""
                finish = choice.finish_reason or finish
                for delta in choice.delta.tool_calls or []:
                    call = calls.setdefault(delta.index, {"id": None, "name": "", "arguments": ""})
                    call["id"] = delta.id or call["id"]
                    call["name"] += delta.function.name or ""
                    call["arguments"] += delta.function.arguments or ""
        return text, finish, usage, [calls[index] for index in sorted(calls)], pieces

    def text(self, to):
        answer = self.ask()
        same(answer.choices[0].message.content, ECHO, "text")
        same(answer.choices[0].finish_reason, "stop", "finish reason")
        same(answer.object, "chat.completion", "object")

    def streamed_text(self, to):
        text, finish, _, _, pieces = self.streamed()
        same(text, ECHO, "text")
        same(finish, "stop", "finish reason")
        holds(pieces > 1, "the text came in one piece")

    def system_prompt(self, to):
        answer = self.ask(messages=[{"role": "system", "content": SYSTEM}, *user(GREETING)])
        same(answer.choices[0].message.content, ECHO, "text")
        to.simulator.system_was(SYSTEM)

    def usage(self, to):
        usage = self.ask().usage
        to.simulator.usage_is(usage.prompt_tokens, usage.completion_tokens)
        same(usage.total_tokens, usage.prompt_tokens + usage.completion_tokens, "total")

    def streamed_usage(self, to):
        usage = self.streamed()[2]
        to.simulator.usage_is(usage.prompt_tokens, usage.completion_tokens)

    def tool_call(self, to):
        answer = self.ask(WEATHER_QUESTION, tools=[tool(*WEATHER)])
        calls_are(made(answer), "get_weather")
        same(answer.choices[0].finish_reason, "tool_calls", "finish reason")

    def streamed_tool_call(self, to):
        _, finish, _, calls, _ = self.streamed(WEATHER_QUESTION, tools=[tool(*WEATHER)])
        calls_are([(call["name"], call["arguments"]) for call in calls], "get_weather")
        holds(calls[0]["id"], "the call has no id")
        same(finish, "tool_calls", "finish reason")

    def parallel_tools(self, to):
        answer = self.ask(BOTH_QUESTION, tools=[tool(*WEATHER), tool(*STOCK)])
        calls_are(made(answer), "get_weather", "get_stock")
        same(len({call.id for call in answer.choices[0].message.tool_calls}), 2, "different ids")
        calls = self.streamed(BOTH_QUESTION, tools=[tool(*WEATHER), tool(*STOCK)])[3]
        calls_are([(call["name"], call["arguments"]) for call in calls], "get_weather", "get_stock")

    def replay(self, question, *offers, **more):
        tools = [tool(*offer) for offer in offers]
        message = self.ask(question, tools=tools, **more).choices[0].message
        messages = user(question) + [message.model_dump(exclude_none=True)]
        for call, content in zip(message.tool_calls, ("sunny", "seven")):
            messages.append({"role": "tool", "tool_call_id": call.id, "content": content})
        return self.ask(messages=messages, tools=tools, **more)

    def tool_result(self, to):
        answer = self.replay(BOTH_QUESTION, WEATHER, STOCK)
        holds("seven" in answer.choices[0].message.content, f"the result is not in {answer.choices[0].message.content}")
        same(answer.choices[0].finish_reason, "stop", "finish reason")
        to.simulator.saw("sunny")

    def tool_choice_required(self, to):
        calls_are(made(self.ask(tools=[tool(*WEATHER)], tool_choice="required")), "get_weather")

    def tool_choice_named(self, to):
        choice = {"type": "function", "function": {"name": "get_stock"}}
        calls_are(made(self.ask(WEATHER_QUESTION, tools=[tool(*WEATHER), tool(*STOCK)], tool_choice=choice)), "get_stock")

    def tool_choice_none(self, to):
        calls_are(made(self.ask(WEATHER_QUESTION, tools=[tool(*WEATHER)], tool_choice="none")))

    def structured_output(self, to):
        schema = {"type": "json_schema", "json_schema": {"name": "place", "strict": True, "schema": PARAMETERS}}
        answer = self.ask("Where is it?", response_format=schema)
        same(json.loads(answer.choices[0].message.content), {"city": "city", "days": 1}, "JSON")

    def image_input(self, to):
        image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + IMAGE}}
        answer = self.ask([{"type": "text", "text": GREETING}, image])
        same(answer.choices[0].message.content, ECHO, "text")
        to.simulator.saw(IMAGE)

    def image_url(self, to):
        image = {"type": "image_url", "image_url": {"url": IMAGE_URL}}
        same(self.ask([{"type": "text", "text": GREETING}, image]).choices[0].message.content, ECHO, "text")
        to.simulator.saw(IMAGE_URL)

    def document_input(self, to):
        file = {"filename": "a.pdf", "file_data": "data:application/pdf;base64," + DOCUMENT}
        content = [{"type": "text", "text": GREETING}, {"type": "file", "file": file}]
        same(self.ask(content).choices[0].message.content, ECHO, "text")
        to.simulator.saw(DOCUMENT)

    def thinking(self, to):
        answer = self.ask(model="gpt-5-mini", reasoning_effort="low", max_completion_tokens=4000)
        same(answer.choices[0].message.content, ECHO, "text")
        to.simulator.usage_is(answer.usage.prompt_tokens, answer.usage.completion_tokens)
        holds(answer.usage.completion_tokens > 4, "nothing was thought")
        if to.shows_unasked:
            same(getattr(answer.choices[0].message, "reasoning_content", None), THOUGHT, "reasoning_content")

    def streamed_thinking(self, to):
        thought, text = "", ""
        asked = {"model": "gpt-5-mini", "reasoning_effort": "low", "max_completion_tokens": 4000}
        for chunk in self.ask(stream=True, **asked):
            for choice in chunk.choices:
                thought += getattr(choice.delta, "reasoning_content", None) or ""
                text += choice.delta.content or ""
        same(text, ECHO, "text")
        if to.shows_unasked:
            same(thought, THOUGHT, "reasoning_content")

    def thinking_replayed(self, to):
        asked = {"model": "gpt-5-mini", "reasoning_effort": "low", "max_completion_tokens": 4000}
        answer = self.replay(WEATHER_QUESTION, WEATHER, **asked)
        holds("sunny" in answer.choices[0].message.content, f"the result is not in {answer.choices[0].message.content}")

    def cached_tokens(self, to):
        to.simulator.behaves(cached_tokens=64)
        usage = self.ask().usage
        same(usage.prompt_tokens_details.cached_tokens, 64, "cached tokens")
        to.simulator.usage_is(usage.prompt_tokens, usage.completion_tokens)

    def stop_sequences(self, to):
        answer = self.ask("one two three", stop=["three"])
        same(answer.choices[0].message.content.rstrip(), "You said: one two", "text")
        same(answer.choices[0].finish_reason, "stop", "finish reason")

    def max_tokens(self, to):
        to.simulator.behaves(tokens=60)
        answer = self.ask(max_completion_tokens=20)
        same(answer.choices[0].finish_reason, "length", "finish reason")
        same(answer.usage.completion_tokens, 20, "tokens")

    def several_choices(self, to):
        answer = self.ask(n=2)
        same([choice.message.content for choice in answer.choices], [ECHO, ECHO], "choices")

    def logprobs(self, to):
        answer = self.ask(logprobs=True, top_logprobs=2)
        tokens = answer.choices[0].logprobs.content
        same("".join(token.token for token in tokens), ECHO, "tokens")

    def seed(self, to):
        same(self.ask(seed=7).choices[0].message.content, ECHO, "text")
        to.simulator.was_told("7", "seed")

    def embeddings(self, to):
        answer = self.client.embeddings.create(model="text-embedding-3-small", input=["one", "two"])
        same([len(row.embedding) > 1 for row in answer.data], [True, True], "vectors")
        same(answer.usage.prompt_tokens, to.simulator.billed()["input_tokens"], "tokens against the bill")

    def models(self, to):
        holds(self.model in {model.id for model in self.client.models.list()}, "the model is not in the list")

    def wrong_key(self, to):
        self.client, right = self.stranger, self.client
        try:
            error = raises(openai.AuthenticationError, self.ask)
        finally:
            self.client = right
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
        same(self.ask().choices[0].finish_reason, "content_filter", "finish reason")
        same(self.streamed()[1], "content_filter", "finish reason of the stream")

    def error_in_stream(self, to):
        to.simulator.behaves(error_after=4, tokens=60)
        raises(openai.APIError, lambda: list(self.ask(model=to.failing("cut"), stream=True)))
