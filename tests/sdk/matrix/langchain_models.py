"""LangChain's chat models: one set of calls for three integrations, each of which sends its own SDK's requests."""

from importlib.metadata import version

from kit import (
    BOTH_QUESTION, ECHO, GREETING, IMAGE, PARAMETERS, STOCK, SYSTEM, THOUGHT, WEATHER, WEATHER_QUESTION,
    Caller, calls_are, holds, is_providers_fault, raises, same,
)  # fmt: skip
from langchain_anthropic import ChatAnthropic
from langchain_core.messages import HumanMessage, SystemMessage, ToolMessage
from langchain_google_genai import ChatGoogleGenerativeAI
from langchain_openai import ChatOpenAI, OpenAIEmbeddings


def tool(name, description, parameters):
    return {"type": "function", "function": {"name": name, "description": description, "parameters": parameters}}


def made(answer):
    return [(call["name"], call["args"]) for call in answer.tool_calls]


def said(answer):
    content = answer.content
    if isinstance(content, str):
        return content
    return "".join(part if isinstance(part, str) else part.get("text", "") for part in content)


def thoughts(answer):
    """LangChain's own words for it, whoever thought."""
    return "".join(block.get("reasoning", "") for block in answer.content_blocks if block["type"] == "reasoning")


def added(chunks):
    total = None
    for chunk in chunks:
        total = chunk if total is None else total + chunk
    return total


class Chat(Caller):
    """What is the same for all of them."""

    # What stops it after a limit, and where the limit is written.
    length = ("finish_reason", "length")
    limit = "max_tokens"
    # What makes the model think.
    thinks = {}

    def connect(self, to):
        self.key = to.key
        self.chat = self.make()

    def make(self, **more):
        raise NotImplementedError

    def text(self, to):
        same(said(self.chat.invoke(GREETING)), ECHO, "text")

    def streamed_text(self, to):
        chunks = [said(chunk) for chunk in self.chat.stream(GREETING)]
        same("".join(chunks), ECHO, "text")
        holds(len([chunk for chunk in chunks if chunk]) > 1, "the text came in one piece")

    def system_prompt(self, to):
        same(said(self.chat.invoke([SystemMessage(SYSTEM), HumanMessage(GREETING)])), ECHO, "text")
        to.simulator.system_was(SYSTEM)

    def usage(self, to):
        usage = self.chat.invoke(GREETING).usage_metadata
        to.simulator.usage_is(usage["input_tokens"], usage["output_tokens"])

    def streamed_usage(self, to):
        usage = added(self.chat.stream(GREETING)).usage_metadata
        to.simulator.usage_is(usage["input_tokens"], usage["output_tokens"])

    def tool_call(self, to):
        calls_are(made(self.chat.bind_tools([tool(*WEATHER)]).invoke(WEATHER_QUESTION)), "get_weather")

    def streamed_tool_call(self, to):
        calls_are(made(added(self.chat.bind_tools([tool(*WEATHER)]).stream(WEATHER_QUESTION))), "get_weather")

    def parallel_tools(self, to):
        bound = self.chat.bind_tools([tool(*WEATHER), tool(*STOCK)])
        calls_are(made(bound.invoke(BOTH_QUESTION)), "get_weather", "get_stock")
        calls_are(made(added(bound.stream(BOTH_QUESTION))), "get_weather", "get_stock")

    def replay(self, chat, question, *offers):
        bound = chat.bind_tools([tool(*offer) for offer in offers])
        first = bound.invoke(question)
        results = [
            ToolMessage(content, tool_call_id=call["id"], name=call["name"])
            for call, content in zip(first.tool_calls, ("sunny", "seven"))
        ]
        return said(bound.invoke([HumanMessage(question), first, *results]))

    def tool_result(self, to):
        text = self.replay(self.chat, BOTH_QUESTION, WEATHER, STOCK)
        holds("seven" in text, f"the result is not in {text}")
        to.simulator.saw("sunny")

    def tool_choice_required(self, to):
        calls_are(made(self.chat.bind_tools([tool(*WEATHER)], tool_choice="any").invoke(GREETING)), "get_weather")

    def tool_choice_named(self, to):
        bound = self.chat.bind_tools([tool(*WEATHER), tool(*STOCK)], tool_choice="get_stock")
        calls_are(made(bound.invoke(WEATHER_QUESTION)), "get_stock")

    def structured_output(self, to):
        schema = {"title": "place", "description": "A place", **PARAMETERS}
        answer = self.chat.with_structured_output(schema, method="json_schema").invoke("Where is it?")
        same(answer, {"city": "city", "days": 1}, "JSON")

    def image_input(self, to):
        image = {"type": "image", "base64": IMAGE, "mime_type": "image/png"}
        message = HumanMessage([{"type": "text", "text": GREETING}, image])
        same(said(self.chat.invoke([message])), ECHO, "text")
        to.simulator.saw(IMAGE)

    def thinking(self, to):
        answer = self.make(**self.thinks).invoke(GREETING)
        same(said(answer), ECHO, "text")
        usage = answer.usage_metadata
        to.simulator.usage_is(usage["input_tokens"], usage["output_tokens"])
        if to.shows_thoughts and self.shows_thoughts:
            same(thoughts(answer), THOUGHT, "reasoning")

    def streamed_thinking(self, to):
        answer = added(self.make(**self.thinks).stream(GREETING))
        same(said(answer), ECHO, "text")
        if to.shows_thoughts and self.shows_thoughts:
            same(thoughts(answer), THOUGHT, "reasoning")

    def thinking_replayed(self, to):
        text = self.replay(self.make(**self.thinks), WEATHER_QUESTION, WEATHER)
        holds("sunny" in text, f"the result is not in {text}")
        if to.signature and self.shows_thoughts:
            to.simulator.saw(to.signature)

    def cached_tokens(self, to):
        to.simulator.behaves(cached_tokens=64)
        same(self.chat.invoke(GREETING).usage_metadata["input_token_details"]["cache_read"], 64, "cached tokens")

    def stop_sequences(self, to):
        same(said(self.chat.invoke("one two three", stop=["three"])).rstrip(), "You said: one two", "text")

    def max_tokens(self, to):
        to.simulator.behaves(tokens=60)
        answer = self.make(**{self.limit: 20}).invoke(GREETING)
        name, wanted = self.length
        same(answer.response_metadata[name], wanted, name)

    def provider_error(self, to):
        to.simulator.behaves(status=500)
        error = raises(Exception, lambda: self.make(model=to.failing("broken")).invoke(GREETING))
        holds(is_providers_fault(error), str(error))


