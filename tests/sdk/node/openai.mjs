// The official `openai` package: chat completions, embeddings, and Responses.

import OpenAI from 'openai';

import {
  BOTH_QUESTION, ECHO, GREETING, IMAGE, PARAMETERS, PLACE, STOCK, SYSTEM, THOUGHT, WEATHER, WEATHER_QUESTION,
  among, callsAre, collected, holds, major, raises, same,
} from './kit.mjs';

export async function callers() {
  const version = await major('openai');
  return [
    { title: `openai ${version}, chat completions (JavaScript)`, Caller: Chat },
    { title: `openai ${version}, Responses (JavaScript)`, Caller: Responses },
  ];
}

const user = (content) => [{ role: 'user', content }];

class Client {
  model = 'gpt-4.1-mini';

  constructor(proxy, to) {
    const make = (apiKey) => new OpenAI({ baseURL: `${proxy}/v1`, apiKey, maxRetries: 0, timeout: 20_000 });
    [this.client, this.stranger] = [make(to.key), make('fd_' + 'A'.repeat(43))];
  }

  async unknown_model() {
    const error = await raises(OpenAI.NotFoundError, () => this.ask(GREETING, { model: 'gpt-4.1-min' }));
    same(error.code, 'unknown_model', 'code');
  }

  async wrong_key() {
    const right = this.client;
    this.client = this.stranger;
    try {
      same((await raises(OpenAI.AuthenticationError, () => this.ask())).code, 'invalid_key', 'code');
    } finally {
      this.client = right;
    }
  }

  async rate_limited(to) {
    await to.simulator.behaves({ status: 429, retry_after: 7 });
    const error = await raises(OpenAI.RateLimitError, () => this.ask(GREETING, { model: to.failing('limited') }));
    among(error.headers.get('retry-after'), ['6', '7'], 'retry-after');
  }

  async provider_error(to) {
    await to.simulator.behaves({ status: 500 });
    const error = await raises(OpenAI.InternalServerError, () => this.ask(GREETING, { model: to.failing('broken') }));
    same(error.headers.get('x-should-retry'), 'false', 'x-should-retry');
  }

  async models() {
    const names = (await collected(this.client.models.list())).map((model) => model.id);
    holds(names.includes(this.model), 'the model is not in the list');
  }
}

const chatTool = (offer) => ({ type: 'function', function: offer });
const chatMade = (message) => (message.tool_calls ?? []).map((call) => [call.function.name, call.function.arguments]);
const CHAT_THINKING = { model: 'gpt-5-mini', reasoning_effort: 'low', max_completion_tokens: 4000 };

class Chat extends Client {
  ask(content = GREETING, more = {}) {
    const asked = { model: this.model, messages: user(content), max_completion_tokens: 400, ...more };
    return this.client.chat.completions.create(asked);
  }

  /** The answer that the SDK puts together, and the chunks it came in. */
  async streamed(content = GREETING, more = {}) {
    const asked = { model: this.model, messages: user(content), max_completion_tokens: 400, ...more };
    const stream = this.client.chat.completions.stream({ ...asked, stream_options: { include_usage: true } });
    const chunks = await collected(stream);
    return [await stream.finalChatCompletion(), chunks];
  }

  async text() {
    const [choice] = (await this.ask()).choices;
    same([choice.message.content, choice.finish_reason], [ECHO, 'stop'], 'text and finish reason');
  }

  async streamed_text() {
    const [answer, chunks] = await this.streamed();
    same([answer.choices[0].message.content, answer.choices[0].finish_reason], [ECHO, 'stop'], 'text and finish reason');
    holds(chunks.filter((chunk) => chunk.choices[0]?.delta.content).length > 1, 'the text came in one piece');
  }

  async system_prompt(to) {
    const answer = await this.ask(GREETING, { messages: [{ role: 'system', content: SYSTEM }, ...user(GREETING)] });
    same(answer.choices[0].message.content, ECHO, 'text');
    await to.simulator.systemWas(SYSTEM);
  }

  async usage(to) {
    const { usage } = await this.ask();
    await to.simulator.usageIs(usage.prompt_tokens, usage.completion_tokens);
  }

  async streamed_usage(to) {
    const [{ usage }] = await this.streamed();
    await to.simulator.usageIs(usage.prompt_tokens, usage.completion_tokens);
  }

