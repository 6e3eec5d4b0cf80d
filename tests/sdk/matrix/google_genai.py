"""The official `google-genai` SDK: generate_content, its stream, count_tokens and embed_content."""

import base64
import json

from google import genai
from google.genai import errors, types
from kit import (
    BOTH_QUESTION, DOCUMENT, ECHO, GREETING, IMAGE, PARAMETERS, STOCK, SYSTEM, THOUGHT, WEATHER, WEATHER_QUESTION,
    Caller, among, calls_are, holds, raises, same,
)  # fmt: skip


def tools(*offers):
    declarations = [
        types.FunctionDeclaration(name=name, description=description, parameters_json_schema=parameters)
        for name, description, parameters in offers
    ]
    return [types.Tool(function_declarations=declarations)]


def choice(mode, *names):
    calling = types.FunctionCallingConfig(mode=mode, allowed_function_names=list(names) or None)
    return types.ToolConfig(function_calling_config=calling)


def parts(answer):
    content = answer.candidates[0].content
    return (content and content.parts) or []


def said(answer):
    return "".join(part.text or "" for part in parts(answer) if not part.thought)


def thought(answer):
    return "".join(part.text or "" for part in parts(answer) if part.thought)


def made(answers):
    answers = answers if isinstance(answers, list) else [answers]
    found = [part.function_call for answer in answers for part in parts(answer) if part.function_call]
    return [(call.name, call.args) for call in found]


def counts(usage):
    """Input and output tokens in all: what was thought is told apart from what was said."""
    return usage.prompt_token_count, (usage.candidates_token_count or 0) + (usage.thoughts_token_count or 0)


THINKING = {"thinking_config": types.ThinkingConfig(include_thoughts=True, thinking_budget=1024)}
THINKING["max_output_tokens"] = 4000


