"""What an application does with the official `openai` SDK, unmodified: only base_url and the key are ours.

Arguments: base URL of the proxy (with /v1), key, and the models to run everything against.
"""

import json
import sys

import openai

base_url, key, *models = sys.argv[1:]
client = openai.OpenAI(base_url=base_url, api_key=key, max_retries=0)

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather in a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
            "required": ["city", "days"],
        },
    },
}
HELLO = [{"role": "system", "content": "Be short."}, {"role": "user", "content": "Say hello"}]


def chat(model):
    answer = client.chat.completions.create(model=model, messages=HELLO, max_tokens=200)
    assert answer.choices[0].message.content, answer
    assert answer.choices[0].finish_reason == "stop", answer
    usage = answer.usage
    assert usage.prompt_tokens > 0 and usage.completion_tokens > 0, usage
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens, usage


def streamed(model):
    whole = client.chat.completions.create(model=model, messages=HELLO, max_tokens=200).choices[0].message.content
    text, finish, usage, usages = "", None, None, 0
    stream = client.chat.completions.create(
        model=model, messages=HELLO, max_tokens=200, stream=True, stream_options={"include_usage": True}
    )
    for chunk in stream:
        if chunk.choices:
            text += chunk.choices[0].delta.content or ""
            finish = chunk.choices[0].finish_reason or finish
        if chunk.usage:
            usage, usages = chunk.usage, usages + 1
    assert text == whole, (text, whole)
    assert finish == "stop", finish
    assert usages == 1 and usage.completion_tokens > 0, usage


def streamed_without_usage(model):
    stream = client.chat.completions.create(model=model, messages=HELLO, stream=True)
    chunks = list(stream)
    assert all(chunk.usage is None for chunk in chunks), "nobody asked for usage"
    assert all(len(chunk.choices) == 1 for chunk in chunks), "a chunk without choices breaks callers"


def tools(model):
    messages = [{"role": "user", "content": "What is the weather in Oslo?"}]
    answer = client.chat.completions.create(model=model, messages=messages, tools=[WEATHER], tool_choice="required")
    choice = answer.choices[0]
    assert choice.finish_reason == "tool_calls", choice
    call = choice.message.tool_calls[0]
    assert call.id and call.function.name == "get_weather", call
    arguments = json.loads(call.function.arguments)
    assert isinstance(arguments["city"], str) and isinstance(arguments["days"], int), arguments

    calls = {}
    finish = None
    for chunk in client.chat.completions.create(
        model=model, messages=messages, tools=[WEATHER], tool_choice="required", stream=True
    ):
        if not chunk.choices:
            continue
        finish = chunk.choices[0].finish_reason or finish
        for delta in chunk.choices[0].delta.tool_calls or []:
            part = calls.setdefault(delta.index, {"id": None, "name": None, "arguments": ""})
            part["id"] = delta.id or part["id"]
            part["name"] = delta.function.name or part["name"]
            part["arguments"] += delta.function.arguments or ""
    assert finish == "tool_calls", finish
    assert calls[0]["id"] and calls[0]["name"] == "get_weather", calls
    assert json.loads(calls[0]["arguments"]) == arguments, calls

    messages += [
        choice.message.model_dump(exclude_none=True),
        {"role": "tool", "tool_call_id": call.id, "content": "sunny, 21 degrees"},
    ]
    final = client.chat.completions.create(model=model, messages=messages, tools=[WEATHER])
    assert final.choices[0].finish_reason == "stop", final
    assert "sunny" in final.choices[0].message.content, final


def embeddings():
    answer = client.embeddings.create(model="sim-embedding", input=["one", "two"])
    assert len(answer.data) == 2 and len(answer.data[0].embedding) > 0, answer
    assert all(isinstance(value, float) for value in answer.data[0].embedding)


def listing():
    names = {model.id for model in client.models.list()}
    assert set(models) <= names, names
    assert client.models.retrieve(models[0]).id == models[0]


def raises(expected, code, act):
    try:
        act()
    except expected as error:
        assert error.code == code, (error.code, error)
        assert error.response.headers["x-frontdoor-request-id"], error.response.headers
        return error
    raise AssertionError(f"{expected.__name__} was not raised")


def errors():
    wrong = openai.OpenAI(base_url=base_url, api_key="fd_" + "A" * 43, max_retries=0)
    raises(openai.AuthenticationError, "invalid_key", lambda: wrong.models.list())
    error = raises(
        openai.NotFoundError,
        "unknown_model",
        lambda: client.chat.completions.create(model=models[0] + "x", messages=HELLO),
    )
    assert models[0] in str(error), error
    raises(
        openai.BadRequestError,
        "invalid_request",
        lambda: client.chat.completions.create(model="", messages=HELLO),
    )


for model in models:
    for promise in (chat, streamed, streamed_without_usage, tools):
        promise(model)
        print(f"openai {openai.__version__}: {model}: {promise.__name__} ok", flush=True)
embeddings()
listing()
errors()
print(f"openai {openai.__version__}: embeddings, models and errors ok")
