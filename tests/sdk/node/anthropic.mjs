// The official `@anthropic-ai/sdk` package: messages and count_tokens.

import Anthropic from '@anthropic-ai/sdk';

import {
  BOTH_QUESTION, ECHO, GREETING, IMAGE, PARAMETERS, PLACE, STOCK, SYSTEM, THOUGHT, WEATHER, WEATHER_QUESTION,
  among, callsAre, collected, holds, major, raises, same,
} from './kit.mjs';

export async function callers() {
  return [{ title: `@anthropic-ai/sdk ${await major('@anthropic-ai/sdk')} (JavaScript)`, Caller: Messages }];
}

const user = (content) => [{ role: 'user', content }];
const tool = ({ name, description, parameters }) => ({ name, description, input_schema: parameters });
const of = (answer, type) => answer.content.filter((block) => block.type === type);
const said = (answer) => of(answer, 'text').map((block) => block.text).join('');
const made = (answer) => of(answer, 'tool_use').map((block) => [block.name, block.input]);
const thoughts = (answer) => of(answer, 'thinking').map((block) => block.thinking);
const total = (usage) =>
  usage.input_tokens + (usage.cache_read_input_tokens ?? 0) + (usage.cache_creation_input_tokens ?? 0);
const THINKING = { thinking: { type: 'enabled', budget_tokens: 1024 }, max_tokens: 4000 };

class Messages {
  model = 'claude-sonnet-4-5';

  constructor(proxy, to) {
    const make = (apiKey) => new Anthropic({ baseURL: proxy, apiKey, maxRetries: 0, timeout: 20_000 });
    [this.client, this.stranger] = [make(to.key), make('fd_' + 'A'.repeat(43))];
  }

  asked(content, more) {
    return { model: this.model, max_tokens: 400, messages: user(content), ...more };
  }

  ask(content = GREETING, more = {}) {
    return this.client.messages.create(this.asked(content, more));
  }

  async streamed(content = GREETING, more = {}) {
    const stream = this.client.messages.stream(this.asked(content, more));
    let pieces = 0;
    stream.on('text', () => (pieces += 1));
    return [await stream.finalMessage(), pieces];
  }

  async text() {
    const answer = await this.ask();
    same([said(answer), answer.stop_reason], [ECHO, 'end_turn'], 'text and stop reason');
  }

  async streamed_text() {
    const [answer, pieces] = await this.streamed();
    same([said(answer), answer.stop_reason], [ECHO, 'end_turn'], 'text and stop reason');
    holds(pieces > 1, 'the text came in one piece');
  }

  async system_prompt(to) {
    same(said(await this.ask(GREETING, { system: SYSTEM })), ECHO, 'text');
    await to.simulator.systemWas(SYSTEM);
  }

  async usage(to) {
    const { usage } = await this.ask();
    await to.simulator.usageIs(total(usage), usage.output_tokens);
  }

  async streamed_usage(to) {
    const [{ usage }] = await this.streamed();
    await to.simulator.usageIs(total(usage), usage.output_tokens);
  }

  async tool_call() {
    const answer = await this.ask(WEATHER_QUESTION, { tools: [tool(WEATHER)] });
    callsAre(made(answer), 'get_weather');
    same(answer.stop_reason, 'tool_use', 'stop reason');
  }

  async streamed_tool_call() {
    const [answer] = await this.streamed(WEATHER_QUESTION, { tools: [tool(WEATHER)] });
    callsAre(made(answer), 'get_weather');
    same(answer.stop_reason, 'tool_use', 'stop reason');
  }

  async parallel_tools() {
    const tools = [tool(WEATHER), tool(STOCK)];
    const [streamed] = await this.streamed(BOTH_QUESTION, { tools });
    for (const answer of [await this.ask(BOTH_QUESTION, { tools }), streamed]) {
      callsAre(made(answer), 'get_weather', 'get_stock');
      same(new Set(of(answer, 'tool_use').map((block) => block.id)).size, 2, 'different ids');
    }
  }

  async replay(question, offers, more = {}) {
    const tools = offers.map(tool);
    const first = await this.ask(question, { tools, ...more });
    const results = of(first, 'tool_use').map((use, index) => ({
      type: 'tool_result', tool_use_id: use.id, content: ['sunny', 'seven'][index],
    }));
    const messages = [...user(question), { role: 'assistant', content: first.content }, ...user(results)];
    return said(await this.ask(question, { tools, ...more, messages }));
  }

  async tool_result(to) {
    const text = await this.replay(BOTH_QUESTION, [WEATHER, STOCK]);
    holds(text.includes('seven'), `the result is not in ${text}`);
    await to.simulator.saw('sunny');
  }

