// The Vercel AI SDK: one set of calls for its providers, each of which sends requests of its own making.

import { createAnthropic } from '@ai-sdk/anthropic';
import { createGoogleGenerativeAI } from '@ai-sdk/google';
import { createOpenAI } from '@ai-sdk/openai';
import { APICallError, Output, embedMany, generateText, jsonSchema, streamText, tool } from 'ai';

import {
  BOTH_QUESTION, ECHO, GREETING, IMAGE, PARAMETERS, PLACE, STOCK, SYSTEM, THOUGHT, WEATHER, WEATHER_QUESTION,
  callsAre, collected, holds, major, raises, same,
} from './kit.mjs';

export async function callers() {
  const name = `Vercel AI SDK ${await major('ai')}`;
  return [
    { title: `${name}, OpenAI chat (JavaScript)`, Caller: OpenAiChat },
    { title: `${name}, OpenAI Responses (JavaScript)`, Caller: OpenAiResponses },
    { title: `${name}, Anthropic (JavaScript)`, Caller: Anthropic },
    { title: `${name}, Google (JavaScript)`, Caller: Google },
  ];
}

function offered(...offers) {
  const made = offers.map(({ name, description, parameters }) => [
    name, tool({ description, inputSchema: jsonSchema(parameters) }),
  ]);
  return Object.fromEntries(made);
}

const made = (calls) => calls.map((call) => [call.toolName, call.input]);

/** What is the same for all of them. */
class Models {
  showsThoughts = true;

  asked(prompt, { model = this.name, ...more }) {
    const asked = { model: this.model(model), maxOutputTokens: 400, maxRetries: 0, ...more };
    return more.messages ? asked : { ...asked, prompt };
  }

  ask(prompt = GREETING, more = {}) {
    return generateText(this.asked(prompt, more));
  }

  /** The streamed answer and its parts; an error in the stream is raised. */
  async streamed(prompt = GREETING, more = {}) {
    const answer = streamText({ ...this.asked(prompt, more), onError: () => {} });
    const parts = [];
    for await (const part of answer.fullStream) {
      if (part.type === 'error') throw part.error;
      parts.push(part);
    }
    return [answer, parts];
  }

  async text() {
    const answer = await this.ask();
    same([answer.text, answer.finishReason], [ECHO, 'stop'], 'text and finish reason');
  }

  async streamed_text() {
    const [answer, parts] = await this.streamed();
    same([await answer.text, await answer.finishReason], [ECHO, 'stop'], 'text and finish reason');
    holds(parts.filter((part) => part.type === 'text-delta').length > 1, 'the text came in one piece');
  }

  async system_prompt(to) {
    same((await this.ask(GREETING, { instructions: SYSTEM })).text, ECHO, 'text');
    await to.simulator.systemWas(SYSTEM);
  }

  async usage(to) {
    const { usage } = await this.ask();
    await to.simulator.usageIs(usage.inputTokens, usage.outputTokens);
  }

  async streamed_usage(to) {
    const [answer] = await this.streamed();
    const usage = await answer.usage;
    await to.simulator.usageIs(usage.inputTokens, usage.outputTokens);
  }

  async tool_call() {
    const answer = await this.ask(WEATHER_QUESTION, { tools: offered(WEATHER) });
    callsAre(made(answer.toolCalls), 'get_weather');
    same(answer.finishReason, 'tool-calls', 'finish reason');
  }

  async streamed_tool_call() {
    const [answer] = await this.streamed(WEATHER_QUESTION, { tools: offered(WEATHER) });
    callsAre(made(await answer.toolCalls), 'get_weather');
    same(await answer.finishReason, 'tool-calls', 'finish reason');
  }

  async parallel_tools() {
    const asked = { tools: offered(WEATHER, STOCK) };
    callsAre(made((await this.ask(BOTH_QUESTION, asked)).toolCalls), 'get_weather', 'get_stock');
    const [streamed] = await this.streamed(BOTH_QUESTION, asked);
    callsAre(made(await streamed.toolCalls), 'get_weather', 'get_stock');
  }

