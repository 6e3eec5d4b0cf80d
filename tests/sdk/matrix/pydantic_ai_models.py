"""pydantic-ai's agents: one set of runs for its four models, each of which sends its own SDK's requests."""

import anthropic
import openai
from google import genai
from importlib.metadata import version
from kit import (
    BOTH_QUESTION, ECHO, GREETING, IMAGE, SYSTEM, THOUGHT, WEATHER_QUESTION,
    Caller, calls_are, holds, raises, same,
)  # fmt: skip
import base64
import asyncio

from pydantic import BaseModel
from pydantic_ai import Agent, BinaryContent, NativeOutput, Tool, UsageLimits
from pydantic_ai.exceptions import ModelHTTPError
from pydantic_ai.messages import ThinkingPart, ToolCallPart
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.google import GoogleModel
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.google import GoogleProvider
from pydantic_ai.providers.openai import OpenAIProvider

MAJOR = version("pydantic-ai-slim").split(".")[0]
# One loop for all runs: the clients keep their connections in it.
LOOP = asyncio.new_event_loop()


class Place(BaseModel):
    city: str
    days: int


def get_weather(city: str, days: int) -> str:
    """The weather in a city"""
    return "sunny"


def get_stock(article: str) -> str:
    """How many of an article are in stock"""
    return "seven"


def parts(result, kind):
    return [part for message in result.all_messages() for part in message.parts if isinstance(part, kind)]


class Agents(Caller):
    """What is the same for all of them."""

    model = ""
    thinks = {}
    thinking_model = ""

    def connect(self, to):
        self.served = self.make(to.key)

    def make(self, key):
        raise NotImplementedError

    def run(self, asked=GREETING, model=None, settings=None, **more):
        agent = Agent(self.served(model or self.model), retries=0, **more)
        settings = {"max_tokens": 400, **(settings or {})}
        return LOOP.run_until_complete(agent.run(asked, model_settings=settings))

    def stream(self, asked=GREETING, model=None, settings=None, **more):
        """The result of a streamed run, and its text in pieces."""

        async def read():
            agent = Agent(self.served(model or self.model), retries=0, **more)
            asking = {"max_tokens": 400, **(settings or {})}
            async with agent.run_stream(asked, model_settings=asking) as result:
                return result, [piece async for piece in result.stream_text(delta=True, debounce_by=None)]

        return LOOP.run_until_complete(read())

    def text(self, to):
        result = self.run()
        same(result.output, ECHO, "text")
        same(result.response.finish_reason, "stop", "finish reason")

    def streamed_text(self, to):
        _, pieces = self.stream()
        same("".join(pieces), ECHO, "text")
        holds(len(pieces) > 1, "the text came in one piece")

    def system_prompt(self, to):
        same(self.run(instructions=SYSTEM).output, ECHO, "text")
        to.simulator.system_was(SYSTEM)

    def usage(self, to):
        usage = self.run().usage
        usage = usage() if callable(usage) else usage
        to.simulator.usage_is(usage.input_tokens, usage.output_tokens)

    def streamed_usage(self, to):
        usage = self.stream()[0].usage
        usage = usage() if callable(usage) else usage
        to.simulator.usage_is(usage.input_tokens, usage.output_tokens)

    def tool_call(self, to):
        result = self.run(WEATHER_QUESTION, tools=[Tool(get_weather)])
        calls_are([(call.tool_name, call.args) for call in parts(result, ToolCallPart)], "get_weather")
        holds("sunny" in result.output, f"the result is not in {result.output}")

    def streamed_tool_call(self, to):
        result, pieces = self.stream(WEATHER_QUESTION, tools=[Tool(get_weather)])
        calls_are([(call.tool_name, call.args) for call in parts(result, ToolCallPart)], "get_weather")
        holds("sunny" in "".join(pieces), f"the result is not in {pieces}")

    def parallel_tools(self, to):
        result = self.run(BOTH_QUESTION, tools=[Tool(get_weather), Tool(get_stock)])
        made = [(call.tool_name, call.args) for call in parts(result, ToolCallPart)]
        calls_are(made, "get_weather", "get_stock")

    def tool_result(self, to):
        result = self.run(BOTH_QUESTION, tools=[Tool(get_weather), Tool(get_stock)])
        holds("seven" in result.output, f"the result is not in {result.output}")
        to.simulator.saw("sunny")

    def structured_output(self, to):
        same(self.run("Where is it?", output_type=NativeOutput(Place)).output, Place(city="city", days=1), "object")

    def tool_choice_required(self, to):
        same(self.run("Where is it?", output_type=Place).output, Place(city="city", days=1), "object")

    def image_input(self, to):
        image = BinaryContent(base64.b64decode(IMAGE), media_type="image/png")
        same(self.run([GREETING, image]).output, ECHO, "text")
        to.simulator.saw(IMAGE)

    def think(self, act, to, *asked, **more):
        settings = {**self.thinks, "max_tokens": 4000}
        return act(*asked, model=self.thinking_model or self.model, settings=settings, **more)

    def thinking(self, to):
        result = self.think(self.run, to)
        same(result.output, ECHO, "text")
        if self.is_shown(to):
            same([part.content for part in parts(result, ThinkingPart)], [THOUGHT], "thinking")

    def streamed_thinking(self, to):
        result, pieces = self.think(self.stream, to)
        same("".join(pieces), ECHO, "text")
        if self.is_shown(to):
            same([part.content for part in parts(result, ThinkingPart)], [THOUGHT], "thinking")

    def thinking_replayed(self, to):
        result = self.think(self.run, to, WEATHER_QUESTION, tools=[Tool(get_weather)])
        holds("sunny" in result.output, f"the result is not in {result.output}")
        if to.signature and self.keeps_signatures:
            to.simulator.saw(to.signature)

    keeps_signatures = True

    def is_shown(self, to):
        return to.shows_thoughts

    def cached_tokens(self, to):
        to.simulator.behaves(cached_tokens=64)
        usage = self.run().usage
        usage = usage() if callable(usage) else usage
        same(usage.cache_read_tokens, 64, "cached tokens")

    def stop_sequences(self, to):
        result = self.run("one two three", settings={"stop_sequences": ["three"]})
        same(result.output.rstrip(), "You said: one two", "text")

    def max_tokens(self, to):
        to.simulator.behaves(tokens=60)
        same(self.run(settings={"max_tokens": 20}).response.finish_reason, "length", "finish reason")

    def unknown_model(self, to):
        same(raises(ModelHTTPError, lambda: self.run(model=self.model[:-1])).status_code, 404, "status")

    def rate_limited(self, to):
        to.simulator.behaves(status=429, retry_after=7)
        same(raises(ModelHTTPError, lambda: self.run(model=to.failing("limited"))).status_code, 429, "status")

    def provider_error(self, to):
        to.simulator.behaves(status=500)
        error = raises(ModelHTTPError, lambda: self.run(model=to.failing("broken")))
        holds(error.status_code >= 500, str(error))