  async choose(tool_choice, question, ...offers) {
    return made(await this.ask(question, { tools: offers.map(tool), tool_choice }));
  }

  async tool_choice_required() {
    callsAre(await this.choose({ type: 'any' }, GREETING, WEATHER), 'get_weather');
  }

  async tool_choice_named() {
    callsAre(await this.choose({ type: 'tool', name: 'get_stock' }, WEATHER_QUESTION, WEATHER, STOCK), 'get_stock');
  }

  async tool_choice_none() {
    callsAre(await this.choose({ type: 'none' }, WEATHER_QUESTION, WEATHER));
  }

  async structured_output() {
    const output_config = { format: { type: 'json_schema', schema: PARAMETERS } };
    same(JSON.parse(said(await this.ask('Where is it?', { output_config }))), PLACE, 'JSON');
  }

  async image_input(to) {
    const image = { type: 'image', source: { type: 'base64', media_type: 'image/png', data: IMAGE } };
    same(said(await this.ask([{ type: 'text', text: GREETING }, image])), ECHO, 'text');
    await to.simulator.saw(IMAGE);
  }

  async thinking(to) {
    const answer = await this.ask(GREETING, THINKING);
    same(said(answer), ECHO, 'text');
    await to.simulator.usageIs(total(answer.usage), answer.usage.output_tokens);
    if (to.shows_thoughts) same(thoughts(answer), [THOUGHT], 'thinking');
  }

  async streamed_thinking(to) {
    const [answer] = await this.streamed(GREETING, THINKING);
    same(said(answer), ECHO, 'text');
    if (to.shows_thoughts) same(thoughts(answer), [THOUGHT], 'thinking');
  }

  async thinking_replayed(to) {
    const text = await this.replay(WEATHER_QUESTION, [WEATHER], THINKING);
    holds(text.includes('sunny'), `the result is not in ${text}`);
    if (to.signature) await to.simulator.saw(to.signature);
  }

  async cached_tokens(to) {
    await to.simulator.behaves({ cached_tokens: 64 });
    same((await this.ask()).usage.cache_read_input_tokens, 64, 'cached tokens');
  }

  async stop_sequences() {
    const answer = await this.ask('one two three', { stop_sequences: ['three'] });
    same(said(answer).trimEnd(), 'You said: one two', 'text');
    among(answer.stop_reason, ['stop_sequence', 'end_turn'], 'stop reason');
  }

  async max_tokens(to) {
    await to.simulator.behaves({ tokens: 60 });
    const answer = await this.ask(GREETING, { max_tokens: 20 });
    same([answer.stop_reason, answer.usage.output_tokens], ['max_tokens', 20], 'stop reason and tokens');
  }

  async count_tokens() {
    const counted = await this.client.messages.countTokens({ model: this.model, messages: user(GREETING) });
    same(counted.input_tokens, total((await this.ask()).usage), 'counted and used');
  }

  async models() {
    const names = (await collected(this.client.models.list())).map((model) => model.id);
    holds(names.includes(this.model), 'the model is not in the list');
  }

  async wrong_key() {
    const error = await raises(Anthropic.AuthenticationError, () => this.stranger.messages.create(this.asked(GREETING, {})));
    same(error.error.error.type, 'authentication_error', 'error');
  }

  async unknown_model() {
    const error = await raises(Anthropic.NotFoundError, () => this.ask(GREETING, { model: 'claude-sonnet-4' }));
    same(error.error.error.type, 'not_found_error', 'error');
  }

  async rate_limited(to) {
    await to.simulator.behaves({ status: 429, retry_after: 7 });
    const error = await raises(Anthropic.RateLimitError, () => this.ask(GREETING, { model: to.failing('limited') }));
    among(error.headers.get('retry-after'), ['6', '7'], 'retry-after');
  }

  async provider_error(to) {
    await to.simulator.behaves({ status: 500 });
    const error = await raises(Anthropic.InternalServerError, () => this.ask(GREETING, { model: to.failing('broken') }));
    same(error.headers.get('x-should-retry'), 'false', 'x-should-retry');
  }

  async refusal(to) {
    await to.simulator.behaves({ stop_reason: to.refusal });
    same((await this.ask()).stop_reason, 'refusal', 'stop reason');
    same((await this.streamed())[0].stop_reason, 'refusal', 'stop reason of the stream');
  }

  async error_in_stream(to) {
    await to.simulator.behaves({ error_after: 4, tokens: 60 });
    await raises(Anthropic.AnthropicError, () => this.streamed(GREETING, { model: to.failing('cut') }));
  }
}