  async tool_call() {
    const [choice] = (await this.ask(WEATHER_QUESTION, { tools: [chatTool(WEATHER)] })).choices;
    callsAre(chatMade(choice.message), 'get_weather');
    same(choice.finish_reason, 'tool_calls', 'finish reason');
  }

  async streamed_tool_call() {
    const [answer] = await this.streamed(WEATHER_QUESTION, { tools: [chatTool(WEATHER)] });
    callsAre(chatMade(answer.choices[0].message), 'get_weather');
    same(answer.choices[0].finish_reason, 'tool_calls', 'finish reason');
  }

  async parallel_tools() {
    const tools = [chatTool(WEATHER), chatTool(STOCK)];
    const [streamed] = await this.streamed(BOTH_QUESTION, { tools });
    for (const answer of [await this.ask(BOTH_QUESTION, { tools }), streamed]) {
      callsAre(chatMade(answer.choices[0].message), 'get_weather', 'get_stock');
      same(new Set(answer.choices[0].message.tool_calls.map((call) => call.id)).size, 2, 'different ids');
    }
  }

  async replay(question, offers, more = {}) {
    const tools = offers.map(chatTool);
    const { message } = (await this.ask(question, { tools, ...more })).choices[0];
    const results = message.tool_calls.map((call, index) => ({
      role: 'tool', tool_call_id: call.id, content: ['sunny', 'seven'][index],
    }));
    const messages = [...user(question), message, ...results];
    return (await this.ask(question, { tools, ...more, messages })).choices[0].message.content;
  }

  async tool_result(to) {
    const text = await this.replay(BOTH_QUESTION, [WEATHER, STOCK]);
    holds(text.includes('seven'), `the result is not in ${text}`);
    await to.simulator.saw('sunny');
  }

  async choose(tool_choice, question, ...offers) {
    const answer = await this.ask(question, { tools: offers.map(chatTool), tool_choice });
    return chatMade(answer.choices[0].message);
  }

  async tool_choice_required() {
    callsAre(await this.choose('required', GREETING, WEATHER), 'get_weather');
  }

  async tool_choice_named() {
    const choice = { type: 'function', function: { name: 'get_stock' } };
    callsAre(await this.choose(choice, WEATHER_QUESTION, WEATHER, STOCK), 'get_stock');
  }

  async tool_choice_none() {
    callsAre(await this.choose('none', WEATHER_QUESTION, WEATHER));
  }

  async structured_output() {
    const response_format = { type: 'json_schema', json_schema: { name: 'place', strict: true, schema: PARAMETERS } };
    const answer = await this.client.chat.completions.parse({
      model: this.model, messages: user('Where is it?'), response_format,
    });
    same(JSON.parse(answer.choices[0].message.content), PLACE, 'JSON');
  }

  async image_input(to) {
    const image = { type: 'image_url', image_url: { url: `data:image/png;base64,${IMAGE}` } };
    const answer = await this.ask([{ type: 'text', text: GREETING }, image]);
    same(answer.choices[0].message.content, ECHO, 'text');
    await to.simulator.saw(IMAGE);
  }

  async thinking(to) {
    const { choices, usage } = await this.ask(GREETING, CHAT_THINKING);
    same(choices[0].message.content, ECHO, 'text');
    await to.simulator.usageIs(usage.prompt_tokens, usage.completion_tokens);
    if (to.shows_unasked) same(choices[0].message.reasoning_content, THOUGHT, 'reasoning_content');
  }

  async streamed_thinking(to) {
    const chunks = await collected(await this.ask(GREETING, { ...CHAT_THINKING, stream: true }));
    const joined = (name) => chunks.map((chunk) => chunk.choices[0]?.delta[name] ?? '').join('');
    same(joined('content'), ECHO, 'text');
    if (to.shows_unasked) same(joined('reasoning_content'), THOUGHT, 'reasoning_content');
  }

  async thinking_replayed() {
    const text = await this.replay(WEATHER_QUESTION, [WEATHER], CHAT_THINKING);
    holds(text.includes('sunny'), `the result is not in ${text}`);
  }

  async cached_tokens(to) {
    await to.simulator.behaves({ cached_tokens: 64 });
    same((await this.ask()).usage.prompt_tokens_details.cached_tokens, 64, 'cached tokens');
  }