class OpenAiChat(Agents):
    name = f"pydantic-ai {MAJOR}, OpenAI chat (Python)"
    model, thinking_model = "gpt-4.1-mini", "gpt-5-mini"
    thinks = {"openai_reasoning_effort": "low"}
    # Chat completions have no place for them.
    keeps_signatures = False

    def is_shown(self, to):
        return to.shows_unasked

    def make(self, key):
        client = openai.AsyncOpenAI(base_url=self.proxy + "/v1", api_key=key, max_retries=0, timeout=20)
        return lambda model: OpenAIChatModel(model, provider=OpenAIProvider(openai_client=client))

    def seed(self, to):
        same(self.run(settings={"seed": 7}).output, ECHO, "text")
        to.simulator.was_told("7", "seed", "random_seed")


class OpenAiResponses(Agents):
    name = f"pydantic-ai {MAJOR}, OpenAI Responses (Python)"
    model, thinking_model = "gpt-4.1-mini", "gpt-5-mini"
    thinks = {"openai_reasoning_effort": "low", "openai_reasoning_summary": "auto", "openai_store": False}
    stop_sequences = None

    def make(self, key):
        client = openai.AsyncOpenAI(base_url=self.proxy + "/v1", api_key=key, max_retries=0, timeout=20)
        return lambda model: OpenAIResponsesModel(model, provider=OpenAIProvider(openai_client=client))


class Anthropic(Agents):
    name = f"pydantic-ai {MAJOR}, Anthropic (Python)"
    model = "claude-sonnet-4-5"
    thinks = {"anthropic_thinking": {"type": "enabled", "budget_tokens": 1024}}

    def make(self, key):
        client = anthropic.AsyncAnthropic(base_url=self.proxy, api_key=key, max_retries=0, timeout=20)
        return lambda model: AnthropicModel(model, provider=AnthropicProvider(anthropic_client=client))


class Google(Agents):
    name = f"pydantic-ai {MAJOR}, Google (Python)"
    model = "gemini-2.5-flash"
    thinks = {"google_thinking_config": {"include_thoughts": True, "thinking_budget": 1024}}

    def make(self, key):
        options = genai.types.HttpOptions(base_url=self.proxy, timeout=20_000)
        client = genai.Client(api_key=key, http_options=options)
        return lambda model: GoogleModel(model, provider=GoogleProvider(client=client))

    def seed(self, to):
        same(self.run(settings={"seed": 7}).output, ECHO, "text")
        to.simulator.was_told("7", "seed", "random_seed")
