"""LlamaIndex's LLMs: one set of calls for three integrations, each of which sends its own SDK's requests."""

from importlib.metadata import version

from google.genai import types
from kit import (
    BOTH_QUESTION, ECHO, GREETING, IMAGE, SYSTEM, THOUGHT, WEATHER_QUESTION,
    Caller, calls_are, holds, is_providers_fault, raises, same,
)  # fmt: skip
from llama_index.core.base.llms.types import ThinkingBlock
from llama_index.core.llms import ChatMessage, ImageBlock, TextBlock
from llama_index.core.tools import FunctionTool
from llama_index.llms.anthropic import Anthropic as AnthropicLlm
from llama_index.llms.google_genai import GoogleGenAI
from llama_index.llms.openai import OpenAI, OpenAIResponses
from pydantic import BaseModel

import base64


class Place(BaseModel):
    """A place"""

    city: str
    days: int


def get_weather(city: str, days: int) -> str:
    """The weather in a city"""
    return "sunny"


def get_stock(article: str) -> str:
    """How many of an article are in stock"""
    return "seven"


TOOLS = [FunctionTool.from_defaults(get_weather), FunctionTool.from_defaults(get_stock)]
RESULTS = {"get_weather": "sunny", "get_stock": "seven"}


def user(text):
    return [ChatMessage(role="user", content=text)]


class Llm(Caller):
    """What is the same for all of them."""

    thinks = {}
    limit = {"max_tokens": 20}
    sends_thoughts_back = False

    def connect(self, to):
        self.key = to.key
        self.llm = self.make()

    def make(self, **more):
        raise NotImplementedError

    def made(self, answer):
        calls = self.llm.get_tool_calls_from_response(answer, error_on_no_tool_call=False)
        return [(call.tool_name, call.tool_kwargs) for call in calls]

    def text(self, to):
        same(self.llm.chat(user(GREETING)).message.content, ECHO, "text")

    def streamed_text(self, to):
        chunks = list(self.llm.stream_chat(user(GREETING)))
        same("".join(chunk.delta or "" for chunk in chunks), ECHO, "text")
        same(chunks[-1].message.content, ECHO, "text at the end")

    def system_prompt(self, to):
        answer = self.llm.chat([ChatMessage(role="system", content=SYSTEM), *user(GREETING)])
        same(answer.message.content, ECHO, "text")
        to.simulator.system_was(SYSTEM)

    def tool_call(self, to):
        calls_are(self.made(self.llm.chat_with_tools(TOOLS[:1], user_msg=WEATHER_QUESTION)), "get_weather")

    def streamed_tool_call(self, to):
        *_, last = self.llm.stream_chat_with_tools(TOOLS[:1], user_msg=WEATHER_QUESTION)
        calls_are(self.made(last), "get_weather")

    def parallel_tools(self, to):
        answer = self.llm.chat_with_tools(TOOLS, user_msg=BOTH_QUESTION, allow_parallel_tool_calls=True)
        calls_are(self.made(answer), "get_weather", "get_stock")

    def replay(self, llm, question, tools):
        first = llm.chat_with_tools(tools, user_msg=question, allow_parallel_tool_calls=True)
        calls = llm.get_tool_calls_from_response(first)
        results = [
            ChatMessage(role="tool", content=RESULTS[call.tool_name], additional_kwargs={"tool_call_id": call.tool_id, "name": call.tool_name})
            for call in calls
        ]  # fmt: skip
        history = [*user(question), first.message, *results]
        return llm.chat_with_tools(tools, chat_history=history, allow_parallel_tool_calls=True).message.content

    def tool_result(self, to):
        text = self.replay(self.llm, BOTH_QUESTION, TOOLS)
        holds("seven" in text, f"the result is not in {text}")
        to.simulator.saw("sunny")

    def tool_choice_required(self, to):
        answer = self.llm.chat_with_tools(TOOLS[:1], user_msg=GREETING, tool_required=True)
        calls_are(self.made(answer), "get_weather")

    def structured_output(self, to):
        answer = self.llm.as_structured_llm(Place).chat(user("Where is it?"))
        same(answer.raw, Place(city="city", days=1), "object")

    def image_input(self, to):
        image = ImageBlock(image=base64.b64decode(IMAGE), image_mimetype="image/png")
        message = ChatMessage(role="user", blocks=[TextBlock(text=GREETING), image])
        same(self.llm.chat([message]).message.content, ECHO, "text")
        to.simulator.saw(IMAGE)

    def thinking(self, to):
        answer = self.make(**self.thinks).chat(user(GREETING))
        same(answer.message.content, ECHO, "text")
        if to.shows_thoughts and self.shows_thoughts:
            thoughts = [block.content for block in answer.message.blocks if isinstance(block, ThinkingBlock)]
            same(thoughts, [THOUGHT], "thinking")

    def thinking_replayed(self, to):
        text = self.replay(self.make(**self.thinks), WEATHER_QUESTION, TOOLS[:1])
        holds("sunny" in text, f"the result is not in {text}")
        if to.signature and self.sends_thoughts_back:
            to.simulator.saw(to.signature)

    def max_tokens(self, to):
        to.simulator.behaves(tokens=60)
        text = self.make(**self.limit).chat(user(GREETING)).message.content
        same(len(text.split()), 20, "words")

    def provider_error(self, to):
        to.simulator.behaves(status=500)
        error = raises(Exception, lambda: self.llm.chat(user(GREETING)))
        holds(is_providers_fault(error), str(error))


