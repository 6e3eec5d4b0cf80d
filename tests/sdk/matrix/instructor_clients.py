"""Instructor over the official clients: objects out of tools and out of JSON Schema."""

import anthropic
import instructor
import openai
from kit import Caller, same
from pydantic import BaseModel


class Place(BaseModel):
    city: str
    days: int


QUESTION = [{"role": "user", "content": "Where is it?"}]
PLACE = {"city": "city", "days": 1}


class Objects(Caller):
    def ask(self, mode, **more):
        raise NotImplementedError

    def tool_choice_named(self, to):
        same(self.ask(instructor.Mode.TOOLS).model_dump(), PLACE, "object")


class OpenAi(Objects):
    name = f"instructor {instructor.__version__.split('.')[0]}, OpenAI (Python)"

    def connect(self, to):
        self.client = openai.OpenAI(base_url=self.proxy + "/v1", api_key=to.key, max_retries=0, timeout=20)

    def ask(self, mode, **more):
        client = instructor.from_openai(self.client, mode=mode)
        return client.chat.completions.create(
            model="gpt-4.1-mini", messages=QUESTION, response_model=Place, max_retries=0, **more
        )

    def structured_output(self, to):
        same(self.ask(instructor.Mode.JSON_SCHEMA).model_dump(), PLACE, "object")

    def streamed_structured_output(self, to):
        client = instructor.from_openai(self.client, mode=instructor.Mode.TOOLS)
        *_, last = client.chat.completions.create_partial(
            model="gpt-4.1-mini", messages=QUESTION, response_model=Place, max_retries=0
        )
        same((last.city, last.days), ("city", 1), "object")


class Anthropic(Objects):
    name = f"instructor {instructor.__version__.split('.')[0]}, Anthropic (Python)"

    def connect(self, to):
        self.client = anthropic.Anthropic(base_url=self.proxy, api_key=to.key, max_retries=0, timeout=20)

    def ask(self, mode, **more):
        mode = instructor.Mode.ANTHROPIC_TOOLS if mode == instructor.Mode.TOOLS else mode
        client = instructor.from_anthropic(self.client, mode=mode)
        return client.messages.create(
            model="claude-sonnet-4-5", max_tokens=400, messages=QUESTION, response_model=Place, max_retries=0, **more
        )

    def streamed_structured_output(self, to):
        client = instructor.from_anthropic(self.client, mode=instructor.Mode.ANTHROPIC_TOOLS)
        *_, last = client.messages.create_partial(
            model="claude-sonnet-4-5", max_tokens=400, messages=QUESTION, response_model=Place, max_retries=0
        )
        same((last.city, last.days), ("city", 1), "object")
