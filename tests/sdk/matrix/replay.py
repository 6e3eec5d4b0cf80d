"""Recorded answers, replayed through the proxy to the SDK of every dialect.

A server here plays the provider and sends the recorded bytes, whatever it is asked. What the provider's own SDK reads from it
directly is what is written in the recording; every other SDK, through the proxy, must read the same text, tool calls, stop reason
and usage. Prints the server's port as the first line; reads `{proxy, key, directories, dialects}` from standard input; then one
JSON line for each recording and SDK.
"""

import base64
import functools
import glob
import http.server
import json
import sys
import threading
import warnings

import anthropic
import boto3
import botocore
import botocore.config
import openai
from google import genai
from kit import short

warnings.filterwarnings("ignore")
MODEL = "replayed"


class Provider(http.server.ThreadingHTTPServer):
    """Sends the recording in `now` to whoever asks."""

    now = None


class Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers.get("content-length") or 0))
        response = self.server.now["response"]
        body = response["body"]
        data = base64.b64decode(body["base64"]) if "base64" in body else body["text"].encode()
        self.send_response(response["status"])
        self.send_header("content-type", response["headers"].get("content-type", "application/json"))
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


@functools.cache
def openai_client(url, key):
    return openai.OpenAI(base_url=url + "/v1", api_key=key, max_retries=0, timeout=20)


@functools.cache
def anthropic_client(url, key):
    return anthropic.Anthropic(base_url=url, api_key=key, max_retries=0, timeout=20)


@functools.cache
def google_client(url, key):
    return genai.Client(api_key=key, http_options=genai.types.HttpOptions(base_url=url, timeout=20_000))


@functools.cache
def bedrock_client(url):
    settings = botocore.config.Config(
        signature_version=botocore.UNSIGNED, retries={"total_max_attempts": 1}, read_timeout=20
    )
    return boto3.client("bedrock-runtime", region_name="eu-west-1", endpoint_url=url, config=settings)


def seen(text, tools, stop, usage):
    """What every reader gives: one shape for all of them."""
    given = [[name, json.loads(arguments or "{}") if isinstance(arguments, str) else dict(arguments or {})] for name, arguments in tools]
    counts = usage if usage and any(usage) else None
    return {"text": text, "tools": given, "stop": "tool" if given and stop in ("stop", None) else stop, "usage": counts}


def differences(found, wanted):
    """Where a filter left nothing, some formats say why in the place of the text."""
    is_blocked = wanted["stop"] == "filter" and not wanted["text"]
    names = [name for name in wanted if not (is_blocked and name == "text")]
    return [f"{name}: {found[name]!r}, not {wanted[name]!r}" for name in names if found[name] != wanted[name]]


def number(value):
    return value or 0


CHAT_STOPS = {"stop": "stop", "tool_calls": "tool", "length": "length", "content_filter": "filter"}


def read_openai(url, key, is_stream):
    client = openai_client(url, key)
    asked = {"model": MODEL, "messages": [{"role": "user", "content": "x"}]}
    if not is_stream:
        answer = client.chat.completions.create(**asked)
        choice = answer.choices[0]
        calls = [(call.function.name, call.function.arguments) for call in choice.message.tool_calls or []]
        stop = "filter" if choice.message.refusal else CHAT_STOPS.get(choice.finish_reason)
        return seen(choice.message.content or "", calls, stop, chat_usage(answer.usage))
    text, stop, usage, calls, is_refusal = "", None, None, {}, False
    for chunk in client.chat.completions.create(**asked, stream=True, stream_options={"include_usage": True}):
        usage = chunk.usage or usage
        for choice in chunk.choices:
            text += choice.delta.content or ""
            stop = choice.finish_reason or stop
            is_refusal = is_refusal or bool(choice.delta.refusal)
            for delta in choice.delta.tool_calls or []:
                call = calls.setdefault(delta.index, ["", ""])
                call[0] += delta.function.name or ""
                call[1] += delta.function.arguments or ""
    stop = "filter" if is_refusal else CHAT_STOPS.get(stop)
    return seen(text, [calls[index] for index in sorted(calls)], stop, chat_usage(usage))


def chat_usage(usage):
    if usage is None:
        return None
    cached = usage.prompt_tokens_details.cached_tokens if usage.prompt_tokens_details else 0
    # Mistral has a field of its own for them.
    return [usage.prompt_tokens, usage.completion_tokens, number(cached) or number(getattr(usage, "num_cached_tokens", 0))]


