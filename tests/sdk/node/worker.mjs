// Runs the JavaScript callers of the matrix: the world as JSON on standard input, one JSON line a cell on standard output.

import { text } from 'node:stream/consumers';

import * as anthropic from './anthropic.mjs';
import * as google from './google.mjs';
import { Different, Simulator, refusedField, short } from './kit.mjs';
import * as openai from './openai.mjs';
import * as vercel from './vercel.mjs';

// The SDKs' warnings are for people.
console.warn = () => {};
console.error = () => {};
globalThis.AI_SDK_LOG_WARNINGS = false;

async function tryCell(caller, feature, to) {
  await to.simulator.reset();
  try {
    await caller[feature](to);
    if (feature === 'text') await to.simulator.pathWas(to.path);
    return ['yes', ''];
  } catch (error) {
    if (error instanceof Different) return ['no', error.message];
    const field = refusedField(error);
    if (field === null) return ['no', `${error?.name}: ${error?.message}`];
    if ((await to.simulator.billed()).calls > 0) return ['no', `refused after the provider was asked: ${error.message}`];
    return ['refused', field];
  }
}

const world = JSON.parse(await text(process.stdin));
const wanted = process.env.FRONTDOOR_MATRIX ?? '';
const simulator = new Simulator(world.simulator);
for (const module of [openai, anthropic, google, vercel]) {
  for (const kind of await module.callers()) {
    for (const told of world.providers) {
      // Chat completions cannot ask to see what was thought.
      const to = { ...told, simulator, shows_unasked: told.shows_thoughts && told.dialect !== 'responses' };
      to.failing = (how) => `failing-${to.name}-${how}-js-${kind.title.toLowerCase().replace(/[^a-z0-9]+/g, '-')}`;
      const caller = new kind.Caller(world.proxy, to);
      for (const feature of world.features) {
        const skipped = !caller[feature] || (['embeddings', 'refusal'].includes(feature) && !told[feature]);
        if (skipped || !`${kind.title}/${to.name}/${feature}`.includes(wanted)) continue;
        const began = performance.now();
        const [outcome, detail] = await tryCell(caller, feature, to);
        const line = { caller: kind.title, provider: to.name, feature, outcome, detail: short(detail) };
        console.log(JSON.stringify({ ...line, ms: Math.round(performance.now() - began) }));
      }
    }
  }
}
process.exit(0);