class OpenAi(Chat):
    name = f"langchain-openai {version('langchain-openai').split('.')[0]} (Python)"
    thinks = {"model": "gpt-5-mini", "reasoning_effort": "low", "max_tokens": 4000}
    # LangChain reads what OpenAI itself documents for chat completions, which shows no thoughts.
    shows_thoughts = False

    def make(self, **more):
        asked = {"model": "gpt-4.1-mini", "max_tokens": 400, **more}
        return ChatOpenAI(
            base_url=self.proxy + "/v1", api_key=self.key, max_retries=0, timeout=20, stream_usage=True, **asked
        )

    def logprobs(self, to):
        content = self.make(logprobs=True).invoke(GREETING).response_metadata["logprobs"]["content"]
        same("".join(token["token"] for token in content), ECHO, "tokens")

    def seed(self, to):
        same(said(self.make(seed=7).invoke(GREETING)), ECHO, "text")
        to.simulator.was_told("7", "seed", "random_seed")

    def embeddings(self, to):
        embeddings = OpenAIEmbeddings(
            model="text-embedding-3-small",
            base_url=self.proxy + "/v1",
            api_key=self.key,
            max_retries=0,
            check_embedding_ctx_length=False,
        )
        same([len(vector) > 1 for vector in embeddings.embed_documents(["one", "two"])], [True, True], "vectors")


class Responses(Chat):
    name = f"langchain-openai {version('langchain-openai').split('.')[0]}, Responses (Python)"
    thinks = {"model": "gpt-5-mini", "reasoning": {"effort": "low", "summary": "auto"}, "max_tokens": 4000}
    shows_thoughts = True
    length = ("status", "incomplete")
    stop_sequences = None

    def make(self, **more):
        asked = {"model": "gpt-4.1-mini", "max_tokens": 400, **more}
        return ChatOpenAI(
            base_url=self.proxy + "/v1",
            api_key=self.key,
            max_retries=0,
            timeout=20,
            use_responses_api=True,
            output_version="responses/v1",
            store=False,
            include=["reasoning.encrypted_content"],
            **asked,
        )


class Anthropic(Chat):
    name = f"langchain-anthropic {version('langchain-anthropic').split('.')[0]} (Python)"
    thinks = {"thinking": {"type": "enabled", "budget_tokens": 1024}, "max_tokens": 4000}
    shows_thoughts = True
    length = ("stop_reason", "max_tokens")

    def make(self, **more):
        asked = {"model": "claude-sonnet-4-5", "max_tokens": 400, **more}
        return ChatAnthropic(base_url=self.proxy, api_key=self.key, max_retries=0, timeout=20, **asked)

    def count_tokens(self, to):
        counted = self.chat.get_num_tokens_from_messages([HumanMessage(GREETING)])
        same(counted, self.chat.invoke(GREETING).usage_metadata["input_tokens"], "counted and used")


class Google(Chat):
    name = f"langchain-google-genai {version('langchain-google-genai').split('.')[0]} (Python)"
    # Its own default is 0.7, and some providers take nothing but 1 while they think.
    thinks = {"thinking_budget": 1024, "include_thoughts": True, "max_tokens": 4000, "temperature": 1.0}
    shows_thoughts = True
    length = ("finish_reason", "MAX_TOKENS")

    def make(self, **more):
        asked = {"model": "gemini-2.5-flash", "max_tokens": 400, **more}
        return ChatGoogleGenerativeAI(
            base_url=self.proxy, google_api_key=self.key, max_retries=1, timeout=20, vertexai=False, **asked
        )