def read_responses(url, key, is_stream):
    client = openai_client(url, key)
    asked = {"model": MODEL, "input": "x", "store": False}
    if is_stream:
        answer = None
        for event in client.responses.create(**asked, stream=True):
            if event.type in ("response.completed", "response.incomplete", "response.failed"):
                answer = event.response
    else:
        answer = client.responses.create(**asked)
    calls = [(item.name, item.arguments) for item in answer.output if item.type == "function_call"]
    stops = {"max_output_tokens": "length", "content_filter": "filter"}
    reason = answer.incomplete_details and answer.incomplete_details.reason
    stop = stops.get(reason) if reason else {"completed": "stop"}.get(answer.status)
    parts = [part for item in answer.output if item.type == "message" for part in item.content]
    if any(part.type == "refusal" for part in parts):
        stop = "filter"
    usage = answer.usage
    cached = usage and usage.input_tokens_details and usage.input_tokens_details.cached_tokens
    counts = usage and [usage.input_tokens, usage.output_tokens, number(cached)]
    return seen(answer.output_text, calls, stop, counts)


ANTHROPIC_STOPS = {
    "end_turn": "stop", "stop_sequence": "stop", "pause_turn": "stop", "tool_use": "tool",
    "max_tokens": "length", "model_context_window_exceeded": "length", "refusal": "filter",
}  # fmt: skip


def read_anthropic(url, key, is_stream):
    client = anthropic_client(url, key)
    asked = {"model": MODEL, "max_tokens": 100, "messages": [{"role": "user", "content": "x"}]}
    if is_stream:
        with client.messages.stream(**asked) as stream:
            answer = stream.get_final_message()
    else:
        answer = client.messages.create(**asked)
    text = "".join(block.text for block in answer.content if block.type == "text")
    calls = [(block.name, block.input) for block in answer.content if block.type == "tool_use"]
    usage = answer.usage
    cached, written = number(usage.cache_read_input_tokens), number(usage.cache_creation_input_tokens)
    counts = [usage.input_tokens + cached + written, usage.output_tokens, cached]
    return seen(text, calls, ANTHROPIC_STOPS.get(answer.stop_reason), counts)