  async replay(question, offers, more = {}) {
    const asked = { tools: offered(...offers), ...more };
    const first = await this.ask(question, asked);
    const results = first.toolCalls.map((call, index) => ({
      type: 'tool-result', toolCallId: call.toolCallId, toolName: call.toolName,
      output: { type: 'text', value: ['sunny', 'seven'][index] },
    }));
    const messages = [
      { role: 'user', content: question }, ...first.response.messages, { role: 'tool', content: results },
    ];
    return (await this.ask(question, { ...asked, messages })).text;
  }

  async tool_result(to) {
    const text = await this.replay(BOTH_QUESTION, [WEATHER, STOCK]);
    holds(text.includes('seven'), `the result is not in ${text}`);
    await to.simulator.saw('sunny');
  }

  async choose(toolChoice, question, ...offers) {
    return made((await this.ask(question, { tools: offered(...offers), toolChoice })).toolCalls);
  }

  async tool_choice_required() {
    callsAre(await this.choose('required', GREETING, WEATHER), 'get_weather');
  }

  async tool_choice_named() {
    callsAre(await this.choose({ type: 'tool', toolName: 'get_stock' }, WEATHER_QUESTION, WEATHER, STOCK), 'get_stock');
  }

  async tool_choice_none() {
    callsAre(await this.choose('none', WEATHER_QUESTION, WEATHER));
  }

  async structured_output() {
    const output = Output.object({ schema: jsonSchema(PARAMETERS) });
    same((await this.ask('Where is it?', { output })).output, PLACE, 'object');
  }

  async streamed_structured_output() {
    const output = Output.object({ schema: jsonSchema(PARAMETERS) });
    const [answer] = await this.streamed('Where is it?', { output });
    same(await answer.output, PLACE, 'object');
  }

  async image_input(to) {
    const content = [{ type: 'text', text: GREETING }, { type: 'image', image: IMAGE, mediaType: 'image/png' }];
    same((await this.ask(GREETING, { messages: [{ role: 'user', content }] })).text, ECHO, 'text');
    await to.simulator.saw(IMAGE);
  }

  async thinking(to) {
    const answer = await this.ask(GREETING, this.thinks);
    same(answer.text, ECHO, 'text');
    await to.simulator.usageIs(answer.usage.inputTokens, answer.usage.outputTokens);
    if (to.shows_thoughts && this.showsThoughts) same(answer.reasoningText, THOUGHT, 'reasoning');
  }

  async streamed_thinking(to) {
    const [answer] = await this.streamed(GREETING, this.thinks);
    same(await answer.text, ECHO, 'text');
    if (to.shows_thoughts && this.showsThoughts) same(await answer.reasoningText, THOUGHT, 'reasoning');
  }

  async thinking_replayed(to) {
    const text = await this.replay(WEATHER_QUESTION, [WEATHER], this.thinks);
    holds(text.includes('sunny'), `the result is not in ${text}`);
    if (to.signature && this.showsThoughts) await to.simulator.saw(to.signature);
  }

  async cached_tokens(to) {
    await to.simulator.behaves({ cached_tokens: 64 });
    same((await this.ask()).usage.inputTokenDetails.cacheReadTokens, 64, 'cached tokens');
  }

  async max_tokens(to) {
    await to.simulator.behaves({ tokens: 60 });
    same((await this.ask(GREETING, { maxOutputTokens: 20 })).finishReason, 'length', 'finish reason');
  }

  async unknown_model() {
    const error = await raises(APICallError, () => this.ask(GREETING, { model: this.name.slice(0, -1) }));
    same(error.statusCode, 404, 'status');
  }

  async rate_limited(to) {
    await to.simulator.behaves({ status: 429, retry_after: 7 });
    const error = await raises(APICallError, () => this.ask(GREETING, { model: to.failing('limited') }));
    same(error.statusCode, 429, 'status');
  }

