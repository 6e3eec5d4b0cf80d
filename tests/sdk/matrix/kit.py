"""What all callers of the matrix share: the simulated provider's pages, the questions that are asked, and what must be seen.

A caller is a class; each of its methods that bears a feature's name tries that feature once, against one provider, and raises
when what the SDK's own objects show is not what it must be. A feature without a method is one that the SDK has no way to ask for.
"""

import http.client
import json
import re
import urllib.parse

GREETING = "good day"
ECHO = "You said: good day"
SYSTEM = "Answer as briefly as a telegram."
WEATHER_QUESTION = "What is the weather in Oslo?"
BOTH_QUESTION = "What is the weather in Oslo, and the stock of lamps?"
THOUGHT = "Let me see what was asked and then answer it."

PARAMETERS = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
    "required": ["city", "days"],
    "additionalProperties": False,
}
STOCK_PARAMETERS = {
    "type": "object",
    "properties": {"article": {"type": "string"}},
    "required": ["article"],
    "additionalProperties": False,
}
# (name, description, parameters): each SDK wraps them its own way.
WEATHER = ("get_weather", "The weather in a city", PARAMETERS)
STOCK = ("get_stock", "How many of an article are in stock", STOCK_PARAMETERS)
ARGUMENTS = {"get_weather": {"city": "city", "days": 1}, "get_stock": {"article": "article"}}

# One red pixel.
IMAGE = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg=="
)

# The smallest thing that calls itself one.
DOCUMENT = "JVBERi0xLjQKJSVFT0YK"
IMAGE_URL = "https://images.example.com/red.png"


class Different(AssertionError):
    """What was seen is not what must be seen."""


def same(seen, wanted, what=""):
    if seen != wanted:
        raise Different(f"{what or 'seen'}: {short(seen)}, not {short(wanted)}")


def among(seen, wanted, what=""):
    if seen not in wanted:
        raise Different(f"{what or 'seen'}: {short(seen)}, not one of {short(wanted)}")


def holds(is_so, what):
    if not is_so:
        raise Different(what)


def short(value):
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= 160 else text[:157] + "..."


def raises(kinds, act):
    """The error that `act` raises, which must be of one of `kinds`."""
    try:
        act()
    except kinds as error:
        return error
    raise Different(f"no {kinds} was raised")


def calls_are(calls, *names):
    """`calls` are (name, arguments) and just those of `names`, with the arguments that the simulator makes."""
    same([name for name, _ in calls], list(names), "tools called")
    for name, arguments in calls:
        if isinstance(arguments, str):
            arguments = json.loads(arguments)
        same(dict(arguments), ARGUMENTS[name], f"arguments of {name}")


class Simulator:
    """The provider's side: scripts its behaviour and reads what reached it."""

    def __init__(self, url):
        self.connection = http.client.HTTPConnection(urllib.parse.urlsplit(url).netloc, timeout=20)

    def ask(self, method, path, body=None):
        self.connection.request(method, path, json.dumps(body) if body is not None else None)
        return json.loads(self.connection.getresponse().read())

    def reset(self):
        self.ask("DELETE", "/__simulator")

    def behaves(self, **behaviour):
        self.ask("POST", "/__simulator/script", {"rules": [{"behaviour": behaviour}]})

    def requests(self):
        return [seen["body"] for seen in self.ask("GET", "/__simulator/requests")["requests"]]

    def last(self):
        """The last body that reached the provider."""
        return self.requests()[-1]

    def billed(self):
        """All that was billed since the reset: input (cached ones included), output, cached, written to the cache."""
        total = {"calls": 0, "input_tokens": 0, "output_tokens": 0, "cached_tokens": 0, "cache_write_tokens": 0}
        for row in self.ask("GET", "/__simulator/ledger")["rows"]:
            for name in total:
                total[name] += row[name]
        return total

    def usage_is(self, input_tokens, output_tokens):
        billed = self.billed()
        same(
            (input_tokens, output_tokens),
            (billed["input_tokens"], billed["output_tokens"]),
            "input and output tokens against the provider's bill",
        )
        holds(input_tokens > 0 and output_tokens > 0, "usage is zero")

    def path_was(self, part):
        """The provider was called where it is."""
        path = urllib.parse.unquote(self.ask("GET", "/__simulator/requests")["requests"][-1]["path"])
        holds(part in path, f"the provider was called at {path}")

    def was_told(self, text, *places):
        """Whether `text` reached the provider inside a member called one of `places`, whatever its dialect."""
        found = any(text in json.dumps(value) for value in members(self.last(), places))
        holds(found, f"the provider was not sent {short(text)} in any of {places}")

    def saw(self, text):
        holds(text in json.dumps(self.last()), f"the provider was not sent {short(text)}")

    def system_was(self, text):
        """The system prompt arrived where the provider's dialect has it, and nowhere else."""
        body = self.last()
        system = [value for name, value in body.items() if name in SYSTEM_PLACES]
        turns = [turn for name in ("messages", "input", "contents") for turn in listed(body.get(name))]
        system += [turn for turn in turns if turn.get("role") in ("system", "developer")]
        others = [turn for turn in turns if turn.get("role") not in ("system", "developer")]
        holds(text in json.dumps(system), "the system prompt did not arrive as one")
        holds(text not in json.dumps(others), "the system prompt arrived in another turn")


