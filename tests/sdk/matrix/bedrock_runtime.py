"""boto3's `bedrock-runtime`, pointed at the proxy's pass-through to the provider by that name.

The key goes in a header that an event hook sets: boto3 sends Bedrock API keys (`AWS_BEARER_TOKEN_BEDROCK`) over HTTPS alone.
"""

import boto3
import botocore
import botocore.config
import botocore.exceptions
from kit import (
    BOTH_QUESTION, ECHO, GREETING, STOCK, SYSTEM, THOUGHT, WEATHER, WEATHER_QUESTION,
    Caller, calls_are, holds, raises, same,
)  # fmt: skip


def tools(*offers, **choice):
    listed = [
        {"toolSpec": {"name": name, "description": description, "inputSchema": {"json": parameters}}}
        for name, description, parameters in offers
    ]
    return {"toolConfig": {"tools": listed, **choice}}


def said(answer):
    return "".join(block.get("text", "") for block in answer["output"]["message"]["content"])


def made(answer):
    blocks = answer["output"]["message"]["content"]
    return [(block["toolUse"]["name"], block["toolUse"]["input"]) for block in blocks if "toolUse" in block]


class Converse(Caller):
    name = f"boto3 {boto3.__version__.split('.')[0]}, bedrock-runtime (Python)"
    model = "anthropic.claude-sonnet-4-5-20250929-v1:0"
    only = ("bedrock",)

    def connect(self, to):
        self.client, self.stranger = self.make(to, to.key), self.make(to, "fd_" + "A" * 43)

    def make(self, to, key):
        settings = botocore.config.Config(
            signature_version=botocore.UNSIGNED, retries={"total_max_attempts": 1}, read_timeout=20
        )
        client = boto3.client(
            "bedrock-runtime",
            region_name="eu-west-1",
            endpoint_url=f"{self.proxy}/providers/{to.name}",
            config=settings,
        )

        def sign(request, **_):
            request.headers["x-api-key"] = key

        client.meta.events.register("before-sign.bedrock-runtime", sign)
        return client

    def asked(self, content, more):
        messages = [{"role": "user", "content": [{"text": content}]}]
        return {"modelId": self.model, "messages": messages, "inferenceConfig": {"maxTokens": 400}, **more}

    def ask(self, content=GREETING, **more):
        return self.client.converse(**self.asked(content, more))

    def streamed(self, content=GREETING, **more):
        return list(self.client.converse_stream(**self.asked(content, more))["stream"])

    def text(self, to):
        answer = self.ask()
        same((said(answer), answer["stopReason"]), (ECHO, "end_turn"), "text and stop reason")

    def streamed_text(self, to):
        events = self.streamed()
        pieces = [event["contentBlockDelta"]["delta"]["text"] for event in events if "contentBlockDelta" in event]
        same("".join(pieces), ECHO, "text")
        holds(len(pieces) > 1, "the text came in one piece")
        stops = [event["messageStop"]["stopReason"] for event in events if "messageStop" in event]
        same(stops, ["end_turn"], "stop reason")

    def system_prompt(self, to):
        same(said(self.ask(system=[{"text": SYSTEM}])), ECHO, "text")
        to.simulator.system_was(SYSTEM)

    def usage(self, to):
        usage = self.ask()["usage"]
        to.simulator.usage_is(usage["inputTokens"], usage["outputTokens"])

    def streamed_usage(self, to):
        usage = [event["metadata"]["usage"] for event in self.streamed() if "metadata" in event]
        same(len(usage), 1, "usages")
        to.simulator.usage_is(usage[0]["inputTokens"], usage[0]["outputTokens"])

    def tool_call(self, to):
        answer = self.ask(WEATHER_QUESTION, **tools(WEATHER))
        calls_are(made(answer), "get_weather")
        same(answer["stopReason"], "tool_use", "stop reason")

    def streamed_tool_call(self, to):
        events = self.streamed(WEATHER_QUESTION, **tools(WEATHER))
        starts = [event["contentBlockStart"]["start"] for event in events if "contentBlockStart" in event]
        names = [start["toolUse"]["name"] for start in starts if "toolUse" in start]
        deltas = [event["contentBlockDelta"]["delta"] for event in events if "contentBlockDelta" in event]
        arguments = "".join(delta["toolUse"]["input"] for delta in deltas if "toolUse" in delta)
        calls_are([(names[0], arguments)], "get_weather")

    def parallel_tools(self, to):
        calls_are(made(self.ask(BOTH_QUESTION, **tools(WEATHER, STOCK))), "get_weather", "get_stock")

    def tool_result(self, to):
        first = self.ask(WEATHER_QUESTION, **tools(WEATHER))
        message = first["output"]["message"]
        use = next(block["toolUse"] for block in message["content"] if "toolUse" in block)
        result = {"toolUseId": use["toolUseId"], "content": [{"text": "sunny"}]}
        messages = [
            {"role": "user", "content": [{"text": WEATHER_QUESTION}]},
            message,
            {"role": "user", "content": [{"toolResult": result}]},
        ]
        holds("sunny" in said(self.ask(messages=messages, **tools(WEATHER))), "the result is not told")

    def tool_choice_required(self, to):
        calls_are(made(self.ask(**tools(WEATHER, toolChoice={"any": {}}))), "get_weather")

    def tool_choice_named(self, to):
        choice = {"tool": {"name": "get_stock"}}
        calls_are(made(self.ask(WEATHER_QUESTION, **tools(WEATHER, STOCK, toolChoice=choice))), "get_stock")

    def thinking(self, to):
        answer = self.ask(**self.thinking_fields())
        texts = [
            block["reasoningContent"]["reasoningText"]["text"]
            for block in answer["output"]["message"]["content"]
            if "reasoningContent" in block
        ]
        same((texts, said(answer)), ([THOUGHT], ECHO), "thought and text")

    def thinking_fields(self):
        fields = {"thinking": {"type": "enabled", "budget_tokens": 1024}}
        return {"additionalModelRequestFields": fields, "inferenceConfig": {"maxTokens": 4000}}

    def cached_tokens(self, to):
        to.simulator.behaves(cached_tokens=64)
        same(self.ask()["usage"]["cacheReadInputTokens"], 64, "cached tokens")

    def stop_sequences(self, to):
        answer = self.ask("one two three", inferenceConfig={"maxTokens": 400, "stopSequences": ["three"]})
        same(said(answer).rstrip(), "You said: one two", "text")
        same(answer["stopReason"], "stop_sequence", "stop reason")

    def max_tokens(self, to):
        to.simulator.behaves(tokens=60)
        answer = self.ask(inferenceConfig={"maxTokens": 20})
        same((answer["stopReason"], answer["usage"]["outputTokens"]), ("max_tokens", 20), "stop reason and tokens")

    def count_tokens(self, to):
        messages = [{"role": "user", "content": [{"text": GREETING}]}]
        counted = self.client.count_tokens(modelId=self.model, input={"converse": {"messages": messages}})
        same(counted["inputTokens"], self.ask()["usage"]["inputTokens"], "counted and used")

    def wrong_key(self, to):
        right, self.client = self.client, self.stranger
        try:
            error = raises(botocore.exceptions.ClientError, self.ask)
        finally:
            self.client = right
        same(error.response["ResponseMetadata"]["HTTPStatusCode"], 401, "status")

    def rate_limited(self, to):
        to.simulator.behaves(status=429, retry_after=7)
        raises(self.client.exceptions.ThrottlingException, lambda: self.ask(modelId=to.failing("limited")))

    def provider_error(self, to):
        to.simulator.behaves(status=500)
        error = raises(botocore.exceptions.ClientError, lambda: self.ask(modelId=to.failing("broken")))
        holds(error.response["ResponseMetadata"]["HTTPStatusCode"] >= 500, str(error))

    def refusal(self, to):
        to.simulator.behaves(stop_reason=to.refusal)
        same(self.ask()["stopReason"], to.refusal, "stop reason")

    def error_in_stream(self, to):
        to.simulator.behaves(error_after=4, tokens=60)
        raises(botocore.exceptions.EventStreamError, lambda: self.streamed(modelId=to.failing("cut")))