  async provider_error(to) {
    await to.simulator.behaves({ status: 500 });
    const error = await raises(APICallError, () => this.ask(GREETING, { model: to.failing('broken') }));
    holds(error.statusCode >= 500, `status ${error.statusCode}`);
  }

  async refusal(to) {
    await to.simulator.behaves({ stop_reason: to.refusal });
    same((await this.ask()).finishReason, 'content-filter', 'finish reason');
    const [streamed] = await this.streamed();
    same(await streamed.finishReason, 'content-filter', 'finish reason of the stream');
  }

  async error_in_stream(to) {
    await to.simulator.behaves({ error_after: 4, tokens: 60 });
    let failed = false;
    try {
      await this.streamed(GREETING, { model: to.failing('cut') });
    } catch {
      failed = true;
    }
    holds(failed, 'no error was raised');
  }
}

class StopsAndSeeds extends Models {
  async stop_sequences() {
    const answer = await this.ask('one two three', { stopSequences: ['three'] });
    same([answer.text.trimEnd(), answer.finishReason], ['You said: one two', 'stop'], 'text and finish reason');
  }
}

class OpenAiChat extends StopsAndSeeds {
  name = 'gpt-4.1-mini';
  // It reads what OpenAI itself documents for chat completions, which shows no thoughts.
  showsThoughts = false;
  thinks = { model: 'gpt-5-mini', maxOutputTokens: 4000, providerOptions: { openai: { reasoningEffort: 'low' } } };

  constructor(proxy, to) {
    super();
    this.provider = createOpenAI({ baseURL: `${proxy}/v1`, apiKey: to.key });
  }

  model(name) {
    return this.provider.chat(name);
  }

  async seed(to) {
    same((await this.ask(GREETING, { seed: 7 })).text, ECHO, 'text');
    await to.simulator.wasTold('7', 'seed', 'random_seed');
  }

  async embeddings() {
    const model = this.provider.embedding('text-embedding-3-small');
    const { embeddings } = await embedMany({ model, values: ['one', 'two'], maxRetries: 0 });
    same(embeddings.map((vector) => vector.length > 1), [true, true], 'vectors');
  }
}

class OpenAiResponses extends Models {
  name = 'gpt-4.1-mini';
  thinks = {
    model: 'gpt-5-mini', maxOutputTokens: 4000,
    providerOptions: {
      openai: {
        reasoningEffort: 'low', reasoningSummary: 'auto', store: false, include: ['reasoning.encrypted_content'],
      },
    },
  };

  constructor(proxy, to) {
    super();
    this.provider = createOpenAI({ baseURL: `${proxy}/v1`, apiKey: to.key });
  }

  model(name) {
    return this.provider.responses(name);
  }

  // With `store` it would refer to earlier items by their ids, and those are known to OpenAI alone.
  asked(prompt, more) {
    return super.asked(prompt, { providerOptions: { openai: { store: false } }, ...more });
  }
}

class Anthropic extends StopsAndSeeds {
  name = 'claude-sonnet-4-5';
  thinks = {
    maxOutputTokens: 4000, providerOptions: { anthropic: { thinking: { type: 'enabled', budgetTokens: 1024 } } },
  };

  constructor(proxy, to) {
    super();
    this.provider = createAnthropic({ baseURL: `${proxy}/v1`, apiKey: to.key });
  }

  model(name) {
    return this.provider(name);
  }
}

class Google extends StopsAndSeeds {
  name = 'gemini-2.5-flash';
  thinks = {
    maxOutputTokens: 4000,
    providerOptions: { google: { thinkingConfig: { includeThoughts: true, thinkingBudget: 1024 } } },
  };

  constructor(proxy, to) {
    super();
    this.provider = createGoogleGenerativeAI({ baseURL: `${proxy}/v1beta`, apiKey: to.key });
  }

  model(name) {
    return this.provider(name);
  }

  async seed(to) {
    same((await this.ask(GREETING, { seed: 7 })).text, ECHO, 'text');
    await to.simulator.wasTold('7', 'seed', 'random_seed');
  }
}