SYSTEM_PLACES = ("system", "instructions", "systemInstruction", "system_instruction")


def listed(value):
    return [turn for turn in value if isinstance(turn, dict)] if isinstance(value, list) else []


def members(value, names):
    """Every value below `value` that is a member called one of `names`."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if name in names:
                yield inner
            yield from members(inner, names)
    elif isinstance(value, list):
        for inner in value:
            yield from members(inner, names)


class Provider:
    """One column: whom the policy puts behind the model's name for this key."""

    def __init__(self, told, simulator, caller):
        self.name = told["name"]
        self.key = told["key"]
        self.dialect = told["dialect"]
        self.path = told["path"]
        # How this provider says that it refused to answer.
        self.refusal = told["refusal"]
        # Whether it shows what it thought.
        self.shows_thoughts = told["shows_thoughts"]
        # Whether it does also when nobody asks to see it, which chat completions cannot.
        self.shows_unasked = self.shows_thoughts and self.dialect != "responses"
        # What has to come back to it with what it thought.
        self.signature = told["signature"]
        self.simulator = simulator
        self.caller = caller

    def failing(self, how):
        """A model's name of this caller's own, so that one caller's failures are not held against the next one's target."""
        return f"failing-{self.name}-{how}-" + re.sub("[^a-z0-9]+", "-", self.caller.lower())


class Caller:
    """One row. `name` is what the table calls it."""

    name = ""
    # Only these providers; all when empty.
    only = ()

    def __init__(self, world):
        self.proxy = world["proxy"]

    def connect(self, to):
        """Makes the SDK's client for the key of this provider."""
        raise NotImplementedError


REFUSAL = re.compile(r"`([^`]+)` cannot be sent to a target")
LACKING = re.compile(r"the provider's dialect has no ([a-z ]+)")
NAMED = re.compile(r"`([^`]+)`")


def chain(error):
    """The error and all that led to it."""
    seen = []
    while error is not None and error not in seen:
        seen.append(error)
        error = error.__cause__ or error.__context__
    return seen


def is_providers_fault(error):
    """Whether the library tells the failure as the server's own."""
    for one in chain(error):
        for name in ("status_code", "code"):
            status = getattr(one, name, None)
            if isinstance(status, int) and 500 <= status < 600:
                return True
    return False


def refused_field(error):
    """The field that the proxy named when it refused the call before sending it; None when this is no such refusal."""
    for one in chain(error):
        text = str(one) + str(getattr(one, "body", "")) + str(getattr(one, "response", ""))
        if "counts no tokens" in text:
            return "counting of tokens"
        if lacking := LACKING.search(text):
            return lacking.group(1)
        if "unsupported" in text or "cannot be sent" in text:
            found = REFUSAL.search(text) or NAMED.search(text)
            if found:
                return found.group(1)
    return None
