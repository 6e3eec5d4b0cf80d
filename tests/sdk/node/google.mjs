// The official `@google/genai` package: generateContent, its stream, countTokens and embedContent.

import { ApiError, FunctionCallingConfigMode, GoogleGenAI } from '@google/genai';

import {
  BOTH_QUESTION, ECHO, GREETING, IMAGE, PARAMETERS, PLACE, STOCK, SYSTEM, THOUGHT, WEATHER, WEATHER_QUESTION,
  among, callsAre, collected, holds, major, raises, same,
} from './kit.mjs';

export async function callers() {
  return [{ title: `@google/genai ${await major('@google/genai')} (JavaScript)`, Caller: Generate }];
}

const tools = (...offers) => [
  {
    functionDeclarations: offers.map(({ name, description, parameters }) => ({
      name, description, parametersJsonSchema: parameters,
    })),
  },
];
const choice = (mode, ...allowedFunctionNames) => ({
  functionCallingConfig: allowedFunctionNames.length ? { mode, allowedFunctionNames } : { mode },
});
const parts = (answer) => answer.candidates?.[0]?.content?.parts ?? [];
const joined = (answers, isThought) =>
  answers.flatMap(parts).filter((part) => Boolean(part.thought) === isThought).map((part) => part.text ?? '').join('');
const callsOf = (answers) => answers.flatMap(parts).filter((part) => part.functionCall).map((part) => part.functionCall);
const made = (...answers) => callsOf(answers).map((call) => [call.name, call.args]);
const counts = (usage) => [usage.promptTokenCount, (usage.candidatesTokenCount ?? 0) + (usage.thoughtsTokenCount ?? 0)];
const THINKING = { thinkingConfig: { includeThoughts: true, thinkingBudget: 1024 }, maxOutputTokens: 4000 };
const BLOCKED = ['SAFETY', 'PROHIBITED_CONTENT'];

class Generate {
  model = 'gemini-2.5-flash';

  constructor(proxy, to) {
    const httpOptions = { baseUrl: proxy, timeout: 20_000 };
    const make = (apiKey) => new GoogleGenAI({ apiKey, httpOptions });
    [this.client, this.stranger] = [make(to.key), make('fd_' + 'A'.repeat(43))];
  }

  asked(contents, more, model) {
    return { model: model ?? this.model, contents, config: { maxOutputTokens: 400, ...more } };
  }

  ask(contents = GREETING, more = {}, model = undefined) {
    return this.client.models.generateContent(this.asked(contents, more, model));
  }

  async streamed(contents = GREETING, more = {}, model = undefined) {
    return collected(await this.client.models.generateContentStream(this.asked(contents, more, model)));
  }

  async text() {
    const answer = await this.ask();
    same([answer.text, answer.candidates[0].finishReason], [ECHO, 'STOP'], 'text and finish reason');
  }

  async streamed_text() {
    const chunks = await this.streamed();
    same([joined(chunks, false), chunks.at(-1).candidates[0].finishReason], [ECHO, 'STOP'], 'text and finish reason');
    holds(chunks.filter((chunk) => chunk.text).length > 1, 'the text came in one piece');
  }

  async system_prompt(to) {
    same((await this.ask(GREETING, { systemInstruction: SYSTEM })).text, ECHO, 'text');
    await to.simulator.systemWas(SYSTEM);
  }

  async usage(to) {
    await to.simulator.usageIs(...counts((await this.ask()).usageMetadata));
  }

  async streamed_usage(to) {
    await to.simulator.usageIs(...counts((await this.streamed()).at(-1).usageMetadata));
  }

  async tool_call() {
    callsAre(made(await this.ask(WEATHER_QUESTION, { tools: tools(WEATHER) })), 'get_weather');
  }

  async streamed_tool_call() {
    callsAre(made(...(await this.streamed(WEATHER_QUESTION, { tools: tools(WEATHER) }))), 'get_weather');
  }

  async parallel_tools() {
    const asked = { tools: tools(WEATHER, STOCK) };
    callsAre(made(await this.ask(BOTH_QUESTION, asked)), 'get_weather', 'get_stock');
    callsAre(made(...(await this.streamed(BOTH_QUESTION, asked))), 'get_weather', 'get_stock');
  }

  async replay(question, offers, more = {}) {
    const asked = { tools: tools(...offers), ...more };
    const first = await this.ask(question, asked);
    const results = callsOf([first]).map((call, index) => ({
      functionResponse: { name: call.name, id: call.id, response: { result: ['sunny', 'seven'][index] } },
    }));
    const contents = [
      { role: 'user', parts: [{ text: question }] },
      first.candidates[0].content,
      { role: 'user', parts: results },
    ];
    return joined([await this.ask(contents, asked)], false);
  }

  async tool_result(to) {
    const text = await this.replay(BOTH_QUESTION, [WEATHER, STOCK]);
    holds(text.includes('seven'), `the result is not in ${text}`);
    await to.simulator.saw('sunny');
  }

