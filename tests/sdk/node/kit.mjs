// What all JavaScript callers of the matrix share; the same questions and the same rules as in ../matrix/kit.py.

import http from 'node:http';
import { isDeepStrictEqual } from 'node:util';

export const GREETING = 'good day';
export const ECHO = 'You said: good day';
export const SYSTEM = 'Answer as briefly as a telegram.';
export const WEATHER_QUESTION = 'What is the weather in Oslo?';
export const BOTH_QUESTION = 'What is the weather in Oslo, and the stock of lamps?';
export const THOUGHT = 'Let me see what was asked and then answer it.';

export const PARAMETERS = {
  type: 'object',
  properties: { city: { type: 'string' }, days: { type: 'integer' } },
  required: ['city', 'days'],
  additionalProperties: false,
};
const STOCK_PARAMETERS = {
  type: 'object',
  properties: { article: { type: 'string' } },
  required: ['article'],
  additionalProperties: false,
};
export const WEATHER = { name: 'get_weather', description: 'The weather in a city', parameters: PARAMETERS };
export const STOCK = { name: 'get_stock', description: 'How many of an article are in stock', parameters: STOCK_PARAMETERS };
const ARGUMENTS = { get_weather: { city: 'city', days: 1 }, get_stock: { article: 'article' } };
export const PLACE = { city: 'city', days: 1 };

// One red pixel.
export const IMAGE =
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg==';

/** What was seen is not what must be seen. */
export class Different extends Error {}

export function short(value) {
  const text = typeof value === 'string' ? value : (JSON.stringify(value) ?? String(value));
  return text.length <= 160 ? text : text.slice(0, 157) + '...';
}

export function same(seen, wanted, what = 'seen') {
  if (!isDeepStrictEqual(seen, wanted)) throw new Different(`${what}: ${short(seen)}, not ${short(wanted)}`);
}

export function among(seen, wanted, what = 'seen') {
  if (!wanted.includes(seen)) throw new Different(`${what}: ${short(seen)}, not one of ${short(wanted)}`);
}

export function holds(isSo, what) {
  if (!isSo) throw new Different(what);
}

/** The error that `act` raises, which must be of this kind. */
export async function raises(kind, act) {
  try {
    await act();
  } catch (error) {
    if (error instanceof kind) return error;
    throw error;
  }
  throw new Different(`no ${kind.name} was raised`);
}

/** `calls` are [name, arguments] and just those of `names`, with the arguments that the simulator makes. */
export function callsAre(calls, ...names) {
  same(calls.map(([name]) => name), names, 'tools called');
  for (const [name, given] of calls) {
    const read = typeof given === 'string' ? JSON.parse(given) : { ...given };
    same(read, ARGUMENTS[name], `arguments of ${name}`);
  }
}

export async function collected(stream) {
  const all = [];
  for await (const one of stream) all.push(one);
  return all;
}

/** The provider's side: scripts its behaviour and reads what reached it. */
export class Simulator {
  constructor(url) {
    this.url = url;
    this.agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  }

  ask(method, path, body) {
    return new Promise((resolve, reject) => {
      const request = http.request(this.url + path, { method, agent: this.agent }, (answer) => {
        const pieces = [];
        answer.on('data', (piece) => pieces.push(piece));
        answer.on('end', () => resolve(JSON.parse(Buffer.concat(pieces))));
      });
      request.on('error', reject);
      request.end(body && JSON.stringify(body));
    });
  }

  reset() {
    return this.ask('DELETE', '/__simulator');
  }

  behaves(behaviour) {
    return this.ask('POST', '/__simulator/script', { rules: [{ behaviour }] });
  }

  /** The last body that reached the provider. */
  async last() {
    return (await this.ask('GET', '/__simulator/requests')).requests.at(-1).body;
  }

  async billed() {
    const total = { calls: 0, input_tokens: 0, output_tokens: 0 };
    for (const row of (await this.ask('GET', '/__simulator/ledger')).rows) {
      for (const name of Object.keys(total)) total[name] += row[name];
    }
    return total;
  }

  async usageIs(input, output) {
    const billed = await this.billed();
    same([input, output], [billed.input_tokens, billed.output_tokens], "input and output tokens against the provider's bill");
    holds(input > 0 && output > 0, 'usage is zero');
  }

  async saw(text) {
    holds(JSON.stringify(await this.last()).includes(text), `the provider was not sent ${short(text)}`);
  }

  /** The provider was called where it is. */
  async pathWas(part) {
    const path = decodeURIComponent((await this.ask('GET', '/__simulator/requests')).requests.at(-1).path);
    holds(path.includes(part), `the provider was called at ${path}`);
  }

  /** Whether `text` reached the provider inside a member called one of `places`. */
  async wasTold(text, ...places) {
    const found = [...members(await this.last(), places)].some((value) => JSON.stringify(value).includes(text));
    holds(found, `the provider was not sent ${short(text)} in any of ${places}`);
  }

  /** The system prompt arrived where the provider's dialect has it, and nowhere else. */
  async systemWas(text) {
    const body = await this.last();
    const isSystem = (turn) => ['system', 'developer'].includes(turn.role);
    const turns = ['messages', 'input', 'contents'].flatMap((name) => (Array.isArray(body[name]) ? body[name] : []));
    const places = ['system', 'instructions', 'systemInstruction', 'system_instruction'].map((name) => body[name]);
    const system = [...places, ...turns.filter(isSystem)];
    holds(JSON.stringify(system).includes(text), 'the system prompt did not arrive as one');
    const others = turns.filter((turn) => !isSystem(turn));
    holds(!JSON.stringify(others).includes(text), 'the system prompt arrived in another turn');
  }
}

function* members(value, names) {
  if (Array.isArray(value)) for (const inner of value) yield* members(inner, names);
  else if (value && typeof value === 'object') {
    for (const [name, inner] of Object.entries(value)) {
      if (names.includes(name)) yield inner;
      yield* members(inner, names);
    }
  }
}

/** The field that the proxy named when it refused the call before sending it; null when this is no such refusal. */
export function refusedField(error) {
  const told = [];
  for (let one = error; one && told.length < 10; one = one.cause ?? one.lastError) {
    told.push([one.message, short4k(one.error), one.responseBody, short4k(one.body), one.param].join(' '));
  }
  const text = told.join(' ');
  if (text.includes('counts no tokens')) return 'counting of tokens';
  const lacking = text.match(/the provider's dialect has no ([a-z ]+)/);
  if (lacking) return lacking[1];
  if (!text.includes('unsupported') && !text.includes('cannot be sent')) return null;
  return (text.match(/`([^`]+)` cannot be sent to a target/) ?? text.match(/`([^`]+)`/))?.[1] ?? null;
}

function short4k(value) {
  return value === undefined ? '' : (JSON.stringify(value) ?? '').slice(0, 4000);
}

/** The major version of a package, as it says itself. */
export async function major(name) {
  const { readFileSync } = await import('node:fs');
  const path = new URL(`./node_modules/${name}/package.json`, import.meta.url);
  return JSON.parse(readFileSync(path, 'utf8')).version.split('.')[0];
}