  async stop_sequences() {
    const [choice] = (await this.ask('one two three', { stop: ['three'] })).choices;
    same([choice.message.content.trimEnd(), choice.finish_reason], ['You said: one two', 'stop'], 'text and reason');
  }

  async max_tokens(to) {
    await to.simulator.behaves({ tokens: 60 });
    const answer = await this.ask(GREETING, { max_completion_tokens: 20 });
    same([answer.choices[0].finish_reason, answer.usage.completion_tokens], ['length', 20], 'finish reason and tokens');
  }

  async several_choices() {
    same((await this.ask(GREETING, { n: 2 })).choices.map((choice) => choice.message.content), [ECHO, ECHO], 'choices');
  }

  async logprobs() {
    const answer = await this.ask(GREETING, { logprobs: true, top_logprobs: 2 });
    same(answer.choices[0].logprobs.content.map((token) => token.token).join(''), ECHO, 'tokens');
  }

  async seed(to) {
    same((await this.ask(GREETING, { seed: 7 })).choices[0].message.content, ECHO, 'text');
    await to.simulator.wasTold('7', 'seed', 'random_seed');
  }

  async embeddings() {
    const answer = await this.client.embeddings.create({ model: 'text-embedding-3-small', input: ['one', 'two'] });
    same(answer.data.map((row) => row.embedding.length > 1), [true, true], 'vectors');
  }

  async refusal(to) {
    await to.simulator.behaves({ stop_reason: to.refusal });
    same((await this.ask()).choices[0].finish_reason, 'content_filter', 'finish reason');
    const chunks = await collected(await this.ask(GREETING, { stream: true }));
    const reasons = chunks.map((chunk) => chunk.choices[0]?.finish_reason).filter(Boolean);
    same(reasons, ['content_filter'], 'finish reason of the stream');
  }

  async error_in_stream(to) {
    await to.simulator.behaves({ error_after: 4, tokens: 60 });
    await raises(OpenAI.APIError, async () => collected(await this.ask(GREETING, { model: to.failing('cut'), stream: true })));
  }
}

const responsesTool = (offer) => ({ type: 'function', strict: true, ...offer });
const calls = (answer) => answer.output.filter((item) => item.type === 'function_call');
const responsesMade = (answer) => calls(answer).map((call) => [call.name, call.arguments]);
const thoughts = (answer) =>
  answer.output.filter((item) => item.type === 'reasoning').flatMap((item) => item.summary.map((one) => one.text)).join('');
const RESPONSES_THINKING = {
  model: 'gpt-5-mini', reasoning: { effort: 'low', summary: 'auto' }, max_output_tokens: 4000,
  include: ['reasoning.encrypted_content'],
};

class Responses extends Client {
  asked(content, more) {
    return { model: this.model, input: user(content), max_output_tokens: 400, store: false, ...more };
  }

  ask(content = GREETING, more = {}) {
    return this.client.responses.create(this.asked(content, more));
  }

  async streamed(content = GREETING, more = {}) {
    const stream = this.client.responses.stream(this.asked(content, more));
    const events = await collected(stream);
    return [await stream.finalResponse(), events];
  }

  async text() {
    const answer = await this.ask();
    same([answer.output_text, answer.status], [ECHO, 'completed'], 'text and status');
  }

  async streamed_text() {
    const [answer, events] = await this.streamed();
    const pieces = events.filter((event) => event.type === 'response.output_text.delta').map((event) => event.delta);
    same([pieces.join(''), answer.output_text], [ECHO, ECHO], 'text');
    holds(pieces.length > 1, 'the text came in one piece');
  }

  async system_prompt(to) {
    same((await this.ask(GREETING, { instructions: SYSTEM })).output_text, ECHO, 'text');
    await to.simulator.systemWas(SYSTEM);
  }

  async usage(to) {
    const { usage } = await this.ask();
    await to.simulator.usageIs(usage.input_tokens, usage.output_tokens);
  }

  async streamed_usage(to) {
    const [{ usage }] = await this.streamed();
    await to.simulator.usageIs(usage.input_tokens, usage.output_tokens);
  }

  async tool_call() {
    callsAre(responsesMade(await this.ask(WEATHER_QUESTION, { tools: [responsesTool(WEATHER)] })), 'get_weather');
  }

  async streamed_tool_call() {
    const [answer] = await this.streamed(WEATHER_QUESTION, { tools: [responsesTool(WEATHER)] });
    callsAre(responsesMade(answer), 'get_weather');
  }