def major(package):
    numbers = version(package).split(".")
    return numbers[0] if numbers[0] != "0" else ".".join(numbers[:2])


class OpenAi(Llm):
    name = f"llama-index-llms-openai {major('llama-index-llms-openai')} (Python)"
    thinks = {"model": "gpt-5-mini", "reasoning_effort": "low", "max_tokens": 4000}
    shows_thoughts = False

    def make(self, **more):
        asked = {"model": "gpt-4.1-mini", "max_tokens": 400, **more}
        return OpenAI(api_base=self.proxy + "/v1", api_key=self.key, max_retries=0, timeout=20, reuse_client=True, **asked)


class Responses(Llm):
    name = f"llama-index-llms-openai {major('llama-index-llms-openai')}, Responses (Python)"
    thinks = {"model": "gpt-5-mini", "reasoning_options": {"effort": "low", "summary": "auto"}, "max_output_tokens": 4000}
    shows_thoughts = True
    limit = {"max_output_tokens": 20}

    def make(self, **more):
        asked = {"model": "gpt-4.1-mini", "max_output_tokens": 400, **more}
        return OpenAIResponses(
            api_base=self.proxy + "/v1", api_key=self.key, max_retries=0, timeout=20, reuse_client=True, **asked
        )


class Anthropic(Llm):
    name = f"llama-index-llms-anthropic {major('llama-index-llms-anthropic')} (Python)"
    thinks = {"thinking_dict": {"type": "enabled", "budget_tokens": 1024}, "max_tokens": 4000, "temperature": 1.0}
    shows_thoughts = True
    sends_thoughts_back = True

    def make(self, **more):
        asked = {"model": "claude-sonnet-4-5", "max_tokens": 400, **more}
        return AnthropicLlm(base_url=self.proxy, api_key=self.key, max_retries=0, timeout=20, **asked)


class Google(Llm):
    name = f"llama-index-llms-google-genai {major('llama-index-llms-google-genai')} (Python)"
    shows_thoughts = True
    sends_thoughts_back = True

    def make(self, thinks=False, max_tokens=400, **more):
        thinking = types.ThinkingConfig(include_thoughts=True, thinking_budget=1024) if thinks else None
        settings = types.GenerateContentConfig(max_output_tokens=max_tokens, thinking_config=thinking)
        return GoogleGenAI(
            model="gemini-2.5-flash",
            api_key=self.key,
            http_options=types.HttpOptions(base_url=self.proxy, timeout=20_000),
            generation_config=settings,
            context_window=100_000,
            max_tokens=max_tokens,
            max_retries=0,
            **more,
        )

    thinks = {"thinks": True, "max_tokens": 4000}

    def max_tokens(self, to):
        """This one takes an answer that ended at the limit for an error."""
        to.simulator.behaves(tokens=60)
        error = raises(RuntimeError, lambda: self.make(max_tokens=20).chat(user(GREETING)))
        holds("MAX_TOKENS" in str(error), str(error))