class Generate(Caller):
    name = f"google-genai {genai.version.__version__.split('.')[0]} (Python)"
    model = "gemini-2.5-flash"

    def connect(self, to):
        options = types.HttpOptions(base_url=self.proxy, timeout=20_000)
        make = lambda key: genai.Client(api_key=key, http_options=options)
        self.client, self.stranger = make(to.key), make("fd_" + "A" * 43)

    def ask(self, contents=GREETING, model=None, **more):
        config = types.GenerateContentConfig(**{"max_output_tokens": 400, **more})
        return self.client.models.generate_content(model=model or self.model, contents=contents, config=config)

    def streamed(self, contents=GREETING, model=None, **more):
        config = types.GenerateContentConfig(**{"max_output_tokens": 400, **more})
        stream = self.client.models.generate_content_stream(
            model=model or self.model, contents=contents, config=config
        )
        return list(stream)

    def text(self, to):
        answer = self.ask()
        same(answer.text, ECHO, "text")
        same(answer.candidates[0].finish_reason, types.FinishReason.STOP, "finish reason")

    def streamed_text(self, to):
        chunks = self.streamed()
        same("".join(chunk.text or "" for chunk in chunks), ECHO, "text")
        same(chunks[-1].candidates[0].finish_reason, types.FinishReason.STOP, "finish reason")
        holds(len([chunk for chunk in chunks if chunk.text]) > 1, "the text came in one piece")

    def system_prompt(self, to):
        same(self.ask(system_instruction=SYSTEM).text, ECHO, "text")
        to.simulator.system_was(SYSTEM)

    def usage(self, to):
        usage = self.ask().usage_metadata
        to.simulator.usage_is(*counts(usage))
        same(usage.total_token_count, sum(counts(usage)), "total")

    def streamed_usage(self, to):
        to.simulator.usage_is(*counts(self.streamed()[-1].usage_metadata))

    def tool_call(self, to):
        answer = self.ask(WEATHER_QUESTION, tools=tools(WEATHER))
        calls_are(made(answer), "get_weather")
        same(answer.candidates[0].finish_reason, types.FinishReason.STOP, "finish reason")

    def streamed_tool_call(self, to):
        chunks = self.streamed(WEATHER_QUESTION, tools=tools(WEATHER))
        calls_are(made(chunks), "get_weather")

    def parallel_tools(self, to):
        calls_are(made(self.ask(BOTH_QUESTION, tools=tools(WEATHER, STOCK))), "get_weather", "get_stock")
        calls_are(made(self.streamed(BOTH_QUESTION, tools=tools(WEATHER, STOCK))), "get_weather", "get_stock")

    def with_results(self, question, answer):
        results = []
        for call, content in zip([part.function_call for part in parts(answer) if part.function_call], ("sunny", "seven")):
            response = types.FunctionResponse(name=call.name, id=call.id, response={"result": content})
            results.append(types.Part(function_response=response))
        asked = types.Content(role="user", parts=[types.Part(text=question)])
        return [asked, answer.candidates[0].content, types.Content(role="user", parts=results)]

    def tool_result(self, to):
        first = self.ask(BOTH_QUESTION, tools=tools(WEATHER, STOCK))
        answer = self.ask(self.with_results(BOTH_QUESTION, first), tools=tools(WEATHER, STOCK))
        holds("seven" in answer.text, f"the result is not in {answer.text}")
        to.simulator.saw("sunny")

    def tool_choice_required(self, to):
        calls_are(made(self.ask(tools=tools(WEATHER), tool_config=choice("ANY"))), "get_weather")

    def tool_choice_named(self, to):
        answer = self.ask(WEATHER_QUESTION, tools=tools(WEATHER, STOCK), tool_config=choice("ANY", "get_stock"))
        calls_are(made(answer), "get_stock")

    def tool_choice_none(self, to):
        calls_are(made(self.ask(WEATHER_QUESTION, tools=tools(WEATHER), tool_config=choice("NONE"))))

    def structured_output(self, to):
        answer = self.ask("Where is it?", response_mime_type="application/json", response_json_schema=PARAMETERS)
        same(json.loads(answer.text), {"city": "city", "days": 1}, "JSON")

    def streamed_structured_output(self, to):
        schema = types.Schema(type="OBJECT", properties={"city": types.Schema(type="STRING")}, required=["city"])
        chunks = self.streamed("Where is it?", response_mime_type="application/json", response_schema=schema)
        same(json.loads("".join(chunk.text or "" for chunk in chunks)), {"city": "city"}, "JSON")

    def image_input(self, to):
        image = types.Part.from_bytes(data=base64.b64decode(IMAGE), mime_type="image/png")
        same(self.ask([GREETING, image]).text, ECHO, "text")
        to.simulator.saw(IMAGE)

    def document_input(self, to):
        document = types.Part.from_bytes(data=base64.b64decode(DOCUMENT), mime_type="application/pdf")
        same(self.ask([GREETING, document]).text, ECHO, "text")
        to.simulator.saw(DOCUMENT)

    def thinking(self, to):
        answer = self.ask(**THINKING)
        same(said(answer), ECHO, "text")
        to.simulator.usage_is(*counts(answer.usage_metadata))
        holds(counts(answer.usage_metadata)[1] > 4, "nothing was thought")
        if to.shows_thoughts:
            same(thought(answer), THOUGHT, "thought")

    def streamed_thinking(self, to):
        chunks = self.streamed(**THINKING)
        same("".join(said(chunk) for chunk in chunks), ECHO, "text")
        if to.shows_thoughts:
            same("".join(thought(chunk) for chunk in chunks), THOUGHT, "thought")

    def thinking_replayed(self, to):
        first = self.ask(WEATHER_QUESTION, tools=tools(WEATHER), **THINKING)
        calls_are(made(first), "get_weather")
        answer = self.ask(self.with_results(WEATHER_QUESTION, first), tools=tools(WEATHER), **THINKING)
        holds("sunny" in said(answer), f"the result is not in {said(answer)}")
        if to.signature:
            to.simulator.saw(to.signature)

    def cached_tokens(self, to):
        to.simulator.behaves(cached_tokens=64)
        usage = self.ask().usage_metadata
        same(usage.cached_content_token_count, 64, "cached tokens")
        to.simulator.usage_is(*counts(usage))

    def stop_sequences(self, to):
        answer = self.ask("one two three", stop_sequences=["three"])
        same(answer.text.rstrip(), "You said: one two", "text")
        same(answer.candidates[0].finish_reason, types.FinishReason.STOP, "finish reason")

    def max_tokens(self, to):
        to.simulator.behaves(tokens=60)
        answer = self.ask(max_output_tokens=20)
        same(answer.candidates[0].finish_reason, types.FinishReason.MAX_TOKENS, "finish reason")
        same(answer.usage_metadata.candidates_token_count, 20, "tokens")

    def several_choices(self, to):
        answer = self.ask(candidate_count=2)
        same([candidate.content.parts[0].text for candidate in answer.candidates], [ECHO, ECHO], "candidates")

    def logprobs(self, to):
        result = self.ask(response_logprobs=True, logprobs=2).candidates[0].logprobs_result
        same("".join(token.token for token in result.chosen_candidates), ECHO, "tokens")

    def seed(self, to):
        same(self.ask(seed=7).text, ECHO, "text")
        to.simulator.was_told("7", "seed", "random_seed")

    def embeddings(self, to):
        answer = self.client.models.embed_content(model="gemini-embedding-001", contents=["one", "two"])
        same([len(row.values) > 1 for row in answer.embeddings], [True, True], "vectors")

    def count_tokens(self, to):
        counted = self.client.models.count_tokens(model=self.model, contents=GREETING)
        same(counted.total_tokens, self.ask().usage_metadata.prompt_token_count, "counted and used")

    def models(self, to):
        names = {model.name.removeprefix("models/") for model in self.client.models.list()}
        holds(self.model in names, f"the model is not in the list {names}")

    def wrong_key(self, to):
        error = raises(errors.ClientError, lambda: self.stranger.models.generate_content(model=self.model, contents="x"))
        same((error.code, error.status), (401, "UNAUTHENTICATED"), "code and status")

    def unknown_model(self, to):
        error = raises(errors.ClientError, lambda: self.ask(model="gemini-2.5-flas"))
        same((error.code, error.status), (404, "NOT_FOUND"), "code and status")

    def rate_limited(self, to):
        to.simulator.behaves(status=429, retry_after=7)
        error = raises(errors.ClientError, lambda: self.ask(model=to.failing("limited")))
        same((error.code, error.status), (429, "RESOURCE_EXHAUSTED"), "code and status")
        among(error.response.headers.get("retry-after"), ("6", "7"), "retry-after")

    def provider_error(self, to):
        to.simulator.behaves(status=500)
        error = raises(errors.ServerError, lambda: self.ask(model=to.failing("broken")))
        holds(error.code >= 500 and error.status, f"{error.code} {error.status}")

    def refusal(self, to):
        to.simulator.behaves(stop_reason=to.refusal)
        blocked = (types.FinishReason.SAFETY, types.FinishReason.PROHIBITED_CONTENT)
        among(self.ask().candidates[0].finish_reason, blocked, "finish reason")
        among(self.streamed()[-1].candidates[0].finish_reason, blocked, "finish reason of the stream")

    def error_in_stream(self, to):
        to.simulator.behaves(error_after=4, tokens=60)
        raises(errors.APIError, lambda: self.streamed(model=to.failing("cut")))
