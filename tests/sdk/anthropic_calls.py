"""What an application does with the official `anthropic` SDK, unmodified: only base_url and the key are ours.

Arguments: base URL of the proxy (without /v1), key, and the models to run everything against.
"""

import sys

import anthropic

base_url, key, *models = sys.argv[1:]
client = anthropic.Anthropic(base_url=base_url, api_key=key, max_retries=0)

WEATHER = {
    "name": "get_weather",
    "description": "The weather in a city",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
        "required": ["city", "days"],
    },
}
HELLO = [{"role": "user", "content": "Say hello"}]


def message(model):
    answer = client.messages.create(model=model, max_tokens=200, system="Be short.", messages=HELLO)
    assert answer.type == "message" and answer.content[0].text, answer
    assert answer.stop_reason == "end_turn", answer
    assert answer.usage.input_tokens > 0 and answer.usage.output_tokens > 0, answer.usage


def streamed(model):
    whole = client.messages.create(model=model, max_tokens=200, messages=HELLO)
    with client.messages.stream(model=model, max_tokens=200, messages=HELLO) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert text == whole.content[0].text, (text, whole)
    assert final.stop_reason == "end_turn", final
    assert final.usage.output_tokens == whole.usage.output_tokens, (final.usage, whole.usage)


def tools(model):
    messages = [{"role": "user", "content": "What is the weather in Oslo?"}]
    asked = {"model": model, "max_tokens": 200, "tools": [WEATHER], "tool_choice": {"type": "any"}}
    answer = client.messages.create(messages=messages, **asked)
    assert answer.stop_reason == "tool_use", answer
    use = next(block for block in answer.content if block.type == "tool_use")
    assert use.id and use.name == "get_weather", use
    assert isinstance(use.input["city"], str) and isinstance(use.input["days"], int), use

    with client.messages.stream(messages=messages, **asked) as stream:
        final = stream.get_final_message()
    again = next(block for block in final.content if block.type == "tool_use")
    assert final.stop_reason == "tool_use" and again.input == use.input, final

    messages += [
        {"role": "assistant", "content": [block.model_dump(exclude_none=True) for block in answer.content]},
        {
            "role": "user",
            "content": [{"type": "tool_result", "tool_use_id": use.id, "content": "sunny, 21 degrees"}],
        },
    ]
    last = client.messages.create(model=model, max_tokens=200, tools=[WEATHER], messages=messages)
    assert last.stop_reason == "end_turn" and "sunny" in last.content[0].text, last


def errors():
    wrong = anthropic.Anthropic(base_url=base_url, api_key="fd_" + "A" * 43, max_retries=0)
    for expected, act in (
        (anthropic.AuthenticationError, lambda: wrong.messages.create(model=models[0], max_tokens=1, messages=HELLO)),
        (anthropic.NotFoundError, lambda: client.messages.create(model=models[0] + "x", max_tokens=1, messages=HELLO)),
        (anthropic.BadRequestError, lambda: client.messages.create(model="", max_tokens=1, messages=HELLO)),
    ):
        try:
            act()
        except expected as error:
            assert error.response.headers["x-frontdoor-request-id"], error.response.headers
            assert error.body["type"] == "error" and error.body["error"]["type"], error.body
        else:
            raise AssertionError(f"{expected.__name__} was not raised")


for model in models:
    for promise in (message, streamed, tools):
        promise(model)
        print(f"anthropic {anthropic.__version__}: {model}: {promise.__name__} ok", flush=True)
names = {model.id for model in client.models.list()}
assert set(models) <= names, names
errors()
print(f"anthropic {anthropic.__version__}: models and errors ok")