  async choose(toolConfig, question, ...offers) {
    return made(await this.ask(question, { tools: tools(...offers), toolConfig }));
  }

  async tool_choice_required() {
    callsAre(await this.choose(choice(FunctionCallingConfigMode.ANY), GREETING, WEATHER), 'get_weather');
  }

  async tool_choice_named() {
    const named = choice(FunctionCallingConfigMode.ANY, 'get_stock');
    callsAre(await this.choose(named, WEATHER_QUESTION, WEATHER, STOCK), 'get_stock');
  }

  async tool_choice_none() {
    callsAre(await this.choose(choice(FunctionCallingConfigMode.NONE), WEATHER_QUESTION, WEATHER));
  }

  async structured_output() {
    const asked = { responseMimeType: 'application/json', responseJsonSchema: PARAMETERS };
    same(JSON.parse((await this.ask('Where is it?', asked)).text), PLACE, 'JSON');
  }

  async image_input(to) {
    const image = { inlineData: { data: IMAGE, mimeType: 'image/png' } };
    same((await this.ask([{ text: GREETING }, image])).text, ECHO, 'text');
    await to.simulator.saw(IMAGE);
  }

  async thinking(to) {
    const answer = await this.ask(GREETING, THINKING);
    same(joined([answer], false), ECHO, 'text');
    await to.simulator.usageIs(...counts(answer.usageMetadata));
    if (to.shows_thoughts) same(joined([answer], true), THOUGHT, 'thought');
  }

  async streamed_thinking(to) {
    const chunks = await this.streamed(GREETING, THINKING);
    same(joined(chunks, false), ECHO, 'text');
    if (to.shows_thoughts) same(joined(chunks, true), THOUGHT, 'thought');
  }

  async thinking_replayed(to) {
    const text = await this.replay(WEATHER_QUESTION, [WEATHER], THINKING);
    holds(text.includes('sunny'), `the result is not in ${text}`);
    if (to.signature) await to.simulator.saw(to.signature);
  }

  async cached_tokens(to) {
    await to.simulator.behaves({ cached_tokens: 64 });
    same((await this.ask()).usageMetadata.cachedContentTokenCount, 64, 'cached tokens');
  }

  async stop_sequences() {
    const answer = await this.ask('one two three', { stopSequences: ['three'] });
    same([answer.text.trimEnd(), answer.candidates[0].finishReason], ['You said: one two', 'STOP'], 'text and reason');
  }

  async max_tokens(to) {
    await to.simulator.behaves({ tokens: 60 });
    const answer = await this.ask(GREETING, { maxOutputTokens: 20 });
    const seen = [answer.candidates[0].finishReason, answer.usageMetadata.candidatesTokenCount];
    same(seen, ['MAX_TOKENS', 20], 'finish reason and tokens');
  }

  async several_choices() {
    const answer = await this.ask(GREETING, { candidateCount: 2 });
    same(answer.candidates.map((candidate) => candidate.content.parts[0].text), [ECHO, ECHO], 'candidates');
  }

  async seed(to) {
    same((await this.ask(GREETING, { seed: 7 })).text, ECHO, 'text');
    await to.simulator.wasTold('7', 'seed', 'random_seed');
  }

  async embeddings() {
    const answer = await this.client.models.embedContent({ model: 'gemini-embedding-001', contents: ['one', 'two'] });
    same(answer.embeddings.map((row) => row.values.length > 1), [true, true], 'vectors');
  }

  async count_tokens() {
    const counted = await this.client.models.countTokens({ model: this.model, contents: GREETING });
    same(counted.totalTokens, (await this.ask()).usageMetadata.promptTokenCount, 'counted and used');
  }

  async wrong_key() {
    const asked = { model: this.model, contents: GREETING };
    const error = await raises(ApiError, () => this.stranger.models.generateContent(asked));
    same(error.status, 401, 'status');
  }

  async unknown_model() {
    same((await raises(ApiError, () => this.ask(GREETING, {}, 'gemini-2.5-flas'))).status, 404, 'status');
  }

  async rate_limited(to) {
    await to.simulator.behaves({ status: 429, retry_after: 7 });
    same((await raises(ApiError, () => this.ask(GREETING, {}, to.failing('limited')))).status, 429, 'status');
  }

  async provider_error(to) {
    await to.simulator.behaves({ status: 500 });
    const error = await raises(ApiError, () => this.ask(GREETING, {}, to.failing('broken')));
    holds(error.status >= 500, `status ${error.status}`);
  }

  async refusal(to) {
    await to.simulator.behaves({ stop_reason: to.refusal });
    among((await this.ask()).candidates[0].finishReason, BLOCKED, 'finish reason');
    among((await this.streamed()).at(-1).candidates[0].finishReason, BLOCKED, 'finish reason of the stream');
  }

  async error_in_stream(to) {
    await to.simulator.behaves({ error_after: 4, tokens: 60 });
    await raises(Error, () => this.streamed(GREETING, {}, to.failing('cut')));
  }
}