GEMINI_STOPS = {"STOP": "stop", "MAX_TOKENS": "length"}
GEMINI_FILTERS = ("SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "MODEL_ARMOR", "IMAGE_SAFETY")


def read_gemini(url, key, is_stream):
    client = google_client(url, key)
    act = client.models.generate_content_stream if is_stream else client.models.generate_content
    answers = act(model=MODEL, contents="x")
    answers = list(answers) if is_stream else [answers]
    text, calls, stop, usage = "", [], None, None
    for answer in answers:
        usage = answer.usage_metadata or usage
        if answer.prompt_feedback and answer.prompt_feedback.block_reason:
            stop = "SAFETY"
        for candidate in (answer.candidates or [])[:1]:
            stop = candidate.finish_reason.value if candidate.finish_reason else stop
            for part in (candidate.content and candidate.content.parts) or []:
                if part.function_call:
                    calls.append((part.function_call.name, part.function_call.args))
                elif part.text and not part.thought:
                    text += part.text
    stop = "filter" if stop in GEMINI_FILTERS else GEMINI_STOPS.get(stop)
    return seen(text, calls, stop, usage and gemini_usage(usage))


def gemini_usage(usage):
    asked = number(usage.prompt_token_count) + number(usage.tool_use_prompt_token_count)
    given = number(usage.candidates_token_count) + number(usage.thoughts_token_count)
    return [asked, given, number(usage.cached_content_token_count)]


BEDROCK_STOPS = {**ANTHROPIC_STOPS, "guardrail_intervened": "filter", "content_filtered": "filter"}


def is_callers(block):
    """Tools that the provider runs itself are no calls for the caller."""
    return "toolUse" in block and block["toolUse"].get("type") != "server_tool_use"


def read_bedrock(url, key, is_stream):
    client = bedrock_client(url)
    asked = {"modelId": MODEL, "messages": [{"role": "user", "content": [{"text": "x"}]}]}
    if not is_stream:
        answer = client.converse(**asked)
        blocks, stop, usage = answer["output"]["message"]["content"], answer["stopReason"], answer["usage"]
    else:
        blocks, stop, usage = {}, None, None
        for event in client.converse_stream(**asked)["stream"]:
            for start in [event["contentBlockStart"]] if "contentBlockStart" in event else []:
                blocks[start["contentBlockIndex"]] = {"toolUse": {**start["start"]["toolUse"], "input": ""}}
            for delta in [event["contentBlockDelta"]] if "contentBlockDelta" in event else []:
                block = blocks.setdefault(delta["contentBlockIndex"], {"text": ""})
                if "text" in delta["delta"]:
                    block["text"] += delta["delta"]["text"]
                elif "toolUse" in delta["delta"]:
                    block["toolUse"]["input"] += delta["delta"]["toolUse"]["input"]
            stop = event.get("messageStop", {}).get("stopReason") or stop
            usage = event.get("metadata", {}).get("usage") or usage
        blocks = [blocks[index] for index in sorted(blocks)]
    text = "".join(block.get("text", "") for block in blocks)
    calls = [(block["toolUse"]["name"], block["toolUse"]["input"]) for block in blocks if is_callers(block)]
    cached, written = usage.get("cacheReadInputTokens", 0), usage.get("cacheWriteInputTokens", 0)
    counts = [usage["inputTokens"] + cached + written, usage["outputTokens"], cached]
    return seen(text, calls, BEDROCK_STOPS.get(stop), counts)


def read_cohere(recording):
    """No SDK of Cohere's is among ours: read as it is written."""
    answer = json.loads(recording["response"]["body"]["text"])
    message, usage = answer["message"], answer["usage"]["tokens"]
    text = "".join(part.get("text", "") for part in message.get("content") or [])
    calls = [(call["function"]["name"], call["function"]["arguments"]) for call in message.get("tool_calls") or []]
    stops = {"COMPLETE": "stop", "STOP_SEQUENCE": "stop", "TOOL_CALL": "tool", "MAX_TOKENS": "length"}
    cached = number(answer["usage"].get("cached_tokens"))
    return seen(text, calls, stops.get(answer["finish_reason"]), [usage["input_tokens"], usage["output_tokens"], cached])


READERS = {"openai": read_openai, "responses": read_responses, "anthropic": read_anthropic, "gemini": read_gemini}
DIALECTS = {
    "openai.chat": "openai", "openai.responses": "responses", "anthropic.messages": "anthropic",
    "gemini.generate": "gemini", "bedrock.converse": "bedrock", "cohere.chat": "cohere",
}  # fmt: skip


def recordings(directories):
    names = set()
    for directory in directories:
        for path in sorted(glob.glob(directory + "/*.jsonl")):
            for line in open(path, encoding="utf-8"):
                recording = json.loads(line)
                dialect = DIALECTS.get(recording["endpoint"])
                if dialect and recording["response"]["status"] == 200 and recording["name"] not in names:
                    names.add(recording["name"])
                    yield dialect, recording


def streams(recording):
    kind = recording["response"]["headers"].get("content-type", "")
    return "event-stream" in kind or "base64" in recording["response"]["body"]


def written(dialect, recording, provider):
    """What is written in the recording, as the provider's own SDK reads it."""
    if dialect == "cohere":
        return read_cohere(recording)
    reader = READERS.get(dialect, read_bedrock)
    return reader(f"http://127.0.0.1:{provider.server_port}", "k", streams(recording))


def main():
    provider = Provider(("127.0.0.1", 0), Answer)
    threading.Thread(target=provider.serve_forever, daemon=True).start()
    print(provider.server_port, flush=True)
    world = json.load(sys.stdin)
    for dialect, recording in recordings(world["directories"]):
        if dialect not in world["keys"]:
            continue
        provider.now = recording
        line = {"recording": f"{recording['provider']}: {recording['name']}", "dialect": dialect}
        try:
            wanted = written(dialect, recording, provider)
        except Exception as error:  # noqa: BLE001: the provider's own SDK does not read this one
            print(json.dumps({**line, "sdk": dialect, "outcome": "unreadable", "detail": short(str(error))}), flush=True)
            continue
        for sdk, reader in READERS.items():
            try:
                found = reader(world["proxy"], world["keys"][dialect], streams(recording))
                wrong = differences(found, wanted)
            except Exception as error:  # noqa: BLE001: whatever an SDK raises is what its user sees
                wrong = [f"{type(error).__name__}: {error}"]
            outcome = "different" if wrong else "same"
            print(json.dumps({**line, "sdk": sdk, "outcome": outcome, "detail": "; ".join(wrong)[:600]}), flush=True)


main()