  async parallel_tools() {
    const tools = [responsesTool(WEATHER), responsesTool(STOCK)];
    const [streamed] = await this.streamed(BOTH_QUESTION, { tools });
    for (const answer of [await this.ask(BOTH_QUESTION, { tools }), streamed]) {
      callsAre(responsesMade(answer), 'get_weather', 'get_stock');
      same(new Set(calls(answer).map((call) => call.call_id)).size, 2, 'different ids');
    }
  }

  async replay(question, offers, more = {}) {
    const tools = offers.map(responsesTool);
    const first = await this.ask(question, { tools, ...more });
    const results = calls(first).map((call, index) => ({
      type: 'function_call_output', call_id: call.call_id, output: ['sunny', 'seven'][index],
    }));
    const input = [...user(question), ...first.output, ...results];
    return (await this.ask(question, { tools, ...more, input })).output_text;
  }

  async tool_result(to) {
    const text = await this.replay(BOTH_QUESTION, [WEATHER, STOCK]);
    holds(text.includes('seven'), `the result is not in ${text}`);
    await to.simulator.saw('sunny');
  }

  async choose(tool_choice, question, ...offers) {
    return responsesMade(await this.ask(question, { tools: offers.map(responsesTool), tool_choice }));
  }

  async tool_choice_required() {
    callsAre(await this.choose('required', GREETING, WEATHER), 'get_weather');
  }

  async tool_choice_named() {
    callsAre(await this.choose({ type: 'function', name: 'get_stock' }, WEATHER_QUESTION, WEATHER, STOCK), 'get_stock');
  }

  async tool_choice_none() {
    callsAre(await this.choose('none', WEATHER_QUESTION, WEATHER));
  }

  async structured_output() {
    const text = { format: { type: 'json_schema', name: 'place', strict: true, schema: PARAMETERS } };
    same(JSON.parse((await this.ask('Where is it?', { text })).output_text), PLACE, 'JSON');
  }

  async image_input(to) {
    const image = { type: 'input_image', image_url: `data:image/png;base64,${IMAGE}`, detail: 'auto' };
    same((await this.ask([{ type: 'input_text', text: GREETING }, image])).output_text, ECHO, 'text');
    await to.simulator.saw(IMAGE);
  }

  async thinking(to) {
    const answer = await this.ask(GREETING, RESPONSES_THINKING);
    same(answer.output_text, ECHO, 'text');
    await to.simulator.usageIs(answer.usage.input_tokens, answer.usage.output_tokens);
    if (to.shows_thoughts) same(thoughts(answer), THOUGHT, 'summary');
  }

  async streamed_thinking(to) {
    const [answer] = await this.streamed(GREETING, RESPONSES_THINKING);
    same(answer.output_text, ECHO, 'text');
    if (to.shows_thoughts) same(thoughts(answer), THOUGHT, 'summary');
  }

  async thinking_replayed(to) {
    const text = await this.replay(WEATHER_QUESTION, [WEATHER], RESPONSES_THINKING);
    holds(text.includes('sunny'), `the result is not in ${text}`);
    if (to.signature) await to.simulator.saw(to.signature);
  }

  async cached_tokens(to) {
    await to.simulator.behaves({ cached_tokens: 64 });
    same((await this.ask()).usage.input_tokens_details.cached_tokens, 64, 'cached tokens');
  }

  async max_tokens(to) {
    await to.simulator.behaves({ tokens: 60 });
    const answer = await this.ask(GREETING, { max_output_tokens: 20 });
    same([answer.status, answer.incomplete_details?.reason], ['incomplete', 'max_output_tokens'], 'status');
  }

  async refusal(to) {
    await to.simulator.behaves({ stop_reason: to.refusal });
    const answer = await this.ask();
    same([answer.status, answer.incomplete_details?.reason], ['incomplete', 'content_filter'], 'status');
  }

  async error_in_stream(to) {
    await to.simulator.behaves({ error_after: 4, tokens: 60 });
    await raises(OpenAI.APIError, async () => {
      const events = await collected(await this.ask(GREETING, { model: to.failing('cut'), stream: true }));
      // Some errors end the answer instead of the stream.
      if (['response.failed', 'error'].includes(events.at(-1).type)) throw new OpenAI.APIError(undefined, {}, 'failed');
    });
  }
}
